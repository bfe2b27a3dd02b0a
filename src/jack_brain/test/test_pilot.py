from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jack_brain.pilot import Pilot, PilotConfig
from jack_brain.safety import Mode, Rung, SafetyLimits, State, Trip
from jack_brain.shadow import AUTO, TrialConfig
from jack_contract.errors import JackError
from jack_contract.gait import REACH, Beat, Rhythm
from jack_contract.observation import History
from jack_contract.state import RobotState
from jack_contract.testing import sample_contract, sample_state

SAMPLE = sample_contract()
CONTRACT = replace(SAMPLE, gait=replace(SAMPLE.gait, period=0.8, acceleration=2.0))  # whatever Jack's own is
ROBOT, GAIT, T = CONTRACT.robot, CONTRACT.gait, CONTRACT.robot.control_period
AT_ONCE = PilotConfig(blend=0.0)
#: The newest policy takes over, and whatever comes of it is kept.
UNTRIED = TrialConfig(promote=AUTO, seconds=0.0, probation=0.0)
STAND, WALK = np.zeros(3, np.float32), np.array([0.5, 0.0, -0.25], np.float32)


class Constant:
    """A policy that always says the same, and remembers what it was shown."""

    def __init__(
        self,
        action: float | np.ndarray,
        value: float = 1.0,
        stumble_steps: bool = False,
        beat: Beat | None = None,
    ) -> None:
        self.stumble_steps, self.beat = stumble_steps, beat
        self.action = np.full(ROBOT.count, action, np.float32) if np.isscalar(action) else action
        self.expected, self.estimates = value, True
        self.sha256 = f"{id(self):064x}"
        self.seen: list[tuple[np.ndarray, np.ndarray]] = []

    def act(self, history, command=None):
        self.seen.append((history.copy(), command.copy()))
        return self.action

    def infer(self, history, command=None):
        self.asked = history.copy(), command.copy()
        return self.action, self.expected


def rest(time: float, offset: float = 0.0) -> RobotState:
    state = RobotState.at_rest(ROBOT)
    state.time = np.float64(time)
    state.joint_position += offset
    state.linear_acceleration[2] += 1e-3 * np.sin(99.0 * time)  # no real sensor stands still
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
    assert pilot.value() == 7.0  # of what it decided on
    assert all(map(np.array_equal, policy.asked, policy.seen[-1]))
    pilot.stop("pressed")
    assert np.isnan(pilot.value())


def test_fault_12_a_second_policy_is_blended_with_the_first():
    pilot = Pilot(CONTRACT, trial=UNTRIED)
    pilot.offer(Constant(1.0))
    drive(pilot, 20)
    pilot.offer(Constant(-1.0))
    offsets = [float(offset_of(d).max()) for d in drive(pilot, 12, start=20 * T)]
    np.testing.assert_allclose(offsets[:11], 0.3 - 0.6 * np.arange(11) / 10, atol=1e-6)


def test_fault_12_a_policy_that_comes_in_the_middle_of_a_blend_makes_no_jump():
    pilot = Pilot(CONTRACT, trial=UNTRIED)
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
        state.joint_position = ROBOT.default_position + 0.1 * (state.joint_position - ROBOT.default_position)
        state.joint_velocity *= 0.1  # so that no target has to be cut back
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


def test_a_policy_walks_at_the_beat_it_has_learnt():
    """A cycle of 1.0 s at 0.5 m/s where the contract has 0.8 s; from the third tick on, while the pace grows."""
    pilot = Pilot(CONTRACT, config=replace(AT_ONCE, command_timeout=9.0, command_end=9.0))
    policy = Constant(0.0, beat=Beat(1.0, 0.5))
    pilot.offer(policy)
    pilot.command(np.array([0.5, 0.0, 0.0]), 0.0)
    drive(pilot, 60)
    short = np.maximum(0.5 - 0.04 * np.arange(2, 60), 0.0)  # of the pace that counts in full [m/s]
    angles = 2 * np.pi * np.cumsum(0.02 / (0.8 + 0.2 * np.exp(-((short / REACH) ** 2))))
    np.testing.assert_allclose(seen_rhythm(policy)[2:], np.stack((np.sin(angles), np.cos(angles)), -1), atol=1e-6)


def test_another_policy_brings_its_own_beat_and_takes_the_step_on_from_where_it_is():
    pilot = Pilot(CONTRACT, config=replace(AT_ONCE, command_timeout=9.0, command_end=9.0), trial=UNTRIED)
    first, second = Constant(0.0), Constant(0.0, beat=Beat(0.5, 0.2))
    pilot.offer(first)
    pilot.command(np.array([0.2, 0.0, 0.0]), 0.0)  # reached after five ticks
    drive(pilot, 10)
    pilot.offer(second)
    drive(pilot, 10, start=10 * T)
    sine, cosine = np.concatenate((seen_rhythm(first)[2:], seen_rhythm(second))).T
    grown = np.diff(np.unwrap(np.arctan2(sine, cosine))) / (2 * np.pi)
    # 0.02 s of 0.8 s, until the first tick in which the second one decides is over; then of 0.5 s
    np.testing.assert_allclose(grown, [0.025] * 8 + [0.04] * 9, atol=1e-6)


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


def test_fault_06_a_velocity_command_fades_when_nobody_repeats_it():
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


@settings(max_examples=1000, deadline=None)
@given(st.sampled_from(FIELDS), st.sampled_from([np.nan, np.inf, -np.inf]), st.integers(0, 18), st.booleans())
def test_fault_01_a_reading_that_is_no_number_damps_within_the_tick_and_for_good(field, bad, index, run):
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
def test_fault_02_a_policy_that_goes_mad_damps_within_the_tick(bad, blend):
    pilot, policy = Pilot(CONTRACT, config=PilotConfig(blend=blend)), Constant(0.5)
    pilot.offer(policy)
    drive(pilot, 30)
    policy.action = policy.action.copy()
    policy.action[4] = bad
    assert_damped(drive(pilot, 1, start=30 * T)[0])


def follow(state: RobotState, targets: np.ndarray) -> RobotState:
    """Joints a control period later: one unit of inertia each, torque as their position control has it."""
    q, dq, step = state.joint_position.copy(), state.joint_velocity.copy(), T / 4
    for _ in range(4):
        torque = np.clip(
            ROBOT.stiffness * (targets - q) - ROBOT.damping * dq, -ROBOT.effort_limit, ROBOT.effort_limit
        )
        dq = dq + step * torque
        q = q + step * dq
    after = rest(float(state.time) + T)
    after.joint_position, after.joint_velocity = q, dq
    return after


def random_actions(count: int, seed: int) -> None:
    """A policy that says anything: no limit of position, speed, torque or step is passed, in any tick."""
    pilot, policy, rng = Pilot(CONTRACT, config=AT_ONCE), Constant(0.0), np.random.default_rng(seed)
    pilot.offer(policy)
    state = rest(0.0)
    previous = pilot.tick(state, 0.0).targets
    step, effort = 2.0 * ROBOT.velocity_limit * T + 1e-9, ROBOT.effort_limit + 1e-9
    sizes = 10.0 ** rng.uniform(-2, 1.99, count)
    for size in sizes:
        state = follow(state, previous)
        policy.action = rng.uniform(-size, size, ROBOT.count).astype(np.float32)
        decision = pilot.tick(state, float(state.time))
        targets = decision.targets
        torque = ROBOT.stiffness * (targets - state.joint_position) - ROBOT.damping * state.joint_velocity
        assert decision.mode is Mode.RUN, pilot.safety.fault
        assert (targets >= ROBOT.lower).all() and (targets <= ROBOT.upper).all()
        assert (np.abs(targets - previous) <= step).all()
        assert (np.abs(torque) <= effort).all()
        assert (np.abs(state.joint_velocity) <= 1.5 * ROBOT.velocity_limit).all()
        previous = targets
    assert pilot.safety.cut > count / 10  # and they did not keep to the limits by themselves


def test_fault_03_ten_thousand_random_actions_break_no_limit():
    random_actions(10_000, seed=0)


@pytest.mark.soak
def test_fault_03_a_million_random_actions_break_no_limit():
    random_actions(1_000_000, seed=1)


def test_fault_03_a_joint_that_races_damps_within_the_tick():
    pilot = Pilot(CONTRACT)
    drive(pilot, 2)
    racing = rest(2 * T)
    racing.joint_velocity[7] = -1.6 * ROBOT.velocity_limit[7]
    assert_damped(pilot.tick(racing, 2 * T))
    assert ROBOT.joint_names[7] in pilot.safety.fault


def test_fault_10_a_fall_damps_and_only_a_reset_resumes_from_where_he_is():
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


def bring(state: State) -> Pilot:
    """A pilot in a state, to which it came by itself."""
    pilot = Pilot(CONTRACT, config=PilotConfig(blend=0.2))
    if state is not State.UNCONFIGURED:
        drive(pilot, 2)
    if state in (State.BLENDING, State.RUNNING):
        pilot.offer(Constant(1.0))
        drive(pilot, 2 if state is State.BLENDING else 20, start=2 * T)
    if state is State.DAMPING:
        pilot.stop("before")
    if state is State.FAULT:
        pilot.safety.trip(Trip.TILT, "before")
    assert pilot.safety.state is state
    return pilot


@pytest.mark.parametrize("state", State)
def test_fault_13_stop_damps_within_a_period_in_every_state(state):
    pilot = bring(state)
    latched = state in (State.DAMPING, State.FAULT)
    pilot.stop("pressed")
    assert pilot.safety.state is (state if latched else State.DAMPING)
    assert_damped(pilot.watch(22 * T))
    assert_damped(drive(pilot, 1, start=22 * T)[0])
    assert pilot.safety.fault == ("before" if latched else "pressed")


@pytest.mark.parametrize("state", [State.DAMPING, State.FAULT])
def test_fault_11_a_hundred_good_readings_resume_nothing(state):
    pilot = bring(state)
    pilot.offer(Constant(1.0))
    for decision in drive(pilot, 100, start=2 * T):
        assert_damped(decision)
    pilot.rest()  # deactivated, and activated again
    assert_damped(drive(pilot, 1, start=102 * T)[0])
    pilot.reset(103 * T)
    assert drive(pilot, 1, start=103 * T)[0].mode is Mode.RUN


def test_the_states_of_a_life():
    pilot, seen = Pilot(CONTRACT), []

    def look(ticks: int, start: int) -> None:
        for k in range(start, start + ticks):
            drive(pilot, 1, start=k * T)
            seen.append(pilot.safety.state)

    look(3, 0)
    pilot.offer(Constant(1.0))
    look(15, 3)
    assert seen == [State.HOLDING] * 3 + [State.BLENDING] * 10 + [State.RUNNING] * 5
    pilot.rest()
    assert pilot.safety.state is State.UNCONFIGURED and pilot.mode is Mode.HOLD
    look(1, 18)
    assert seen[-1] is State.BLENDING


def test_fault_04_stale_readings_damp():
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


def test_fault_28_a_clock_that_is_set_back_starts_anew_and_trips_nothing():
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


# -- ages


def test_fault_04_a_late_reading_keeps_the_last_targets_and_the_next_goes_on():
    pilot, policy = Pilot(CONTRACT), Constant(1.0)
    pilot.offer(policy)
    before = drive(pilot, 5)[-1]
    late = rest(5 * T - 0.05)  # its stamp says that it was held up for 50 ms more than the others
    decision = pilot.tick(late, 5 * T)
    assert decision.mode is Mode.RUN and np.array_equal(decision.targets, before.targets)
    assert len(policy.seen) == 5 and pilot.safety.late == 1
    assert not np.array_equal(drive(pilot, 1, start=6 * T)[0].targets, before.targets)


def test_fault_05_readings_that_stand_still_while_he_walks_damp():
    pilot, policy = Pilot(CONTRACT, config=replace(AT_ONCE, command_timeout=9.0, command_end=9.0)), Constant(0.0)
    pilot.offer(policy)
    pilot.command(WALK, 0.0)
    drive(pilot, 20)
    frozen, ticks = rest(20 * T), 0
    while not pilot.safety.fault:
        frozen.time = np.float64((20 + ticks) * T)
        decision = pilot.tick(frozen, float(frozen.time))
        ticks += 1
        assert ticks < 10
    assert ticks * T <= 0.08 + 1e-9  # the first of them is alive still: 3 T from there on
    assert_damped(decision)
    assert pilot.safety.trips[Trip.FROZEN] == 1


def test_fault_07_without_a_camera_he_walks_on_and_no_old_picture_is_current():
    """A camera at 10 Hz, gone from 1 s to 6 s, while he walks: the same targets as without any camera."""
    blind, seeing = (Pilot(CONTRACT, config=AT_ONCE, watches_camera=watches) for watches in (False, True))
    newest, current = -np.inf, []
    for pilot in (blind, seeing):
        pilot.offer(Constant(0.2))
    for k in range(400):
        now = k * T
        for pilot in (blind, seeing):
            pilot.command(WALK, now)
        if k % 5 == 0 and not 1.0 <= now < 6.0:
            newest = now
            seeing.safety.saw(now, now)
        expected, decision = (pilot.tick(rest(now), now) for pilot in (blind, seeing))
        assert decision.mode is Mode.RUN and np.array_equal(decision.targets, expected.targets)
        assert not pilot.watch(now + 0.5 * T)
        rung = seeing.safety.rung(now)
        assert rung in (Rung.FULL, Rung.PROPRIOCEPTION)
        assert rung is Rung.PROPRIOCEPTION or now - newest <= 0.2 + 1e-9
        current.append(rung is Rung.FULL)
    gone = slice(round(1.2 / T), round(6.0 / T))
    assert not any(current[gone]) and all(current[: round(1.0 / T)]) and all(current[round(6.02 / T) :])


def test_fault_09_a_policy_that_decides_too_late_five_times_damps():
    pilot = Pilot(CONTRACT)
    pilot.offer(Constant(0.0))
    drive(pilot, 10)
    now = 10 * T
    for late in range(6):
        assert not pilot.safety.fault
        pilot.tick(rest(now), now)
        pilot.safety.sent(now)
        now += 2 * T
        assert pilot.safety.deadlines.missed == late
    assert pilot.safety.trips[Trip.DEADLINE] == 1
    assert_damped(pilot.watch(now))


# -- one policy after another


@settings(max_examples=200, deadline=None)
@given(st.integers(0, 2**32 - 1), st.booleans())
def test_fault_12_the_first_target_is_where_the_joints_are_whatever_the_policy_says(seed, again):
    """At activation and after a reset: within 0.05 rad of the measured pose, and then over two seconds."""
    rng = np.random.default_rng(seed)
    pilot = Pilot(CONTRACT, config=PilotConfig(blend=2.0))
    pilot.offer(Constant(rng.uniform(-3, 3, ROBOT.count).astype(np.float32)))
    if again:
        drive(pilot, 150)
        pilot.stop("pressed")
        pilot.reset(150 * T)
    state = rest(200 * T)
    state.joint_position = rng.uniform(ROBOT.lower, ROBOT.upper)
    state.joint_velocity = rng.normal(0.0, 0.5, ROBOT.count)
    first = pilot.tick(state, 200 * T)
    assert first.mode is Mode.RUN
    assert np.abs(first.targets - state.joint_position).max() <= 0.05


def test_fault_12_a_policy_takes_over_from_another_over_two_seconds_without_a_jump():
    """The first target is where the driving policy has it: joints that bear him are not where they are asked to be,
    and asked to be where they are they would give way."""
    pilot = Pilot(CONTRACT, config=PilotConfig(blend=2.0), trial=UNTRIED)
    pilot.offer(Constant(1.0))
    last = drive(pilot, 150)[-1]
    pilot.offer(Constant(-1.0))
    offsets = np.array([offset_of(decision)[0] for decision in drive(pilot, 120, start=150 * T)])
    assert abs(offsets[0] - offset_of(last)[0]) <= 0.05
    np.testing.assert_allclose(offsets[:101], 0.3 - 0.6 * np.arange(101) / 100, atol=1e-6)
    np.testing.assert_allclose(offsets[101:], -0.3, atol=1e-6)


def trial_of(pilot: Pilot) -> str:
    return pilot.succession.trial.report if pilot.succession.trial is not None else ""


def walk_on(pilot: Pilot, ticks: int, start: int) -> list:
    """As the node does it: the shadow decides after each tick."""
    decisions = []
    for k in range(start, start + ticks):
        decisions += drive(pilot, 1, start=k * T)
        pilot.shadow(k * T)
    return decisions


def test_a_second_policy_decides_in_the_shadow_until_it_is_promoted():
    pilot, second = Pilot(CONTRACT, trial=TrialConfig(seconds=0.5)), Constant(0.1)
    pilot.offer(Constant(0.0))
    walk_on(pilot, 20, 0)
    pilot.offer(second)
    decisions = walk_on(pilot, 20, 20)
    assert trial_of(pilot) == "on trial" and pilot.succession.trial.seconds == pytest.approx(19 * T)
    assert all(map(np.array_equal, second.asked, pilot.policy.seen[-1]))  # it sees what the driving one sees
    with pytest.raises(JackError, match="not ready"):
        pilot.succession.promote()
    decisions += walk_on(pilot, 20, 40)
    assert trial_of(pilot) == "ready"
    decisions += walk_on(pilot, 20, 60)
    assert not np.array([offset_of(decision) for decision in decisions]).any()  # it had no say
    assert not second.seen and pilot.policy is not second
    assert pilot.succession.promote() == second.sha256
    decisions = walk_on(pilot, 20, 80)
    assert pilot.policy is second and pilot.succession.swaps == 2 and trial_of(pilot) == ""
    offsets = [float(offset_of(decision).max()) for decision in decisions]
    np.testing.assert_allclose(offsets[:11], 0.03 * np.arange(11) / 10, atol=1e-6)


def test_a_policy_that_passed_its_trial_takes_over_by_itself_where_that_is_wanted():
    pilot, second = Pilot(CONTRACT, trial=TrialConfig(promote=AUTO, seconds=0.5)), Constant(0.1)
    pilot.offer(Constant(0.0))
    walk_on(pilot, 20, 0)
    pilot.offer(second)
    walk_on(pilot, 26, 20)
    assert pilot.policy is not second
    walk_on(pilot, 2, 46)
    assert pilot.policy is second


def test_nothing_is_on_trial_while_he_is_damped():
    pilot = Pilot(CONTRACT, trial=TrialConfig(seconds=0.5))
    pilot.offer(Constant(0.0))
    walk_on(pilot, 20, 0)
    pilot.offer(Constant(0.1))
    walk_on(pilot, 5, 20)
    pilot.stop("pressed")
    walk_on(pilot, 100, 25)
    assert pilot.succession.trial.seconds == pytest.approx(4 * T)
    pilot.reset(125 * T)
    walk_on(pilot, 2, 125)
    assert pilot.succession.trial.seconds == pytest.approx(5 * T)


@pytest.mark.parametrize("found_by", ["tick", "watch"])
def test_a_fault_in_the_probation_brings_the_policy_before_back(found_by):
    """It latches: he is damped. And the policy that did it never comes back."""
    pilot = Pilot(CONTRACT, trial=replace(UNTRIED, probation=1.0))
    good, bad = Constant(0.0), Constant(0.1)
    pilot.offer(good)
    drive(pilot, 20)
    pilot.offer(bad)
    drive(pilot, 30, start=20 * T)
    assert pilot.policy is bad
    lying = rest(50 * T)
    lying.orientation[:] = [np.sqrt(0.5), 0, 0, np.sqrt(0.5)]
    if found_by == "tick":
        assert_damped(pilot.tick(lying, 50 * T))
    else:
        pilot.safety.trip(Trip.CONTROL, "broken")
        assert_damped(pilot.watch(50 * T))
    assert pilot.policy is good and pilot.succession.rollbacks == 1
    assert pilot.safety.state is State.FAULT
    pilot.offer(bad)
    drive(pilot, 10, start=51 * T)
    pilot.reset(61 * T)
    drive(pilot, 20, start=61 * T)
    assert pilot.policy is good and pilot.safety.state is State.RUNNING
    assert list(pilot.succession.refused) == [bad.sha256]


@pytest.mark.parametrize("why", ["stop", "too late", "no probation", "the first policy"])
def test_what_is_no_fault_of_a_new_policy_takes_nothing_back(why):
    pilot = Pilot(CONTRACT, trial=replace(UNTRIED, probation=0.0 if why == "no probation" else 1.0))
    if why != "the first policy":
        pilot.offer(Constant(0.0))
    drive(pilot, 20)
    new = Constant(0.1)
    pilot.offer(new)
    drive(pilot, 60 if why == "too late" else 10, start=20 * T)
    if why == "stop":
        pilot.stop("pressed")
    else:
        pilot.safety.trip(Trip.TILT, "he fell")
    drive(pilot, 2, start=80 * T if why == "too late" else 30 * T)
    assert pilot.policy is new and pilot.succession.rollbacks == 0
