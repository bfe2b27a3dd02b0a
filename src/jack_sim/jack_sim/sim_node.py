"""The node `sim`: one simulated Jack as a robot on ROS 2. Parameters, topics, services, the clock; nothing else."""

from __future__ import annotations

import array
import dataclasses
import signal
import sys
import time

import rcl_interfaces.msg
import rclpy
from builtin_interfaces.msg import Time
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus, KeyValue
from geometry_msgs.msg import TransformStamped
from jack_msgs.msg import BrainStatus, JointCommand
from jack_msgs.srv import Reset, Step
from nav_msgs.msg import Odometry
from rclpy.client import Client
from rclpy.clock import Clock
from rclpy.clock_type import ClockType
from rclpy.exceptions import ParameterException
from rclpy.experimental.events_executor import EventsExecutor
from rclpy.node import Node
from rclpy.publisher import Publisher
from rclpy.qos import DurabilityPolicy, QoSProfile, ReliabilityPolicy, qos_profile_sensor_data
from rclpy.signals import SignalHandlerOptions
from rclpy.task import Future
from rclpy.utilities import try_shutdown
from rosgraph_msgs.msg import Clock as ClockMessage
from sensor_msgs.msg import CameraInfo, CompressedImage, Imu, JointState
from sensor_msgs.msg import Image as ImageMessage
from std_msgs.msg import String
from std_srvs.srv import SetBool, Trigger
from tf2_msgs.msg import TFMessage

from jack_contract.errors import JackError, MessageError
from jack_contract.parameters import declare
from jack_contract.wire import CommandReader, fill_imu, fill_joint_state, fill_stamp
from jack_sim.camera import Camera, Intrinsics
from jack_sim.camera_feed import CameraFeed, Image, Shot, jpeg
from jack_sim.live import Drive, LiveWorld
from jack_sim.messages import MovingTransforms, fill_camera_info, fill_odometry, fixed_transforms
from jack_sim.parameters import SimParameters
from jack_sim.physics import World
from jack_sim.robot_model import JointFrames, fixed_frames
from jack_sim.scene import LIVE, models_folder

LATCHED = QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL, reliability=ReliabilityPolicy.RELIABLE)
CLOCK = QoSProfile(depth=1, reliability=ReliabilityPolicy.BEST_EFFORT)
COMMAND = QoSProfile(depth=1, reliability=ReliabilityPolicy.RELIABLE)
CAMERA_FRAME, IMU_FRAME = "head_camera_optical", "imu_frame"
#: Wall-clock time between two reports, and, in lock-step, until readings that nobody answered go out again [s].
REPORT_PERIOD, NUDGE_PERIOD = 1.0, 0.5
_MAX_STEPS = 100_000
#: How often it is told what is on a table, per simulated second, while somebody listens [1/s].
TABLE_RATE = 10.0


class SimNode(Node):
    """A live world on topics and services, moved by the clock or, in lock-step, by its commands."""

    def __init__(self) -> None:
        """Declare the parameters, load the world, and start the clock."""
        super().__init__("sim")
        self.parameters = declare(self, SimParameters, rcl_interfaces.msg)
        self.world = World(dataclasses.replace(LIVE, scene=self.parameters.scene))
        given = self.parameters.gantry, self.parameters.seed, self.parameters.command_timeout
        self.live = LiveWorld(self.world, *given)
        self._reader = CommandReader(self.world.robot)
        self._paused = False
        self._missed = self._refused = 0
        self._gantry_said = self._camera_said = ""
        self._make_publishers()
        self._make_camera()
        self._listen()
        self._start_clock()

    # -- what it tells

    def _make_publishers(self) -> None:
        self._joint_states = self.create_publisher(JointState, "joint_states", qos_profile_sensor_data)
        self._imu = self.create_publisher(Imu, "imu/data", qos_profile_sensor_data)
        self._odom = self.create_publisher(Odometry, "odom", 10)
        publishes = self.parameters.publish_clock
        self._time = self.create_publisher(ClockMessage, "/clock", CLOCK) if publishes else None
        self._gantry = self.create_publisher(String, "~/gantry", LATCHED)
        self._diagnostics = self.create_publisher(DiagnosticArray, "/diagnostics", 10)
        self._table = self.create_publisher(String, "~/table", 10)
        self._tf = self.create_publisher(TFMessage, "tf", 100)
        self._transforms = MovingTransforms(JointFrames(self.world.model), TransformStamped)
        self._tf_static = self.create_publisher(TFMessage, "tf_static", LATCHED)
        fixed = fixed_transforms(fixed_frames(self.world.model), TransformStamped)
        self._tf_static.publish(TFMessage(transforms=fixed))
        self._description = self.create_publisher(String, "robot_description", LATCHED)
        self._description.publish(String(data=(models_folder() / "jack.urdf").read_text(encoding="utf-8")))

    def _make_camera(self) -> None:
        size = self.parameters.camera_width, self.parameters.camera_height
        self._images = self.create_publisher(ImageMessage, "camera/image_raw", qos_profile_sensor_data)
        self._jpegs = self.create_publisher(CompressedImage, "camera/image_raw/compressed", qos_profile_sensor_data)
        self._camera_infos = self.create_publisher(CameraInfo, "camera/camera_info", qos_profile_sensor_data)
        self._camera_info = CameraInfo()
        self._camera_info.header.frame_id = CAMERA_FRAME
        fill_camera_info(self._camera_info, Intrinsics.of(self.world.model, "head", *size))
        self.feed = CameraFeed(lambda: Camera(self.world.model, *size), self._publish_image)

    def publish(self) -> None:
        """Send everything that is due at this step; joint states and IMU carry the same stamp."""
        state, stamp = self.world.state(), self._now()
        if self._time is not None:
            self._time.publish(ClockMessage(clock=stamp))
        joints, imu = JointState(), Imu()
        fill_joint_state(joints, self.world.robot, state)
        fill_imu(imu, state)
        joints.header.stamp = imu.header.stamp = stamp
        imu.header.frame_id = IMU_FRAME
        self._imu.publish(imu)
        self._joint_states.publish(joints)
        if self._due(self.parameters.odom_rate, self._odom):
            message = Odometry()
            message.header.stamp = stamp
            fill_odometry(message, self.world.odometry())
            self._odom.publish(message)
        if self._due(self.parameters.tf_rate, self._tf):
            moving = self._transforms.filled(stamp, self.world.odometry(), state.joint_position)
            self._tf.publish(TFMessage(transforms=moving))
        if self.world.table is not None and self._due(TABLE_RATE, self._table):
            self._table.publish(String(data=self.world.describe_table()))
        if self._due(self.parameters.camera_rate, self._images, self._jpegs):
            self.feed.ask(Shot(self.world.position, self.world.time))

    def _due(self, rate: float, *publishers: Publisher) -> bool:
        """Whether this step is one at which a topic of this rate [1/s] goes out, and somebody listens."""
        every = max(1, round(1.0 / (rate * self.world.robot.control_period)))
        return self.live.steps % every == 0 and any(publisher.get_subscription_count() for publisher in publishers)

    def _publish_image(self, shot: Shot, image: Image) -> None:
        """Send a picture; called in the camera's thread."""
        stamp = stamp_of(shot.time)
        if self._images.get_subscription_count():
            message = ImageMessage(height=image.shape[0], width=image.shape[1], encoding="rgb8")
            message.step, message.data = 3 * image.shape[1], array.array("B", image.tobytes())
            message.header.stamp, message.header.frame_id = stamp, CAMERA_FRAME
            self._images.publish(message)
        if self._jpegs.get_subscription_count():
            message = CompressedImage(format="rgb8; jpeg compressed bgr8")
            message.data = array.array("B", jpeg(image, self.parameters.camera_quality))
            message.header.stamp, message.header.frame_id = stamp, CAMERA_FRAME
            self._jpegs.publish(message)
        self._camera_info.header.stamp = stamp
        self._camera_infos.publish(self._camera_info)

    # -- what it hears

    def _listen(self) -> None:
        self.create_subscription(JointCommand, "joint_command", self._on_command, COMMAND)
        self.create_subscription(BrainStatus, "brain/status", self._on_brain, 10)
        self._resets = [self.create_client(Trigger, name) for name in ("brain/reset_fault", "driver/reset")]
        self.create_service(Reset, "~/reset", self._on_reset)
        self.create_service(SetBool, "~/pause", self._on_pause)
        self.create_service(Step, "~/step", self._on_step)

    def _on_command(self, message: JointCommand) -> None:
        if self.parameters.lock_step and message.header.stamp != self._now():
            return  # it answers readings that were answered before
        try:
            targets, drive = self._reader.read(message), Drive(message.mode)
        except (MessageError, ValueError) as error:
            self._refused += 1
            self.get_logger().error(str(error), throttle_duration_sec=1.0)
            return
        self.live.obey(targets, drive)
        if self.parameters.lock_step and not self._paused:
            self.advance()

    def _on_brain(self, message: BrainStatus) -> None:
        self.live.policy = message.policy

    def _on_reset(self, request: Reset.Request, response: Reset.Response) -> Reset.Response:
        self.live.reset(request.seed)
        self.publish()
        response.success, response.message = True, f"Jack is back at his start, seed {request.seed}"
        self.get_logger().info(response.message)
        return response

    def _on_pause(self, request: SetBool.Request, response: SetBool.Response) -> SetBool.Response:
        self._paused = request.data
        response.success, response.message = True, "paused" if request.data else "running"
        return response

    def _on_step(self, request: Step.Request, response: Step.Response) -> Step.Response:
        if not self._paused:
            response.message = "Time passes by itself; stop it first with the service pause."
        elif not 1 <= request.count <= _MAX_STEPS:
            response.message = f"count is {request.count}; allowed: 1 to {_MAX_STEPS}."
        else:
            for _ in range(request.count):
                self.advance()
            response.success = True
        response.time = self.world.time
        return response

    # -- the clock

    def _start_clock(self) -> None:
        wall = Clock(clock_type=ClockType.STEADY_TIME)
        self._reported = time.monotonic(), self.world.time
        self.create_timer(REPORT_PERIOD, self._report, clock=wall)
        if self.parameters.lock_step:
            self._nudged = self.live.steps
            self.create_timer(NUDGE_PERIOD, self._nudge, clock=wall)
            return
        factor = self.parameters.real_time_factor
        self._period = self.world.robot.control_period / factor if factor > 0 else 0.0
        self._ticked = time.monotonic()
        # The timer keeps its phase: a late tick delays no later one, and a missed one is left out.
        self.create_timer(self._period, self._tick, clock=wall)

    def _tick(self) -> None:
        now = time.monotonic()
        if self._period:
            self._missed += max(0, round((now - self._ticked) / self._period) - 1)
        self._ticked = now
        if not self._paused:
            self.advance()

    def _nudge(self) -> None:
        """In lock-step: send readings again that nobody answered; the first go out before anybody listens."""
        if self._nudged == self.live.steps and not self._paused and self._joint_states.get_subscription_count():
            self.publish()
        self._nudged = self.live.steps

    def advance(self) -> None:
        """One control period of simulated time."""
        if event := self.live.advance():
            self.get_logger().info(event)
        if self.live.gantry != self._gantry_said:
            self._gantry_said = str(self.live.gantry)
            self._gantry.publish(String(data=self._gantry_said))
        self.publish()

    def _now(self) -> Time:
        return stamp_of(self.world.time)

    # -- how it is

    def _report(self) -> None:
        before, self._reported = self._reported, (time.monotonic(), self.world.time)
        factor = (self._reported[1] - before[1]) / (self._reported[0] - before[0])
        if self.live.wants_reset:
            for client in filter(Client.service_is_ready, self._resets):
                client.call_async(Trigger.Request())
        trouble = self.feed.trouble
        if trouble != self._camera_said:
            self._camera_said = trouble
            self.get_logger().warning(trouble or "The camera works again")
        physics = {
            "time [s]": f"{self.world.time:.2f}",
            "real-time factor": f"{factor:.3f}",
            "paused": self._paused,
        }
        physics |= {"missed ticks": self._missed, "refused commands": self._refused}
        gantry = {"mode": self.live.gantry, "standing [s]": f"{self.live.standing:.1f}", "falls": self.live.falls}
        statuses = [
            report("physics", "no joint command: damped" if self.live.damped else "", physics),
            report("gantry", "", gantry),
            report("camera", trouble, {}),
        ]
        message = DiagnosticArray(status=statuses)
        message.header.stamp = self._now()
        self._diagnostics.publish(message)


def stamp_of(seconds: float) -> Time:
    """A time [s] as ROS writes it."""
    stamp = Time()
    fill_stamp(stamp, seconds)
    return stamp


def report(part: str, trouble: str, values: dict[str, object]) -> DiagnosticStatus:
    """How one part of the simulation is; a warning if there is trouble."""
    level = DiagnosticStatus.WARN if trouble else DiagnosticStatus.OK
    pairs = [KeyValue(key=name, value=str(value)) for name, value in values.items()]
    return DiagnosticStatus(
        level=level, name=f"sim: {part}", message=trouble or "ok", hardware_id="simulation", values=pairs
    )


def main() -> int:
    """Run the node until it is told to end."""
    told = Future()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: told.done() or told.set_result(None))
    # rclpy's own handlers would take the publishers away in the middle of a tick.
    rclpy.init(signal_handler_options=SignalHandlerOptions.NO)
    node = None
    try:
        node = SimNode()
        executor = EventsExecutor()
        executor.add_node(node)
        node.get_logger().info(f"Jack lives in the scene {node.parameters.scene}")
        # spin() without a time-out burns a core (rclpy 7.1); spin_once() costs a tenth of a millisecond an event.
        while not told.done():
            executor.spin_until_future_complete(told, timeout_sec=1.0)
    except (JackError, ParameterException) as error:
        print(f"sim: {error}", file=sys.stderr)
        return 1
    finally:
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # a second Ctrl-C must not tear what is being put away
        if node is not None:
            node.feed.close()
            node.destroy_node()
        try_shutdown()
    return 0


if __name__ == "__main__":
    sys.exit(main())
