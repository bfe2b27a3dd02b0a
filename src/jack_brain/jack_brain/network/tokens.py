"""From a modality to tokens, (B, T, width). Each is a module of its own, run only where its input is there."""

from __future__ import annotations

import math
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from jack_brain.network.heads import VELOCITY_GAIN
from jack_contract.errors import ShapeError

#: Pixels along one side of the square that becomes one token, coarse and fine.
PATCH, FINE_PATCH = 16, 8
#: Channels of the first stage of the image stem; of a fine one the second has twice as many.
STEM_CHANNELS = 16
#: Ways in which a sentence points at a picture; the first is the one that is taught where the named object is.
POINTERS = 4
#: A place in a picture is told by itself and by waves, of 1, 2, ... periods from edge to edge.
WAVES = 4
#: Id that fills an instruction up to its length; its embedding is zero.
PADDING = 0


class ProprioceptionTokens(nn.Module):
    """The newest H observation frames as one token.

    What is read are means over the newest 1, 2, 4, 8 ... frames: a single reading is noisy, what lies further back
    matters less sharply, and fewer numbers are learnt from sooner.
    """

    means: Tensor

    def __init__(self, history: int, frame_size: int, width: int) -> None:
        super().__init__()
        self.shape = (history, frame_size)
        self.register_buffer("means", means_of_newest(history))
        self.linear = nn.Linear(self.means.shape[0] * frame_size, width)

    def forward(self, felt: Tensor) -> Tensor:
        """What was felt, (B, K * D) -> (B, 1, width)."""
        return self.linear(felt).unsqueeze(1)

    def felt(self, frames: Tensor) -> Tensor:
        """The K means of normalised frames, (B, H, D) -> (B, K * D)."""
        if frames.shape[1:] != self.shape:
            raise ShapeError("Proprioception", tuple(frames.shape), f"(B, {self.shape[0]}, {self.shape[1]})")
        return (self.means @ frames).flatten(1)


def means_of_newest(history: int) -> Tensor:
    """Weights that make of H frames the means over the newest 1, 2, 4 ... of them, at most all, (K, H)."""
    lengths = [2**k for k in range(history.bit_length())]
    age = torch.arange(history - 1, -1, -1)
    return torch.stack([(age < length) / length for length in lengths])


class CommandTokens(nn.Module):
    """The velocity command as one token."""

    def __init__(self, size: int, width: int) -> None:
        super().__init__()
        self.linear = nn.Linear(size, width)

    def forward(self, command: Tensor) -> Tensor:
        """vx, vy [m/s], yaw rate [rad/s], (B, 3) -> (B, 1, width)."""
        return self.linear(VELOCITY_GAIN * command).unsqueeze(1)


class InstructionTokens(nn.Module):
    """A sentence, one token a word piece."""

    def __init__(self, vocabulary: int, length: int, width: int) -> None:
        super().__init__()
        self.embedding = nn.Embedding(vocabulary, width, padding_idx=PADDING)
        self.positions = nn.Parameter(torch.empty(length, width))
        nn.init.normal_(self.positions, std=width**-0.5)

    def forward(self, instruction: Tensor) -> Tensor:
        """Token ids (B, L) int64, L at most the contract's length -> (B, L, width)."""
        length = instruction.shape[-1]
        if instruction.ndim != 2 or length > self.positions.shape[0]:
            raise ShapeError("Instruction", tuple(instruction.shape), f"(B, at most {self.positions.shape[0]})")
        return self.embedding(instruction) + self.positions[:length]


class ImageTokens(nn.Module):
    """A picture, a token for each patch.

    Coarse: patches of 16 x 16 pixels, each for itself. Fine, for who is to put his hand on things: of 8 x 8, by
    three convolutions that overlap, so that a token knows where in its patch, and beyond, something is.
    """

    def __init__(self, height: int, width_px: int, width: int, fine: bool = False) -> None:
        super().__init__()
        self.shape, patch = (3, height, width_px), FINE_PATCH if fine else PATCH
        #: patches from top to bottom, and from left to right
        self.grid = (-(-height // patch), -(-width_px // patch))
        self.pad = (0, -width_px % patch, 0, -height % patch)
        self.stem = _fine_stem(width) if fine else _coarse_stem(width)
        #: of what the patches are made of
        self.channels = cast(nn.Conv2d, self.stem[-1]).in_channels
        self.positions = nn.Parameter(torch.empty(self.grid[0] * self.grid[1], width))
        nn.init.normal_(self.positions, std=width**-0.5)

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor]:
        """RGB (B, 3, h, w), uint8 or float in 0..1, -> (B, patches, width), and what those are of, (B, C, ...)."""
        if image.shape[1:] != self.shape:
            raise ShapeError("Image", tuple(image.shape), f"(B, {', '.join(map(str, self.shape))})")
        pixels = image.float() / 255.0 if image.dtype == torch.uint8 else image
        detail = self.stem[:-1](functional.pad(pixels - 0.5, self.pad))
        return self.stem[-1](detail).flatten(2).transpose(1, 2) + self.positions, detail


def _coarse_stem(width: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(3, STEM_CHANNELS, 4, stride=4), nn.GELU(), nn.Conv2d(STEM_CHANNELS, width, 4, stride=4)
    )


def _fine_stem(width: int) -> nn.Sequential:
    first, second = STEM_CHANNELS, 2 * STEM_CHANNELS
    return nn.Sequential(
        nn.Conv2d(3, first, 5, stride=2, padding=2),
        nn.GELU(),
        nn.Conv2d(first, second, 3, stride=2, padding=1),
        nn.GELU(),
        nn.Conv2d(second, width, 3, stride=2, padding=1),
    )


class PointerTokens(nn.Module):
    """Where a sentence points in a picture: a few tokens, each a mean of what is there and of where it is.

    A patch sees a thing as a whole, and so tells what it is; but it is as wide as a thing. Where in it, its
    quarters tell, of which it was made. Weighted means of places are finer still (spatial softmax, Levine et al.
    2016, arXiv 1504.00702).
    """

    places: Tensor

    def __init__(self, width: int, patches: tuple[int, int], channels: int) -> None:
        """For pictures of so many patches, from top to bottom and from left to right, made of so many channels."""
        super().__init__()
        self.patches = patches
        #: quarters, from top to bottom and from left to right
        self.grid = (2 * patches[0], 2 * patches[1])
        self.words_norm = nn.LayerNorm(width, bias=False)
        self.patches_norm = nn.LayerNorm(width, bias=False)
        self.query = nn.Linear(width, POINTERS * width)
        self.key = nn.Linear(width, POINTERS * width)
        self.detail_query = nn.Linear(width, POINTERS * channels)
        self.register_buffer("places", places(self.grid))
        self.where = nn.Linear(self.places.shape[1], width)

    def forward(self, words: Tensor, patches: Tensor, detail: Tensor) -> tuple[Tensor, Tensor]:
        """Of words (B, L, width), and patches (B, P, width) with what they are made of (B, C, 2 rows, 2 columns).

        Returns:
            Tokens, (B, POINTERS, width), and scores of the quarters before they are squeezed to weights, for each
            pointer, (B, POINTERS, 4 P).
        """
        width, said = words.shape[-1], self.words_norm(words.sum(1))
        query = self.query(said).unflatten(-1, (POINTERS, width))
        key = self.key(self.patches_norm(patches)).unflatten(-1, (POINTERS, width))
        which = (key.transpose(1, 2) @ query.unsqueeze(-1)).squeeze(-1).unflatten(2, self.patches) * width**-0.5
        which = which[:, :, :, None, :, None].expand(-1, -1, -1, 2, -1, 2).flatten(2)  # alike for its quarters
        asked = self.detail_query(said).unflatten(-1, (POINTERS, detail.shape[1]))
        scores = which + asked @ detail.flatten(2) * detail.shape[1] ** -0.5
        weights = scores.softmax(-1)
        whole = 4.0 * functional.avg_pool2d(weights.unflatten(-1, self.grid), 2).flatten(2)
        return whole @ patches + self.where(weights @ self.places), scores


def places(grid: tuple[int, int]) -> Tensor:
    """Middles of the cells of a grid: each as its place, -1 to 1 along either side, and waves of it, (cells, F)."""
    rows, columns = ((torch.arange(count) + 0.5) / count for count in grid)
    place = torch.cartesian_prod(rows, columns)
    angle = 2.0 * math.pi * place[:, :, None] * torch.arange(1, WAVES + 1)
    return torch.cat((2.0 * place - 1.0, angle.sin().flatten(1), angle.cos().flatten(1)), dim=1)
