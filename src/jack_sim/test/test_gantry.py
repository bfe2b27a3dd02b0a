import mujoco
import numpy as np
import pytest

from jack_contract.errors import JackError
from jack_sim.gantry import HOLD_HEIGHT, Gantry, GantryMode
from jack_sim.physics import World
from jack_sim.scene import TRAINING, load_model

WEIGHT = 35.0 * 9.81


@pytest.fixture(scope="module")
def shared():
    return World()


@pytest.fixture
def world(shared):
    shared.reset(held=True)
    return shared


def _step_until(world, mode, limit):
    """Step until the gantry is in a mode; the time it took [s]."""
    start = world.time
    while world.gantry.mode is not mode:
        world.step()
        assert world.time - start < limit
    return world.time - start


def _step(world, seconds):
    for _ in range(round(seconds / 0.02)):
        world.step()


def test_held_he_hangs_still_and_his_feet_are_free(world):
    _step(world, 2.0)
    odometry = world.odometry()
    assert world.gantry.mode is GantryMode.HELD
    np.testing.assert_allclose(odometry.position, [0, 0, HOLD_HEIGHT], atol=0.005)
    assert world.gantry.load == pytest.approx(WEIGHT, rel=0.01)
    assert world.data.ncon == 0
    assert np.abs(odometry.linear_velocity).max() < 1e-3
    assert not world.fallen


def test_lowered_he_lands_gently_and_stands_on_his_own(world):
    world.gantry.lower(speed=0.05)
    hardest = 0.0
    start = world.time
    while world.gantry.mode is not GantryMode.RELEASED:
        world.step()
        hardest = max(hardest, np.linalg.norm(world.state().linear_acceleration))
        assert world.time - start < 6.0
    assert hardest < 2.5 * 9.81
    assert world.gantry.load == 0.0
    _step(world, 5.0)
    assert not world.fallen
    np.testing.assert_allclose(world.odometry().position, [0, 0, 0.65], atol=0.02)


def test_rope_is_paid_out_at_the_chosen_speed(world):
    _step(world, 1.0)
    before = world.odometry().position[2]
    world.gantry.lower(speed=0.04)
    _step(world, 1.0)
    assert before - world.odometry().position[2] == pytest.approx(0.04, abs=0.008)


def test_limp_he_is_let_down_to_the_ground(world):
    world.command(world.robot.default_position, np.zeros(21), world.robot.damping)
    world.gantry.lower(speed=0.2)
    _step_until(world, GantryMode.RELEASED, limit=15.0)
    assert world.fallen


def test_fallen_he_is_lifted_upright_without_violence(world):
    world.reset()
    world.push(np.array([1.5, 0.5, 0.0]))
    _step(world, 3.0)
    assert world.fallen
    where = world.odometry().position[:2]
    world.gantry.lift(speed=0.2)
    fastest = 0.0
    start = world.time
    while world.gantry.mode is not GantryMode.HELD:
        world.step()
        fastest = max(fastest, np.abs(world.odometry().linear_velocity).max())
        assert world.time - start < 15.0
    assert fastest < 1.0
    _step(world, 2.0)
    assert not world.fallen
    assert world.odometry().position[2] == pytest.approx(HOLD_HEIGHT, abs=0.005)
    np.testing.assert_allclose(world.odometry().position[:2], where, atol=0.02)
    assert world.data.ncon == 0


def test_let_go_he_drops(world):
    world.gantry.release()
    _step(world, 0.1)
    assert world.gantry.mode is GantryMode.RELEASED
    assert world.odometry().linear_velocity[2] < -0.5


def test_lowering_what_is_not_held_does_nothing(world):
    world.reset()
    world.gantry.lower()
    assert world.gantry.mode is GantryMode.RELEASED


def test_caught_while_he_is_let_down_he_goes_up_again(world):
    world.gantry.lower()
    _step(world, 0.5)
    world.gantry.lift()
    _step_until(world, GantryMode.HELD, limit=3.0)


def test_released_the_gantry_leaves_no_trace_in_physics(world):
    plain = World(TRAINING)
    plain.reset()
    world.reset()
    for _ in range(50):
        plain.step()
        world.step()
    np.testing.assert_array_equal(plain.data.qpos, world.data.qpos)


@pytest.mark.parametrize("speed", [0.0, -1.0, 5.0, float("nan")])
def test_impossible_speeds_are_refused(world, speed):
    with pytest.raises(JackError, match="speed"):
        world.gantry.lower(speed)
    with pytest.raises(JackError, match="speed"):
        world.gantry.lift(speed)


def test_a_scene_without_a_gantry_is_refused():
    model = load_model(TRAINING)
    with pytest.raises(JackError, match="gantry=True"):
        Gantry(model, mujoco.MjData(model))
