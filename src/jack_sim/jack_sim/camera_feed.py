"""Pictures beside physics: a thread of its own draws them, and only the ones that were asked for."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass
from time import monotonic
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from jack_contract.arrays import Float64
from jack_sim.errors import CameraError

#: Seconds until the camera is opened again after it failed: doubled each time, within these limits.
RETRY_FIRST, RETRY_LAST = 1.0, 60.0

Image = NDArray[np.uint8]


class Eye(Protocol):
    """What draws: jack_sim.camera.Camera."""

    def render(self, position: Float64) -> Image:
        """Draw the scene with everything at `position`, (nq,); RGB, (height, width, 3)."""
        ...

    def close(self) -> None:
        """Give back what drawing needs."""
        ...


def jpeg(image: Image, quality: int) -> bytes:
    """An RGB image (height, width, 3) as a JPEG file of quality 1 to 100."""
    import cv2  # heavy, and only needed while somebody looks

    cv2.setNumThreads(1)  # physics and learning have better use for the cores
    done, data = cv2.imencode(".jpg", image[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, quality])
    if not done:
        raise CameraError("OpenCV could not compress the picture")
    return data.tobytes()


@dataclass(frozen=True)
class Shot:
    """One picture to be drawn."""

    #: generalised position of everything in the scene, (nq,)
    position: Float64
    #: simulated time [s]
    time: float


class CameraFeed:
    """Draws the newest shot that was asked for. What goes wrong stays here; it tries again, ever more rarely."""

    def __init__(self, open_eye: Callable[[], Eye], deliver: Callable[[Shot, Image], None]) -> None:
        """Make the feed; nothing is opened before the first shot.

        Args:
            open_eye: opens the camera; called in the feed's thread, as OpenGL wants it.
            deliver: receives each picture, in the feed's thread.
        """
        self._open_eye, self._deliver = open_eye, deliver
        self._eye: Eye | None = None
        self._shot: Shot | None = None
        self._changed = threading.Condition()
        self._closing = False
        self._retry, self._retry_at = RETRY_FIRST, 0.0
        self._thread: threading.Thread | None = None
        #: what is wrong; empty while nothing is
        self.trouble = ""

    def ask(self, shot: Shot) -> None:
        """Ask for a picture; one that has not been begun yet is replaced. Returns at once."""
        if self._closing or monotonic() < self._retry_at:
            return
        if self._thread is None:
            self._thread = threading.Thread(target=self._work, name="camera", daemon=True)
            self._thread.start()
        with self._changed:
            self._shot = shot
            self._changed.notify()

    def close(self, timeout: float = 2.0) -> None:
        """Stop drawing and give the camera back; waits for the picture in work at most `timeout` seconds."""
        with self._changed:
            self._closing = True
            self._changed.notify()
        if self._thread is not None:
            self._thread.join(timeout)

    def _work(self) -> None:
        while (shot := self._next()) is not None:
            try:
                self._eye = self._eye or self._open_eye()
                self._deliver(shot, self._eye.render(shot.position))
                self.trouble, self._retry = "", RETRY_FIRST
            except Exception as error:  # a driver may fail in any way; physics must not notice
                self._back_off(str(error) or type(error).__name__)
        self._drop_eye()

    def _next(self) -> Shot | None:
        with self._changed:
            self._changed.wait_for(lambda: self._shot is not None or self._closing)
            shot, self._shot = self._shot, None
            return None if self._closing else shot

    def _back_off(self, trouble: str) -> None:
        self._drop_eye()
        self._retry_at = monotonic() + self._retry
        self._retry = min(2 * self._retry, RETRY_LAST)
        self.trouble = trouble

    def _drop_eye(self) -> None:
        eye, self._eye = self._eye, None
        if eye is not None:
            try:
                eye.close()
            except Exception as error:  # it is being dropped because it misbehaves
                self.trouble = self.trouble or str(error)
