"""The rhythm of walking: a phase that a command or a stumble starts, and the steps that a policy corrects.

The phase is a share of the cycle, in [0, 1): the left foot swings in the first half, the right one in the second.
At 0 and 0.5 both feet are down; there it rests while nothing is asked for and nobody stumbles. A foot that comes
down shakes him as much as a small push does, so whoever has just taken a step is given time to come to rest before
as little makes him take another: else he would step on the spot for ever. The pattern follows
the pace, which follows the command as fast as a body can. All of it is a function of what was asked for and what
the policy sees, so that trainer, datasets and robot cannot disagree about it. Arrays are (..., D).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from functools import cached_property, lru_cache
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from jack_contract.arrays import Array, Float64, Index, require_last
from jack_contract.errors import ContractError
from jack_contract.robot import RobotSpec

T = TypeVar("T")

#: Numbers in the signal that a policy sees: sine and cosine of the phase.
SIGNAL_SIZE = 2
#: Numbers in a pace: vx, vy [m/s], yaw rate [rad/s].
_PACE_SIZE = 3
#: A phase so near to a change of feet is one, and a rest so short [s] is over: sums of fractions would miss them by
#: their last bit.
_NEAR = 1e-6
#: A policy's own cycle lasts so long at least and at most [s]: people take one in 0.8 to 1.5 s.
PERIODS = (0.3, 2.0)
#: ... and is that of a speed ahead of so much at least and at most [m/s].
SPEEDS = (0.1, 3.0)
#: So far from its speed a beat counts e times less; m/s and rad/s are taken as one vector.
REACH = 0.4
#: Who walks at his own beat begins to hurry when he tips over faster than `stumble` times the first, and hurries as
#: much as he can from the second on. A person's walk at his size hardly ever reaches the first (0.76 rad/s at most,
#: 0.59 nine times of ten), and a push of 0.5 m/s adds as much at once.
HURRY = (2.0, 3.0)
#: Who is in a step, or has just ended one, takes another if he tips over faster than so many times `stumble`. With
#: this and half a cycle of rest policies that were pushed every 4 s stepped 8 to 16 % of the time, not 21 to 82 %.
#: Those had learnt without it and fell more often for it, most in bodies of all kinds; so he learns with it. With
#: three times `stumble` still more fell.
_SHAKEN = 2.0


@dataclass
class Rhythm:
    """Where a robot is in its gait, or many are."""

    #: share of the cycle, (...,)
    phase: Array
    #: vx, vy [m/s], yaw rate [rad/s], (..., 3)
    pace: Array
    #: for how long he who has taken a step still comes to rest [s], (...,); half a cycle while he takes one
    settling: Array = field(default_factory=lambda: np.zeros(()))

    def __post_init__(self) -> None:
        """As many as there are robots."""
        self.settling = np.broadcast_to(self.settling, np.shape(self.phase)).copy()

    def begin(self, ids: Index, phase: Array | float = 0.0) -> None:
        """Some robots of a batch (k,) are at rest, in the first half of the cycle (0) or in the second (0.5)."""
        self.phase[ids], self.pace[ids], self.settling[ids] = phase, 0.0, 0.0

    @classmethod
    def at_rest(cls, shape: tuple[int, ...] = ()) -> Rhythm:
        """Both feet down."""
        return cls(np.zeros(shape), np.zeros((*shape, _PACE_SIZE)))

    def rows(self, ids: Index) -> Rhythm:
        """Some robots of a batch, (k, ...)."""
        return Rhythm(self.phase[ids], self.pace[ids], self.settling[ids])


@dataclass(frozen=True)
class Beat:
    """A policy's own: how long a cycle lasts where it walks straight ahead at some speed, and less so elsewhere.

    Long slow steps are for him who is in motion; aside, back and on the spot he steps as the contract has it.
    """

    #: duration of a cycle [s]
    period: float
    #: [m/s]
    speed: float

    def __post_init__(self) -> None:
        for name, given, (low, high) in (("period", self.period, PERIODS), ("speed", self.speed, SPEEDS)):
            number = isinstance(given, int | float) and not isinstance(given, bool)
            if not number or not low <= given <= high:
                raise ContractError(f"The {name} of a beat is {low:g} to {high:g}, given: {given!r:.40}.")

    @classmethod
    def read(cls, given: object) -> Beat | None:
        """From what a file says, {"period": ..., "speed": ...} or None; a ContractError says what is allowed."""
        if given is None:
            return None
        if not isinstance(given, dict) or set(given) != {"period", "speed"}:
            raise ContractError(f"A beat has a period and a speed, given: {given!r:.40}.")
        return cls(**given)


def nearness(pace: Array, speed: float) -> Float64:
    """How near a pace (..., 3) is to some speed straight ahead [m/s], from 0 to 1, (...,)."""
    away = np.asarray(pace) - np.array([speed, 0.0, 0.0])
    return np.exp(-np.einsum("...i,...i->...", away, away) / REACH**2)


@dataclass(frozen=True)
class GaitSpec:
    """A stepping pattern of two halves, mirror images of each other."""

    #: duration of a cycle, one step of each foot [s]
    period: float
    #: offsets of the joint targets when the left foot is highest, one for each joint [rad]
    swing: tuple[float, ...]
    #: offsets of the joint targets when the left foot leaves the ground, for a pace of 1 m/s forwards, 1 m/s to the
    #: left and 1 rad/s to the left, three for each joint [rad]; when the right foot does they are the opposite
    stride: tuple[tuple[float, float, float], ...]
    #: how fast the pace follows the command [m/s^2, rad/s^2]
    acceleration: float = 1.0
    #: paces up to this length are standing; their numbers in m/s and rad/s are taken as one vector
    still: float = 0.05
    #: who stands and tips over faster than this takes a step [rad/s], and at twice as much another. Three of four
    #: pushes of 0.5 m/s make him tip at this and more; the readings of who stands quietly stay below 0.24 nine
    #: times of ten
    stumble: float = 0.35

    def __post_init__(self) -> None:
        numbers = (self.period, self.still, self.stumble, self.acceleration, *self.swing, *sum(self.stride, ()))
        finite = np.isfinite(numbers).all() and all(len(row) == _PACE_SIZE for row in self.stride)
        positive = self.acceleration > 0 and self.stumble > 0
        if not finite or not 0.1 <= self.period <= 10 or self.still < 0 or not positive:
            raise ContractError(
                "A gait needs a period of 0.1 to 10 s, an acceleration and a stumble above 0 and finite offsets, "
                f"given: {self}."
            )
        if not self.swing or len(self.swing) != len(self.stride):
            raise ContractError(
                f"A gait needs offsets for each joint, given: {len(self.swing)} and {len(self.stride)}."
            )

    def paced(self, beat: Beat | None) -> GaitSpec:
        """The same steps at a policy's own beat; None: this gait's.

        Who walks slower than this gait hurries when he tips over, up to this gait's beat: the longer a step, the
        further he has fallen when it ends.
        """
        return self if beat is None or beat.period == self.period else _paced(self, beat)

    def cycle(self, pace: Array) -> Array | float:
        """Duration of a cycle at a pace (..., 3), (...,) [s]."""
        return self.period

    def walks(self, pace: Array) -> NDArray[np.bool_]:
        """Whether a pace (..., 3) is more than standing, (...,) bool."""
        return np.einsum("...i,...i->...", pace, pace) > self.still**2

    def stepping(self, rhythm: Rhythm) -> NDArray[np.bool_]:
        """Whether a step is under way or begins, (...,) bool."""
        return self.walks(rhythm.pace) | (rhythm.phase % 0.5 != 0.0)

    def signal(self, rhythm: Rhythm) -> Float64:
        """What the policy sees of the rhythm: sine and cosine of the phase, both 0 at rest, (..., 2)."""
        angle = 2 * np.pi * np.asarray(rhythm.phase)
        return np.stack((np.sin(angle), np.cos(angle)), axis=-1) * self.stepping(rhythm)[..., None]

    def advance(self, rhythm: Rhythm, command: Array, elapsed: float, tipping: Array | float = 0.0) -> Rhythm:
        """The rhythm `elapsed` [s] later: a step under way is finished, a new one begun if asked for or needed.

        Args:
            rhythm: as it is.
            command: vx, vy [m/s], yaw rate [rad/s], (..., 3).
            elapsed: [s].
            tipping: how fast he tips over, (...,) [rad/s]; 0 for who has not learnt to step.
        """
        most = self.acceleration * elapsed
        pace = rhythm.pace + np.clip(command - rhythm.pace, -most, most)
        following = _settled(rhythm.phase + self._passed(elapsed, pace, tipping))
        finishing = np.minimum(following, np.ceil(2.0 * rhythm.phase) / 2)
        shaken = self.stepping(rhythm) | (rhythm.settling > _NEAR)
        stumbles = np.asarray(tipping) > np.where(shaken, _SHAKEN, 1.0) * self.stumble
        later = Rhythm(np.where(self.walks(pace) | stumbles, following, finishing) % 1.0, pace)
        rest = np.maximum(0.0, rhythm.settling - elapsed)
        later.settling = np.where(self.stepping(later), self.cycle(pace) / 2, rest)
        return later

    def lift(self, rhythm: Rhythm) -> Float64:
        """How far the left and the right foot are on their way up, 0 to 1, (..., 2)."""
        sine = np.sin(2 * np.pi * np.asarray(rhythm.phase))
        return np.stack((sine, -sine), axis=-1).clip(0.0)

    def offsets(self, robot: RobotSpec, rhythm: Rhythm) -> Float64:
        """Offsets of the joint targets, (..., n) [rad]; zero at rest."""
        require_last("Gait", self._swing, robot.count)
        mirrored = robot.mirror_sign * self._swing[list(robot.mirror_index)]
        lifted = self.lift(rhythm) @ np.stack((self._swing, mirrored))
        beat = np.cos(2 * np.pi * np.asarray(rhythm.phase)) * self.stepping(rhythm)
        return lifted + beat[..., None] * (rhythm.pace @ self._stride.T)

    def hurry(self, tipping: Array | float) -> Float64:
        """How much of his own beat he who walks at one gives up for this gait's, 0 to 1, (...,).

        Args:
            tipping: how fast he tips over, (...,) [rad/s].
        """
        begin, end = HURRY
        return np.clip((np.asarray(tipping, np.float64) / self.stumble - begin) / (end - begin), 0.0, 1.0)

    def _passed(self, elapsed: float, pace: Array, tipping: Array | float) -> Array | float:
        """Share of a cycle that passes in `elapsed` [s]."""
        return elapsed / self.period

    @cached_property
    def _swing(self) -> Float64:
        return np.array(self.swing)

    @cached_property
    def _stride(self) -> Float64:
        return np.array(self.stride)


@dataclass(frozen=True)
class _OwnBeat(GaitSpec):
    """A gait at a policy's own beat. It is part of no contract."""

    #: at which its cycle lasts as long as `period` says [m/s]
    speed: float = 0.0
    #: duration of a cycle elsewhere, and for him who falls [s]
    hurried: float = 0.0

    def cycle(self, pace: Array) -> Array | float:
        return self.hurried + nearness(pace, self.speed) * (self.period - self.hurried)

    def _passed(self, elapsed: float, pace: Array, tipping: Array | float) -> Array | float:
        calm = elapsed / self.cycle(pace)
        return calm + self.hurry(tipping) * np.maximum(0.0, elapsed / self.hurried - calm)


@lru_cache
def _paced(gait: GaitSpec, beat: Beat) -> GaitSpec:
    own: dict[str, Any] = {entry.name: getattr(gait, entry.name) for entry in fields(GaitSpec)}
    own["period"] = beat.period
    return _OwnBeat(**own, speed=beat.speed, hurried=gait.period)


def _settled(phase: Array) -> Float64:
    half = np.round(2.0 * phase) / 2
    return np.where(np.abs(phase - half) < _NEAR, half, phase)


#: Two steps [s]. He falls to the side with a time constant of 0.26 s, and a slower beat is harder to learn: at
#: 0.64 s 22 of 100 pushed robots survived after 1.2 million samples, with a beat of 0.5 s
#: 83. But 0.5 s divides the 4 s between two pushes of the exam, which would all come at the same point of a step.
_PERIOD = 0.52
#: Offsets of the joints when the left foot is highest: that leg is bent, and both lean to the left, which brings
#: the body over the right foot [rad].
_SWING = {
    "left_hip_pitch": -0.4,
    "left_knee": 0.8,
    "left_ankle_pitch": -0.4,
    "hip_roll": 0.1,
    "ankle_roll": -0.1,
}
#: Offsets of the left side's joints as its foot leaves the ground: behind, to the right, and turned to the right of
#: where it will land, while the arm is in front [rad for 1 m/s, 1 m/s, 1 rad/s]. With a leg of 0.6 m and steps of
#: 0.26 s feet that do not slip need 0.22 rad; the policy adds the rest.
_STRIDE = {
    "hip_pitch": (0.19, 0.0, 0.0),
    "ankle_pitch": (-0.19, 0.0, 0.0),
    "hip_roll": (0.0, -0.19, 0.0),
    "ankle_roll": (0.0, 0.19, 0.0),
    "hip_yaw": (0.0, 0.0, -0.13),
    "shoulder_pitch": (-0.4, 0.0, 0.0),
}


def default_gait(robot: RobotSpec) -> GaitSpec:
    """A step every 0.26 s, by the names of the joints: hip, knee and ankle lift a foot; the arms swing.

    A robot without such joints gets no offsets.
    """
    swing, stride = np.zeros(robot.count), np.zeros((robot.count, _PACE_SIZE))
    for index, name in enumerate(robot.joint_names):
        swing[index] = _part(_SWING, name, 0.0)
        stride[index] = _part(_STRIDE, name, (0.0, 0.0, 0.0))
        stride[index] *= 1.0 if "left" in name else -1.0
    swing, stride = swing + 0.0, stride + 0.0  # no -0.0: a zero with a sign would be another digest
    return GaitSpec(_PERIOD, tuple(swing.tolist()), tuple((a, b, c) for a, b, c in stride.tolist()))


def _part(table: Mapping[str, T], name: str, otherwise: T) -> T:
    return next((value for part, value in table.items() if part in name), otherwise)
