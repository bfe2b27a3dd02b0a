"""A film of several Jacks side by side, each doing what was recorded: to see with one's eyes what figures say."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path

import cv2
import mujoco
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont
from scipy.ndimage import gaussian_filter1d

from jack_contract.arrays import Float64
from jack_contract.errors import JackError
from jack_sim.camera import Camera
from jack_sim.scene import SceneOptions, load_spec
from jack_trainer import film
from jack_trainer.files import replace_file

_SCENE = SceneOptions("flat", collision="full", visuals=True)
_EYE = "eye"
#: What the camera looks at, and where it is from there [m]: from his right, a little ahead.
_LOOK_AT, _FROM = (0.0, 0.0, 0.62), (0.9, -2.6, 0.25)
#: The camera goes along with him, without what is faster than this [s].
_CALM = 0.4
#: Drawn so much larger and scaled down: smooth edges.
_LARGER = 2
_MOST = 4


def write_side_by_side(path: Path, courses: Mapping[str, Float64], period: float, slower: float = 1.0) -> None:
    """Write a film of film.MEDIA_TYPE that is as long as the shortest course.

    Args:
        path: of the film.
        courses: generalised positions (T, nq), a row each `period`, by the words to stand above them.
        period: time from one row to the next [s].
        slower: how many times slower than it was.

    Raises:
        CameraError: nothing can be drawn on this machine.
        JackError: no course or too many, or the disk does not take it.
    """
    with tempfile.TemporaryDirectory() as folder:
        aside = Path(folder) / "film.webm"
        film.write_film(aside, pictures(courses, period, slower))
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            replace_file(path, aside.read_bytes())
        except OSError as error:
            raise JackError(f"{path} could not be written ({error.strerror}).") from error


def pictures(courses: Mapping[str, Float64], period: float, slower: float = 1.0) -> Iterator[NDArray[np.uint8]]:
    """The film's pictures, RGB, (film.HEIGHT, film.WIDTH, 3)."""
    if not 1 <= len(courses) <= _MOST:
        raise JackError(f"{len(courses)} courses were given to be filmed; allowed: 1 to {_MOST}.")
    widths = np.diff(np.linspace(0, film.WIDTH, len(courses) + 1).round().astype(int)).tolist()
    seconds = slower * period * (min(map(len, courses.values())) - 1)
    with ExitStack() as stack:
        panes = [
            stack.enter_context(_Pane(words, course, period, width))
            for (words, course), width in zip(courses.items(), widths, strict=True)
        ]
        for index in range(int(seconds * film.RATE) + 1):
            row = round(index / film.RATE / slower / period)
            yield np.concatenate([pane.shoot(row) for pane in panes], axis=1)


class _Pane:
    """One Jack and his camera."""

    def __init__(self, words: str, course: Float64, period: float, width: int) -> None:
        self._words, self._course, self._width = words, course, width
        self._eyes = gaussian_filter1d(course[:, :2], _CALM / period, axis=0, mode="nearest")
        self._camera = Camera(_scene(), _LARGER * width, _LARGER * film.HEIGHT, _EYE)
        self._font = ImageFont.load_default(15)

    def shoot(self, row: int) -> NDArray[np.uint8]:
        """RGB, (film.HEIGHT, width, 3)."""
        drawn = self._camera.render(np.concatenate((self._course[row], self._eyes[row])))
        small = cv2.resize(drawn, (self._width, film.HEIGHT), interpolation=cv2.INTER_AREA)
        image = Image.fromarray(small)
        ImageDraw.Draw(image).text((8, 6), self._words, "black", self._font)
        return np.asarray(image)

    def __enter__(self) -> _Pane:
        return self

    def __exit__(self, *_: object) -> None:
        self._camera.close()


def _scene() -> mujoco.MjModel:
    """Jack, and an eye that slides along with him."""
    spec = load_spec(_SCENE)
    for key in list(spec.keys):  # they know nothing of what is added
        spec.delete(key)
    eye = spec.worldbody.add_body(name=_EYE, pos=_LOOK_AT, mass=1.0, inertia=[1.0] * 3, explicitinertial=True)
    for axis in ([1, 0, 0], [0, 1, 0]):
        eye.add_joint(type=mujoco.mjtJoint.mjJNT_SLIDE, axis=axis)
    mode = mujoco.mjtCamLight.mjCAMLIGHT_TARGETBODY
    eye.add_camera(name=_EYE, pos=_FROM, mode=mode, targetbody=_EYE, fovy=32)
    return spec.compile()
