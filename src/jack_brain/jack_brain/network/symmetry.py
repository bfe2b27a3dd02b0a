"""Left and right are one: the network sees every step as if the left foot made it.

While the right foot swings, the network is shown the mirror image of what the robot feels and is asked for, and
what it answers is mirrored back. The policy is then symmetric, exactly, and learns each step once instead of twice
(phase-based symmetry, after Abdolhosseini et al. 2019, "On Learning Symmetric Locomotion"). At rest, and where a
sentence or a picture says more than the two sides of a body do, nothing is mirrored.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor, nn

from jack_contract.contract import Contract
from jack_contract.mirror import Mirror, Reflection

if TYPE_CHECKING:
    from jack_brain.network.brain import Inputs

#: Name of the observation term that tells which foot swings.
_GAIT = "gait"
#: Sines up to this are zero: the moment when the feet change.
_CHANGE = 1e-6


class _Reflect(nn.Module):
    """A `Reflection` of those rows that a mask picks."""

    index: Tensor
    sign: Tensor

    def __init__(self, reflection: Reflection) -> None:
        super().__init__()
        self.register_buffer("index", torch.from_numpy(np.array(reflection.index)))
        self.register_buffer("sign", torch.from_numpy(np.array(reflection.sign)))

    def forward(self, x: Tensor, rows: Tensor) -> Tensor:
        """Mirror the rows (B,) of x, (B, ..., D) -> (B, ..., D)."""
        mask = rows.view(-1, *[1] * (x.ndim - 1))
        return torch.where(mask, x.index_select(-1, self.index) * self.sign, x)


class Symmetry(nn.Module):
    """The mirror between a body and its network."""

    def __init__(self, contract: Contract) -> None:
        """For a contract whose observation has the gait in it."""
        super().__init__()
        mirror = Mirror.of(contract)
        self._gait = contract.observation.slices()[_GAIT]
        self.frame, self.command = _Reflect(mirror.frame), _Reflect(mirror.command)
        self.action = _Reflect(mirror.action)
        self.truth = _Reflect(Reflection.signs(np.array([1.0, -1.0, 1.0, 1.0, -1.0, -1.0, 1.0, -1.0])))

    @staticmethod
    def of(contract: Contract) -> Symmetry | None:
        """The mirror of a contract; None where nothing tells which foot swings."""
        return Symmetry(contract) if _GAIT in contract.observation.slices() else None

    def inputs(self, given: Inputs, rows: Tensor) -> Inputs:
        """The mirror image of those robots that a mask (B,) picks: of a body, its command and its truth."""
        command = None if given.command is None else self.command(given.command, rows)
        truth = None if given.truth is None else self.truth(given.truth, rows)
        frames = self.frame(given.proprioception, rows)
        return replace(given, proprioception=frames, command=command, truth=truth)

    def at_rest(self, proprioception: Tensor) -> Tensor:
        """Whether no foot is to swing: of raw frames (B, H, D), (B,) bool. There nothing is mirrored."""
        return proprioception[:, -1, self._gait].abs().amax(-1) <= _CHANGE

    def right(self, proprioception: Tensor) -> Tensor:
        """Whether the right foot swings, or is the next to: of raw frames (B, H, D), (B,) bool."""
        sine, cosine = proprioception[:, -1, self._gait].unbind(-1)
        return (sine < -_CHANGE) | ((sine <= _CHANGE) & (cosine < 0))
