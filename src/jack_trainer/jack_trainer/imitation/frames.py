"""An episode as what is learnt from: a row for each moment at which a policy commanded.

Readings and commands go by the rules of `jack_contract.wire`: whatever its readers refuse is refused here, by them,
and what they would read is read in columns.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from jack_contract.arrays import Float64, Index
from jack_contract.errors import JackError, MessageError, NonFiniteError
from jack_contract.robot import RobotSpec
from jack_contract.state import RobotState
from jack_contract.wire import NANOSECONDS, CommandReader, StateReader, fill_joint_state
from jack_trainer.imitation.bag import Bag
from jack_trainer.imitation.columns import Block, read_columns

#: What a moment is made of, and what it may have besides.
NEEDED = ("joint_states", "imu/data", "joint_command")
VELOCITY = "cmd_vel"
#: Whether an orientation's length is right is for `wire` to say, if it differs from 1 by more than this.
_UNIT = 1e-3
_RUN = 1  # as in jack_msgs/JointCommand
_JOINTS = ("position", "velocity", "effort")
_BODY = [
    *(f"orientation.{axis}" for axis in "xyzw"),
    *(f"{kind}.{axis}" for kind in ("angular_velocity", "linear_acceleration") for axis in "xyz"),
]
Times = NDArray[np.int64]


@dataclass(frozen=True)
class Frames:
    """An episode: t moments of a robot with n joints."""

    #: stamps of the readings [ns], (t,)
    stamp: Times
    #: when the command was received [ns], (t,)
    received: Times
    #: arrays with t in front, as (t, n)
    state: RobotState
    #: what was asked for: vx, vy [m/s], yaw rate [rad/s], (t, 3)
    command: Float64
    #: joint targets [rad], (t, n)
    target: Float64

    def __len__(self) -> int:
        return len(self.stamp)

    def rows(self, ids: Index) -> Frames:
        """Some of the moments."""
        own = (self.stamp[ids], self.received[ids], self.state.rows(ids), self.command[ids], self.target[ids])
        return Frames(*own)


@dataclass(frozen=True)
class _Topic:
    """What one topic says: when it was received, its stamps, places in the bag, and values (N, ...)."""

    times: Times
    stamps: Times
    rows: NDArray[np.intp]
    values: Float64

    @classmethod
    def of(cls, parts: Sequence[_Topic]) -> _Topic:
        """All of it, in the order in which it was received."""
        if not parts:
            nothing = np.zeros(0, np.int64)
            return cls(nothing, nothing, nothing, np.zeros((0, 0)))
        times, stamps = (np.concatenate([getattr(part, name) for part in parts]) for name in ("times", "stamps"))
        rows, values = (
            np.concatenate([part.rows for part in parts]),
            np.concatenate([part.values for part in parts]),
        )
        order = np.lexsort((rows, times))
        return cls(times[order], stamps[order], rows[order], values[order])


def read_frames(bag: Bag, robot: RobotSpec) -> Frames:
    """The moments of a bag, in the order in which they were commanded.

    Raises:
        JackError: there are none, or messages that are not of this robot; says what is there.
    """
    blocks = read_columns(bag, (*NEEDED, VELOCITY))
    joints, imu, command = (
        _topic(bag, name, blocks, read)
        for name, read in zip(
            NEEDED, (_joint_reader(robot), _body_reader(robot), _command_reader(robot)), strict=True
        )
    )
    velocity = _topic(bag, VELOCITY, blocks, _velocity)
    running = command.values[:, 0] == _RUN
    of_joints, of_imu = (_last_with(readings.stamps, command.stamps) for readings in (joints, imu))
    rows = np.flatnonzero(running & (of_joints >= 0) & (of_imu >= 0))
    if not rows.size:
        raise JackError(f"{bag.path} has no moment at which a policy commanded '{robot.name}'.")
    stamp, received = command.stamps[rows], command.times[rows]
    return Frames(
        stamp,
        received,
        _state(stamp, joints.values[of_joints[rows]], imu.values[of_imu[rows]]),
        _asked(velocity, received),
        command.values[rows, 1:],
    )


def newest(times: Times, moments: Times) -> NDArray[np.intp]:
    """Which of ascending times is the last that is not after each moment; -1 where none is."""
    return np.searchsorted(times, moments, side="right") - 1


def _topic(bag: Bag, name: str, blocks: dict[str, list[Block]], read: Callable[[Block], Float64]) -> _Topic:
    """All messages of the one topic of that name."""
    found = [topic for topic in blocks if topic.endswith(f"/{name}") and blocks[topic]]
    if len(found) > 1:
        raise JackError(f"{bag.path} has {name} of several robots: {', '.join(found)}. Record them one by one.")
    if not found and name in NEEDED:
        there = ", ".join(sorted(bag.topics)) or "nothing"
        spoilt = f" Of what is there this cannot be read: {bag.spoilt[0]}" if bag.spoilt else ""
        raise JackError(f"{bag.path} has nothing of {name}; what is in it: {there}.{spoilt}")
    return _Topic.of([_part(bag, block, read) for topic in found for block in blocks[topic]])


def _part(bag: Bag, block: Block, read: Callable[[Block], Float64]) -> _Topic:
    """What a block says."""
    try:
        stamps = _stamps(block) if "header.stamp.sec" in block.layout.numbers else block.times
        return _Topic(block.times, stamps, block.rows, read(block))
    except (KeyError, AttributeError) as error:
        raise JackError(
            f"{bag.path}: {block.channel.topic} is a {block.channel.type} without {error}: "
            f"it is not what Jack's topic of that name carries."
        ) from error
    except MessageError as error:
        raise JackError(f"{bag.path}: {block.channel.topic}: {error}") from error


def _stamps(block: Block) -> Times:
    seconds = block.numbers("header.stamp.sec").astype(np.int64)
    return seconds * NANOSECONDS + block.numbers("header.stamp.nanosec")


def _last_with(readings: Times, stamps: Times) -> NDArray[np.intp]:
    """Which reading, the last of several, has each stamp; -1 where none has."""
    order = np.argsort(readings, kind="stable")
    found = newest(readings[order], stamps)
    same = readings[order][found] == stamps
    return np.where((found >= 0) & same, order[found], -1)


def _state(stamp: Times, joints: Float64, body: Float64) -> RobotState:
    position, velocity, effort = np.split(joints, 3, axis=1)
    return RobotState(
        time=stamp / NANOSECONDS,
        joint_position=position,
        joint_velocity=velocity,
        joint_effort=effort,
        orientation=body[:, :4],
        angular_velocity=body[:, 4:7],
        linear_acceleration=body[:, 7:],
    )


def _asked(velocity: _Topic, moments: Times) -> Float64:
    """The velocity that was asked for last; zero before the first."""
    nothing = np.zeros((1, 3))
    values = np.concatenate((velocity.values, nothing)) if len(velocity.values) else nothing
    return values[newest(velocity.times, moments)]  # -1 is the last row


# -- from blocks to numbers; `wire`'s reader sees the first message of each, and every one that it would refuse


def _joint_reader(robot: RobotSpec) -> Callable[[Block], Float64]:
    """Positions, velocities and efforts in the robot's order, (N, 3 n)."""
    reader, imu = StateReader(robot), _imu_at_rest()

    def judge(message: Any) -> None:  # noqa: ANN401 - a message of whatever class
        reader.read(message, imu)

    def read(block: Block) -> Float64:
        judge(block.message(0))
        names = block.texts("name")
        order = [names.index(joint) for joint in robot.joint_names]
        columns = [block.numbers(name) for name in _JOINTS]
        zeros = np.zeros((len(block.rows), robot.count))
        values = np.concatenate([column[:, order] if column.size else zeros for column in columns], axis=1)
        _judge(block, _odd(values), judge)
        return values.astype(np.float64)

    return read


def _body_reader(robot: RobotSpec) -> Callable[[Block], Float64]:
    """Orientation, angular velocity and specific force, (N, 10)."""
    reader, joints = StateReader(robot), _joints_at_rest(robot)

    def judge(message: Any) -> None:  # noqa: ANN401 - a message of whatever class
        reader.read(joints, message)

    def read(block: Block) -> Float64:
        values = np.stack([block.numbers(path) for path in _BODY], axis=1).astype(np.float64)
        length = np.linalg.norm(values[:, :4], axis=1)
        _judge(block, _odd(values) | ~(np.abs(length - 1.0) < _UNIT), judge)
        values[:, :4] /= length[:, None]
        return values

    return read


def _command_reader(robot: RobotSpec) -> Callable[[Block], Float64]:
    """The mode, then targets in the robot's order, (N, 1 + n)."""
    reader = CommandReader(robot)

    def read(block: Block) -> Float64:
        reader.read(block.message(0))
        names = block.texts("name")
        order = [names.index(joint) for joint in robot.joint_names]
        target, *gains = (block.numbers(name) for name in ("position", "stiffness", "damping"))
        odd = [_odd(target), *(_odd(gain) | np.any(gain < 0, axis=1) for gain in gains)]
        _judge(block, np.logical_or.reduce(odd), reader.read)
        return np.concatenate((block.numbers("mode")[:, None], target[:, order]), axis=1).astype(np.float64)

    return read


def _velocity(block: Block) -> Float64:
    paths = ("linear.x", "linear.y", "angular.z")
    values = np.stack([block.numbers(path) for path in paths], axis=1).astype(np.float64)
    if not np.isfinite(values).all():
        raise NonFiniteError("A velocity that was asked for is not a finite number.")
    return values


def _odd(values: NDArray[np.floating[Any]]) -> NDArray[np.bool_]:
    """In which rows there is a number that is not finite, (N,)."""
    return np.any(~np.isfinite(values), axis=1)


def _judge(block: Block, odd: NDArray[np.bool_], read: Callable[[Any], object]) -> None:
    """Have a reader look at the messages that are odd: it refuses them in its own words, or lets them pass."""
    for index in np.flatnonzero(odd):
        read(block.message(int(index)))


def _joints_at_rest(robot: RobotSpec) -> Any:  # noqa: ANN401 - a message of whatever class
    message = SimpleNamespace(header=SimpleNamespace(stamp=SimpleNamespace(sec=0, nanosec=0)), name=[])
    fill_joint_state(message, robot, RobotState.at_rest(robot))
    return message


def _imu_at_rest() -> Any:  # noqa: ANN401 - a message of whatever class
    zeros = dict.fromkeys("xyz", 0.0)
    return SimpleNamespace(
        orientation=SimpleNamespace(**zeros, w=1.0),
        angular_velocity=SimpleNamespace(**zeros),
        linear_acceleration=SimpleNamespace(**zeros),
    )
