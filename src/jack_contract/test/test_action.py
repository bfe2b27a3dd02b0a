import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from jack_contract.action import ActionSpec
from jack_contract.errors import ContractError, ShapeError
from jack_contract.testing import sample_contract

CONTRACT = sample_contract()
ROBOT, ACTION = CONTRACT.robot, CONTRACT.action


def test_no_action_is_the_default_pose():
    assert np.array_equal(ACTION.targets(ROBOT, np.zeros(ROBOT.count)), ROBOT.default_position)


def test_an_action_of_one_moves_by_the_scale():
    action = np.zeros(ROBOT.count)
    action[3] = 1.0
    moved = ACTION.targets(ROBOT, action) - ROBOT.default_position
    assert moved[3] == pytest.approx(0.3)
    assert np.count_nonzero(moved) == 1


def test_the_gait_is_added_before_the_limits():
    action, offsets = np.zeros(ROBOT.count), np.zeros(ROBOT.count)
    action[3], offsets[3], offsets[4] = 1.0, -0.1, 9.0
    targets = ACTION.targets(ROBOT, action, offsets)
    assert targets[3] == pytest.approx(ROBOT.default_position[3] + 0.2)
    assert targets[4] == ROBOT.upper[4]
    assert np.array_equal(np.delete(targets, [3, 4]), np.delete(ROBOT.default_position, [3, 4]))


@given(st.lists(st.floats(-1e9, 1e9), min_size=ROBOT.count, max_size=ROBOT.count))
def test_targets_keep_the_limits(action):
    targets = ACTION.targets(ROBOT, np.array(action))
    assert np.all(targets >= ROBOT.lower) and np.all(targets <= ROBOT.upper)


def test_action_inverts_targets_within_the_limits():
    targets = np.random.default_rng(0).uniform(ROBOT.lower, ROBOT.upper, (50, ROBOT.count))
    np.testing.assert_allclose(ACTION.targets(ROBOT, ACTION.action(ROBOT, targets)), targets, atol=1e-12)


@pytest.mark.parametrize("scale", [(), (0.0,), (-1.0,), (np.nan,), (np.inf,)])
def test_impossible_scales_are_refused(scale):
    with pytest.raises(ContractError, match="positive"):
        ActionSpec(scale)


def test_a_wrong_size_is_named():
    with pytest.raises(ShapeError, match=r"Action has shape \(18,\); expected \(..., 19\)"):
        ACTION.targets(ROBOT, np.zeros(18))
