"""The rhythm that a pilot walked by, worked out from a recording, which does not carry it.

The rhythm is a function of what was asked for and of how he tipped over, `GaitSpec.advance`, so it is advanced here
as the pilot does it. Only where it was when the recording began is not known: which foot comes first, or, if he
walked already, where in a step he was. Of all beginnings the one counts under which his actions are smallest: with
the wrong one a policy would have had to undo the gait and make it anew at another time.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from jack_contract.action import ActionSpec
from jack_contract.arrays import Array, Float64
from jack_contract.gait import GaitSpec, Rhythm
from jack_contract.robot import RobotSpec

#: At most so much of a recording decides how it began [s].
_WITNESSED = 10.0
#: He stood when it began, unless actions are smaller than so much of what they are then [1].
_CLEARLY = 0.97


def follow(
    gait: GaitSpec, start: Rhythm, command: Array, tipping: Array, passed: NDArray[np.integer], period: float
) -> Rhythm:
    """The rhythms from the first moment to the last.

    Args:
        gait: at the beat of the policy.
        start: at the first moment, (C,): of several robots, or of one that may have begun in several ways.
        command: what the pilot followed at each moment, (T, 3).
        tipping: how fast he tipped over, (T,) [rad/s]; 0 where nobody steps for that.
        passed: control periods from the moment before to each, (T,); the first counts for nothing.
        period: of control [s].

    Returns:
        At each moment, (T, C).
    """
    rhythm, phases, paces = start, [start.phase], [start.pace]
    for index in range(1, len(command)):
        for _ in range(int(passed[index])):
            rhythm = gait.advance(rhythm, command[index - 1], period, tipping[index - 1])
        phases.append(rhythm.phase)
        paces.append(rhythm.pace)
    return Rhythm(np.stack(phases), np.stack(paces))


def find(
    gait: GaitSpec,
    robot: RobotSpec,
    action: ActionSpec,
    targets: Float64,
    command: Array,
    tipping: Array,
    passed: NDArray[np.integer],
) -> Rhythm:
    """The rhythm of a recording.

    Args:
        gait: at the beat of the policy.
        robot: whose joints they are.
        action: what an action means.
        targets: joint targets, (T, n) [rad].
        command: as in `follow`.
        tipping: as in `follow`.
        passed: as in `follow`.

    Returns:
        At each moment, (T,).
    """
    period, starts = robot.control_period, _starts(gait, robot.control_period, command[0])
    seen = slice(min(len(targets), math.ceil(_WITNESSED / period)))
    tried = follow(gait, starts, command[seen], tipping[seen], passed[seen], period)
    offsets = np.stack([gait.offsets(robot, Rhythm(p, v)) for p, v in zip(tried.phase, tried.pace, strict=True)])
    sizes = np.square(action.action(robot, targets[seen, None] - offsets)).mean(axis=(0, 2))
    rest = int(sizes[:2].argmin())
    best = int(sizes.argmin())
    best = best if sizes[best] < _CLEARLY * sizes[rest] else rest
    only = Rhythm(starts.phase[[best]], starts.pace[[best]])
    found = follow(gait, only, command, tipping, passed, period)
    return Rhythm(found.phase[:, 0], found.pace[:, 0])


def _starts(gait: GaitSpec, period: float, command: Array) -> Rhythm:
    """All beginnings, the first two at rest; the others in a step, or at the pace that was asked for first."""
    steps = np.arange(0.0, 1.0, period / gait.period)
    phases = np.unique(np.concatenate(([0.0, 0.5], steps)))
    standing = Rhythm(np.array([0.0, 0.5]), np.zeros((2, 3)))
    paces = [np.zeros(3), *([np.asarray(command, dtype=np.float64)] if np.any(command) else [])]
    moving = [Rhythm(phases, np.tile(pace, (len(phases), 1))) for pace in paces]
    together = [standing, *moving]
    return Rhythm(*(np.concatenate([getattr(rhythm, name) for rhythm in together]) for name in ("phase", "pace")))
