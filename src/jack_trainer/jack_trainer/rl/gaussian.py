"""Independent normal distributions, one for each number of an action."""

from __future__ import annotations

import math

import torch
from torch import Tensor


def log_probability(mean: Tensor, log_std: Tensor, action: Tensor) -> Tensor:
    """Log density of actions (B, n) under independent normal distributions, summed over n, (B,)."""
    scaled = (action - mean) * torch.exp(-log_std)
    return -0.5 * scaled.square().sum(-1) - log_std.sum() - 0.5 * math.log(2 * math.pi) * mean.shape[-1]


def entropy(log_std: Tensor) -> Tensor:
    """Entropy of independent normal distributions, one number [nat]."""
    return (log_std + 0.5 * math.log(2 * math.pi * math.e)).sum()


def divergence(old_mean: Tensor, old_log_std: Tensor, mean: Tensor, log_std: Tensor) -> Tensor:
    """Mean Kullback-Leibler divergence KL(old || new) of independent normal distributions, one number [nat]."""
    ratio = (2 * (old_log_std - log_std)).exp()
    distance = ((mean - old_mean) * torch.exp(-log_std)).square()
    return (log_std - old_log_std + 0.5 * (ratio + distance - 1.0)).sum(-1).mean()


@torch.no_grad()
def widen(log_std: Tensor, std: float) -> None:
    """Let actions spread by at least so much, in units of action; changes `log_std` (n,) in place."""
    log_std.clamp_(min=math.log(std))
