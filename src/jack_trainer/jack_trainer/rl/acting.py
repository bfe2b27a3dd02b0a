"""A brain before observations: what it is shown, and what it does where nothing is explored."""

from __future__ import annotations

from collections.abc import Callable

import torch

from jack_brain.network.brain import Brain, Inputs
from jack_contract.arrays import Float32
from jack_trainer.tasks.environment import Observation


def inputs(seen: Observation) -> Inputs:
    """An observation as the brain takes it; the tensors share the arrays' memory."""
    command = None if seen.command is None else torch.from_numpy(seen.command)
    truth = None if seen.truth is None else torch.from_numpy(seen.truth)
    return Inputs(torch.from_numpy(seen.proprioception), command, truth=truth)


def actor(brain: Brain) -> Callable[[Observation], Float32]:
    """What the brain does without exploration: an observation in, actions (N, n) out."""

    @torch.no_grad()
    def act(seen: Observation) -> Float32:
        return brain(inputs(seen), value=False).mean.numpy()

    return act
