"""What the brain read against what the simulator would have read, term by term, and where the two first part."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from jack_contract.arrays import Array
from jack_contract.contract import Contract
from jack_contract.rotation import projected_gravity
from jack_contract.state import RobotState
from jack_trainer.divergence.mirror import Mirror
from jack_trainer.divergence.recording import Recording

#: They part where, from a sample on, of so many ...
SPAN = 10
#: ... so many are further apart than the tolerance: a foot that hits the ground is over sooner.
MOST = 5
#: Samples on each side that tell how much a quantity moves about a moment.
_AROUND = 25
#: Samples over which accelerations are averaged: a gait cycle, in which he gains no speed.
_CYCLE = 26
_GRAVITY = 9.81
_AXES = ("x", "y", "z")
#: Beyond the observation: the accelerometer, and what the joints make of a command.
ACCELERATION, RESPONSE = "linear_acceleration", "response"


@dataclass(frozen=True)
class Tolerance:
    """How far apart two values may be: a fixed amount, and a share of how much the quantity moves about then."""

    fixed: float
    share: float = 0.0


@dataclass(frozen=True)
class Kind:
    """One group of numbers that is compared."""

    name: str
    unit: str
    #: where the simulator's values come from, in words
    source: str
    tolerance: Tolerance
    #: the same where there is no odom
    blind: Tolerance | None = None


#: In the order in which one explains the next. Tolerances are twice what a clean recording of a walk has, and hold
#: with the noise of sensors that he is trained with.
KINDS = {
    kind.name: kind
    for kind in (
        Kind("joint_position", "rad", "where its range ends", Tolerance(0.1)),
        Kind("projected_gravity", "", "from odom", Tolerance(0.1)),
        Kind("angular_velocity", "rad/s", "from orientations", Tolerance(0.3, 0.35)),
        Kind("joint_velocity", "rad/s", "from positions", Tolerance(0.5, 0.35)),
        Kind(ACCELERATION, "m/s^2", "from gravity", Tolerance(5.0)),
        Kind(RESPONSE, "rad/s", "predicted from the command", Tolerance(0.5, 0.5), Tolerance(0.5, 1.5)),
    )
}
#: Terms that are integrals of each other's differences: the recorded ones are averaged over the same time.
_RATES = ("angular_velocity", "joint_velocity")


@dataclass(frozen=True)
class Comparison:
    """One group of numbers on both paths, in plain units."""

    kind: Kind
    #: of the columns: joints or axes
    labels: Sequence[str]
    #: (T, d)
    recorded: Array
    #: (T, d); not finite: the simulator cannot follow at all
    expected: Array
    #: how far apart they may be, (T, d)
    tolerance: Array
    #: where there is something to compare, (T,)
    known: NDArray[np.bool_]

    @property
    def error(self) -> Array:
        """How far apart they are, in tolerances, (T, d); 0 where nothing is known."""
        apart = np.abs(self.recorded - self.expected) / self.tolerance
        apart = np.nan_to_num(apart, nan=np.inf, posinf=np.inf)
        return np.where(self.known[:, None], apart, 0.0)

    @property
    def parted(self) -> NDArray[np.bool_]:
        """Where they are apart, and stay so, (T, d)."""
        beyond = self.error > 1.0
        counts = np.concatenate((np.zeros((1, beyond.shape[1]), int), np.cumsum(beyond, axis=0)))
        ends = np.minimum(np.arange(len(beyond)) + SPAN, len(beyond))
        return beyond & (counts[ends] - counts[:-1] >= MOST)

    @property
    def costs(self) -> Array:
        """How badly they agree in each sample, (T,), to tell explanations apart; a wild value counts as 5."""
        return (self.error.clip(0.0, 5.0) ** 2).sum(axis=-1)


@dataclass(frozen=True)
class Parting:
    """Where the two paths first part."""

    comparison: Comparison
    #: sample
    index: int
    #: column of the one that is furthest apart
    column: int

    @property
    def label(self) -> str:
        """The joint or axis."""
        return self.comparison.labels[self.column]


class Comparer:
    """Compares the two paths of recordings of one robot."""

    def __init__(self, contract: Contract) -> None:
        """For the robot of a contract, which must be the one that the simulator has."""
        self.contract = contract
        self.mirror = Mirror(contract.robot.control_period)
        terms = tuple(term for term in contract.observation.terms if term.name in KINDS)
        #: what the brain senses; `previous_action` and `gait` are its own, and on both paths the same
        self._sensed = replace(contract.observation, terms=terms)

    def compare(self, recording: Recording) -> Iterator[Comparison]:
        """Every group of numbers, in the order of KINDS; each is worked out when it is asked for."""
        mirrored = self.mirror.states(recording)
        known = np.asarray(np.isfinite(mirrored.angular_velocity).all(axis=-1))
        everywhere, blind = np.ones(len(recording), bool), recording.base is None
        recorded, expected = self._encoded(recording.state), self._encoded(mirrored)
        robot = self.contract.robot
        for name in (name for name in KINDS if name in recorded):
            mine, theirs, where = recorded[name], expected[name], everywhere
            if name in _RATES:
                mine, where = _averaged(mine), known
            elif name == "joint_position":
                mine = mine + robot.default_position
                theirs = mine.clip(robot.lower, robot.upper)
            labels = robot.joint_names if mine.shape[-1] == robot.count else _AXES
            yield _comparison(name, labels, mine, theirs, where, blind)
        force = -_GRAVITY * projected_gravity(mirrored.orientation)
        settled = np.arange(len(recording)) >= min(_CYCLE, len(recording) // 2)
        measured = _trailing(recording.state.linear_acceleration)
        yield _comparison(ACCELERATION, _AXES, measured, _trailing(force), settled, blind)
        yield self._response(recording, blind)

    def _encoded(self, state: RobotState) -> dict[str, Array]:
        """The terms as a policy sees them, in plain units again, (T, size) by name."""
        zeros = np.zeros_like(state.joint_position)
        frames = self._sensed.encode(self.contract.robot, state, zeros, zeros[:, :2]).astype(np.float64)
        scales = {term.name: term.scale for term in self._sensed.terms}
        return {name: frames[:, part] / scales[name] for name, part in self._sensed.slices().items()}

    def _response(self, recording: Recording, blind: bool) -> Comparison:
        velocity = recording.state.joint_velocity
        answered = recording.commanded & self.mirror.stands(recording)
        known = recording.joined & np.concatenate(([False], answered[:-1]))
        changes = np.diff(velocity, axis=0, prepend=velocity[:1])
        predicted = self.mirror.predict(recording)
        names = self.contract.robot.joint_names
        return _comparison(RESPONSE, names, velocity, predicted, known, blind, _moves(changes))


def first_parting(comparisons: Sequence[Comparison]) -> Parting | None:
    """The earliest; of those that follow within a moment, the one that explains the others."""
    starts = [_first(comparison.parted) for comparison in comparisons]
    earliest = min((start for start in starts if start is not None), default=None)
    if earliest is None:
        return None
    for comparison, start in zip(comparisons, starts, strict=True):
        if start is not None and start <= earliest + SPAN:
            window = slice(start, start + SPAN)
            shares = np.where(
                comparison.parted[window].any(axis=0), comparison.error[window].clip(0, 1e3).sum(0), 0
            )
            column = int(shares.argmax())
            return Parting(comparison, _first(comparison.parted[:, column : column + 1]) or start, column)
    return None


def _first(parted: NDArray[np.bool_]) -> int | None:
    rows = np.flatnonzero(parted.any(axis=-1))
    return int(rows[0]) if len(rows) else None


def _comparison(
    name: str,
    labels: Sequence[str],
    recorded: Array,
    expected: Array,
    known: NDArray[np.bool_],
    blind: bool,
    moves: Array | None = None,
) -> Comparison:
    kind = KINDS[name]
    allowed = kind.blind if blind and kind.blind else kind.tolerance
    if moves is None:
        moves = np.minimum(_moves(recorded), _moves(expected)) if allowed.share else np.zeros(())
    tolerance = np.broadcast_to(allowed.fixed + allowed.share * moves, recorded.shape)
    return Comparison(kind, labels, recorded, expected, tolerance, known)


def _moves(values: Array) -> Array:
    """How much columns move about each moment, root mean square, (T, d); what is not finite is left out."""
    finite = np.isfinite(values)
    squares = _summed(np.where(finite, values, 0.0) ** 2, _AROUND, _AROUND)
    return np.sqrt(squares / np.maximum(_summed(finite.astype(float), _AROUND, _AROUND), 1.0))


def _trailing(values: Array) -> Array:
    """Means of the last gait cycle, (T, d)."""
    return _summed(values, _CYCLE - 1, 0) / _summed(np.ones_like(values), _CYCLE - 1, 0)


def _summed(values: Array, before: int, after: int) -> Array:
    """Sums over a window about each row, as far as there are rows, (T, d)."""
    sums = np.concatenate((np.zeros((1, values.shape[1])), np.cumsum(values, axis=0)))
    rows = np.arange(len(values))
    return sums[np.minimum(rows + after + 1, len(values))] - sums[np.maximum(rows - before, 0)]


def _averaged(rates: Array) -> Array:
    """Rates over two periods about each sample (trapezoids), as differences of poses give them, (T, d)."""
    averaged = rates.copy()
    averaged[1:-1] = (rates[:-2] + 2.0 * rates[1:-1] + rates[2:]) / 4.0
    return averaged
