"""What is kept from him who learns, so that he does not lean on it: a picture, a sentence, how his arms move.

Without pictures, sentences or both he is to do what can be done without.

An expert hardly ever rests before it is done. Who may feel how his arms move learns to go on as they do, and so,
once at rest, to stay (the copycat problem, Wen et al. 2020, arXiv 2010.14876). Where an object says what is to be
done next, half of the samples therefore show a body that was at rest, where it is now, all the while. Who waves has
nothing but his own movement to tell him.
"""

from __future__ import annotations

import torch
from torch import Tensor

from jack_brain.chunk import DARKNESS, SILENCE


def at_rest(frames: Tensor, speeds: slice) -> Tensor:
    """Histories (B, H, D) of bodies that are where they are now, and have been all the while.

    Args:
        frames: as they were, oldest first.
        speeds: columns that tell how fast joints turn.
    """
    now = frames[:, -1:].clone()
    now[..., speeds] = 0.0
    return now.expand_as(frames)


def withhold(seen: dict[str, Tensor], blind: Tensor, deaf: Tensor) -> None:
    """Take the picture of some samples (B,) away, and the sentence of others."""
    image = seen["image"] if seen["image"].is_floating_point() else seen["image"].float() / 255.0
    dark, silence = image.new_tensor(DARKNESS / 255.0), seen["instruction"].new_tensor(SILENCE)
    seen["image"] = torch.where(blind[:, None, None, None], dark, image)
    seen["instruction"] = torch.where(deaf[:, None], silence, seen["instruction"])
