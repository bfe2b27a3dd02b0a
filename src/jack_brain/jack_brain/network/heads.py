"""Readouts: a learnt token that asks the trunk, and a linear layer that turns its answer into numbers."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn


class Readout(nn.Module):
    """One question to the trunk. It has parameters of its own only: no readout depends on another."""

    def __init__(self, width: int, outputs: int, gain: float) -> None:
        """A readout of `outputs` numbers; `gain` is that of its last layer's orthogonal start."""
        super().__init__()
        self.token = nn.Parameter(torch.empty(1, 1, width))
        nn.init.normal_(self.token, std=1.0)
        self.norm = nn.LayerNorm(width, bias=False)
        self.linear = nn.Linear(width, outputs)
        nn.init.orthogonal_(self.linear.weight, gain)
        nn.init.zeros_(self.linear.bias)

    def forward(self, answer: Tensor) -> Tensor:
        """The trunk's output at the token, (B, 1, width) -> (B, outputs)."""
        return self.linear(self.norm(answer.squeeze(1)))


class GaussianHead(Readout):
    """A normal distribution over actions: a mean that is read out, and a spread that is learnt as it is."""

    def __init__(self, width: int, actions: int, std: float = 1.0) -> None:
        """Starts at means near zero and standard deviation `std`."""
        super().__init__(width, actions, gain=0.01)
        self.log_std = nn.Parameter(torch.full((actions,), math.log(std)))


class ValueHead(Readout):
    """The return that is to be expected, in units of the brain's value normaliser."""

    def __init__(self, width: int) -> None:
        super().__init__(width, 1, gain=1.0)
