"""What only a simulator tells, as ROS messages: filled by attribute, so that this file imports no ROS."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from jack_contract.arrays import Array
from jack_sim.camera import Intrinsics
from jack_sim.physics import Odometry
from jack_sim.robot_model import BASE, Frame, JointFrames

#: Fixed frame of ground truth (REP-105).
ODOM = "odom"
#: A ROS message: any object with its attributes.
Message = Any


def fill_xyz(target: Message, values: Sequence[float]) -> None:
    """Put three numbers into a Vector3 or Point."""
    target.x, target.y, target.z = values


def fill_xyzw(target: Message, values: Sequence[float]) -> None:
    """Put four numbers, x y z w, into a Quaternion."""
    target.x, target.y, target.z, target.w = values


def fill_odometry(message: Message, odometry: Odometry) -> None:
    """Fill a nav_msgs/Odometry: pose of the base in `odom`, twist in the base frame (REP-105)."""
    message.header.frame_id, message.child_frame_id = ODOM, BASE
    fill_xyz(message.pose.pose.position, odometry.position.tolist())
    fill_xyzw(message.pose.pose.orientation, odometry.orientation.tolist())
    fill_xyz(message.twist.twist.linear, odometry.linear_velocity.tolist())
    fill_xyz(message.twist.twist.angular, odometry.angular_velocity.tolist())


def fill_camera_info(message: Message, intrinsics: Intrinsics) -> None:
    """Fill a sensor_msgs/CameraInfo of a pinhole camera without distortion."""
    fx, fy, cx, cy = intrinsics.fx, intrinsics.fy, intrinsics.cx, intrinsics.cy
    message.width, message.height = intrinsics.width, intrinsics.height
    message.distortion_model, message.d = "plumb_bob", [0.0] * 5
    message.k = [fx, 0.0, cx, 0.0, fy, cy, 0.0, 0.0, 1.0]
    message.r = [1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0]
    message.p = [fx, 0.0, cx, 0.0, 0.0, fy, cy, 0.0, 0.0, 0.0, 1.0, 0.0]


def fixed_transforms(frames: Sequence[Frame], make: Callable[[], Message]) -> list[Message]:
    """The transforms of frames that never move; `make` makes an empty geometry_msgs/TransformStamped."""
    transforms = []
    for frame in frames:
        transform = make()
        transform.header.frame_id, transform.child_frame_id = frame.parent, frame.name
        fill_xyz(transform.transform.translation, list(map(float, frame.position)))
        fill_xyzw(transform.transform.rotation, list(map(float, frame.orientation)))
        transforms.append(transform)
    return transforms


class MovingTransforms:
    """The transforms that change: base in odom, and each link in its parent. The messages are made once."""

    def __init__(self, frames: JointFrames, make: Callable[[], Message]) -> None:
        """Make them; `make` makes an empty geometry_msgs/TransformStamped."""
        self._frames = frames
        self._base = make()
        self._base.header.frame_id, self._base.child_frame_id = ODOM, BASE
        self._links = [make() for _ in frames.names]
        for link, parent, name, position in zip(
            self._links, frames.parents, frames.names, frames.positions.tolist(), strict=True
        ):
            link.header.frame_id, link.child_frame_id = parent, name
            fill_xyz(link.transform.translation, position)

    def filled(self, stamp: Message, odometry: Odometry, joint_position: Array) -> list[Message]:
        """The transforms at a time, for the base's pose and joint angles (n,) [rad]. Valid until the next call."""
        fill_xyz(self._base.transform.translation, odometry.position.tolist())
        fill_xyzw(self._base.transform.rotation, odometry.orientation.tolist())
        for link, quaternion in zip(self._links, self._frames.orientations(joint_position).tolist(), strict=True):
            fill_xyzw(link.transform.rotation, quaternion)
        transforms = [self._base, *self._links]
        for transform in transforms:
            transform.header.stamp = stamp
        return transforms
