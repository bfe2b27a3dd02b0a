"""Many turns of few robots: where one ends, another begins."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
from numpy.typing import NDArray

from jack_trainer.tasks.tabletop import Ids


def in_turns(
    robots: int, count: int, begin: Callable[[Ids], None], step: Callable[[NDArray[np.bool_]], NDArray[np.bool_]]
) -> Iterator[int]:
    """Have robots take so many turns, side by side.

    Args:
        robots: how many there are, N.
        count: turns of all of them together.
        begin: puts robots (k,) where a turn begins; at first all of them, those too that have none.
        step: one control period, told whose turn it is (N,); says whose turn would be over (N,).

    Yields:
        The robot whose turn is over, before it begins another.
    """
    begun = min(robots, count)
    everybody = np.arange(robots)
    active = everybody < begun
    begin(everybody)
    while active.any():
        ended = np.flatnonzero(active & step(active))
        yield from ended.tolist()
        again = ended[: count - begun]
        active[ended], begun = False, begun + len(again)
        if len(again):
            active[again] = True
            begin(again)
