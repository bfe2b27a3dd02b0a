"""A course of joint angles through a step that a brain keeps to without thinking; what it learnt only corrects it.

As the contract's gait is what walking is learnt from, a habit is what walking like somebody is learnt from: it
leads the joints where a clip had them, at the clip's speed, and less the further the pace is from it. Who tips over
is let go of, as far as the rhythm lets him hurry. It is a function of what the brain is shown, and so a part of the
policy like its weights.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from jack_contract.arrays import Array
from jack_contract.contract import Contract
from jack_contract.gait import HURRY, REACH
from jack_contract.observation import COMMAND_SIZE, NEWEST, SIGNAL_SIZE

#: Products of up to four of sine and cosine are looked at: what goes on within a step is made of harmonics up to
#: the fourth, and all of them are zero at rest.
_DEGREE = 4
_PRODUCTS = sum(SIGNAL_SIZE**degree for degree in range(1, _DEGREE + 1))


class Habit(nn.Module):
    """Zero, until it has learnt something.

    Attributes:
        taught: whether it has; what was not taught is not computed.
        share: how much of it counts by now, 0 to 1; whoever teaches a new habit brings it in slowly.
    """

    course: Tensor
    pace: Tensor
    share: Tensor
    rules: Tensor

    def __init__(self, contract: Contract) -> None:
        """For a contract whose observation has the gait in it; for another it stays zero."""
        super().__init__()
        places, scales = contract.observation.slices(), {t.name: t.scale for t in contract.observation.terms}
        self._gait, self._turning = places.get("gait"), places.get("angular_velocity")
        self._scale = scales.get("gait", 1.0)
        self._stumble = contract.gait.stumble * abs(scales.get("angular_velocity", 1.0))
        self.taught = False
        self.register_buffer("course", torch.zeros(_PRODUCTS, contract.robot.count))
        self.register_buffer("pace", torch.zeros(COMMAND_SIZE))
        self.register_buffer("share", torch.zeros(()))
        self.register_buffer("rules", torch.zeros(contract.robot.count))
        self.register_load_state_dict_pre_hook(_before_loading)
        self.register_load_state_dict_post_hook(_after_loading)

    def learn(self, course: Array, speed: float, rules: Array) -> None:
        """Take up a habit, of which nothing counts yet.

        Args:
            course: what is to be added to the action through a cycle, in equal steps from phase 0 on, (P, n).
            speed: straight ahead, where it counts in full [m/s].
            rules: by how much thinking has the less say there, from 0 to 1, (n,).
        """
        angle = 2 * np.pi * np.arange(len(course)) / len(course)
        seen = torch.from_numpy(np.stack((np.sin(angle), np.cos(angle)), axis=-1))
        found = torch.linalg.lstsq(_products(seen), torch.from_numpy(course).double(), driver="gelsd")
        self.course.copy_(found.solution)
        self.pace.copy_(torch.tensor([speed, 0.0, 0.0]))
        self.rules.copy_(torch.from_numpy(rules))
        self.share.zero_()
        self.taught = True

    def forward(self, said: Tensor, proprioception: Tensor, command: Tensor) -> Tensor:
        """What comes of an action with it, (B, n).

        Args:
            said: the action but for habit, (B, n).
            proprioception: raw frames, (B, H, D).
            command: vx, vy [m/s], yaw rate [rad/s], (B, 3).
        """
        near = self.nearness(proprioception, command) * self._calm(proprioception)
        return said * (1.0 - near * self.rules) + near * (_products(self._signal(proprioception)) @ self.course)

    def nearness(self, proprioception: Tensor, command: Tensor) -> Tensor:
        """How much of it counts for who does not tip over, from 0 to 1, (B, 1); arguments as in `forward`."""
        away = (command - self.pace).square().sum(-1, keepdim=True)
        steps = self._signal(proprioception).square().sum(-1, keepdim=True)  # 1, and 0 at rest
        return self.share * torch.exp(-away / REACH**2) * steps

    def _signal(self, proprioception: Tensor) -> Tensor:
        return proprioception[:, -1, self._gait] / self._scale

    def _calm(self, proprioception: Tensor) -> Tensor:
        """How little he tips over: 0 for who hurries as fast as he can (`GaitSpec.hurry`), else up to 1, (B, 1)."""
        if self._turning is None:
            return proprioception.new_ones(len(proprioception), 1)
        rates = proprioception[:, -NEWEST:, self._turning][..., :2].mean(1)
        begin, end = HURRY
        tipping = rates.square().sum(-1, keepdim=True).sqrt() / self._stumble
        return ((end - tipping) / (end - begin)).clamp(0.0, 1.0)


def _before_loading(habit: nn.Module, state: dict[str, Any], prefix: str, *_: object) -> None:
    """A brain from before there were habits has none."""
    for name, begins in habit.named_buffers():
        state.setdefault(f"{prefix}{name}", torch.zeros_like(begins))


def _after_loading(habit: nn.Module, _: object) -> None:
    assert isinstance(habit, Habit)
    habit.taught = bool(habit.course.any())


def _products(signal: Tensor) -> Tensor:
    """All products of up to four numbers of a gait's signal, (B, SIGNAL_SIZE) -> (B, _PRODUCTS)."""
    found = [signal]
    for _ in range(_DEGREE - 1):
        found.append((found[-1][:, :, None] * signal[:, None]).flatten(1))
    return torch.cat(found, dim=-1)
