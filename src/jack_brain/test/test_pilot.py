from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jack_brain.pilot import Pilot, PilotConfig
from jack_brain.safety import Mode, SafetyLimits
from jack_contract.errors import JackError
from jack_contract.gait import Rhythm
from jack_contract.observation import History
from jack_contract.state import RobotState
from jack_contract.testing import sample_contract, sample_state

SAMPLE = sample_contract()
CONTRACT = replace(SAMPLE, gait=replace(SAMPLE.gait, period=0.8, acceleration=2.0))  # whatever Jack's own is
ROBOT, GAIT, T = CONTRACT.robot, CONTRACT.gait, CONTRACT.robot.control_period
AT_ONCE = PilotConfig(blend=0.0)
STAND, WALK = np.zeros(3, np.float32), np.array([0.5, 0.0, -0.25], np.float32)


class Constant:
    """A policy that always says the same, and remembers what it was shown."""

    def __init__(self, action: float | np.ndarray, value: float = 1.0, stumble_steps: bool = False) -> None:
        self.stumble_steps = stumble_steps
        self.action = np.full(ROBOT.count, action, np.float32) if np.isscalar(action) else action
        self.expected = value
        self.seen: list[tuple[np.ndarray, np.ndarray]] = []

    def act(self, history, command=None):
        self.seen.append((history.copy(), command.copy()))
        return self.action

    def value(self, history, command=None):
        assert np.array_equal(history, self.seen[-1][0]) and np.array_equal(command, self.seen[-1][1])
        return self.expected


def rest(time: float, offset: float = 0.0) -> RobotState:
    state = RobotState.at_rest(ROBOT)
    state.time = np.float64(time)
    state.joint_position += offset
    return state


def drive(pilot: Pilot, ticks: int, start: float = 0.0, offset: float = 0.0) -> list:
    return [pilot.tick(rest(start + k * T, offset), start + k * T) for k in range(ticks)]


def offset_of(decision) -> np.ndarray:
    return decision.targets - ROBOT.default_position


def test_without_a_policy_the_default_pose_is_held():
    pilot = Pilot(CONTRACT)
    decision = drive(pilot, 1)[0]
    assert decision.mode is Mode.HOLD
    assert np.isnan(pilot.value())
    np.testing.assert_allclose(decision.targets, ROBOT.default_position)
    assert np.array_equal(decision.stiffness, ROBOT.stiffness)
    assert np.array_equal(decision.damping, ROBOT.damping)


def test_the_default_pose_is_reached_smoothly_from_the_measured_one():
    decisions = drive(Pilot(CONTRACT), 40, offset=0.3)
    offsets = np.array([offset_of(d) for d in decisions])
    np.testing.assert_allclose(offsets[0], 0.3, atol=1e-6)  # first: where the joints are
    assert np.abs(np.diff(offsets, axis=0)).max() <= 0.5 * T + 1e-9  # at 0.5 rad/s
    np.testing.assert_allclose(offsets[15], 0.15, atol=1e-6)
    np.testing.assert_allclose(offsets[30:], 0.0, atol=1e-6)


def test_a_policy_takes_over_between_two_ticks_and_is_blended_in():
    pilot, policy = Pilot(CONTRACT), Constant(1.0, value=7.0)
    drive(pilot, 3)
    pilot.offer(policy)
    assert pilot.mode is Mode.HOLD  # not before the next tick
    decisions = drive(pilot, 15, start=3 * T)
    assert {d.mode for d in decisions} == {Mode.RUN}
    offsets = [float(offset_of(d).max()) for d in decisions]
    np.testing.assert_allclose(offsets[:11], 0.3 * np.arange(11) / 10, atol=1e-6)  # 0.2 s are ten ticks
    np.testing.assert_allclose(offsets[10:], 0.3, atol=1e-6)
    assert pilot.value() == 7.0
    pilot.stop("pressed")
    assert np.isnan(pilot.value())


def test_a_second_policy_is_blended_with_the_first():
    pilot = Pilot(CONTRACT)
    pilot.offer(Constant(1.0))
    drive(pilot, 20)
    pilot.offer(Constant(-1.0))
    offsets = [float(offset_of(d).max()) for d in drive(pilot, 12, start=20 * T)]
    np.testing.assert_allclose(offsets[:11], 0.3 - 0.6 * np.arange(11) / 10, atol=1e-6)


def test_a_policy_that_comes_in_the_middle_of_a_blend_makes_no_jump():
    pilot = Pilot(CONTRACT)
    pilot.offer(Constant(1.0))
    first = drive(pilot, 6)
    pilot.offer(Constant(-1.0))
    second = drive(pilot, 20, start=6 * T)
    offsets = np.array([offset_of(d).max() for d in first + second])
    assert np.abs(np.diff(offsets)).max() < 0.05
    assert offsets[-1] == pytest.approx(-0.3)


def test_the_first_target_of_a_policy_is_the_measured_pose():
    pilot = Pilot(CONTRACT)
    pilot.offer(Constant(2.0))
    decision = drive(pilot, 1, offset=0.2)[0]
    assert decision.mode is Mode.RUN
    np.testing.assert_allclose(offset_of(decision), 0.2, atol=1e-6)


@pytest.mark.parametrize("command", [STAND, WALK], ids=["stand", "walk"])
def test_the_policy_sees_what_it_saw_in_training(command):
    """The same frames, the same history, its own last action, the same rhythm: no second way to an observation."""
    action = np.linspace(-1, 1, ROBOT.count, dtype=np.float32)
    pilot, policy = Pilot(CONTRACT, config=AT_ONCE), Constant(action, stumble_steps=True)
    pilot.offer(policy)
    pilot.command(command, 0.0)
    history, previous, rhythm = History(CONTRACT.observation), None, Rhythm.at_rest()
    rng = np.random.default_rng(0)
    for k in range(5):
        state = sample_state(ROBOT, rng)
        state.time, state.orientation = np.float64(k * T), np.array([0.0, 0.0, 0.0, 1.0])
        if previous is None:  # nothing was commanded before: the action that asks for the measured pose
            previous = CONTRACT.action.action(ROBOT, state.joint_position)
        decision = pilot.tick(state, k * T)
        gait = GAIT.signal(rhythm)
        frames = history.push(CONTRACT.observation.encode(ROBOT, state, previous, gait))
        np.testing.assert_array_equal(policy.seen[-1][0], frames)
        np.testing.assert_array_equal(policy.seen[-1][1], rhythm.pace.astype(np.float32))
        previous, offsets = policy.action, GAIT.offsets(ROBOT, rhythm)
        rhythm = GAIT.advance(rhythm, command, T, CONTRACT.observation.tipping(frames))
    assert offsets.any()  # told to stand, he stumbles: the readings are random
    np.testing.assert_allclose(decision.targets, CONTRACT.action.targets(ROBOT, policy.action, offsets), atol=1e-6)


def seen_rhythm(policy: Constant) -> np.ndarray:
    """The signal in the newest frame of each tick."""
    return np.array([frames[-1, CONTRACT.observation.slices()["gait"]] for frames, _ in policy.seen])


def test_with_a_command_he_steps():
    pilot, policy = Pilot(CONTRACT, config=replace(AT_ONCE, command_timeout=9.0, command_end=9.0)), Constant(0.0)
    pilot.offer(policy)
    pilot.command(np.array([0.5, 0.0, 0.0]), 0.0)
    offsets = np.array([offset_of(decision) for decision in drive(pilot, 60)])
    ticks = np.arange(60)
    phases = 0.025 * np.maximum(
        ticks - 1, 0
    )  # 0.02 s of 0.8 s, from the tick on at which the pace is above 0.05 m/s
    circle = np.stack((np.sin(2 * np.pi * phases), np.cos(2 * np.pi * phases)), axis=-1)
    np.testing.assert_allclose(seen_rhythm(policy), np.where(ticks[:, None] < 2, 0.0, circle), atol=1e-6)
    np.testing.assert_allclose(offsets[:2], 0.0, atol=1e-9)
    np.testing.assert_allclose(offsets[11], GAIT.swing, atol=1e-9)  # the left foot is highest
    # and lands as far in front as it was behind: joints stride in m/s, at 0.5 m/s
    np.testing.assert_allclose(offsets[21], [-0.5 * forward for forward, _, _ in GAIT.stride], atol=1e-9)
    np.testing.assert_allclose(offsets[41], [0.5 * forward for forward, _, _ in GAIT.stride], atol=1e-9)


def test_when_the_command_ends_he_finishes_the_step_and_stands():
    pilot, policy = Pilot(CONTRACT, config=AT_ONCE), Constant(0.0)
    pilot.offer(policy)
    pilot.command(np.array([0.08, 0.0, 0.0]), 0.0)
    drive(pilot, 5)
    pilot.command(STAND, 5 * T)
    offsets = np.array([offset_of(decision) for decision in drive(pilot, 30, start=5 * T)])
    phases = 0.025 * np.arange(4, 20)  # the left foot's step, and then none of the right
    lift = np.sin(2 * np.pi * phases)[:, None]
    np.testing.assert_allclose(offsets[2:16], (lift * GAIT.swing)[2:], atol=1e-9)  # the pace is 0 after two ticks
    np.testing.assert_allclose(offsets[16:], 0.0, atol=1e-9)
    signal = seen_rhythm(policy)
    assert signal[2:21].any(axis=-1).all() and not signal[21:].any()


@pytest.mark.parametrize("policy", [None, Constant(0.0)], ids=["nobody", "policy"])
def test_without_a_command_or_without_a_policy_he_does_not_step(policy):
    pilot = Pilot(CONTRACT)
    if policy is None:
        pilot.command(WALK, 0.0)
    else:
        pilot.offer(policy)
    for decision in drive(pilot, 30):
        np.testing.assert_array_equal(decision.targets, ROBOT.default_position)
    assert policy is None or not seen_rhythm(policy).any()


@pytest.mark.parametrize("learnt", [False, True])
def test_who_stumbles_takes_a_step_if_his_policy_has_learnt_to(learnt):
    pilot = Pilot(CONTRACT, config=AT_ONCE)
    pilot.offer(Constant(0.0, stumble_steps=learnt))
    drive(pilot, 80)
    falling = rest(80 * T)
    falling.angular_velocity = np.array([0.0, 1.5 * 3 * GAIT.stumble, 0.0])  # what counts is a mean over three
    decisions = [pilot.tick(falling, 80 * T), *drive(pilot, 40, start=81 * T)]
    stepping = np.array([np.abs(offset_of(decision)).max() > 1e-9 for decision in decisions])
    assert not stepping[0] and not stepping[20:].any()  # half a cycle of 0.8 s
    assert (stepping[1:20] == learnt).all()


def test_after_a_fault_in_the_middle_of_a_step_he_begins_with_both_feet_down():
    pilot, policy = Pilot(CONTRACT, config=AT_ONCE), Constant(0.0)
    pilot.offer(policy)
    pilot.command(WALK, 0.0)
    drive(pilot, 8)
    pilot.stop("pressed")
    drive(pilot, 2, start=8 * T)
    pilot.reset(10 * T)
    pilot.command(STAND, 10 * T)
    for decision in drive(pilot, 5, start=10 * T):
        np.testing.assert_allclose(decision.targets, ROBOT.default_position, atol=1e-9)
    assert not seen_rhythm(policy)[8:].any()


def test_a_velocity_command_fades_when_nobody_repeats_it():
    pilot, policy = Pilot(CONTRACT), Constant(0.0)
    pilot.offer(policy)
    pilot.command(np.array([1.0, 0.0, -0.5]), now=0.0)
    drive(pilot, 40)
    forward = np.array([pace[0] for _, pace in policy.seen])
    # by 2 m/s^2 until the command, which is full up to 0.25 s and nothing from 0.5 s on, is less; then down with it
    fading = np.clip((0.5 - T * np.arange(40)) / 0.25, 0.0, 1.0)
    expected = [0.0]
    for asked in fading[:-1]:
        expected.append(expected[-1] + np.clip(asked - expected[-1], -2.0 * T, 2.0 * T))
    np.testing.assert_allclose(forward, expected, atol=1e-6)
    assert 0.6 < forward.max() < 1.0 and forward[-1] == 0.0


def test_without_a_command_nothing_is_asked():
    pilot, policy = Pilot(CONTRACT), Constant(0.0)
    pilot.offer(policy)
    drive(pilot, 2)
    assert not policy.seen[0][1].any()


@pytest.mark.parametrize("velocity", [[np.nan, 0, 0], [0, np.inf, 0], [0.0, 0.0]])
def test_a_command_that_is_no_number_is_refused_and_changes_nothing(velocity):
    pilot, policy = Pilot(CONTRACT), Constant(0.0)
    pilot.offer(policy)
    pilot.command(np.array([0.5, 0.0, 0.0]), 0.0)
    with pytest.raises(JackError, match="finite"):
        pilot.command(np.array(velocity), 0.0)
    drive(pilot, 10)
    assert policy.seen[-1][1] == pytest.approx([9 * 2.0 * T, 0.0, 0.0])  # on its way to 0.5 m/s


FIELDS = [
    "joint_position",
    "joint_velocity",
    "joint_effort",
    "orientation",
    "angular_velocity",
    "linear_acceleration",
]


def assert_damped(decision) -> None:
    assert decision.mode is Mode.DAMP
    assert not decision.stiffness.any()
    assert np.array_equal(decision.damping, ROBOT.damping)
    assert np.isfinite(decision.targets).all()


@settings(max_examples=300, deadline=None)
@given(st.sampled_from(FIELDS), st.sampled_from([np.nan, np.inf, -np.inf]), st.integers(0, 18), st.booleans())
def test_a_reading_that_is_no_number_damps_within_the_tick_and_for_good(field, bad, index, run):
    pilot = Pilot(CONTRACT, config=AT_ONCE)
    if run:
        pilot.offer(Constant(0.5))
    drive(pilot, 2)
    broken = rest(2 * T)
    values = getattr(broken, field)
    values[index % len(values)] = bad
    assert_damped(pilot.tick(broken, 2 * T))
    for decision in drive(pilot, 5, start=3 * T):
        assert_damped(decision)
    assert "finite" in pilot.safety.fault


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf, 1e6, -1e6])
@pytest.mark.parametrize("blend", [0.0, 0.2])
def test_a_policy_that_goes_mad_damps_within_the_tick(bad, blend):
    pilot, policy = Pilot(CONTRACT, config=PilotConfig(blend=blend)), Constant(0.5)
    pilot.offer(policy)
    drive(pilot, 30)
    policy.action = policy.action.copy()
    policy.action[4] = bad
    assert_damped(drive(pilot, 1, start=30 * T)[0])


def test_thousands_of_random_actions_break_no_limit():
    pilot, policy, rng = Pilot(CONTRACT, config=AT_ONCE), Constant(0.0), np.random.default_rng(0)
    pilot.offer(policy)
    previous = drive(pilot, 1)[0].targets
    step = 2.0 * ROBOT.velocity_limit * T + 1e-9
    for k, action in enumerate(rng.uniform(-99, 99, (5000, ROBOT.count)).astype(np.float32), start=1):
        policy.action = action
        targets = pilot.tick(rest(k * T), k * T).targets
        assert np.all(targets >= ROBOT.lower) and np.all(targets <= ROBOT.upper)
        assert np.all(np.abs(targets - previous) <= step)
        previous = targets


def test_a_fall_damps_and_only_a_reset_resumes_from_where_he_is():
    pilot = Pilot(CONTRACT)
    pilot.offer(Constant(1.0))
    drive(pilot, 20)
    lying = rest(20 * T)
    lying.orientation[:] = [np.sqrt(0.5), 0, 0, np.sqrt(0.5)]
    assert_damped(pilot.tick(lying, 20 * T))
    assert {d.mode for d in drive(pilot, 100, start=21 * T)} == {Mode.DAMP}  # upright again: still damped
    pilot.reset(121 * T)
    decision = drive(pilot, 1, start=121 * T, offset=-0.1)[0]
    assert decision.mode is Mode.RUN
    np.testing.assert_allclose(offset_of(decision), -0.1, atol=1e-6)


@pytest.mark.parametrize("policy", [None, Constant(1.0)])
@pytest.mark.parametrize("damped", [False, True])
def test_stop_works_in_every_state(policy, damped):
    pilot = Pilot(CONTRACT)
    if policy:
        pilot.offer(policy)
    drive(pilot, 2)
    if damped:
        pilot.stop("before")
    pilot.stop("pressed")
    assert_damped(pilot.watch(2 * T))
    assert_damped(drive(pilot, 1, start=2 * T)[0])
    assert pilot.safety.fault == ("before" if damped else "pressed")


def test_stale_readings_damp():
    pilot = Pilot(CONTRACT)
    drive(pilot, 2)
    now, decision = T, None
    while decision is None and now < 1.0:
        now += pilot.safety.watch_period
        decision = pilot.watch(now)
    assert now - T <= 0.06 + 1e-9
    assert_damped(decision)


def test_damping_before_any_reading_is_possible():
    pilot = Pilot(CONTRACT)
    assert pilot.watch(0.0) is None
    pilot.stop("pressed")
    assert_damped(pilot.watch(0.0))


def test_a_policy_that_comes_during_a_fault_waits():
    pilot = Pilot(CONTRACT)
    drive(pilot, 1)
    pilot.stop("pressed")
    pilot.offer(Constant(1.0))
    assert drive(pilot, 3, start=T)[-1].mode is Mode.DAMP
    pilot.reset(4 * T)
    assert drive(pilot, 1, start=4 * T)[0].mode is Mode.RUN


def test_a_clock_that_is_set_back_starts_anew_and_trips_nothing():
    pilot = Pilot(CONTRACT)
    pilot.offer(Constant(1.0))
    drive(pilot, 30, start=1000.0)
    decisions = drive(pilot, 30, start=5.0, offset=0.1)
    np.testing.assert_allclose(offset_of(decisions[0]), 0.1, atol=1e-6)
    np.testing.assert_allclose(offset_of(decisions[-1]), 0.3, atol=1e-6)
    assert not pilot.safety.fault


def test_measured_poses_outside_the_limits_are_not_asked_for():
    pilot = Pilot(CONTRACT)
    state = rest(0.0)
    state.joint_position = ROBOT.upper + 0.1
    assert np.all(pilot.tick(state, 0.0).targets <= ROBOT.upper)


@pytest.mark.parametrize("wrong", [{"blend": -1.0}, {"hold_speed": 0.0}, {"command_end": 0.1}, {"blend": np.nan}])
def test_impossible_configurations_are_refused(wrong):
    with pytest.raises(JackError, match="pilot"):
        PilotConfig(**wrong)


def test_limits_are_passed_on():
    pilot = Pilot(CONTRACT, replace(SafetyLimits(), tilt=np.pi))
    pilot.offer(Constant(0.0))
    upside_down = rest(0.0)
    upside_down.orientation[:] = [1, 0, 0, 0]
    assert pilot.tick(upside_down, 0.0).mode is Mode.RUN
