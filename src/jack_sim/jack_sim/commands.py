"""Joint commands as they come from outside: checked, and put into the robot's joint order."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from jack_contract.arrays import Float64
from jack_contract.errors import MessageError, NonFiniteError
from jack_contract.robot import RobotSpec

#: A jack_msgs/JointCommand, or anything with its fields.
Message = Any


@dataclass(frozen=True)
class MotorTargets:
    """What the motors are asked to do, in the robot's joint order."""

    #: (n,) [rad]
    position: Float64
    #: (n,) [N m/rad]
    stiffness: Float64
    #: (n,) [N m s/rad]
    damping: Float64


class CommandReader:
    """Reads joint commands for one robot. The order of a sender's names is worked out once."""

    def __init__(self, robot: RobotSpec) -> None:
        self._robot = robot
        self._names: list[str] | None = None  # none read yet
        self._order = np.zeros(0, dtype=np.intp)

    def read(self, message: Message) -> MotorTargets:
        """The targets of a message.

        Raises:
            MessageError: names that are not the robot's, arrays of another length, numbers that are not finite,
                or a negative gain; says which (NonFiniteError for the numbers).
        """
        if message.name != self._names:
            self._order = self._order_of(list(message.name))
            self._names = list(message.name)
        targets = MotorTargets(*(self._column(message, name) for name in ("position", "stiffness", "damping")))
        if (targets.stiffness < 0).any() or (targets.damping < 0).any():
            raise MessageError("A joint command has a negative gain; allowed: 0 or more.")
        return targets

    def _column(self, message: Message, field: str) -> Float64:
        values = np.asarray(getattr(message, field), dtype=np.float64)
        if values.shape != self._order.shape:
            raise MessageError(
                f"A joint command has {values.size} values of {field}; expected {self._order.size}, one per name."
            )
        if not np.isfinite(values).all():
            bad = [name for name, value in zip(message.name, values, strict=True) if not np.isfinite(value)]
            raise NonFiniteError(f"A joint command has a {field} that is no finite number: {', '.join(bad)}.")
        return values[self._order]

    def _order_of(self, names: list[str]) -> np.ndarray:
        own = self._robot.joint_names
        if sorted(names) != sorted(own):
            missing, unknown = sorted(set(own) - set(names)), sorted(set(names) - set(own))
            raise MessageError(
                f"A joint command must name each joint of '{self._robot.name}' once; missing: {missing or 'none'}, "
                f"unknown: {unknown or 'none'}, {len(names)} names for {len(own)} joints."
            )
        return np.array([names.index(name) for name in own], dtype=np.intp)
