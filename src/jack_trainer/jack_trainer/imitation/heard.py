"""Messages on their way from the wire to the disk: waiting, remembered, counted."""

from __future__ import annotations

import math
import threading
from collections import deque
from dataclasses import dataclass
from typing import NamedTuple

from jack_contract.wire import NANOSECONDS
from jack_trainer.imitation.facts import TopicFacts
from jack_trainer.imitation.stamps import stamp_of

#: What a message costs besides its data, in memory and in the bag [bytes].
_OVERHEAD = 64
#: A message may be on its way for so long [ns].
_SILENCE = NANOSECONDS // 2


class Heard(NamedTuple):
    """A message as it came in."""

    #: index of its subject
    topic: int
    data: bytes
    #: when [ns, monotonic]
    at: int
    #: when it was sent, by the sender's clock [ns since 1970]; 0: not said
    published: int = 0
    #: by which its sender counts
    number: int = 0

    @property
    def size(self) -> int:
        """What it costs [bytes]."""
        return len(self.data) + _OVERHEAD


class Queue:
    """Messages on their way from those who hear to the one who writes."""

    def __init__(self, limit: int) -> None:
        """Let at most `limit` bytes wait."""
        self._limit, self._bytes, self._closed = limit, 0, False
        self._items: deque[Heard] = deque()
        self._change = threading.Condition()

    def put(self, heard: Heard) -> bool:
        """Add a message without waiting; whether there was room."""
        with self._change:
            if self._closed or self._bytes + heard.size > self._limit:
                return False
            self._items.append(heard)
            self._bytes += heard.size
            self._change.notify()
            return True

    def get(self, patience: float, most: float = math.inf) -> deque[Heard]:
        """What waits, up to about `most` bytes; nothing if none comes within `patience` [s], or none ever will."""
        taken, size = deque[Heard](), 0
        with self._change:
            if not self._items and not self._closed:
                self._change.wait(patience)
            while self._items and size < most:
                taken.append(self._items.popleft())
                size += taken[-1].size
            self._bytes -= size
        return taken

    def close(self) -> None:
        """Let nothing more in."""
        with self._change:
            self._closed = True
            self._change.notify()

    @property
    def over(self) -> bool:
        """Whether nothing waits, and nothing will."""
        with self._change:
            return self._closed and not self._items


class LookBack:
    """The last messages, within a time and a size."""

    def __init__(self, seconds: float, limit: int) -> None:
        """Keep what is no older than `seconds`, and at most `limit` bytes."""
        self._span, self._limit, self._bytes = round(seconds * NANOSECONDS), limit, 0
        self._items: deque[Heard] = deque()

    def keep(self, heard: Heard) -> None:
        """One more; what is too old or too much is forgotten."""
        self._items.append(heard)
        self._bytes += heard.size
        while self._items and (self._bytes > self._limit or self._items[0].at < heard.at - self._span):
            self._bytes -= self._items.popleft().size

    def since(self, at: int) -> list[Heard]:
        """What was heard from a moment on [ns, monotonic]."""
        return [heard for heard in self._items if heard.at >= at]


@dataclass
class Tally:
    """Counts of one topic, and how steadily its messages came."""

    stamped: bool
    received: int = 0
    dropped: int = 0
    #: the last stamp, the longest time to the next [ns], and how often it ran back
    last: int | None = None
    longest: int = 0
    backwards: int = 0
    #: when the last one came [ns, monotonic]
    at: int | None = None

    def accept(self, heard: Heard) -> None:
        """Look at the stamp of a message that will be in the bag."""
        own = stamp_of(heard.data) if self.stamped else None
        stamp = heard.at if own is None else own
        if self.last is not None:
            self.longest = max(self.longest, stamp - self.last)
            self.backwards += stamp < self.last
        self.last, self.at = stamp, heard.at

    def end(self, at: int) -> None:
        """The episode ends [ns, monotonic]: if nothing came for long, nothing was sent any more."""
        if self.at is not None and at - self.at > _SILENCE:
            self.longest = max(self.longest, at - self.at)

    def facts(self, kind: str, period: float) -> TopicFacts:
        """All of it."""
        return TopicFacts(
            type=kind,
            recorded=self.received - self.dropped,
            dropped=self.dropped,
            period=period,
            longest=self.longest / NANOSECONDS,
            backwards=self.backwards,
        )
