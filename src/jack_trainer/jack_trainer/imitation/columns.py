"""The messages of a topic as columns: what a training reads of a bag, without a look at each message.

`Bag.read` makes an object of every message, which is right for a few. Here those that are laid out alike become one
matrix of bytes, and a field a view of it.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from jack_trainer.imitation.bag import Bag
from jack_trainer.imitation.decoding import UndecodableError, decode, definitions_of
from jack_trainer.imitation.layout import Layout, LayoutError
from jack_trainer.imitation.storage import Channel, Raw

Numbers = NDArray[Any]
#: A topic whose messages are laid out in more ways than this has texts that change: they are looked at one by one.
_ALIKE = 16
#: No time is as late [ns]; a spoilt one may say anything.
LAST = int(np.iinfo(np.int64).max)


@dataclass(frozen=True)
class Block:
    """Messages of one topic that are laid out alike: texts are the same in all of them."""

    channel: Channel
    #: their places among the messages of the topic, ascending, (N,)
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


def read_columns(bag: Bag, names: Collection[str]) -> dict[str, list[Block]]:
    """The messages of some topics as blocks, by full name; what cannot be read is counted by the bag, and left out.

    Args:
        bag: the recording.
        names: of topics, in whatever namespace: joint_states stands for /joint_states and /a/joint_states.
    """
    endings = tuple(f"/{name}" for name in names)
    found: dict[str, list[Raw] | None] = {}
    for raw in bag.read_raw():
        topic = raw.channel.topic
        if topic not in found:
            found[topic] = [] if topic.endswith(endings) else None
        if (raws := found[topic]) is not None:
            raws.append(raw)
    return {topic: list(_blocks(bag, raws)) for topic, raws in found.items() if raws is not None}


def _blocks(bag: Bag, raws: Sequence[Raw]) -> Iterator[Block]:
    """In the order of their first messages; each sender of a topic may define its type in its own way."""
    by_channel: dict[Channel, list[int]] = defaultdict(list)
    for index, raw in enumerate(raws):
        by_channel[raw.channel].append(index)
    for channel, rows in by_channel.items():
        yield from _of_channel(bag, channel, raws, np.array(rows, dtype=np.intp))


def _of_channel(bag: Bag, channel: Channel, raws: Sequence[Raw], left: NDArray[np.intp]) -> Iterator[Block]:
    types = definitions_of(channel)
    sizes = np.array([len(raws[row].data) for row in left])
    times = np.array([min(max(raws[row].time, 0), LAST - 1) for row in left], dtype=np.int64)
    found = 0
    while left.size:
        try:
            layout = Layout.of(raws[left[0]].data, channel.type, types)
        except LayoutError as error:
            bag.reject(
                UndecodableError(f"A message on {channel.topic[:80]} cannot be read: {error}."), channel.topic
            )
            left, sizes, times = left[1:], sizes[1:], times[1:]
            continue
        found += 1
        like = sizes == layout.size
        if found > _ALIKE:
            like[1:] = False
        data = _matrix([raws[row].data for row in left[like]])
        alike = (data[:, layout.fixed] == data[0, layout.fixed]).all(axis=1)
        if not alike.all():
            like[like] = alike
            data = data[alike]
        yield Block(channel, left[like], times[like], layout, data)
        left, sizes, times = left[~like], sizes[~like], times[~like]


def _matrix(datas: Sequence[bytes]) -> NDArray[np.uint8]:
    """Messages of one size as rows."""
    return np.frombuffer(b"".join(datas), dtype=np.uint8).reshape(len(datas), -1)
