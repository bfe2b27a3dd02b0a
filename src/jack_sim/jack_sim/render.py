"""What each robot of a batch sees: one renderer that goes from simulation to simulation."""

from __future__ import annotations

import copy

import numpy as np
from mujoco.batch import Batch
from numpy.typing import NDArray

from jack_contract.arrays import Index
from jack_contract.contract import CameraSpec
from jack_sim.camera import Camera

#: Pictures are drawn so much larger, to each side, and averaged: edges of small things stay where they are.
LARGER = 2


class BatchCamera:
    """Draws what the head cameras of a batch see, with each simulation's own model. For the thread that made it."""

    def __init__(self, batch: Batch, size: CameraSpec, name: str = "head", larger: int = LARGER) -> None:
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
        self._camera = Camera(self._model, larger * size.width, larger * size.height, name)
        self._positions = batch.bind("qpos")

    def render(self, ids: Index) -> NDArray[np.uint8]:
        """Pictures of the simulations `ids` (k,) as they are, RGB, rows from the top, (k, height, width, 3)."""
        pictures = np.empty((len(ids), self._size.height, self._size.width, 3), np.uint8)
        for picture, index in zip(pictures, np.asarray(ids), strict=True):
            self._batch.get_model(int(index), self._model)
            picture[:] = shrink(self._camera.render(self._positions[index]), self._larger)
        return pictures

    def close(self) -> None:
        """Give back what drawing needs."""
        self._camera.close()

    def __enter__(self) -> BatchCamera:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def shrink(image: NDArray[np.uint8], factor: int) -> NDArray[np.uint8]:
    """An image (h f, w f, 3) as the means of its blocks of f x f pixels, (h, w, 3)."""
    if factor == 1:
        return image
    height, width = image.shape[0] // factor, image.shape[1] // factor
    blocks = image.reshape(height, factor, width, factor, 3)
    total = blocks.sum(axis=(1, 3), dtype=np.uint16)
    return ((total + factor**2 // 2) // factor**2).astype(np.uint8)
