from dataclasses import replace

import numpy as np
import pytest

from jack_contract.errors import ContractError, ShapeError, UnknownNameError
from jack_contract.observation import History, Term, encode_command
from jack_contract.rotation import projected_gravity
from jack_contract.state import RobotState
from jack_contract.testing import sample_contract, sample_state

CONTRACT = sample_contract()
ROBOT, SPEC = CONTRACT.robot, CONTRACT.observation
REST = np.zeros(2)


def test_every_number_lies_where_the_slices_say():
    state = sample_state(ROBOT, np.random.default_rng(0))
    action = np.linspace(-1, 1, ROBOT.count)
    frame, at = SPEC.encode(ROBOT, state, action, np.array([0.6, -0.8])), SPEC.slices()
    assert frame.dtype == np.float32
    np.testing.assert_allclose(frame[at["angular_velocity"]], 0.25 * state.angular_velocity, rtol=1e-6)
    np.testing.assert_allclose(frame[at["projected_gravity"]], projected_gravity(state.orientation), rtol=1e-6)
    np.testing.assert_allclose(
        frame[at["joint_position"]], state.joint_position - ROBOT.default_position, rtol=1e-5, atol=1e-7
    )
    np.testing.assert_allclose(frame[at["joint_velocity"]], 0.05 * state.joint_velocity, rtol=1e-6)
    np.testing.assert_allclose(frame[at["previous_action"]], action, rtol=1e-6)
    np.testing.assert_allclose(frame[at["gait"]], [0.6, -0.8], rtol=1e-6)


def test_one_robot_and_a_batch_are_encoded_alike():
    states = sample_state(ROBOT, np.random.default_rng(0), (7,))
    actions = np.random.default_rng(1).normal(size=(7, ROBOT.count))
    gaits = np.random.default_rng(2).normal(size=(7, 2))
    batch = SPEC.encode(ROBOT, states, actions, gaits)
    for row in range(7):
        one = RobotState(**{name: value[row] for name, value in vars(states).items()})
        assert np.array_equal(batch[row], SPEC.encode(ROBOT, one, actions[row], gaits[row]))


def test_wild_readings_are_clipped():
    state = RobotState.at_rest(ROBOT)
    state.joint_velocity[:] = 1e9
    assert SPEC.encode(ROBOT, state, np.zeros(ROBOT.count), REST).max() == 100.0


def test_a_reading_of_the_wrong_size_is_named():
    state = RobotState.at_rest(ROBOT)
    state.joint_velocity = state.joint_velocity[1:]
    with pytest.raises(ShapeError, match="joint_velocity"):
        SPEC.encode(ROBOT, state, np.zeros(ROBOT.count), REST)


def test_a_rhythm_of_the_wrong_size_is_named():
    with pytest.raises(ShapeError, match="gait"):
        SPEC.encode(ROBOT, RobotState.at_rest(ROBOT), np.zeros(ROBOT.count), np.zeros(3))


def test_command_as_float32():
    assert encode_command(np.array([0.5, 0.0, -1.0])).dtype == np.float32
    with pytest.raises(ShapeError, match="Pace"):
        encode_command(np.zeros(2))


def frame(value: float, shape=()) -> np.ndarray:
    return np.full((*shape, SPEC.frame_size), value, np.float32)


def test_how_fast_he_tips_over_is_a_mean_over_three_frames_in_radians():
    frames = np.zeros((2, 5, SPEC.frame_size), np.float32)
    roll = SPEC.slices()["angular_velocity"].start
    frames[1, :, roll] = 0.25 * np.array([9.0, 9.0, -0.5, -0.5, -0.2])
    frames[1, :, roll + 1] = 0.25 * np.array([9.0, 9.0, 0.1, 0.2, 0.6])
    frames[1, :, roll + 2] = 9.0  # turning is no tipping
    np.testing.assert_allclose(SPEC.tipping(frames), [0.0, 0.5], rtol=1e-6)  # 0.3 and 0.4
    numb = replace(SPEC, terms=tuple(term for term in SPEC.terms if term.name != "angular_velocity"))
    np.testing.assert_array_equal(numb.tipping(frames), [0.0, 0.0])


def test_history_starts_full_and_moves_by_one():
    history = History(replace(SPEC, history=3))
    assert history.push(frame(1))[:, 0].tolist() == [1, 1, 1]
    assert history.push(frame(2))[:, 0].tolist() == [1, 1, 2]
    assert history.push(frame(3))[:, 0].tolist() == [1, 2, 3]
    history.reset()
    assert history.push(frame(4))[:, 0].tolist() == [4, 4, 4]


def test_history_of_many_resets_each_on_its_own():
    history = History(replace(SPEC, history=3), (3,))
    history.push(frame(1, (3,)))
    history.reset(np.array([False, True, False]))
    frames = history.push(frame(2, (3,)))
    assert frames[:, :, 0].tolist() == [[1, 1, 2], [2, 2, 2], [1, 1, 2]]
    frames = history.fill(np.array([2]), frame(9, (1,)))
    assert frames[:, :, 0].tolist() == [[1, 1, 2], [2, 2, 2], [9, 9, 9]]


@pytest.mark.parametrize("change", [{"terms": ()}, {"history": 0}, {"history": 101}, {"clip": 0.0}])
def test_impossible_observations_are_refused(change):
    with pytest.raises(ContractError):
        replace(SPEC, **change)


def test_impossible_terms_are_refused():
    with pytest.raises(UnknownNameError, match="Did you mean 'joint_position'"):
        Term("joint_positon", 3, 1.0)
    with pytest.raises(ContractError, match="angular_velocity"):
        Term("angular_velocity", 0, 1.0)
    with pytest.raises(ContractError, match="angular_velocity"):
        Term("angular_velocity", 3, float("nan"))


def test_the_table_names_every_term():
    assert all(term.name in SPEC.describe() for term in SPEC.terms)
