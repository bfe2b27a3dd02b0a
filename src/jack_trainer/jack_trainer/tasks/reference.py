"""A clip as a reference to be followed: gone through as often as it takes, every part of the body placed."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import uniform_filter1d
from scipy.spatial.transform import Rotation

from jack_contract.arrays import Array, Float64
from jack_contract.contract import Contract
from jack_contract.errors import JackError
from jack_contract.rotation import turned, wxyz_to_xyzw, xyzw_to_wxyz, yaw
from jack_sim.batch import BatchWorld
from jack_sim.scene import TRAINING, load_model
from jack_trainer.imitation.mocap.motion import MotionClip
from jack_trainer.imitation.movement import positions, velocities

_SIDES = ("left", "right")
_PARTS = ("thigh", "shin", "foot", "upper_arm", "forearm")
#: What is placed: the origins of these bodies, and the hands.
_BODIES = ("torso", "head", *(f"{side}_{part}_link" for side in _SIDES for part in _PARTS))
_HANDS = ("left_hand", "right_hand")
#: Feet and hands among them.
ENDS = (*(_BODIES.index(f"{side}_foot_link") for side in _SIDES), len(_BODIES), len(_BODIES) + 1)
#: The clip's velocity is told without what is faster than this [s].
_CALM = 0.5
#: So many rows of a clip are posed at once.
_AT_ONCE = 256


class Places:
    """Where the parts of all robots of a world are."""

    def __init__(self, world: BatchWorld) -> None:
        model = world.batch.model
        self._bodies: Float64 = world.batch.bind("xpos")
        self._sites: Float64 = world.batch.bind("site_xpos")
        self._body_ids = [model.body(name).id for name in _BODIES]
        self._site_ids = [model.site(name).id for name in _HANDS]

    def now(self) -> Float64:
        """In world, (N, P, 3) [m]."""
        return np.concatenate((self._bodies[:, self._body_ids], self._sites[:, self._site_ids]), axis=1)


class Reference:
    """A clip, gone through as often as an episode needs, row by row: R rows, one for each control period.

    Attributes:
        name: of the clip.
        qpos: generalised positions, (R, nq).
        qvel: generalised velocities, (R, nv).
        joints: (R, n) [rad].
        speeds: (R, n) [rad/s].
        base: pelvis in world, (R, 3) [m].
        orientation: of the pelvis in world, x y z w, (R, 4).
        places: of his parts in world, (R, P, 3) [m].
        command: the clip's velocity, vx, vy [m/s] in the heading frame and yaw rate [rad/s], (R, 3).
        starts: rows at which an episode may begin.
        last: the row at which the clip ends.
    """

    def __init__(self, motion: MotionClip, contract: Contract, longest: int) -> None:
        """Prepare a clip for episodes of up to `longest` control periods."""
        if motion.periods < 3:
            raise JackError(f"The clip '{motion.info.name}' has {motion.periods} rows; needed: three and more.")
        self.name = motion.info.name
        n, self._round, loop = contract.robot.count, motion.periods - 1, motion.info.loop
        rounds = 1 + -(-longest // self._round) if loop else 1
        rows = np.arange(motion.periods)
        self.qpos, self.qvel = _unrolled(positions(motion, rows), velocities(motion, rows), rounds)
        self.joints, self.speeds = self.qpos[:, -n:], self.qvel[:, -n:]
        self.base, self.orientation = self.qpos[:, :3], wxyz_to_xyzw(self.qpos[:, 3:7])
        self.starts, self.last = self._round, len(self.qpos) - 1
        self.places = _places(self.qpos, contract)
        self.command = _command(self.qvel, self.orientation, contract.robot.control_period)

    def signal(self, row: NDArray[np.integer[Any]]) -> Float64:
        """What the policy sees of where he is in the clip: sine and cosine of up to half a turn, (..., 2)."""
        angle = np.pi * (np.minimum(row, self.last - 1) % self._round) / self._round
        return np.stack((np.sin(angle), np.cos(angle)), axis=-1)


def _unrolled(qpos: Float64, qvel: Float64, rounds: int) -> tuple[Float64, Float64]:
    """So many rounds of a loop, each going on where and whereto the last one ended; the last row ends the last."""
    turn = Rotation.from_euler("z", float(yaw(wxyz_to_xyzw(qpos[-1, 3:7])) - yaw(wxyz_to_xyzw(qpos[0, 3:7]))))
    level, here, heading = np.array([1.0, 1.0, 0.0]), qpos[0, :3] * [1, 1, 0], Rotation.identity()
    start, places, moves = here.copy(), [], []
    for k in range(rounds):
        place, move = qpos.copy(), qvel.copy()
        place[:, :3] = heading.apply(qpos[:, :3] - start) + here
        turned = heading * Rotation.from_quat(wxyz_to_xyzw(qpos[:, 3:7]))
        place[:, 3:7] = xyzw_to_wxyz(turned.as_quat())
        move[:, :3] = heading.apply(qvel[:, :3])  # the turn is seen from the body
        keep = slice(None) if k == rounds - 1 else slice(-1)
        places.append(place[keep])
        moves.append(move[keep])
        here, heading = place[-1, :3] * level, turn * heading
    return np.concatenate(places), np.concatenate(moves)


def _places(qpos: Float64, contract: Contract) -> Float64:
    world = BatchWorld(load_model(TRAINING), contract.robot, min(_AT_ONCE, len(qpos)))
    parts, found = Places(world), []
    for start in range(0, len(qpos), world.count):
        some = qpos[start : start + world.count]
        world.reset(np.arange(len(some)), some)
        found.append(parts.now()[: len(some)])
    return np.concatenate(found)


def _command(qvel: Float64, orientation: Array, period: float) -> Float64:
    heading = np.asarray(yaw(orientation))
    turning = np.gradient(np.unwrap(heading), period)
    moved = np.column_stack((turned(qvel[:, :2], -heading), turning))
    return uniform_filter1d(moved, max(1, round(_CALM / period)), axis=0, mode="nearest")
