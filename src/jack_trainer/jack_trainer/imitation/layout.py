"""Where in the bytes of a serialized message each of its fields lies.

Messages of one sender mostly have the same names and as many numbers: then they are laid out alike, and thousands
are read at once as columns of a matrix of bytes, without a look at each. Alignment is that of CDR (OMG, Common Data
Representation, version 1, as DDS uses it): a number begins at a multiple of its size, counted after four bytes.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from rosbags.interfaces import Nodetype
from rosbags.interfaces.typing import FieldDesc, Typesdict

#: The first bytes of a serialized message: in which order those of a number are written.
_ORDERS = {b"\0\0": ">", b"\0\1": "<"}
_HEAD = 4
#: What may lie behind the last field, to fill up to a multiple of four [bytes].
_FILLING = 3
_NUMBERS = {f"{sign}int{8 * size}": f"{sign or 'i'}{size}" for sign in ("", "u") for size in (1, 2, 4, 8)}
_NUMBERS |= {"byte": "u1", "char": "u1", "bool": "u1", "float32": "f4", "float64": "f8"}
#: What is closer together is looked at in one piece [bytes].
_NEAR = 16
#: Messages within messages: no deeper.
_DEPTH = 20


class LayoutError(ValueError):
    """Bytes that are not the message that they should be."""


@dataclass(frozen=True)
class Numbers:
    """Where the numbers of a field are."""

    #: of the first [bytes]
    start: int
    #: how many; None: it is one number and no array
    count: int | None
    dtype: np.dtype[np.generic]

    @property
    def end(self) -> int:
        """Behind the last [bytes]."""
        return self.start + (1 if self.count is None else self.count) * self.dtype.itemsize


@dataclass(frozen=True)
class Layout:
    """Where everything is in a message, and in every other that is laid out alike."""

    #: of the message [bytes]
    size: int
    #: by the path of a field, as header.stamp.sec, or transforms.0.header.stamp.sec in an array of messages
    numbers: dict[str, Numbers]
    #: text of fields, and of each entry of arrays, by path
    words: dict[str, tuple[str, ...]]
    #: 255 where texts and lengths of arrays are, in which messages that are laid out alike do not differ, (size,)
    mask: NDArray[np.uint8]
    #: from where to where, in few pieces, there is anything in the mask
    spans: tuple[tuple[int, int], ...]

    @classmethod
    def of(cls, data: bytes, kind: str, types: Typesdict) -> Layout:
        """The layout of a message of a type.

        Raises:
            LayoutError: it is none of that type.
        """
        walk = _Walk(data, types)
        walk.message(kind, "", 0)
        if len(data) - walk.at > _FILLING:
            raise LayoutError(f"{len(data) - walk.at} bytes too many")
        mask, spans = np.zeros(len(data), np.uint8), [(0, _HEAD)]
        for start, end in ((0, _HEAD), *walk.fixed):
            mask[start:end] = 255
            begin, last = spans[-1]
            near = start - last <= _NEAR
            spans[-1:] = [(begin, end)] if near else [(begin, last), (start, end)]
        return cls(len(data), walk.numbers, walk.words, mask, tuple(spans))

    def alike(self, data: NDArray[np.uint8]) -> NDArray[np.bool_]:
        """Which messages of this size, (N, size), are laid out as the first one is, (N,)."""
        odd = np.zeros(len(data), np.bool_)
        for start, end in self.spans:
            part = data[:, start:end]
            odd |= np.any((part ^ part[0]) & self.mask[start:end], axis=1)
        return ~odd


class _Walk:
    """Goes through a message from field to field."""

    def __init__(self, data: bytes, types: Typesdict) -> None:
        self._data, self._types, self.at = data, types, _HEAD
        order = _ORDERS.get(data[:2])
        if order is None or len(data) < _HEAD:
            raise LayoutError("no message in CDR")
        self._order = order
        self.numbers: dict[str, Numbers] = {}
        self.words: dict[str, tuple[str, ...]] = {}
        self.fixed: list[tuple[int, int]] = []

    def message(self, kind: str, path: str, depth: int) -> None:
        if kind not in self._types or depth > _DEPTH:
            raise LayoutError(f"an unknown type {kind[:80]}, or messages within messages without end")
        for name, field in self._types[kind][1]:
            self._field(field, f"{path}.{name}" if path else name, depth)

    def _field(self, field: FieldDesc, path: str, depth: int) -> None:
        if field[0] == Nodetype.NAME:
            self.message(field[1], path, depth + 1)
        elif field[0] == Nodetype.SEQUENCE:
            self._many(field[1][0], self._length(), path, depth)
        elif field[0] == Nodetype.ARRAY:
            self._many(*field[1], path, depth)
        elif field[0] == Nodetype.BASE and field[1][0] == "string":
            self.words[path] = (self._text(),)
        elif field[0] == Nodetype.BASE:
            self._numbers(str(field[1][0]), None, path)

    def _many(self, inner: FieldDesc, count: int, path: str, depth: int) -> None:
        if inner[0] == Nodetype.NAME:
            for index in range(count):
                self.message(inner[1], f"{path}.{index}", depth + 1)
        elif inner[0] == Nodetype.BASE and inner[1][0] == "string":
            self.words[path] = tuple(self._text() for _ in range(count))
        elif inner[0] == Nodetype.BASE:
            self._numbers(inner[1][0], count, path)

    def _numbers(self, kind: str, count: int | None, path: str) -> None:
        if kind not in _NUMBERS:
            raise LayoutError(f"numbers of the unknown kind {kind[:80]}")
        dtype = np.dtype(self._order + _NUMBERS[kind])
        if count != 0:  # nothing is aligned to nothing
            self._align(dtype.itemsize)
        numbers = Numbers(self.at, count, dtype)
        self._go(numbers.end - numbers.start)
        self.numbers[path] = numbers

    def _text(self) -> str:
        length = self._length()
        start = self.at
        self._go(length)
        self.fixed.append((start, self.at))
        try:
            return self._data[start : max(start, self.at - 1)].decode()
        except UnicodeDecodeError as error:
            raise LayoutError("a text that is none") from error

    def _length(self) -> int:
        """Of a text or an array; neither has more entries than there are bytes left."""
        self._align(4)
        start = self.at
        self._go(4)
        self.fixed.append((start, self.at))
        (length,) = struct.unpack_from(f"{self._order}I", self._data, start)
        if length > len(self._data) - self.at:
            raise LayoutError(f"{length} entries in {len(self._data) - self.at} bytes")
        return length

    def _align(self, size: int) -> None:
        self.at += -(self.at - _HEAD) % size

    def _go(self, size: int) -> None:
        self.at += size
        if self.at > len(self._data):
            raise LayoutError(f"it ends after {len(self._data)} bytes")
