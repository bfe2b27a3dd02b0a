import numpy as np
import pytest

from jack_contract.state import Command, RobotState
from jack_contract.testing import sample_robot, sample_state


@pytest.mark.parametrize("shape", [(), (4,), (2, 3)])
def test_at_rest_is_upright_in_the_default_pose(shape):
    robot = sample_robot()
    state = RobotState.at_rest(robot, shape)
    assert state.joint_position.shape == (*shape, robot.count)
    assert np.array_equal(state.joint_position, np.broadcast_to(robot.default_position, (*shape, robot.count)))
    assert state.orientation[..., 3].min() == 1.0 == state.orientation.sum() / max(1, np.prod(shape))
    assert np.all(state.linear_acceleration[..., 2] == 9.81)
    state.joint_position[...] = 9.0  # its own memory, not the robot's
    assert robot.default_position[0] != 9.0


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("field", list(vars(RobotState.at_rest(sample_robot()))))
def test_one_bad_number_anywhere_is_seen(field, bad):
    state = RobotState.at_rest(sample_robot(), (3,))
    assert state.is_finite()
    getattr(state, field).flat[-1] = bad
    assert not state.is_finite()


def test_rows_are_those_robots():
    state = sample_state(sample_robot(), np.random.default_rng(0), (5,))
    rows = state.rows(np.array([3, 1]))
    for name, value in vars(rows).items():
        assert np.array_equal(value, getattr(state, name)[[3, 1]])


def test_zero_command():
    assert Command.zero((2,)).velocity.tolist() == [[0.0] * 3] * 2
