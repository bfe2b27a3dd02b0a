"""A scripted expert: it knows where everything is, moves arms by inverse kinematics, and has a policy for the legs.

What it does is a list of stations for one hand. The next one begins where the hand, as it really is, has arrived,
and the point that the hand is led by never runs away from it: so the expert also knows what to do where somebody
else has led the hand astray.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from enum import IntEnum

import numpy as np
from numpy.typing import NDArray

from jack_contract.arrays import Array, Float64
from jack_contract.rotation import turned
from jack_sim.layout import Layout
from jack_trainer.tasks.arm import COUNT, Reach, solve
from jack_trainer.tasks.instructions import Goal, Skill
from jack_trainer.tasks.tabletop import Ids, Situation, Tabletop

LEFT, RIGHT = 0, 1
#: How far to the left they are [m].
_SHOULDERS = {LEFT: 0.18, RIGHT: -0.18}
#: Of two arms the nearer one is taken, unless the other gets so much nearer, for each metre [m/m].
_ASIDE = 0.003
#: Postures of the left arm [rad]: pitch, roll, yaw, elbow. The right one's roll and yaw are the opposite.
_RAISED = (0.30, 0.35, -0.20, -2.0)
_PREFERRED = (-0.40, 0.60, -0.40, -1.2)
_WAVING = ((0.0, 1.45, 1.3, -1.1), (0.0, 1.45, 1.3, -2.0))
#: How the arm goes to a posture, and how fast the hand goes through the air and along the table [rad/s, m/s].
_JOINT_SPEED, _AIR_SPEED, _SLOW_SPEED = 3.5, 0.45, 0.22
#: How far the point that leads the hand is ahead of it at most [m], and a joint of its target [rad].
_LEASH, _JOINT_LEASH = 0.05, 0.4
#: The hand's lowest point is so far over the table where it pushes, and over a thing that it goes to touch [m].
_OVER_TABLE, _OVER_THING = 0.012, 0.055
#: A hand that touches presses so far in; one that is about to push stands so far off; it pushes so far [m].
_PRESS, _OFF, _PUSH = 0.004, 0.018, 0.085
#: The hand is at least so far from what it points at [m]; what direction and distance are worth [m/rad, 1].
_POINTING, _TURNING, _NEARING = 0.10, 0.3, 0.3
#: A station is reached within this [m, rad].
_NEAR, _NEAR_POSTURE, _NEAR_AIM = 0.015, 0.25, 0.08
#: Inverse kinematics that ends further from where it should is no way [m].
_REACHED = 0.008
#: How he walks: speed per distance [1/s], and at most [m/s, m/s, rad/s].
_WALK_GAIN, _WALK_SPEED = 1.0, np.array([0.4, 0.15, 0.4])
#: Who has drifted so far from his place, ahead, aside [m] or turned [rad], steps back to it.
_ASTRAY = np.array([0.10, 0.12, 0.30])
#: Steps of the solver from the preferred posture to where a hand is to get, and in a control period.
_PLANNING_STEPS, _STEPS = 25, 2
#: Stations that a plan may have.
_MOST = 8


class _Way(IntEnum):
    """What a station asks for."""

    #: the arm is in a posture
    POSTURE = 0
    #: the hand is at a point
    HAND = 1
    #: the forearm points at the thing, the hand at a distance from it
    AIM = 2


@dataclass(frozen=True)
class Station:
    """Where one hand is to get."""

    way: _Way
    #: of a POSTURE [rad]
    posture: tuple[float, ...] = (0.0,) * COUNT
    #: of a HAND: from where the thing was [m], or, if it follows, is
    point: tuple[float, float, float] = (0.0, 0.0, 0.0)
    follows: bool = False
    #: [m/s, rad/s]
    speed: float = _AIR_SPEED


@dataclass(frozen=True)
class Plan:
    """What one arm does. Without stations the arms are free."""

    side: int = LEFT
    stations: tuple[Station, ...] = ()


def mirrored(posture: Sequence[float], side: int) -> tuple[float, ...]:
    """A posture of the left arm as one of the arm on that side."""
    pitch, roll, yaw, elbow = posture
    return (pitch, roll, yaw, elbow) if side == LEFT else (pitch, -roll, -yaw, elbow)


class Planner:
    """Which arm does what, and what can be done at all: by inverse kinematics from where he should stand."""

    def __init__(self, task: Tabletop) -> None:
        """Of a task's model; its first robot must stand before the table in the home pose."""
        self._arms, self._height = task.arms, float(task.world.home[2])
        torso = task.world.batch.model.body_pos[task.arms.torso]
        self._torso = torso + np.array([0.0, 0.0, self._height])

    def goals(self, layout: Layout, skills: Iterable[Skill] = Skill) -> Iterator[Goal]:
        """Everything of some kinds of deeds that can be done at a table."""
        kinds = [(thing.colour, thing.shape) for thing in layout.things]
        for skill in skills:
            asked = [Goal(skill, *kind) for kind in (kinds if skill.names_thing else [("", "")])]
            yield from (goal for goal in asked if self.plan(layout, goal) is not None)

    def plan(self, layout: Layout, goal: Goal) -> Plan | None:
        """How a goal is reached; None where it cannot be."""
        if goal.skill is Skill.WALK:
            return Plan()
        if goal.skill is Skill.WAVE:
            return Plan(RIGHT, _waving(RIGHT))
        if not _room(layout, goal, self._arms.radius):
            return None
        plans = [Plan(side, _stations(layout, goal, side, self._arms.radius)) for side in (LEFT, RIGHT)]
        errors = self._errors(layout, goal, plans)
        aside = layout.things[layout.slot(goal.kind)].place[1]
        costs = [error + _ASIDE * abs(aside - _SHOULDERS[p.side]) for p, error in zip(plans, errors, strict=True)]
        free = [goal.skill is not Skill.POINT or _passes(layout, goal, p.side, self._arms.radius) for p in plans]
        able = [(cost, i) for i, cost in enumerate(costs) if errors[i] < _REACHED and free[i]]
        return plans[min(able)[1]] if able else None

    def _errors(self, layout: Layout, goal: Goal, plans: Sequence[Plan]) -> list[float]:
        """By how much arms miss the worst of their stations [m]."""
        thing = layout.things[layout.slot(goal.kind)]
        centre = np.array([*thing.place, layout.height + thing.size])
        rows = [(plan.side, s) for plan in plans for s in plan.stations if s.way is not _Way.POSTURE]
        side, aims = np.array([side for side, _ in rows]), np.array([s.way is _Way.AIM for _, s in rows])
        points = np.array([centre + station.point for _, station in rows])
        preferred = joints = _preferred(side)
        place, turn = np.tile(self._torso, (len(rows), 1)), np.tile(np.eye(3), (len(rows), 1, 1))
        error = np.zeros(len(rows))
        for _ in range(_PLANNING_STEPS):
            reach = self._arms.reach(side, place, turn, joints)
            jacobian, missed = _task(reach, points, aims, points)
            error = np.linalg.norm(missed[:, :3], axis=1)
            error = np.where(aims, np.maximum(0.1 * error, -missed[:, 3]), error) / np.where(aims, _TURNING, 1.0)
            step = solve(jacobian, missed, joints, preferred)
            joints = self._arms.clip(side, joints + step.clip(-0.3, 0.3))
        return [float(error[side == plan.side].max()) for plan in plans]


def _preferred(side: NDArray[np.integer]) -> Float64:
    """Postures to go to where there is a choice, (N, 4) [rad]."""
    return np.array([mirrored(_PREFERRED, s) for s in (LEFT, RIGHT)])[side]


def _waving(side: int) -> tuple[Station, ...]:
    out, back = (Station(_Way.POSTURE, mirrored(posture, side), speed=4.5) for posture in _WAVING)
    return (out, back) * 4


def _stations(layout: Layout, goal: Goal, side: int, radius: float) -> tuple[Station, ...]:
    size = layout.things[layout.slot(goal.kind)].size
    raised = Station(_Way.POSTURE, mirrored(_RAISED, side), speed=_JOINT_SPEED)
    over = size + radius + _OVER_THING
    if goal.skill is Skill.TOUCH:
        above = Station(_Way.HAND, point=(0.0, 0.0, over))
        down = (0.0, 0.0, size + radius - _PRESS)
        return (raised, above, Station(_Way.HAND, point=down, follows=True, speed=_SLOW_SPEED))
    if goal.skill is Skill.POINT:
        return (raised, Station(_Way.HAND, point=(-0.07, 0.0, over)), Station(_Way.AIM))
    way = 1.0 if goal.skill is Skill.PUSH_LEFT else -1.0
    beside, low = -way * (size + radius + _OFF), radius + _OVER_TABLE - size
    pushed = way * (_PUSH - size - radius)
    return (
        raised,
        Station(_Way.HAND, point=(0.0, beside, over)),
        Station(_Way.HAND, point=(0.0, beside, low), speed=_SLOW_SPEED),
        Station(_Way.HAND, point=(0.0, pushed, low), speed=_SLOW_SPEED),
    )


def _room(layout: Layout, goal: Goal, radius: float) -> bool:
    """Whether nothing is where the hand comes down beside a thing, nor where the thing goes."""
    if goal.skill not in (Skill.PUSH_LEFT, Skill.PUSH_RIGHT):
        return True
    slot = layout.slot(goal.kind)
    thing, way = layout.things[slot], 1.0 if goal.skill is Skill.PUSH_LEFT else -1.0
    place = np.array(thing.place)
    for other in (other for index, other in enumerate(layout.things) if index != slot):
        seen = np.array(other.place) - place
        hand = seen + np.array([0.0, way * (thing.size + radius + _OFF)])
        wide = 1.42 if other.shape == "cube" else 1.0  # across its corners
        if np.linalg.norm(hand) < radius + wide * other.size + 0.006:
            return False
        between = 1.42 * thing.size + wide * other.size
        if abs(seen[0]) < between and 0.0 < way * seen[1] < between + _PUSH:
            return False
    return True


def _passes(layout: Layout, goal: Goal, side: int, radius: float) -> bool:
    """Whether nothing lies under the arm that points, which is low, from its shoulder to the thing."""
    slot = layout.slot(goal.kind)
    shoulder, way = np.array([0.0, _SHOULDERS[side]]), np.array(layout.things[slot].place)
    way = way - shoulder
    for other in (other for index, other in enumerate(layout.things) if index != slot):
        seen = np.array(other.place) - shoulder
        along = np.clip(seen @ way / (way @ way), 0.0, 1.0)
        if np.linalg.norm(seen - along * way) < radius + other.size + 0.015:
            return False
    return True


def _task(reach: Reach, points: Float64, aims: NDArray[np.bool_], things: Float64) -> tuple[Float64, Float64]:
    """What arms miss, (N, 4), and how it changes with their joints, (N, 4, 4).

    Three numbers are the way of the hand to its point [m] or, for who aims, of the forearm's direction to that of
    the thing; the fourth is then by how much the hand is too near to it [m].
    """
    way = things - reach.elbow
    length = np.linalg.norm(way, axis=1, keepdims=True)
    ahead = way / length
    turning = (
        -(reach.elbow_by_joint - ahead[:, :, None] * (ahead[:, None] @ reach.elbow_by_joint)) / length[..., None]
    )
    offset = things - reach.hand
    apart = np.linalg.norm(offset, axis=1, keepdims=True)
    nearer = (offset / apart)[:, None] @ reach.hand_by_joint
    count = len(points)
    jacobian, missed = np.zeros((count, COUNT, COUNT)), np.zeros((count, COUNT))
    a = aims[:, None, None]
    jacobian[:, :3] = np.where(a, _TURNING * (reach.direction_by_joint - turning), reach.hand_by_joint)
    jacobian[:, 3:] = np.where(a & (apart[..., None] < _POINTING), _NEARING * nearer, 0.0)
    missed[:, :3] = np.where(aims[:, None], _TURNING * (ahead - reach.direction), points - reach.hand)
    missed[:, 3] = np.where(aims, _NEARING * np.minimum(apart[:, 0] - _POINTING, 0.0), 0.0)
    return jacobian, missed


@dataclass
class _Progress:
    """How far N robots are in their plans."""

    count: int
    plans: list[Plan] = field(default_factory=list)

    def __post_init__(self) -> None:
        n = self.count
        self.plans = [Plan()] * n
        self.side = np.zeros(n, np.int64)
        self.stations, self.station = np.zeros(n, np.int64), np.zeros(n, np.int64)
        self.way = np.zeros((n, _MOST), np.int64)
        self.posture, self.point = np.zeros((n, _MOST, COUNT)), np.zeros((n, _MOST, 3))
        self.follows, self.speed = np.zeros((n, _MOST), bool), np.ones((n, _MOST))
        self.joints: Array = np.zeros((n, COUNT))
        self.lead = np.zeros((n, 3))
        self.fresh = np.ones(n, bool)
        self.origin = np.zeros((n, 3))

    def put(self, index: int, plan: Plan, origin: Float64) -> None:
        """Robot `index` begins a plan for a thing that is at `origin` (3,) [m] now."""
        self.plans[index], self.side[index] = plan, plan.side
        self.stations[index], self.station[index] = len(plan.stations), 0
        self.origin[index], self.fresh[index] = origin, True
        for number, station in enumerate(plan.stations):
            self.way[index, number], self.speed[index, number] = station.way, station.speed
            self.posture[index, number], self.point[index, number] = station.posture, station.point
            self.follows[index, number] = station.follows


class Expert:
    """Does what N robots of a task are told."""

    def __init__(self, task: Tabletop) -> None:
        """Of a task; call `begin` for whom it begins."""
        self._task, self._arms, self._robot = task, task.arms, task.contract.robot
        self.planner = Planner(task)
        self._progress = _Progress(task.count)
        self._period = task.contract.robot.control_period
        self._steps = np.zeros(task.count, bool)

    def begin(self, ids: Ids, situations: Sequence[Situation]) -> None:
        """Robots `ids` (k,) have just been put into situations (k,) that can be done."""
        things = self._task.scene().things
        for index, situation in zip(ids.tolist(), situations, strict=True):
            plan = self.planner.plan(situation.layout, situation.goal)
            assert plan is not None, "only what can be done is told"
            self._progress.put(index, plan, things[index, situation.slot])

    @property
    def free(self) -> NDArray[np.bool_]:
        """Who needs no arm, (N,)."""
        return self._progress.stations == 0

    def velocity(self) -> Float64:
        """How he is to walk: to the place before the table, or back to it, (N, 3) [m/s, m/s, rad/s]."""
        scene = self._task.scene()
        back = -scene.pelvis[:, :2]
        wanted = _WALK_GAIN * np.column_stack((turned(back, -scene.heading), -scene.heading))
        off = np.abs(np.column_stack((back, scene.heading))) / _ASTRAY
        farthest = off.max(axis=1)
        self._steps = (farthest > 1.0) | (self._steps & (farthest > 0.4))
        return np.where(self._steps[:, None], wanted.clip(-_WALK_SPEED, _WALK_SPEED), 0.0)

    def arms(self, targets: Array) -> Float64:
        """Joint targets (N, n) [rad] of the legs' policy with the arms as the expert has them, (N, n) [rad]."""
        p, arms, robots = self._progress, self._arms, np.arange(self._task.count)
        state = self._task.world.state()
        measured = state.joint_position[robots[:, None], arms.indices[p.side]].astype(np.float64)
        scene, (place, turn) = self._task.scene(), self._task.torso()
        hand = scene.hands[robots, p.side]
        now = np.minimum(p.station, _MOST - 1)
        p.joints = np.where(p.fresh[:, None], measured, p.joints)
        p.lead = np.where(p.fresh[:, None], hand, p.lead)
        p.fresh[:] = False
        way, speed = p.way[robots, now], p.speed[robots, now]
        thing = scene.things[robots, np.maximum(self._task.slot, 0)]
        goal = np.where(p.follows[robots, now, None], thing, p.origin) + p.point[robots, now]
        p.lead = hand + _shortened(p.lead - hand, _LEASH)
        p.lead = p.lead + _shortened(goal - p.lead, speed[:, None] * self._period)
        before = p.joints
        self._follow(way, place, turn, thing, p.posture[robots, now], speed)
        p.joints = measured + (p.joints - measured).clip(-_JOINT_LEASH, _JOINT_LEASH)
        self._arrive(way, hand, goal, measured, scene, thing)
        return self._told(targets, p.joints, (p.joints - before) / self._period)

    def _follow(
        self, way: NDArray[np.int64], place: Array, turn: Array, thing: Float64, posture: Float64, speed: Array
    ) -> None:
        """Move the reference of the joints by what a control period allows."""
        p, arms = self._progress, self._arms
        begun = p.joints.copy()
        preferred = _preferred(p.side)
        for _ in range(_STEPS):
            reach = arms.reach(p.side, place, turn, p.joints)
            jacobian, missed = _task(reach, p.lead, way == _Way.AIM, thing)
            p.joints = arms.clip(p.side, p.joints + solve(jacobian, missed, p.joints, preferred).clip(-0.2, 0.2))
        joints = np.where((way == _Way.POSTURE)[:, None], posture, p.joints)
        most = np.where(way == _Way.POSTURE, speed, _JOINT_SPEED)[:, None] * self._period
        p.joints = begun + (joints - begun).clip(-most, most)

    def _arrive(
        self,
        way: NDArray[np.int64],
        hand: Float64,
        goal: Float64,
        measured: Float64,
        scene: object,
        thing: Float64,
    ) -> None:
        """Go on to the next station, for whom has come to his."""
        p = self._progress
        robots, now = np.arange(p.count), np.minimum(p.station, _MOST - 1)
        bent = np.abs(measured - p.posture[robots, now]).max(axis=1) < _NEAR_POSTURE
        there = np.linalg.norm(goal - hand, axis=1) < _NEAR
        come = np.where(way == _Way.POSTURE, bent, (way == _Way.HAND) & there)
        last = p.station >= p.stations - 1
        p.station += come & ~last
        p.lead = np.where((come & (way == _Way.POSTURE))[:, None], hand, p.lead)

    def _told(self, targets: Array, joints: Float64, speed: Float64) -> Float64:
        """Targets with which the motors, springs as they are, hold the arms where they should be."""
        robot, arms, p = self._robot, self._arms, self._progress
        robots = np.arange(p.count)
        result = np.array(targets, np.float64)
        for side in (LEFT, RIGHT):  # an arm that is not needed stays at his side
            rest = robot.default_position[arms.indices[side]]
            result[:, arms.indices[side]] = np.where(self.free[:, None], result[:, arms.indices[side]], rest)
        indices = arms.indices[p.side]
        stiffness, damping = robot.stiffness[indices], robot.damping[indices]
        gravity = self._task.gravity()[robots[:, None], indices]
        wanted = joints + (gravity + damping * speed) / stiffness
        result[robots[:, None], indices] = np.where(
            self.free[:, None], result[robots[:, None], indices], arms.clip(p.side, wanted)
        )
        return result


def _shortened(vector: Array, most: Array | float) -> Float64:
    """Vectors (N, 3) no longer than `most`."""
    length = np.linalg.norm(vector, axis=1, keepdims=True)
    return vector * np.minimum(1.0, most / np.maximum(length, 1e-9))
