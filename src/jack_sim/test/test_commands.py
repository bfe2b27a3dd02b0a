from types import SimpleNamespace

import numpy as np
import pytest

from jack_contract.errors import MessageError, NonFiniteError
from jack_contract.testing import sample_robot
from jack_sim.commands import CommandReader

ROBOT = sample_robot()


def message(**changes):
    n = ROBOT.count
    given = {"name": list(ROBOT.joint_names), "position": [0.1 * i for i in range(n)]}
    given |= {"stiffness": [40.0 + i for i in range(n)], "damping": [2.0 + i for i in range(n)]}
    return SimpleNamespace(**(given | changes))


def test_in_the_robots_own_order_nothing_moves():
    targets = CommandReader(ROBOT).read(message())
    np.testing.assert_array_equal(targets.position, [0.1 * i for i in range(ROBOT.count)])
    np.testing.assert_array_equal(targets.stiffness, [40.0 + i for i in range(ROBOT.count)])
    np.testing.assert_array_equal(targets.damping, [2.0 + i for i in range(ROBOT.count)])


def test_any_order_of_names_reaches_the_same_joints():
    given, reader = message(), CommandReader(ROBOT)
    order = np.random.default_rng(3).permutation(ROBOT.count)
    columns = {field: [getattr(given, field)[i] for i in order] for field in vars(given)}
    straight, mixed = reader.read(given), reader.read(SimpleNamespace(**columns))
    again = reader.read(given)
    for field in ("position", "stiffness", "damping"):
        np.testing.assert_array_equal(getattr(mixed, field), getattr(straight, field))
        np.testing.assert_array_equal(getattr(again, field), getattr(straight, field))


@pytest.mark.parametrize(
    ("names", "words"),
    [
        ([*ROBOT.joint_names[:-1], "tail"], r"unknown: \['tail'\]"),
        (ROBOT.joint_names[:-1], "missing: \\['right_elbow'\\]"),
        ([*ROBOT.joint_names[:-1], ROBOT.joint_names[0]], "missing: \\['right_elbow'\\]"),
        ([*ROBOT.joint_names, ROBOT.joint_names[0]], "20 names for 19 joints"),
        ([], "0 names"),
    ],
)
def test_names_that_are_not_the_robots_are_refused(names, words):
    with pytest.raises(MessageError, match=words):
        CommandReader(ROBOT).read(message(name=list(names)))


def test_a_message_with_nothing_in_it_is_refused():
    with pytest.raises(MessageError, match="0 names"):
        CommandReader(ROBOT).read(message(name=[], position=[], stiffness=[], damping=[]))


@pytest.mark.parametrize("field", ["position", "stiffness", "damping"])
def test_arrays_of_another_length_are_refused(field):
    with pytest.raises(MessageError, match=f"18 values of {field}; expected 19"):
        CommandReader(ROBOT).read(message(**{field: [0.0] * 18}))


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_a_number_that_is_not_finite_is_refused_with_its_joint(bad):
    values = [0.0] * ROBOT.count
    values[3] = bad
    with pytest.raises(NonFiniteError, match=ROBOT.joint_names[3]):
        CommandReader(ROBOT).read(message(position=values))


@pytest.mark.parametrize("field", ["stiffness", "damping"])
def test_negative_gains_are_refused(field):
    with pytest.raises(MessageError, match="negative gain"):
        CommandReader(ROBOT).read(message(**{field: [-1.0] * ROBOT.count}))
