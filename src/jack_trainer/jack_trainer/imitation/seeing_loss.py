"""What a brain that looks and listens is to make small, of some samples.

    L = E[chunk error] + c_p E[(place told - place)^2] + c_a E[surprise at where it is in the picture]
        + c_d E[surprise at how much is done] + c_w E[surprise at what he was told to do] + c_r E[KL(before || now)]

The first is that of the brain's chunk head. The next two ask where the named object is, which only a simulator
tells (concurrent estimation, Ji et al. 2022, arXiv 2202.05481): a hand's way says little about a picture, a place
says all. Nor does it say much about a word: who was not asked which deed he was told pushed things between left and
right. The last is rehearsal: on what he felt while he walked and stood, and on what his legs feel in these very
scenes, the action and the value are to be those of the brain before.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from jack_brain.chunk import arm_columns
from jack_brain.network.brain import Brain, Inputs
from jack_trainer.imitation.withholding import at_rest


@dataclass(frozen=True)
class Batch:
    """What one step learns from, as tensors."""

    seen: dict[str, Tensor]
    #: which samples have both picture and sentence, which a sentence, and which show a body at rest, (B,)
    whole: Tensor
    heard: Tensor
    still: Tensor
    #: of walking: frames (R, H, D) and command (R, 3)
    walking: tuple[Tensor, Tensor] | None
    #: of the flow's chance, see `FlowChunk`
    seed: int


#: The parts of the loss, in this order.
PARTS = ("chunk", "place", "attention", "done", "deed", "rehearsal")


class Objective:
    """Of a brain that learns, beside the one that it was."""

    def __init__(self, brain: Brain, before: Brain, weights: Mapping[str, float]) -> None:
        """Of `brain`, which makes chunks; each of PARTS counts by its weight."""
        assert brain.chunk_head is not None
        self._brain, self._before, self._head = brain, before, brain.chunk_head
        self._weights = [weights[part] for part in PARTS]
        self._arms = torch.from_numpy(arm_columns(brain.contract)).to(brain.log_std.device)
        self._speeds = brain.contract.observation.slices().get("joint_velocity", slice(0))

    def __call__(
        self, batch: Batch, rows: Tensor, piece: int, pieces: int, rehearses: bool
    ) -> tuple[Tensor, Tensor]:
        """The loss over some samples, and its parts.

        Args:
            batch: of samples.
            rows: which of them, (b,).
            piece: which of the batch's `pieces` these are.
            pieces: into so many it is cut.
            rehearses: whether what walks may have changed; as long as it is frozen, nothing is to be rehearsed.

        Returns:
            (), to be made small, and (len(PARTS),), without gradients.
        """
        head = self._head
        seen = {name: tensor[rows] for name, tensor in batch.seen.items()}
        generator = torch.Generator(rows.device).manual_seed(batch.seed + piece)
        frames = seen["proprioception"]
        felt = torch.where(batch.still[rows, None, None], at_rest(frames, self._speeds), frames)
        features, scores = answer(self._brain, seen | {"proprioception": felt})
        error, place, done, deed = head.errors(features, seen["chunk"], generator)
        named = batch.whole[rows] & seen["place"].isfinite().all(dim=-1)
        placed = head.place_error(place, seen["place"].nan_to_num())
        parts = [
            error.mean(),
            _mean(placed, named),
            _mean(*self._surprise(scores, seen["pixel"], batch.whole[rows])),
            functional.binary_cross_entropy_with_logits(done, seen["done"]),
            _mean(functional.cross_entropy(deed, seen["deed"], reduction="none"), batch.heard[rows]),
            self._rehearsal(frames, batch.walking, piece, pieces) if rehearses else frames.new_zeros(()),
        ]
        loss = torch.stack([weight * term for weight, term in zip(self._weights, parts, strict=True)]).sum()
        return loss, torch.stack(parts).detach()

    def _surprise(self, scores: Tensor, pixel: Tensor, whole: Tensor) -> tuple[Tensor, Tensor]:
        """How little the first pointer points at the named object, (B,) [nat], and where that is known, (B,)."""
        assert self._brain.pointer is not None
        wanted = spread_over(pixel.nan_to_num(), self._brain.pointer.grid)
        surprise = -(wanted * scores[:, 0].log_softmax(-1)).sum(-1)
        return surprise, whole & pixel.isfinite().all(dim=-1)

    def _rehearsal(self, frames: Tensor, walking: tuple[Tensor, Tensor] | None, piece: int, pieces: int) -> Tensor:
        """How far the walking policy and its value are from what they were; to the legs arms are shown at rest."""
        frames = frames.index_fill(-1, self._arms, 0.0)
        command = frames.new_zeros(len(frames), 3)
        if walking is not None:
            mine, asked = (tensor.chunk(pieces)[min(piece, len(tensor.chunk(pieces)) - 1)] for tensor in walking)
            frames, command = torch.cat((frames, mine)), torch.cat((command, asked))
        given = Inputs(frames, command)
        now = self._brain(given)
        with torch.no_grad():
            before = self._before(given)
        apart = (now.mean - before.mean) * torch.exp(-self._before.log_std)
        return 0.5 * apart.square().sum(-1).mean() + (now.value - before.value).square().mean()


def spread_over(pixel: Tensor, grid: tuple[int, int]) -> Tensor:
    """Weights of the cells of a grid over a picture whose mean is a place in it, as near as their middles allow.

    Args:
        pixel: from left to right, from top to bottom, 0 to 1, (B, 2).
        grid: cells from top to bottom, and from left to right.

    Returns:
        At most four of them are above zero, their sum is 1, (B, cells).
    """
    parts = []
    for place, count in zip(pixel.unbind(-1)[::-1], grid, strict=True):
        middle = (place * count - 0.5).clamp(0, count - 1)[:, None]
        parts.append((1.0 - (middle - torch.arange(count, device=pixel.device)).abs()).clamp(min=0.0))
    rows, columns = parts
    return (rows[:, :, None] * columns[:, None, :]).flatten(1)


def answer(brain: Brain, seen: Mapping[str, Tensor]) -> tuple[Tensor, Tensor]:
    """What chunks are made of, and where the sentences point."""
    past, scores = brain.look(seen["instruction"], seen["image"])
    assert past is not None and scores is not None
    return brain.reach(seen["proprioception"], past), scores


def _mean(values: Tensor, where: Tensor) -> Tensor:
    """Of values (B,) where a mask (B,) is true; 0 if it is nowhere."""
    return (values * where).sum() / where.sum().clamp(min=1)
