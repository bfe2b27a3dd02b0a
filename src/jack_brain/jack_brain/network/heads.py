"""What comes out: a token asks the trunk, and a linear layer makes numbers of its answer; the value is apart."""

from __future__ import annotations

import math
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional

from jack_contract.observation import COMMAND_SIZE


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


#: Numbers in the truth: velocity in the heading frame (3) [m/s]; what the reward measures of it, vx, vy, yaw rate
#: less what is asked for, averaged over half a gait cycle (3) [m/s, m/s, rad/s]; how much the ground rises ahead
#: and to the left (2) [1].
TRUTH_SIZE = 8
#: Velocities of some 0.3 m/s and rad/s are to weigh as much as the normalised readings, and so are slopes.
VELOCITY_GAIN = 4.0


class GaussianHead(Readout):
    """A normal distribution over actions: a mean that is read out, and a spread that is learnt as it is."""

    def __init__(self, width: int, actions: int, std: float = 1.0) -> None:
        """Starts at means near zero and standard deviation `std`."""
        super().__init__(width, actions, gain=0.01)
        self.log_std = nn.Parameter(torch.full((actions,), math.log(std)))
        self.estimate = nn.Linear(width, TRUTH_SIZE)

    def estimate_error(self, answer: Tensor, truth: Tensor | None) -> Tensor | None:
        """Squared error of what the trunk's answer (B, 1, width) tells of the truth (B, 8), (B, 1).

        Who is also asked how fast he moves learns sooner to feel it (concurrent estimation, Ji et al. 2022, arXiv
        2202.05481).
        """
        if truth is None:
            return None
        told = self.estimate(self.norm(answer.squeeze(1)))
        return (told - VELOCITY_GAIN * truth).square().mean(-1, keepdim=True)


class ValueHead(nn.Module):
    """The return that is to be expected, in units of the brain's value normaliser: a perceptron of its own.

    It reads body and command, not the trunk. A trunk that has to foretell returns as well learns to act later: of
    100 robots 66 kept walking after 0.9 million steps, and 88 with two plain perceptrons (`benchmarks/mlp.py`). In
    training it is told what no sensor knows (an asymmetric critic, Pinto et al. 2017, arXiv 1710.06542): a reward
    for speed looks like chance to a critic that cannot see speed.
    """

    def __init__(self, inputs: int, hidden: int) -> None:
        """For so many numbers of the body, with two hidden layers."""
        super().__init__()
        widths = inputs + COMMAND_SIZE + TRUTH_SIZE, hidden, hidden, 1
        layers = [nn.Linear(*pair) for pair in pairwise(widths)]
        for layer in layers:
            nn.init.orthogonal_(layer.weight, 1.0 if layer is layers[-1] else math.sqrt(2))
            nn.init.zeros_(layer.bias)
        self.layers = nn.ModuleList(layers)

    def forward(self, felt: Tensor, command: Tensor | None, truth: Tensor | None) -> Tensor:
        """What the body felt (B, inputs), vx, vy, yaw rate (B, 3) and the truth (B, 8) to a value, (B, 1).

        What nobody tells is zero.
        """
        rest = [
            torch.zeros_like(felt[:, :1]).expand(-1, size) if told is None else VELOCITY_GAIN * told
            for told, size in ((command, COMMAND_SIZE), (truth, TRUTH_SIZE))
        ]
        *hidden, last = self.layers
        rows = torch.cat((felt, *rest), dim=-1)
        for layer in hidden:
            rows = functional.elu(layer(rows))
        return last(rows)
