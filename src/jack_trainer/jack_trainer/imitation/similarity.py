"""How alike two gaits are, in numbers: what somebody's legs and arms do in one cycle, held against a clip.

A gait is judged cycle by cycle. A cycle begins where the left leg, on its way back, passes the right one; standing,
setting out and stopping are left out. Angles are compared along the best way to stretch one cycle over the other
(dynamic time warping: Sakoe and Chiba 1978), so that a gait may be like a clip and slower than it; how much slower
says the cadence.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from jack_contract.arrays import Array, Float32, Float64
from jack_contract.contract import Contract
from jack_contract.errors import JackError
from jack_contract.gait import Beat
from jack_contract.robot import RobotSpec
from jack_sim.batch import BatchWorld
from jack_sim.randomization import OFF
from jack_sim.scene import TRAINING, load_model
from jack_trainer.imitation.mocap.motion import MotionClip
from jack_trainer.tasks.environment import Observation
from jack_trainer.tasks.lessons import LocomotionConfig
from jack_trainer.tasks.locomotion import Locomotion

#: A leg passes the other one only if it was behind by this share of how far it mostly gets: otherwise it trembles.
_PASSED = 0.3
#: ... and by this much: who stands sways, too [rad].
_BEHIND = 0.05
#: A cycle in which legs swing less than this share of what they mostly do belongs to setting out or stopping.
_STEADY = 0.7
#: What is mostly: one stumble is not to be the measure of all steps.
_MOSTLY, _WIDE = 0.9, 0.75
#: A loop is gone through so many times.
_ROUNDS = 3
#: Time that a rollout is given to set out, and that it is watched for [s].
_SETTING_OUT, _WATCHED = 3.0, 6.0
#: Generalised positions of the pelvis; those of the joints follow.
FREE = 7
#: So many cycles of a gait are compared at most, spread evenly: they repeat themselves.
_COMPARED = 12


@dataclass(frozen=True)
class Walk:
    """Somebody who walks, a row for each control period."""

    #: (T, n) [rad]
    joint_position: Array
    #: of the pelvis in world, (T, 2) [m]
    way: Array
    #: from one row to the next [s]
    period: float

    @classmethod
    def of(cls, motion: MotionClip) -> Walk:
        """A clip; a loop goes on for some rounds."""
        joints, way = motion.joint_position.astype(np.float64), motion.base_position[:, :2].astype(np.float64)
        if motion.info.loop:  # the last row is the first of the next round
            rounds = range(_ROUNDS)
            way = np.concatenate([way[:-1] + k * (way[-1] - way[0]) for k in rounds])
            joints = np.concatenate([joints[:-1] for _ in rounds])
        return cls(joints, way, motion.info.control_period)


@dataclass(frozen=True)
class Figures:
    """A gait in numbers, means over its cycles."""

    #: steps of both feet [1/min]
    cadence: float
    #: from the least to the greatest angle of the left and the right joint [rad]
    knee_range: float
    hip_range: float
    #: of the shoulders [rad]
    arm_swing: float
    #: over the ground [m/s]
    speed: float


@dataclass(frozen=True)
class Difference:
    """How far a gait is from another one; the less, the more alike."""

    #: mean along the best alignment of the root mean square difference of all joints [rad]
    angles: float
    #: [1/min]
    cadence: float
    #: [rad]
    knee_range: float
    hip_range: float
    arm_swing: float

    def improvement(self, before: Difference) -> dict[str, float]:
        """By which share each is less than it was: 1 for a gait that is alike, below 0 for one that got worse."""
        pairs = {f.name: (getattr(self, f.name), getattr(before, f.name)) for f in fields(self)}
        return {name: 1.0 - now / then if then > 0 else -np.inf for name, (now, then) in pairs.items()}


class Gait:
    """The steady cycles of one or several walks of one robot."""

    def __init__(self, walks: Sequence[Walk], robot: RobotSpec) -> None:
        """Find the cycles.

        Raises:
            JackError: there is none.
        """
        self._robot = robot
        spans = [(walk, begin, end) for walk in walks for begin, end in steady_cycles(walk, robot)]
        if not spans:
            raise JackError(
                "Nobody walks there: the legs never pass each other twice. A gait needs a whole cycle of walking, "
                "two steps and the beginning of a third."
            )
        #: joint angles in each cycle, (L, n) [rad]
        self.cycles = [walk.joint_position[begin : end + 1] for walk, begin, end in spans]
        seconds = float(sum((end - begin) * walk.period for walk, begin, end in spans))
        far = float(sum(np.linalg.norm(walk.way[end] - walk.way[begin]) for walk, begin, end in spans))
        self.figures = Figures(
            cadence=120.0 * len(spans) / seconds,
            knee_range=self._range("knee"),
            hip_range=self._range("hip_pitch"),
            arm_swing=self._range("shoulder_pitch"),
            speed=far / seconds,
        )

    @property
    def period(self) -> float:
        """Mean duration of a cycle [s]."""
        return 120.0 / self.figures.cadence

    def difference(self, other: Gait) -> Difference:
        """How far this gait is from another one: each of its cycles from the nearest one of the other."""
        mine, theirs = _spread(self.cycles), _spread(other.cycles)
        nearest = [min(warped_distance(one, another) for another in theirs) for one in mine]
        apart = {
            f.name: abs(getattr(self.figures, f.name) - getattr(other.figures, f.name))
            for f in fields(Difference)
            if f.name != "angles"
        }
        return Difference(angles=float(np.mean(nearest)), **apart)

    def _range(self, joint: str) -> float:
        columns = [self._robot.index(f"{side}_{joint}") for side in ("left", "right")]
        return float(np.mean([np.ptp(cycle[:, columns], axis=0) for cycle in self.cycles]))


def steady_cycles(walk: Walk, robot: RobotSpec) -> list[tuple[int, int]]:
    """First and last row of each cycle in which somebody walks steadily; the last is the first of the next."""
    behind = _behind(walk, robot)
    passed = _passes(behind)
    cycles = list(pairwise(passed))
    swings = [float(np.ptp(behind[begin : end + 1])) for begin, end in cycles]
    least = _STEADY * np.quantile(swings, _WIDE) if swings else 0.0
    return [cycle for cycle, swing in zip(cycles, swings, strict=True) if swing > least]


def phases(motion: MotionClip, robot: RobotSpec, rows: NDArray[np.integer[Any]]) -> Float64:
    """The gait's phase (see `GaitSpec`) at some rows of a clip that lie within steady walking, (k,).

    The left foot swings in the first half: that leg passes the other one at 0.25, and is passed at 0.75.
    """
    passed = _passes(_behind(Walk.of(motion), robot))
    middle = motion.periods - 1 if motion.info.loop else 0  # of three rounds, with whole cycles on either side
    return (0.75 + np.interp(rows + middle, passed, np.arange(len(passed)))) % 1.0


def _behind(walk: Walk, robot: RobotSpec) -> Float64:
    """How far the left leg is behind the right one, from the middle of its swing, (T,) [rad]."""
    left, right = (walk.joint_position[:, robot.index(f"{side}_hip_pitch")] for side in ("left", "right"))
    behind = np.asarray(left - right, np.float64)  # a positive pitch moves what hangs backwards
    return behind - 0.5 * np.quantile(behind, (1.0 - _MOSTLY, _MOSTLY)).sum()


def steady_rows(motion: MotionClip, robot: RobotSpec) -> NDArray[np.int64]:
    """Rows of a clip at which somebody walks steadily, and at the next one too."""
    if motion.info.loop:
        return np.arange(motion.periods - 1)
    cycles = steady_cycles(Walk.of(motion), robot)
    return np.unique(np.concatenate([np.arange(begin, end) for begin, end in cycles]))


def _passes(signal: Float64) -> list[int]:
    """Rows from which on a signal is above zero, having been well below since the last time."""
    low, found, armed = -max(_BEHIND, _PASSED * float(np.quantile(np.abs(signal), _MOSTLY))), [], False
    for row, value in enumerate(signal.tolist()):
        armed |= value < low
        if armed and value >= 0.0:
            found.append(row)
            armed = False
    return found


def warped_distance(one: Array, other: Array) -> float:
    """Dynamic time warping of two courses of joint angles.

    Args:
        one: (L, n) [rad].
        other: (M, n) [rad].

    Returns:
        Mean along the alignment of least total cost of the root mean square difference of the joints [rad].
    """
    cost = np.sqrt(np.square(one[:, None] - other[None]).mean(axis=-1))
    # total cost and length of the best way to each pair; beyond the edges nothing leads
    total = np.full((len(one) + 1, len(other) + 1), np.inf)
    length = np.zeros(total.shape, np.int64)
    total[0, 0] = 0.0
    for i, row in enumerate(cost.tolist()):
        for j, here in enumerate(row):
            before = min(((i, j), (i, j + 1), (i + 1, j)), key=lambda at: total[at])
            total[i + 1, j + 1] = total[before] + here
            length[i + 1, j + 1] = length[before] + 1
    return float(total[-1, -1] / length[-1, -1])


def _spread(cycles: list[Array]) -> list[Array]:
    chosen = np.linspace(0, len(cycles) - 1, min(len(cycles), _COMPARED)).round().astype(int)
    return [cycles[k] for k in chosen]


def gait_of(motion: MotionClip, robot: RobotSpec) -> Gait:
    """The gait of a clip.

    Raises:
        JackError: nobody walks in it.
    """
    try:
        return Gait([Walk.of(motion)], robot)
    except JackError as error:
        raise JackError(f"The clip '{motion.info.name}' ({motion.info.source}) is no walk. {error}") from error


def gait_in(courses: Sequence[Float64], contract: Contract) -> Gait:
    """The gait of robots that walk, of what `courses_at` says of each of them."""
    period = contract.robot.control_period
    return Gait([Walk(course[:, FREE:], course[:, :2], period) for course in courses], contract.robot)


def courses_at(
    actor: Callable[[Observation], Float32],
    contract: Contract,
    velocity: float,
    beat: Beat | None = None,
    robots: int = 4,
    seed: int = 1,
) -> list[Float64]:
    """What robots do that are asked to walk straight ahead on level ground, once they have set out.

    Args:
        actor: decides for all of them, without exploration.
        contract: of the policy.
        velocity: what is asked for [m/s].
        beat: of the policy; None: the contract's.
        robots: that walk side by side, each from a start of its own.
        seed: of those starts.

    Returns:
        Generalised positions, (T, nq), a row each control period, of each robot that did not fall.

    Raises:
        JackError: all fell.
    """
    period = contract.robot.control_period
    begin, count = round(_SETTING_OUT / period), round(_WATCHED / period)
    asked = ((velocity, velocity), (0.0, 0.0), (0.0, 0.0))
    always = LocomotionConfig.episode  # as in the exam: who stumbles hurries
    config = LocomotionConfig(command=asked, still=0.0, randomization=OFF, beat=beat, alarm=always, staggered=False)
    world = BatchWorld(load_model(TRAINING), contract.robot, robots)
    environment = Locomotion(world, contract, config, seed)
    seen, fell = environment.reset(), np.zeros(robots, bool)
    rows: list[Float64] = []
    for row in range(begin + count):
        step = environment.step(actor(seen))
        seen, fell = step.observation, fell | step.terminated
        if row >= begin:
            rows.append(world.positions())
    if fell.all():
        raise JackError(f"All {robots} robots fell on their way ahead at {velocity:g} m/s: there is no gait.")
    return list(np.stack(rows, axis=1)[~fell])
