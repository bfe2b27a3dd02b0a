"""Which weights learn, and how fast, while he learns to see: what is new at once, what walks later and less."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import torch
from torch import nn

from jack_brain.network.brain import Brain

if TYPE_CHECKING:
    from jack_trainer.imitation.seeing import SeeingConfig

#: Share of the training over which a group of weights comes to its full step size.
_THAW = 0.05
#: Steps over which all of them do at first.
_WARM = 100
#: What walking is read out by stays as it is: only rehearsal would move it, and Adam moves far whatever is hardly
#: asked for. With these fixed, rehearsal keeps his legs' actions 25 times nearer to what they were.
_FIXED = ("action_head.hidden", "action_head.linear", "action_head.log_std", "value_head")


def groups(brain: Brain) -> dict[str, list[nn.Parameter]]:
    """The weights that learn: what is new, the eyes, and what walks; each at a pace of its own."""
    found: dict[str, list[nn.Parameter]] = {"new": [], "eyes": [], "body": []}
    for name, weight in brain.named_parameters():
        if name.startswith(_FIXED):
            continue
        kind = name.split(".")[0]
        new = kind in ("instruction", "pointer", "chunk_head")
        found["new" if new else "eyes" if kind == "image" else "body"].append(weight)
    return found


def rates(config: SeeingConfig, progress: float, steps: int) -> dict[str, float]:
    """The step size of each group of weights; 0: it is frozen.

    Args:
        config: of the training.
        progress: how much of it is over, 0 to 1.
        steps: of the optimiser so far.
    """
    progress = min(1.0, progress)
    falls = 0.01 + 0.495 * (1.0 + math.cos(math.pi * progress))
    begins = {"new": 0.0, "eyes": config.eyes_from, "body": config.body_from}
    sizes = {"new": 1.0, "eyes": 1.0, "body": config.body_rate}
    warm = min(1.0, (steps + 1) / _WARM)
    return {
        name: config.rate * falls * warm * sizes[name] * _thawed(progress, begin) for name, begin in begins.items()
    }


def freeze(optimiser: torch.optim.Optimizer) -> None:
    """A group whose step size is 0 keeps its moments too."""
    for group in optimiser.param_groups:
        if group["lr"] == 0.0:
            for weight in group["params"]:
                weight.grad = None


def _thawed(progress: float, begin: float) -> float:
    """How far a group that begins at a share of the training has come to its full step size, 0 to 1."""
    return 1.0 if begin <= 0 else min(1.0, max(0.0, (progress - begin) / _THAW))
