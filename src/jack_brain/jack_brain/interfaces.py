"""How motors are reached: orders as messages of the hardware. Imports no ROS; any object with the fields will do.

| interface | message | while driving | while damping |
|---|---|---|---|
| `joint_command` | jack_msgs/JointCommand | targets and gains | stiffness zero, the contract's damping |
| `forward_command`, position | std_msgs/Float64MultiArray | targets | holds where it was measured last |
| `forward_command`, effort | std_msgs/Float64MultiArray | stiffness (target - q) - damping dq | -damping dq |
| `joint_trajectory` | trajectory_msgs/JointTrajectory | targets, a control period ahead | holds |

Hardware that takes positions alone cannot damp: its own controllers keep it stiff. It holds the pose in which it
was measured when damping began. Efforts are cut to the joints' limits, and are zero while nobody knows where the
joints are. All arrays are in the order of the hardware.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from difflib import get_close_matches
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from jack_brain.driver import Order
from jack_brain.safety import Mode
from jack_contract.arrays import Float64
from jack_contract.errors import ContractError, UnknownNameError
from jack_contract.robot import RobotSpec
from jack_contract.wire import JointTargets, doubles, fill_joint_command, fill_stamp

#: A ROS message of whatever class.
Message = Any

JOINT_COMMAND, FORWARD_COMMAND, JOINT_TRAJECTORY = "joint_command", "forward_command", "joint_trajectory"
INTERFACES = (JOINT_COMMAND, FORWARD_COMMAND, JOINT_TRAJECTORY)
POSITION, EFFORT = "position", "effort"
KINDS = (POSITION, EFFORT)


@dataclass(frozen=True)
class Wiring:
    """How the hardware names and orders the joints."""

    #: the contract's robot, with names and order of the hardware
    robot: RobotSpec
    #: for each joint of the hardware its index in the contract, (n,)
    index: NDArray[np.intp]

    @classmethod
    def of(cls, robot: RobotSpec, joints: Sequence[str] = (), prefix: str = "") -> Wiring:
        """Check the names of the hardware.

        Args:
            robot: the contract's.
            joints: names in the order of the hardware, with or without the prefix; empty: the contract's order.
            prefix: what the hardware puts before each of the contract's names.

        Raises:
            ContractError: the names are not the contract's; says which is missing, unknown or there twice.
        """
        names = [name.removeprefix(prefix) for name in joints] or list(robot.joint_names)
        if sorted(names) != sorted(robot.joint_names):
            raise ContractError(_wrong_names(robot, names))
        index = np.array([robot.index(name) for name in names], dtype=np.intp)
        wired = tuple(replace(robot.joints[i], name=prefix + robot.joints[i].name) for i in index)
        return cls(replace(robot, joints=wired), index)

    def sorted(self, targets: JointTargets) -> JointTargets:
        """Targets in the contract's order, in the hardware's."""
        return JointTargets(*(getattr(targets, name)[self.index] for name in ("position", "stiffness", "damping")))


def _wrong_names(robot: RobotSpec, names: Sequence[str]) -> str:
    own = robot.joint_names
    missing = [name for name in own if name not in names]
    twice = sorted({name for name in names if names.count(name) > 1})
    unknown = []
    for name in dict.fromkeys(name for name in names if name not in own):
        close = get_close_matches(name, missing or own, n=1)
        unknown.append(f"{name} (did you mean '{close[0]}'?)" if close else name)
    kinds = {"missing": missing, "unknown": unknown, "twice": twice}
    told = "; ".join(f"{kind}: {', '.join(wrong) or 'none'}" for kind, wrong in kinds.items())
    return f"The hardware's joints must be those of '{robot.name}', each once; {told}. Set the parameter joints."


class Interface(Protocol):
    """One way to reach the motors."""

    #: whether a message is due at each reading of the joints, because it is computed from that
    follows_readings: bool

    def fill(self, message: Message, order: Order, readings: Float64 | None) -> bool:
        """Fill a message with an order.

        Args:
            message: of the interface's class; the stamp is the caller's.
            order: what the motors are to do.
            readings: positions [rad], velocities [rad/s] and efforts [N m] as JointReader has them, in the order of
                the hardware, (3, n); None if nobody knows.

        Returns:
            Whether there is anything to be sent.
        """
        ...


class JointCommandInterface:
    """Hardware that understands Jack's own message."""

    follows_readings = False

    def __init__(self, wiring: Wiring) -> None:
        self._wiring = wiring

    def fill(self, message: Message, order: Order, readings: Float64 | None) -> bool:
        """Fill a jack_msgs/JointCommand; damped, its positions are where the joints are, if that is known."""
        targets = self._wiring.sorted(order.targets)
        position = targets.position
        if order.mode is Mode.DAMP and readings is not None:
            position = readings[0]
        gains = targets.stiffness, targets.damping
        fill_joint_command(message, self._wiring.robot, order.mode, position, *gains, order.session)
        return True


class _Positions:
    """Positions for hardware that takes nothing else."""

    def __init__(self, wiring: Wiring) -> None:
        self._wiring = wiring
        self._last: Float64 | None = None
        self._holding = False

    def of(self, order: Order, readings: Float64 | None) -> Float64 | None:
        """Where the joints are to be, (n,) [rad]; None: where they are, and nobody knows where that is."""
        robot, begins = self._wiring.robot, order.mode is Mode.DAMP and not self._holding
        self._holding = order.mode is Mode.DAMP
        if not self._holding:
            self._last = self._wiring.sorted(order.targets).position
        elif readings is not None and (begins or self._last is None):
            self._last = readings[0].clip(robot.lower, robot.upper)
        return self._last


class ForwardPositionInterface:
    """The forward_command_controller of ros2_control with the interface `position`."""

    follows_readings = False

    def __init__(self, wiring: Wiring) -> None:
        self._positions = _Positions(wiring)

    def fill(self, message: Message, order: Order, readings: Float64 | None) -> bool:
        """Fill a std_msgs/Float64MultiArray with positions [rad]."""
        positions = self._positions.of(order, readings)
        if positions is not None:
            message.data = doubles(positions)
        return positions is not None


class ForwardEffortInterface:
    """The forward_command_controller of ros2_control with the interface `effort`: the position control is ours."""

    follows_readings = True

    def __init__(self, wiring: Wiring) -> None:
        self._wiring = wiring

    def fill(self, message: Message, order: Order, readings: Float64 | None) -> bool:
        """Fill a std_msgs/Float64MultiArray with torques [N m]."""
        limit = self._wiring.robot.effort_limit
        torque = np.zeros_like(limit)
        if readings is not None:
            joints = self._wiring.sorted(order.targets)
            torque = joints.stiffness * (joints.position - readings[0]) - joints.damping * readings[1]
        message.data = doubles(torque.clip(-limit, limit))
        return True


class JointTrajectoryInterface:
    """The joint_trajectory_controller of ros2_control: each order is a trajectory of one point."""

    follows_readings = False

    def __init__(self, wiring: Wiring, make_point: Callable[[], Message]) -> None:
        """`make_point` makes an empty trajectory_msgs/JointTrajectoryPoint."""
        self._wiring, self._positions = wiring, _Positions(wiring)
        self._names = list(wiring.robot.joint_names)
        self._point = make_point()

    def fill(self, message: Message, order: Order, readings: Float64 | None) -> bool:
        """Fill a trajectory_msgs/JointTrajectory; with a stamp of zero it begins when it arrives."""
        positions = self._positions.of(order, readings)
        if positions is None:
            return False
        self._point.positions = doubles(positions)
        fill_stamp(self._point.time_from_start, self._wiring.robot.control_period)
        message.joint_names, message.points = self._names, [self._point]
        return True


def make_interface(name: str, kind: str, wiring: Wiring, make_point: Callable[[], Message]) -> Interface:
    """The interface of a name in INTERFACES.

    Args:
        name: of the interface.
        kind: what a forward_command_controller commands, in KINDS; without meaning for the others.
        wiring: how the hardware names its joints.
        make_point: makes an empty trajectory_msgs/JointTrajectoryPoint.

    Raises:
        UnknownNameError: there is no such interface, or no such kind.
    """
    for what, given, valid in (("interface", name, INTERFACES), ("kind of forward_command", kind, KINDS)):
        if given not in valid:
            raise UnknownNameError(what, given, valid)
    if name == JOINT_COMMAND:
        return JointCommandInterface(wiring)
    if name == JOINT_TRAJECTORY:
        return JointTrajectoryInterface(wiring, make_point)
    return ForwardPositionInterface(wiring) if kind == POSITION else ForwardEffortInterface(wiring)
