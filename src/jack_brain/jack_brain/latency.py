"""How punctual the control loop is: the times of its ticks, in arrays that are made once."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from jack_contract.arrays import Array, Float64, Index

#: Ticks that are kept for quantiles.
RING = 2048
#: Lower edges of the histograms' bins, in control periods: fine where a tick should be, coarse where none should.
_EDGES = np.concatenate((np.arange(0.0, 1.5, 0.05), np.arange(1.5, 3.0, 0.25), [3.0, 5.0, 10.0, 50.0]))


@dataclass(frozen=True)
class Punctuality:
    """What jack_msgs/Timing tells of the ticks."""

    #: counts per bin, since the beginning, (len(edges),)
    latency: Index
    interval: Index
    #: of the latencies in the ring: median, 99 %, 99.9 % and maximum [s]; zeros before the first
    p50: float
    p99: float
    p999: float
    longest: float


class TickTimes:
    """The newest ticks, and histograms over all of them. Adding one makes no arrays.

    Attributes:
        edges: lower edges of the bins, ascending from 0; the last bin is open [s].
        count: ticks so far.
    """

    def __init__(self, period: float) -> None:
        """Keep times for a control period [s]."""
        self.edges: Float64 = _EDGES * period
        self.count = 0
        self._second = max(1, round(1.0 / period))
        self._ring = np.zeros((2, RING))  # latency, interval; an interval that is none is negative
        self._histograms = np.zeros((2, len(self.edges)), dtype=np.uint64)
        self._counted = 0
        self._last = -np.inf

    def add(self, latency: float, now: float) -> None:
        """A command went out at `now`, so long after the readings that it answers had come [s]."""
        index = self.count % RING
        self._ring[0, index] = latency
        self._ring[1, index] = now - self._last if self._last > -np.inf else -1.0
        self._last = now
        self.count += 1
        if self.count - self._counted == RING:  # before the oldest that was not counted is written over
            self._tally()

    def rest(self) -> None:
        """The next tick has none before it."""
        self._last = -np.inf

    def median_and_max(self) -> tuple[float, float]:
        """Median and maximum latency of the last second [s]; zeros before the first."""
        times = self._newest(0, self._second)
        return (float(np.median(times)), float(times.max())) if len(times) else (0.0, 0.0)

    def punctuality(self) -> Punctuality:
        """All of it; may be called as often as one likes, and takes some 0.1 ms."""
        self._tally()
        times = self._newest(0, RING)
        found = np.percentile(times, (50.0, 99.0, 99.9, 100.0)) if len(times) else np.zeros(4)
        return Punctuality(self._histograms[0], self._histograms[1], *(float(number) for number in found))

    def _newest(self, row: int, count: int) -> Array:
        """The newest values of a row, in no order."""
        have = min(self.count, count)
        first = (self.count - have) % RING
        ring = self._ring[row]
        return (
            ring[first : first + have]
            if first + have <= RING
            else np.concatenate((ring[first:], ring[: first + have - RING]))
        )

    def _tally(self) -> None:
        """Put into the histograms what is not in them yet."""
        new = self.count - self._counted
        for row in range(2):
            times = self._newest(row, new) if new else np.zeros(0)
            bins = np.searchsorted(self.edges, times[times >= 0.0], side="right") - 1
            self._histograms[row] += np.bincount(bins, minlength=len(self.edges)).astype(np.uint64)
        self._counted = self.count
