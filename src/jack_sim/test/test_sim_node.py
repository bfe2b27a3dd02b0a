"""The node on a ROS graph of its own: what it says, when, and what it does when asked. No brain is needed."""

import itertools
import time

import numpy as np
import pytest

pytest.importorskip("rclpy", reason="needs ROS 2 and Jack's messages: ./jack test has them")
pytest.importorskip("jack_msgs", reason="needs ROS 2 and Jack's messages: ./jack test has them")

import rclpy
from diagnostic_msgs.msg import DiagnosticArray
from jack_msgs.msg import BrainStatus, JointCommand
from jack_msgs.srv import Reset, Step
from nav_msgs.msg import Odometry
from rclpy.executors import SingleThreadedExecutor
from rclpy.qos import DurabilityPolicy, QoSProfile, ReliabilityPolicy, qos_profile_sensor_data
from rosgraph_msgs.msg import Clock
from sensor_msgs.msg import CameraInfo, CompressedImage, Image, Imu, JointState
from std_msgs.msg import String
from std_srvs.srv import SetBool, Trigger
from tf2_msgs.msg import TFMessage

from jack_contract.robot import load_robot
from jack_contract.wire import StateReader, fill_joint_command, nanoseconds
from jack_sim.sim_node import SimNode

pytestmark = pytest.mark.ros

ROBOT = load_robot()
PERIOD = round(ROBOT.control_period * 1e9)
LATCHED = QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL, reliability=ReliabilityPolicy.RELIABLE)
RELIABLE = QoSProfile(depth=10, reliability=ReliabilityPolicy.RELIABLE)


class Bench:
    """The node under test and somebody who listens to it, in one process."""

    def __init__(self, *parameters: str) -> None:
        words = [word for parameter in parameters for word in ("-p", parameter)]
        rclpy.init(args=["--ros-args", *words])
        self.executor = SingleThreadedExecutor()
        self.listener = rclpy.create_node("listener", use_global_arguments=False)
        self.heard: dict[str, list] = {}
        self.sim = SimNode()
        self.executor.add_node(self.sim)
        self.executor.add_node(self.listener)
        self.command = self.listener.create_publisher(JointCommand, "joint_command", RELIABLE)
        self.brain = self.listener.create_publisher(BrainStatus, "brain/status", RELIABLE)

    def hear(self, kind, topic, qos=qos_profile_sensor_data):
        self.heard[topic] = []
        self.listener.create_subscription(kind, topic, self.heard[topic].append, qos)
        return self.heard[topic]

    def until(self, condition, seconds=10.0):
        deadline = time.monotonic() + seconds
        while not condition() and time.monotonic() < deadline:
            self.executor.spin_once(timeout_sec=0.05)
        return condition()

    def wait(self, seconds):
        self.until(lambda: False, seconds)

    def call(self, kind, name, request):
        client = self.listener.create_client(kind, name)
        assert self.until(client.service_is_ready)
        future = client.call_async(request)
        assert self.until(future.done)
        return future.result()

    def send(self, stamp=None, mode=JointCommand.RUN, targets=None):
        message = JointCommand()
        position = ROBOT.default_position if targets is None else targets
        fill_joint_command(message, ROBOT, mode, position, ROBOT.stiffness, ROBOT.damping)
        if stamp is not None:
            message.header.stamp = stamp
        self.command.publish(message)

    def close(self):
        self.sim.feed.close()
        self.sim.destroy_node()
        self.listener.destroy_node()
        rclpy.try_shutdown()


def stamps_of(odom, tf):
    return [message.header.stamp for message in odom], [message.transforms[0].header.stamp for message in tf]


@pytest.fixture
def bench(ros_domain):
    benches = []

    def make(*parameters):
        benches.append(Bench(*parameters))
        return benches[-1]

    yield make
    for made in benches:
        made.close()


def test_sensors_come_in_pairs_at_the_contracts_rate(bench):
    jack = bench("gantry:=always")
    joints, imu = jack.hear(JointState, "joint_states"), jack.hear(Imu, "imu/data")
    clock = jack.hear(Clock, "/clock", QoSProfile(depth=100, reliability=ReliabilityPolicy.BEST_EFFORT))
    jack.until(lambda: len(joints) > 5)
    begun, first = time.monotonic(), len(joints)
    jack.wait(2.0)
    rate = (len(joints) - first) / (time.monotonic() - begun)
    assert 30.0 < rate < 51.0  # 50, unless the machine is short of time
    stamps = [nanoseconds(message.header.stamp) for message in joints]
    assert {later - earlier for earlier, later in itertools.pairwise(stamps)} == {PERIOD}
    assert set(stamps[5:-5]) <= {nanoseconds(message.header.stamp) for message in imu}
    assert set(stamps[5:-5]) <= {nanoseconds(message.clock) for message in clock}
    state = StateReader(ROBOT).read(joints[-1], imu[-1])
    np.testing.assert_allclose(state.joint_position, ROBOT.default_position, atol=0.2)
    assert imu[-1].linear_acceleration.z == pytest.approx(9.81, abs=0.5)
    assert imu[-1].header.frame_id == "imu_frame"


def test_what_is_latched_reaches_who_comes_late(bench):
    jack = bench("gantry:=always")
    jack.wait(0.3)
    description = jack.hear(String, "robot_description", LATCHED)
    static, gantry = jack.hear(TFMessage, "tf_static", LATCHED), jack.hear(String, "sim/gantry", LATCHED)
    assert jack.until(lambda: description and static and gantry)
    assert description[0].data.startswith("<?xml") and 'name="left_knee"' in description[0].data
    assert "head_camera_optical" in {transform.child_frame_id for transform in static[0].transforms}
    assert gantry[0].data == "held"


def test_tf_and_odom_tell_the_truth(bench):
    jack = bench("gantry:=always", "odom_rate:=25.0", "tf_rate:=10.0")
    odom, tf = jack.hear(Odometry, "odom"), jack.hear(TFMessage, "tf")
    jack.until(lambda: len(tf) > 1)
    jack.wait(1.0)
    spans = [{b - a for a, b in itertools.pairwise(map(nanoseconds, stamps))} for stamps in stamps_of(odom, tf)]
    assert spans == [{2 * PERIOD}, {5 * PERIOD}]
    base = tf[-1].transforms[0]
    assert (base.header.frame_id, base.child_frame_id) == ("odom", "base_link")
    assert base.transform.translation.z == pytest.approx(0.76, abs=0.02)
    assert odom[-1].pose.pose.position.z == pytest.approx(0.76, abs=0.02)
    assert len(tf[-1].transforms) == 1 + ROBOT.count


def test_a_command_moves_the_joints_whatever_order_it_names_them_in(bench):
    jack = bench("gantry:=always")
    joints = jack.hear(JointState, "joint_states")
    elbow = ROBOT.index("left_elbow")
    targets = ROBOT.default_position.copy()
    targets[elbow] = -1.5
    message = JointCommand()
    fill_joint_command(message, ROBOT, JointCommand.RUN, targets, ROBOT.stiffness, ROBOT.damping)
    for field in ("name", "position", "stiffness", "damping"):
        setattr(message, field, list(reversed(getattr(message, field))))

    def arrived():
        jack.command.publish(message)
        return bool(joints) and abs(joints[-1].position[elbow] + 1.5) < 0.1

    assert jack.until(arrived)


def test_bad_commands_change_nothing_and_are_counted(bench):
    jack = bench("gantry:=always")
    diagnostics = jack.hear(DiagnosticArray, "/diagnostics", RELIABLE)
    jack.until(lambda: jack.command.get_subscription_count() > 0)
    before = jack.sim.world.data.ctrl.copy()
    message = JointCommand()
    fill_joint_command(message, ROBOT, 1, ROBOT.default_position, ROBOT.stiffness, ROBOT.damping)
    for field, value in [
        ("position", [float("nan")] * ROBOT.count),
        ("name", ["tail"]),
        ("mode", 77),
        ("damping", []),
    ]:
        bad = JointCommand(**{f: getattr(message, f) for f in ("mode", "name", "position", "stiffness", "damping")})
        setattr(bad, field, value)
        jack.command.publish(bad)
        jack.wait(0.1)

    def counted():
        values = [v for m in diagnostics for s in m.status if s.name == "sim: physics" for v in s.values]
        return any((v.key, v.value) == ("refused commands", "4") for v in values)

    assert jack.until(counted)
    np.testing.assert_array_equal(jack.sim.world.data.ctrl, before)


def test_when_commands_stop_the_joints_are_damped(bench):
    jack = bench("gantry:=always", "command_timeout:=0.1")
    diagnostics = jack.hear(DiagnosticArray, "/diagnostics", RELIABLE)
    jack.until(lambda: jack.command.get_subscription_count() > 0)
    jack.send()
    assert jack.until(lambda: jack.sim.live.damped, 2.0)
    assert not jack.sim.world.model.actuator_gainprm[:, 0].any()
    assert jack.until(lambda: any("damped" in s.message for m in diagnostics for s in m.status))
    jack.send()
    assert jack.until(lambda: not jack.sim.live.damped, 2.0)


def test_pause_step_and_reset(bench):
    jack = bench("gantry:=never")
    joints = jack.hear(JointState, "joint_states")
    refused = jack.call(Step, "sim/step", Step.Request(count=1))
    assert not refused.success and "pause" in refused.message
    assert jack.call(SetBool, "sim/pause", SetBool.Request(data=True)).success
    jack.wait(0.1)
    still = jack.sim.world.time
    jack.wait(0.3)
    assert jack.sim.world.time == still
    joints.clear()
    stepped = jack.call(Step, "sim/step", Step.Request(count=3))
    assert stepped.success and stepped.time == pytest.approx(still + 0.06)
    assert jack.until(lambda: len(joints) == 3)
    assert "1 to 100000" in jack.call(Step, "sim/step", Step.Request(count=0)).message
    jack.sim.world.push(np.array([2.0, 0.0, 0.0]))
    jack.call(Step, "sim/step", Step.Request(count=50))
    assert jack.call(Reset, "sim/reset", Reset.Request(seed=0)).success
    np.testing.assert_array_equal(jack.sim.world.state().joint_position, ROBOT.default_position)
    assert jack.sim.world.time == pytest.approx(still + 0.06 + 1.0)
    assert jack.call(SetBool, "sim/pause", SetBool.Request(data=False)).success
    assert jack.until(lambda: jack.sim.world.time > still + 1.2)


def test_a_policy_is_let_down_and_a_fall_clears_the_brain(bench):
    jack = bench("gantry:=auto", "real_time_factor:=4.0")
    gantry, resets = jack.hear(String, "sim/gantry", LATCHED), []
    mode = [JointCommand.RUN]
    jack.listener.create_timer(0.005, lambda: jack.send(mode=mode[0]))

    def reset(request, response):
        resets.append(jack.sim.live.gantry)
        mode[0], response.success = JointCommand.RUN, True
        return response

    jack.listener.create_service(Trigger, "brain/reset_fault", reset)
    modes = [message.data for message in gantry]
    assert jack.until(lambda: gantry and gantry[-1].data == "released")
    jack.sim.world.push(np.array([3.0, 0.0, 0.0]))
    assert jack.until(lambda: gantry[-1].data == "lifting")
    mode[0] = JointCommand.DAMP
    assert jack.until(lambda: resets, 15.0)
    assert resets == ["held"] and jack.sim.live.falls == 1
    assert jack.until(lambda: gantry[-1].data == "released")
    modes = [message.data for message in gantry]
    assert modes[-5:] == ["released", "lifting", "held", "lowering", "released"]


def test_nothing_is_drawn_before_somebody_looks(bench):
    jack = bench("gantry:=always", "camera_width:=64", "camera_height:=48", "camera_rate:=25.0")
    jack.wait(0.5)
    assert jack.sim.feed._thread is None
    images, infos = jack.hear(Image, "camera/image_raw"), jack.hear(CameraInfo, "camera/camera_info")
    jpegs = jack.hear(CompressedImage, "camera/image_raw/compressed")
    jack.until(lambda: (images and jpegs and infos) or jack.sim.feed.trouble, 20.0)
    if "cannot render" in jack.sim.feed.trouble:
        pytest.skip(f"this machine draws nothing: {jack.sim.feed.trouble}")
    image = images[-1]
    assert (image.width, image.height, image.encoding, image.step) == (64, 48, "rgb8", 192)
    pixels = np.frombuffer(image.data, np.uint8).reshape(48, 64, 3)
    assert pixels.std() > 5.0
    assert image.header.frame_id == "head_camera_optical" == infos[-1].header.frame_id
    assert (infos[-1].width, infos[-1].height) == (64, 48)
    assert bytes(jpegs[-1].data[:2]) == b"\xff\xd8" and "jpeg" in jpegs[-1].format


def test_a_camera_that_fails_does_not_stop_physics(bench, monkeypatch):
    def broken(*args):
        raise OSError("no display of any kind")

    monkeypatch.setattr("jack_sim.sim_node.Camera", broken)
    jack = bench("gantry:=always")
    diagnostics = jack.hear(DiagnosticArray, "/diagnostics", RELIABLE)
    jack.hear(Image, "camera/image_raw")
    assert jack.until(lambda: any("no display" in s.message for m in diagnostics for s in m.status))
    steps = jack.sim.live.steps
    jack.wait(1.0)
    assert jack.sim.live.steps - steps > 10  # 50 on an idle machine


def test_faster_than_real_time(bench):
    jack = bench("gantry:=always", "real_time_factor:=0.0")
    jack.wait(0.5)
    begun, before = time.monotonic(), jack.sim.world.time
    jack.wait(1.0)
    assert (jack.sim.world.time - before) / (time.monotonic() - begun) > 3.0
