import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from jack_brain.safety import Mode, Safety, SafetyLimits
from jack_contract.errors import JackError
from jack_contract.state import RobotState
from jack_contract.testing import sample_robot, sample_state

ROBOT = sample_robot()
T = ROBOT.control_period


@pytest.fixture
def safety() -> Safety:
    return Safety(ROBOT, SafetyLimits())


def tilted(angle: float, axis: int = 0) -> RobotState:
    state = RobotState.at_rest(ROBOT)
    state.orientation[:] = 0
    state.orientation[axis], state.orientation[3] = math.sin(angle / 2), math.cos(angle / 2)
    return state


def watch_until(safety: Safety, start: float, end: float) -> float | None:
    """Watch at the period it asks for; the time at which a fault tripped."""
    for now in np.arange(start, end, safety.watch_period):
        safety.watch(float(now))
        if safety.fault:
            return float(now)
    return None


@pytest.mark.parametrize("phase", np.linspace(0, T / 2, 7))
def test_readings_that_stop_trip_after_two_and_before_three_periods(safety, phase):
    safety.fresh(10.0)
    tripped = watch_until(safety, 10.0 + phase, 11.0)
    assert 2 * T < tripped - 10.0 <= max(3 * T, 0.05) + 1e-9
    assert "No new sensor readings" in safety.fault


def test_fast_robots_get_fifty_milliseconds():
    safety = Safety(replace(ROBOT, control_period=0.005), SafetyLimits())
    safety.fresh(0.0)
    assert 0.045 < watch_until(safety, 0.0, 1.0) <= 0.05 + 1e-9


def test_readings_that_come_in_time_never_trip(safety):
    for now in np.arange(0.0, 5.0, T):
        safety.fresh(float(now))
        assert watch_until(safety, float(now), float(now) + T) is None


def test_nothing_is_stale_before_the_first_reading(safety):
    assert watch_until(safety, 0.0, 5.0) is None


def test_a_clock_that_stands_still_makes_nothing_stale(safety):
    safety.fresh(3.0)
    for _ in range(1000):
        safety.watch(3.0)
    assert not safety.fault


def test_a_stall_of_this_process_trips_nothing_if_readings_were_waiting(safety):
    safety.fresh(0.0)
    safety.watch(0.01)
    safety.watch(0.4)  # kept from running for 0.39 s
    safety.fresh(0.401)  # what had queued up is processed now
    safety.watch(0.41)
    assert not safety.fault
    assert watch_until(safety, 0.42, 0.6) is not None  # and then nothing more came


def test_a_fault_latches_with_its_first_reason(safety):
    safety.trip("one")
    safety.trip("two")
    safety.fresh(1.0)
    safety.check_state(RobotState.at_rest(ROBOT), Mode.RUN)
    assert safety.fault == "one"
    safety.reset(2.0)
    assert safety.fault == ""


def test_after_a_reset_dead_sensors_trip_again(safety):
    safety.fresh(0.0)
    watch_until(safety, 0.0, 1.0)
    safety.reset(5.0)
    assert 2 * T < watch_until(safety, 5.0, 6.0) - 5.0 <= 0.06 + 1e-9


@pytest.mark.parametrize("axis", [0, 1])
def test_a_body_that_lies_trips_only_while_a_policy_has_it(safety, axis):
    for angle in (0.0, 0.99, -0.99):
        safety.check_state(tilted(angle, axis), Mode.RUN)
    safety.check_state(tilted(1.01, axis), Mode.HOLD)
    assert not safety.fault
    safety.check_state(tilted(-1.01, axis), Mode.RUN)
    assert "tilted by more than 1 rad" in safety.fault


def test_turning_is_no_tilt(safety):
    safety.check_state(tilted(3.0, axis=2), Mode.RUN)
    assert not safety.fault


def test_getting_up_may_opt_out_of_the_tilt():
    safety = Safety(ROBOT, SafetyLimits(tilt=math.pi))
    safety.check_state(tilted(math.pi), Mode.RUN)
    assert not safety.fault


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("field", list(vars(RobotState.at_rest(ROBOT))))
def test_a_reading_that_is_no_number_trips(safety, field, bad):
    state = sample_state(ROBOT, np.random.default_rng(0), ())
    state.time = np.array(1.0)
    getattr(state, field).flat[0] = bad
    safety.check_state(state, Mode.HOLD)
    assert "finite" in safety.fault


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf, 1e6, -1e6])
def test_an_action_beyond_reason_trips(safety, bad):
    action = np.zeros(ROBOT.count)
    safety.check_action(action)
    assert not safety.fault
    action[5] = bad
    safety.check_action(action)
    assert "action" in safety.fault


@given(st.integers(0, 2**32 - 1), st.floats(0, 1e12))
def test_no_target_breaks_a_limit(seed, size):
    safety, rng = Safety(ROBOT, SafetyLimits()), np.random.default_rng(seed)
    previous = rng.uniform(ROBOT.lower, ROBOT.upper)
    targets = safety.limit(size * rng.normal(size=ROBOT.count), previous)
    assert np.all(targets >= ROBOT.lower) and np.all(targets <= ROBOT.upper)
    assert np.all(np.abs(targets - previous) <= 2.0 * ROBOT.velocity_limit * T + 1e-12)


def test_targets_within_the_limits_are_not_touched(safety):
    targets = ROBOT.default_position + 0.1
    assert np.array_equal(safety.limit(targets, ROBOT.default_position), targets)


def test_a_target_outside_comes_back_even_from_outside(safety):
    outside = ROBOT.upper + 0.3
    assert np.array_equal(safety.limit(outside, outside), ROBOT.upper)


@pytest.mark.parametrize(
    "wrong", [{"tilt": 0.0}, {"tilt": math.nan}, {"step": -1.0}, {"action": math.inf}, {"stale_periods": 1.0}]
)
def test_impossible_limits_are_refused(wrong):
    with pytest.raises(JackError, match=next(iter(wrong))):
        SafetyLimits(**wrong)
