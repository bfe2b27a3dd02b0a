"""The pictures of a bag as a policy sees them: decoded once, into a file that is mapped into memory.

Decoding a JPEG takes a hundred times as long as reading the pixels that it becomes, and a training looks at each
picture many times. So the first look at a bag makes a file of its pictures, as large as the contract wants them,
named after the bag's hash: another bag, or the same one changed, has another. The files can be removed at any time.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from jack_brain.pictures import Picture
from jack_contract.contract import CameraSpec
from jack_contract.errors import JackError, MessageError
from jack_trainer.files import sync
from jack_trainer.imitation.bag import Bag, BagError
from jack_trainer.imitation.columns import LAST
from jack_trainer.imitation.decoding import UndecodableError, decode
from jack_trainer.imitation.frames import Times, newest

#: The topic of pictures, and what they are.
TOPIC, TYPE = "camera/image_raw/compressed", "sensor_msgs/msg/CompressedImage"
#: A picture has at most so many pixels on a side; a few bytes may claim 65,535.
MAX_SIDE = 4096
#: A decoder can leave out detail while it decodes: to this part of each side.
_REDUCED = {8: cv2.IMREAD_REDUCED_COLOR_8, 4: cv2.IMREAD_REDUCED_COLOR_4, 2: cv2.IMREAD_REDUCED_COLOR_2}
#: So many are read before they are decoded side by side.
_BATCH = 64
_VERSION = 2

Pixels = NDArray[np.uint8]


@dataclass(frozen=True)
class Jpeg:
    """A picture as it was sent."""

    #: when it was received [ns]
    time: int
    #: stamp of its header [ns]
    stamp: int
    data: bytes


@dataclass(frozen=True)
class Pictures:
    """N pictures in the order in which they were received."""

    #: when each was received [ns], (N,)
    times: Times
    #: RGB, (N, 3, height, width), mapped from a file
    pixels: Pixels

    def rows(self, moments: Times) -> NDArray[np.intp]:
        """Which picture was the newest at each moment [ns]; -1 where there was none yet."""
        return newest(self.times, moments)

    def batch(self, rows: NDArray[np.intp]) -> Pixels:
        """Some of them, (B, 3, height, width): what the brain takes as it is."""
        return self.pixels[rows]


def pictures_of(bag: Bag, camera: CameraSpec, folder: Path, threads: int = 0) -> Pictures:
    """The pictures of a bag, from the file in a folder if it is there; otherwise it is made.

    Args:
        bag: the recording.
        camera: how large they are to be.
        folder: of the files.
        threads: that decode; 0: one for each core.

    Raises:
        JackError: the bag has none, or there is no room for the file.
    """
    path = folder / f"{bag.sha256}-{camera.width}x{camera.height}-{_VERSION}.npy"
    if not path.exists():
        _make(path, bag, camera, threads or len(os.sched_getaffinity(0)))
    try:
        rows: Any = np.load(path, mmap_mode="r", allow_pickle=False)
        if rows.dtype != _row(camera) or rows.ndim != 1:
            raise ValueError(f"rows of {rows.dtype}")
    except (OSError, ValueError, EOFError) as error:
        raise JackError(f"{path} cannot be read ({error}). Remove it: it is made again.") from error
    count = int(np.searchsorted(rows["time"], LAST))
    return Pictures(np.array(rows["time"][:count]), rows["pixels"][:count])


def read_jpegs(bag: Bag) -> Iterator[Jpeg]:
    """The compressed pictures of a bag; what cannot be read is counted by it, and left out."""
    for raw in bag.read_raw():
        if not raw.channel.topic.endswith(f"/{TOPIC}"):
            continue
        try:
            message = decode(raw.channel, raw.data)
            stamp = message.header.stamp
            yield Jpeg(min(max(raw.time, 0), LAST - 1), stamp.sec * 10**9 + stamp.nanosec, message.data.tobytes())
        except (UndecodableError, AttributeError) as error:
            words = f"A picture on {raw.channel.topic[:80]} cannot be read: {error}"
            bag.reject(UndecodableError(words), raw.channel.topic)


def jpeg_size(data: bytes) -> tuple[int, int] | None:
    """Width and height that the header of a JPEG tells; None if it is none."""
    if data[:2] != b"\xff\xd8":
        return None
    at = 2
    while at + 9 <= len(data) and data[at] == 0xFF:
        marker, length = data[at + 1], int.from_bytes(data[at + 2 : at + 4], "big")
        if marker in _FRAMES:
            return int.from_bytes(data[at + 7 : at + 9], "big"), int.from_bytes(data[at + 5 : at + 7], "big")
        at += 2 + length
    return None


#: Markers of a JPEG behind which its size stands: all ways of coding but not tables (ITU T.81, table B.1).
_FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}


def seen(data: bytes, camera: CameraSpec) -> Pixels | None:
    """A JPEG as a policy sees it, RGB (3, height, width); None if it is none, or one that no policy looks at."""
    size = jpeg_size(data)
    if size is None or not all(1 <= side <= MAX_SIDE for side in size):
        return None
    least = min(size[0] / camera.width, size[1] / camera.height)
    how = next((flag for part, flag in _REDUCED.items() if part <= least), cv2.IMREAD_COLOR)
    picture = cv2.imdecode(np.frombuffer(data, np.uint8), how)
    if picture is None:
        return None
    try:
        own = Picture(0.0, np.asarray(picture, np.uint8), "bgr8").seen(camera)
    except MessageError:
        return None
    return np.ascontiguousarray(own.transpose(2, 0, 1))


def _row(camera: CameraSpec) -> np.dtype[np.void]:
    return np.dtype([("time", "<i8"), ("pixels", "u1", (3, camera.height, camera.width))])


def _make(path: Path, bag: Bag, camera: CameraSpec, threads: int) -> None:
    """Write the file aside, and rename it."""
    count = sum(raw.channel.topic.endswith(f"/{TOPIC}") for raw in bag.read_raw())
    if not count:
        there = ", ".join(sorted(bag.topics)) or "nothing"
        raise BagError(f"{bag.path} has no pictures: nothing of {TOPIC} is in it; what is: {there}.")
    aside = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        rows = np.lib.format.open_memmap(aside, mode="w+", dtype=_row(camera), shape=(count,))
        _reserve(aside)
        _fill(rows, bag, camera, threads)
        rows.flush()  # type: ignore[attr-defined] - it is mapped
        aside.replace(path)
        sync(path.parent)
    except OSError as error:
        raise JackError(
            f"{path} cannot be written ({error.strerror}). Make room, or choose another folder."
        ) from error
    finally:
        aside.unlink(missing_ok=True)


def _reserve(path: Path) -> None:
    """Have the disk say now whether there is room: a mapped file without any would end this process later."""
    with path.open("r+b") as file:
        os.posix_fallocate(file.fileno(), 0, path.stat().st_size)


def _fill(rows: NDArray[Any], bag: Bag, camera: CameraSpec, threads: int) -> None:
    """Decode, in as many threads: OpenCV lets others run meanwhile."""
    done = 0
    with ThreadPoolExecutor(threads) as pool:
        for jpegs in _batches(read_jpegs(bag)):
            for jpeg, picture in zip(jpegs, pool.map(lambda jpeg: seen(jpeg.data, camera), jpegs), strict=True):
                if picture is None:
                    bag.reject(UndecodableError("A picture is no JPEG, or none that a policy looks at."), TOPIC)
                    continue
                rows[done] = jpeg.time, picture
                done += 1
    rows["time"][done:] = LAST  # what could not be decoded leaves rows without a picture behind


def _batches(jpegs: Iterable[Jpeg]) -> Iterator[Sequence[Jpeg]]:
    left = iter(jpegs)
    while batch := list(islice(left, _BATCH)):
        yield batch
