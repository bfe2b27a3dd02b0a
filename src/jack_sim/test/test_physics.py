import mujoco
import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from jack_contract.errors import JackError, ShapeError
from jack_contract.robot import load_robot
from jack_sim.batch import BatchWorld
from jack_sim.errors import SimulationError
from jack_sim.physics import World
from jack_sim.scene import TRAINING, SceneOptions, load_model


@pytest.fixture(scope="module")
def shared():
    return World()


@pytest.fixture
def world(shared):
    shared.reset()
    return shared


def _step(world, seconds):
    for _ in range(round(seconds / world.robot.control_period)):
        world.step()


def _random_targets(world, steps, seed=5):
    noise = np.random.default_rng(seed).normal(0.0, 0.1, (steps, world.robot.count))
    return world.robot.default_position + noise


def _trajectory(world, seed, steps=50):
    world.reset(seed)
    states = []
    for target in _random_targets(world, steps):
        world.command(target)
        world.step()
        states.append(np.concatenate([world.data.qpos, world.data.qvel, world.state().linear_acceleration]))
    return np.array(states)


def test_the_robot_is_the_contracts(world):
    assert world.robot == load_robot("jack")


def test_a_control_period_is_four_substeps(world):
    world.step()
    assert world.time == pytest.approx(0.02)
    world.step(1)
    assert world.time == pytest.approx(0.025)


def test_at_rest_the_sensors_read_gravity_and_the_home_pose(world):
    _step(world, 6.0)  # he sways for a while
    state = world.state()
    np.testing.assert_allclose(np.linalg.norm(state.linear_acceleration), 9.81, atol=1e-3)
    np.testing.assert_allclose(state.linear_acceleration, [0, 0, 9.81], atol=0.3)
    np.testing.assert_allclose(state.orientation, [0, 0, 0, 1], atol=0.02)
    np.testing.assert_allclose(state.joint_position, world.robot.default_position, atol=0.06)
    np.testing.assert_allclose(state.angular_velocity, 0, atol=5e-3)
    assert not world.fallen


def test_a_state_is_a_copy(world):
    state = world.state()
    before = state.joint_position.copy()
    world.command(world.robot.default_position + 0.2)
    world.step()
    np.testing.assert_array_equal(state.joint_position, before)


def test_the_same_seed_gives_the_same_trajectory_bit_for_bit(world):
    first = _trajectory(world, seed=7)
    np.testing.assert_array_equal(first, _trajectory(world, seed=7))
    np.testing.assert_array_equal(first, _trajectory(World(), seed=7))
    assert not np.array_equal(first, _trajectory(world, seed=8))


def test_seed_zero_is_exactly_the_home_pose(world):
    np.testing.assert_array_equal(world.data.qpos, world.model.key("home").qpos)


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_a_seeded_start_is_near_home_on_the_ground_and_stands(world, seed):
    world.reset(seed)
    offset = np.abs(world.state().joint_position - world.robot.default_position)
    assert 0.0 < offset.max() <= 0.05
    soles = world.data.geom_xpos[world.model.geom_group == 3, 2]
    assert soles.min() == pytest.approx(0.015)
    _step(world, 3.0)
    assert not world.fallen


def test_the_clock_can_run_on_through_a_reset(world):
    _step(world, 0.1)
    world.reset(time=world.time)
    assert world.time == pytest.approx(0.1)
    world.reset()
    assert world.time == 0.0


def test_zero_stiffness_damps_and_he_sinks(world):
    world.command(world.robot.default_position, np.zeros(21), world.robot.damping)
    _step(world, 0.5)
    speeds = np.abs(world.state().joint_velocity)
    assert world.odometry().position[2] < 0.65
    assert speeds.max() < 5.0
    _step(world, 3.0)
    assert world.fallen


def test_a_commanded_torque_is_k_p_error_minus_k_d_speed(world):
    stiffness, damping = world.robot.stiffness / 4, world.robot.damping / 2
    target = world.robot.default_position + 0.05
    world.command(target, stiffness, damping)
    world.data.qvel[6:] = 0.1
    mujoco.mj_forward(world.model, world.data)
    expected = stiffness * (target - world.data.qpos[7:]) - damping * 0.1
    clipped = np.clip(target, world.robot.lower, world.robot.upper) == target
    np.testing.assert_allclose(world.state().joint_effort[clipped], expected[clipped], rtol=1e-9)


def test_torques_stay_within_the_motors_limits(world):
    world.command(world.robot.upper)
    for _ in range(20):
        world.step()
        assert (np.abs(world.state().joint_effort) <= world.robot.effort_limit + 1e-9).all()


def test_reset_restores_the_robots_gains(world):
    world.command(world.robot.default_position, np.zeros(21), np.zeros(21))
    world.reset()
    np.testing.assert_array_equal(world.model.actuator_gainprm[:, 0], world.robot.stiffness)
    np.testing.assert_array_equal(-world.model.actuator_biasprm[:, 2], world.robot.damping)


@pytest.mark.parametrize(
    ("position", "gains"),
    [
        (np.full(21, np.nan), None),
        (np.zeros(21), np.full(21, -1.0)),
        (np.zeros(21), np.full(21, np.inf)),
        (np.zeros(20), None),
        (np.zeros(21), np.zeros(3)),
    ],
)
def test_a_command_that_makes_no_sense_changes_nothing(world, position, gains):
    before = world.data.ctrl.copy(), world.model.actuator_gainprm.copy()
    with pytest.raises((JackError, ShapeError)):
        world.command(position, gains)
    np.testing.assert_array_equal(before[0], world.data.ctrl)
    np.testing.assert_array_equal(before[1], world.model.actuator_gainprm)


def test_odometry_turns_velocities_into_the_body_frame(world):
    # Facing left (yaw 90 degrees) and moving along the world's y axis: forward in the body.
    world.data.qpos[3:7] = [np.sqrt(0.5), 0, 0, np.sqrt(0.5)]
    world.data.qvel[:6] = [0, 2.0, 0.5, 0.1, 0.2, 0.3]
    odometry = world.odometry()
    np.testing.assert_allclose(odometry.linear_velocity, [2.0, 0, 0.5], atol=1e-12)
    np.testing.assert_allclose(odometry.angular_velocity, [0.1, 0.2, 0.3])
    np.testing.assert_allclose(Rotation.from_quat(odometry.orientation).as_euler("xyz")[2], np.pi / 2)


def test_a_shove_moves_him_and_a_hard_one_fells_him(world):
    world.push(np.array([0.0, 0.2, 0.0]))
    assert world.odometry().linear_velocity[1] == pytest.approx(0.2)
    _step(world, 3.0)
    assert not world.fallen
    world.push(np.array([1.5, 0.0, 0.0]))
    _step(world, 3.0)
    assert world.fallen


def test_a_diverging_simulation_is_reported_and_starts_anew(world):
    _step(world, 0.2)
    world.data.qvel[8] = np.nan
    with pytest.raises(SimulationError):
        world.step()
    assert np.isfinite(world.data.qpos).all()
    assert world.time == pytest.approx(0.2)
    world.step()
    assert world.state().is_finite()


def test_the_live_world_and_the_batch_agree_bit_for_bit():
    world = World(TRAINING)
    batch = BatchWorld(load_model(TRAINING), world.robot, count=1)
    for target in _random_targets(world, 25):
        world.command(target)
        world.step()
        batch.step(target[None])
        one, many = world.state(), batch.state()
        np.testing.assert_array_equal(one.joint_position, many.joint_position[0])
        np.testing.assert_array_equal(one.joint_velocity, many.joint_velocity[0])
        np.testing.assert_array_equal(one.orientation, many.orientation[0])
        np.testing.assert_array_equal(one.angular_velocity, many.angular_velocity[0])


def test_a_control_period_between_two_steps_is_refused():
    with pytest.raises(JackError, match="no multiple"):
        World(SceneOptions(visuals=False, timestep=0.003))


def test_a_scene_without_a_gantry_says_so():
    world = World(TRAINING)
    with pytest.raises(JackError, match="gantry=True"):
        world.reset(held=True)
