"""The rhythm that a pilot walked by, worked out from a recording, which does not carry it.

The rhythm is a function of what was asked for and of how he tipped over, `GaitSpec.advance`, so it is advanced here
as the pilot does it. Only where it was when the recording began is not known: which foot comes first, or, if he
walked already, where in a step he was. Of all beginnings the one counts under which his actions change least: with
the wrong one a policy would have had to undo the gait and make it anew at another time. (How large they are says
less: who has learnt for long does much against the gait itself, and is found a control period beside where he was.)
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from jack_contract.action import ActionSpec
from jack_contract.arrays import Array, Float64
from jack_contract.contract import Contract
from jack_contract.gait import GaitSpec, Rhythm
from jack_contract.robot import RobotSpec

#: At most so much of a recording decides how it began [s].
_WITNESSED = 10.0
#: Who was walking when it began is asked for the same again so soon [s].
_REPEATED = 0.25
#: He stood when it began, unless actions change by less than so much of what they do then [1].
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
    period = robot.control_period
    starts = _starts(gait, period, command[: math.ceil(_REPEATED / period)])
    seen = slice(min(len(targets), math.ceil(_WITNESSED / period)))
    tried = follow(gait, starts, command[seen], tipping[seen], passed[seen], period)
    offsets = np.stack([gait.offsets(robot, Rhythm(p, v)) for p, v in zip(tried.phase, tried.pace, strict=True)])
    actions = action.action(robot, targets[seen, None] - offsets)
    changes = np.square(np.diff(actions, axis=0, prepend=0.0)).mean(axis=(0, 2))
    rest, best = int(changes[:2].argmin()), int(changes.argmin())
    best = best if changes[best] < _CLEARLY * changes[rest] else rest
    only = Rhythm(starts.phase[[best]], starts.pace[[best]])
    found = follow(gait, only, command, tipping, passed, period)
    return Rhythm(found.phase[:, 0], found.pace[:, 0])


def _starts(gait: GaitSpec, period: float, command: Array) -> Rhythm:
    """All beginnings, the first two at rest; the others in a step, or at the pace that was asked for first, too."""
    phases = np.unique(np.concatenate(([0.0, 0.5], np.arange(0.0, 1.0, period / gait.period))))
    asked = command[np.any(command, axis=-1)][:1].astype(np.float64)
    paces = np.concatenate((np.zeros((1, command.shape[-1])), asked))
    rest = Rhythm(np.array([0.0, 0.5]), np.zeros((2, command.shape[-1])))
    phase = np.concatenate((rest.phase, np.tile(phases, len(paces))))
    return Rhythm(phase, np.concatenate((rest.pace, np.repeat(paces, len(phases), axis=0))))


def seen(contract: Contract, frame: Array, command: Array) -> Rhythm:
    """The rhythm that frames (..., D) and commands (..., 3) tell of; at rest where no frame tells of one."""
    where = contract.observation.slices().get("gait")
    if where is None:
        return Rhythm.at_rest(frame.shape[:-1])
    sine, cosine = np.moveaxis(np.asarray(frame[..., where], np.float64), -1, 0)
    return Rhythm(np.arctan2(sine, cosine) / (2 * np.pi) % 1.0, np.asarray(command, np.float64))


def done(contract: Contract, action: Array, frame: Array, command: Array) -> Array:
    """What comes of actions (..., n) within the limits of the joints, as an action: what a recording tells of them.

    Args:
        contract: of all of them.
        action: what was said.
        frame: the newest frame that it answers, (..., D).
        command: as a policy sees it, (..., 3).
    """
    offsets = contract.gait.offsets(contract.robot, seen(contract, frame, command))
    targets = contract.action.targets(contract.robot, action, offsets)
    return contract.action.action(contract.robot, targets - offsets)
