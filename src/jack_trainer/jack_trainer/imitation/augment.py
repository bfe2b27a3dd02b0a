"""Pictures as another camera, in other light, would have taken them: cheap enough for every batch."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from jack_contract.errors import JackError


@dataclass(frozen=True)
class AugmentConfig:
    """By how much pictures are changed at most."""

    #: shift, each way [pixel]; more would move what is to be touched
    shift: int = 1
    #: added to all of it, of a range of 1
    brightness: float = 0.12
    #: distance from the mean, as a factor or its inverse
    contrast: float = 1.25
    #: turn of the colours about grey [rad]; more would make red orange
    hue: float = 0.12
    #: standard deviation of each pixel's noise, of a range of 1
    noise: float = 0.015

    def __post_init__(self) -> None:
        if self.shift < 0 or min(self.brightness, self.hue, self.noise) < 0 or self.contrast < 1:
            raise JackError(f"Pictures are changed by amounts of 0 or more, contrast by 1 or more, given: {self}.")


def augment(pictures: Tensor, config: AugmentConfig, generator: torch.Generator) -> Tensor:
    """Change each picture in its own way.

    Args:
        pictures: RGB, (B, 3, h, w) uint8.
        config: by how much.
        generator: of chance; on the pictures' device.

    Returns:
        (B, 3, h, w) float32 in 0..1.
    """
    count, device = len(pictures), pictures.device

    def draw(most: float) -> Tensor:
        return (torch.rand(count, 1, 1, 1, generator=generator, device=device) * 2 - 1) * most

    changed = _shifted(pictures.float() / 255.0, config.shift, generator)
    changed = torch.einsum("bij,bjhw->bihw", _turns(draw(config.hue).flatten()), changed)
    mean = changed.mean(dim=(1, 2, 3), keepdim=True)
    contrast = draw(math.log(config.contrast)).exp()
    changed = (changed - mean) * contrast + mean + draw(config.brightness)
    noise = torch.randn(changed.shape, generator=generator, device=device)
    return changed.add_(noise, alpha=config.noise).clamp_(0.0, 1.0)


def _shifted(pictures: Tensor, most: int, generator: torch.Generator) -> Tensor:
    """By whole pixels, each in its own way; what comes in is the edge, repeated."""
    if not most:
        return pictures
    (count, channels, height, width), device = pictures.shape, pictures.device
    padded = functional.pad(pictures, (most,) * 4, mode="replicate")
    down, right = torch.randint(0, 2 * most + 1, (2, count, 1), generator=generator, device=device)
    rows = (down + torch.arange(height, device=device))[:, None, :, None].expand(-1, channels, -1, padded.shape[-1])
    columns = (right + torch.arange(width, device=device))[:, None, None, :].expand(-1, channels, height, -1)
    return padded.gather(2, rows).gather(3, columns)


def _turns(angle: Tensor) -> Tensor:
    """Rotations about grey, the axis (1, 1, 1), by angles (B,) [rad], (B, 3, 3) (Rodrigues' formula)."""
    c, s = angle.cos()[:, None, None], angle.sin()[:, None, None]
    axis, one = angle.new_full((3,), 3**-0.5), torch.eye(3, device=angle.device)
    cross = angle.new_tensor([[0.0, -1.0, 1.0], [1.0, 0.0, -1.0], [-1.0, 1.0, 0.0]]) * 3**-0.5
    return c * one + s * cross + (1 - c) * torch.outer(axis, axis)
