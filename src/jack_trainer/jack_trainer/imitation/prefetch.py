"""Batches that are ready before they are asked for, and how long somebody had to wait all the same."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from queue import Empty, Full, Queue
from typing import Generic, TypeVar

T = TypeVar("T")

#: Batches that lie ready at most.
_DEPTH = 4
#: How often a thread that has nothing to do looks whether it is still wanted [s].
_LOOK = 0.2


class Prefetch(Generic[T]):
    """Makes batch after batch in a thread of its own; each is a function of its number, so any of them can be next.

    Attributes:
        waited: time that `take` had to wait so far [s].
    """

    def __init__(self, make: Callable[[int], T], first: int = 0) -> None:
        """Begin with batch number `first`."""
        self._make, self._queue = make, Queue[T | BaseException](_DEPTH)
        self._closed = threading.Event()
        self.waited = 0.0
        self._thread = threading.Thread(target=self._work, args=(first,), name="prefetch", daemon=True)
        self._thread.start()

    def take(self) -> T:
        """The next batch; what went wrong while it was made is raised here."""
        begun = time.perf_counter()
        while True:
            try:
                batch = self._queue.get(timeout=_LOOK)
                break
            except Empty:
                if not self._thread.is_alive() and self._queue.empty():
                    raise RuntimeError("Nobody makes batches any more.") from None
        self.waited += time.perf_counter() - begun
        if isinstance(batch, BaseException):
            raise batch
        return batch

    def close(self) -> None:
        """End the thread."""
        self._closed.set()
        self._thread.join(timeout=5.0)

    def _work(self, number: int) -> None:
        while not self._closed.is_set():
            try:
                batch: T | BaseException = self._make(number)
            except Exception as error:  # for whoever takes it
                batch = error
            self._put(batch)
            if isinstance(batch, BaseException):
                return
            number += 1

    def _put(self, batch: T | BaseException) -> None:
        while not self._closed.is_set():
            try:
                self._queue.put(batch, timeout=_LOOK)
                return
            except Full:
                continue
