"""What each robot of a batch sees: one renderer that goes from simulation to simulation."""

from __future__ import annotations

import copy

import mujoco
import numpy as np
from mujoco.batch import Batch
from numpy.typing import NDArray

from jack_contract.arrays import Array, Float64, Index
from jack_contract.contract import CameraSpec
from jack_sim.camera import Camera
from jack_sim.robot_model import link_ids

#: Pictures are drawn so much larger, to each side, and averaged: edges of small things stay where they are.
LARGER = 2
#: Name of his own camera.
HEAD = "head"
#: Parts of the names of what he sees of himself.
_IN_VIEW = ("shoulder", "arm")


class BatchCamera:
    """Draws what the head cameras of a batch see, with each simulation's own model. For the thread that made it."""

    def __init__(self, batch: Batch, size: CameraSpec, name: str = HEAD, larger: int = LARGER) -> None:
        """Open the camera.

        Args:
            batch: of a model compiled with visuals.
            size: of the pictures.
            name: of the camera in the model.
            larger: so much larger, to each side, they are drawn and then averaged.

        Raises:
            CameraError: nothing can be drawn on this machine.
        """
        self._batch, self._size, self._larger = batch, size, larger
        self._model = copy.copy(batch.model)
        self._hidden = _behind(batch.model) if name == HEAD else []
        self._camera = Camera(self._model, larger * size.width, larger * size.height, name)
        self._positions = batch.bind("qpos")
        self._id = self._model.camera(name).id
        self._places, self._turns = batch.bind("cam_xpos"), batch.bind("cam_xmat")

    def render(self, ids: Index) -> NDArray[np.uint8]:
        """Pictures of the simulations `ids` (k,) as they are, RGB, rows from the top, (k, height, width, 3)."""
        pictures = np.empty((len(ids), self._size.height, self._size.width, 3), np.uint8)
        for picture, index in zip(pictures, np.asarray(ids), strict=True):
            self._batch.get_model(int(index), self._model)
            self._model.geom_rgba[self._hidden, 3] = 0.0
            picture[:] = shrink(self._camera.render(self._positions[index]), self._larger)
        return pictures

    def project(self, points: Array) -> Float64:
        """Where points in world (N, 3) [m], one for each simulation, are in its picture.

        Returns:
            From left to right and from top to bottom, 0 to 1 within the picture, (N, 2); NaN behind the camera.
        """
        turns = self._turns[:, self._id].reshape(-1, 3, 3)
        seen = ((points - self._places[:, self._id])[:, None] @ turns)[:, 0]
        angles = self._batch.expanded("cam_fovy")
        angle = self._model.cam_fovy[self._id] if angles is None else angles[:, self._id]
        half = np.tan(0.5 * np.radians(angle))
        depth = np.where(seen[:, 2] < 0.0, -seen[:, 2], np.nan)
        wide = half * self._size.width / self._size.height
        return 0.5 + 0.5 * np.stack((seen[:, 0] / depth / wide, -seen[:, 1] / depth / half), axis=-1)

    def close(self) -> None:
        """Give back what drawing needs."""
        self._camera.close()

    def __enter__(self) -> BatchCamera:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _behind(model: mujoco.MjModel) -> list[int]:
    """What is drawn of him and yet never in his head's view: all but his arms. It would cost half of the time."""
    unseen = {link for link in link_ids(model) if not any(part in model.body(link).name for part in _IN_VIEW)}
    return [geom for geom in range(model.ngeom) if model.geom_bodyid[geom] in unseen]


def shrink(image: NDArray[np.uint8], factor: int) -> NDArray[np.uint8]:
    """An image (h f, w f, 3) as the means of its blocks of f x f pixels, (h, w, 3)."""
    if factor == 1:
        return image
    height, width = image.shape[0] // factor, image.shape[1] // factor
    blocks = image.reshape(height, factor, width, factor, 3)
    total = blocks.sum(axis=(1, 3), dtype=np.uint16)
    return ((total + factor**2 // 2) // factor**2).astype(np.uint8)
