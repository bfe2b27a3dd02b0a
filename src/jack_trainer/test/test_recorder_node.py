"""The recorder as a process, and whoever publishes and asks, over real DDS."""

import array
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from contextlib import suppress

import pytest
import rclpy
from action_msgs.msg import GoalStatus
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus
from geometry_msgs.msg import Twist
from jack_msgs.action import Record
from jack_msgs.msg import RecorderStatus
from jack_msgs.srv import Mark as MarkService
from rclpy.action import ActionClient
from rclpy.context import Context
from rclpy.executors import ExternalShutdownException, SingleThreadedExecutor
from rclpy.node import Node
from rclpy.qos import DurabilityPolicy, QoSProfile, ReliabilityPolicy, qos_profile_sensor_data
from rclpy.serialization import serialize_message
from rosbags.rosbag2 import Reader
from sensor_msgs.msg import CompressedImage, JointState
from std_msgs.msg import String
from std_srvs.srv import Trigger

from jack_contract.wire import fill_stamp
from jack_trainer.imitation.facts import Mark, read_facts
from jack_trainer.imitation.recording import UNFINISHED
from jack_trainer.imitation.storage import read_file

pytestmark = pytest.mark.ros
#: The robot's namespace.
SPACE = "/studio"
JOINTS, VELOCITY, DESCRIPTION = f"{SPACE}/joint_states", f"{SPACE}/cmd_vel", f"{SPACE}/robot_description"
PICTURES = f"{SPACE}/camera/image_raw/compressed"
LATCHED = QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL, reliability=ReliabilityPolicy.RELIABLE)


def start_recorder(domain, folder, before=(), **parameters):
    given = [word for name, value in parameters.items() for word in ("-p", f"{name}:={value}")]
    environment = os.environ | {"ROS_DOMAIN_ID": str(domain), "ROS_AUTOMATIC_DISCOVERY_RANGE": "LOCALHOST"}
    command = [sys.executable, "-m", "jack_trainer.recorder_node", "--ros-args", "-r", f"__ns:={SPACE}"]
    command += ["-p", f"folder:={folder}", *given]
    return subprocess.Popen([*before, *command], env=environment, stderr=subprocess.PIPE, text=True)


def wait(condition, seconds=30.0):
    deadline = time.monotonic() + seconds
    while not (value := condition()):
        assert time.monotonic() < deadline, f"not within {seconds} s"
        time.sleep(0.005)
    return value


class World:
    """Everybody but the recorder: publishers, and somebody who asks for episodes."""

    def __init__(self, domain):
        self.context = Context()
        rclpy.init(context=self.context, domain_id=domain)
        self.node = Node("world", context=self.context, namespace=SPACE)
        make = self.node.create_publisher
        self.joints = make(JointState, "joint_states", qos_profile_sensor_data)
        self.velocity = make(Twist, "cmd_vel", 10)
        self.pictures = make(CompressedImage, "camera/image_raw/compressed", qos_profile_sensor_data)
        self.description = make(String, "robot_description", LATCHED)
        self.said = bytes(serialize_message(String(data="<robot/>")))
        self.description.publish(self.said)
        self.status, self.feedback, self.diagnostics = [], [], []
        self.node.create_subscription(RecorderStatus, "recorder/status", self.status.append, 10)
        self.node.create_subscription(DiagnosticArray, "/diagnostics", self.diagnostics.append, 10)
        self._action = ActionClient(self.node, Record, "record")
        self._mark = self.node.create_client(MarkService, "recorder/mark")
        self._discard = self.node.create_client(Trigger, "recorder/discard")
        self._executor = SingleThreadedExecutor(context=self.context)
        self._executor.add_node(self.node)
        self._thread = threading.Thread(target=self._spin, daemon=True)
        self._thread.start()

    def _spin(self):
        with suppress(ExternalShutdownException):
            self._executor.spin()

    def ready(self, recorder):
        """Until the recorder hears and answers everybody."""
        publishers = (self.joints, self.velocity, self.pictures, self.description)

        def heard():
            assert recorder.poll() is None, recorder.stderr.read()
            return all(publisher.get_subscription_count() for publisher in publishers)

        wait(heard, 60.0)
        wait(lambda: self._action.server_is_ready() and self._mark.service_is_ready())
        self.heard()

    def heard(self):
        """A status that was made after now: whoever publishes alone is known to."""
        before = len(self.status)
        return wait(lambda: self.status[-1] if len(self.status) >= before + 2 else None)

    def goal(self, **goal):
        future = self._action.send_goal_async(Record.Goal(**goal), lambda m: self.feedback.append(m.feedback))
        wait(future.done)
        assert future.result().accepted
        return future.result()

    def result(self, handle, seconds=30.0):
        future = handle.get_result_async()
        wait(future.done, seconds)
        return future.result().status, future.result().result

    def end(self, handle):
        wait(handle.cancel_goal_async().done)
        return self.result(handle)

    def mark(self, mark, note=""):
        return self._ask(self._mark, MarkService.Request(mark=mark, note=note))

    def discard(self):
        return self._ask(self._discard, Trigger.Request())

    def _ask(self, client, request):
        future = client.call_async(request)
        wait(future.done)
        return future.result()

    def say(self, number):
        """One message of joint states, with its number as position; returns its bytes."""
        message = JointState(name=["a"], position=[float(number)])
        fill_stamp(message.header.stamp, 0.02 * number)
        data = bytes(serialize_message(message))  # what fills gaps between fields differs from one time to the next
        self.joints.publish(data)
        return data

    def close(self):
        rclpy.shutdown(context=self.context)
        self._thread.join(timeout=2.0)


@pytest.fixture(scope="module")
def world(shared_ros_domain):
    world = World(shared_ros_domain)
    yield world
    world.close()


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("bags")


@pytest.fixture(scope="module")
def recorder(shared_ros_domain, world, folder):
    """One that lives through most of these tests."""
    process = start_recorder(shared_ros_domain, folder, look_back_seconds=30.0)
    try:
        world.ready(process)
        yield process
        process.send_signal(signal.SIGINT)
        assert process.wait(20) == 0, process.stderr.read()
    finally:
        process.kill()


def messages(path):
    return [(raw.channel.topic, raw.data) for raw in read_file(next(path.glob("*.mcap")), pytest.fail)]


def test_what_is_published_is_in_the_bag_byte_for_byte(world, recorder, folder):
    handle = world.goal(name="bytes", instruction="walk to the door")
    sent = []
    for number in range(100):
        sent.append(world.say(number))
        world.velocity.publish(Twist())
        time.sleep(0.01)
    time.sleep(0.3)
    status, result = world.end(handle)
    path = folder / "bytes"
    assert status == GoalStatus.STATUS_CANCELED and result.success and result.path == str(path)
    found = messages(path)
    assert [data for topic, data in found if topic == JOINTS] == sent
    first, said = found[0]
    assert first == DESCRIPTION and said.rstrip(b"\0") == world.said.rstrip(b"\0")  # DDS fills it up
    assert len(found) == result.recorded == 201 and result.dropped == 0
    with Reader(path) as bag:
        assert {c.topic: c.msgcount for c in bag.connections} == {
            DESCRIPTION: 1,
            JOINTS: 100,
            VELOCITY: 100,
        }
    facts = read_facts(path)
    assert (facts.instruction, facts.ended) == ("walk to the door", "it was asked to end")
    assert not facts.topics[JOINTS].gap and facts.topics[JOINTS].longest == pytest.approx(0.02)


def test_it_tells_how_it_goes_and_ends_by_itself(world, recorder, folder):
    world.feedback.clear()
    handle = world.goal(name="short", seconds=1.5)
    for number in range(20):
        world.say(number)
    during = wait(
        lambda: world.status[-1] if world.status[-1].recording and world.status[-1].elapsed > 0.4 else None
    )
    assert during.path == str(folder / f"short{UNFINISHED}") and during.bytes > 0 and during.free > 0
    index = list(during.topic).index(JOINTS)
    assert (during.received[index], during.recorded[index], during.dropped[index]) == (20, 20, 0)
    status, result = world.result(handle)
    assert status == GoalStatus.STATUS_SUCCEEDED and "its 1.5 s are over" in result.message
    assert 2 <= len(world.feedback) <= 4 and world.feedback[-1].recorded == 21
    assert read_facts(folder / "short").topics[JOINTS].recorded == 20
    assert not world.heard().recording
    said = wait(lambda: [s for m in world.diagnostics for s in m.status if s.name == "recorder: episode"])
    assert "recording" in {status.message for status in said}


def test_what_was_just_heard_can_belong_to_it(world, recorder, folder):
    time.sleep(0.5)
    world.velocity.publish(Twist())
    time.sleep(0.2)
    world.end(world.goal(name="back", look_back=0.4))
    assert [topic for topic, _ in messages(folder / "back")] == [DESCRIPTION, VELOCITY]


def test_marks_and_discards(world, recorder, folder):
    handle = world.goal(name="marked")
    assert world.mark(2, "fell").message == "marked will be marked: failure"
    world.end(handle)
    assert read_facts(folder / "marked").mark is Mark.FAILURE
    assert world.mark(1).message == "marked is marked: success"
    assert read_facts(folder / "marked").mark is Mark.SUCCESS
    refused = world.mark(3)
    assert not refused.success and "allowed: 0 (none), 1 (success) and 2 (failure)" in refused.message
    assert world.discard().message == "marked is thrown away" and not (folder / "marked").exists()
    again = world.discard()
    assert not again.success and "no episode" in again.message
    handle = world.goal(name="unwanted")
    assert world.discard().success
    status, result = world.result(handle)
    assert status == GoalStatus.STATUS_ABORTED and not result.success and "thrown away" in result.message
    assert not list(folder.glob("unwanted*"))


def test_a_goal_that_cannot_be_is_told_why(world, recorder, folder):
    for goal, words in (
        ({"name": "../x"}, "cannot be called"),
        ({"look_back": 99.0}, "allowed: 0 to 30"),
        ({"name": "bytes"}, "already; choose another name"),
    ):
        status, result = world.result(world.goal(**goal))
        assert status == GoalStatus.STATUS_ABORTED and not result.success and words in result.message
    handle = world.goal(name="first")
    status, result = world.result(world.goal(name="second"))
    assert status == GoalStatus.STATUS_ABORTED and "first is being recorded" in result.message
    assert world.end(handle)[1].success and not (folder / "second").exists()


def test_a_folder_that_somebody_removed_is_made_again(world, recorder, folder):
    shutil.rmtree(folder)
    world.heard()
    assert world.end(world.goal(name="again"))[1].success and (folder / "again").is_dir()


def test_fault_27_published_is_recorded_and_dropped_at_twice_the_load(ros_domain, tmp_path):
    world = World(ros_domain)
    recorder = start_recorder(ros_domain, tmp_path, queue_bytes=100_000, reserve_bytes=1_000_000)
    try:
        world.ready(recorder)
        world.say(0)
        world.pictures.publish(CompressedImage())  # from now on it knows what number comes next
        world.heard()
        handle = world.goal(name="flood")
        picture = CompressedImage(data=array.array("B", os.urandom(20_000)))
        until, sent = time.monotonic() + 2.0, 0
        while time.monotonic() < until:
            world.say(sent)
            world.pictures.publish(picture)
            sent += 1
        time.sleep(1.0)
        world.say(sent)
        world.pictures.publish(CompressedImage())
        time.sleep(0.5)
        result = world.end(handle)[1]
        assert result.success, result.message
        facts, found = read_facts(tmp_path / "flood"), [topic for topic, _ in messages(tmp_path / "flood")]
        for topic in (JOINTS, PICTURES):
            told = facts.topics[topic]
            assert told.received == sent + 1 and told.recorded == found.count(topic)
        assert result.dropped == facts.dropped > 0, f"{sent} pairs were no load"
        assert facts.gaps == [JOINTS]
    finally:
        recorder.kill()
        recorder.wait()
        world.close()


def test_fault_26_a_full_disk_ends_an_episode_in_order_and_the_node_goes_on(ros_domain, tmp_path):
    mount = 'mount -t tmpfs -o size=6m tmpfs "$1" && shift && exec "$@"'
    words = [shutil.which("unshare") or "", "-rm", "sh", "-c", mount, "sh", str(tmp_path)]
    if not words[0] or subprocess.run([*words, "true"], capture_output=True, check=False).returncode:
        pytest.skip("This user may not mount a file system of his own.")
    sizes = {"queue_bytes": 500_000, "reserve_bytes": 2_000_000, "look_back_bytes": 0}
    world, recorder = World(ros_domain), start_recorder(ros_domain, tmp_path / "bags", before=words, **sizes)
    try:
        world.ready(recorder)
        handle = world.goal(name="full")
        noise, slowest, begun = array.array("B", os.urandom(20_000)), 0.0, time.monotonic()
        future = handle.get_result_async()
        while not future.done():
            assert time.monotonic() < begun + 30.0, "it never noticed"
            before = time.monotonic()
            world.pictures.publish(CompressedImage(data=noise))
            slowest = max(slowest, time.monotonic() - before)
            time.sleep(0.005)
        status, result = future.result().status, future.result().result
        assert status == GoalStatus.STATUS_ABORTED and result.success, (
            "it is whole, and not as long as it should be"
        )
        assert "the disk is nearly full" in result.message and result.path.endswith("/full")
        assert result.recorded > 100 and slowest < 0.1
        assert world.heard().free > 1_000_000
        told = wait(lambda: [s for m in world.diagnostics for s in m.status if s.level == DiagnosticStatus.ERROR])
        assert "nearly full" in told[-1].message
        status, result = world.result(world.goal(name="again"))
        assert status == GoalStatus.STATUS_ABORTED and "The disk is nearly full" in result.message
    finally:
        recorder.kill()
        recorder.wait()
        world.close()


@pytest.mark.parametrize("times", [1, pytest.param(20, marks=pytest.mark.soak)])
def test_fault_25_a_killed_recorder_leaves_all_but_64_kib_and_a_second(ros_domain, tmp_path, times):
    world = World(ros_domain)
    try:
        for count in range(times):
            folder = tmp_path / str(count)
            recorder = start_recorder(ros_domain, folder)
            world.ready(recorder)
            world.goal(name="killed")
            sent, begun, size = 0, time.monotonic(), 0
            while time.monotonic() < begun + 1.5 + 0.01 * count:
                size = len(world.say(sent))
                sent += 1
                time.sleep(0.005)
            recorder.kill()
            recorder.wait()
            said = []
            (file,) = folder.glob(f"killed{UNFINISHED}/*.mcap")
            found = [raw for raw in read_file(file, said.append) if raw.channel.topic == JOINTS]
            lost = sent - len(found)
            assert lost * size <= 64 << 10 and lost * 0.005 <= 1.0 and len(found) > 50
            if count + 1 < times:  # the dead one is believed to live for some time yet
                wait(lambda: not world.joints.get_subscription_count(), 30.0)
    finally:
        world.close()


@pytest.mark.parametrize(
    ("parameters", "words"),
    [
        ({"topics": "[joint_state]"}, "Did you mean 'joint_states'"),
        ({"topics": "['a:no_msgs/msg/No']"}, "no_msgs/msg/No is not installed"),
        ({"chunk_seconds": "nan"}, "chunk_seconds"),
        ({"chunk_bytes": 70_000}, "chunk_bytes"),
        ({"reserve_bytes": 2_000_000}, "reserve_bytes is 2000000; it must be twice queue_bytes"),
        ({"robot": "bob"}, "no robot 'bob'"),
    ],
)
def test_fault_31_parameters_that_cannot_be_are_refused_in_words(ros_domain, tmp_path, parameters, words):
    process = start_recorder(ros_domain, tmp_path / "bags", **parameters)
    said = process.communicate(timeout=60)[1]
    assert process.returncode == 1 and words in said and "Traceback" not in said


def test_ctrl_c_closes_the_bag(ros_domain, tmp_path):
    world, recorder = World(ros_domain), start_recorder(ros_domain, tmp_path)
    try:
        world.ready(recorder)
        world.goal(name="one")
        for number in range(10):
            world.say(number)
        time.sleep(0.3)
        recorder.send_signal(signal.SIGINT)
        assert recorder.wait(20) == 0, recorder.stderr.read()
        facts = read_facts(tmp_path / "one")
        assert facts.ended == "the recorder was told to end" and facts.topics[JOINTS].recorded == 10
    finally:
        recorder.kill()
        world.close()
