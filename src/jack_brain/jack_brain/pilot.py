"""The whole control loop without ROS: sensor readings and a command in, joint targets out, once a control period.

It encodes, remembers and decodes with the code that training uses: GaitSpec, ObservationSpec.encode, History,
ActionSpec.targets. Times come from the caller: stamps of the readings move the robot, `now` judges their age.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Protocol

import numpy as np

from jack_brain.safety import Mode, Safety, SafetyLimits
from jack_contract.arrays import Array, Float32
from jack_contract.contract import Contract
from jack_contract.errors import JackError
from jack_contract.gait import Rhythm
from jack_contract.observation import COMMAND_SIZE, History, encode_command
from jack_contract.state import RobotState


class Actor(Protocol):
    """Whatever decides."""

    @property
    def stumble_steps(self) -> bool:
        """Whether it has learnt to take a step when he stumbles."""
        ...

    def act(self, history: Float32, command: Float32 | None = None) -> Float32:
        """History (H, D) and command (3,) -> action (n,)."""
        ...

    def value(self, history: Float32, command: Float32 | None = None) -> float:
        """History (H, D) and command (3,) -> expected return."""
        ...


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
        policy: the one that has the body, or will have it when there is no fault.
        safety: limits and the fault, if there is one.
        swaps: how many policies took over.
    """

    def __init__(
        self, contract: Contract, limits: SafetyLimits | None = None, config: PilotConfig | None = None
    ) -> None:
        self.contract, self._robot = contract, contract.robot
        self._config = config or PilotConfig()
        self.safety = Safety(self._robot, limits or SafetyLimits())
        self.policy: Actor | None = None
        self.swaps = 0
        self._offered: Actor | None = None
        self._history = History(contract.observation)
        self._scale = np.array(contract.action.scale)
        self._no_stiffness = np.zeros(self._robot.count)
        self._velocity, self._commanded_at = np.zeros(COMMAND_SIZE), -np.inf
        self._rhythm = Rhythm.at_rest()
        self._targets: Array | None = None  # None: not yet in command of the joints
        self._action: Array = np.zeros(self._robot.count)
        self._before: Actor | None = None
        self._begin_at(0.0)

    @property
    def mode(self) -> Mode:
        """Who has the body."""
        if self.safety.fault:
            return Mode.DAMP
        return Mode.HOLD if self.policy is None else Mode.RUN

    def offer(self, policy: Actor) -> None:
        """Let a policy take over at the next tick. May be called from any thread: it sets one reference."""
        self._offered = policy

    def command(self, velocity: Array, now: float) -> None:
        """Ask for a velocity: vx, vy [m/s], yaw rate [rad/s], (3,), at `now` [s]; what is not finite is refused.

        Raises:
            JackError: not three finite numbers.
        """
        if velocity.shape != (COMMAND_SIZE,) or not np.isfinite(velocity).all():
            raise JackError(f"A velocity command is three finite numbers, given: {velocity.tolist()}.")
        self._velocity, self._commanded_at = velocity, now

    def stop(self, reason: str) -> None:
        """Damp the joints until `reset`."""
        self.safety.trip(reason)

    def reset(self, now: float) -> None:
        """Clear a fault at `now` [s]. The next tick starts from the pose that is measured then."""
        self.safety.reset(now)
        self.rest()

    def rest(self) -> None:
        """Be in command no longer: the next tick starts from the pose that is measured then."""
        self._targets = None

    def tick(self, state: RobotState, now: float) -> Decision:
        """Decide for one control period.

        Args:
            state: new readings of the one robot.
            now: when they came, on the clock of `watch` and `command` [s].
        """
        self.safety.fresh(now)
        self._swap(float(state.time))
        self.safety.check_state(state, self.mode)
        if self.safety.fault:
            return self.damp(state)
        if self._targets is None or state.time < self._begun:  # at the start, or where the clock was set back
            self._targets = self._begin(state)
        contract = self.contract
        gait = contract.gait.signal(self._rhythm)
        history = self._history.push(contract.observation.encode(self._robot, state, self._action, gait))
        action = self._decide(history, float(state.time))
        self.safety.check_action(action)
        if self.safety.fault:
            return self.damp(state)
        self._action = action
        targets = contract.action.targets(self._robot, action, contract.gait.offsets(self._robot, self._rhythm))
        if self.policy is not None:  # without one he holds still, whatever happens
            tipping = contract.observation.tipping(history) if self.policy.stumble_steps else 0.0
            self._rhythm = contract.gait.advance(
                self._rhythm, self._follow(now), self._robot.control_period, tipping
            )
        self._targets = self.safety.limit(targets, self._targets)
        return Decision(self.mode, self._targets, self._robot.stiffness, self._robot.damping)

    def value(self) -> float:
        """The return that the policy expects from what it last saw; NaN without a policy, or damped."""
        if self.policy is None or self.safety.fault:
            return float("nan")
        return self.policy.value(self._history.frames, encode_command(self._rhythm.pace))

    def watch(self, now: float) -> Decision | None:
        """Look whether readings still come; call it every `safety.watch_period`.

        Returns:
            What the joints are to do if there is a fault, None if there is none.
        """
        self.safety.watch(now)
        return self.damp() if self.safety.fault else None

    def damp(self, state: RobotState | None = None) -> Decision:
        """No stiffness, only damping; targets are where the joints are, as far as that is known."""
        position = self._targets if self._targets is not None else self._robot.default_position
        if state is not None and np.isfinite(state.joint_position).all():
            position = state.joint_position
        self._targets = position
        return Decision(Mode.DAMP, position, self._no_stiffness, self._robot.damping)

    def _swap(self, time: float) -> None:
        offered, self._offered = self._offered, None
        if offered is not None:
            self._before = self.policy if self._share(time) == 1.0 else None  # else: from where the blend is now
            self.policy = offered
            self.swaps += 1
            self._begin_at(time)

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
        self._rhythm = Rhythm.at_rest()
        self._begin_at(float(state.time))
        return targets

    def _decide(self, history: Float32, time: float) -> Array:
        if self.policy is None:
            return self._hold(time)
        share, pace = self._share(time), encode_command(self._rhythm.pace)
        action = self.policy.act(history, pace)
        if share == 1.0:
            self._before = None
            return action.astype(np.float64)
        before = self._fixed if self._before is None else self._before.act(history, pace)
        return (1 - share) * before + share * action

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
        return (share * self._velocity).astype(np.float32)
