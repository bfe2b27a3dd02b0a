"""A film of a retargeted motion: Jack, moved like a puppet, and beside him the person as sticks, at his scale."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import cv2
import mujoco
import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter1d
from scipy.spatial.transform import Rotation

from jack_contract.arrays import Float64
from jack_contract.rotation import xyzw_to_wxyz
from jack_sim.camera import Camera
from jack_sim.scene import VISUAL_GROUP, SceneOptions, load_spec
from jack_trainer import film
from jack_trainer.files import replace_file
from jack_trainer.imitation.mocap.clip import BONES, JOINTS
from jack_trainer.imitation.mocap.motion import MotionClip
from jack_trainer.imitation.mocap.retarget import Retargeted
from jack_trainer.imitation.mocap.source import MocapError

_SCENE = SceneOptions("flat", collision="full", visuals=True)
_EYE = "eye"
#: The person goes so far to Jack's left [m], thus behind him in the picture.
_ASIDE = 0.9
#: What the camera looks at, and where it is from there [m].
_LOOK_AT, _FROM = (0.0, 0.4, 0.62), (1.5, -2.6, 0.35)
#: The camera goes along with him, without what is faster than this [s].
_CALM = 0.4
_THICK = 0.022
#: Left, right and middle bones.
_COLOURS = {"left": (0.98, 0.42, 0.16, 1), "right": (0.2, 0.45, 0.85, 1), "": (0.35, 0.37, 0.4, 1)}


def write_preview(path: Path, retargeted: Retargeted) -> None:
    """Write a film of film.MEDIA_TYPE.

    Raises:
        CameraError: nothing can be drawn on this machine.
        MocapError: the disk does not take it.
    """
    with tempfile.TemporaryDirectory() as folder:
        aside = Path(folder) / "preview.webm"
        film.write_film(aside, pictures(retargeted, film.RATE))
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            replace_file(path, aside.read_bytes())
        except OSError as error:
            raise MocapError(f"{path} could not be written ({error.strerror}).") from error


def pictures(retargeted: Retargeted, rate: float) -> Iterator[NDArray[np.uint8]]:
    """So many pictures a second of a motion, RGB, (film.HEIGHT, film.WIDTH, 3)."""
    motion = retargeted.motion
    with Camera(_scene(retargeted.person), 2 * film.WIDTH, 2 * film.HEIGHT, _EYE) as camera:
        calm = _CALM / motion.info.control_period
        eyes = gaussian_filter1d(motion.base_position[:, :2].astype(np.float64), calm, axis=0, mode="nearest")
        for index in range(int(motion.duration * rate) + 1):
            period = min(round(index / rate / motion.info.control_period), motion.periods - 1)
            sticks = _sticks(retargeted.person[period])
            drawn = camera.render(np.concatenate([_position(motion, period), eyes[period], sticks]))
            # Drawn larger and scaled down: smooth edges.
            yield cv2.resize(drawn, (film.WIDTH, film.HEIGHT), interpolation=cv2.INTER_AREA).astype(np.uint8)


def _scene(person: Float64) -> mujoco.MjModel:
    spec = load_spec(_SCENE)
    for key in list(spec.keys):  # they know nothing of what is added
        spec.delete(key)
    eye = _body(spec, _EYE)
    for axis in ([1, 0, 0], [0, 1, 0]):
        eye.add_joint(type=mujoco.mjtJoint.mjJNT_SLIDE, axis=axis)
    eye.add_camera(name=_EYE, pos=np.add(_LOOK_AT, _FROM), quat=_looking(-np.array(_FROM)), fovy=36)
    for start, end in BONES:
        bone = _body(spec, f"{start}-{end}")
        bone.add_freejoint()
        half = np.linalg.norm(person[0, JOINTS.index(end)] - person[0, JOINTS.index(start)]) / 2
        side = next((side for side in ("left", "right") if end.startswith(side)), "")
        bone.add_geom(
            type=mujoco.mjtGeom.mjGEOM_CAPSULE,
            size=[_THICK, max(half, 1e-3), 0],
            rgba=_COLOURS[side],
            group=VISUAL_GROUP,
            contype=0,
            conaffinity=0,
        )
    return spec.compile()


def _body(spec: mujoco.MjSpec, name: str) -> mujoco.MjsBody:
    return spec.worldbody.add_body(name=name, mass=1.0, inertia=[1.0] * 3, explicitinertial=True)


def _looking(forward: Float64) -> Float64:
    """The orientation w x y z of a camera that looks along a direction: MuJoCo's look along -z, y is up."""
    back = -forward / np.linalg.norm(forward)
    right = np.cross([0, 0, 1], back)
    right /= np.linalg.norm(right)
    axes = np.stack([right, np.cross(back, right), back], axis=1)
    return np.asarray(xyzw_to_wxyz(Rotation.from_matrix(axes).as_quat()), np.float64)


def _position(motion: MotionClip, period: int) -> Float64:
    base = motion.base_position[period], xyzw_to_wxyz(motion.base_orientation[period])
    return np.concatenate([*base, motion.joint_position[period]]).astype(np.float64)


def _sticks(places: Float64) -> Float64:
    """Positions of the bones' free joints, one after another."""
    ends = np.array([[places[JOINTS.index(joint)] for joint in bone] for bone in BONES])
    along = ends[:, 1] - ends[:, 0]
    along /= np.maximum(np.linalg.norm(along, axis=1, keepdims=True), 1e-9)
    # The shortest turn of z to it: axis z x a, by the angle between them.
    turn = np.stack([1 + along[:, 2], -along[:, 1], along[:, 0], np.zeros(len(along))], axis=1)
    turn[turn[:, 0] < 1e-9] = [0, 1, 0, 0]
    turn /= np.linalg.norm(turn, axis=1, keepdims=True)
    middles = ends.mean(axis=1) + np.array([0, _ASIDE, 0])
    return np.concatenate([middles, turn], axis=1).ravel()
