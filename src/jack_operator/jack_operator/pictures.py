"""Camera pictures as they come in messages: bounded before they are unpacked."""

from __future__ import annotations

import io
import warnings

import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from jack_contract.errors import MessageError

#: Most patches of a map of attention, an edge [1].
MAX_PATCHES = 256
#: The colour of where a sentence points, and how much of a picture it covers there [1].
_ATTENTION, _COVER = np.array([255.0, 60.0, 0.0]), 0.6
#: The largest picture that is unpacked: packed [bytes], width and height [pixel].
MAX_BYTES, MAX_EDGE = 4_000_000, 2048


def unpack(data: bytes) -> NDArray[np.uint8]:
    """A JPEG or PNG picture as (height, width, 3), red, green, blue.

    Raises:
        MessageError: it is none, or too large.
    """
    if len(data) > MAX_BYTES:
        raise MessageError(f"A camera picture has {len(data):,} bytes; allowed: {MAX_BYTES:,}.")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)  # sizes are looked at below
            image = Image.open(io.BytesIO(data), formats=("JPEG", "PNG"))
        with image:
            if max(image.size) > MAX_EDGE:
                raise MessageError(f"A camera picture has {image.size} pixels; allowed: {MAX_EDGE} an edge.")
            return np.asarray(image.convert("RGB"))
    except (Image.DecompressionBombError, UnidentifiedImageError, OSError, ValueError, SyntaxError) as error:
        raise MessageError(f"A camera picture is no JPEG or PNG: {error}.") from error


def attention(data: bytes, height: int, width: int) -> NDArray[np.uint8]:
    """Where a sentence points, as (height, width), from the bytes of a grey picture.

    Raises:
        MessageError: it is none.
    """
    if not (0 < height <= MAX_PATCHES and 0 < width <= MAX_PATCHES and len(data) == height * width):
        raise MessageError(f"A map of attention has {len(data):,} bytes, and says {width} x {height}.")
    return np.frombuffer(data, np.uint8).reshape(height, width)


def pointed(image: NDArray[np.uint8], weights: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """A picture with where a sentence points made red.

    Args:
        image: (height, width, 3).
        weights: of patches of its middle, in the shape of which a policy sees it, (rows, columns).
    """
    height, width = image.shape[:2]
    patch = min(height / weights.shape[0], width / weights.shape[1])  # of so many pixels an edge
    size = [max(1, round(patch * count)) for count in weights.shape]
    large = Image.fromarray(weights).resize((size[1], size[0]), Image.Resampling.BILINEAR)
    top, left = (height - size[0]) // 2, (width - size[1]) // 2
    share = np.zeros((height, width, 1))
    share[top : top + size[0], left : left + size[1], 0] = np.asarray(large) / 255.0 * _COVER
    return np.rint(image + share * (_ATTENTION - image)).astype(np.uint8)
