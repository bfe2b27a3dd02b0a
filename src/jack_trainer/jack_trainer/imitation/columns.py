"""The messages of a topic as columns: what a training reads of a bag, without a look at each message.

`Bag.read` makes an object of every message, which is right for a few. Here those that are laid out alike become one
matrix of bytes, and a field a view of it.
"""

from __future__ import annotations

from array import array
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from jack_trainer.imitation.bag import Bag
from jack_trainer.imitation.decoding import UndecodableError, decode, definitions_of
from jack_trainer.imitation.layout import Layout, LayoutError
from jack_trainer.imitation.storage import Channel, read_batches

Numbers = NDArray[Any]
#: A topic whose messages are laid out in more ways than this has texts that change: they are looked at one by one.
_ALIKE = 16
#: No time is as late [ns]; a spoilt one may say anything.
LAST = int(np.iinfo(np.int64).max)


@dataclass(frozen=True)
class Block:
    """Messages of one topic that are laid out alike: texts are the same in all of them."""

    channel: Channel
    #: their places among the messages of the bag, ascending, (N,)
    rows: NDArray[np.intp]
    #: when they were received [ns], (N,)
    times: NDArray[np.int64]
    layout: Layout
    #: (N, size)
    data: NDArray[np.uint8]

    def numbers(self, path: str) -> Numbers:
        """A field of all of them, by its path: (N,), or (N, entries) of an array; as in header.stamp.sec.

        Raises:
            KeyError: there is no such field.
        """
        where = self.layout.numbers[path]
        # A view of the numbers wants them side by side.
        values = np.ascontiguousarray(self.data[:, where.start : where.end]).view(where.dtype)
        return values[:, 0] if where.count is None else values

    def texts(self, path: str) -> tuple[str, ...]:
        """A text, or those of an array; a KeyError if there is no such field."""
        return self.layout.words[path]

    def message(self, index: int) -> Any:  # noqa: ANN401 - a message of whatever class
        """One of them as an object; an UndecodableError if it is none."""
        return decode(self.channel, self.data[index].tobytes())


class _Found:
    """Messages of one channel."""

    def __init__(self, channel: Channel) -> None:
        self.channel = channel
        self.rows, self.times = array("q"), array("q")
        self.data: list[bytes] = []


def read_columns(bag: Bag, names: Collection[str]) -> dict[str, list[Block]]:
    """The messages of some topics as blocks, by full name; what cannot be read is counted by the bag, and left out.

    Args:
        bag: the recording.
        names: of topics, in whatever namespace: joint_states stands for /joint_states and /a/joint_states.
    """
    endings = tuple(f"/{name}" for name in names)
    kept: dict[Channel, _Found] = {}
    # Which of them a message belongs to is asked of the very object that its file gave the channel: it is quicker.
    known: dict[int, tuple[Channel, _Found | None]] = {}
    number = 0
    for file in bag.files:
        for batch in read_batches(file, bag.complain):
            for channel, time, data in zip(*batch, strict=True):
                entry = known.get(id(channel))
                if entry is None:
                    bag.topics[channel.topic] = channel.type
                    wanted = channel.topic.endswith(endings)
                    entry = known[id(channel)] = (
                        channel,
                        kept.setdefault(channel, _Found(channel)) if wanted else None,
                    )
                found = entry[1]
                if found is not None:
                    found.rows.append(number)
                    found.times.append(time)
                    found.data.append(data)
                number += 1
    blocks: dict[str, list[Block]] = {}
    for channel, found in kept.items():
        blocks.setdefault(channel.topic, []).extend(_blocks(bag, found))
    return blocks


def _blocks(bag: Bag, found: _Found) -> Iterator[Block]:
    """In the order of their first messages."""
    channel, data, types = found.channel, found.data, definitions_of(found.channel)
    rows, times = np.array(found.rows), np.clip(np.array(found.times), 0, LAST - 1)
    sizes = np.fromiter(map(len, data), np.intp, len(data))
    left, count = np.arange(len(data)), 0
    while left.size:
        try:
            layout = Layout.of(data[left[0]], channel.type, types)
        except LayoutError as error:
            words = f"A message on {channel.topic[:80]} cannot be read: {error}."
            bag.reject(UndecodableError(words), channel.topic)
            left = left[1:]
            continue
        count += 1
        like = left[sizes[left] == layout.size] if count <= _ALIKE else left[:1]
        matrix = _matrix(data if len(like) == len(data) else [data[index] for index in like.tolist()])
        alike = layout.alike(matrix)
        if not alike.all():
            like, matrix = like[alike], matrix[alike]
        yield Block(channel, rows[like], times[like], layout, matrix)
        left = left[np.isin(left, like, assume_unique=True, invert=True)] if count <= _ALIKE else left[1:]


def _matrix(datas: Sequence[bytes]) -> NDArray[np.uint8]:
    """Messages of one size as rows."""
    return np.frombuffer(b"".join(datas), dtype=np.uint8).reshape(len(datas), -1)
