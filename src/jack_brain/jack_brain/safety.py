"""What must never reach a joint, and what stops the robot: limits, staleness, faults that latch.

A fault damps the joints at once and stays until somebody resets it; nothing resumes by itself. Nothing here looks
at a clock: times are given.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, fields
from enum import IntEnum

import numpy as np

from jack_contract.arrays import Array, Float64
from jack_contract.errors import JackError
from jack_contract.robot import RobotSpec
from jack_contract.state import RobotState


class Mode(IntEnum):
    """Who has the body; the numbers are those of jack_msgs/JointCommand."""

    #: nobody: the default pose is kept
    HOLD = 0
    #: a policy
    RUN = 1
    #: a fault: joints only resist motion
    DAMP = 2


@dataclass(frozen=True)
class SafetyLimits:
    """Beyond these a fault trips, or a target is cut back."""

    #: readings are stale after so many control periods [1], but not before ...
    stale_periods: float = 3.0
    #: ... so long [s]
    stale_time: float = 0.05
    #: greatest angle between the body's z axis and the vertical while a policy has the body; pi: any [rad]
    tilt: float = 1.0
    #: greatest amount of an action; a policy that says more is broken [1]
    action: float = 100.0
    #: greatest change of a joint target in a control period, in multiples of what its speed limit allows [1]
    step: float = 2.0

    def __post_init__(self) -> None:
        wrong = [f.name for f in fields(self) if not 0 < getattr(self, f.name) < math.inf]
        wrong += ["stale_periods"] if self.stale_periods < 2 else []
        if wrong:
            names = ", ".join(wrong)
            raise JackError(f"Safety limits must be positive, and stale_periods at least 2; check {names}.")


def _is_finite(state: RobotState) -> bool:
    """As RobotState.is_finite, for one robot and quicker: a sum of squares is finite only if every number is."""
    return all(math.isfinite(np.vdot(value, value)) for value in vars(state).values())


class Safety:
    """Watches one robot.

    Attributes:
        fault: why the joints are damped; empty if they are not. Latched: only `reset` clears it.
    """

    def __init__(self, robot: RobotSpec, limits: SafetyLimits) -> None:
        self._robot, self._limits = robot, limits
        self._max_step = limits.step * robot.velocity_limit * robot.control_period
        self._stale_after = max(limits.stale_periods * robot.control_period, limits.stale_time)
        self._upright = math.cos(limits.tilt) if limits.tilt < math.pi else -math.inf
        self.fault = ""
        self._fresh_at: float | None = None
        self._readings = 0
        self._suspect: int | None = None

    @property
    def watch_period(self) -> float:
        """How often `watch` must be called for a fault to trip in time [s]."""
        return self._robot.control_period / 2

    def trip(self, reason: str) -> None:
        """Damp the joints from now on. The first reason is the one that is kept."""
        self.fault = self.fault or reason

    def reset(self, now: float) -> None:
        """Forget the fault at `now` [s]. Whatever is still wrong trips again."""
        self.fault, self._suspect = "", None
        if self._fresh_at is not None:
            self._fresh_at = now

    def fresh(self, now: float) -> None:
        """Readings with a newer stamp than all before have come, at `now` [s]."""
        self._fresh_at = now
        self._readings += 1

    def watch(self, now: float) -> None:
        """Trip if readings stopped, or their stamps did.

        Readings are suspected one control period before they are stale, and the fault trips when half a period
        later none has come. When this process itself was kept from running, the readings that queued up meanwhile
        are seen in between, and nothing trips.

        Args:
            now: on the clock of `fresh` [s]. A clock that stands still (a paused simulation) makes nothing stale.
        """
        if self._fresh_at is None or now - self._fresh_at <= self._stale_after - self._robot.control_period:
            self._suspect = None
        elif self._suspect != self._readings:
            self._suspect = self._readings
        else:
            self.trip(f"No new sensor readings for {now - self._fresh_at:.3f} s")

    def check_state(self, state: RobotState, mode: Mode) -> None:
        """Trip on readings that are no numbers, and on a body that lies while a policy has it."""
        if not _is_finite(state):
            self.trip("A sensor reading is not a finite number")
        elif mode is Mode.RUN:
            x, y = float(state.orientation[0]), float(state.orientation[1])
            if 1 - 2 * (x * x + y * y) < self._upright:  # cosine of the tilt: R_zz of the quaternion
                self.trip(f"The body is tilted by more than {self._limits.tilt:g} rad")

    def check_action(self, action: Array) -> None:
        """Trip on an action that is no number or beyond all reason."""
        if not float(np.abs(action).max()) <= self._limits.action:  # not <=: NaN compares as false
            self.trip(f"The policy's action is not finite or beyond {self._limits.action:g}")

    def limit(self, targets: Array, previous: Array) -> Float64:
        """Targets [rad] (n,) cut back to the position limits and to what may change since the `previous` ones."""
        near = np.minimum(np.maximum(targets, previous - self._max_step), previous + self._max_step)
        return np.minimum(np.maximum(near, self._robot.lower), self._robot.upper)
