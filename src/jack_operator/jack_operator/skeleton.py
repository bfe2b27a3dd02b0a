"""Where every link is: forward kinematics of a URDF.

A link's pose is its parent's, times the joint's origin, times a turn about the joint's axis (Craig, Introduction to
Robotics, 2005, section 3.5).
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from scipy.spatial.transform import Rotation

from jack_contract.arrays import Float64
from jack_operator.urdf import Description


class Skeleton:
    """The joints of a robot, ready to be posed."""

    def __init__(self, description: Description) -> None:
        joints = description.joints
        self.root = description.root
        #: names of the joints that turn
        self.turning = tuple(joint.name for joint in joints if joint.axis is not None)
        self._joints = joints
        self._origins = np.tile(np.eye(4), (len(joints), 1, 1))
        self._axes = np.array([joint.axis or (0.0, 0.0, 0.0) for joint in joints]).reshape(-1, 3)
        if joints:
            self._origins[:, :3, :3] = Rotation.from_quat([joint.orientation for joint in joints]).as_matrix()
            self._origins[:, :3, 3] = [joint.position for joint in joints]

    def orientations(self, angles: Mapping[str, float]) -> dict[str, Float64]:
        """How each turning link lies in its parent.

        Args:
            angles: by joint [rad]; a joint that is not named is at zero.

        Returns:
            Unit quaternions x y z w by link, (4,).
        """
        if not self._joints:
            return {}
        turned = Rotation.from_matrix(self._local(angles)[:, :3, :3]).as_quat()
        return {joint.child: turned[index] for index, joint in enumerate(self._joints) if joint.axis is not None}

    def poses(self, angles: Mapping[str, float]) -> dict[str, Float64]:
        """Where each link is in the root link, as homogeneous matrices (4, 4) [m], for joint angles [rad]."""
        local = self._local(angles)
        found = {self.root: np.eye(4)}
        for joint, transform in zip(self._joints, local, strict=True):
            found[joint.child] = found[joint.parent] @ transform
        return found

    def _local(self, angles: Mapping[str, float]) -> Float64:
        """Every child in its parent, (n, 4, 4)."""
        local = self._origins.copy()
        if self._joints:
            turns = np.array([angles.get(joint.name, 0.0) for joint in self._joints])
            local[:, :3, :3] = local[:, :3, :3] @ Rotation.from_rotvec(turns[:, None] * self._axes).as_matrix()
        return local
