"""The virtual gantry: a rope that holds the pelvis upright until Jack can carry himself."""

from __future__ import annotations

from enum import StrEnum

import mujoco
import numpy as np

from jack_contract.errors import JackError
from jack_sim.scene import GANTRY, ROOT

#: Height of the pelvis at which the feet hang free [m].
HOLD_HEIGHT = 0.76
#: Jack carries himself when the rope bears less than this share of his weight [1] ...
_LIGHT = 0.05
#: ... for this long [s].
_PATIENCE = 0.3
#: A fallen robot is turned upright at this speed [rad/s].
_TURN_SPEED = 0.6


class GantryMode(StrEnum):
    """What the gantry is doing."""

    RELEASED = "released"
    HELD = "held"
    LOWERING = "lowering"
    LIFTING = "lifting"


class Gantry:
    """Holds, lowers, releases and lifts the pelvis of one simulated robot.

    The rope is a soft weld between the pelvis and a mocap body. It is paid out only while it bears a load, so that
    it never presses Jack into the ground; until it lets go it also guides him sideways and upright.
    """

    def __init__(self, model: mujoco.MjModel, data: mujoco.MjData) -> None:
        """Take over the gantry of a model compiled with SceneOptions(gantry=True); it starts released."""
        if model.nmocap == 0:
            raise JackError("This scene has no gantry; load it with SceneOptions(gantry=True).")
        self._data = data
        self._root = model.body(ROOT).id
        self._mocap = model.body(GANTRY).mocapid[0]
        self._weld = model.equality(GANTRY).id
        self._light_load = _LIGHT * model.body_subtreemass[self._root] * np.linalg.norm(model.opt.gravity)
        self._mode = GantryMode.RELEASED
        self._speed = 0.0
        self._carried = 0.0

    @property
    def mode(self) -> GantryMode:
        """What the gantry is doing."""
        return self._mode

    @property
    def load(self) -> float:
        """Force with which the rope pulls the pelvis up [N]; of the last physics step."""
        rows = (self._data.efc_type == mujoco.mjtConstraint.mjCNSTR_EQUALITY) & (self._data.efc_id == self._weld)
        # The first three of a weld's six rows are the world's x, y, z; they act on the mocap body minus the pelvis.
        force = self._data.efc_force[rows]
        return -float(force[2]) if len(force) else 0.0

    def hold(self) -> None:
        """Put the robot into the air, upright where it is, at rest in its present pose. For a start or a reset."""
        qpos, qvel = self._data.qpos, self._data.qvel
        qpos[2], qpos[3:7], qvel[:6] = HOLD_HEIGHT, _upright(qpos[3:7]), 0.0
        self._grab(qpos[:3], qpos[3:7])
        self._mode = GantryMode.HELD

    def lower(self, speed: float = 0.05) -> None:
        """Pay out rope at `speed` [m/s] until Jack carries himself, then let go. Does nothing once released."""
        self._speed, self._carried = _require_speed(speed), 0.0
        if self._mode is not GantryMode.RELEASED:
            self._mode = GantryMode.LOWERING

    def lift(self, speed: float = 0.15) -> None:
        """Take hold of Jack wherever he is, and pull him up and upright at `speed` [m/s] until he hangs free."""
        self._speed = _require_speed(speed)
        if self._mode is GantryMode.RELEASED:
            self._grab(self._data.xpos[self._root], self._data.xquat[self._root])
        self._mode = GantryMode.LIFTING

    def release(self) -> None:
        """Let go at once."""
        self._data.eq_active[self._weld] = 0
        self._mode = GantryMode.RELEASED

    def advance(self, dt: float) -> None:
        """Move the rope by a time step `dt` [s]."""
        if self._mode is GantryMode.LOWERING:
            self._pay_out(dt)
        elif self._mode is GantryMode.LIFTING:
            self._pull_up(dt)

    def _pay_out(self, dt: float) -> None:
        if self.load > self._light_load:
            self._data.mocap_pos[self._mocap, 2] -= self._speed * dt
            self._carried = 0.0
            return
        self._carried += dt
        if self._carried >= _PATIENCE:
            self.release()

    def _pull_up(self, dt: float) -> None:
        position = self._data.mocap_pos[self._mocap]
        position[2] = min(position[2] + self._speed * dt, HOLD_HEIGHT)
        if self._turn_upright(_TURN_SPEED * dt) and position[2] == HOLD_HEIGHT:
            self._mode = GantryMode.HELD

    def _grab(self, position: np.ndarray, quaternion: np.ndarray) -> None:
        self._data.mocap_pos[self._mocap] = position
        self._data.mocap_quat[self._mocap] = quaternion
        self._data.eq_active[self._weld] = 1

    def _turn_upright(self, angle: float) -> bool:
        """Turn the mocap body towards upright by at most `angle` [rad]; whether it has arrived."""
        quaternion, difference = self._data.mocap_quat[self._mocap], np.zeros(3)
        mujoco.mju_subQuat(difference, _upright(quaternion), quaternion)
        distance = float(np.linalg.norm(difference))
        if distance <= 1e-6:
            return True
        mujoco.mju_quatIntegrate(quaternion, difference / distance, min(angle, distance))
        return distance <= angle


def _upright(quaternion: np.ndarray) -> np.ndarray:
    """The nearest upright orientation: of w x y z, only the turn about z remains."""
    w, z = quaternion[0], quaternion[3]
    norm = np.hypot(w, z)
    return np.array([1.0, 0.0, 0.0, 0.0]) if norm < 1e-6 else np.array([w, 0.0, 0.0, z]) / norm


def _require_speed(speed: float) -> float:
    if not 0.001 <= speed <= 1.0:
        raise JackError(f"The gantry's speed is {speed} m/s; allowed: 0.001 to 1.")
    return speed
