"""The rhythm of walking: a phase that the command starts and stops, and the stepping pattern that a policy corrects.

The phase is a share of the cycle, in [0, 1): the left foot swings in the first half, the right one in the second. At
0 and 0.5 both feet are down; there it rests while nothing is asked for. Everything is a function of phase and
command, so that trainer, datasets and robot cannot disagree about it. Arrays are (..., D).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from jack_contract.arrays import Array, Float64, require_last
from jack_contract.errors import ContractError
from jack_contract.robot import RobotSpec

#: Numbers in the signal that a policy sees: sine and cosine of the phase.
SIGNAL_SIZE = 2


@dataclass(frozen=True)
class GaitSpec:
    """A stepping pattern of two equal halves."""

    #: duration of a cycle, one step of each foot [s]
    period: float
    #: offsets of the joint targets when the left foot is highest, one for each joint [rad]
    swing: tuple[float, ...]
    #: commands up to this length ask him to stand; their numbers in m/s and rad/s are taken as one vector
    still: float = 0.05

    def __post_init__(self) -> None:
        numbers = (self.period, self.still, *self.swing)
        if not self.swing or not all(map(np.isfinite, numbers)) or not 0.1 <= self.period <= 10 or self.still < 0:
            raise ContractError(f"A gait needs a period of 0.1 to 10 s and finite offsets, given: {self}.")

    def stepping(self, phase: Array, command: Array) -> Array:
        """Whether a step is under way or asked for, of phases (...,) and commands (..., 3); (...,) bool."""
        asked = np.einsum("...i,...i->...", command, command) > self.still**2
        return asked | (phase % 0.5 != 0.0)

    def signal(self, phase: Array, command: Array) -> Float64:
        """What the policy sees of the rhythm: sine and cosine of the phase, both 0 at rest, (..., 2)."""
        angle = 2 * np.pi * np.asarray(phase)
        return np.stack((np.sin(angle), np.cos(angle)), axis=-1) * self.stepping(phase, command)[..., None]

    def advance(self, phase: Array, command: Array, elapsed: float) -> Array:
        """The phase `elapsed` [s] later: a step that is under way is finished, a new one only begun if asked for."""
        following = phase + elapsed / self.period
        rest = np.floor(2.0 * phase) / 2 + 0.5
        asked = np.einsum("...i,...i->...", command, command) > self.still**2
        moving = np.where(asked, following, np.where(phase % 0.5 == 0.0, phase, np.minimum(following, rest)))
        return moving % 1.0

    def lift(self, phase: Array) -> Float64:
        """How far the left and the right foot are on their way up, 0 to 1, (..., 2)."""
        sine = np.sin(2 * np.pi * np.asarray(phase))
        return np.stack((sine, -sine), axis=-1).clip(0.0)

    def offsets(self, robot: RobotSpec, phase: Array) -> Float64:
        """Offsets of the joint targets, (...,) -> (..., n) [rad]; zero at rest."""
        require_last("Gait", self._swing, robot.count)
        mirrored = robot.mirror_sign * self._swing[list(robot.mirror_index)]
        return self.lift(phase) @ np.stack((self._swing, mirrored))

    @cached_property
    def _swing(self) -> Float64:
        return np.array(self.swing)


#: Offsets of the joints of the leg that swings, and of the arm on its side, at the height of the step [rad].
_LEG = {"hip_pitch": -0.4, "knee": 0.8, "ankle_pitch": -0.4}
_ARM = {"shoulder_pitch": 0.2}


def default_gait(robot: RobotSpec) -> GaitSpec:
    """A step in place every 0.4 s, by the names of the joints: hip, knee and ankle lift a foot; the arms swing.

    A robot without such joints gets no offsets.
    """
    swing = np.zeros(robot.count)
    for index, name in enumerate(robot.joint_names):
        leg = next((value for part, value in _LEG.items() if part in name), 0.0)
        arm = next((value for part, value in _ARM.items() if part in name), 0.0)
        swing[index] = leg + arm if "left" in name else -arm
    return GaitSpec(0.8, tuple(swing.tolist()))
