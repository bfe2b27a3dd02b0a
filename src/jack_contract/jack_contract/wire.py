"""Between Jack's arrays and ROS messages, by attribute: no ROS is imported, any object with the fields will do.

Messages follow REP-103 and REP-145: joint_states is a sensor_msgs/JointState, imu/data a sensor_msgs/Imu,
joint_command a jack_msgs/JointCommand. Numbers are handed over as array.array, which message classes take as they
are. Reading happens at every tick: it makes two arrays and looks through each once.
"""

from __future__ import annotations

import math
from array import array
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np

from jack_contract.arrays import Array, Float64
from jack_contract.errors import MessageError, NonFiniteError
from jack_contract.robot import RobotSpec
from jack_contract.state import RobotState

#: A ROS message of whatever class.
Message = Any

NANOSECONDS = 1_000_000_000
#: An orientation whose length is further from 1 than this is none (all zeros: the sensor does not know) [1].
_LENGTH_TOLERANCE = 0.05
_JOINT_FIELDS = ("position", "velocity", "effort")
_COMMAND_FIELDS = ("position", "stiffness", "damping")
#: So many wrong names, so long, are told [1].
_TOLD, _TOLD_LENGTH = 4, 40


def nanoseconds(stamp: Message) -> int:
    """A builtin_interfaces/Time as whole nanoseconds."""
    return stamp.sec * NANOSECONDS + stamp.nanosec


def seconds(stamp: Message) -> float:
    """A builtin_interfaces/Time in seconds."""
    return stamp.sec + stamp.nanosec / NANOSECONDS


def fill_stamp(stamp: Message, time: float) -> None:
    """Set a builtin_interfaces/Time to a time [s], to the nearest nanosecond."""
    stamp.sec, stamp.nanosec = divmod(round(time * NANOSECONDS), NANOSECONDS)


class JointReader:
    """Reads joint states from messages. The order of a sender's joint names is worked out once."""

    def __init__(self, robot: RobotSpec) -> None:
        self._robot = robot
        self._names: list[str] = list(robot.joint_names)
        self._order: np.ndarray | None = None  # None: the robot's own

    def read(self, message: Message) -> Float64:
        """Positions [rad], velocities [rad/s] and efforts [N m] in the robot's joint order, (3, n).

        Efforts may be left out, as many drivers do; they are zero then. Joints of something else are ignored.

        Raises:
            MessageError: a joint is missing or there twice, or arrays of another length; says which.
            NonFiniteError: a number that is not finite; says which.
        """
        if message.name != self._names:
            self._learn(list(message.name))
        count = len(self._names)
        joints = np.zeros((len(_JOINT_FIELDS), count))
        for row, field in enumerate(_JOINT_FIELDS):
            values = getattr(message, field)
            if len(values) == count:
                joints[row] = values
            elif field != "effort" or len(values):
                raise MessageError(f"Joint states have {len(values)} values of {field} for {count} names.")
        if self._order is not None:
            joints = joints[:, self._order]
        if not np.isfinite(joints).all():
            raise NonFiniteError("; ".join(self._not_finite(joints)) + ".")
        return joints

    def _learn(self, names: list[str]) -> None:
        own = self._robot.joint_names
        missing = [name for name in own if name not in names]
        twice = sorted({name for name in names if names.count(name) > 1})
        if missing or twice:
            raise MessageError(
                f"Joint states must name each joint of '{self._robot.name}' once; "
                f"missing: {', '.join(missing) or 'none'}; twice: {', '.join(twice) or 'none'}."
            )
        self._order = None if names == list(own) else np.array([names.index(name) for name in own])
        self._names = names

    def _not_finite(self, joints: Float64) -> list[str]:
        words = []
        for field, row in zip(_JOINT_FIELDS, np.isfinite(joints), strict=True):
            bad = [name for name, finite in zip(self._robot.joint_names, row, strict=True) if not finite]
            words += [f"Joint {field} is not a finite number: {', '.join(bad)}"] if bad else []
        return words


class StateReader:
    """Reads robot states from messages."""

    def __init__(self, robot: RobotSpec) -> None:
        self._joints = JointReader(robot)

    def read(self, joint_state: Message, imu: Message) -> RobotState:
        """The readings of a JointState and an Imu message; the time is the joint state's.

        Raises:
            MessageError: as `JointReader.read`, or no orientation; says which.
            NonFiniteError: a number that is not finite; says which.
        """
        joints, body = self._joints.read(joint_state), _body(imu)
        return RobotState(
            time=np.float64(seconds(joint_state.header.stamp)),  # type: ignore[arg-type] - zero dimensions
            joint_position=joints[0],
            joint_velocity=joints[1],
            joint_effort=joints[2],
            orientation=body[:4],
            angular_velocity=body[4:7],
            linear_acceleration=body[7:],
        )


@dataclass(frozen=True, slots=True)
class JointTargets:
    """What the joints are asked to do, in the robot's joint order."""

    #: (n,) [rad]
    position: Float64
    #: (n,) [N m/rad]
    stiffness: Float64
    #: (n,) [N m s/rad]
    damping: Float64


class CommandReader:
    """Reads joint commands from messages. The order of a sender's joint names is worked out once."""

    def __init__(self, robot: RobotSpec) -> None:
        self._robot = robot
        self._names: list[str] | None = None  # none read yet
        self._order = np.zeros(0, dtype=np.intp)

    def read(self, message: Message) -> JointTargets:
        """The targets of a JointCommand.

        Raises:
            MessageError: names that are not the robot's, each once, arrays of another length, or a negative gain;
                says which.
            NonFiniteError: a number that is not finite; says which.
        """
        if message.name != self._names:
            names = list(message.name)
            self._order = self._order_of(names)
            self._names = names
        targets = JointTargets(*(self._column(message, field) for field in _COMMAND_FIELDS))
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
            raise MessageError(
                f"A joint command must name each joint of '{self._robot.name}' once; "
                f"missing: {_some(set(own) - set(names))}, unknown: {_some(set(names) - set(own))}, "
                f"{len(names)} names for {len(own)} joints."
            )
        return np.array([names.index(name) for name in own], dtype=np.intp)


def _some(names: Iterable[str]) -> str:
    """Names for a message to people, who need not read them all."""
    ordered = sorted(name[:_TOLD_LENGTH] for name in names)
    more = [f"and {len(ordered) - _TOLD} more"] if len(ordered) > _TOLD else []
    return ", ".join([*ordered[:_TOLD], *more]) or "none"


def _body(imu: Message) -> Float64:
    """Orientation (unit, x y z w), angular velocity and specific force, (10,)."""
    q, w, a = imu.orientation, imu.angular_velocity, imu.linear_acceleration
    body = np.array((q.x, q.y, q.z, q.w, w.x, w.y, w.z, a.x, a.y, a.z), dtype=np.float64)
    if not np.isfinite(body).all():
        parts = {"orientation": body[:4], "angular velocity": body[4:7], "linear acceleration": body[7:]}
        bad = [name for name, values in parts.items() if not np.isfinite(values).all()]
        raise NonFiniteError(f"The imu's {' and '.join(bad)} is not a finite number.")
    length = math.hypot(*body[:4].tolist())
    if abs(length - 1.0) > _LENGTH_TOLERANCE:
        raise MessageError(f"The imu's orientation has length {length:.3g}; expected 1, a unit quaternion x y z w.")
    body[:4] /= length
    return body


def fill_joint_state(message: Message, robot: RobotSpec, state: RobotState) -> None:
    """Fill a JointState with names, positions, velocities and efforts; stamp and frame are the caller's."""
    _fill_names(message, robot)
    message.position = doubles(state.joint_position)
    message.velocity = doubles(state.joint_velocity)
    message.effort = doubles(state.joint_effort)


def fill_imu(message: Message, state: RobotState) -> None:
    """Fill an Imu with orientation, angular velocity and specific force; the rest is the caller's."""
    _fill(message.orientation, "xyzw", state.orientation)
    _fill(message.angular_velocity, "xyz", state.angular_velocity)
    _fill(message.linear_acceleration, "xyz", state.linear_acceleration)


def fill_joint_command(
    message: Message,
    robot: RobotSpec,
    mode: int,
    targets: Array,
    stiffness: Array,
    damping: Array,
    session: int = 0,
) -> None:
    """Fill a JointCommand; the stamp is the caller's.

    Args:
        message: to be filled.
        robot: whose joints they are.
        mode: HOLD, RUN or DAMP.
        targets: (n,) [rad].
        stiffness: (n,) [N m/rad].
        damping: (n,) [N m s/rad].
        session: who commands, as drawn when he was activated; 0: not said.
    """
    _fill_names(message, robot)
    message.session, message.mode = int(session), int(mode)
    message.position, message.stiffness, message.damping = map(doubles, (targets, stiffness, damping))


def _fill_names(message: Message, robot: RobotSpec) -> None:
    if len(message.name) != robot.count or tuple(message.name) != robot.joint_names:
        message.name = list(robot.joint_names)


def _fill(message: Message, names: str, values: Array) -> None:
    for name, value in zip(names, values.tolist(), strict=True):
        setattr(message, name, value)


def doubles(values: Array) -> array[float]:
    """Numbers (n,) as message classes take them quickest: float64, in one block."""
    return array("d", np.ascontiguousarray(values, dtype=np.float64).tobytes())
