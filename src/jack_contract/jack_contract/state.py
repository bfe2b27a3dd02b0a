"""What is known of a robot at one moment, and what is asked of it.

Arrays are (..., D): one robot has no leading dimension, a batch of simulations has one. Frames follow REP-103:
x forward, y left, z up; quaternions x y z w.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from jack_contract.arrays import Array, Index
from jack_contract.robot import RobotSpec


@dataclass
class RobotState:
    """Sensor readings of one robot or of many."""

    #: time of the readings, (...,) [s]
    time: Array
    #: (..., n) [rad]
    joint_position: Array
    #: (..., n) [rad/s]
    joint_velocity: Array
    #: (..., n) [N m]
    joint_effort: Array
    #: IMU in world, unit quaternion x y z w, (..., 4)
    orientation: Array
    #: IMU frame, (..., 3) [rad/s]
    angular_velocity: Array
    #: specific force, IMU frame: at rest (0, 0, 9.81), (..., 3) [m/s^2]
    linear_acceleration: Array

    @classmethod
    def at_rest(cls, robot: RobotSpec, shape: tuple[int, ...] = ()) -> RobotState:
        """Upright in the default pose at time zero."""
        n = robot.count
        return cls(
            time=np.zeros(shape),
            joint_position=np.broadcast_to(robot.default_position, (*shape, n)).copy(),
            joint_velocity=np.zeros((*shape, n)),
            joint_effort=np.zeros((*shape, n)),
            orientation=np.broadcast_to([0.0, 0.0, 0.0, 1.0], (*shape, 4)).copy(),
            angular_velocity=np.zeros((*shape, 3)),
            linear_acceleration=np.broadcast_to([0.0, 0.0, 9.81], (*shape, 3)).copy(),
        )

    def rows(self, ids: Index) -> RobotState:
        """The readings of some robots of a batch, (k, ...)."""
        return RobotState(**{name: value[ids] for name, value in vars(self).items()})

    def is_finite(self) -> bool:
        """Whether every reading of every robot is a finite number."""
        return all(bool(np.isfinite(value).all()) for value in vars(self).values())


@dataclass
class Command:
    """What is asked of the robot."""

    #: forward and leftward speed [m/s] and yaw rate [rad/s] in the heading frame, (..., 3)
    velocity: Array

    @classmethod
    def zero(cls, shape: tuple[int, ...] = ()) -> Command:
        """Stand still."""
        return cls(np.zeros((*shape, 3)))
