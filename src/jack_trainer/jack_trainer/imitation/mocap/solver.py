"""Inverse kinematics: the posture of Jack that is nearest to a person's, one control period after another."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import mujoco
import numpy as np
from mink import SE3, SO3, Configuration, FrameTask, PostureTask, solve_ik
from mink.exceptions import NoSolutionFound

from jack_contract.arrays import Float64
from jack_contract.robot import RobotSpec
from jack_contract.rotation import xyzw_to_wxyz
from jack_trainer.imitation.mocap.body import Body, sole_ids
from jack_trainer.imitation.mocap.clip import SIDES, Clip
from jack_trainer.imitation.mocap.footsteps import Footsteps
from jack_trainer.imitation.mocap.limits import GroundLimit, JointLimit
from jack_trainer.imitation.mocap.source import MocapError

#: Degrees of freedom in front of the joints: the pelvis' own.
FREE = 6
#: Jack's hips stand so much lower than the person's at his scale, so that his knees never lock.
_SINK = 0.975
#: A period is solved when no coordinate moves further in a step [m, rad], or after so many steps.
_CONVERGED, _STEPS, _FIRST_STEPS = 2e-4, 12, 100
#: What matters how much: places [1/m], orientations [1/rad], joints [1/rad].
_FOOT, _FOOT_TURN = 30.0, 8.0
_PELVIS, _PELVIS_TURN, _TORSO_TURN = 6.0, 2.0, 2.0
_ELBOW, _HAND = 3.0, 5.0
#: Back to the home pose, and on from the last one.
_HOME, _STEADY = 0.03, 0.1


@dataclass(frozen=True)
class Targets:
    """Where parts of Jack are to be, a frame for each control period; left first."""

    feet: Footsteps
    #: of the pelvis, (T, 3) [m] and (T, 4)
    pelvis: Float64
    pelvis_turn: Float64
    #: of the torso, (T, 4)
    torso_turn: Float64
    #: directions of the upper arms and forearms in world, (T, 2, 3)
    upper_arm: Float64
    forearm: Float64


def find_targets(clip: Clip, feet: Footsteps, ankle_height: Float64, body: Body, scale: float) -> Targets:
    """Where parts of Jack are to be for him to move as a person does.

    Args:
        clip: the person's motion, a frame for each control period.
        feet: where his feet are to be.
        ankle_height: of the person, on the ground, (2,) [m].
        body: Jack's measures.
        scale: Jack's legs in the person's.
    """
    pelvis_turn = clip.turned("pelvis")
    hips = (clip.at("left_hip") + clip.at("right_hip")) / 2 - [0, 0, ankle_height.mean()]
    pelvis = scale * hips * [1, 1, _SINK] + [0, 0, body.ankle_height] + pelvis_turn.apply([0, 0, body.hip[1]])
    arms = [
        np.stack([_direction(clip, f"{side}_{a}", f"{side}_{b}") for side in SIDES], axis=1)
        for a, b in (("shoulder", "elbow"), ("elbow", "wrist"))
    ]
    return Targets(feet, pelvis, pelvis_turn.as_quat(), clip.turned("chest").as_quat(), *arms)


def _direction(clip: Clip, start: str, end: str) -> Float64:
    bone = clip.at(end) - clip.at(start)
    return bone / np.linalg.norm(bone, axis=-1, keepdims=True)


class Solver:
    """Follows targets from one control period to the next."""

    def __init__(self, body: Body, robot: RobotSpec) -> None:
        """For a body and what is known of its joints."""
        model = body.model
        self._body, self._robot = body, robot
        self._configuration = Configuration(model)
        self._configuration.update_from_keyframe("home")
        self._feet = [FrameTask(f"{side}_foot_link", "body", _FOOT, _FOOT_TURN) for side in SIDES]
        self._pelvis = FrameTask("pelvis", "body", _PELVIS, _PELVIS_TURN)
        self._torso = FrameTask("torso", "body", 0.0, _TORSO_TURN)
        self._elbows = [FrameTask(f"{side}_forearm_link", "body", _ELBOW, 0.0) for side in SIDES]
        self._hands = [FrameTask(f"{side}_hand", "site", _HAND, 0.0) for side in SIDES]
        self._home, self._steady = PostureTask(model, _HOME), PostureTask(model, _STEADY)
        self._home.set_target_from_configuration(self._configuration)
        self._shoulders = [model.body(f"{side}_shoulder_roll_link").id for side in SIDES]
        self._joints = JointLimit(robot, FREE)
        self._limits = [self._joints, GroundLimit(model, sole_ids(model))]

    def follow(self, targets: Targets) -> Iterator[Float64]:
        """Generalised positions (nq,) for one control period after another.

        Raises:
            MocapError: the solver found no posture in a period.
        """
        self._configuration.update_from_keyframe("home")
        start = self._configuration.q
        start[:3], start[3:7] = targets.pelvis[0], xyzw_to_wxyz(targets.pelvis_turn[0])
        self._configuration.update(start)
        self._joints.begin(None)
        self._steady.set_target(start)
        for period in range(len(targets.pelvis)):
            self._aim(targets, period)
            try:
                self._solve(targets, period, _STEPS if period else _FIRST_STEPS)
            except NoSolutionFound as error:
                raise MocapError(f"No posture of Jack was found for period {period + 1}: {error}") from error
            position = self._configuration.q
            self._joints.begin(position[-self._robot.count :])
            self._steady.set_target(position)
            yield position

    def _aim(self, targets: Targets, period: int) -> None:
        feet = targets.feet
        for side, task in enumerate(self._feet):
            task.set_target(_pose(feet.orientation[period, side], feet.position[period, side]))
        self._pelvis.set_target(_pose(targets.pelvis_turn[period], targets.pelvis[period]))
        self._torso.set_target(_pose(targets.torso_turn[period], np.zeros(3)))

    def _aim_arms(self, targets: Targets, period: int) -> None:
        """Arms keep the person's directions, from where the shoulders are at the moment."""
        upper, fore = self._body.arm
        for side, shoulder in enumerate(self._shoulders):
            elbow = self._configuration.data.xpos[shoulder] + upper * targets.upper_arm[period, side]
            self._elbows[side].set_target(SE3.from_translation(elbow))
            self._hands[side].set_target(SE3.from_translation(elbow + fore * targets.forearm[period, side]))

    def _solve(self, targets: Targets, period: int, steps: int) -> None:
        tasks = [*self._feet, self._pelvis, self._torso, *self._elbows, *self._hands, self._home, self._steady]
        dt = self._robot.control_period
        for _ in range(steps):
            self._aim_arms(targets, period)
            velocity = solve_ik(self._configuration, tasks, dt, "daqp", damping=1e-6, limits=self._limits)
            self._configuration.integrate_inplace(velocity, dt)
            if np.abs(velocity).max() * dt < _CONVERGED:
                break


def _pose(orientation: Float64, place: Float64) -> SE3:
    return SE3.from_rotation_and_translation(SO3(xyzw_to_wxyz(orientation)), place)


def velocities(model: mujoco.MjModel, positions: Float64, period: float) -> Float64:
    """Generalised velocities (T, nv) of generalised positions (T, nq): central differences, one-sided at the ends.

    As MuJoCo has them: linear in world [m/s], angular in the body [rad/s], joints [rad/s].
    """
    speeds = np.empty((len(positions), model.nv))
    last = len(positions) - 1
    for index, speed in enumerate(speeds):
        before, after = max(index - 1, 0), min(index + 1, last)
        mujoco.mj_differentiatePos(model, speed, (after - before) * period, positions[before], positions[after])
    return speeds
