from array import array
from types import SimpleNamespace as Message

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from jack_contract.errors import MessageError, NonFiniteError
from jack_contract.state import RobotState
from jack_contract.testing import sample_robot, sample_state
from jack_contract.wire import (
    CommandReader,
    StateReader,
    fill_imu,
    fill_joint_command,
    fill_joint_state,
    fill_stamp,
    nanoseconds,
    seconds,
)

ROBOT = sample_robot()


def stamp(time: float = 0.0) -> Message:
    message = Message(sec=0, nanosec=0)
    fill_stamp(message, time)
    return message


def messages(state: RobotState) -> tuple[Message, Message]:
    header = Message(stamp=stamp(float(state.time)))
    joint_state = Message(header=header, name=[], position=[], velocity=[], effort=[])
    vectors = {name: Message() for name in ("orientation", "angular_velocity", "linear_acceleration")}
    imu = Message(header=header, **vectors)
    fill_joint_state(joint_state, ROBOT, state)
    fill_imu(imu, state)
    return joint_state, imu


@pytest.fixture
def state() -> RobotState:
    state = sample_state(ROBOT, np.random.default_rng(0))
    state.time = np.round(state.time, 9)
    return state


def assert_same(ours: RobotState, theirs: RobotState) -> None:
    for name, value in vars(ours).items():
        np.testing.assert_allclose(value, getattr(theirs, name), rtol=1e-15, atol=0, err_msg=name)
        assert np.shape(value) == np.shape(getattr(theirs, name))


def test_a_state_survives_the_wire(state):
    assert_same(StateReader(ROBOT).read(*messages(state)), state)


@given(st.permutations(range(ROBOT.count)), st.integers(0, 3))
def test_joints_are_matched_by_name_in_whatever_order(order, strangers):
    state = sample_state(ROBOT, np.random.default_rng(1))
    joint_state, imu = messages(state)
    joint_state.name = [f"gripper_{i}" for i in range(strangers)] + [joint_state.name[i] for i in order]
    for field in ("position", "velocity", "effort"):
        values = list(getattr(joint_state, field))
        setattr(joint_state, field, array("d", [9.0] * strangers + [values[i] for i in order]))
    reader = StateReader(ROBOT)
    for _ in range(2):  # the second time from memory
        assert np.array_equal(reader.read(joint_state, imu).joint_velocity, state.joint_velocity)


def test_a_sender_may_change_its_order(state):
    reader, (first, imu) = StateReader(ROBOT), messages(state)
    second, _ = messages(state)
    for field in ("name", "position", "velocity", "effort"):
        setattr(second, field, list(getattr(second, field))[::-1])
    for message in (first, second, first):
        assert np.array_equal(reader.read(message, imu).joint_position, state.joint_position)


def test_efforts_may_be_left_out(state):
    joint_state, imu = messages(state)
    joint_state.effort = array("d")
    assert np.array_equal(StateReader(ROBOT).read(joint_state, imu).joint_effort, np.zeros(ROBOT.count))


def test_a_missing_joint_is_named_and_nothing_is_learnt_from_it(state):
    joint_state, imu = messages(state)
    good = list(joint_state.name)
    joint_state.name = [*good[:-1], "tail"]
    reader = StateReader(ROBOT)
    with pytest.raises(MessageError, match=f"missing: {good[-1]}; twice: none"):
        reader.read(joint_state, imu)
    joint_state.name = [*good[:-1], good[0]]
    with pytest.raises(MessageError, match=f"missing: {good[-1]}; twice: {good[0]}"):
        reader.read(joint_state, imu)
    joint_state.name = good
    assert_same(reader.read(joint_state, imu), state)


@pytest.mark.parametrize("field", ["position", "velocity", "effort"])
@pytest.mark.parametrize("count", [1, ROBOT.count - 1, ROBOT.count + 1])
def test_arrays_of_another_length_are_refused(state, field, count):
    joint_state, imu = messages(state)
    setattr(joint_state, field, array("d", [0.0] * count))
    with pytest.raises(MessageError, match=f"{count} values of {field} for {ROBOT.count} names"):
        StateReader(ROBOT).read(joint_state, imu)


def test_positions_must_not_be_left_out(state):
    joint_state, imu = messages(state)
    joint_state.position = array("d")
    with pytest.raises(MessageError, match="0 values of position"):
        StateReader(ROBOT).read(joint_state, imu)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("field", ["position", "velocity", "effort"])
@pytest.mark.parametrize("index", [0, 7, ROBOT.count - 1])
def test_a_joint_reading_that_is_no_number_is_named(state, field, bad, index):
    joint_state, imu = messages(state)
    getattr(joint_state, field)[index] = bad
    with pytest.raises(NonFiniteError, match=f"{field} is not a finite number: {ROBOT.joint_names[index]}"):
        StateReader(ROBOT).read(joint_state, imu)


@pytest.mark.parametrize("bad", [np.nan, np.inf])
@pytest.mark.parametrize("field", ["orientation", "angular_velocity", "linear_acceleration"])
@pytest.mark.parametrize("axis", "xyz")
def test_an_imu_reading_that_is_no_number_is_named(state, field, axis, bad):
    joint_state, imu = messages(state)
    setattr(getattr(imu, field), axis, bad)
    with pytest.raises(NonFiniteError, match=field.replace("_", " ")):
        StateReader(ROBOT).read(joint_state, imu)


@pytest.mark.parametrize("quaternion", [(0, 0, 0, 0), (0, 0, 0, 2), (1, 1, 0, 0)])
def test_an_orientation_that_is_none_is_refused(state, quaternion):
    joint_state, imu = messages(state)
    imu.orientation = Message(**dict(zip("xyzw", quaternion, strict=True)))
    with pytest.raises(MessageError, match="unit quaternion"):
        StateReader(ROBOT).read(joint_state, imu)


def test_an_orientation_that_is_nearly_one_is_normalised(state):
    joint_state, imu = messages(state)
    imu.orientation = Message(x=0.0, y=0.0, z=0.0, w=1.01)
    assert StateReader(ROBOT).read(joint_state, imu).orientation.tolist() == [0, 0, 0, 1]


@given(st.integers(0, 2**31 - 1), st.integers(0, 999_999_999))
def test_stamps_are_exact_in_nanoseconds(sec, nanosec):
    assert nanoseconds(Message(sec=sec, nanosec=nanosec)) == sec * 10**9 + nanosec


@given(st.integers(0, 10**7), st.integers(0, 999_999_999))
def test_a_simulated_time_survives_the_wire_to_the_nanosecond(sec, nanosec):
    """Doubles keep nanoseconds for times up to some months; a wall clock's are for comparing only."""
    message = Message(sec=sec, nanosec=nanosec)
    again = stamp(seconds(message))
    assert abs(nanoseconds(again) - nanoseconds(message)) <= 1


@pytest.mark.parametrize(("time", "expected"), [(0.0, (0, 0)), (1.5, (1, 500_000_000)), (0.9999999999, (1, 0))])
def test_stamps_by_hand(time, expected):
    message = stamp(time)
    assert (message.sec, message.nanosec) == expected


def test_a_command_carries_the_joints_in_the_robots_order():
    message = Message(name=[])
    arrays = [np.linspace(0, 1, ROBOT.count) + k for k in range(3)]
    fill_joint_command(message, ROBOT, 1, *arrays, session=2**64 - 1)
    assert tuple(message.name) == ROBOT.joint_names
    assert (message.mode, message.session) == (1, 2**64 - 1)
    assert [list(message.position), list(message.stiffness), list(message.damping)] == [a.tolist() for a in arrays]
    assert message.position.typecode == "d"
    names = message.name
    fill_joint_command(message, ROBOT, 2, *arrays)
    assert message.name is names  # not written again
    assert message.session == 0


def test_float32_and_strided_arrays_are_sent_right(state):
    state.joint_position = np.repeat(state.joint_position.astype(np.float32), 2)[::2]
    joint_state, _ = messages(state)
    assert list(joint_state.position) == state.joint_position.tolist()


# -- commands, as they come from outside


def command(**changes):
    n = ROBOT.count
    given = {"name": list(ROBOT.joint_names), "position": [0.1 * i for i in range(n)]}
    given |= {"stiffness": [40.0 + i for i in range(n)], "damping": [2.0 + i for i in range(n)]}
    return Message(**(given | changes))


@given(st.permutations(range(ROBOT.count)))
def test_any_order_of_names_reaches_the_same_joints(order):
    straight, reader = command(), CommandReader(ROBOT)
    mixed = Message(**{field: [getattr(straight, field)[i] for i in order] for field in vars(straight)})
    for message in (straight, mixed, straight):
        targets = reader.read(message)
        for field in ("position", "stiffness", "damping"):
            assert getattr(targets, field).tolist() == getattr(straight, field)


@pytest.mark.parametrize(
    ("names", "words"),
    [
        ([*ROBOT.joint_names[:-1], "tail"], "missing: right_elbow, unknown: tail"),
        (ROBOT.joint_names[:-1], "missing: right_elbow, unknown: none"),
        ([*ROBOT.joint_names[:-1], ROBOT.joint_names[0]], "missing: right_elbow"),
        ([*ROBOT.joint_names, ROBOT.joint_names[0]], "20 names for 19 joints"),
        ([], "0 names"),
    ],
)
def test_names_of_a_command_that_are_not_the_robots_are_refused(names, words):
    reader = CommandReader(ROBOT)
    reader.read(command())
    with pytest.raises(MessageError, match=words):
        reader.read(command(name=list(names)))
    assert reader.read(command()).position[1] == 0.1  # nothing was learnt from it


def test_a_command_with_nothing_in_it_is_refused():
    with pytest.raises(MessageError, match="0 names"):
        CommandReader(ROBOT).read(command(name=[], position=[], stiffness=[], damping=[]))


def test_a_flood_of_wrong_names_makes_no_flood_of_words():
    with pytest.raises(MessageError, match=r"and \d+ more, 50000 names for 19 joints") as caught:
        CommandReader(ROBOT).read(command(name=[f"{i}" * 100 for i in range(50_000)]))
    assert len(str(caught.value)) < 600


@pytest.mark.parametrize("field", ["position", "stiffness", "damping"])
@pytest.mark.parametrize("count", [0, 18, 20])
def test_arrays_of_a_command_of_another_length_are_refused(field, count):
    with pytest.raises(MessageError, match=f"{count} values of {field}; expected 19"):
        CommandReader(ROBOT).read(command(**{field: [0.0] * count}))


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("field", ["position", "stiffness", "damping"])
def test_a_commanded_number_that_is_none_is_refused_with_its_joint(field, bad):
    values = [0.0] * ROBOT.count
    values[3] = bad
    with pytest.raises(NonFiniteError, match=f"{field} that is no finite number: {ROBOT.joint_names[3]}"):
        CommandReader(ROBOT).read(command(**{field: values}))


@pytest.mark.parametrize("field", ["stiffness", "damping"])
def test_negative_gains_are_refused(field):
    with pytest.raises(MessageError, match="negative gain"):
        CommandReader(ROBOT).read(command(**{field: [-1.0] * ROBOT.count}))
