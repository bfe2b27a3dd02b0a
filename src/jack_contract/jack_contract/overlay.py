"""Where in a picture something is, made visible: shared by whoever shows what he looks at."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from jack_contract.arrays import Float64

#: The colour, and how much of a picture it covers where the weight is greatest [1].
_COLOUR, _COVER = np.array([255.0, 60.0, 0.0]), 0.6


def pointed(image: NDArray[np.uint8], weights: NDArray[Any]) -> NDArray[np.uint8]:
    """A picture with where a sentence points made red.

    Args:
        image: RGB, (height, width, 3).
        weights: of the patches of its middle, in the shape of which a policy sees it, (rows, columns); the greatest
            is as red as it gets.
    """
    height, width = image.shape[:2]
    rows, columns = weights.shape
    patch = min(height / rows, width / columns)  # of so many pixels an edge
    down, right = (_between(*of, patch) for of in ((height, rows), (width, columns)))
    share = down @ (weights / max(float(weights.max()), 1e-9)) @ right.T
    return np.rint(image + _COVER * share[..., None] * (_COLOUR - image)).astype(np.uint8)


def _between(pixels: int, patches: int, patch: float) -> Float64:
    """What each patch counts for each pixel, linearly between their middles, (pixels, patches); 0 beyond them."""
    place = (np.arange(pixels) + 0.5 - 0.5 * (pixels - patches * patch)) / patch
    apart = np.abs(place.clip(0.5, patches - 0.5)[:, None] - 0.5 - np.arange(patches))
    return np.maximum(1.0 - apart, 0.0) * ((place >= 0) & (place <= patches))[:, None]
