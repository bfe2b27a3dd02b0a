"""Pushes, and a memory of those that felled him.

A hard push from the hardest direction comes once in three quarters of a minute. Who gives that one up, standing a
centimetre nearer to his toes or his heels, gains as much with others as he loses; then he falls to one side for
ever. So some pushes are those again that felled him last, and it pays to stand where he survives them all
(situations he fails in are repeated: prioritized level replay, Jiang et al. 2021, arXiv 2010.03934).
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from jack_contract.arrays import Array, Float64
from jack_contract.rotation import turned
from jack_sim.randomizer import Randomizer


class Pushes:
    """Those of N robots: when they are due, and how they push."""

    def __init__(self, count: int, again: float, randomizer: Randomizer, random: np.random.Generator) -> None:
        """A share `again` of them is the push that felled this robot last; the others are `randomizer`'s."""
        self._again, self._randomizer, self._random = again, randomizer, random
        self._next = np.zeros(count, np.int64)
        self._last, self._felling = np.zeros((count, 2)), np.zeros((count, 2))

    def begin(self, ids: NDArray[np.integer]) -> None:
        """New episodes of robots `ids` (k,); what felled them is not forgotten."""
        self._last[ids] = 0.0
        self._plan(ids)

    def due(self, may: NDArray[np.bool_]) -> NDArray[np.integer]:
        """A control period later: who is pushed now, (k,), of those who may (N,) be."""
        self._next -= 1
        return np.flatnonzero(may & (self._next <= 0))

    def draw(self, ids: NDArray[np.integer], heading: Array) -> Float64:
        """Velocities for `BatchWorld.push` of those who are due (k,), who look to `heading` (N,) [rad]; (k, 2)."""
        pushes = self._randomizer.pushes(len(ids))
        if self._again:
            again = self._felling[ids].any(axis=-1) & (self._random.uniform(size=len(ids)) < self._again)
            pushes[again] = turned(self._felling[ids[again]], heading[ids[again]])
            self._last[ids] = turned(pushes, -heading[ids])
        self._plan(ids)
        return pushes

    def note(self, fallen: NDArray[np.bool_]) -> None:
        """These (N,) fell; whoever was pushed in this episode is told that it was the last push."""
        felled = fallen & self._last.any(axis=-1)
        self._felling[felled] = self._last[felled]

    def arrays(self) -> dict[str, NDArray[Any]]:
        """All that it needs to go on, by name, as views."""
        return {"push.next": self._next, "push.last": self._last, "push.felling": self._felling}

    def _plan(self, ids: NDArray[np.integer]) -> None:
        self._next[ids] = self._randomizer.next_push(len(ids))
