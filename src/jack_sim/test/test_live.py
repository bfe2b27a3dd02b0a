import dataclasses

import numpy as np
import pytest

from jack_contract.wire import JointTargets
from jack_sim.gantry import GantryMode
from jack_sim.live import Drive, LiveWorld
from jack_sim.physics import World
from jack_sim.scene import LIVE

FAST = dataclasses.replace(LIVE, visuals=False)


@pytest.fixture
def world():
    return World(FAST)


def hold_pose(world):
    robot = world.robot
    return JointTargets(robot.default_position, robot.stiffness, robot.damping)


def advance(live, seconds, drive=None):
    """Let time pass, commanding the default pose all the while if `drive` is given; returns what happened."""
    events = []
    for _ in range(round(seconds / live.world.robot.control_period)):
        if drive is not None:
            live.obey(hold_pose(live.world), drive)
        events += filter(None, [live.advance()])
    return events


@pytest.mark.parametrize(
    ("gantry", "mode"), [("auto", GantryMode.HELD), ("always", GantryMode.HELD), ("never", GantryMode.RELEASED)]
)
def test_how_he_starts(world, gantry, mode):
    live = LiveWorld(world, gantry, seed=0, command_timeout=0.1)
    advance(live, 0.5)
    assert live.gantry is mode and live.steps == 25


def test_a_policy_that_holds_the_pose_is_let_down_and_stands(world):
    live = LiveWorld(world, "auto", seed=0, command_timeout=0.1)
    events = advance(live, 6.0, Drive.POLICY)
    assert events == ["Jack is let down", "Jack stands on his own feet"]
    assert live.gantry is GantryMode.RELEASED and not world.fallen and live.standing > 1.0 and live.falls == 0


def test_without_a_policy_he_hangs_on(world):
    live = LiveWorld(world, "auto", seed=0, command_timeout=0.1)
    assert advance(live, 3.0, Drive.NOBODY) == []
    assert live.gantry is GantryMode.HELD


def test_on_means_for_good(world):
    live = LiveWorld(world, "always", seed=0, command_timeout=0.1)
    assert advance(live, 3.0, Drive.POLICY) == []
    assert live.gantry is GantryMode.HELD


def test_commands_that_stop_are_followed_by_damping_once(world):
    live = LiveWorld(world, "always", seed=0, command_timeout=0.1)
    advance(live, 0.1, Drive.POLICY)
    assert advance(live, 0.06) == [] and not live.damped
    assert advance(live, 0.1) == ["No joint command for 0.1 s: the joints are damped"]
    assert live.damped
    np.testing.assert_array_equal(world.model.actuator_gainprm[:, 0], 0.0)
    assert (world.model.actuator_biasprm[:, 2] < 0).all()
    live.obey(hold_pose(world), Drive.POLICY)
    assert not live.damped and (world.model.actuator_gainprm[:, 0] > 0).all()


def test_who_is_never_commanded_keeps_his_pose(world):
    live = LiveWorld(world, "never", seed=0, command_timeout=0.1)
    assert advance(live, 1.0) == [] and not live.damped


def test_a_fall_a_lift_and_the_brain_may_be_cleared(world):
    live = LiveWorld(world, "auto", seed=0, command_timeout=0.1)
    advance(live, 6.0, Drive.POLICY)
    world.push(np.array([3.0, 0.0, 0.0]))
    fell = [event for event in advance(live, 3.0, Drive.POLICY) if "fell after" in event]
    assert len(fell) == 1 and live.falls == 1
    for _ in range(400):
        advance(live, 0.1, Drive.FAULT)
        if live.wants_reset:
            break
    assert live.wants_reset and live.gantry is GantryMode.HELD and not world.fallen


def test_a_reset_puts_him_back_and_the_clock_goes_on(world):
    live = LiveWorld(world, "auto", seed=0, command_timeout=0.1)
    start = world.position
    advance(live, 6.0, Drive.POLICY)
    live.reset(0)
    assert world.time == pytest.approx(6.0)
    np.testing.assert_array_equal(world.position, start)
    assert live.gantry is GantryMode.HELD
    live.reset(7)
    assert not np.array_equal(world.position, start)


def test_physics_that_breaks_down_is_told_and_starts_anew(world):
    live = LiveWorld(world, "never", seed=0, command_timeout=0.1)
    world.data.qvel[:] = 1e12
    assert "diverged" in (live.advance() or "")
    assert np.isfinite(world.position).all() and live.advance() is None
