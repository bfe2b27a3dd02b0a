"""A plain actor-critic in the brain's place: two perceptrons, as large together as what of the brain walks.

It has all that the trainer uses of a brain, mirror, normalisers and means of the history included: only the network
between them differs.
"""

from __future__ import annotations

import math
from dataclasses import replace
from typing import cast

import torch
from torch import Tensor, nn

from jack_brain.network.brain import Brain, Inputs, Output
from jack_brain.network.heads import TRUTH_SIZE, VELOCITY_GAIN
from jack_brain.network.normaliser import RunningNormaliser
from jack_brain.network.presets import PRESETS, BrainSize
from jack_brain.network.symmetry import Symmetry
from jack_brain.network.tokens import means_of_newest
from jack_contract.contract import Contract
from jack_contract.errors import JackError
from jack_contract.observation import COMMAND_SIZE

#: Parts of the brain that have no part in walking.
_IDLE = ("instruction.", "image.")


class Perceptrons(nn.Module):
    """Actor and critic with two hidden layers each.

    Attributes:
        normaliser: of observation frames, (D,), shared by all H frames of the history.
        value_normaliser: of returns, (1,).
        log_std: logarithm of the action distribution's standard deviation, (n,).
    """

    means: Tensor

    def __init__(self, contract: Contract, size: BrainSize = PRESETS["nano"], std: float = 1.0) -> None:
        """As large as a brain of that size for that contract."""
        super().__init__()
        self.contract, self.size = contract, size
        self.symmetry = Symmetry.of(contract)
        self.normaliser = RunningNormaliser(contract.observation.frame_size)
        self.value_normaliser = RunningNormaliser(1)
        self.register_buffer("means", means_of_newest(contract.observation.history))
        width, inputs = _width(contract, size), _inputs(contract)
        self.actor = _perceptron(inputs, width, contract.robot.count, gain=0.01)
        self.critic = _perceptron(inputs + TRUTH_SIZE, width, 1, gain=1.0)
        self.estimate = nn.Linear(width, TRUTH_SIZE)
        self.log_std = nn.Parameter(torch.full((contract.robot.count,), math.log(std)))
        self.chunk_head = None  # as a brain that nobody taught to see

    def forward(self, inputs: Inputs, *, value: bool = True) -> Output:
        """One tick of a batch of robots: mean of the action (B, n), and the value (B, 1) if it was asked for."""
        if self.symmetry is None:
            return self._tick(inputs, value)
        right = self.symmetry.right(inputs.proprioception)
        output = self._tick(self.symmetry.inputs(inputs, right), value)
        return replace(output, mean=self.symmetry.action(output.mean, right))

    def _tick(self, inputs: Inputs, value: bool) -> Output:
        frames, command, truth = inputs.proprioception, inputs.command, inputs.truth
        if command is None:
            raise JackError("The perceptrons need a command.")
        seen = torch.cat(((self.means @ self.normaliser(frames)).flatten(1), VELOCITY_GAIN * command), dim=-1)
        features = self.actor[:-1](seen)
        mean = self.actor[-1](features)
        if not value:
            return Output(mean, None)
        known = torch.zeros_like(seen[:, :TRUTH_SIZE]) if truth is None else VELOCITY_GAIN * truth
        error = (self.estimate(features) - known).square().mean(-1, keepdim=True)
        return Output(mean, self.critic(torch.cat((seen, known), dim=-1)), None if truth is None else error)


def perceptrons(contract: Contract, size: BrainSize, std: float) -> Brain:
    """`Perceptrons`, for a `School`: to a trainer they are a brain."""
    return cast(Brain, Perceptrons(contract, size, std))


def parameters(network: nn.Module) -> int:
    """How many numbers of a network learn to walk."""
    return sum(p.numel() for name, p in network.named_parameters() if not name.startswith(_IDLE))


def _perceptron(inputs: int, width: int, outputs: int, gain: float) -> nn.Sequential:
    layers = nn.Linear(inputs, width), nn.Linear(width, width), nn.Linear(width, outputs)
    for layer, its_gain in zip(layers, (math.sqrt(2), math.sqrt(2), gain), strict=True):
        nn.init.orthogonal_(layer.weight, its_gain)
        nn.init.zeros_(layer.bias)
    return nn.Sequential(layers[0], nn.ELU(), layers[1], nn.ELU(), layers[2])


def _inputs(contract: Contract) -> int:
    observation = contract.observation
    return len(means_of_newest(observation.history)) * observation.frame_size + COMMAND_SIZE


def _width(contract: Contract, size: BrainSize) -> int:
    """The width w at which both perceptrons and the spread have as many parameters as the brain, or just fewer.

    With i inputs, t more for the critic, which the actor's features tell, and n actions they have
    2 w^2 + (2 i + 2 t + n + 5) w + 2 n + t + 1.
    """
    with torch.random.fork_rng():  # whoever asks must not meet other random numbers for it
        wanted = parameters(Brain(contract, size))
    n = contract.robot.count
    b, c = 2 * _inputs(contract) + 2 * TRUTH_SIZE + n + 5, 2 * n + TRUTH_SIZE + 1 - wanted
    return math.floor((-b + math.sqrt(b * b - 8 * c)) / 4)
