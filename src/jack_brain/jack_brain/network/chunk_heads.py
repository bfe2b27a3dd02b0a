"""Heads that read a whole action chunk out of the trunk: three ways to learn one, chosen by `ChunkSpec.kind`."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional

from jack_brain.chunk import FLOW, SQUARED, TOKENS, ChunkSpec
from jack_brain.network.normaliser import RunningNormaliser
from jack_contract.errors import ShapeError

#: Hidden units of a head, in multiples of the trunk's width.
_HIDDEN = 4
#: Numbers in the place of the named object: x, y, z in the frame of the pelvis [m].
PLACE_SIZE = 3
#: A few centimetres are to weigh as much as the chunk does.
_PLACE_GAIN = 5.0
#: Kinds of deeds that it can be asked to tell apart.
DEEDS = 8
#: Steps of Euler's method from noise to a chunk.
FLOW_STEPS = 5
#: Values of a token, as in RT-2 (arXiv 2307.15818); Gato (arXiv 2205.06175) has 1024 ...
BINS = 256
#: ... that share this range evenly, in standard deviations of the chunks.
_RANGE = 4.0
#: Numbers from which each token's 256 scores are made, by weights that all tokens share.
_TOKEN_WIDTH = 16


class ChunkHead(nn.Module):
    """One question to the trunk, and a network that turns its answer into a chunk.

    It reads the answer and, once more, the body as it is, as `GaussianHead` does: where a hand is, to a centimetre,
    is a matter of angles, of which a token that went through the trunk keeps too little.

    Chunks are (B, K, m), see jack_brain.chunk: each number in its own unit outside, in standard deviations inside.
    """

    reads: Tensor

    def __init__(
        self,
        width: int,
        inputs: int,
        spec: ChunkSpec,
        numbers: int,
        reads: Tensor,
        outputs: int | None = None,
    ) -> None:
        """A head.

        Args:
            width: of the trunk.
            inputs: numbers that tell of the body.
            spec: which chunks.
            numbers: in a row of them, m.
            reads: 1 where it may read a number of the observation, 0 where not, (D,).
            outputs: of the last layer, if not one for each number.
        """
        super().__init__()
        self.shape = (spec.length, numbers)
        self.size = spec.length * numbers
        self.token = nn.Parameter(torch.empty(1, 1, width))
        nn.init.normal_(self.token, std=1.0)
        self.norm = nn.LayerNorm(width, bias=False)
        self.normaliser = RunningNormaliser(numbers)
        self.hidden = nn.Linear(inputs + width, _HIDDEN * width)
        self.out = nn.Linear(_HIDDEN * width, outputs or self.size)
        self.register_buffer("reads", reads)
        self.place = nn.Linear(inputs + width, PLACE_SIZE)
        self.progress = nn.Linear(inputs + width, 1)
        self.deed = nn.Linear(width, DEEDS)
        nn.init.orthogonal_(self.out.weight, 0.1)
        nn.init.zeros_(self.out.bias)

    def features(self, answer: Tensor, felt: Tensor) -> Tensor:
        """Of the trunk's output at the token (B, 1, width) and what is felt (B, inputs), (B, inputs + width)."""
        return torch.cat((felt, self.norm(answer.squeeze(1))), dim=-1)

    def forward(self, features: Tensor) -> tuple[Tensor, Tensor]:
        """Of features (B, inputs + width).

        Returns:
            The chunk, (B, K, m), and how much of what was asked is done, 0 to 1, (B, 1).
        """
        chunk = self.decode(features).unflatten(-1, self.shape)
        return self.normaliser.restore(chunk), torch.sigmoid(self.progress(features))

    def errors(
        self, features: Tensor, chunk: Tensor, generator: torch.Generator | None = None
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """What is to be made small.

        Args:
            features: (B, inputs + width).
            chunk: that was right, (B, K, m).
            generator: of what chance there is in it; on the device of all else.

        Returns:
            Error of the chunk, (B,); where the named object is said to be, (B, 3) [m]; the progress before it is
            squeezed to 0..1, (B, 1); scores of the kinds of deeds that he may have been told, (B, DEEDS).
        """
        if chunk.shape[1:] != self.shape:
            raise ShapeError("Chunk", tuple(chunk.shape), f"(B, {self.shape[0]}, {self.shape[1]})")
        wanted = self.normaliser(chunk).flatten(1)
        place = self.place(features) / _PLACE_GAIN
        # Of the trunk's answer alone: how the arm moves would tell, too, and nobody would have to listen.
        deed = self.deed(features[:, -self.deed.in_features :])
        return self.error(features, wanted, generator), place, self.progress(features), deed

    def place_error(self, told: Tensor, place: Tensor) -> Tensor:
        """Squared error of a place (B, 3) [m], (B,), in units that weigh as much as a chunk.

        Who is also asked where the named object is looks for it sooner (as the action's answer tells of the truth).
        """
        return (_PLACE_GAIN * (told - place)).square().mean(-1)

    def decode(self, features: Tensor) -> Tensor:
        """Features (B, inputs + width) to a chunk in standard deviations, (B, K m)."""
        raise NotImplementedError

    def error(self, features: Tensor, wanted: Tensor, generator: torch.Generator | None) -> Tensor:
        """Error of features (B, inputs + width) for a chunk in standard deviations, (B, K m) -> (B,)."""
        raise NotImplementedError

    def _hidden(self, features: Tensor) -> Tensor:
        return functional.gelu(self.hidden(features))


class SquaredChunk(ChunkHead):
    """The mean of all chunks that were right."""

    def decode(self, features: Tensor) -> Tensor:
        """Read it out."""
        return self.out(self._hidden(features))

    def error(self, features: Tensor, wanted: Tensor, generator: torch.Generator | None) -> Tensor:
        """Mean square."""
        return (self.decode(features) - wanted).square().mean(-1)


class FlowChunk(ChunkHead):
    """A flow from noise to chunks, so that of two ways to do a thing one is taken and not their mean.

    Conditional flow matching (Lipman et al. 2023, arXiv 2210.02747) along straight lines, x_t = (1 - t) noise + t
    chunk: the network learns the velocity chunk - noise at x_t. The robot always starts from the same noise, which
    is kept with the weights: what it does is then a function of what it sees.
    """

    start: Tensor

    def __init__(self, width: int, inputs: int, spec: ChunkSpec, numbers: int, reads: Tensor) -> None:
        super().__init__(width, inputs, spec, numbers, reads)
        self.noisy = nn.Linear(self.size, _HIDDEN * width)
        self.time = nn.Linear(2, _HIDDEN * width, bias=False)
        self.middle = nn.Linear(_HIDDEN * width, _HIDDEN * width)
        self.register_buffer("start", torch.randn(self.size))

    def velocity(self, features: Tensor, noisy: Tensor, time: Tensor) -> Tensor:
        """At features (B, inputs + width), on the way (B, K m), and a time (B or 1, 1) in 0..1, (B, K m)."""
        angle = math.pi * time
        clock = self.time(torch.cat((angle.cos(), angle.sin()), dim=-1))
        hidden = functional.gelu(self.hidden(features) + self.noisy(noisy) + clock)
        return self.out(functional.gelu(self.middle(hidden)))

    def decode(self, features: Tensor) -> Tensor:
        """Follow the flow."""
        chunk = self.start.expand(features.shape[0], -1)
        for step in range(FLOW_STEPS):
            time = torch.full((1, 1), step / FLOW_STEPS, device=features.device)
            chunk = chunk + self.velocity(features, chunk, time) / FLOW_STEPS
        return chunk

    def error(self, features: Tensor, wanted: Tensor, generator: torch.Generator | None) -> Tensor:
        """Mean square of the velocity, at a random time on a random line."""
        noise = torch.randn(wanted.shape, generator=generator, device=wanted.device)
        time = torch.rand(len(wanted), 1, generator=generator, device=wanted.device)
        noisy = (1 - time) * noise + time * wanted
        return (self.velocity(features, noisy, time) - (wanted - noise)).square().mean(-1)


class TokenChunk(ChunkHead):
    """Every number as one of 256 tokens, as RT-2 and Gato have it; all tokens are read out at once."""

    def __init__(self, width: int, inputs: int, spec: ChunkSpec, numbers: int, reads: Tensor) -> None:
        super().__init__(width, inputs, spec, numbers, reads, outputs=spec.length * numbers * _TOKEN_WIDTH)
        nn.init.orthogonal_(self.out.weight, 1.0)
        self.scores = nn.Linear(_TOKEN_WIDTH, BINS)

    def logits(self, features: Tensor) -> Tensor:
        """Scores of all bins of all numbers, (B, K m, 256)."""
        return self.scores(self.out(self._hidden(features)).unflatten(-1, (self.size, _TOKEN_WIDTH)))

    def decode(self, features: Tensor) -> Tensor:
        """The middle of the bin with the highest score."""
        return (self.logits(features).argmax(-1) + 0.5) * (2 * _RANGE / BINS) - _RANGE

    def error(self, features: Tensor, wanted: Tensor, generator: torch.Generator | None) -> Tensor:
        """Cross-entropy [nat]."""
        bins = ((wanted + _RANGE) * (BINS / (2 * _RANGE))).long().clamp(0, BINS - 1)
        return functional.cross_entropy(self.logits(features).transpose(1, 2), bins, reduction="none").mean(-1)


_HEADS: dict[str, type[ChunkHead]] = {SQUARED: SquaredChunk, FLOW: FlowChunk, TOKENS: TokenChunk}


def chunk_head(width: int, inputs: int, spec: ChunkSpec, numbers: int, reads: Tensor) -> ChunkHead:
    """The head of a kind, see `ChunkHead`."""
    return _HEADS[spec.kind](width, inputs, spec, numbers, reads)
