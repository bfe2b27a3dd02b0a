"""What an expert's hand does for each deed, which arm, and what can be done at all, by inverse kinematics.

A plan is a list of stations for one hand, and where the torso is turned to meanwhile. No robot moves here.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from enum import IntEnum

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from jack_contract.arrays import Array, Float64
from jack_sim.layout import Layout
from jack_trainer.tasks.arm import COUNT, Reach
from jack_trainer.tasks.instructions import Goal, Skill
from jack_trainer.tasks.tabletop import Tabletop

LEFT, RIGHT = 0, 1
#: How far to the left they are [m].
_SHOULDERS = {LEFT: 0.18, RIGHT: -0.18}
#: Of two arms the nearer one is taken, unless the other gets so much nearer, for each metre [m/m].
_ASIDE = 0.003
#: Where a hand gets to with the waist straight it stays so: turned it must miss by so much less [m]. The shoulder
#: of the arm comes forward, by so much [rad].
_STRAIGHT, _TWIST = 0.003, 0.3
#: Postures of the left arm [rad]: pitch, roll, yaw, elbow. The right one's roll and yaw are the opposite.
_RAISED = (0.30, 0.35, -0.20, -2.0)
_PREFERRED = (-0.40, 0.60, -0.40, -1.2)
_WAVING = ((0.0, 1.45, 1.3, -1.1), (0.0, 1.45, 1.3, -2.0))
#: How the arm goes to a posture, and how fast the hand goes through the air and along the table [rad/s, m/s].
JOINT_SPEED, _AIR_SPEED, _SLOW_SPEED = 3.5, 0.45, 0.22
#: The hand's lowest point is so far over the table where it pushes, and over a thing that it goes to touch [m].
_OVER_TABLE, _OVER_THING = 0.012, 0.055
#: A hand that touches presses so far in; one that is about to push stands so far off; it pushes so far [m].
_PRESS, _OFF, _PUSH = 0.004, 0.018, 0.085
#: The hand is at least so far from what it points at [m]; what direction and distance are worth [m/rad, 1].
_POINTING, _TURNING, _NEARING = 0.10, 0.3, 0.3
#: Inverse kinematics that ends further from where it should is no way [m].
_REACHED = 0.008
#: Steps of the solver from the preferred posture to where a hand is to get.
_STEPS = 25


class Way(IntEnum):
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

    way: Way
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


RAISED_ARMS = np.array([mirrored(_RAISED, side) for side in (LEFT, RIGHT)])


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
        if not _room(layout, goal, self._arms.radius):
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
        rows = [(i, s) for i, plan in enumerate(plans) for s in plan.stations if s.way is not Way.POSTURE]
        which, aims = np.array([i for i, _ in rows]), np.array([s.way is Way.AIM for _, s in rows])
        side = np.array([plan.side for plan in plans])[which]
        points = np.array([centre + station.point for _, station in rows])
        preferred = joints = preferred_postures(side)
        places, turned_by = np.tile(place, (len(rows), 1)), np.array(turns)[which]
        error = np.zeros(len(rows))
        for _ in range(_STEPS):
            reach = self._arms.reach(side, places, turned_by, joints)
            jacobian, missed = missing(reach, points, aims, points)
            error = np.linalg.norm(missed[:, :3], axis=1)
            error = np.where(aims, np.maximum(0.1 * error, -missed[:, 3]), error) / np.where(aims, _TURNING, 1.0)
            joints = self._arms.moved(side, jacobian, missed, joints, preferred, 0.3)
        return [float(error[which == i].max()) for i in range(len(plans))]


def _facing(turn: Array, angle: float) -> Float64:
    """A torso (3, 3), leaning as it does, turned about the vertical to an angle from world x [rad]."""
    return Rotation.from_euler("z", angle - np.arctan2(turn[1, 0], turn[0, 0])).as_matrix() @ turn


def preferred_postures(side: NDArray[np.integer]) -> Float64:
    """Postures to go to where there is a choice, (N, 4) [rad]."""
    return np.array([mirrored(_PREFERRED, s) for s in (LEFT, RIGHT)])[side]


def _waving(side: int) -> tuple[Station, ...]:
    out, back = (Station(Way.POSTURE, mirrored(posture, side), speed=4.5) for posture in _WAVING)
    return (out, back) * 4


def _stations(layout: Layout, goal: Goal, side: int, radius: float) -> tuple[Station, ...]:
    size = layout.things[layout.slot(goal.kind)].size
    raised = Station(Way.POSTURE, mirrored(_RAISED, side), speed=JOINT_SPEED)
    over = size + radius + _OVER_THING
    if goal.skill is Skill.TOUCH:
        above = Station(Way.HAND, point=(0.0, 0.0, over), over=True)
        down = (0.0, 0.0, size + radius - _PRESS)
        return (raised, above, Station(Way.HAND, point=down, follows=True, speed=_SLOW_SPEED))
    if goal.skill is Skill.POINT:
        return (raised, Station(Way.HAND, point=(-0.07, 0.0, over), over=True), Station(Way.AIM))
    way = 1.0 if goal.skill is Skill.PUSH_LEFT else -1.0
    beside, low = -way * (size + radius + _OFF), radius + _OVER_TABLE - size
    pushed = way * (_PUSH - size - radius)
    return (
        raised,
        Station(Way.HAND, point=(0.0, beside, over), over=True),
        Station(Way.HAND, point=(0.0, beside, low), speed=_SLOW_SPEED),
        Station(Way.HAND, point=(0.0, pushed, low), speed=_SLOW_SPEED),
    )


def _room(layout: Layout, goal: Goal, radius: float) -> bool:
    """Whether nothing is where the hand comes down beside a thing, nor where the thing goes."""
    if not goal.skill.pushes:
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


def missing(reach: Reach, points: Float64, aims: NDArray[np.bool_], things: Float64) -> tuple[Float64, Float64]:
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
