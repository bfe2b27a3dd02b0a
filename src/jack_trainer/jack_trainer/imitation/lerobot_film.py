"""The film of a LeRobot data set: a picture a frame, written and read with `av`."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from jack_contract.errors import JackError
from jack_trainer.imitation.lerobot import library

#: AV1, as LeRobot writes it: every other picture is whole, so that any of them is found quickly. A smaller number
#: for quality (crf) is better; 30 is theirs, 18 is hardly to be told from the original.
CODEC, OPTIONS = "libsvtav1", {"g": "2", "crf": "18", "preset": "8", "svtav1-params": "lp=1"}
_FORMAT = "yuv420p"
#: A film has at most so many pixels on a side.
MAX_SIDE = 4096

Picture = NDArray[np.uint8]


def write_film(path: Path, pictures: Iterable[Picture], rate: int) -> dict[str, Any]:
    """Write pictures, RGB (height, width, 3), at so many a second; returns what LeRobot's `info` says of a film.

    Raises:
        JackError: pictures of several sizes, or of odd ones.
        OSError: the disk does not take it.
    """
    av = library("av")
    os.environ.setdefault("SVT_LOG", "1")  # the encoder tells its life otherwise
    size: tuple[int, int] | None = None
    with av.open(str(path), "w") as film:
        stream: Any = None
        for number, picture in enumerate(pictures):
            height, width = picture.shape[:2]
            if stream is None:
                size = height, width
                stream = _stream(film, height, width, rate)
            if (height, width) != size:
                raise JackError(f"A picture has {width}x{height} pixels, one before it {size}: export them apart.")
            frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(picture), format="rgb24")
            frame.pts, frame.time_base = number, Fraction(1, rate)
            film.mux(stream.encode(frame))
        if stream is None or size is None:
            raise JackError("There are no pictures to be filmed.")
        film.mux(stream.encode(None))
    return {
        "video.height": size[0],
        "video.width": size[1],
        "video.codec": "av1",
        "video.pix_fmt": _FORMAT,
        "video.is_depth_map": False,
        "video.fps": rate,
        "video.channels": 3,
        "has_audio": False,
    }


def _stream(film: Any, height: int, width: int, rate: int) -> Any:  # noqa: ANN401
    if height % 2 or width % 2:
        raise JackError(f"Pictures have {width}x{height} pixels; a film wants even numbers. Add --no-pictures.")
    stream = film.add_stream(CODEC, rate=rate, options=OPTIONS)
    stream.width, stream.height, stream.pix_fmt = width, height, _FORMAT
    stream.time_base = Fraction(1, rate)
    return stream


def read_film(path: Path, begin: float, end: float) -> Iterator[Picture]:
    """The pictures of a film from one time to before another [s], RGB (height, width, 3).

    Raises:
        JackError: it is none, or larger than one of a robot.
    """
    av = library("av")
    try:
        with av.open(str(path)) as film:
            stream = film.streams.video[0]
            if max(stream.width, stream.height) > MAX_SIDE:
                raise JackError(f"{path} has {stream.width}x{stream.height} pixels; at most {MAX_SIDE} a side.")
            half = 0.5 / float(stream.average_rate or 1)
            film.seek(int(max(0.0, begin - half) / stream.time_base), stream=stream)
            for frame in film.decode(stream):
                if frame.time is None or frame.time < begin - half:
                    continue
                if frame.time >= end - half:
                    return
                yield frame.to_ndarray(format="rgb24")
    except (av.FFmpegError, IndexError, ValueError, OverflowError) as error:
        raise JackError(f"{path} is no film that can be read: {error}.") from error
