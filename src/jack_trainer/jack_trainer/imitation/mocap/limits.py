"""What Jack must not do while he follows a person, as inequalities of the inverse kinematics."""

from __future__ import annotations

import mujoco
import numpy as np
from mink import Configuration
from mink.limits import Constraint, Limit

from jack_contract.arrays import Float64
from jack_contract.robot import RobotSpec


class JointLimit(Limit):
    """Joints stay within their ranges, and within what their speed allows from the last control period on.

    A period takes several steps of the solver, so that the speed limit is one of all steps together.
    """

    def __init__(self, robot: RobotSpec, joints: int) -> None:
        """Of a robot; `joints` is the number of degrees of freedom in front of its joints."""
        self._robot, self._free = robot, joints
        self._reach = robot.velocity_limit * robot.control_period
        self.begin(None)

    def begin(self, last: Float64 | None) -> None:
        """Begin a control period.

        Args:
            last: the joints' positions in the last one, (n,) [rad]; None: anything may come first.
        """
        self._lower, self._upper = self._robot.lower.copy(), self._robot.upper.copy()
        if last is not None:
            np.maximum(self._lower, last - self._reach, out=self._lower)
            np.minimum(self._upper, last + self._reach, out=self._upper)

    def compute_qp_inequalities(self, configuration: Configuration, dt: float) -> Constraint:
        """Bounds of the next step's joints."""
        del dt
        joints = configuration.data.qpos[-self._robot.count :]
        rows = np.eye(configuration.nv)[self._free :]
        room = np.concatenate([self._upper - joints, joints - self._lower])
        return Constraint(np.vstack([rows, -rows]), np.maximum(room, 0))


class GroundLimit(Limit):
    """Spheres stay above the ground."""

    def __init__(self, model: mujoco.MjModel, spheres: list[int]) -> None:
        """Of a model; `spheres` are the ids of geoms."""
        self._spheres, self._radius = spheres, model.geom_size[spheres, 0]
        self._rows = np.empty((len(spheres), model.nv))

    def compute_qp_inequalities(self, configuration: Configuration, dt: float) -> Constraint:
        """No sphere goes further down than to the ground; one below it comes up, for nothing holds the pelvis."""
        del dt
        model, data = configuration.model, configuration.data
        jacobian = np.empty((3, model.nv))
        for row, sphere in enumerate(self._spheres):
            mujoco.mj_jacGeom(model, data, jacobian, None, sphere)
            self._rows[row] = -jacobian[2]
        height = data.geom_xpos[self._spheres, 2] - self._radius
        return Constraint(self._rows, height)
