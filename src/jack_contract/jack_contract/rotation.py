"""The two quaternion orders, gravity as the robot feels it, and headings.

ROS (REP-103 messages) writes quaternions x y z w, MuJoCo w x y z. Jack's arrays are x y z w everywhere; this is
the only place where one becomes the other.
"""

import numpy as np

from jack_contract.arrays import Array, Float64


def wxyz_to_xyzw(quaternion: Array) -> Array:
    """Reorder MuJoCo quaternions for ROS, (..., 4) -> (..., 4)."""
    return np.roll(quaternion, -1, axis=-1)


def xyzw_to_wxyz(quaternion: Array) -> Array:
    """Reorder ROS quaternions for MuJoCo, (..., 4) -> (..., 4)."""
    return np.roll(quaternion, 1, axis=-1)


def projected_gravity(orientation: Array) -> Array:
    """Unit vector of gravity in the body frame; upright is (0, 0, -1).

    It is minus the third row of the rotation matrix of q = (x, y, z, w):
    R^T (0, 0, -1) = -(2(xz - wy), 2(yz + wx), 1 - 2(x^2 + y^2)).

    Args:
        orientation: body in world, unit quaternions x y z w, (..., 4).

    Returns:
        (..., 3), dimensionless, body frame.
    """
    x, y, z, w = (orientation[..., i] for i in range(4))
    gravity = np.empty((*orientation.shape[:-1], 3), orientation.dtype)
    gravity[..., 0] = 2 * (w * y - x * z)
    gravity[..., 1] = -2 * (y * z + w * x)
    gravity[..., 2] = 2 * (x * x + y * y) - 1
    return gravity


def yaw(orientation: Array) -> Array:
    """Heading [rad] about the world's z axis of unit quaternions x y z w, (..., 4) -> (...,)."""
    x, y, z, w = np.moveaxis(np.asarray(orientation), -1, 0)
    return np.arctan2(2 * (w * z + x * y), 1 - 2 * (y * y + z * z))


def turned(vector: Array, angle: Array | float) -> Float64:
    """Horizontal vectors (..., 2), turned to the left by angles (...,) [rad].

    By its heading a vector comes from a body's heading frame to the world, by the opposite it goes back.
    """
    c, s = np.cos(angle), np.sin(angle)
    x, y = vector[..., 0], vector[..., 1]
    return np.stack((c * x - s * y, s * x + c * y), axis=-1)
