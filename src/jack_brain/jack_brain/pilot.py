"""The whole control loop without ROS: sensor readings and a command in, joint targets out, once a control period.

It encodes, remembers and decodes with the code that training uses: GaitSpec, ObservationSpec.encode, History,
ActionSpec.targets. Times come from the caller: stamps of the readings move the robot, `now` judges their age.
"""

from __future__ import annotations

from dataclasses import dataclass, fields

import numpy as np

from jack_brain.arms import Arms
from jack_brain.chunk import arm_columns
from jack_brain.gaze import Intent
from jack_brain.safety import Event, Mode, Rung, Safety, SafetyLimits, State, Trip
from jack_brain.shadow import Actor, Succession, TrialConfig
from jack_contract.arrays import Array, Float32
from jack_contract.contract import Contract
from jack_contract.errors import JackError
from jack_contract.gait import Rhythm
from jack_contract.observation import COMMAND_SIZE, History, encode_command
from jack_contract.state import RobotState

#: Time over which a policy takes over on a robot [s]; in a simulation, where nothing breaks, it is PilotConfig's.
ROBOT_BLEND = 2.0


@dataclass(frozen=True)
class PilotConfig:
    """How smoothly things change hands."""

    #: time over which a new policy takes over from the pose or policy before it; 0: at once [s]
    blend: float = 0.2
    #: greatest joint speed on the way to the default pose [rad/s]
    hold_speed: float = 0.5
    #: a velocity command is followed in full until it is this old [s] ...
    command_timeout: float = 0.25
    #: ... and is zero once it is this old [s]
    command_end: float = 0.5

    def __post_init__(self) -> None:
        wrong = [f.name for f in fields(self) if not 0 <= getattr(self, f.name) <= 60]
        if wrong or self.hold_speed == 0 or self.command_end < self.command_timeout:
            raise JackError(
                "A pilot needs times of 0 to 60 s, a hold_speed above 0 and command_end after command_timeout, "
                f"given: {self}."
            )


@dataclass(frozen=True, slots=True)
class Decision:
    """What the joints are to do until the next one."""

    mode: Mode
    #: (n,) [rad]
    targets: Array
    #: (n,) [N m/rad]
    stiffness: Array
    #: (n,) [N m s/rad]
    damping: Array


class Pilot:
    """Steers one robot.

    Attributes:
        safety: limits and the fault, if there is one.
        succession: the policy that drives, and the one on trial.
        arms: who has them, the policy as it walks or as it follows a sentence.
    """

    def __init__(
        self,
        contract: Contract,
        limits: SafetyLimits | None = None,
        config: PilotConfig | None = None,
        trial: TrialConfig | None = None,
        watches_camera: bool = False,
    ) -> None:
        self.contract, self._robot = contract, contract.robot
        self._config = config or PilotConfig()
        self.safety = Safety(self._robot, limits or SafetyLimits(), watches_camera)
        self.succession = Succession(contract, trial or TrialConfig())
        self.arms = Arms(contract)
        self._intent: Intent | None = None
        self._arm_columns = arm_columns(contract)
        self._felt = History(contract.observation)  # as it is, and ...
        self._history = History(contract.observation)  # ... as it is shown to the one who walks
        self._scale = np.array(contract.action.scale)
        self._no_stiffness = np.zeros(self._robot.count)
        self._velocity, self._commanded_at = np.zeros(COMMAND_SIZE), -np.inf
        self._rhythm = Rhythm.at_rest()
        self._targets: Array | None = None  # None: not yet in command of the joints
        self._action: Array = np.zeros(self._robot.count)
        self._before: Actor | None = None
        self._said: Array | None = None  # what the policy said in the last tick, if it was asked, and to what pace
        self._pace: Float32 = np.zeros(COMMAND_SIZE, np.float32)
        self._begin_at(0.0)

    @property
    def policy(self) -> Actor | None:
        """The one that has the body, or will have it when there is no fault."""
        return self.succession.driving

    @property
    def mode(self) -> Mode:
        """Who has the body."""
        return self.safety.state.mode

    def offer(self, policy: Actor) -> None:
        """Let a policy take over at the next tick: the first at once, another one as `Succession` has it.

        May be called from any thread: it sets one reference.
        """
        self.succession.offer(policy)

    def command(self, velocity: Array, now: float) -> None:
        """Ask for a velocity: vx, vy [m/s], yaw rate [rad/s], (3,), at `now` [s]; what is not finite is refused.

        Raises:
            JackError: not three finite numbers.
        """
        if velocity.shape != (COMMAND_SIZE,) or not np.isfinite(velocity).all():
            raise JackError(f"A velocity command is three finite numbers, given: {velocity.tolist()}.")
        self._velocity, self._commanded_at = velocity, now

    def intend(self, intent: Intent | None) -> None:
        """Follow this with the arms until the next one comes, or it is old; None: follow nothing.

        May be called from any thread: it sets one reference.
        """
        self._intent = intent

    def stop(self, reason: str) -> None:
        """Damp the joints until `reset`: somebody said so."""
        self.safety.trip(Trip.STOP, reason)

    def reset(self, now: float) -> None:
        """Clear a fault at `now` [s]. The next tick starts from the pose that is measured then."""
        self._take_back(now)
        self.safety.reset(now)
        self._targets = None

    def rest(self) -> None:
        """Be in command no longer: the next tick starts from the pose that is measured then."""
        self.safety.rest()
        self._targets = None

    def tick(self, state: RobotState, now: float) -> Decision:
        """Decide for one control period.

        Args:
            state: new readings of the one robot.
            now: when they came, on the clock of `watch` and `command` [s].
        """
        time, self._said = float(state.time), None
        current = self.safety.heard(time, now)
        self.safety.on(Event.BEGIN)
        self._change_hands(time, now)
        self.safety.check_state(state)
        if not self.safety.fault and self._targets is not None:
            if not current:
                return self._decision()  # one late reading: the last targets stay
            self.safety.check_frozen(state, self._targets, now)
        decision = self.damp(state) if self.safety.fault else self._drive(state, now)
        self._take_back(now)
        return decision

    def shadow(self, now: float) -> None:
        """Let a policy on trial decide on what the driving one saw in this tick; nobody waits for that.

        Call it after each tick, when its decision has been sent, with the tick's `now` [s].
        """
        if self._said is None:
            self.succession.pause()
        else:
            self.succession.observe(self._history.frames, self._pace, self._said, now)

    def value(self) -> float:
        """The return that the policy expects from what it last saw; NaN without a policy, or damped."""
        if self.policy is None or self.safety.fault:
            return float("nan")
        return self.policy.infer(self._history.frames, encode_command(self._rhythm.pace))[1]

    def watch(self, now: float) -> Decision | None:
        """Look whether readings still come; call it every `safety.watch_period`.

        Returns:
            What the joints are to do if there is a fault, None if there is none.
        """
        self.safety.watch(now)
        self._take_back(now)
        return self.damp() if self.safety.fault else None

    def damp(self, state: RobotState | None = None) -> Decision:
        """No stiffness, only damping; targets are where the joints are, as far as that is known."""
        position = self._targets if self._targets is not None else self._robot.default_position
        if state is not None and np.isfinite(state.joint_position).all():
            position = state.joint_position
        self._targets = position
        return Decision(Mode.DAMP, position, self._no_stiffness, self._robot.damping)

    def _change_hands(self, time: float, now: float) -> None:
        """Let another policy take over if one is due, from what was, at `time` by the readings and `now` [s]."""
        before = self.policy if self._share(time) == 1.0 else None  # None: from where the blend is now
        if self.succession.next(now):
            self._before = before
            self.safety.on(Event.TAKE_OVER)
            self._begin_at(time)

    def _take_back(self, now: float) -> None:
        """After a fault: go back to the policy before, if the one that drives took over a moment ago."""
        if self.safety.state is State.FAULT:
            self.succession.failed(self.safety.fault, now)

    def _drive(self, state: RobotState, now: float) -> Decision:
        """As `tick`, with readings that are sound."""
        if self._targets is None or state.time < self._begun:  # at the start, or where the clock was set back
            self._targets = self._begin(state)
        contract = self.contract
        signal = contract.gait.signal(self._rhythm)
        frame = contract.observation.encode(self._robot, state, self._action, signal)
        felt = self._felt.push(frame)
        if self.arms.share:
            frame[self._arm_columns] = 0.0
        history = self._history.push(frame)
        offsets = contract.gait.offsets(self._robot, self._rhythm)
        action = self._reach(felt, self._decide(history, float(state.time)), offsets, now)
        self.safety.check_action(action)
        if self.safety.fault:
            return self.damp(state)
        self._action = action
        targets = contract.action.targets(self._robot, action, offsets)
        if self.policy is not None:  # without one he holds still, whatever happens
            tipping = contract.observation.tipping(history) if self.policy.stumble_steps else 0.0
            gait = contract.gait.paced(self.policy.beat)
            self._rhythm = gait.advance(self._rhythm, self._follow(now), self._robot.control_period, tipping)
        self._targets = self.safety.limit(targets, self._targets, state)
        return self._decision()

    def _decision(self) -> Decision:
        """The targets as they are."""
        assert self._targets is not None
        return Decision(self.mode, self._targets, self._robot.stiffness, self._robot.damping)

    def _begin_at(self, time: float) -> None:
        """A new hand on the body: what comes is blended with what was, from `time` on [s]."""
        self._begun, self._fixed = time, self._action

    def _share(self, time: float) -> float:
        """The new hand's share, from 0 to 1."""
        elapsed, blend = time - self._begun, self._config.blend
        return 1.0 if elapsed >= blend else max(0.0, elapsed / blend)

    def _begin(self, state: RobotState) -> Array:
        """From rest: what was is the pose that is measured, and so are the targets that are returned."""
        targets = np.clip(state.joint_position, self._robot.lower, self._robot.upper)
        self._action = self.contract.action.action(self._robot, targets)
        self._before = None
        self._history.reset()
        self._felt.reset()
        self._rhythm = Rhythm.at_rest()
        self.arms.rest()
        self._begin_at(float(state.time))
        if self.policy is not None:
            self.safety.on(Event.TAKE_OVER)
        return targets

    def _decide(self, history: Float32, time: float) -> Array:
        if self.policy is None:
            return self._hold(time)
        share, self._pace = self._share(time), encode_command(self._rhythm.pace)
        action = self._said = self.policy.act(history, self._pace)
        if share == 1.0:
            self._before = None
            self.safety.on(Event.BLENDED)
            return action.astype(np.float64)
        before = self._fixed if self._before is None else self._before.act(history, self._pace)
        return (1 - share) * before + share * action

    def _reach(self, history: Float32, action: Array, offsets: Array, now: float) -> Array:
        """The action with the arms as they follow a sentence; the very same where none is followed.

        Nothing is done blindly: without a current picture the arms go back to the one who walks.
        """
        intent, policy = self._intent, self.policy
        following = (
            intent is not None
            and policy is not None
            and intent.policy.sha256 == policy.sha256
            and now - intent.at <= self.safety.ladder.camera
            and self.safety.rung(now) is Rung.FULL
        )
        if following and intent is not None and self.arms.due:
            chunk, progress = intent.reach(history)
            if not np.isfinite(chunk).all():
                self.safety.trip(Trip.ACTION, "The policy's action chunk is not finite")
                return action
            self.arms.follow(chunk, progress)
        return self.arms.step(action, offsets, following)

    def _hold(self, time: float) -> Array:
        """The action on the way from the pose at the start to the default pose, at no more than hold_speed."""
        farthest = float(np.abs(self._fixed * self._scale).max())
        way = (time - self._begun) * self._config.hold_speed
        return (1.0 - way / farthest) * self._fixed if way < farthest else np.zeros(self._robot.count)

    def _follow(self, now: float) -> Float32:
        """The command, less the older it is: walking into the dark is no way to lose a link."""
        age, config = now - self._commanded_at, self._config
        span = config.command_end - config.command_timeout
        if age <= config.command_timeout:
            share = 1.0
        else:
            share = max(0.0, (config.command_end - age) / span) if span else 0.0
        asked = share * self._velocity
        if self.arms.lead:  # what somebody asks for goes first
            asked = asked + (1.0 - share) * self.arms.velocity
        return asked.astype(np.float32)
