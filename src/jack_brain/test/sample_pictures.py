"""Pictures as they come over the wire."""

import struct

import numpy as np


def image(
    pixels: np.ndarray, encoding: str = "rgb8", order: str = "<", step: int = 0, frame: str = "head"
) -> bytes:
    """A sensor_msgs/Image in CDR, written by the rules and not by the reader's code."""
    data = bytearray(b"\0\1\0\0" if order == "<" else b"\0\0\0\0")

    def put(kind: str, value: int) -> None:
        data.extend(b"\0" * (-(len(data) - 4) % struct.calcsize(kind)))
        data.extend(struct.pack(order + kind, value))

    def text(words: str) -> None:
        put("I", len(words) + 1)
        data.extend(words.encode() + b"\0")

    height, width = pixels.shape[:2]
    step = step or 3 * width
    put("i", 17), put("I", 250_000_000)
    text(frame)
    put("I", height), put("I", width)
    text(encoding)
    put("B", 0)
    put("I", step)
    rows = np.zeros((height, step), np.uint8)
    rows[:, : 3 * width] = pixels.reshape(height, -1)
    put("I", rows.size)
    data.extend(rows.tobytes())
    return bytes(data)


def noise(height: int, width: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8)
