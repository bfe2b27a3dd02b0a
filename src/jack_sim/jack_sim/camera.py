"""The head camera: headless, and fast enough for a software renderer."""

from __future__ import annotations

import math
import os
from dataclasses import dataclass

import mujoco
import numpy as np
from numpy.typing import NDArray

from jack_contract.arrays import Float64
from jack_contract.errors import JackError, UnknownNameError
from jack_sim.errors import CameraError
from jack_sim.scene import VISUAL_GROUP

_MAX_GEOMS = 2000


@dataclass(frozen=True)
class Intrinsics:
    """A pinhole camera without distortion: u = fx x/z + cx, v = fy y/z + cy in the optical frame (REP-103).

    Integer pixel coordinates are the centres of pixels, as ROS and OpenCV count them.
    """

    width: int
    height: int
    #: focal lengths [pixel]
    fx: float
    fy: float
    #: principal point [pixel]
    cx: float
    cy: float

    @classmethod
    def of(cls, model: mujoco.MjModel, camera: str, width: int, height: int) -> Intrinsics:
        """Intrinsics of a model's camera from its vertical field of view: fy = (height / 2) / tan(fovy / 2)."""
        fovy = math.radians(model.cam_fovy[_camera_id(model, camera)])
        focal = 0.5 * height / math.tan(0.5 * fovy)
        return cls(width, height, focal, focal, (width - 1) / 2, (height - 1) / 2)


class Camera:
    """Draws a scene through one of its cameras. Use it from the thread that made it: OpenGL belongs to a thread."""

    def __init__(
        self, model: mujoco.MjModel, width: int, height: int, name: str = "head", shadows: bool = False
    ) -> None:
        """Open an OpenGL context without a screen.

        EGL is used, unless the environment variable MUJOCO_GL names something else.

        Args:
            model: compiled with visuals.
            width: of the image [pixel].
            height: of the image [pixel].
            name: of the camera in the model.
            shadows: also draw shadows and smooth edges, at ten times the cost in software.

        Raises:
            CameraError: if nothing can be drawn on this machine.
            UnknownNameError: if there is no such camera.
        """
        if not (0 < width <= 4096 and 0 < height <= 4096):
            raise JackError(f"An image of {width} x {height} pixels was asked for; allowed: 1 to 4096 a side.")
        self.intrinsics = Intrinsics.of(model, name, width, height)
        self._model = model
        # A state of its own: the camera never touches the one that physics is writing.
        self._data = mujoco.MjData(model)
        self._rect = mujoco.MjrRect(0, 0, width, height)
        self._view = mujoco.MjvCamera()
        self._view.type = mujoco.mjtCamera.mjCAMERA_FIXED
        self._view.fixedcamid = _camera_id(model, name)
        self._visible = mujoco.MjvOption()
        self._visible.geomgroup[:] = 0
        self._visible.geomgroup[[0, VISUAL_GROUP]] = 1
        self._scene = mujoco.MjvScene(model, _MAX_GEOMS)
        for flag in (mujoco.mjtRndFlag.mjRND_SHADOW, mujoco.mjtRndFlag.mjRND_REFLECTION):
            self._scene.flags[flag] = shadows
        self._gl, self._context = _open(model, width, height, shadows)

    def render(self, position: Float64) -> NDArray[np.uint8]:
        """Draw the scene.

        Args:
            position: generalised position of everything in it (World.position), (nq,).

        Returns:
            RGB image, row 0 on top, (height, width, 3).
        """
        if self._context is None:
            raise CameraError("it was closed")
        self._gl.make_current()
        self._data.qpos[:] = position
        mujoco.mj_kinematics(self._model, self._data)
        mujoco.mj_comPos(self._model, self._data)
        mujoco.mj_camlight(self._model, self._data)
        everything = mujoco.mjtCatBit.mjCAT_ALL.value
        mujoco.mjv_updateScene(self._model, self._data, self._visible, None, self._view, everything, self._scene)
        image = np.empty((self._rect.height, self._rect.width, 3), dtype=np.uint8)
        mujoco.mjr_render(self._rect, self._scene, self._context)
        mujoco.mjr_readPixels(image, None, self._rect, self._context)
        return np.ascontiguousarray(image[::-1])

    def close(self) -> None:
        """Give the OpenGL context back."""
        if self._context is not None:
            self._gl.make_current()
            self._context.free()
            self._gl.free()
            self._context = None

    def __enter__(self) -> Camera:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _camera_id(model: mujoco.MjModel, name: str) -> int:
    names = [model.camera(index).name for index in range(model.ncam)]
    if name not in names:
        raise UnknownNameError("camera", name, names)
    return names.index(name)


def _open(model: mujoco.MjModel, width: int, height: int, shadows: bool) -> tuple:
    """An OpenGL context and MuJoCo's resources in it; the model's quality settings are left as they were."""
    quality, frame = model.vis.quality, model.vis.global_
    before = quality.shadowsize, quality.offsamples, frame.offwidth, frame.offheight
    if not shadows:
        quality.shadowsize = quality.offsamples = 0
    frame.offwidth, frame.offheight = width, height
    try:
        gl = _gl_context(width, height)
        gl.make_current()
        context = mujoco.MjrContext(model, mujoco.mjtFontScale.mjFONTSCALE_100.value)
        mujoco.mjr_setBuffer(mujoco.mjtFramebuffer.mjFB_OFFSCREEN.value, context)
    except Exception as error:  # a missing library shows as any of half a dozen errors
        raise CameraError(str(error) or type(error).__name__) from error
    finally:
        quality.shadowsize, quality.offsamples, frame.offwidth, frame.offheight = before
    return gl, context


def _gl_context(width: int, height: int):  # noqa: ANN202 - MuJoCo has one class for each platform
    """EGL by default. It is imported here, so that a machine without it still has physics."""
    if os.environ.get("MUJOCO_GL"):
        return mujoco.GLContext(width, height)
    from mujoco.egl import GLContext

    return GLContext(width, height)
