"""Arms that somebody else has: led from one random pose to another, and not shown to him who walks.

The legs that were taught to walk carry him, too, while he follows a sentence with his hands (`jack_brain.chunk`).
Who never felt his arms pull him forwards steps back all the while they are held out.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from jack_brain.chunk import arm_columns, arm_joints
from jack_contract.arrays import Array, Float32
from jack_contract.contract import Contract
from jack_contract.state import RobotState

#: An arm is led to another pose after so long, least and greatest [s], and so fast [rad/s].
_STAYS, _SPEED = (0.4, 2.5), 2.5


class BusyArms:
    """Of N robots, some of which have busy arms."""

    def __init__(self, contract: Contract, count: int, random: np.random.Generator) -> None:
        robot = contract.robot
        self._random, self._period = random, robot.control_period
        self._joints, self._columns = arm_joints(robot), arm_columns(contract)
        self._rest = robot.default_position[self._joints]
        self._limits = robot.lower[self._joints], robot.upper[self._joints]
        self._busy, self._due = np.zeros(count, bool), np.zeros(count)
        self._pose, self._goal = (np.tile(self._rest, (count, 1)) for _ in range(2))

    def begin(self, ids: NDArray[np.integer], share: float) -> None:
        """New episodes of robots `ids` (k,): so many of them have busy arms, which begin at rest."""
        self._busy[ids] = self._random.uniform(size=len(ids)) < share if share else False
        self._pose[ids] = self._goal[ids] = self._rest
        self._due[ids] = 0.0

    def lead(self, targets: Array) -> Array:
        """Joint targets (N, n) [rad] with busy arms where they are led, one control period further."""
        if not self._busy.any():
            return targets
        self._due -= self._period
        self._choose(np.flatnonzero(self._busy & (self._due <= 0.0)))
        most = _SPEED * self._period
        self._pose += np.clip(self._goal - self._pose, -most, most)
        led = np.array(targets)
        led[:, self._joints] = np.where(self._busy[:, None], self._pose, led[:, self._joints])
        return led

    def hidden(self, frames: Float32, ids: NDArray[np.integer] | slice = slice(None)) -> Float32:
        """Frames of robots `ids`, (k, D), in which busy arms are in the default pose, at rest and idle."""
        frames[np.ix_(self._busy[ids], self._columns)] = 0.0
        return frames

    def judged(self, state: RobotState) -> RobotState:
        """Readings by which he is judged, (N, ...): nobody blames him for what others do with his arms."""
        if not self._busy.any():
            return state
        position, velocity = state.joint_position.copy(), state.joint_velocity.copy()
        held = self._busy[:, None]
        position[:, self._joints] = np.where(held, self._rest, position[:, self._joints])
        velocity[:, self._joints] = np.where(held, 0.0, velocity[:, self._joints])
        return replace(state, joint_position=position, joint_velocity=velocity)

    def arrays(self) -> dict[str, NDArray[Any]]:
        """All that it needs to go on, by name, as views."""
        return {"busy": self._busy, "busy.due": self._due, "busy.pose": self._pose, "busy.goal": self._goal}

    def _choose(self, ids: NDArray[np.integer]) -> None:
        low, high = self._limits
        anywhere = self._random.uniform(low, high, (len(ids), len(self._joints)))
        share = self._random.uniform(0.0, 1.0, (len(ids), 1))  # mostly not at the limits
        self._goal[ids] = self._rest + share * (anywhere - self._rest)
        self._due[ids] = self._random.uniform(*_STAYS, len(ids))
