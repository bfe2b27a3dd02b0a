"""Pictures and sentences from their wire form (CDR, as DDS sends it), bounded before they are believed. No ROS.

A picture may have any size from that of the policy on: its middle, in the shape that the policy sees, is averaged
down. So a camera with the vertical field of view that he was taught with serves at whatever resolution.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from jack_contract.arrays import Float32
from jack_contract.contract import CameraSpec
from jack_contract.errors import MessageError
from jack_contract.wire import NANOSECONDS

#: Encodings that are read, and the places of red, green and blue.
ENCODINGS = {"rgb8": (0, 1, 2), "bgr8": (2, 1, 0)}
#: No picture has a longer side [pixel].
MAX_SIDE = 4096
#: The names of a frame and of an encoding are no longer [bytes]; a sentence may be, for its reader cuts it.
_MAX_NAME, _MAX_SENTENCE = 256, 1_000_000
#: A picture whose brightness differs by no more than this from end to end shows nothing: black, white, covered.
_FLAT = 6
_HEAD = 4
#: Byte orders by the second byte of the encapsulation.
_ENDIAN = {0: ">", 1: "<"}


@dataclass(frozen=True)
class Picture:
    """A sensor_msgs/Image."""

    #: [s]
    stamp: float
    #: (height, width, 3), in the order of `encoding`; shares the message's memory
    pixels: NDArray[np.uint8]
    encoding: str

    def seen(self, camera: CameraSpec) -> NDArray[np.uint8]:
        """As a policy sees it, RGB, (camera.height, camera.width, 3).

        Raises:
            MessageError: it is too small, or shows nothing.
        """
        height, width = self.pixels.shape[:2]
        if height < camera.height or width < camera.width:
            raise MessageError(
                f"A picture of {width} x {height} pixels is too small; at least: {camera.width} x {camera.height}."
            )
        order = list(ENCODINGS[self.encoding])
        same = (height, width) == (camera.height, camera.width)
        seen = self.pixels[..., order] if same else _smaller(self.pixels, camera)[..., order]
        if int(seen.max()) - int(seen.min()) <= _FLAT:
            raise MessageError("The picture shows nothing: it is of one brightness from end to end.")
        return seen


def _smaller(pixels: NDArray[np.uint8], camera: CameraSpec) -> NDArray[np.uint8]:
    """The middle of a picture, averaged down."""
    height, width = pixels.shape[:2]
    part = min(height / camera.height, width / camera.width)  # pixels of it for each of the policy's
    rows, columns = _average(height, camera.height, part), _average(width, camera.width, part)
    planes = [rows @ pixels[..., colour].astype(np.float32) @ columns.T for colour in range(3)]
    return np.rint(np.stack(planes, axis=-1)).astype(np.uint8)


@lru_cache(maxsize=8)
def _average(given: int, wanted: int, part: float) -> Float32:
    """Weights (wanted, given) that average the middle of `given` pixels down to `wanted`, of `part` pixels each."""
    start = (given - wanted * part) / 2 + part * np.arange(wanted)[:, None]
    pixel = np.arange(given)[None]
    covered = np.minimum(start + part, pixel + 1) - np.maximum(start, pixel)
    return (covered.clip(0.0) / part).astype(np.float32)


def read_picture(data: bytes) -> Picture:
    """The picture of a serialised sensor_msgs/Image.

    Raises:
        MessageError: none, or none that can be read; says why.
    """
    reader = _Reader(data)
    sec, nanosec = reader.number("i"), reader.number("I")
    reader.name()  # of the frame: there is one camera
    height, width, encoding = reader.number("I"), reader.number("I"), reader.name()
    reader.number("B")
    step = reader.number("I")
    if encoding not in ENCODINGS:
        raise MessageError(f"A picture of encoding '{encoding[:20]}' is not read; allowed: {', '.join(ENCODINGS)}.")
    if not (0 < height <= MAX_SIDE and 0 < width <= MAX_SIDE and 3 * width <= step <= 8 * MAX_SIDE):
        raise MessageError(f"A picture of {width} x {height} pixels with {step} bytes a row is none.")
    rows = reader.bytes(height * step).reshape(height, step)
    return Picture(sec + nanosec / NANOSECONDS, rows[:, : 3 * width].reshape(height, width, 3), encoding)


def read_sentence(data: bytes) -> bytes:
    """The text of a serialised std_msgs/String as it was sent: whether it is UTF-8 is for its reader to say.

    Raises:
        MessageError: it is none, or longer than a megabyte.
    """
    return _Reader(data).string(_MAX_SENTENCE)


class _Reader:
    """Reads the fields of a message in CDR, one after the other."""

    def __init__(self, data: bytes) -> None:
        if len(data) < _HEAD or data[0] != 0 or data[1] not in _ENDIAN:
            raise MessageError(f"{len(data)} bytes are no message in CDR.")
        self._data, self._order, self._at = data, _ENDIAN[data[1]], _HEAD

    def number(self, kind: str) -> int:
        """A whole number of a kind of struct's; it lies at a multiple of its size."""
        size = struct.calcsize(kind)
        self._at += -(self._at - _HEAD) % size
        self._require(size)
        (value,) = struct.unpack_from(self._order + kind, self._data, self._at)
        self._at += size
        return value

    def string(self, most: int) -> bytes:
        """A string of so many bytes at most, without the zero at its end."""
        size = self.number("I")
        if size > most + 1:
            raise MessageError(f"A text of {size - 1} bytes is too long; allowed: {most}.")
        self._require(size)
        raw = self._data[self._at : self._at + size]
        self._at += size
        return raw.removesuffix(b"\0")

    def name(self) -> str:
        """A short string."""
        return self.string(_MAX_NAME).decode(errors="replace")

    def bytes(self, count: int) -> NDArray[np.uint8]:
        """An array of bytes, which must be so many."""
        size = self.number("I")
        if size != count:
            raise MessageError(f"A picture has {size} bytes of pixels; its size calls for {count}.")
        self._require(size)
        return np.frombuffer(self._data, np.uint8, count, self._at)

    def _require(self, size: int) -> None:
        if self._at + size > len(self._data):
            raise MessageError(f"A message ends after {len(self._data)} bytes, in the middle of a field.")
