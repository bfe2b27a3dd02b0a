"""What may be asked of him: as far as he was taught."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from jack_contract.arrays import Float64

#: Least and greatest vx, vy [m/s] and yaw rate [rad/s], (2, 3).
LIMITS = np.array([(-0.3, -0.3, -0.8), (1.0, 0.3, 0.8)])
LIMITS.flags.writeable = False


def limited(velocity: Sequence[float] | Float64) -> Float64:
    """A velocity (3,) within the limits; what is no number counts as zero."""
    values = np.asarray(velocity, dtype=np.float64)
    return np.clip(np.where(np.isfinite(values), values, 0.0), *LIMITS)


def approach(now: Float64, wanted: Float64, acceleration: Float64, elapsed: float) -> Float64:
    """A velocity (3,) on its way to another, no faster than `acceleration` (3,) [m/s^2, rad/s^2] for a time [s]."""
    most = acceleration * max(0.0, elapsed)
    return now + np.clip(wanted - now, -most, most)
