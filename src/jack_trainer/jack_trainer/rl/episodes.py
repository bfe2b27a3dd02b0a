"""What became of the episodes of late."""

from __future__ import annotations

import math
from collections import deque

import numpy as np

from jack_trainer.tasks.environment import Transition


class EpisodeLog:
    """The episodes and reward terms of late."""

    def __init__(self, length: int = 100) -> None:
        """Remember the last `length` episodes."""
        self.returns: deque[float] = deque(maxlen=length)
        self.lengths: deque[int] = deque(maxlen=length)
        self.terms: dict[str, float] = {}

    def add(self, step: Transition) -> None:
        """Take in one control period."""
        self.returns.extend(step.episode_returns.tolist())
        self.lengths.extend(step.episode_lengths.tolist())
        for name, value in step.terms.items():
            if not math.isfinite(value):  # of a robot whose physics broke down; it would stay for ever
                continue
            self.terms[name] = 0.99 * self.terms.get(name, value) + 0.01 * value

    def restore(self, returns: list[float], lengths: list[int], terms: dict[str, float]) -> None:
        """Go on from what was remembered."""
        self.returns.extend(returns)
        self.lengths.extend(lengths)
        self.terms.update(terms)

    @property
    def mean_return(self) -> float:
        """Mean return of the remembered episodes; NaN before the first ends."""
        return float(np.mean(self.returns)) if self.returns else math.nan

    @property
    def mean_length(self) -> float:
        """Mean length of the remembered episodes [control periods]; NaN before the first ends."""
        return float(np.mean(self.lengths)) if self.lengths else math.nan
