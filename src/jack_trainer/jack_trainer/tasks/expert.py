"""A scripted expert: it knows where everything is, moves arms by inverse kinematics, and has a policy for the legs.

What it does is a list of stations for one hand. The next one begins where the hand, as it really is, has arrived,
and the point that the hand is led by never runs away from it: so the expert also knows what to do where somebody
else has led the hand astray.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from jack_brain.chunk import waist_joints
from jack_contract.arrays import Array, Float64
from jack_contract.rotation import turned
from jack_trainer.tasks.arm import COUNT
from jack_trainer.tasks.planner import JOINT_SPEED, RAISED_ARMS, Plan, Planner, Way, missing, preferred_postures
from jack_trainer.tasks.tabletop import Ids, Situation, Tabletop

#: How fast he turns his waist [rad/s].
_TWISTING = 1.5
#: How far the point that leads the hand is ahead of it at most [m], and a joint of its target [rad].
_LEASH, _JOINT_LEASH = 0.05, 0.4
#: A hand that is to go over things goes up first, if it is by more than this too low, and so far away [m].
_LOW = 0.03
#: A station is reached within this [m, rad].
_NEAR, _NEAR_POSTURE = 0.015, 0.25
#: How he walks: speed per distance [1/s], and at most [m/s, m/s, rad/s].
_WALK_GAIN, _WALK_SPEED = 1.0, np.array([0.4, 0.15, 0.4])
#: Who has drifted so far from his place, ahead, aside [m] or turned [rad], steps back to it.
_ASTRAY = np.array([0.10, 0.12, 0.30])
#: Steps of the solver in a control period.
_STEPS = 2
#: Stations that a plan may have.
_MOST = 8


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
        indices, raised = self._arms.indices[other], RAISED_ARMS[other]
        now = measured[robots[:, None], indices]
        p.idle = np.where(p.fresh[:, None], now, p.idle)
        p.lifts = np.where(p.fresh, hand[:, 2] > p.height, p.lifts)
        p.lifts &= np.abs(now - raised).max(axis=1) > _NEAR_POSTURE
        wanted = np.where(p.lifts[:, None], raised, self._robot.default_position[indices])
        most = JOINT_SPEED * self._period
        p.idle = p.idle + (wanted - p.idle).clip(-most, most)

    def _follow(
        self, way: NDArray[np.int64], place: Array, turn: Array, thing: Float64, posture: Float64, speed: Array
    ) -> None:
        """Move the reference of the joints by what a control period allows."""
        p, arms = self._progress, self._arms
        begun = p.joints.copy()
        preferred = preferred_postures(p.side)
        for _ in range(_STEPS):
            reach = arms.reach(p.side, place, turn, p.joints)
            jacobian, missed = missing(reach, p.lead, way == Way.AIM, thing)
            p.joints = arms.moved(p.side, jacobian, missed, p.joints, preferred, 0.2)
        joints = np.where((way == Way.POSTURE)[:, None], posture, p.joints)
        most = np.where(way == Way.POSTURE, speed, JOINT_SPEED)[:, None] * self._period
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
        come = np.where(way == Way.POSTURE, bent, (way == Way.HAND) & there)
        last = p.station >= p.stations - 1
        p.station += come & ~last
        p.lead = np.where((come & (way == Way.POSTURE))[:, None], hand, p.lead)

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
