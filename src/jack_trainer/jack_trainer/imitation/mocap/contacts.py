"""Which foot of a recorded person is on the ground, and when: low and slow, at the heel or at the ball."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import binary_closing, binary_opening

from jack_contract.arrays import Float64
from jack_trainer.imitation.mocap.clip import SIDES, Clip

#: A point of the foot is on the ground when it is no higher above its usual height there, and no faster, both for a
#: leg of 1 m: [m], [m/s].
_HIGH, _FAST = 0.05, 0.55
#: Heights of the two feet on the ground differ by no more than this [m].
_UNEVEN = 0.03
#: Contacts that are shorter are noise, and so are times between them [s]; the swing of a run lasts 0.3 s.
_SHORT_CONTACT, _SHORT_GAP = 0.06, 0.12


@dataclass(frozen=True)
class Contacts:
    """Contacts of both feet, left first."""

    #: whether the heel is on the ground, (T, 2)
    heel: NDArray[np.bool_]
    #: whether the ball is, (T, 2)
    ball: NDArray[np.bool_]
    #: how high the ankle is when its heel is on the ground, (2,) [m]
    ankle_height: Float64

    @property
    def foot(self) -> NDArray[np.bool_]:
        """Whether a foot is on the ground at all, (T, 2)."""
        return self.heel | self.ball


def find_contacts(clip: Clip) -> Contacts:
    """Contacts of a person's feet with level ground.

    The ankle stands for the heel, above which it is: it stops when the heel strikes, and rises when it lifts.
    """
    ankle, ankle_height = _on_ground(clip, "ankle")
    ball, _ = _on_ground(clip, "toe")
    return Contacts(ankle, ball, ankle_height)


def _on_ground(clip: Clip, part: str) -> tuple[NDArray[np.bool_], Float64]:
    places = np.stack([clip.at(f"{side}_{part}") for side in SIDES], axis=1)
    speed = np.linalg.norm(np.gradient(places, 1 / clip.rate, axis=0), axis=-1)
    slow = speed < _FAST * clip.leg
    level = np.array([_level(places[:, side, 2], slow[:, side]) for side in range(2)])
    level = np.minimum(level, level.min() + _UNEVEN)
    touches = slow & (places[..., 2] < level + _HIGH * clip.leg)
    return np.stack([_without_noise(touches[:, side], clip.rate) for side in range(2)], axis=1), level


def _level(height: Float64, slow: NDArray[np.bool_]) -> float:
    """The usual height of a point while it is on the ground: mostly it is slow there, and seldom elsewhere."""
    return float(np.percentile(height[slow], 30) if slow.any() else height.min())


def _without_noise(touches: NDArray[np.bool_], rate: float) -> NDArray[np.bool_]:
    gap, contact = (np.ones(max(1, round(time * rate)), bool) for time in (_SHORT_GAP, _SHORT_CONTACT))
    padded = np.pad(touches, len(gap), mode="edge")
    cleaned = np.asarray(binary_opening(binary_closing(padded, gap), contact), bool)
    return cleaned[len(gap) : -len(gap)]
