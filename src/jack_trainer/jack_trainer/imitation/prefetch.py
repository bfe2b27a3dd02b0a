"""Batches that are ready before they are asked for, and how long somebody had to wait all the same."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Generic, TypeVar

T = TypeVar("T")

#: Batches that lie ready, or are being made, for each thread that makes some.
_DEPTH = 4


class Prefetch(Generic[T]):
    """Makes batch after batch beside whoever takes them; each is a function of its number, so any can be the next.

    Attributes:
        waited: time that `take` had to wait so far [s].
    """

    def __init__(self, make: Callable[[int], T], first: int = 0, threads: int = 1) -> None:
        """Begin with batch number `first`; so many `threads` make some, each a batch at a time."""
        self._make, self._next, self.waited = make, first, 0.0
        self._pool = ThreadPoolExecutor(threads, "prefetch")
        self._ordered: deque[Future[T]] = deque()
        for _ in range(_DEPTH * threads):
            self._order()

    def take(self) -> T:
        """The next batch; what went wrong while it was made is raised here."""
        begun = time.perf_counter()
        batch = self._ordered.popleft().result()
        self.waited += time.perf_counter() - begun
        self._order()
        return batch

    def close(self) -> None:
        """Make no more."""
        self._pool.shutdown(cancel_futures=True)

    def _order(self) -> None:
        self._ordered.append(self._pool.submit(self._make, self._next))
        self._next += 1
