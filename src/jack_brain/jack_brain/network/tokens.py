"""From a modality to tokens, (B, T, width). Each is a module of its own, run only where its input is there."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from jack_brain.network.heads import VELOCITY_GAIN
from jack_contract.errors import ShapeError

#: Pixels along one side of the square that becomes one token.
PATCH = 16
#: Channels of the first stage of the image stem.
STEM_CHANNELS = 16
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

    def forward(self, frames: Tensor) -> Tensor:
        """Normalised frames (B, H, D) -> (B, 1, width)."""
        if frames.shape[1:] != self.shape:
            raise ShapeError("Proprioception", tuple(frames.shape), f"(B, {self.shape[0]}, {self.shape[1]})")
        return self.linear((self.means @ frames).flatten(1)).unsqueeze(1)


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
    """A picture, one token for each patch of 16 x 16 pixels, by two strided convolutions."""

    def __init__(self, height: int, width_px: int, width: int) -> None:
        super().__init__()
        self.shape = (3, height, width_px)
        count = -(-height // PATCH) * -(-width_px // PATCH)
        self.pad = (0, -width_px % PATCH, 0, -height % PATCH)
        self.stem = nn.Sequential(
            nn.Conv2d(3, STEM_CHANNELS, 4, stride=4), nn.GELU(), nn.Conv2d(STEM_CHANNELS, width, 4, stride=4)
        )
        self.positions = nn.Parameter(torch.empty(count, width))
        nn.init.normal_(self.positions, std=width**-0.5)

    def forward(self, image: Tensor) -> Tensor:
        """RGB (B, 3, h, w), uint8 or float in 0..1, -> (B, patches, width)."""
        if image.shape[1:] != self.shape:
            raise ShapeError("Image", tuple(image.shape), f"(B, {', '.join(map(str, self.shape))})")
        pixels = image.float() / 255.0 if image.dtype == torch.uint8 else image
        patches = self.stem(nn.functional.pad(pixels - 0.5, self.pad))
        return patches.flatten(2).transpose(1, 2) + self.positions
