"""What every format says in its own way: a tree of joints, how they turn, and where the root is."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.spatial.transform import Rotation

from jack_contract.arrays import Float64


@dataclass(frozen=True)
class Skeleton:
    """A tree of joints in its rest pose, in which no joint is turned. Parents come before their children."""

    names: tuple[str, ...]
    #: index of each joint's parent; -1 for the root, which is the first
    parents: tuple[int, ...]
    #: from the parent's place to the joint's, in the rest pose, (J, 3)
    offsets: Float64

    def rest(self) -> Float64:
        """Places of the joints in the rest pose, the root's at its offset, (J, 3)."""
        places = self.offsets.copy()
        for joint, parent in enumerate(self.parents):
            if parent >= 0:
                places[joint] += places[parent]
        return places


@dataclass(frozen=True)
class Take:
    """A skeleton in motion, in the frame of its file."""

    #: with offsets in metres
    skeleton: Skeleton
    #: places of the root, (T, 3) [m]
    root: Float64
    #: how each joint is turned in its parent, unit quaternions x y z w, (T, J, 4)
    turns: Float64
    #: frames a second [Hz]
    rate: float
    #: whether the end goes on with the beginning
    loop: bool = False
    #: the axes x forward, y left, z up of the world as rows in the file's coordinates; None: as the rest pose's
    world: Float64 | None = None
    #: what was done or assumed on reading
    notes: tuple[str, ...] = ()

    def places(self) -> tuple[Float64, list[Rotation]]:
        """Forward kinematics: places of the joints (T, J, 3) [m] and their orientations, in the file's world."""
        places = np.empty((*self.turns.shape[:2], 3))
        orientations: list[Rotation] = []
        for joint, parent in enumerate(self.skeleton.parents):
            turn = Rotation.from_quat(self.turns[:, joint])
            if parent < 0:
                places[:, joint] = self.root
                orientations.append(turn)
            else:
                above = orientations[parent]
                places[:, joint] = places[:, parent] + above.apply(self.skeleton.offsets[joint])
                orientations.append(above * turn)
        return places, orientations
