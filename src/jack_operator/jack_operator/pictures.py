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
