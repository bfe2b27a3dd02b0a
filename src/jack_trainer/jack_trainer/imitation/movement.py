"""What a judge of style sees of a body: how it is bent and how it moves, in the same numbers for robots and clips.

Where he is and how fast he gets on is left out: that is asked for elsewhere.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from jack_contract.arrays import Array, Float32, Float64
from jack_contract.contract import Contract
from jack_contract.errors import JackError
from jack_contract.observation import SIGNAL_SIZE
from jack_contract.robot import RobotSpec
from jack_contract.rotation import projected_gravity, turned, xyzw_to_wxyz
from jack_sim.batch import BatchWorld
from jack_sim.scene import TRAINING, load_model
from jack_trainer.imitation.mocap.motion import MotionClip
from jack_trainer.imitation.similarity import gait_of, phases, steady_rows

Rows = NDArray[np.integer[Any]]

#: So many rows of a clip are posed at once.
_AT_ONCE = 256
#: Moments of a cycle that are told apart, and how much of a cycle around each is averaged.
_PHASES, _BLUR = 90, 0.015
_VECTOR, _PSEUDO_VECTOR = (1.0, -1.0, 1.0), (-1.0, 1.0, -1.0)


def frame_size(robot: RobotSpec) -> int:
    """Numbers in a frame, F."""
    return 2 * robot.count + 12 + SIGNAL_SIZE


def frames(world: BatchWorld, signal: Array) -> Float32:
    """How each robot of a world is bent and moves now.

    Args:
        world: with the robots.
        signal: of their gaits, (N, 2), see `GaitSpec.signal`: what is right depends on which foot is to swing.

    Returns:
        Joint positions [rad] and speeds [rad/s], gravity in the body frame [1], angular velocity in the body frame
        [rad/s], both feet seen from the pelvis in the heading frame [m], and the gait's signal, (N, F).
    """
    state, truth = world.state(), world.truth()
    feet = truth.feet - truth.position[:, None]
    feet[..., :2] = turned(feet[..., :2], -truth.heading[:, None])
    gravity = projected_gravity(state.orientation)
    parts = (
        state.joint_position,
        state.joint_velocity,
        gravity,
        state.angular_velocity,
        feet.reshape(len(feet), -1),
        signal,
    )
    return np.concatenate(parts, axis=-1, dtype=np.float32)


def mirrored(seen: Float32, robot: RobotSpec) -> Float32:
    """The same frames (..., F) with left and right exchanged."""
    n = robot.count
    joints = np.array(robot.mirror_index)
    feet = 2 * n + 6 + np.array([3, 4, 5, 0, 1, 2])
    index = np.concatenate((joints, n + joints, 2 * n + np.arange(6), feet, 2 * n + 12 + np.arange(SIGNAL_SIZE)))
    by_axis = (_VECTOR, _PSEUDO_VECTOR, _VECTOR, _VECTOR, -np.ones(SIGNAL_SIZE))  # half a cycle later
    sign = np.concatenate((robot.mirror_sign, robot.mirror_sign, *by_axis))
    return seen[..., index] * sign.astype(np.float32)


def pose(world: BatchWorld, ids: Rows, motion: MotionClip, rows: Rows) -> None:
    """Put robots (k,) where a clip is at some rows (k,), as fast as it is there."""
    world.reset(ids, positions(motion, rows), velocities(motion, rows))


def positions(motion: MotionClip, rows: Rows) -> Float64:
    """Generalised positions of some rows (k,) of a clip, (k, nq)."""
    turn = xyzw_to_wxyz(motion.base_orientation[rows])
    return np.concatenate((motion.base_position[rows], turn, motion.joint_position[rows]), -1, dtype=np.float64)


def velocities(motion: MotionClip, rows: Rows) -> Float64:
    """Generalised velocities of some rows (k,) of a clip, (k, nv): MuJoCo's turn in the body, but move in world."""
    turn = Rotation.from_quat(motion.base_orientation[rows])
    moved = turn.apply(motion.base_linear_velocity[rows])
    parts = (moved, motion.base_angular_velocity[rows], motion.joint_velocity[rows])
    return np.concatenate(parts, axis=-1, dtype=np.float64)


def frames_of(motion: MotionClip, contract: Contract) -> Float32:
    """The frames of a clip in which somebody walks, (T, F)."""
    world = BatchWorld(load_model(TRAINING), contract.robot, min(_AT_ONCE, motion.periods))
    phase, found = phases(motion, contract.robot, np.arange(motion.periods)), []
    for start in range(0, motion.periods, world.count):
        rows = np.resize(np.arange(start, min(start + world.count, motion.periods)), world.count)
        pose(world, np.arange(world.count), motion, rows)
        angle = 2 * np.pi * phase[rows]
        found.append(frames(world, np.stack((np.sin(angle), np.cos(angle)), axis=-1)))
    return np.concatenate(found)[: motion.periods]


@dataclass(frozen=True)
class Example:
    """How somebody walks: what a style is learnt from."""

    #: two frames, one a control period after the other, of steady walking and of its mirror image, (K, 2F)
    pairs: Float32
    #: over the ground [m/s]
    speed: float
    #: duration of a cycle [s]
    period: float
    #: joint angles through one cycle, left and right averaged, from phase 0 on in equal steps, (P, n) [rad]
    cycle: Float32

    @classmethod
    def of(cls, motion: MotionClip, contract: Contract) -> Example:
        """The walking in a clip.

        Raises:
            JackError: nobody walks in it, or he walks backwards or on the spot.
        """
        robot, gait = contract.robot, gait_of(motion, contract.robot)
        if gait.figures.speed < 0.1:
            raise JackError(
                f"The clip '{motion.info.name}' gets on by {gait.figures.speed:.2f} m/s: it is no walk."
            )
        seen = frames_of(motion, contract)
        rows = steady_rows(motion, robot)
        pairs = np.concatenate((seen[rows], seen[rows + 1]), axis=-1)
        reflected = np.concatenate([mirrored(seen[at], robot) for at in (rows, rows + 1)], axis=-1)
        phase = phases(motion, robot, rows)
        joints = np.concatenate((seen[rows], mirrored(seen[rows], robot)))[:, : robot.count]
        cycle = _through_a_cycle(np.concatenate((phase, phase + 0.5)), joints)
        return cls(np.concatenate((pairs, reflected)), gait.figures.speed, gait.period, cycle)

    def joints(self, signal: Array) -> Float32:
        """The joint angles where the gait's signal is so, (N, 2) -> (N, n) [rad]."""
        phase = np.arctan2(signal[:, 0], signal[:, 1]) / (2 * np.pi)
        return self.cycle[np.round(phase * _PHASES).astype(int) % _PHASES]


def _through_a_cycle(phase: Array, values: Float32) -> Float32:
    """Values (K, n) at phases (K,), averaged around each of _PHASES phases."""
    off = (phase - np.arange(_PHASES)[:, None] / _PHASES + 0.5) % 1.0 - 0.5
    weights = np.exp(-np.square(off / _BLUR))
    return ((weights / weights.sum(axis=-1, keepdims=True)) @ values).astype(np.float32)
