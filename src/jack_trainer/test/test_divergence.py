import functools
import importlib
import io
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console
from rosbags.rosbag2 import StoragePlugin, Writer
from rosbags.typesys import Stores, get_types_from_msg, get_typestore
from scipy.spatial.transform import Rotation

from jack_brain.policy import Policy
from jack_contract.contract import default_contract
from jack_contract.errors import JackError
from jack_contract.gait import Rhythm
from jack_contract.observation import History, encode_command
from jack_contract.wire import NANOSECONDS
from jack_sim.physics import World
from jack_sim.scene import SceneOptions
from jack_trainer.cli import parse
from jack_trainer.divergence import mistakes
from jack_trainer.divergence.comparison import KINDS, Comparison, first_parting
from jack_trainer.divergence.diff import diff
from jack_trainer.divergence.report import save_picture, show
from jack_trainer.imitation.bag import BagError

OURS = Path(__file__).resolve().parents[2] / "jack_msgs" / "msg" / "JointCommand.msg"
#: Shipped once (c0f6616). When and by what a fault shows depends on the gait, so the flights are always this one's.
WALKER = Path(__file__).with_name("walker.onnx")
PERIOD = 0.02
#: Faults begin in this part of a flight, where they show most.
MIDDLE = slice(150, 220)
ROBOT = default_contract().robot


def joint(name):
    return ROBOT.index(name)


@dataclass
class Flight:
    """What the topics would carry, a row for each control period."""

    time: np.ndarray
    position: np.ndarray
    velocity: np.ndarray
    orientation: np.ndarray
    gyro: np.ndarray
    acceleration: np.ndarray
    target: np.ndarray
    where: np.ndarray
    turn: np.ndarray
    speed: np.ndarray
    joint_stamp: np.ndarray
    imu_stamp: np.ndarray
    odom_stamp: np.ndarray


def fly(count=300, rewired=lambda index, targets: targets, meanwhile=lambda index, world: None):
    """Let Jack walk.

    `rewired` is what reaches his motors of the targets, `meanwhile` what happens to him.
    """
    contract, world = default_contract(), World(SceneOptions(visuals=False, gantry=True), PERIOD)
    policy = Policy.load(WALKER, contract)
    robot, gait, history = contract.robot, contract.gait, History(contract.observation)
    rhythm, action, rows = Rhythm.at_rest(), np.zeros(robot.count), []
    for index in range(count):
        meanwhile(index, world)
        state, truth = world.state(), world.odometry()
        frames = history.push(contract.observation.encode(robot, state, action, gait.signal(rhythm)))
        action = policy.act(frames, encode_command(rhythm.pace)).astype(np.float64)
        targets = contract.action.targets(robot, action, gait.offsets(robot, rhythm))
        rhythm = gait.advance(rhythm, np.array([0.5, 0.0, 0.2]) * (index > 25), PERIOD)
        rows.append(
            (
                *(state.time, state.joint_position, state.joint_velocity, state.orientation),
                *(state.angular_velocity, state.linear_acceleration, targets),
                *(truth.position, truth.orientation, truth.linear_velocity),
            )
        )
        world.command(rewired(index, targets), robot.stiffness, robot.damping)
        world.step()
    assert not world.fallen
    columns = [np.array(column) for column in zip(*rows, strict=True)]
    return Flight(*columns, *(columns[0].copy() for _ in range(3)))


@pytest.fixture(scope="module")
def flight():
    return fly()


@pytest.fixture(scope="session")
def types():
    store = get_typestore(Stores.ROS2_JAZZY)
    store.register(get_types_from_msg(OURS.read_text(), "jack_msgs/msg/JointCommand"))
    return store


@pytest.fixture
def record(tmp_path, types) -> Callable[..., Path]:
    """Writes a flight as a bag, as ros2 bag would have."""
    make = types.types
    point, quaternion, vector = (make[f"geometry_msgs/msg/{n}"] for n in ("Point", "Quaternion", "Vector3"))
    names = list(ROBOT.joint_names)

    def header(time):
        sec, nanosec = divmod(round(time * NANOSECONDS), NANOSECONDS)
        return make["std_msgs/msg/Header"](make["builtin_interfaces/msg/Time"](sec, nanosec), "")

    def messages(f, k, odom):
        unknown, n = np.zeros(9), ROBOT.count
        yield (
            "/imu/data",
            make["sensor_msgs/msg/Imu"](
                header(f.imu_stamp[k]),
                *(quaternion(*f.orientation[k].tolist()), unknown, vector(*f.gyro[k].tolist()), unknown),
                *(vector(*f.acceleration[k].tolist()), unknown),
            ),
        )
        stamp = header(f.joint_stamp[k])
        yield (
            "/joint_states",
            make["sensor_msgs/msg/JointState"](stamp, names, f.position[k], f.velocity[k], np.zeros(n)),
        )
        if odom:
            pose = make["geometry_msgs/msg/Pose"](point(*f.where[k].tolist()), quaternion(*f.turn[k].tolist()))
            twist = make["geometry_msgs/msg/Twist"](vector(*f.speed[k].tolist()), vector(0.0, 0.0, 0.0))
            yield (
                "/odom",
                make["nav_msgs/msg/Odometry"](
                    header(f.odom_stamp[k]),
                    "base_link",
                    make["geometry_msgs/msg/PoseWithCovariance"](pose, np.zeros(36)),
                    make["geometry_msgs/msg/TwistWithCovariance"](twist, np.zeros(36)),
                ),
            )
        gains = np.array(ROBOT.stiffness), np.array(ROBOT.damping)
        yield "/joint_command", make["jack_msgs/msg/JointCommand"](stamp, 1, 1, names, f.target[k], *gains)

    def write(f, odom=True, plugin=StoragePlugin.MCAP, prefix="", slow=()):
        path = tmp_path / "walk"
        with Writer(path, version=9, storage_plugin=plugin) as writer:
            connections = {}
            for k in range(len(f.time)):
                for order, (topic, message) in enumerate(messages(f, k, odom)):
                    kind = message.__msgtype__
                    if topic not in connections:
                        connections[topic] = writer.add_connection(prefix + topic, kind, typestore=types)
                    when = round(f.time[k] * NANOSECONDS) + 100_000 * order
                    if topic == "/joint_command" and k in slow:  # answered after the last of them
                        when = round(f.time[slow[-1] + 1] * NANOSECONDS) + 1_000 * k
                    writer.write(connections[topic], when, types.serialize_cdr(message, kind))
        return path

    return write


def told(result):
    console = Console(file=io.StringIO(), width=140)
    show(result, None, console)
    return console.file.getvalue()


# -- a clean recording


@pytest.mark.parametrize("odom", [True, False])
def test_a_clean_walk_parts_nowhere(flight, record, odom):
    result = diff(record(flight, odom))
    assert result.finding is None, str(result)
    assert str(result) == "Nothing parts: 300 pairs of readings, 6.0 s, agree on both paths."
    assert [c.kind.name for c in result.comparisons] == list(KINDS)
    assert ("Without odom" in told(result)) == (not odom)
    response = result.comparisons[-1]
    assert response.known.sum() == 299
    if odom:  # the same physics from the same states
        assert response.error.max() < 1e-6


def test_a_clean_walk_in_a_database_and_a_namespace_parts_nowhere(flight, record):
    path = record(flight, plugin=StoragePlugin.SQLITE3, prefix="/left/jack")
    assert diff(path, "left/jack").finding is None
    with pytest.raises(
        BagError, match=r"no messages of /joint_states and /imu/data; it has: /left/jack/imu/data, "
    ):
        diff(path)


def test_the_noise_that_he_is_trained_with_is_no_divergence(flight, record):
    random = np.random.default_rng(5)

    def noisy(values, most):
        return values + random.uniform(-most, most, values.shape)

    tilt = Rotation.from_rotvec(random.uniform(-0.02, 0.02, (len(flight.time), 3)))
    sensed = replace(
        flight,
        position=noisy(flight.position, 0.01),
        velocity=noisy(flight.velocity, 0.5),
        gyro=noisy(flight.gyro, 0.2),
        orientation=(Rotation.from_quat(flight.orientation) * tilt).as_quat(),
    )
    assert diff(record(sensed)).finding is None


@pytest.mark.parametrize("odom", [True, False])
def test_a_gantry_and_a_push_are_no_divergence(record, odom):
    def meanwhile(index, world):
        if index == 0:
            world.reset(seed=1, held=True)
        elif index == 50:
            world.gantry.lower()
        elif index in (250, 300):
            assert world.gantry.mode == "released"
            world.push(np.array([0.4, 0.4, 0.0]))

    assert diff(record(fly(350, meanwhile=meanwhile), odom)).finding is None


def test_a_gap_is_no_divergence(flight, record):
    gap = np.r_[0:100, 130:300]
    with_gap = Flight(**{name: values[gap] for name, values in vars(flight).items()})
    result = diff(record(with_gap))
    assert result.finding is None and len(result.times) == 270


# -- one fault each


def swapped(*names):
    """Columns of two joints exchanged."""
    first, second = map(joint, names)

    def swap(values):
        values = values.copy()
        values[:, [first, second]] = values[:, [second, first]]
        return values

    return swap


def of(name, change):
    """A change of one joint's column."""

    def only(values):
        values = values.copy()
        values[:, joint(name)] = change(values[:, joint(name)])
        return values

    return only


def late(values, periods=2):
    return np.concatenate((np.repeat(values[:1], periods, axis=0), values[:-periods]))


def mounted(turn):
    """An imu whose axes are the rows of a rotation in the body."""
    rotation = Rotation.from_matrix(turn)
    return {
        "orientation": lambda q: (Rotation.from_quat(q) * rotation.inv()).as_quat(),
        "gyro": rotation.apply,
        "acceleration": rotation.apply,
    }


def slope(values):
    """What a fault of positions shows in: the speed they give."""
    return np.abs(np.gradient(values, PERIOD, axis=0))


@dataclass(frozen=True)
class Fault:
    """A mistake, from some moment on."""

    #: by column of a flight
    changes: dict
    #: how it is to be named: term, joints or axes of which it is one, words of the cause
    term: str
    labels: tuple
    cause: str
    #: whether it is found without odom, too
    blind: bool = True
    #: control periods until it shows: what is but a little wrong is told from noise by that it stays so
    shows_after: int = 2


KNEES = ("left_knee", "right_knee")
AXES = ("x", "y", "z")
FAULTS = {
    "order of positions": Fault(
        {"position": swapped("left_knee", "right_knee")},
        *("joint_velocity", KNEES, "the positions of left_knee and right_knee are swapped"),
    ),
    "order of positions in one leg": Fault(
        {"position": swapped("left_hip_pitch", "left_hip_roll")},
        *("joint_velocity", ("left_hip_pitch", "left_hip_roll")),
        "the positions of left_hip_pitch and left_hip_roll are swapped",
    ),
    "sign of a velocity": Fault(
        {"velocity": of("left_knee", lambda x: -x)},
        *("joint_velocity", ("left_knee",), "the sign of left_knee's velocity is turned"),
    ),
    "sign of a position": Fault(
        {"position": of("left_hip_pitch", lambda x: -x)},
        *("joint_velocity", ("left_hip_pitch",), "the sign of left_hip_pitch's position is turned"),
    ),
    "degrees": Fault(
        {"position": np.degrees, "velocity": np.degrees},
        *("joint_position", ROBOT.joint_names, "positions and velocities are in degrees"),
    ),
    "velocity in degrees": Fault(
        {"velocity": np.degrees},
        *("joint_velocity", ROBOT.joint_names, "velocities are in degrees per second"),
    ),
    "offset": Fault(
        {"position": of("left_elbow", lambda x: x + 0.1)},
        *("response", ("left_elbow",), "left_elbow's position is off by +0.10 rad"),
        blind=False,
    ),
    "still position": Fault(
        {"position": of("left_knee", lambda x: 0 * x + 0.6)},
        *("joint_velocity", ("left_knee",), "the position of left_knee stands still"),
    ),
    "late velocities": Fault(
        {"velocity": late},
        *("joint_velocity", ROBOT.joint_names, "the velocities are 2 control periods late"),
    ),
    "quaternion order": Fault(
        {"orientation": lambda q: np.roll(q, 1, axis=-1)},
        *("projected_gravity", AXES, "the quaternion is w x y z instead of x y z w"),
        blind=False,
    ),
    "gyro axes": Fault(
        {"gyro": lambda w: w[:, [1, 0, 2]]},
        *("angular_velocity", ("x", "y"), "angular_velocity is (y, x, z) instead of (x, y, z)"),
    ),
    "gyro in degrees": Fault(
        {"gyro": np.degrees}, "angular_velocity", AXES, "angular_velocity is in degrees per second"
    ),
    "imu upside down": Fault(
        mounted(np.diag([1.0, -1.0, -1.0])),
        *("projected_gravity", ("z",), "the imu is mounted turned by 180 degrees about x"),
        blind=False,
    ),
    "imu turned round": Fault(
        mounted(np.diag([-1.0, -1.0, 1.0])),
        *("projected_gravity", ("x", "y"), "the imu is mounted turned by 180 degrees about z"),
        blind=False,
    ),
    "late imu": Fault(
        {"orientation": late, "gyro": late, "acceleration": late},
        *("angular_velocity", AXES, "what imu/data says is 2 control periods late"),
        blind=False,
        shows_after=20,
    ),
}
#: What of a flight shows that a term is wrong.
SHOWS = {
    "joint_position": ("position", lambda x: x),
    "joint_velocity": ("velocity", lambda x: x),
    "angular_velocity": ("gyro", lambda x: x),
    "projected_gravity": ("orientation", lambda x: x),
    "response": ("position", lambda x: x),
}


def broken(flight, fault):
    """The flight with a fault, and the row from which on it has it: where it shows most."""
    column, look = SHOWS[fault.term]
    if column not in fault.changes:
        column, look = "position", slope
    wrong = fault.changes[column](getattr(flight, column))
    shown = np.abs(look(wrong) - look(getattr(flight, column))).max(axis=1)
    begin = MIDDLE.start + int(shown[MIDDLE].argmax())
    columns = {}
    for name, change in fault.changes.items():
        whole = getattr(flight, name)
        columns[name] = np.concatenate((whole[:begin], change(whole)[begin:]))
    return replace(flight, **columns), begin


@pytest.mark.parametrize(
    ("name", "odom"), [(name, odom) for name in FAULTS for odom in (True, False) if odom or FAULTS[name].blind]
)
def test_a_fault_is_named(flight, record, name, odom):
    fault = FAULTS[name]
    wrong, begin = broken(flight, fault)
    finding = diff(record(wrong, odom)).finding
    assert finding is not None
    assert (finding.term, finding.cause) == (fault.term, fault.cause), str(finding)
    assert finding.label in fault.labels
    assert abs(finding.since - begin * PERIOD) <= 2 * PERIOD + 1e-9, (str(finding), begin * PERIOD)
    assert finding.time - begin * PERIOD <= fault.shows_after * PERIOD + 1e-9, (str(finding), begin * PERIOD)


@pytest.mark.parametrize("odom", [True, False])
def test_a_scale_is_told_to_a_tenth(flight, record, odom):
    knee = of("left_knee", lambda x: 2.5 * x)
    fault = Fault({"velocity": knee}, "joint_velocity", ("left_knee",), "")
    wrong, begin = broken(flight, fault)
    finding = diff(record(wrong, odom)).finding
    assert finding is not None and abs(finding.time - begin * PERIOD) <= 2 * PERIOD + 1e-9
    words = re.fullmatch(r"left_knee's velocity is ([\d.]+) times what it should be", finding.cause)
    assert words and float(words[1]) == pytest.approx(2.5, rel=0.1)


def test_commands_that_reach_another_joint_are_named(record):
    elbows = swapped("left_shoulder_pitch", "right_shoulder_pitch")
    wrong = fly(rewired=lambda index, targets: elbows(targets[None])[0] if index >= 160 else targets)
    finding = diff(record(wrong)).finding
    assert finding is not None and finding.term == "response"
    assert finding.cause == "the commands of left_shoulder_pitch and right_shoulder_pitch are swapped"
    # A command shows in the velocities of the next period; the arms are apart enough a little later.
    assert 0.0 <= finding.time - 160 * PERIOD <= 5 * PERIOD


def test_commands_that_come_late_are_named(record):
    before = []

    def delayed(index, targets):
        before.append(targets)
        return before[-2] if index >= 160 else targets

    finding = diff(record(fly(rewired=delayed))).finding
    assert finding is not None
    assert (finding.term, finding.cause) == ("response", "joint_command takes effect one control period late")
    assert 0.0 <= finding.time - 160 * PERIOD <= 5 * PERIOD


def test_odom_that_comes_late_is_not_taken_for_an_imu_in_a_hurry(flight, record):
    wrong = replace(flight, where=late(flight.where), turn=late(flight.turn), speed=late(flight.speed))
    finding = diff(record(wrong)).finding
    assert finding is not None and finding.cause == "what odom says is 2 control periods late"


def test_odom_that_comes_seldom_is_not_believed(flight, record):
    seldom = np.where(np.arange(len(flight.time)) % 2, np.roll(flight.time, 1), flight.time)  # each stamp twice
    assert "Without odom" in told(diff(record(replace(flight, odom_stamp=seldom))))


def test_commands_that_come_after_the_next_readings_are_told_and_no_fault(record):
    """The brain is slow for a while: meanwhile its last command is obeyed, and the bag shows when each one came."""
    given = []

    def slow(index, targets):
        given.append(targets)
        return given[159] if 160 <= index < 165 else targets

    result = diff(record(fly(rewired=slow), slow=range(160, 165)))
    assert result.finding is None and "5 of 300 commands came after the next readings" in told(result)


def test_motors_that_no_command_reaches_are_named(record):
    def meanwhile(index, world):
        if index == 0:
            world.reset(seed=1, held=True)

    wrong = fly(150, lambda index, targets: ROBOT.default_position, meanwhile)
    finding = diff(record(wrong)).finding
    assert finding is not None and finding.term == "response"
    assert finding.cause == "joint_command does not reach the motors, which keep the default pose"


@pytest.mark.parametrize(("column", "topic"), [("joint_stamp", "joint_states"), ("imu_stamp", "imu/data")])
def test_frozen_stamps_are_named(flight, record, column, topic):
    stamps = getattr(flight, column).copy()
    stamps[170:] = stamps[169]
    finding = diff(record(replace(flight, **{column: stamps}))).finding
    assert finding is not None and (finding.term, finding.label) == (topic, "")
    assert "the stamps stand still" in finding.cause
    assert abs(finding.time - 170 * PERIOD) <= 2 * PERIOD


def test_stamps_of_another_time_are_named(flight, record):
    stamps = flight.imu_stamp.copy()
    stamps[170:] -= 2 * PERIOD
    finding = diff(record(replace(flight, imu_stamp=stamps))).finding
    assert finding is not None and finding.term == "imu/data"
    assert finding.cause.startswith("its stamps are 2.0 control periods behind those of joint_states")
    assert abs(finding.time - 170 * PERIOD) <= 2 * PERIOD


def test_stamps_that_never_fit_are_named_although_nothing_can_be_compared(flight, record):
    result = diff(record(replace(flight, imu_stamp=flight.imu_stamp + 5.0)))
    assert result.finding is not None and result.finding.time == 0.0
    assert "250.0 control periods ahead of" in str(result) and "SHA-256" in told(result)


def test_readings_that_are_only_sent_again_are_no_fault(flight, record):
    again = np.repeat(np.arange(len(flight.time)), np.where(np.arange(len(flight.time)) == 3, 40, 1))
    repeated = Flight(**{name: values[again] for name, values in vars(flight).items()})
    assert diff(record(repeated)).finding is None


def test_readings_that_the_brain_refuses_are_counted(flight, record):
    gyro = flight.gyro.copy()
    gyro[50:60] = np.nan
    result = diff(record(replace(flight, gyro=gyro)))
    assert result.finding is None and "would have refused 10 messages: The imu's angular velocity" in told(result)
    with pytest.raises(BagError, match="belong together: The imu's angular velocity is not a finite number"):
        (result.bag.path / "walk.mcap").unlink()
        result.bag.path.joinpath("metadata.yaml").unlink()
        result.bag.path.rmdir()
        diff(record(replace(flight, gyro=gyro * np.nan)))


# -- the live graph


def overhear(topics, seconds):
    """What is sent on some topics, raw, once the last of them is heard, with when it came [ns]."""
    import rclpy
    from rclpy.executors import SingleThreadedExecutor
    from rclpy.qos import QoSProfile, ReliabilityPolicy

    heard, context = [], rclpy.Context()
    rclpy.init(context=context)
    node = rclpy.create_node("overhearer", context=context)
    quality = QoSProfile(depth=500, reliability=ReliabilityPolicy.BEST_EFFORT)
    for topic, kind in topics.items():
        keep = functools.partial(lambda topic, data: heard.append((topic, time.time_ns(), bytes(data))), topic)
        package, _, name = kind.split("/")
        message = getattr(importlib.import_module(f"{package}.msg"), name)
        node.create_subscription(message, topic, keep, quality, raw=True)
    executor = SingleThreadedExecutor(context=context)
    executor.add_node(node)
    deadline, begun = time.monotonic() + 60.0, None
    while time.monotonic() < deadline and (begun is None or time.monotonic() < begun + seconds):
        executor.spin_once(timeout_sec=0.1)
        if begun is None and {topic for topic, _, _ in heard} == set(topics):
            begun = time.monotonic()
    node.destroy_node()
    rclpy.try_shutdown(context=context)
    return heard


@pytest.mark.ros
@pytest.mark.slow
def test_a_live_jack_parts_nowhere(ros_domain, tmp_path, types):
    pytest.importorskip("rclpy", reason="needs ROS 2: ./jack test has it")
    command = [sys.executable, "-m", "jack_trainer.cli", "deploy", "--sim", "--no-driver", "--policy", "pretrained"]
    command += ["--gantry", "never", "--walk", "0.5", "0", "0", "--runs", str(tmp_path)]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    topics = {
        "/joint_states": "sensor_msgs/msg/JointState",
        "/imu/data": "sensor_msgs/msg/Imu",
        "/odom": "nav_msgs/msg/Odometry",
        "/joint_command": "jack_msgs/msg/JointCommand",
    }
    try:
        heard = overhear(topics, 6.0)
    finally:
        process.send_signal(signal.SIGINT)
        process.wait(30)
    with Writer(tmp_path / "live", version=9, storage_plugin=StoragePlugin.MCAP) as writer:
        connections = {topic: writer.add_connection(topic, kind, typestore=types) for topic, kind in topics.items()}
        for topic, when, data in heard:
            writer.write(connections[topic], when, data)
    result = diff(tmp_path / "live")
    assert result.finding is None, told(result)
    assert len(result.times) > 100 and result.comparisons[-1].known.sum() > 100


# -- how it is told


def test_the_verdict_is_one_sentence_with_both_values(flight, record):
    wrong, begin = broken(flight, FAULTS["sign of a velocity"])
    result = diff(record(wrong))
    recorded, position = wrong.velocity[begin, joint("left_knee")], flight.velocity[begin, joint("left_knee")]
    assert abs(recorded) > 4.0 and recorded == -position
    assert str(result).startswith(f"joint_velocity of left_knee parts at {result.finding.time:.2f} s: recorded ")
    assert "rad/s, from positions " in str(result)
    shown = told(result)
    for words in ("joint_velocity [rad/s]", "projected_gravity", "parts at", str(result.finding.time)):
        assert words in shown


def test_the_command_ends_with_whether_anything_parts_and_draws_it(flight, record, capsys):
    wrong, _ = broken(flight, FAULTS["sign of a velocity"])
    path = record(wrong)
    assert parse(["diff", str(path), "--no-picture"]).run() == 1
    picture = path.with_name("walk.diff.png")
    assert not picture.exists()
    assert parse(["diff", str(path)]).run() == 1
    said = "".join(capsys.readouterr().out.split())  # a long path is broken over two lines
    assert picture.read_bytes().startswith(b"\x89PNG") and "walk.diff.png" in said
    assert [file.name for file in path.parent.iterdir() if file.suffix == ".part"] == []
    with pytest.raises(JackError, match="is no bag"):
        parse(["diff", str(path.parent / "nothing")]).run()


def test_a_clean_bag_ends_with_0_and_draws_nothing(flight, record, capsys):
    path = record(flight)
    assert parse(["diff", str(path)]).run() == 0
    assert "Nothing parts" in capsys.readouterr().out and not list(path.parent.glob("*.png"))
    assert save_picture(diff(path)) is None


# -- its parts


def comparison(error, name="joint_velocity"):
    """One column that is apart by so many tolerances of 0.5."""
    recorded = 0.5 * np.array(error, float)[:, None]
    everywhere = np.ones(len(recorded), bool)
    return Comparison(KINDS[name], ("a",), recorded, 0 * recorded, np.full(recorded.shape, 0.5), everywhere)


def test_paths_part_only_where_they_stay_apart():
    assert first_parting([comparison([0] * 5 + [9] * 4 + [0] * 20)]) is None  # 4 of 10: a foot hit the ground
    parting = first_parting([comparison([0] * 5 + [9] * 5 + [0] * 20)])
    assert parting is not None and (parting.index, parting.label) == (5, "a")
    parting = first_parting([comparison([0] * 5 + [2, 0] * 5 + [0] * 20)])
    assert parting is not None and parting.index == 5
    assert first_parting([comparison([0] * 5 + [-0.99] * 20)]) is None


def test_what_explains_the_others_is_named_where_they_part_together():
    early, later = comparison([0] * 5 + [9] * 25, "response"), comparison([0] * 9 + [9] * 21)
    parting = first_parting([later, early])
    assert parting is not None and parting.comparison is later
    much_later = comparison([0] * 16 + [9] * 14)
    parting = first_parting([much_later, early])
    assert parting is not None and parting.comparison is early


def test_what_the_simulator_cannot_follow_is_apart_and_what_is_unknown_is_not():
    apart = comparison([0] * 10)
    nothing = np.full((10, 1), np.nan)
    assert np.isinf(replace(apart, expected=nothing).error).all()
    assert (replace(apart, expected=nothing, known=np.zeros(10, bool)).error == 0).all()


def test_every_way_to_mount_an_imu_has_a_name_of_its_own():
    words = [mistake.words for mistake in mistakes.of_the_imu()]
    assert len(words) == len(set(words))
    assert sum(word.startswith("the imu is mounted") for word in words) == 23  # rotations of a cube, but one
    assert sum("instead of (x, y, z)" in word for word in words) == 47


def test_the_table_of_mistakes_undoes_what_it_names():
    names = ("left_knee", "right_knee")
    found = {m.words for m in mistakes.of_two_joints((joint(names[0]), joint(names[1])), names)}
    assert "the gains of left_knee and right_knee are swapped" in found and len(found) == 6
    late_ones = [m.words for m in mistakes.of_all_joints(ROBOT) if "late" in m.words]
    assert "joint_command takes effect one control period late" in late_ones
    assert len(late_ones) == 4 * mistakes.LATEST
