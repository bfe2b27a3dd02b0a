"""The node `view`: topics and services behind the page in the browser. What is shown is in scene.py and page.py."""

from __future__ import annotations

import signal
import sys
import threading
import time

import numpy as np
import rcl_interfaces.msg
import rclpy
from geometry_msgs.msg import Twist
from jack_msgs.msg import BrainStatus, DriverStatus, JointCommand, TrainingStatus
from jack_msgs.srv import Reset
from nav_msgs.msg import Odometry
from numpy.typing import NDArray
from rclpy.clock import Clock
from rclpy.clock_type import ClockType
from rclpy.duration import Duration
from rclpy.exceptions import ParameterException
from rclpy.experimental.events_executor import EventsExecutor
from rclpy.node import Node
from rclpy.publisher import Publisher
from rclpy.qos import DurabilityPolicy, QoSProfile, ReliabilityPolicy, qos_profile_sensor_data
from rclpy.signals import SignalHandlerOptions
from rclpy.subscription import Subscription
from rclpy.utilities import try_shutdown
from sensor_msgs.msg import CompressedImage, Image, Imu, JointState
from std_msgs.msg import String
from std_srvs.srv import Trigger

from jack_contract.errors import JackError, MessageError
from jack_contract.overlay import pointed
from jack_contract.parameters import declare
from jack_operator.asking import Asking
from jack_operator.page import Page, Wish
from jack_operator.parameters import ViewParameters
from jack_operator.pictures import attention, unpack
from jack_operator.scene import Scene

#: Whoever publishes is heard, reliable or not, and nobody waits for who only looks.
LOOK = qos_profile_sensor_data
LATCHED = QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL, reliability=ReliabilityPolicy.RELIABLE)
#: As LATCHED, for whoever listens to sentences; yet what was said is not said again to a brain that starts later.
SAYING = QoSProfile(
    depth=1,
    durability=DurabilityPolicy.TRANSIENT_LOCAL,
    reliability=ReliabilityPolicy.RELIABLE,
    lifespan=Duration(seconds=2.0),
)
COMMAND = QoSProfile(depth=1, reliability=ReliabilityPolicy.RELIABLE)
STOP, RESETS, RESTART = "brain/stop", ("brain/reset_fault", "driver/reset"), "sim/reset"
#: Least time between two pictures of the camera [s].
CAMERA_PERIOD = 0.1
#: Where a sentence points is shown for so long [s].
ATTENTION_LASTS = 1.0


class ViewNode(Node):
    """Listens to one robot, and shows him."""

    def __init__(self) -> None:
        """Serve the page, and listen.

        Raises:
            JackError: a parameter that is not allowed.
        """
        super().__init__("view")
        self.parameters = declare(self, ViewParameters, rcl_interfaces.msg)
        self.scene = Scene()
        self.page = Page(self.parameters.port, self.parameters.control)
        self._camera: list[Subscription] = []
        self._camera_at = self._attention_at = 0.0
        self._attention: NDArray[np.uint8] | None = None
        self._velocities: Publisher | None = None
        self._driving = False
        self._listen()
        self._doors = self._offer() if self.parameters.control else {}
        self._voice = self.create_publisher(String, "instruction", SAYING) if self.parameters.control else None
        steady = Clock(clock_type=ClockType.STEADY_TIME)
        self.create_timer(1.0 / self.parameters.rate, self._proceed, clock=steady)

    def _listen(self) -> None:
        scene, now = self.scene, time.monotonic
        for kind, topic, hear in (
            (JointState, "joint_states", scene.on_joint_states),
            (Imu, "imu/data", scene.on_imu),
            (Odometry, "odom", scene.on_odometry),
            (JointCommand, "joint_command", scene.on_joint_command),
            (Twist, "cmd_vel", scene.on_velocity),
            (BrainStatus, "brain/status", scene.on_brain),
            (DriverStatus, "driver/status", scene.on_driver),
            (TrainingStatus, "training/status", scene.on_training),
        ):
            self.create_subscription(kind, topic, lambda message, hear=hear: hear(message, now()), LOOK)
        self.create_subscription(String, "robot_description", self._on_description, LATCHED)
        self.create_subscription(String, "sim/gantry", scene.on_gantry, LATCHED)

    def _offer(self) -> dict[str, Asking]:
        names = {name: Reset if name == RESTART else Trigger for name in (STOP, *RESETS, RESTART)}
        return {name: Asking(self.create_client(kind, name), name, self._tell) for name, kind in names.items()}

    def _on_description(self, message: String) -> None:
        if self.scene.on_description(message.data) and self.scene.description is not None:
            self.page.draw(self.scene.description)

    def _on_image(self, message: CompressedImage) -> None:
        now = time.monotonic()
        if now - self._camera_at < CAMERA_PERIOD:
            return
        self._camera_at = now
        try:
            image = unpack(bytes(message.data))
        except MessageError as error:
            self.get_logger().warning(str(error), throttle_duration_sec=5.0)
            return
        if self._attention is not None and now - self._attention_at < ATTENTION_LASTS:
            image = pointed(image, self._attention)
        self.page.show_image(image)

    def _on_attention(self, message: Image) -> None:
        try:
            self._attention = attention(bytes(message.data), message.height, message.width)
            self._attention_at = time.monotonic()
        except MessageError as error:
            self.get_logger().warning(str(error), throttle_duration_sec=5.0)

    def _tell(self, text: str, good: bool) -> None:
        self.page.say(text, good)
        if good:
            self.get_logger().info(text)
        else:
            self.get_logger().warning(text)

    def _proceed(self) -> None:
        now = time.monotonic()
        for wish in self.page.wishes():
            self._fulfil(wish, now)
        for sentence in self.page.sentences():
            self._say(sentence)
        for service in self._doors.values():
            service.proceed(now)
        self._drive()
        self._look()
        self.scene.record(now)
        if self.page.watched:
            self.page.show(self.scene, self.scene.frame(now), now)

    def _fulfil(self, wish: Wish, now: float) -> None:
        if wish is Wish.STOP:
            self._doors[STOP].ask(Trigger.Request(), now)
        elif wish is Wish.RESTART:
            self._doors[RESTART].ask(Reset.Request(), now)
        else:
            for name in RESETS:  # a robot without a driver of its own has none to reset
                if name == RESETS[0] or self._doors[name].there:
                    self._doors[name].ask(Trigger.Request(), now)

    def _say(self, sentence: str) -> None:
        if self._voice is not None:
            self._voice.publish(String(data=sentence))
            self._tell(f"He is told: {sentence}" if sentence.strip() else "He is to follow nothing", True)

    def _drive(self) -> None:
        """Send what the sliders say, and one zero when they are let go."""
        velocity = self.page.drive
        if velocity is None and not self._driving:
            return
        if self._velocities is None:
            self._velocities = self.create_publisher(Twist, "cmd_vel", COMMAND)
        self._driving, message = velocity is not None, Twist()
        if velocity is not None:
            message.linear.x, message.linear.y, message.angular.z = velocity.tolist()
        self._velocities.publish(message)

    def _look(self) -> None:
        """Listen to the camera while somebody looks: a simulation draws its pictures only then."""
        wanted = self.page.wants_camera
        if wanted and not self._camera:
            self._camera = [
                self.create_subscription(CompressedImage, "camera/image_raw/compressed", self._on_image, LOOK),
                self.create_subscription(Image, "brain/attention", self._on_attention, LOOK),
            ]
        elif not wanted and self._camera:
            for subscription in self._camera:
                self.destroy_subscription(subscription)
            self._camera = []


def main() -> int:
    """Run the node until it is told to end."""
    ending = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda *_: ending.set())
    rclpy.init(signal_handler_options=SignalHandlerOptions.NO)
    node = None
    try:
        node = ViewNode()
        executor = EventsExecutor()
        executor.add_node(node)
        says = "with controls" if node.parameters.control else "to look at; --control to steer"
        print(f"Jack is at {node.page.address} ({says}). Ctrl-C ends it.", flush=True)
        while not ending.is_set():
            executor.spin_once(timeout_sec=0.2)
    except (JackError, ParameterException) as error:
        print(f"view: {error}", file=sys.stderr)
        return 1
    finally:
        if node is not None:
            node.page.close()
        try_shutdown()
    return 0


if __name__ == "__main__":
    sys.exit(main())
