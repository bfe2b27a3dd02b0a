import math
from dataclasses import replace

import mujoco
import numpy as np
import pytest

from jack_contract.errors import JackError
from jack_contract.robot import load_robot
from jack_sim.batch import BatchWorld
from jack_sim.scene import TRAINING, SceneOptions, load_model, load_spec

ROBOT = load_robot("jack")


@pytest.fixture(scope="module")
def model():
    return load_model(TRAINING)


@pytest.fixture
def world(model):
    return BatchWorld(model, ROBOT, count=4)


def targets(count, steps, seed=0):
    noise = np.random.default_rng(seed).normal(0.0, 0.1, (steps, count, ROBOT.count))
    return ROBOT.default_position + noise


def turned(yaw: float) -> list[float]:
    """w x y z of a turn about the vertical."""
    return [math.cos(yaw / 2), 0.0, 0.0, math.sin(yaw / 2)]


def test_it_is_mujoco_bit_for_bit(model):
    """Each robot is a loop of mj_step over an MjData of its own, whatever the others do."""
    world = BatchWorld(model, ROBOT, count=3)
    alone = [mujoco.MjData(model) for _ in range(3)]
    for data in alone:
        data.qpos[:], data.ctrl[:] = world.home, world.home[7:]
    for target in targets(3, 20):
        world.step(target)
        for data, ctrl in zip(alone, target, strict=True):
            data.ctrl[:] = ctrl
            mujoco.mj_step(model, data, nstep=4)
    state, truth = world.state(), world.truth()
    for i, data in enumerate(alone):
        np.testing.assert_array_equal(state.joint_position[i], data.qpos[7:])
        np.testing.assert_array_equal(state.joint_velocity[i], data.qvel[6:])
        np.testing.assert_array_equal(state.joint_effort[i], data.actuator_force)
        np.testing.assert_array_equal(truth.feet[i], [data.site("left_foot").xpos, data.site("right_foot").xpos])


def test_the_number_of_threads_decides_nothing(model):
    trajectories = []
    for threads in (1, 2, 0):
        world = BatchWorld(model, ROBOT, count=5, threads=threads)
        for target in targets(5, 20):
            world.step(target)
        trajectories.append(world.batch.state.copy())
    np.testing.assert_array_equal(trajectories[0], trajectories[1])
    np.testing.assert_array_equal(trajectories[0], trajectories[2])


def test_a_step_is_a_control_period(world):
    world.step(targets(4, 1)[0])
    np.testing.assert_allclose(world.state().time, ROBOT.control_period)


def test_it_begins_at_home_commanded_to_stay(world):
    state = world.state()
    np.testing.assert_allclose(state.joint_position, np.tile(ROBOT.default_position, (4, 1)))
    np.testing.assert_array_equal(state.joint_velocity, 0.0)
    np.testing.assert_array_equal(world.batch.bind("ctrl"), np.tile(world.home[7:], (4, 1)))


def test_at_rest_the_sensors_read_gravity(world):
    for _ in range(100):
        world.step(np.tile(ROBOT.default_position, (4, 1)))
    state = world.state()
    np.testing.assert_allclose(np.linalg.norm(state.linear_acceleration, axis=-1), 9.81, atol=0.05)
    np.testing.assert_allclose(state.angular_velocity, 0.0, atol=0.05)
    np.testing.assert_allclose(state.orientation, np.tile([0, 0, 0, 1], (4, 1)), atol=0.03)


def test_orientation_is_x_y_z_w(world):
    qpos = world.home.copy()
    qpos[3:7] = turned(0.8)
    world.reset(np.array([2]), qpos[None])
    orientation = world.state().orientation
    np.testing.assert_allclose(orientation[2], [0, 0, math.sin(0.4), math.cos(0.4)])
    np.testing.assert_allclose(orientation[1], [0, 0, 0, 1])


def test_a_reset_is_of_some_and_leaves_the_others(world):
    for target in targets(4, 10):
        world.step(target)
    before = world.batch.state.copy()
    world.reset(np.array([1, 3]))
    after = world.batch.state
    np.testing.assert_array_equal(after[[0, 2]], before[[0, 2]])
    state = world.state()
    assert state.time.tolist() == pytest.approx([0.2, 0.0, 0.2, 0.0])
    np.testing.assert_allclose(state.joint_position[[1, 3]], np.tile(ROBOT.default_position, (2, 1)))


def test_a_reset_forgets_everything(world):
    """Warm starts, controls, warnings: what was before does not reach the next life."""
    first = []
    for _ in range(2):
        world.reset()
        for target in targets(4, 10, seed=1):
            world.step(target)
        first.append(world.batch.state.copy())
        for target in targets(4, 5, seed=2):
            world.step(target)
    np.testing.assert_array_equal(first[0], first[1])


def test_after_a_reset_what_is_read_is_of_the_new_life(world):
    """Sensors and feet follow given positions and velocities at once, without a step."""
    for target in targets(4, 5):
        world.step(target)
    qpos, qvel = world.home.copy(), np.zeros(world.batch.model.nv)
    qpos[:3] += [2.0, -1.0, 0.5]
    qvel[:6] = [0.5, 0.1, 0.0, 0.1, 0.2, 0.3]
    world.reset(np.array([0]), qpos[None], qvel[None])
    state, truth = world.state(), world.truth()
    np.testing.assert_allclose(state.angular_velocity[0], [0.1, 0.2, 0.3])
    np.testing.assert_allclose(truth.world_velocity[0], [0.5, 0.1, 0.0])
    np.testing.assert_allclose(truth.feet[0].mean(axis=0)[:2], [2.0, -1.0], atol=0.1)
    assert truth.feet[0, :, 2].min() == pytest.approx(0.5, abs=0.05)


def test_the_heading_frame_turns_with_him(world):
    # facing left (yaw 90 degrees): moving along the world's y axis is forward, along its x axis to the right
    qpos, qvel = np.tile(world.home, (2, 1)), np.zeros((2, world.batch.model.nv))
    qpos[:, 3:7] = turned(math.pi / 2)
    qvel[:, :3] = [[0.0, 2.0, 0.3], [1.0, 0.0, 0.0]]
    world.reset(np.array([0, 1]), qpos, qvel)
    np.testing.assert_allclose(world.truth().velocity[:2], [[2.0, 0.0, 0.3], [0.0, -1.0, 0.0]], atol=1e-12)


def test_a_push_changes_the_horizontal_velocity_of_those_pushed(world):
    world.push(np.array([3, 1]), np.array([[0.5, 0.0], [0.0, -0.25]]))
    np.testing.assert_array_equal(
        world.truth().world_velocity, [[0, 0, 0], [0.0, -0.25, 0], [0, 0, 0], [0.5, 0.0, 0]]
    )
    world.step(np.tile(ROBOT.default_position, (4, 1)))
    assert world.truth().position[3, 0] - world.truth().position[0, 0] > 0.003


def test_feet_stand_on_the_ground_left_and_right(world):
    for _ in range(50):
        world.step(np.tile(ROBOT.default_position, (4, 1)))
    left, right = world.truth().feet[0]
    np.testing.assert_allclose([left[2], right[2]], 0.0, atol=0.01)
    assert left[1] > 0.03 and right[1] < -0.03


def test_what_diverged_is_told_until_it_is_reset(world, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)  # MuJoCo writes its warnings into a file where it stands
    still = np.tile(ROBOT.default_position, (4, 1))
    assert not world.diverged().any()
    world.batch.bind("qvel")[2, 7] = np.inf
    world.step(still)
    assert world.diverged().tolist() == [False, False, True, False]
    assert world.state().is_finite()  # MuJoCo has put him back by itself
    world.step(still)
    assert world.diverged()[2]
    world.reset(np.array([2]))
    assert not world.diverged().any()


def test_another_robots_model_is_refused(model):
    swapped = replace(ROBOT, joints=(ROBOT.joints[1], ROBOT.joints[0], *ROBOT.joints[2:]))
    with pytest.raises(JackError, match="Regenerate"):
        BatchWorld(model, swapped, 1)


def test_a_period_that_is_no_multiple_of_the_step_is_refused(model):
    with pytest.raises(JackError, match="no multiple"):
        BatchWorld(model, replace(ROBOT, control_period=0.018), 1)
    assert BatchWorld(load_model(SceneOptions(collision="legs", timestep=0.004)), ROBOT, 1).substeps == 5


def test_an_imu_that_is_turned_is_refused():
    spec = load_spec(TRAINING)
    spec.site("imu").quat = [math.sqrt(0.5), 0, 0, math.sqrt(0.5)]
    with pytest.raises(JackError, match="IMU"):
        BatchWorld(spec.compile(), ROBOT, 1)


def test_inclined_ground_is_the_ramp_that_would_have_been_compiled():
    ramp = BatchWorld(load_model(replace(TRAINING, slope=5.0)), ROBOT, 1)
    rise = np.tan(np.radians(5.0))
    np.testing.assert_allclose(ramp.slope, [[rise, 0.0]])
    world = BatchWorld(load_model(TRAINING), ROBOT, 3)
    world.incline(np.array([0, 1]), np.array([[0.0, -rise], [rise, 0.0]]))
    world.reset(np.arange(3), np.tile(ramp.home, (3, 1)), np.zeros((3, world.batch.model.nv)))
    for _ in range(20):
        ramp.step(ROBOT.default_position[None])
        world.step(np.tile(ROBOT.default_position, (3, 1)))
    np.testing.assert_allclose(world.truth().position[1], ramp.truth().position[0], atol=1e-9)
    level, sideways = world.truth().position[2], world.truth().position[0]
    assert np.abs(level - ramp.truth().position[0]).max() > 1e-3
    assert abs(sideways[1] - level[1]) > 1e-3
    heights = world.truth().sole_height
    assert np.abs(heights).max() < 0.02  # over the ground, however that lies


def test_a_slope_is_seen_from_where_he_looks():
    """Ground that rises along x: to his right, if he looks along y."""
    world, quarter = BatchWorld(load_model(TRAINING), ROBOT, 2), math.sqrt(0.5)
    qpos = np.tile(world.home, (2, 1))
    qpos[1, 3:7] = quarter, 0.0, 0.0, quarter
    world.incline(np.arange(2), np.array([[0.1, 0.0], [0.1, 0.0]]))
    world.reset(np.arange(2), qpos, np.zeros((2, world.batch.model.nv)))
    np.testing.assert_allclose(world.truth().slope, [[0.1, 0.0], [0.0, -0.1]], atol=1e-12)
