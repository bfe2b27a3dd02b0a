"""What stands between a brain and the motors: it passes on what can be believed, and damps when nothing comes.

It runs in a process of its own, so that it is there when the brain is not. It obeys one brain, the first that
commands, and none again after a fault until somebody says so. Nothing here looks at a clock: times are given.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import IntEnum
from typing import Any

import numpy as np

from jack_brain.safety import Mode
from jack_contract.arrays import Float64
from jack_contract.errors import JackError, MessageError
from jack_contract.robot import RobotSpec
from jack_contract.wire import CommandReader, JointTargets

#: A jack_msgs/JointCommand, or anything with its fields.
Message = Any
#: A moment on one or more clocks [s]. An age is the least that any of them says.
Moment = tuple[float, ...]

#: For how long a command of another brain is spoken of [s].
STRANGER_MEMORY = 5.0


class DriverState(IntEnum):
    """What the driver does; the numbers are those of jack_msgs/DriverStatus."""

    #: nobody has commanded yet: joints only resist motion
    WAITING = 0
    #: commands are passed on
    DRIVING = 1
    #: something went wrong: joints only resist motion until `reset`
    DAMPING = 2


@dataclass(frozen=True)
class DriverLimits:
    """What is still believed."""

    #: commands, and joint states where they are needed, are missed after this, or a tenth later [s]: joints must be
    #: damped within 0.1 s, and a brain on a busy machine may be late by some control periods.
    timeout: float = 0.07
    #: how far beyond a joint's limits a target may lie [rad]
    position_tolerance: float = 0.01
    #: greatest gain, in multiples of the contract's [1]
    gain_factor: float = 2.0

    def __post_init__(self) -> None:
        if not (0 < self.timeout < math.inf and 0 <= self.position_tolerance < math.inf):
            raise JackError(f"A driver needs a timeout above 0 and a tolerance of 0 or more, given: {self}.")
        if not 1 <= self.gain_factor < math.inf:
            raise JackError(f"A driver must allow the contract's own gains: gain_factor is {self.gain_factor:g}.")


@dataclass(frozen=True, slots=True)
class Order:
    """What the motors are to do until the next one."""

    mode: Mode
    #: of the brain whose it is; 0: the driver's own
    session: int
    #: in the contract's joint order; damped, all stiffness is zero and the position means nothing
    targets: JointTargets


class Pulse:
    """Something that keeps coming, and is missed when it does not."""

    def __init__(self, timeout: float, period: float) -> None:
        """Miss it after `timeout` [s]; `missed` will be asked every `period` [s]."""
        self._suspicious_after = timeout - period
        self._at: Moment | None = None
        self._count = 0
        self._suspect: int | None = None

    def beat(self, now: Moment) -> None:
        """It came."""
        self._at = now
        self._count += 1

    def forget(self) -> None:
        """Begin anew: what never came is not missed."""
        self._at = self._suspect = None

    def age(self, now: Moment) -> float:
        """Time since it came last [s]; infinite before it ever did."""
        if self._at is None:
            return math.inf
        return max(0.0, min(then - before for then, before in zip(now, self._at, strict=True)))

    def missed(self, now: Moment) -> bool:
        """Whether it should have come.

        It is suspected one period early, and missed when it has not come a period later: when this process itself
        was kept from running, what queued up meanwhile is seen in between.
        """
        if self._at is None or self.age(now) <= self._suspicious_after:
            self._suspect = None
            return False
        suspected_before = self._suspect == self._count
        self._suspect = self._count
        return suspected_before


class Driver:
    """Decides what one robot's motors are told.

    Attributes:
        state: what it does.
        order: what the motors are to do now.
        fault: why it damps; empty if it does not. Latched: only `reset` clears it.
        session: of the brain that it obeys; 0 without one.
        passed: commands passed on.
        ignored: commands of other brains.
        refused: commands that cannot be believed.
        refusal: why the last one cannot.
        publishers: how many send commands, as far as is known; to be kept up to date from outside.
    """

    def __init__(self, robot: RobotSpec, limits: DriverLimits | None = None, needs_readings: bool = False) -> None:
        """Wait for a brain.

        Args:
            robot: the contract's.
            limits: what is believed.
            needs_readings: whether the motors cannot be commanded without knowing where the joints are.
        """
        self._robot, self._limits = robot, limits or DriverLimits()
        self._reader, self._needs_readings = CommandReader(robot), needs_readings
        tolerance, factor = self._limits.position_tolerance, self._limits.gain_factor
        zeros = np.zeros(robot.count)
        self._allowed = {
            "position": (robot.lower - tolerance, robot.upper + tolerance),
            "stiffness": (zeros, factor * robot.stiffness),
            "damping": (zeros, factor * robot.damping),
        }
        self._damped = JointTargets(robot.default_position, zeros, robot.damping)
        if self._limits.timeout < 2 * robot.control_period:
            raise JackError(
                f"The driver's timeout is {self._limits.timeout:g} s; '{robot.name}' is commanded every "
                f"{robot.control_period:g} s. Allowed: {2 * robot.control_period:g} s or more."
            )
        self._commands, self._readings, self._strangers = self._pulse(), self._pulse(), self._pulse()
        self.state, self.fault, self.session = DriverState.WAITING, "", 0
        self.passed = self.ignored = self.refused = self.publishers = 0
        self.refusal = ""
        self.order = self._damping()

    @property
    def watch_period(self) -> float:
        """How often `watch` must be called for a fault to trip in time [s]."""
        return self._limits.timeout / 10

    def hear(self, message: Message, now: Moment) -> Order | None:
        """Take in a command.

        Returns:
            What the motors are to be told, None if the command is not to be believed. While damping it is damping:
            whoever waits for an answer gets one.
        """
        if self.session and message.session not in (0, self.session):
            self.ignored += 1
            self._strangers.beat(now)
            return None
        try:
            order = self._read(message, now)
        except MessageError as error:
            self.refused, self.refusal = self.refused + 1, str(error)
            return None
        if self.state is not DriverState.DAMPING:
            self.state, self.session, self.order = DriverState.DRIVING, order.session, order
            self.passed += 1
            self._commands.beat(now)
        return self.order

    def see(self, now: Moment) -> None:
        """Sound joint states have come."""
        self._readings.beat(now)

    def blind(self, now: Moment) -> bool:
        """Whether where the joints are is not known, or not any more."""
        return self._readings.age(now) > self._limits.timeout

    def watch(self, now: Moment) -> bool:
        """Look whether everything still comes; call it every `watch_period`.

        Returns:
            Whether joints must be damped that were not.
        """
        commands, readings = self._commands.missed(now), self._readings.missed(now)
        if self.state is not DriverState.DRIVING:
            return False
        if commands:
            return self.stop(f"No command that can be believed for {self.age(now):.3f} s")
        if readings and self._needs_readings and self.order.mode is not Mode.DAMP:
            return self.stop(f"No sound joint states for {self._readings.age(now):.3f} s")
        return False

    def stop(self, reason: str) -> bool:
        """Damp the joints until `reset`; the first reason is the one that is kept. Returns whether it was."""
        first = self.state is not DriverState.DAMPING
        if first:
            self.state, self.fault, self.order = DriverState.DAMPING, reason, self._damping()
        return first

    def reset(self) -> str:
        """Wait for a brain, any brain, if joints are damped; returns why they were, or nothing."""
        fault = self.fault
        if self.state is DriverState.DAMPING:
            self.state, self.fault, self.session = DriverState.WAITING, "", 0
            self.order = self._damping()
            self._commands.forget()
            self._strangers.forget()
        return fault

    def age(self, now: Moment) -> float:
        """Time since a command was passed on [s]; infinite before the first."""
        return self._commands.age(now)

    def trouble(self, now: Moment) -> str:
        """What is wrong although it drives on; empty if nothing is."""
        obeyed = f"session {self.session} alone is obeyed" if self.session else "the first to command is obeyed"
        if self.publishers > 1:
            return f"There are {self.publishers} publishers of joint commands; {obeyed}"
        if self._strangers.age(now) < STRANGER_MEMORY:
            return f"Another brain commands too; {obeyed}"
        return ""

    def _pulse(self) -> Pulse:
        return Pulse(self._limits.timeout, self.watch_period)

    def _damping(self) -> Order:
        return Order(Mode.DAMP, self.session, self._damped)

    def _read(self, message: Message, now: Moment) -> Order:
        if not message.session:
            raise MessageError("A joint command must say its session, a number other than 0.")
        if message.mode not in tuple(Mode):
            allowed = ", ".join(f"{mode.value} ({mode.name})" for mode in Mode)
            raise MessageError(f"A joint command has the mode {message.mode}; allowed: {allowed}.")
        targets, mode = self._reader.read(message), Mode(message.mode)
        if mode is Mode.DAMP:  # how the joints are damped is the driver's affair
            return Order(mode, message.session, self._damped)
        for field, allowed in self._allowed.items():
            self._require_within(field, getattr(targets, field), *allowed)
        if self.state is DriverState.WAITING and self._needs_readings and self.blind(now):
            raise MessageError("A joint command cannot be followed before sound joint states have come.")
        return Order(mode, message.session, targets)

    def _require_within(self, field: str, values: Float64, lower: Float64, upper: Float64) -> None:
        wrong = np.flatnonzero((values < lower) | (values > upper))
        if wrong.size:
            first = int(wrong[0])
            raise MessageError(
                f"A joint command has a {field} of {values[first]:g} for '{self._robot.joint_names[first]}'; "
                f"allowed: {lower[first]:g} to {upper[first]:g}."
            )
