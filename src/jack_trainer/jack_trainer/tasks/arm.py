"""Where hands get to, and how: the arms of N robots as formulas, and steps towards what they are to do.

A chain of four joints is short enough to be written out for all robots at once, in numpy; solvers that take one
robot at a time cost ten times as much. Steps are damped least squares (Wampler 1986) with a posture to prefer.
"""

from __future__ import annotations

from dataclasses import dataclass

import mujoco
import numpy as np
from numpy.typing import NDArray

from jack_contract.arrays import Array
from jack_contract.robot import RobotSpec

SIDES = ("left", "right")
_JOINTS = ("shoulder_pitch", "shoulder_roll", "shoulder_yaw", "elbow")
#: Joints of an arm.
COUNT = len(_JOINTS)
#: Joints keep so far from their limits [rad].
_MARGIN = 0.03
#: How much a joint's way is worth against the hand's [m/rad], and how much of the way to the preferred posture.
_DAMPING, _POSTURE = 0.02, 0.03


@dataclass(frozen=True)
class Reach:
    """Where arms are. J is the derivative by the four joints."""

    #: in world, (N, 3) [m]
    elbow: Array
    hand: Array
    #: from elbow to hand, unit vectors, (N, 3)
    direction: Array
    #: of elbow and hand, (N, 3, 4) [m/rad], and of the direction [1/rad]
    elbow_by_joint: Array
    hand_by_joint: Array
    direction_by_joint: Array


class Arms:
    """Both arms of a model; a call is about one arm of each of N robots.

    Attributes:
        indices: of the arms' joints among the robot's, (2, 4): left, right.
        radius: of the hand, which is the round end of the forearm [m].
    """

    def __init__(self, model: mujoco.MjModel, robot: RobotSpec) -> None:
        """Read the chain from torso to hand."""
        self.indices = np.array([[robot.index(f"{side}_{joint}") for joint in _JOINTS] for side in SIDES])
        self.lower, self.upper = robot.lower[self.indices] + _MARGIN, robot.upper[self.indices] - _MARGIN
        self.torso = model.body("torso").id
        self.forearms = np.array([model.body(f"{side}_forearm_link").id for side in SIDES])
        links = ("shoulder_pitch_link", "shoulder_roll_link", "upper_arm_link", "forearm_link")
        self._offsets = np.array([[model.body(f"{side}_{link}").pos for link in links] for side in SIDES])
        self._axes = [int(np.argmax(model.jnt_axis[1 + index])) for index in self.indices[0]]
        self.radius, self.length = _hand(model, int(self.forearms[0]))

    def reach(self, side: NDArray[np.integer], place: Array, turn: Array, joints: Array) -> Reach:
        """Where arms are.

        Args:
            side: which arm, 0 left or 1 right, (N,).
            place: of the torso in world, (N, 3) [m].
            turn: of the torso, rotation matrices, (N, 3, 3).
            joints: of that arm, (N, 4) [rad].
        """
        origins, axes = [], []
        for index, axis in enumerate(self._axes):
            place = place + _turned(turn, self._offsets[side, index])
            origins.append(place)
            axes.append(turn[:, :, axis])
            turn = turn @ _rotation(axis, joints[:, index])
        elbow, direction = place, -turn[:, :, 2]
        hand = elbow + self.length * direction
        along, around = np.stack(axes, axis=1), np.stack(origins, axis=1)
        return Reach(
            elbow,
            hand,
            direction,
            np.cross(along, elbow[:, None] - around).swapaxes(1, 2),
            np.cross(along, hand[:, None] - around).swapaxes(1, 2),
            np.cross(along, direction[:, None]).swapaxes(1, 2),
        )

    def clip(self, side: NDArray[np.integer], joints: Array) -> Array:
        """Joints (N, 4) [rad] within their limits."""
        return np.clip(joints, self.lower[side], self.upper[side])

    def moved(
        self,
        side: NDArray[np.integer],
        jacobian: Array,
        error: Array,
        joints: Array,
        preferred: Array,
        most: float,
    ) -> Array:
        """Joints (N, 4) [rad] after a step of `solve`, within their limits, and no joint further than `most` [rad].

        A joint that comes to its limit stays there, and the others make up for it.
        """
        first = joints + solve(jacobian, error, joints, preferred).clip(-most, most)
        ends = self.clip(side, first)
        held = ends != first
        left = error - _turned(jacobian, np.where(held, ends - joints, 0.0))
        step = solve(np.where(held[:, None], 0.0, jacobian), left, joints, preferred).clip(-most, most)
        return np.where(held, ends, self.clip(side, joints + step))


def solve(jacobian: Array, error: Array, joints: Array, preferred: Array) -> Array:
    """A step of the joints that makes errors smaller.

    Args:
        jacobian: of what is to change by the joints, (N, m, 4).
        error: by how much it is to change, (N, m).
        joints: as they are, (N, 4) [rad].
        preferred: posture to go to where the error does not care, (N, 4) [rad].

    Returns:
        The step, (N, 4) [rad].
    """
    transposed = jacobian.swapaxes(1, 2)
    weight = _DAMPING**2 + _POSTURE**2
    squares = transposed @ jacobian + weight * np.eye(COUNT)
    right = _turned(transposed, error) + _POSTURE**2 * (preferred - joints)
    return np.linalg.solve(squares, right[..., None])[..., 0]


def _turned(matrices: Array, vectors: Array) -> Array:
    """Matrices (N, m, k) times vectors (N, k)."""
    return (matrices @ vectors[..., None])[..., 0]


def _rotation(axis: int, angle: Array) -> Array:
    """About x, y or z, (N,) [rad] -> (N, 3, 3)."""
    matrix = np.zeros((len(angle), 3, 3))
    c, s = np.cos(angle), np.sin(angle)
    i, j = (axis + 1) % 3, (axis + 2) % 3
    matrix[:, axis, axis] = 1.0
    matrix[:, i, i], matrix[:, j, j], matrix[:, i, j], matrix[:, j, i] = c, c, -s, s
    return matrix


def _hand(model: mujoco.MjModel, forearm: int) -> tuple[float, float]:
    """Radius of the round end of the forearm, and how far its centre is from the elbow [m]."""
    mine = np.flatnonzero((model.geom_bodyid == forearm) & (model.geom_contype != 0))
    capsule = int(mine[0])
    radius, half = model.geom_size[capsule, :2]
    return float(radius), float(half - model.geom_pos[capsule, 2])
