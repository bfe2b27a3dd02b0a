"""What he who learns something new is to keep of what he did before, and where."""

from __future__ import annotations

import copy

import torch
from torch import Tensor

from jack_brain.network.brain import Brain, Inputs
from jack_trainer.rl.rollout import Samples

#: Where a habit counts for so much, nothing is kept: what it is to become is no longer what it was.
_FREE = 0.3


class Anchor:
    """A brain as it was before it was taught a habit: where that does not apply, it is to do what it did.

    Attributes:
        before: the brain as it was.
    """

    def __init__(self, brain: Brain) -> None:
        """Remember it as it is now, before its habit is learnt."""
        self.before = copy.deepcopy(brain).requires_grad_(False)
        self._brain = brain

    @torch.no_grad()
    def __call__(self, samples: Samples) -> tuple[Tensor, Tensor]:
        """What it would have done, (B, n), and how much of that is to be kept, from 0 to 1, (B,)."""
        assert samples.command is not None  # a habit is one of walking
        mean = self.before(Inputs(samples.proprioception, samples.command), value=False).mean
        near = self._brain.habit.nearness(samples.proprioception, samples.command).squeeze(-1)
        return mean, (1.0 - near / _FREE).clamp(min=0.0)
