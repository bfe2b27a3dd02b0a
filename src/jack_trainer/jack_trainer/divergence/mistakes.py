"""Mistakes between a sensor, or a motor, and the brain, each with how to undo it in a recording.

An entry's words end a sentence about what parts. Whoever knows a mistake that is missing adds a line here.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
from scipy.spatial.transform import Rotation

from jack_contract.arrays import Array, Float64
from jack_contract.robot import RobotSpec
from jack_contract.rotation import wxyz_to_xyzw
from jack_trainer.divergence.recording import COMMAND, IMU, JOINT_STATES, ODOM, Base, Recording

#: The longest delay that is looked for [control periods].
LATEST = 5
_DEGREES = 180.0 / math.pi
_GRAVITY = 9.81
_POSITION, _VELOCITY = "joint_position", "joint_velocity"
_ORIENTATION, _GYRO, _ACCELERATION = "orientation", "angular_velocity", "linear_acceleration"
_AXES = ("x", "y", "z")
_TARGET, _GAINS = ("position",), ("stiffness", "damping")


@dataclass(frozen=True)
class Mistake:
    """What may be wrong."""

    words: str
    #: what was recorded -> what would have been without it
    undo: Callable[[Recording], Recording]


# -- the imu


def of_the_imu() -> Iterator[Mistake]:
    """What can be wrong with imu/data."""
    conjugate = np.array([-1.0, -1.0, -1.0, 1.0])
    yield _readings("the quaternion is w x y z instead of x y z w", (_ORIENTATION,), wxyz_to_xyzw)
    yield _readings("the orientation is inverse, world in body", (_ORIENTATION,), lambda q: q * conjugate)
    yield _readings("angular_velocity is in degrees per second", (_GYRO,), lambda w: w / _DEGREES)
    yield Mistake("angular_velocity is in the world's frame instead of the body's", _gyro_into_body)
    yield _readings("linear_acceleration is in g", (_ACCELERATION,), lambda a: _GRAVITY * a)
    yield _readings("linear_acceleration has the sign of gravity", (_ACCELERATION,), lambda a: -a)
    for turn in (turn for turn in _turns() if np.linalg.det(turn) > 0):
        yield Mistake(f"the imu is mounted turned by {_about(turn)}", lambda r, turn=turn: _remounted(r, turn))
    for turn in _turns():
        words = f"angular_velocity is {_named(turn)} instead of (x, y, z)"
        yield _readings(words, (_GYRO,), lambda w, turn=turn: w @ turn)
    yield from _late(f"what {IMU} says is", (_ORIENTATION, _GYRO, _ACCELERATION))
    yield from _late("the orientation is", (_ORIENTATION,))
    yield from _late(f"{_GYRO} is", (_GYRO,))
    for periods in range(1, LATEST + 1):
        yield Mistake(f"what {ODOM} says is {_periods(periods)} late", lambda r, n=periods: _tracked_earlier(r, n))


def _gyro_into_body(recording: Recording) -> Recording:
    turns = Rotation.from_quat(recording.state.orientation)
    return recording.changed(angular_velocity=turns.inv().apply(recording.state.angular_velocity))


def _remounted(recording: Recording, turn: Array) -> Recording:
    """Readings in the body's frame, of an imu whose axes are the rows of `turn` (3, 3) in it."""
    state = recording.state
    return recording.changed(
        orientation=(Rotation.from_quat(state.orientation) * Rotation.from_matrix(turn)).as_quat(),
        angular_velocity=state.angular_velocity @ turn,
        linear_acceleration=state.linear_acceleration @ turn,
    )


def _turns() -> Iterator[Float64]:
    """Every way to name three axes, and to turn their signs, but the right one, (3, 3)."""
    for order in itertools.permutations(range(3)):
        for signs in itertools.product((1.0, -1.0), repeat=3):
            turn = np.zeros((3, 3))
            turn[range(3), order] = signs
            if not np.array_equal(turn, np.eye(3)):
                yield turn


def _named(turn: Array) -> str:
    """(y, x, -z), or the like."""
    names = [f"{'-' * int(row.sum() < 0)}{_AXES[int(np.abs(row).argmax())]}" for row in turn]
    return f"({', '.join(names)})"


def _about(turn: Array) -> str:
    """By how much, and about which axis of the body, the imu is turned."""
    vector = Rotation.from_matrix(turn.T).as_rotvec(degrees=True)
    angle, axis = float(np.linalg.norm(vector)), np.round(vector / np.abs(vector).max()).astype(int)
    if np.count_nonzero(axis) > 1:
        return f"{angle:.0f} degrees about {tuple(axis.tolist())}"
    sign = "-" if axis.sum() < 0 and angle < 179.0 else ""  # half a turn is the same either way
    return f"{angle:.0f} degrees about {sign}{_AXES[int(np.abs(axis).argmax())]}"


# -- joints


def of_all_joints(robot: RobotSpec) -> Iterator[Mistake]:
    """What can be wrong with joint_states and joint_command as a whole."""
    words = f"{COMMAND} does not reach the motors, which"
    pose = robot.default_position
    yield Mistake(f"{words} keep the default pose", lambda r: _with_command(r, lambda q: 0 * q + pose, _TARGET))
    yield Mistake(f"{words} only damp", lambda r: _with_command(r, np.zeros_like, ("stiffness",)))
    both = (_POSITION, _VELOCITY)
    yield _readings("positions and velocities are in degrees", both, lambda q: q / _DEGREES)
    yield _readings("positions are in degrees", (_POSITION,), lambda q: q / _DEGREES)
    yield _readings("velocities are in degrees per second", (_VELOCITY,), lambda v: v / _DEGREES)
    yield _readings("the signs of all velocities are turned", (_VELOCITY,), lambda v: -v)
    yield _readings("the signs of all positions are turned", (_POSITION,), lambda q: -q)
    yield from _late(f"what {JOINT_STATES} says is", both)
    yield from _late("the velocities are", (_VELOCITY,))
    yield from _late("the positions are", (_POSITION,))
    for periods in range(1, LATEST + 1):
        words = f"{COMMAND} takes effect {_periods(periods)} late"
        yield Mistake(words, lambda r, n=periods: _commanded_later(r, n))


def of_one_joint(joint: int, name: str) -> Iterator[Mistake]:
    """What can be wrong with one joint, by its index."""
    for field, what in ((_VELOCITY, "velocity"), (_POSITION, "position")):
        yield _of_joint(f"the sign of {name}'s {what} is turned", (field,), joint, lambda x: -x)
    both = (_POSITION, _VELOCITY)
    yield _of_joint(f"the signs of {name}'s position and velocity are turned", both, joint, lambda x: -x)
    yield _of_joint(f"{name}'s velocity is in degrees per second", (_VELOCITY,), joint, lambda x: x / _DEGREES)
    yield _of_joint(f"{name}'s position and velocity are in degrees", both, joint, lambda x: x / _DEGREES)

    def turned(rows: Array) -> Array:
        rows = rows.copy()
        rows[..., joint] *= -1.0
        return rows

    words = f"the sign of {name}'s command is turned"
    yield Mistake(words, lambda r: _with_command(r, turned, _TARGET))


def scaled_velocity(joint: int, name: str, factor: float) -> Mistake:
    """A velocity that is `factor` times what it should be."""
    words = f"{name}'s velocity is {factor:.2g} times what it should be"
    return _of_joint(words, (_VELOCITY,), joint, lambda x: x / factor)


def moved_position(joint: int, name: str, offset: float) -> Mistake:
    """A position that is `offset` [rad] more than it should be."""
    words = f"{name}'s position is off by {offset:+.2f} rad"
    return _of_joint(words, (_POSITION,), joint, lambda x: x - offset)


def of_two_joints(pair: tuple[int, int], names: tuple[str, str]) -> Iterator[Mistake]:
    """What can be mixed up between two joints, by their indices."""
    order = {pair[0]: pair[1], pair[1]: pair[0]}

    def swapped(rows: Array) -> Array:
        return rows[..., [order.get(joint, joint) for joint in range(rows.shape[-1])]]

    who = f"of {names[0]} and {names[1]} are swapped"
    yield _readings(f"the positions {who}", (_POSITION,), swapped)
    yield _readings(f"the velocities {who}", (_VELOCITY,), swapped)
    yield _readings(f"the positions and velocities {who}", (_POSITION, _VELOCITY), swapped)
    yield Mistake(f"the commands {who}", lambda r: _with_command(r, swapped, (*_TARGET, *_GAINS)))
    yield Mistake(f"the targets {who}", lambda r: _with_command(r, swapped, _TARGET))
    yield Mistake(f"the gains {who}", lambda r: _with_command(r, swapped, _GAINS))


def _readings(words: str, fields: Sequence[str], right: Callable[[Array], Array]) -> Mistake:
    """A mistake in some readings; `right` makes them right."""
    return Mistake(words, lambda r: r.changed(**{name: right(getattr(r.state, name)) for name in fields}))


def _of_joint(words: str, fields: Sequence[str], joint: int, right: Callable[[Array], Array]) -> Mistake:
    def only(rows: Array) -> Array:
        rows = rows.copy()
        rows[..., joint] = right(rows[..., joint])
        return rows

    return _readings(words, fields, only)


def _with_command(recording: Recording, right: Callable[[Array], Array], fields: Sequence[str]) -> Recording:
    command = recording.command
    return replace(recording, command=replace(command, **{name: right(getattr(command, name)) for name in fields}))


# -- time


def _late(what: str, fields: Sequence[str]) -> Iterator[Mistake]:
    for periods in range(1, LATEST + 1):
        yield _readings(f"{what} {_periods(periods)} late", fields, lambda rows, n=periods: _earlier(rows, n))


def _periods(count: int) -> str:
    return "one control period" if count == 1 else f"{count} control periods"


def _commanded_later(recording: Recording, periods: int) -> Recording:
    return _with_command(recording, lambda rows: _later(rows, periods), (*_TARGET, *_GAINS))


def _tracked_earlier(recording: Recording, periods: int) -> Recording:
    if recording.base is None:
        return recording
    return replace(recording, base=Base(*(_earlier(rows, periods) for rows in vars(recording.base).values())))


def _earlier(rows: Array, periods: int) -> Array:
    return np.concatenate((rows[periods:], np.repeat(rows[-1:], periods, axis=0)))


def _later(rows: Array, periods: int) -> Array:
    return np.concatenate((np.repeat(rows[:1], periods, axis=0), rows[:-periods]))
