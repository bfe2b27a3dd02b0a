"""Sizes of the brain. One shape of network; only these four numbers differ."""

from __future__ import annotations

from dataclasses import dataclass

from jack_contract.errors import JackError, UnknownNameError


@dataclass(frozen=True)
class BrainSize:
    """How wide and how deep the transformer is."""

    #: numbers in a token
    width: int
    #: transformer layers
    layers: int
    #: attention heads; they divide the width
    heads: int
    #: hidden units of each layer's feed-forward part
    feedforward: int

    def __post_init__(self) -> None:
        if min(self.width, self.layers, self.heads, self.feedforward) < 1 or self.width % self.heads:
            raise JackError(f"A brain needs sizes of at least 1 and heads that divide its width, given: {self}.")


#: `nano` learns on two CPU cores and decides a tick in a tenth of a millisecond; `base` wants a GPU.
PRESETS: dict[str, BrainSize] = {
    "nano": BrainSize(width=64, layers=2, heads=4, feedforward=128),
    "small": BrainSize(width=128, layers=4, heads=4, feedforward=256),
    "base": BrainSize(width=256, layers=6, heads=8, feedforward=1024),
}


def preset(name: str) -> BrainSize:
    """A size by name; an UnknownNameError lists the valid ones."""
    if name not in PRESETS:
        raise UnknownNameError("brain size", name, PRESETS)
    return PRESETS[name]
