"""Running mean and variance of what goes into the network and of the returns it predicts."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from jack_contract.errors import ShapeError

#: Added to every standard deviation, so that a feature that never moved yet does not explode when it does.
EPSILON = 1e-2


class RunningNormaliser(nn.Module):
    """(x - mean) / (std + 0.01) for each feature, clipped. Statistics move only when `update` is called.

    They are buffers: saved with the weights, and part of the exported graph.
    """

    mean: Tensor
    var: Tensor
    count: Tensor

    def __init__(self, size: int, clip: float = 10.0) -> None:
        """Identity-like (mean 0, variance 1) until the first update.

        Args:
            size: features, D.
            clip: normalised values are clipped to plus and minus this.
        """
        super().__init__()
        self.clip = clip
        self.register_buffer("mean", torch.zeros(size))
        self.register_buffer("var", torch.ones(size))
        self.register_buffer("count", torch.zeros((), dtype=torch.float64))

    def forward(self, x: Tensor) -> Tensor:
        """Normalise (..., D) -> (..., D); a ShapeError says where D differs."""
        if x.shape[-1] != self.mean.shape[0]:
            raise ShapeError("Input of the normaliser", tuple(x.shape), f"(..., {self.mean.shape[0]})")
        scale = 1.0 / (self.var.sqrt() + EPSILON)
        return torch.addcmul(-self.mean * scale, x, scale).clamp(-self.clip, self.clip)

    def restore(self, y: Tensor) -> Tensor:
        """The inverse of `forward`, but for the clip: (..., D) -> (..., D)."""
        return y * (self.var.sqrt() + EPSILON) + self.mean

    @torch.no_grad()
    def update(self, batch: Tensor) -> None:
        """Take in samples (..., D).

        Two sets of samples are merged as in Chan, Golub, LeVeque, "Updating formulae and a pairwise algorithm for
        computing sample variances" (1979): exact, whatever the sizes of the batches.
        """
        samples = batch.reshape(-1, batch.shape[-1]).double()
        n, old = samples.shape[0], self.count
        if n == 0:
            return
        var, mean = torch.var_mean(samples, dim=0, correction=0)
        total = old + n
        delta = mean - self.mean.double()
        merged = (self.var.double() * old + var * n + delta.square() * (old * n / total)) / total
        self.mean.copy_(self.mean.double() + delta * (n / total))
        self.var.copy_(merged)
        self.count.copy_(total)
