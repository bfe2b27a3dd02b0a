"""The array types that signatures name, and the one shape check."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from jack_contract.errors import ShapeError

Array = NDArray[np.floating[Any]]
Float32 = NDArray[np.float32]
Float64 = NDArray[np.float64]
#: which of a batch: a boolean mask (N,) or indices (k,)
Index = NDArray[np.bool_] | NDArray[np.integer[Any]]


def require_last(what: str, array: Array, size: int) -> None:
    """Raise a ShapeError unless the last dimension of `array` is `size`."""
    if array.ndim == 0 or array.shape[-1] != size:
        raise ShapeError(what, array.shape, f"(..., {size})")
