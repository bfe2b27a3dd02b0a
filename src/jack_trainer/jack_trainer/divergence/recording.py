"""A bag as the brain read it: readings in pairs, the commands that answered them, and, with odom, where he was.

Messages go through the code that the brain uses: Pairing, StateReader, CommandReader.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation, Slerp

from jack_brain.readings import Pairing
from jack_contract.arrays import Array, Float64
from jack_contract.errors import MessageError
from jack_contract.robot import RobotSpec
from jack_contract.state import RobotState
from jack_contract.wire import CommandReader, JointTargets, Message, StateReader, seconds
from jack_trainer.imitation.bag import Bag, BagError, Recorded

JOINT_STATES, IMU, COMMAND, ODOM = "joint_states", "imu/data", "joint_command", "odom"
#: A command is obeyed for so long [s]; between two messages of odom that are further apart nothing is known.
_HELD = 0.1
#: Samples further apart than so many control periods do not follow each other [1].
_JOINED = 1.5


@dataclass(frozen=True)
class Base:
    """Where the pelvis was, by odom."""

    #: in world, (T, 3) [m]
    position: Array
    #: in world, unit quaternion x y z w, (T, 4)
    orientation: Array
    #: in world, (T, 3) [m/s]
    velocity: Array

    def rows(self, ids: slice) -> Base:
        """Some samples."""
        return Base(self.position[ids], self.orientation[ids], self.velocity[ids])


@dataclass(frozen=True)
class Recording:
    """T samples, one a control period."""

    #: readings, (T, ...)
    state: RobotState
    #: whether a sample follows the one before it by one control period, (T,)
    joined: NDArray[np.bool_]
    #: the command in force after each sample, (T, n) each
    command: JointTargets
    #: whether there was one, (T,)
    commanded: NDArray[np.bool_]
    #: whether it was an older one, because the answer to the sample came after the next sample, (T,)
    late: NDArray[np.bool_]
    #: None where the bag has no odom all along
    base: Base | None

    def __len__(self) -> int:
        return len(self.joined)

    def rows(self, ids: slice) -> Recording:
        """Some samples; the first follows none."""
        joined = self.joined[ids].copy()
        joined[:1] = False
        command = JointTargets(self.command.position[ids], self.command.stiffness[ids], self.command.damping[ids])
        base = None if self.base is None else self.base.rows(ids)
        state = RobotState(**{name: value[ids] for name, value in vars(self.state).items()})
        return Recording(state, joined, command, self.commanded[ids], self.late[ids], base)

    def changed(self, **readings: Array) -> Recording:
        """The same with other readings, by the names of RobotState's fields."""
        return replace(self, state=replace(self.state, **readings))


@dataclass(frozen=True)
class Messages:
    """The messages of the topics that count, in the order in which they were received."""

    joint_states: Sequence[Recorded]
    imu: Sequence[Recorded]
    command: Sequence[Recorded]
    odom: Sequence[Recorded]


@dataclass
class Refusals:
    """Messages that the brain would not have taken, with the first reason."""

    count: int = 0
    first: str = ""

    def add(self, error: MessageError) -> None:
        """Count one."""
        self.count += 1
        self.first = self.first or str(error)


@dataclass(frozen=True)
class Reading:
    """What was read of a bag."""

    messages: Messages
    #: None if no two readings belong together
    recording: Recording | None
    #: stamp of the first joint states: times are told from there on [s]
    start: float
    refused: Refusals = field(default_factory=Refusals)


def read(bag: Bag, robot: RobotSpec, namespace: str = "") -> Reading:
    """Read what a bag says of a robot.

    Args:
        bag: with joint_states, imu/data and, the better, joint_command and odom.
        robot: whose joints they are.
        namespace: of the topics; by itself none.

    Raises:
        BagError: there is no joint state, or no imu; says what there is.
    """
    prefix = f"/{namespace.strip('/')}".rstrip("/")
    names = [f"{prefix}/{topic}" for topic in (JOINT_STATES, IMU, COMMAND, ODOM)]
    found = bag.collect(names)
    missing = [name for name in names[:2] if not found[name]]
    if missing:
        there = ", ".join(sorted(bag.topics)[:20]) or "nothing that can be read"
        raise BagError(f"{bag.path} has no messages of {' and '.join(missing)}; it has: {there}.")
    messages = Messages(*(found[name] for name in names))
    refused = Refusals()
    states, arrivals = _states(messages, robot, refused)
    recording = _recording(states, arrivals, messages, robot, refused) if len(states) > 1 else None
    return Reading(messages, recording, seconds(messages.joint_states[0].message.header.stamp), refused)


def _states(messages: Messages, robot: RobotSpec, refused: Refusals) -> tuple[list[RobotState], list[int]]:
    """The readings that the brain pairs, and when each pair was complete [ns]."""
    pairing, reader = Pairing(robot.control_period), StateReader(robot)
    states, arrivals = [], []
    # The imu first where both came at once: sorting is stable.
    for recorded in sorted([*messages.imu, *messages.joint_states], key=lambda recorded: recorded.time):
        put = pairing.put_imu if recorded.topic.endswith(IMU) else pairing.put_joint_state
        put(recorded.message)
        pair = pairing.take()
        if pair is None or pair.again:
            continue
        try:
            states.append(reader.read(pair.joint_state, pair.imu))
            arrivals.append(recorded.time)
        except MessageError as error:
            refused.add(error)
    return states, arrivals


def _recording(
    states: list[RobotState], arrivals: list[int], messages: Messages, robot: RobotSpec, refused: Refusals
) -> Recording:
    columns = {name: np.stack([getattr(state, name) for state in states]) for name in vars(states[0])}
    state = RobotState(**columns)
    gaps = np.diff(state.time, prepend=-np.inf)
    joined = (gaps > 0) & (gaps < _JOINED * robot.control_period)
    commands = _read_commands(messages.command, robot, refused)
    command, commanded, late = _in_force(state.time, arrivals, commands, robot)
    base = _base(state.time, messages.odom, robot.control_period)
    return Recording(state, joined, command, commanded, late, base)


def _read_commands(
    recorded: Sequence[Recorded], robot: RobotSpec, refused: Refusals
) -> list[tuple[int, float, JointTargets]]:
    """When each command came [ns], the stamp of the readings that it answers [s], and what it says."""
    reader, found = CommandReader(robot), []
    for entry in recorded:
        try:
            found.append((entry.time, seconds(entry.message.header.stamp), reader.read(entry.message)))
        except MessageError as error:
            refused.add(error)
    return found


def _in_force(
    times: Array, arrivals: list[int], commands: list[tuple[int, float, JointTargets]], robot: RobotSpec
) -> tuple[JointTargets, NDArray[np.bool_], NDArray[np.bool_]]:
    """For each reading the command that answers it, or an older one, if that came after the next reading.

    Returns:
        The commands, whether there is one, (T,), and whether it is an older one, (T,).
    """
    table = np.zeros((3, len(times), robot.count))
    commanded, late = np.zeros(len(times), bool), np.zeros(len(times), bool)
    came = np.searchsorted([arrival for arrival, _, _ in commands], [*arrivals[1:], np.iinfo(np.int64).max]) - 1
    # Who records may hear an answer before the readings that it answers.
    last = np.minimum(came, np.searchsorted([stamp for _, stamp, _ in commands], times, side="right") - 1)
    for index, (time, which) in enumerate(zip(times.tolist(), last.tolist(), strict=True)):
        if which < 0:
            continue
        _, stamp, targets = commands[which]
        commanded[index] = 0.0 <= time - stamp <= _HELD
        late[index] = stamp < time
        table[:, index] = targets.position, targets.stiffness, targets.damping
    return JointTargets(*table), commanded, late


def _base(times: Array, recorded: Sequence[Recorded], period: float) -> Base | None:
    """Odom at the times of the readings; None unless it spans them without a gap, and comes as often as they do."""
    poses = {seconds(entry.message.header.stamp): entry.message for entry in recorded}
    stamps = np.array(sorted(poses))
    if len(stamps) < 2 or stamps[0] > times[0] + _HELD or stamps[-1] < times[-1] - _HELD:
        return None
    gaps = np.diff(stamps)
    if gaps.max() > _HELD or np.median(gaps) > _JOINED * period:
        return None
    rows = np.array([_pose(poses[stamp]) for stamp in stamps.tolist()])
    lengths = np.linalg.norm(rows[:, 3:7], axis=1)
    if not np.isfinite(rows).all() or np.abs(lengths - 1.0).max() > 0.05:
        return None
    turns = Rotation.from_quat(rows[:, 3:7])
    rows[:, 7:] = turns.apply(rows[:, 7:])
    at = np.clip(times, stamps[0], stamps[-1])
    position, velocity = (_interpolated(at, stamps, rows[:, part]) for part in (slice(3), slice(7, 10)))
    return Base(position, Slerp(stamps, turns)(at).as_quat(), velocity)


def _pose(message: Message) -> list[float]:
    position, turn, speed = message.pose.pose.position, message.pose.pose.orientation, message.twist.twist.linear
    return [position.x, position.y, position.z, turn.x, turn.y, turn.z, turn.w, speed.x, speed.y, speed.z]


def _interpolated(at: Array, stamps: Array, rows: Float64) -> Float64:
    return np.stack([np.interp(at, stamps, column) for column in rows.T], axis=-1)
