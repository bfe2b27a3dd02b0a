from dataclasses import replace
from types import SimpleNamespace as Message

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from jack_brain.driver import Order
from jack_brain.interfaces import INTERFACES, KINDS, Wiring, make_interface
from jack_brain.safety import Mode
from jack_contract.errors import ContractError, UnknownNameError
from jack_contract.robot import JointSpec, RobotSpec
from jack_contract.testing import sample_robot
from jack_contract.wire import JointTargets

ROBOT = sample_robot()
#: Two joints, whose figures are easy to reckon with.
PAIR = RobotSpec(
    "pair",
    (
        JointSpec("left_knee", 0.0, 2.0, 20.0, effort_limit=60.0, default=0.5, stiffness=100.0, damping=5.0),
        JointSpec("right_knee", 0.0, 2.0, 20.0, effort_limit=10.0, default=0.5, stiffness=50.0, damping=2.0),
    ),
    control_period=0.02,
)
TARGETS = JointTargets(np.array([0.6, 0.7]), np.array([100.0, 50.0]), np.array([5.0, 2.0]))
RUN = Order(Mode.RUN, 42, TARGETS)
DAMP = Order(Mode.DAMP, 42, replace(TARGETS, position=np.array([0.5, 0.5]), stiffness=np.zeros(2)))
#: The right knee comes first: positions, velocities and efforts.
READINGS = np.array([[0.3, 0.1], [1.0, -2.0], [0.0, 0.0]])
SWAPPED = Wiring.of(PAIR, ("right_knee", "left_knee"))


def message() -> Message:
    return Message(name=[])


def point() -> Message:
    return Message(time_from_start=Message(sec=0, nanosec=0))


def interface(name: str, kind: str = "position", wiring: Wiring = SWAPPED):
    return make_interface(name, kind, wiring, point)


def filled(made, order, readings) -> Message:
    """A message that was filled."""
    given = message()
    assert made.fill(given, order, readings)
    return given


# -- names


def test_by_itself_the_hardware_has_the_contracts_joints():
    wiring = Wiring.of(ROBOT)
    assert wiring.robot == ROBOT and wiring.index.tolist() == list(range(ROBOT.count))


@given(st.permutations(range(ROBOT.count)), st.sampled_from(["", "g1/", "left_"]), st.booleans())
def test_whatever_the_hardwares_order_each_joint_gets_what_is_its_own(order, prefix, told):
    names = [(prefix if told else "") + ROBOT.joint_names[i] for i in order]
    if prefix == "left_" and not told:
        return  # a prefix that is a part of names must be told
    wiring = Wiring.of(ROBOT, names, prefix)
    assert wiring.robot.joint_names == tuple(prefix + ROBOT.joint_names[i] for i in order)
    column = np.arange(ROBOT.count) * 1.0
    assert wiring.sorted(JointTargets(column, column, column)).damping.tolist() == [float(i) for i in order]
    assert wiring.robot.effort_limit.tolist() == ROBOT.effort_limit[list(order)].tolist()


@pytest.mark.parametrize(
    ("joints", "words"),
    [
        (("left_knee",), "missing: right_knee; unknown: none; twice: none"),
        (("left_knee", "right_kne"), r"missing: right_knee; unknown: right_kne \(did you mean 'right_knee'\?\)"),
        (("left_knee", "right_knee", "tail"), "missing: none; unknown: tail; twice: none"),
        (("left_knee", "left_knee"), "missing: right_knee; unknown: none; twice: left_knee"),
        (("left_knee", "right_knee", "left_knee"), "missing: none; unknown: none; twice: left_knee"),
        (("a/left_knee", "b/right_knee"), r"unknown: b/right_knee \(did you mean 'right_knee'\?\)"),
    ],
)
def test_hardware_with_other_joints_is_refused_by_name(joints, words):
    with pytest.raises(ContractError, match=words):
        Wiring.of(PAIR, joints, "a/")


# -- Jack's own message


def test_joint_command_carries_targets_gains_and_session_in_the_hardwares_order():
    sent = filled(interface("joint_command"), RUN, READINGS)
    assert sent.name == ["right_knee", "left_knee"] and (sent.mode, sent.session) == (1, 42)
    assert (list(sent.position), list(sent.stiffness), list(sent.damping)) == ([0.7, 0.6], [50, 100], [2, 5])


def test_joint_command_damped_has_no_stiffness_and_says_where_the_joints_are():
    made = interface("joint_command")
    sent = filled(made, DAMP, READINGS)
    assert (sent.mode, list(sent.stiffness), list(sent.damping)) == (2, [0, 0], [2, 5])
    assert list(sent.position) == [0.3, 0.1]
    assert list(filled(made, DAMP, None).position) == [0.5, 0.5]


# -- ros2_control


def test_forward_command_of_positions():
    sent = filled(interface("forward_command"), RUN, None)
    assert list(sent.data) == [0.7, 0.6] and sent.data.typecode == "d"


@pytest.mark.parametrize("name", ["forward_command", "joint_trajectory"])
def test_positions_cannot_damp_they_hold_where_damping_began(name):
    def positions(sent):
        return list(sent.data if name == "forward_command" else sent.points[0].positions)

    made = interface(name)
    filled(made, RUN, READINGS)
    assert positions(filled(made, DAMP, READINGS)) == [0.3, 0.1]
    assert positions(filled(made, DAMP, READINGS + 0.5)) == [0.3, 0.1]  # it does not sink with the joints
    assert positions(filled(made, RUN, READINGS)) == [0.7, 0.6]
    assert positions(filled(made, DAMP, READINGS + 0.5)) == [0.8, 0.6]
    filled(made, RUN, READINGS)
    outside = READINGS.copy()
    outside[0] = (-0.2, 2.3)
    assert positions(filled(made, DAMP, outside)) == [0.0, 2.0]  # within the limits


@pytest.mark.parametrize("name", ["forward_command", "joint_trajectory"])
def test_positions_that_nobody_knows_are_not_sent(name):
    made = interface(name)
    assert not made.fill(message(), DAMP, None)
    assert made.fill(message(), DAMP, READINGS)  # as soon as they are known
    blind = interface(name)
    last = filled(blind, RUN, None)
    held = filled(blind, DAMP, None)  # what was asked for last is near where he is
    assert vars(held).keys() == vars(last).keys() and blind.fill(message(), DAMP, READINGS)
    if name == "forward_command":
        assert list(held.data) == list(last.data) == [0.7, 0.6]


def test_forward_command_of_efforts_by_hand():
    """Right knee: 50 (0.7 - 0.3) - 2 * 1 = 18, cut to 10; left knee: 100 (0.6 - 0.1) - 5 * -2 = 60."""
    made = interface("forward_command", "effort")
    assert made.follows_readings
    assert list(filled(made, RUN, READINGS).data) == [10.0, 60.0]
    near = np.array([[0.68, 0.59], [0.5, -0.2], [0, 0]])
    np.testing.assert_allclose(filled(made, RUN, near).data, [50 * 0.02 - 1.0, 100 * 0.01 + 1.0], atol=1e-12)


def test_efforts_damp_and_are_zero_where_nobody_knows_how_fast_the_joints_are():
    made = interface("forward_command", "effort")
    assert list(filled(made, DAMP, READINGS).data) == [-2.0, 10.0]
    assert list(filled(made, DAMP, READINGS * 100).data) == [-10.0, 60.0]
    assert list(filled(made, RUN, None).data) == list(filled(made, DAMP, None).data) == [0.0, 0.0]


def test_joint_trajectory_is_one_point_one_control_period_ahead():
    sent = filled(interface("joint_trajectory", wiring=Wiring.of(PAIR, (), "r/")), RUN, READINGS)
    assert sent.joint_names == ["r/left_knee", "r/right_knee"]
    (only,) = sent.points
    assert list(only.positions) == [0.6, 0.7]
    assert (only.time_from_start.sec, only.time_from_start.nanosec) == (0, 20_000_000)


def test_only_efforts_are_computed_at_every_reading():
    follow = {(name, kind): interface(name, kind).follows_readings for name in INTERFACES for kind in KINDS}
    assert [key for key, follows in follow.items() if follows] == [("forward_command", "effort")]


@pytest.mark.parametrize(
    ("name", "kind", "words"),
    [
        ("joint_comand", "position", "Did you mean 'joint_command'"),
        ("forward_command", "efort", "Did you mean 'effort'"),
    ],
)
def test_another_interface_is_told_with_the_nearest(name, kind, words):
    with pytest.raises(UnknownNameError, match=words):
        interface(name, kind)


@given(
    st.sampled_from([(n, k) for n in INTERFACES for k in KINDS]),
    st.booleans(),
    st.lists(st.floats(-1e6, 1e6), min_size=4, max_size=4),
)
def test_nothing_that_is_no_number_and_no_torque_beyond_the_limit_is_sent(which, damped, measured):
    readings = np.array([*measured, 0.0, 0.0]).reshape(3, 2)
    sent = filled(interface(*which), DAMP if damped else RUN, readings)
    values = getattr(sent, "data", None) or (sent.points[0].positions if hasattr(sent, "points") else sent.position)
    assert np.isfinite(values).all()
    if which == ("forward_command", "effort"):
        assert (np.abs(values) <= SWAPPED.robot.effort_limit).all()
