"""Messages read in columns are the messages that are read one by one."""

import random
import sys
import time
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rosbags.interfaces import Nodetype
from rosbags.typesys import Stores, get_typestore

from jack_contract.errors import JackError
from jack_contract.wire import CommandReader, StateReader, nanoseconds
from jack_trainer.imitation.bag import Bag
from jack_trainer.imitation.columns import read_columns
from jack_trainer.imitation.frames import newest, read_frames
from jack_trainer.imitation.layout import Layout, LayoutError

sys.path.insert(0, str(Path(__file__).parent))
from bags_to_read import PERIOD, ROBOT, SECOND, command, episode, imu, joints, velocity, write_bag

STORE = get_typestore(Stores.ROS2_JAZZY)
#: Of every shape: texts, arrays of fixed and of any length, messages in messages, arrays of them.
KINDS = (
    "sensor_msgs/msg/JointState",
    "sensor_msgs/msg/Imu",
    "sensor_msgs/msg/CameraInfo",
    "sensor_msgs/msg/PointCloud2",
    "tf2_msgs/msg/TFMessage",
    "nav_msgs/msg/Odometry",
    "diagnostic_msgs/msg/DiagnosticArray",
    "trajectory_msgs/msg/JointTrajectory",
    "rcl_interfaces/msg/ParameterEvent",
    "std_msgs/msg/Float32MultiArray",
    "std_msgs/msg/Empty",
)


def some(kind, chance):
    """A random message of a type."""
    return STORE.types[kind](**{name: _some(field, chance) for name, field in STORE.fielddefs[kind][1]})


def _some(field, chance):
    node, inner = field
    if node == Nodetype.NAME:
        return some(inner, chance)
    if node == Nodetype.BASE:
        return _one(inner[0], chance)
    inner, count = inner
    count = count if node == Nodetype.ARRAY else chance.choice((0, 1, 3))
    if inner[0] == Nodetype.NAME or inner[1][0] == "string":
        return [_some(inner, chance) for _ in range(count)]
    dtype = {"bool": "?", "byte": "u1", "char": "u1"}.get(inner[1][0], inner[1][0])
    return np.array([_one(inner[1][0], chance) for _ in range(count)], dtype=dtype)


def _one(kind, chance):
    if kind == "string":
        return "".join(chance.choices("aé ", k=chance.randrange(4)))
    if kind.startswith("float"):
        return float(np.float32(chance.uniform(-9, 9)))
    return bool(chance.randrange(2)) if kind == "bool" else chance.randrange(100)


def _at(message, path):
    for name in path.split("."):
        message = message[int(name)] if name.isdigit() else getattr(message, name)
    return message


@settings(max_examples=150, deadline=None)
@given(kind=st.sampled_from(KINDS), seed=st.integers(0, 10**6), little=st.booleans())
def test_every_field_is_where_the_layout_says(kind, seed, little):
    message = some(kind, random.Random(seed))
    data = bytes(STORE.serialize_cdr(message, kind, little_endian=little))
    layout = Layout.of(data, kind, STORE.fielddefs)
    for path, numbers in layout.numbers.items():
        found = np.frombuffer(data[numbers.start : numbers.end], numbers.dtype)
        assert np.array_equal(np.atleast_1d(_at(message, path)), found), path
    for path, words in layout.words.items():
        expected = _at(message, path)
        assert words == ((expected,) if isinstance(expected, str) else tuple(expected)), path


@settings(max_examples=100, deadline=None)
@given(kind=st.sampled_from(KINDS), seed=st.integers(0, 10**6), data=st.data())
def test_messages_are_alike_if_they_differ_in_numbers_only(kind, seed, data):
    whole = bytes(STORE.serialize_cdr(some(kind, random.Random(seed)), kind))
    layout = Layout.of(whole, kind, STORE.fielddefs)
    changed_ = bytearray(whole)
    place = data.draw(st.integers(4, len(whole) - 1))
    changed_[place] ^= 255
    number = any(numbers.start <= place < numbers.end for numbers in layout.numbers.values())
    first, second = layout.alike(np.frombuffer(whole + bytes(changed_), np.uint8).reshape(2, -1))
    assert first and (second or not number)
    if second:
        again = Layout.of(bytes(changed_), kind, STORE.fielddefs)
        assert (again.numbers, again.words) == (layout.numbers, layout.words)


@settings(max_examples=200, deadline=None)
@given(kind=st.sampled_from(KINDS), seed=st.integers(0, 10**6), data=st.data())
def test_broken_bytes_have_no_layout_and_cost_nothing(kind, seed, data):
    whole = bytearray(STORE.serialize_cdr(some(kind, random.Random(seed)), kind))
    for _ in range(data.draw(st.integers(0, 4))):
        whole[data.draw(st.integers(0, len(whole) - 1))] = data.draw(st.integers(0, 255))
    broken = bytes(whole[: data.draw(st.integers(0, len(whole)))])
    begun = time.monotonic()
    with suppress(LayoutError):
        layout = Layout.of(broken, kind, STORE.fielddefs)
        assert all(numbers.end <= len(broken) for numbers in layout.numbers.values())
        assert len(layout.mask) == len(broken) and all(
            0 <= start <= end <= len(broken) for start, end in layout.spans
        )
    assert time.monotonic() - begun < 1.0


def test_a_type_that_holds_itself_is_refused():
    types = {"a/msg/A": ([], [("a", (Nodetype.NAME, "a/msg/A"))])}
    with pytest.raises(LayoutError, match="without end"):
        Layout.of(b"\0\1\0\0", "a/msg/A", types)


def test_messages_that_are_laid_out_alike_become_one_block(tmp_path):
    names = list(ROBOT.joint_names)
    other = names[::-1]
    random_ = np.random.default_rng(0)
    sent = [
        joints(step, *random_.normal(size=(2, ROBOT.count)), names=other if step % 3 == 0 else names)
        for step in range(30)
    ]
    messages = [("joint_states", data, 100 + step) for step, data in enumerate(sent)]
    messages.insert(4, ("joint_states", sent[0][:40], 7))
    bag = Bag(write_bag(tmp_path / "a", messages))
    (blocks,) = read_columns(bag, ["joint_states"]).values()
    assert bag.undecodable == {"/joint_states": 1}
    assert [block.texts("name") for block in blocks] == [tuple(other), tuple(names)]
    found = {}
    for block in blocks:
        for row, time_, position in zip(block.rows, block.times, block.numbers("position"), strict=True):
            found[int(row)] = time_, position
    one_by_one = list(Bag(tmp_path / "a").read())
    assert sorted(found) == [row for row in range(31) if row != 4]
    for (time_, position), recorded in zip((found[row] for row in sorted(found)), one_by_one, strict=True):
        assert time_ == recorded.time and np.array_equal(position, recorded.message.position)


def test_texts_that_always_change_cost_a_look_each_and_no_more(tmp_path):
    names = list(ROBOT.joint_names)
    zeros = np.zeros(ROBOT.count)
    messages = [
        ("joint_states", joints(step, zeros, zeros, names=[*names[:-1], f"{step:06d}"]), step)
        for step in range(3_000)
    ]
    bag = Bag(write_bag(tmp_path / "a", messages))
    begun = time.monotonic()
    (blocks,) = read_columns(bag, ["joint_states"]).values()
    assert time.monotonic() - begun < 5.0
    assert sum(len(block.rows) for block in blocks) == 3_000
    assert [block.texts("name")[-1] for block in blocks] == [f"{step:06d}" for step in range(3_000)]


# -- moments


def one_by_one(bag):
    """What `read_frames` should give, message by message, by the readers that drive the robot."""
    found = bag.collect(["/joint_states", "/imu/data", "/joint_command", "/cmd_vel"])
    seen = {
        topic: {nanoseconds(entry.message.header.stamp): entry.message for entry in found[topic]}
        for topic in ("/joint_states", "/imu/data")
    }
    states, commands, rows = StateReader(ROBOT), CommandReader(ROBOT), []
    for entry in found["/joint_command"]:
        stamp = nanoseconds(entry.message.header.stamp)
        if entry.message.mode != 1 or any(stamp not in stamps for stamps in seen.values()):
            continue
        state = states.read(seen["/joint_states"][stamp], seen["/imu/data"][stamp])
        asked = [m.message for m in found["/cmd_vel"] if m.time <= entry.time]
        velocity_ = (asked[-1].linear.x, asked[-1].linear.y, asked[-1].angular.z) if asked else (0.0, 0.0, 0.0)
        rows.append((stamp, entry.time, state, velocity_, commands.read(entry.message).position))
    return rows


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 10**6))
def test_moments_are_those_that_the_readers_of_the_robot_see(tmp_path_factory, seed):
    chance, numbers = random.Random(seed), np.random.default_rng(seed)
    names, n = list(ROBOT.joint_names), ROBOT.count
    messages = []
    for step in range(chance.randrange(2, 40)):
        stamp, at = step * PERIOD // chance.choice((1, 2)), 10 * step
        order = chance.sample(names, n) if chance.random() < 0.2 else names
        if chance.random() < 0.9:
            effort = numbers.normal(size=n) if chance.random() < 0.5 else ()
            messages.append(
                ("joint_states", joints(stamp, *numbers.normal(size=(2, n)), names=order, effort=effort), at)
            )
        if chance.random() < 0.9:
            turn = numbers.normal(size=4)
            turn *= (1 + chance.uniform(-0.04, 0.04)) / np.linalg.norm(turn)
            messages.append(("imu/data", imu(stamp, turn, numbers.normal(size=3), numbers.normal(size=3)), at + 1))
        if chance.random() < 0.2:
            messages.append(("cmd_vel", velocity(*numbers.normal(size=3)), at + chance.randrange(8)))
        if chance.random() < 0.9:
            data = command(stamp, numbers.normal(size=n), names=order, mode=chance.choice((1, 1, 1, 0, 2)))
            messages.append(("joint_command", data, at + chance.randrange(8)))
    folder = tmp_path_factory.mktemp("bags") / "one"
    bag = Bag(write_bag(folder, messages))
    try:
        frames = read_frames(bag, ROBOT)
    except JackError as error:
        assert "nothing of" in str(error) or "no moment" in str(error)
        topics = {topic for topic, _, _ in messages}
        assert not {"joint_states", "imu/data", "joint_command"} <= topics or not one_by_one(bag)
        return
    rows = one_by_one(bag)
    assert len(frames) == len(rows)
    for index, (stamp, received, state, asked, target) in enumerate(rows):
        assert (frames.stamp[index], frames.received[index]) == (stamp, received)
        for name, value in vars(state).items():
            np.testing.assert_allclose(getattr(frames.state, name)[index], value, rtol=0, atol=1e-15)
        assert np.array_equal(frames.command[index], asked) and np.array_equal(frames.target[index], target)


def test_the_newest_is_the_last_that_is_not_later():
    times = np.array([10, 20, 20, 30])
    assert newest(times, np.array([9, 10, 19, 20, 99])).tolist() == [-1, 0, 0, 2, 3]


def changed(topic, data):
    """The messages of an episode in which the last one of a topic is another."""
    messages = list(episode(6))
    last = max(index for index, message in enumerate(messages) if message[0] == topic)
    messages[last] = (topic, data, messages[last][2])
    return messages


NAN = float("nan")
ZEROS = np.zeros(ROBOT.count)
STAMP = SECOND + 5 * PERIOD


@pytest.mark.parametrize(
    ("topic", "data", "said"),
    [
        (
            "joint_states",
            joints(STAMP, [NAN, *ZEROS[1:]], ZEROS),
            f"/joint_states: Joint position is not a finite number: {ROBOT.joint_names[0]}.",
        ),
        ("joint_states", joints(STAMP, ZEROS[1:], ZEROS), "/joint_states: Joint states have 20 values of position"),
        ("joint_states", joints(STAMP, [0], [0], ["elbow"]), "must name each joint of 'jack' once; missing: "),
        (
            "imu/data",
            imu(STAMP, angular=(0, NAN, 0)),
            "/imu/data: The imu's angular velocity is not a finite",
        ),
        ("imu/data", imu(STAMP, (0, 0, 0, 0)), "/imu/data: The imu's orientation has length 0; expected 1"),
        (
            "joint_command",
            command(STAMP, [float("inf"), *ZEROS[1:]]),
            "joint_command: A joint command has a position",
        ),
        ("joint_command", command(STAMP, [0.0], ["knee"]), "/joint_command: A joint command must name each joint"),
        ("cmd_vel", velocity(NAN, 0, 0), "/cmd_vel: A velocity that was asked for is not a finite number."),
    ],
)
def test_what_a_robot_would_refuse_is_refused_in_the_same_words(tmp_path, topic, data, said):
    with pytest.raises(JackError) as error:
        read_frames(Bag(write_bag(tmp_path / "odd", changed(topic, data))), ROBOT)
    assert said in str(error.value) and str(tmp_path / "odd") in str(error.value)


def test_what_is_missing_is_named_with_what_is_there(tmp_path):
    some_ = [message for message in episode() if message[0] in ("imu/data", "cmd_vel")]
    with pytest.raises(JackError, match=r"nothing of joint_states; what is in it: /cmd_vel, /imu/data"):
        read_frames(Bag(write_bag(tmp_path / "a", some_)), ROBOT)
    late = [message for message in episode() if message[0] != "imu/data"]
    late.append(("imu/data", imu(5), 5))
    with pytest.raises(JackError, match="no moment at which a policy commanded 'jack'"):
        read_frames(Bag(write_bag(tmp_path / "b", late)), ROBOT)
    odd = {"joint_states": "sensor_msgs/msg/Imu"}
    strange = [(topic, imu(5) if topic == "joint_states" else data, at) for topic, data, at in episode()]
    with pytest.raises(JackError, match=r"/joint_states is a sensor_msgs/msg/Imu without .*name"):
        read_frames(Bag(write_bag(tmp_path / "c", strange, kinds=odd)), ROBOT)


def test_a_robot_in_a_namespace_is_found_and_two_are_one_too_many(tmp_path):
    assert len(read_frames(Bag(write_bag(tmp_path / "a", episode(4), space="/left")), ROBOT)) == 4
    write_bag(tmp_path / "b", episode(4), space="/right")
    write_bag(tmp_path / "c", episode(4), space="/left")
    (tmp_path / "b" / "b_0.mcap").rename(tmp_path / "c" / "c_1.mcap")
    with pytest.raises(JackError, match="joint_states of several robots: /left/joint_states, /right/joint_states"):
        read_frames(Bag(tmp_path / "c"), ROBOT)
