"""How long decisions take, over the last second."""

from __future__ import annotations

from collections import deque
from statistics import median


class LatencyWindow:
    """The newest latencies [s]."""

    def __init__(self, period: float) -> None:
        """Keep as many as one second has control periods."""
        self._times: deque[float] = deque(maxlen=max(1, round(1.0 / period)))

    def add(self, seconds: float) -> None:
        """Take in one."""
        self._times.append(seconds)

    def median_and_max(self) -> tuple[float, float]:
        """Median and maximum [s]; zeros before the first."""
        times = list(self._times)
        return (median(times), max(times)) if times else (0.0, 0.0)
