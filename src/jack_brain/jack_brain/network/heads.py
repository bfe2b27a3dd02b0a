"""What comes out: a token asks the trunk, and a perceptron makes an action of its answer; the value is apart."""

from __future__ import annotations

import math
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional

from jack_contract.observation import COMMAND_SIZE

#: Numbers in the truth: velocity in the heading frame (3) [m/s]; what the reward measures of it, vx, vy, yaw rate
#: less what is asked for, averaged over half a gait cycle (3) [m/s, m/s, rad/s]; how much the ground rises ahead
#: and to the left (2) [1].
TRUTH_SIZE = 8
#: Velocities of some 0.3 m/s and rad/s are to weigh as much as the normalised readings, and so are slopes.
VELOCITY_GAIN = 4.0


class GaussianHead(nn.Module):
    """A normal distribution over actions: a mean that is read out, and a spread that is learnt as it is.

    A token asks the trunk; its parameters are its own: no other readout depends on it. Two hidden layers read the
    answer and, once more, body and command as they are (a dense policy, Sinha et al. 2020, arXiv 2010.09163). What
    comes through the trunk alone, which normalises each token, is learnt much later.
    """

    def __init__(self, width: int, inputs: int, hidden: int, actions: int, std: float = 1.0) -> None:
        """Starts at means near zero and standard deviation `std`; `inputs` numbers tell of the body."""
        super().__init__()
        self.token = nn.Parameter(torch.empty(1, 1, width))
        nn.init.normal_(self.token, std=1.0)
        self.norm = nn.LayerNorm(width, bias=False)
        self.hidden = _layers(inputs + COMMAND_SIZE + width, hidden, hidden)
        (self.linear,) = _layers(hidden, actions, gain=0.01)
        self.estimate = nn.Linear(hidden, TRUTH_SIZE)
        self.log_std = nn.Parameter(torch.full((actions,), math.log(std)))

    def features(self, answer: Tensor, felt: Tensor, command: Tensor | None) -> Tensor:
        """Of the trunk's answer (B, 1, width), what is felt (B, inputs) and the command (B, 3), (B, hidden)."""
        told = (felt, _velocities(command, felt, COMMAND_SIZE), self.norm(answer.squeeze(1)))
        return _through(self.hidden, torch.cat(told, dim=-1))

    def forward(self, features: Tensor) -> Tensor:
        """The mean, (B, hidden) -> (B, actions)."""
        return self.linear(features)

    def estimate_error(self, features: Tensor, truth: Tensor | None) -> Tensor | None:
        """Squared error of what the features (B, hidden) tell of the truth (B, 8), (B, 1).

        Who is also asked how fast he moves learns sooner to feel it (concurrent estimation, Ji et al. 2022, arXiv
        2202.05481).
        """
        if truth is None:
            return None
        return (self.estimate(features) - VELOCITY_GAIN * truth).square().mean(-1, keepdim=True)


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
        self.hidden = _layers(inputs + COMMAND_SIZE + TRUTH_SIZE, hidden, hidden)
        (self.linear,) = _layers(hidden, 1, gain=1.0)

    def forward(self, felt: Tensor, command: Tensor | None, truth: Tensor | None) -> Tensor:
        """What the body felt (B, inputs), vx, vy, yaw rate (B, 3) and the truth (B, 8) to a value, (B, 1).

        What nobody tells is zero.
        """
        told = (felt, _velocities(command, felt, COMMAND_SIZE), _velocities(truth, felt, TRUTH_SIZE))
        return self.linear(_through(self.hidden, torch.cat(told, dim=-1)))


def _layers(*widths: int, gain: float = math.sqrt(2)) -> nn.ModuleList:
    """Linear layers from one width to the next."""
    layers = [nn.Linear(*pair) for pair in pairwise(widths)]
    for layer in layers:
        nn.init.orthogonal_(layer.weight, gain)
        nn.init.zeros_(layer.bias)
    return nn.ModuleList(layers)


def _through(layers: nn.ModuleList, rows: Tensor) -> Tensor:
    for layer in layers:
        rows = functional.elu(layer(rows))
    return rows


def _velocities(told: Tensor | None, felt: Tensor, size: int) -> Tensor:
    """Velocities (B, size) in units that weigh as much as what is felt (B, inputs); zero if nobody told."""
    return torch.zeros_like(felt[:, :1]).expand(-1, size) if told is None else VELOCITY_GAIN * told
