"""Why two paths part: each known mistake is undone in turn; the one without which they agree best is the cause."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from jack_contract.arrays import Float64
from jack_trainer.divergence import mistakes
from jack_trainer.divergence.comparison import SPAN, Comparer, Comparison, Parting
from jack_trainer.divergence.mistakes import Mistake
from jack_trainer.divergence.recording import Recording

#: So many samples from the parting on are explained.
WINDOW = 150
#: Fewer explain nothing.
_FEWEST = 15
#: A cause leaves no more than this share of the disagreement.
_LEFT = 0.4
#: With one that leaves no more than this, the search ends.
_DONE = 0.05
#: The simpler mistakes come first: a later one must do better than this share [1].
_BETTER = 0.9
#: Joints are suspected that are furthest apart, so many of them.
_SUSPECTS = 6
_BODY = ("projected_gravity", "angular_velocity", "linear_acceleration")
_VELOCITIES = "joint_velocity"
#: How far a position is moved to see what that changes [rad].
_NUDGE = 0.02
#: How often that is done: joints that touch the ground answer unevenly.
_ROUNDS = 3
#: A velocity that is less than this share of what it should be is not a scale [1].
_LEAST_FACTOR = 0.05


@dataclass(frozen=True)
class Cause:
    """The mistake that explains a parting."""

    words: str
    #: the first sample that has it; it may be some time until that shows
    since: int


def find_cause(
    comparer: Comparer, recording: Recording, parting: Parting, all_of_it: Sequence[Comparison]
) -> Cause | None:
    """The mistake that explains what follows a parting; None if none of those that are known does.

    Args:
        comparer: of the robot.
        recording: that parts.
        parting: where.
        all_of_it: every comparison of the recording.
    """
    window = slice(parting.index, parting.index + WINDOW)
    part = recording.rows(window)
    if len(part) < _FEWEST:
        return None
    stuck = _stuck(parting, window)
    if stuck:
        return Cause(stuck, parting.index)
    broken = _cost(comparer, part)
    best, least = None, _LEFT * broken
    for mistake in _suspected(comparer, part, window, all_of_it):
        cost = _cost(comparer, mistake.undo(part), least)
        if cost < (_BETTER * least if best else least):
            best, least = mistake, cost
        if least < _DONE * broken:
            break
    return Cause(best.words, _since(comparer, recording, best, parting.index)) if best else None


def _since(comparer: Comparer, recording: Recording, mistake: Mistake, index: int) -> int:
    """From which sample on, up to `index`, the recording agrees better without the mistake than with it."""
    begin = max(0, index - WINDOW)
    part = recording.rows(slice(begin, index + SPAN))
    made, undone = (
        np.sum([comparison.costs for comparison in comparer.compare(rows)], axis=0)
        for rows in (part, mistake.undo(part))
    )
    # Of each way to part the samples in two: those before as they are, those after without the mistake.
    total = np.concatenate(([0.0], np.cumsum(made - undone)))[: index - begin + 1]
    return begin + int(total.argmin())


def _cost(comparer: Comparer, recording: Recording, most: float = np.inf) -> float:
    """How badly the paths agree; no more is worked out once it is beyond `most`."""
    cost = 0.0
    for comparison in comparer.compare(recording):
        cost += float(comparison.costs.sum())
        if cost > most:
            break
    return cost


def _stuck(parting: Parting, window: slice) -> str:
    """Whether a velocity, or the position that it is compared with, stands still: nothing can be undone then."""
    if parting.comparison.kind.name != _VELOCITIES:
        return ""
    columns = (parting.comparison.recorded, parting.comparison.expected)
    # The ends are averages with what was before.
    recorded, expected = (column[window, parting.column][2:-2] for column in columns)
    if np.ptp(recorded) == 0:
        return f"the velocity of {parting.label} stands still"
    return f"the position of {parting.label} stands still" if np.ptp(expected) == 0 else ""


def _suspected(
    comparer: Comparer, part: Recording, window: slice, comparisons: Sequence[Comparison]
) -> Iterator[Mistake]:
    """Every mistake that may have been made, where the disagreement is."""
    if any(c.parted[window].any() for c in comparisons if c.kind.name in _BODY):
        yield from mistakes.of_the_imu()
    joints = [comparison for comparison in comparisons if comparison.kind.name not in _BODY]
    apart = np.sum([comparison.parted[window].sum(axis=0) for comparison in joints], axis=0)
    worst = [int(joint) for joint in np.argsort(-apart, kind="stable")[:_SUSPECTS] if apart[joint]]
    if not worst:
        return
    robot, names = comparer.contract.robot, comparer.contract.robot.joint_names
    yield from mistakes.of_all_joints(robot)
    for joint in worst:
        yield from mistakes.of_one_joint(joint, names[joint])
    for first, second in itertools.combinations(sorted(worst), 2):
        yield from mistakes.of_two_joints((first, second), (names[first], names[second]))
    for joint in worst:
        yield from _fitted(comparer, part, joint, names[joint])


def _fitted(comparer: Comparer, part: Recording, joint: int, name: str) -> Iterator[Mistake]:
    """Mistakes by an amount, which is found by least squares."""
    velocity = next(c for c in comparer.compare(part) if c.kind.name == _VELOCITIES)
    recorded, expected = (rows[velocity.known, joint] for rows in (velocity.recorded, velocity.expected))
    size = float(np.sqrt(recorded @ recorded / max(float(expected @ expected), 1e-9)))
    factor = float(np.copysign(size, recorded @ expected))
    if abs(factor) > _LEAST_FACTOR:
        yield mistakes.scaled_velocity(joint, name, factor)
    offset = 0.0
    for _ in range(_ROUNDS):
        offset += _offset(comparer, part, joint, offset)
    yield mistakes.moved_position(joint, name, offset)


def _offset(comparer: Comparer, part: Recording, joint: int, offset: float) -> float:
    """How much further off a joint's position is than by `offset` [rad], by what it makes of its commands."""
    at, beside = (_too_fast(comparer, part, joint, offset + nudge) for nudge in (0.0, _NUDGE))
    usable = np.isfinite(at) & np.isfinite(beside)
    slope = (beside - at)[usable] / _NUDGE
    steep = float(slope @ slope)
    return -float(slope @ at[usable]) / steep if steep > 0 else 0.0


def _too_fast(comparer: Comparer, part: Recording, joint: int, offset: float) -> Float64:
    """By how much a joint's predicted velocity is too high, if its position is off by `offset` [rad], (T,)."""
    moved = mistakes.moved_position(joint, "", offset).undo(part)
    return comparer.mirror.predict(moved)[:, joint] - part.state.joint_velocity[:, joint]
