import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from jack_brain.safety import Deadlines, Event, Ladder, Mode, Rung, Safety, SafetyLimits, State, Trip, next_state
from jack_contract.errors import JackError
from jack_contract.state import RobotState
from jack_contract.testing import sample_robot, sample_state

ROBOT = sample_robot()
T = ROBOT.control_period


@pytest.fixture
def safety() -> Safety:
    return Safety(ROBOT, SafetyLimits())


@pytest.fixture
def running() -> Safety:
    """A policy has the body."""
    safety = Safety(ROBOT, SafetyLimits())
    for event in (Event.BEGIN, Event.TAKE_OVER, Event.BLENDED):
        safety.on(event)
    assert safety.state is State.RUNNING
    return safety


def fresh(safety: Safety, now: float) -> bool:
    """Readings that were not held up."""
    return safety.heard(now, now)


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
def test_fault_04_readings_that_stop_trip_after_two_and_before_three_periods(safety, phase):
    fresh(safety, 10.0)
    tripped = watch_until(safety, 10.0 + phase, 11.0)
    assert 2 * T < tripped - 10.0 <= max(3 * T, 0.05) + 1e-9
    assert "No new sensor readings" in safety.fault


def test_fault_04_fast_robots_get_fifty_milliseconds():
    safety = Safety(replace(ROBOT, control_period=0.005), SafetyLimits())
    fresh(safety, 0.0)
    assert 0.045 < watch_until(safety, 0.0, 1.0) <= 0.05 + 1e-9


def test_readings_that_come_in_time_never_trip(safety):
    for now in np.arange(0.0, 5.0, T):
        fresh(safety, float(now))
        assert watch_until(safety, float(now), float(now) + T) is None


def test_nothing_is_stale_before_the_first_reading(safety):
    assert watch_until(safety, 0.0, 5.0) is None


def test_a_clock_that_stands_still_makes_nothing_stale(safety):
    fresh(safety, 3.0)
    for _ in range(1000):
        safety.watch(3.0)
    assert not safety.fault


def test_a_stall_of_this_process_trips_nothing_if_readings_were_waiting(safety):
    fresh(safety, 0.0)
    safety.watch(0.01)
    safety.watch(0.4)  # kept from running for 0.39 s
    fresh(safety, 0.401)  # what had queued up is processed now
    safety.watch(0.41)
    assert not safety.fault
    assert watch_until(safety, 0.42, 0.6) is not None  # and then nothing more came


def test_fault_11_a_fault_latches_with_its_first_reason(safety):
    safety.trip(Trip.TILT, "one")
    safety.trip(Trip.STOP, "two")
    fresh(safety, 1.0)
    safety.check_state(RobotState.at_rest(ROBOT))
    assert (safety.fault, safety.state) == ("one", State.FAULT)
    safety.reset(2.0)
    assert (safety.fault, safety.last_fault, safety.state) == ("", "one", State.HOLDING)
    assert {kind for kind, count in safety.trips.items() if count} == {Trip.TILT}


def test_fault_11_after_a_reset_dead_sensors_trip_again(safety):
    fresh(safety, 0.0)
    watch_until(safety, 0.0, 1.0)
    safety.reset(5.0)
    assert 2 * T < watch_until(safety, 5.0, 6.0) - 5.0 <= 0.06 + 1e-9


@pytest.mark.parametrize("axis", [0, 1])
def test_fault_10_a_body_that_lies_trips_only_while_a_policy_has_it(safety, running, axis):
    for angle in (0.0, 0.99, -0.99):
        running.check_state(tilted(angle, axis))
    safety.check_state(tilted(1.01, axis))
    assert not safety.fault and not running.fault
    running.check_state(tilted(-1.01, axis))
    assert "tilted by more than 1 rad" in running.fault
    assert running.trips[Trip.TILT] == 1


def test_turning_is_no_tilt(running):
    running.check_state(tilted(3.0, axis=2))
    assert not running.fault


def test_fault_10_getting_up_may_opt_out_of_the_tilt():
    safety = Safety(ROBOT, SafetyLimits(tilt=math.pi))
    for event in (Event.BEGIN, Event.TAKE_OVER):
        safety.on(event)
    safety.check_state(tilted(math.pi))
    assert not safety.fault


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("field", list(vars(RobotState.at_rest(ROBOT))))
def test_fault_01_a_reading_that_is_no_number_trips(safety, field, bad):
    state = sample_state(ROBOT, np.random.default_rng(0), ())
    state.time = np.array(1.0)
    getattr(state, field).flat[0] = bad
    safety.check_state(state)
    assert "finite" in safety.fault
    assert safety.trips[Trip.NOT_FINITE] == 1


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf, 1e6, -1e6])
def test_fault_02_an_action_beyond_reason_trips(safety, bad):
    action = np.zeros(ROBOT.count)
    safety.check_action(action)
    assert not safety.fault
    action[5] = bad
    safety.check_action(action)
    assert "action" in safety.fault


def torque(targets: np.ndarray, state: RobotState) -> np.ndarray:
    """What the joints' position control asks for, [N m]."""
    return ROBOT.stiffness * (targets - state.joint_position) - ROBOT.damping * state.joint_velocity


@given(st.integers(0, 2**32 - 1), st.floats(0, 1e12))
def test_fault_03_no_target_breaks_a_limit(seed, size):
    safety, rng, state = Safety(ROBOT, SafetyLimits()), np.random.default_rng(seed), RobotState.at_rest(ROBOT)
    state.joint_position = rng.uniform(ROBOT.lower, ROBOT.upper)
    state.joint_velocity = rng.uniform(-1.0, 1.0, ROBOT.count)  # so that a joint can be braked within its range
    previous = state.joint_position + rng.uniform(-0.2, 0.2, ROBOT.count)
    targets = safety.limit(size * rng.normal(size=ROBOT.count), previous, state)
    assert np.all(targets >= ROBOT.lower) and np.all(targets <= ROBOT.upper)
    inside = np.abs(np.clip(previous, ROBOT.lower, ROBOT.upper) - previous) == 0
    assert np.all((np.abs(targets - previous) <= 2.0 * ROBOT.velocity_limit * T + 1e-12)[inside])
    assert np.all(np.abs(torque(targets, state)) <= ROBOT.effort_limit + 1e-9)


def test_a_target_that_asks_for_too_much_torque_asks_for_the_limit(safety):
    """Joint 0: 40 N m/rad, 2 N m s/rad, 30 N m: 0.75 rad at rest; 0.25 rad more while it moves there at 5 rad/s."""
    state, far = RobotState.at_rest(ROBOT), ROBOT.default_position.copy()
    far[0] += 0.9
    assert safety.limit(far, far, state)[0] == pytest.approx(ROBOT.default_position[0] + 0.75)
    assert safety.cut == 1
    state.joint_velocity[0] = 5.0
    assert safety.limit(far, far, state)[0] == pytest.approx(far[0])  # 36 N m less 10
    assert safety.cut == 1
    state.joint_velocity[0] = -5.0
    targets = safety.limit(far, far, state)
    assert targets[0] == pytest.approx(ROBOT.default_position[0] + 0.5)
    assert torque(targets, state)[0] == pytest.approx(30.0)


def test_without_stiffness_a_target_calls_for_no_torque():
    limp = replace(ROBOT, joints=tuple(replace(joint, stiffness=0.0) for joint in ROBOT.joints))
    safety, targets = Safety(limp, SafetyLimits()), ROBOT.default_position + 0.1
    state = RobotState.at_rest(limp)
    state.joint_velocity += 9.0
    assert np.array_equal(safety.limit(targets, ROBOT.default_position, state), targets)


def test_targets_within_the_limits_are_not_touched(safety):
    targets = ROBOT.default_position + 0.1
    assert np.array_equal(safety.limit(targets, ROBOT.default_position, RobotState.at_rest(ROBOT)), targets)
    assert safety.cut == 0


def test_a_target_outside_comes_back_even_from_outside(safety):
    outside, state = ROBOT.upper + 0.3, RobotState.at_rest(ROBOT)
    state.joint_position = outside
    assert np.array_equal(safety.limit(outside, outside, state), ROBOT.upper)


@pytest.mark.parametrize("sign", [-1.0, 1.0])
def test_fault_03_a_joint_that_races_trips_in_whatever_state(safety, sign):
    state = RobotState.at_rest(ROBOT)
    state.joint_velocity = 1.49 * sign * ROBOT.velocity_limit
    safety.check_state(state)
    assert not safety.fault
    state.joint_velocity[3] = 1.51 * sign * ROBOT.velocity_limit[3]
    safety.check_state(state)
    assert ROBOT.joint_names[3] in safety.fault and "rad/s" in safety.fault
    assert safety.trips[Trip.SPEED] == 1


# -- the machine


U, H, B, R, D, F = State
#: Where each event leads from each state, in the order of the states.
TABLE = {
    Event.BEGIN: (H, H, B, R, D, F),
    Event.TAKE_OVER: (U, B, B, B, D, F),
    Event.BLENDED: (U, H, R, R, D, F),
    Event.STOP: (D, D, D, D, D, F),
    Event.FAIL: (F, F, F, F, D, F),
    Event.RESET: (U, H, B, R, H, H),
    Event.END: (U, U, U, U, D, F),
}


@pytest.mark.parametrize("event", Event)
def test_every_event_leads_from_every_state_where_it_should(event):
    assert tuple(next_state(state, event) for state in State) == TABLE[event]


def test_states_say_who_has_the_body():
    assert [state.mode for state in State] == [Mode.HOLD, Mode.HOLD, Mode.RUN, Mode.RUN, Mode.DAMP, Mode.DAMP]


@given(st.lists(st.sampled_from(list(Event))))
def test_fault_11_nothing_but_a_reset_leaves_a_latch(events):
    state = State.UNCONFIGURED
    for event in events:
        before, state = state, next_state(state, event)
        if before in (State.DAMPING, State.FAULT) and state is not before:
            assert event is Event.RESET


@pytest.mark.parametrize("state", State)
def test_fault_13_stop_damps_in_every_state(safety, state):
    safety.state = state
    safety.fault = "something" if state.mode is Mode.DAMP else ""
    safety.trip(Trip.STOP, "pressed")
    assert safety.state is (state if state.mode is Mode.DAMP else State.DAMPING)
    assert safety.state.mode is Mode.DAMP


@pytest.mark.parametrize("kind", Trip)
def test_every_kind_of_trip_is_counted(safety, kind):
    for _ in range(2):
        safety.trip(kind, "why")
        safety.trip(kind, "once more")  # nothing new while it is latched
        assert safety.state is (State.DAMPING if kind is Trip.STOP else State.FAULT)
        safety.reset(1.0)
    assert safety.trips == {other: 2 * (other is kind) for other in Trip}


# -- ages


@pytest.mark.parametrize(
    ("reading", "picture", "rung"),
    [
        (0.0, None, Rung.FULL),
        (0.04, 0.2, Rung.FULL),
        (0.04, 0.21, Rung.PROPRIOCEPTION),
        (0.0, math.inf, Rung.PROPRIOCEPTION),
        (0.041, 0.0, Rung.HOLD),
        (0.06, None, Rung.HOLD),
        (0.061, 0.0, Rung.DAMP),
    ],
)
def test_fault_07_what_is_late_is_left_out_step_by_step(reading, picture, rung):
    assert SafetyLimits().ladder(0.02) == Ladder(pytest.approx(0.04), pytest.approx(0.06), 0.2)
    assert Ladder(0.04, 0.06, 0.2).rung(reading, picture) is rung


@given(*[st.floats(0, 1)] * 4)
def test_no_age_leads_up_the_ladder(reading, older, picture, staler):
    ladder = Ladder(0.04, 0.06, 0.2)
    assert ladder.rung(reading, picture) <= ladder.rung(reading + older, picture + staler)


def test_fault_07_a_picture_is_as_old_as_its_stamp_or_its_arrival_says():
    safety = Safety(ROBOT, SafetyLimits(), watches_camera=True)
    fresh(safety, 10.0)
    assert safety.rung(10.0) is Rung.PROPRIOCEPTION  # none yet
    safety.saw(9.9, 10.0)
    assert safety.rung(10.0) is Rung.FULL
    safety.saw(9.7, 10.0)  # it came late
    assert safety.rung(10.0) is Rung.PROPRIOCEPTION
    safety.saw(10.0, 10.0)
    fresh(safety, 10.19)
    assert safety.rung(10.19) is Rung.FULL
    fresh(safety, 10.21)
    assert safety.rung(10.21) is Rung.PROPRIOCEPTION  # and none came after it
    assert Safety(ROBOT, SafetyLimits()).rung(0.0) is Rung.FULL  # nobody wants any


def test_fault_05_readings_that_are_held_up_are_stale_although_they_keep_coming(safety):
    """Their stamps fall behind: 10 ms a period, as in a queue that grows."""
    tripped = None
    for tick in range(40):
        now = 1.0 + tick * T
        current = safety.heard(now - 0.01 * tick, now)
        assert current == (tick <= 4)  # 40 ms are late
        safety.watch(now + 0.004)
        safety.watch(now + 0.014)
        if safety.fault:
            tripped = now
            break
    assert tripped - (1.0 + 4 * T) <= 0.06 + 1e-9 and safety.late > 0
    assert safety.trips[Trip.STALE] == 1


def test_one_late_reading_does_no_harm(safety):
    for tick in range(50):
        now = 1.0 + tick * T
        assert safety.heard(now - (0.05 if tick == 25 else 0.0), now) == (tick != 25)
        safety.watch(now + 0.004)
        safety.watch(now + 0.014)
    assert not safety.fault and safety.late == 1


@pytest.mark.parametrize("jump", [-3600.0, 3600.0, -1.5, 2.0])
def test_fault_28_a_wall_clock_that_is_set_makes_no_reading_late(safety, jump):
    for tick in range(100):
        now = 50.0 + tick * T
        assert safety.heard(1e9 + now + (jump if tick >= 50 else 0.0), now)
        safety.watch(now + 0.01)
    assert not safety.fault


def still(time: float) -> RobotState:
    state = RobotState.at_rest(ROBOT)
    state.time = np.float64(time)
    return state


def feed_frozen(safety: Safety, moving: bool, ticks: int = 20, start: float = 1.0) -> float | None:
    """The same readings again and again; for how long when a fault tripped."""
    for tick in range(ticks):
        now = start + tick * T
        targets = ROBOT.default_position + (1e-3 * tick if moving else 0.0)
        safety.check_frozen(still(now), targets, now)
        if safety.fault:
            return now - start
    return None


def test_fault_05_frozen_values_trip_while_the_targets_move(running):
    took = feed_frozen(running, moving=True)
    assert 2 * T < took <= 3 * T + 1e-9
    assert "identical" in running.fault and running.trips[Trip.FROZEN] == 1


def test_a_robot_that_stands_at_rest_without_noise_is_not_frozen(running):
    assert feed_frozen(running, moving=False) is None


def test_a_robot_on_the_gantry_without_a_policy_is_not_frozen(safety):
    safety.on(Event.BEGIN)
    assert feed_frozen(safety, moving=True) is None


@pytest.mark.parametrize(
    "field", ["joint_position", "joint_velocity", "orientation", "angular_velocity", "linear_acceleration"]
)
def test_a_single_bit_that_changes_is_life(running, field):
    for tick in range(20):
        state, now = still(tick * T), tick * T
        values = getattr(state, field)
        values[-1] = np.nextafter(values[-1], 2.0) if tick % 2 else values[-1]
        running.check_frozen(state, ROBOT.default_position + 1e-3 * tick, now)
    assert not running.fault


# -- deadlines


def test_fault_09_missed_control_periods_are_counted_by_the_gaps_between_commands():
    deadlines, now = Deadlines(T), 5.0
    for gap, missed, in_a_row in [
        (0.0, 0, 0),
        (T, 0, 0),
        (1.4 * T, 0, 0),  # late, but there is no period without a decision
        (2.0 * T, 1, 1),
        (3.1 * T, 3, 3),
        (T, 3, 0),
        (1.6 * T, 4, 1),
        (0.1 * T, 4, 0),
    ]:
        now += gap
        deadlines.sent(now)
        assert (deadlines.missed, deadlines.in_a_row) == (missed, in_a_row)
    deadlines.rest()
    deadlines.sent(now + 100.0)
    assert deadlines.missed == 4
    deadlines.sent(now)  # a simulated clock that was set back
    assert deadlines.missed == 4


@pytest.mark.parametrize("gaps", [[6 * T], [2 * T] * 5, [3 * T, 3 * T, 2 * T]])
def test_fault_09_five_missed_in_a_row_damp_and_four_do_not(gaps):
    for shorter in (False, True):
        safety, now = Safety(ROBOT, SafetyLimits()), 1.0
        safety.sent(now)
        for index, gap in enumerate(gaps):
            now += gap - (T if shorter and index == len(gaps) - 1 else 0.0)
            safety.sent(now)
        assert bool(safety.fault) != shorter
    assert "in a row" in safety.last_fault or shorter


def test_in_a_simulation_any_number_may_be_missed():
    safety = Safety(ROBOT, SafetyLimits(missed=0))
    for now in (1.0, 9.0):
        safety.sent(now)
    assert not safety.fault and safety.deadlines.missed == 399


@pytest.mark.parametrize(
    "wrong",
    [
        {"tilt": 0.0},
        {"tilt": math.nan},
        {"step": -1.0},
        {"action": math.inf},
        {"stale_periods": 1.0},
        {"missed": -1},
    ],
)
def test_impossible_limits_are_refused(wrong):
    with pytest.raises(JackError, match=next(iter(wrong))):
        SafetyLimits(**wrong)
