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
from scipy.spatial.transform import Rotation

from jack_brain.chunk import waist_joints
from jack_contract.arrays import Array, Float64
from jack_contract.rotation import turned
from jack_sim.layout import Layout
from jack_trainer.tasks.arm import COUNT, Reach
from jack_trainer.tasks.instructions import Goal, Skill
from jack_trainer.tasks.tabletop import Ids, Situation, Tabletop

LEFT, RIGHT = 0, 1
#: How far to the left they are [m].
_SHOULDERS = {LEFT: 0.18, RIGHT: -0.18}
#: Of two arms the nearer one is taken, unless the other gets so much nearer, for each metre [m/m].
_ASIDE = 0.003
#: Where a hand gets to with the waist straight it stays so: turned it must miss by so much less [m]. The shoulder
#: of the arm comes forward, by so much [rad]; how fast he turns [rad/s].
_STRAIGHT, _TWIST, _TWISTING = 0.003, 0.3, 1.5
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
#: A hand that is to go over things goes up first, if it is by more than this too low, and so far away [m].
_LOW = 0.03
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
    #: whether the hand goes up first, then across
    over: bool = False
    #: [m/s, rad/s]
    speed: float = _AIR_SPEED


@dataclass(frozen=True)
class Plan:
    """What one arm does. Without stations the arms are free."""

    side: int = LEFT
    stations: tuple[Station, ...] = ()
    #: where the torso is turned to, seen from the way that he should stand [rad]
    facing: float = 0.0


def mirrored(posture: Sequence[float], side: int) -> tuple[float, ...]:
    """A posture of the left arm as one of the arm on that side."""
    pitch, roll, yaw, elbow = posture
    return (pitch, roll, yaw, elbow) if side == LEFT else (pitch, -roll, -yaw, elbow)


_RAISED_ARMS = np.array([mirrored(_RAISED, side) for side in (LEFT, RIGHT)])


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
        if goal.skill.names_thing and not _room(layout, goal, self._arms.radius):
            return None
        able, plan = self._best(layout, goal, self._torso, np.eye(3))
        return plan if able else None

    def plan_from(self, layout: Layout, goal: Goal, place: Array, turn: Array) -> Plan:
        """How a goal is best tried from where he stands, whether it can be reached from there or not.

        Args:
            layout: of the table.
            goal: what is to be done.
            place: of his torso in world, (3,) [m].
            turn: of it, (3, 3).
        """
        return self._best(layout, goal, place, turn)[1]

    def _best(self, layout: Layout, goal: Goal, place: Array, turn: Array) -> tuple[bool, Plan]:
        """Whether a goal can be reached by who stands there, and by what plan, if by any."""
        if goal.skill is Skill.WALK:
            return True, Plan()
        if goal.skill is Skill.WAVE:
            return True, Plan(RIGHT, _waving(RIGHT))
        radius, at = self._arms.radius, np.array(layout.things[layout.slot(goal.kind)].place)
        ways = [(side, twist) for side in (LEFT, RIGHT) for twist in (0.0, -_TWIST if side == LEFT else _TWIST)]
        plans = [Plan(side, _stations(layout, goal, side, radius), twist) for side, twist in ways]
        turns = [_facing(turn, plan.facing) for plan in plans]
        ranked = []
        for i, error in enumerate(self._errors(layout, goal, plans, place, turns)):
            shoulder = (place + turns[i] @ [0.0, _SHOULDERS[plans[i].side], 0.0])[:2]
            passes = goal.skill is not Skill.POINT or _passes(layout, goal, shoulder, radius)
            cost = error + _ASIDE * abs(at[1] - shoulder[1]) + _STRAIGHT * (plans[i].facing != 0.0)
            ranked.append((not (error < _REACHED and passes), cost, i))
        unable, _, best = min(ranked)
        return not unable, plans[best]

    def _errors(
        self, layout: Layout, goal: Goal, plans: Sequence[Plan], place: Array, turns: Sequence[Array]
    ) -> list[float]:
        """By how much arms miss the worst of their stations [m], with a torso at a place, turned for each plan."""
        thing = layout.things[layout.slot(goal.kind)]
        centre = np.array([*thing.place, layout.height + thing.size])
        rows = [(i, s) for i, plan in enumerate(plans) for s in plan.stations if s.way is not _Way.POSTURE]
        which, aims = np.array([i for i, _ in rows]), np.array([s.way is _Way.AIM for _, s in rows])
        side = np.array([plan.side for plan in plans])[which]
        points = np.array([centre + station.point for _, station in rows])
        preferred = joints = _preferred(side)
        places, turned_by = np.tile(place, (len(rows), 1)), np.array(turns)[which]
        error = np.zeros(len(rows))
        for _ in range(_PLANNING_STEPS):
            reach = self._arms.reach(side, places, turned_by, joints)
            jacobian, missed = _task(reach, points, aims, points)
            error = np.linalg.norm(missed[:, :3], axis=1)
            error = np.where(aims, np.maximum(0.1 * error, -missed[:, 3]), error) / np.where(aims, _TURNING, 1.0)
            joints = self._arms.moved(side, jacobian, missed, joints, preferred, 0.3)
        return [float(error[which == i].max()) for i in range(len(plans))]


def _facing(turn: Array, angle: float) -> Float64:
    """A torso (3, 3), leaning as it does, turned about the vertical to an angle from world x [rad]."""
    return Rotation.from_euler("z", angle - np.arctan2(turn[1, 0], turn[0, 0])).as_matrix() @ turn


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
        above = Station(_Way.HAND, point=(0.0, 0.0, over), over=True)
        down = (0.0, 0.0, size + radius - _PRESS)
        return (raised, above, Station(_Way.HAND, point=down, follows=True, speed=_SLOW_SPEED))
    if goal.skill is Skill.POINT:
        return (raised, Station(_Way.HAND, point=(-0.07, 0.0, over), over=True), Station(_Way.AIM))
    way = 1.0 if goal.skill is Skill.PUSH_LEFT else -1.0
    beside, low = -way * (size + radius + _OFF), radius + _OVER_TABLE - size
    pushed = way * (_PUSH - size - radius)
    return (
        raised,
        Station(_Way.HAND, point=(0.0, beside, over), over=True),
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


def _passes(layout: Layout, goal: Goal, shoulder: Array, radius: float) -> bool:
    """Whether nothing lies under the arm that points, which is low, from its shoulder (2,) [m] to the thing."""
    slot = layout.slot(goal.kind)
    way = np.array(layout.things[slot].place) - shoulder
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
        self.follows, self.over = np.zeros((n, _MOST), bool), np.zeros((n, _MOST), bool)
        self.speed = np.ones((n, _MOST))
        self.joints: Array = np.zeros((n, COUNT))
        self.lead = np.zeros((n, 3))
        self.fresh = np.ones(n, bool)
        self.origin = np.zeros((n, 3))
        self.slot = np.zeros(n, np.int64)
        self.facing, self.waist = np.zeros(n), np.zeros(n)
        self.height, self.idle, self.lifts = np.zeros(n), np.zeros((n, COUNT)), np.zeros(n, bool)

    def put(self, index: int, plan: Plan, slot: int, origin: Float64, height: float) -> None:
        """Robot `index` begins a plan for the thing `slot`, at `origin` (3,) [m] now, on a table so high [m]."""
        self.plans[index], self.side[index], self.slot[index] = plan, plan.side, slot
        self.height[index] = height
        self.stations[index], self.station[index] = len(plan.stations), 0
        self.origin[index], self.fresh[index], self.facing[index] = origin, True, plan.facing
        for number, station in enumerate(plan.stations):
            self.way[index, number], self.speed[index, number] = station.way, station.speed
            self.posture[index, number], self.point[index, number] = station.posture, station.point
            self.follows[index, number], self.over[index, number] = station.follows, station.over


class Expert:
    """Does what N robots of a task are told."""

    def __init__(self, task: Tabletop) -> None:
        """Of a task; call `begin` for whom it begins."""
        self._task, self._arms, self._robot = task, task.arms, task.contract.robot
        self.planner = Planner(task)
        self._progress = _Progress(task.count)
        self._period = task.contract.robot.control_period
        self._steps = np.zeros(task.count, bool)
        (self._waist,) = waist_joints(self._robot)

    def begin(self, ids: Ids, situations: Sequence[Situation]) -> None:
        """Robots `ids` (k,) have just been told what their situations (k,) say, where they stand."""
        things, (place, turn) = self._task.scene().things, self._task.torso()
        for index, situation in zip(ids.tolist(), situations, strict=True):
            plan = self.planner.plan_from(situation.layout, situation.goal, place[index], turn[index])
            slot = max(situation.slot, 0)
            self._progress.put(index, plan, slot, things[index, slot], situation.layout.height)

    def take_over(self, ids: Ids) -> None:
        """Somebody else had the arms of robots `ids` (k,): they go on from where things and hands are now."""
        p = self._progress
        p.origin[ids], p.fresh[ids] = self._task.scene().things[ids, p.slot[ids]], True

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
        """Joint targets (N, n) [rad] of the legs' policy, arms and waist as the expert has them, (N, n) [rad]."""
        p, arms, robots = self._progress, self._arms, np.arange(self._task.count)
        state = self._task.world.state()
        measured = state.joint_position[robots[:, None], arms.indices[p.side]].astype(np.float64)
        scene, (place, turn) = self._task.scene(), self._task.torso()
        hand = scene.hands[robots, p.side]
        now = np.minimum(p.station, _MOST - 1)
        p.joints = np.where(p.fresh[:, None], measured, p.joints)
        p.lead = np.where(p.fresh[:, None], hand, p.lead)
        self._turn(state.joint_position[:, self._waist], scene.heading)
        self._put_away(state.joint_position, scene.hands[robots, 1 - p.side])
        p.fresh[:] = False
        way, speed = p.way[robots, now], p.speed[robots, now]
        thing = scene.things[robots, p.slot]
        goal = np.where(p.follows[robots, now, None], thing, p.origin) + p.point[robots, now]
        p.lead = hand + _shortened(p.lead - hand, _LEASH)
        p.lead = p.lead + _shortened(_over(goal, hand, p.over[robots, now]) - p.lead, speed[:, None] * self._period)
        before = p.joints
        self._follow(way, place, turn, thing, p.posture[robots, now], speed)
        p.joints = measured + (p.joints - measured).clip(-_JOINT_LEASH, _JOINT_LEASH)
        self._arrive(way, hand, goal, measured, scene, thing)
        return self._told(targets, p.joints, (p.joints - before) / self._period)

    def _turn(self, measured: Array, heading: Array) -> None:
        """Move the reference of the waists, measured (N,) [rad], by what a control period allows."""
        p, spec, most = self._progress, self._robot, _TWISTING * self._period
        wanted = (p.facing - heading).clip(spec.lower[self._waist], spec.upper[self._waist])
        p.waist = np.where(p.fresh, measured, p.waist)
        p.waist = p.waist + (wanted - p.waist).clip(-most, most)

    def _put_away(self, measured: Array, hand: Float64) -> None:
        """Move the reference of arms that are not needed: down to his side, from over the table by way of above.

        Args:
            measured: joints of the whole robots, (N, n) [rad].
            hand: of those arms, (N, 3) [m].
        """
        p, robots, other = self._progress, np.arange(self._task.count), 1 - self._progress.side
        indices, raised = self._arms.indices[other], _RAISED_ARMS[other]
        now = measured[robots[:, None], indices]
        p.idle = np.where(p.fresh[:, None], now, p.idle)
        p.lifts = np.where(p.fresh, hand[:, 2] > p.height, p.lifts)
        p.lifts &= np.abs(now - raised).max(axis=1) > _NEAR_POSTURE
        wanted = np.where(p.lifts[:, None], raised, self._robot.default_position[indices])
        most = _JOINT_SPEED * self._period
        p.idle = p.idle + (wanted - p.idle).clip(-most, most)

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
            p.joints = arms.moved(p.side, jacobian, missed, p.joints, preferred, 0.2)
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
        idle = arms.indices[1 - p.side]
        result[robots[:, None], idle] = np.where(self.free[:, None], result[robots[:, None], idle], p.idle)
        result[:, self._waist] = np.where(self.free, result[:, self._waist], p.waist)
        indices = arms.indices[p.side]
        stiffness, damping = robot.stiffness[indices], robot.damping[indices]
        gravity = self._task.gravity()[robots[:, None], indices]
        wanted = joints + (gravity + damping * speed) / stiffness
        result[robots[:, None], indices] = np.where(
            self.free[:, None], result[robots[:, None], indices], arms.clip(p.side, wanted)
        )
        return result


def _over(goal: Float64, hand: Float64, over: NDArray[np.bool_]) -> Float64:
    """Where hands (N, 3) go to get to their goals (N, 3): first up, those that are to go over what lies there."""
    low = over & (goal[:, 2] - hand[:, 2] > _LOW) & (np.linalg.norm((goal - hand)[:, :2], axis=1) > _LOW)
    return np.where(low[:, None], np.column_stack((hand[:, :2], goal[:, 2])), goal)


def _shortened(vector: Array, most: Array | float) -> Float64:
    """Vectors (N, 3) no longer than `most`."""
    length = np.linalg.norm(vector, axis=1, keepdims=True)
    return vector * np.minimum(1.0, most / np.maximum(length, 1e-9))
