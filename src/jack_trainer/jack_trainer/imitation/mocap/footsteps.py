"""Where Jack's feet are to be: the person's steps at his scale, and rigid soles that stand still on the ground.

While a person's foot is on the ground, Jack's stands on one footprint and only tips over its heel or its toes; in
between it goes the person's way, bent so that it leaves one footprint and meets the next.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter1d, maximum_filter1d
from scipy.spatial.transform import Rotation

from jack_contract.arrays import Float64
from jack_trainer.imitation.mocap.body import Body
from jack_trainer.imitation.mocap.clip import SIDES, Clip
from jack_trainer.imitation.mocap.contacts import Contacts

#: A foot that is tipped by less stands flat [rad].
_FLAT = 0.06
#: How far it may tip over its heel and over its toes while it stands [rad].
_MOST_HEEL, _MOST_TOE = -0.35, 0.6
#: A standing person who turns the foot by more [rad], or moves it by more [m], does not stand still all the time,
#: but only where the foot is slower than this [m/s], [rad/s], averaged over this time [s].
_TURNED, _SLID = 0.6, 0.1
_SLIDES, _TURNS, _BLUR = 0.12, 0.8, 0.06
#: How high the sole is at least in the middle of a swing [m].
_CLEARANCE = 0.015


@dataclass(frozen=True)
class Footsteps:
    """Targets for both feet, left first."""

    #: of the ankles in world, (T, 2, 3) [m]
    position: Float64
    #: of the feet in world, unit quaternions x y z w, (T, 2, 4)
    orientation: Float64
    #: whether the foot stands, (T, 2)
    stands: NDArray[np.bool_]
    #: the person's ankles at Jack's scale, before they were put onto footprints, (T, 2, 3) [m]
    person: Float64


def plan_footsteps(clip: Clip, contacts: Contacts, body: Body, scale: float) -> Footsteps:
    """Targets for Jack's feet.

    Args:
        clip: the person's motion, a frame for each control period.
        contacts: of the person's feet.
        body: Jack's measures.
        scale: Jack's legs in the person's.
    """
    sides = [_Foot(clip, contacts, body, scale, side) for side in range(2)]
    paths = [foot.path() for foot in sides]
    return Footsteps(
        position=np.stack([position for position, _ in paths], axis=1),
        orientation=np.stack([orientation for _, orientation in paths], axis=1),
        stands=contacts.foot,
        person=np.stack([foot.position for foot in sides], axis=1),
    )


class _Foot:
    """One foot of the person at Jack's scale: its ankle's place and its orientation over time."""

    def __init__(self, clip: Clip, contacts: Contacts, body: Body, scale: float, side: int) -> None:
        self._body, self._rate = body, clip.rate
        self._stands = contacts.foot[:, side]
        name = SIDES[side]
        # Jack's hips are wide for his legs: his feet are as much further apart as his hips are.
        out = body.hip[0] - scale * abs(clip.rest_of(f"{name}_hip")[1])
        aside = clip.turned("pelvis").apply([0.0, out if side == 0 else -out, 0.0]) * [1, 1, 0]
        lifted = clip.at(f"{name}_ankle") - [0, 0, contacts.ankle_height[side]]
        self.position = scale * lifted + aside + [0, 0, body.ankle_height]
        flat = contacts.heel[:, side] & contacts.ball[:, side]
        self._turn = _levelled(clip.turned(f"{name}_ankle"), flat if flat.any() else self._stands)
        # The person rolls over the ball of the foot, and Jack over toes that are further ahead.
        ball = scale * (clip.rest_of(f"{name}_toe") - clip.rest_of(f"{name}_ankle"))[0]
        self._lever = float(np.clip(ball / body.toe[0], 0.2, 1.0))

    def path(self) -> tuple[Float64, Float64]:
        """Places of the ankle (T, 3) and orientations of the foot (T, 4)."""
        position, turn = self.position.copy(), self._turn.as_quat()
        for start, end in _runs(self._stands):
            position[start:end], turn[start:end] = self._standing(start, end)
        # What standing adds to the person's way, turns as rotation vectors in the foot; in swings it fades over.
        added = position - self.position
        bent = (self._turn.inv() * Rotation.from_quat(turn)).as_rotvec()
        for start, end in _runs(~self._stands):
            position[start:end] += _between(added, start, end)
            more = Rotation.from_rotvec(_between(bent, start, end))
            turn[start:end] = (self._turn[start:end] * more).as_quat()
        position[:, 2] += self._lift(position, Rotation.from_quat(turn))
        return position, turn

    def _standing(self, start: int, end: int) -> tuple[Float64, Float64]:
        """Poses on a footprint, tipped over the heel or the toes."""
        ahead = self._turn[start:end].apply([1.0, 0.0, 0.0])
        pitch = np.arcsin(-ahead[:, 2].clip(-1, 1))
        tipped = np.sign(pitch) * np.maximum(np.abs(pitch) - _FLAT, 0)
        tipped = np.where(tipped > 0, self._lever * tipped, tipped).clip(_MOST_HEEL, _MOST_TOE)
        # Over the sphere at that end of the sole, which stays where it is.
        x, z = np.where(tipped > 0, self._body.toe[:, None], self._body.heel[:, None])
        edge = np.stack([x, np.zeros_like(x), z], axis=1)
        place, heading = self._footprint(self.position[start:end, :2], ahead[:, :2], tipped == 0)
        yaw = _about([0, 0, 1], heading)
        turn = yaw * _about([0, 1, 0], tipped)
        level = np.column_stack([place, np.full(len(place), self._body.ankle_height)])
        return level + yaw.apply(edge) - turn.apply(edge), turn.as_quat()

    def _footprint(self, places: Float64, ahead: Float64, flat: NDArray[np.bool_]) -> tuple[Float64, Float64]:
        """Where the ankle of the flat foot is, (T, 2) [m], and where it points to, (T,) [rad].

        One place for all the time; but when a person turns on the ball, or slides, from one to the next.
        """
        turned = np.unwrap(np.arctan2(ahead[:, 1], ahead[:, 0]))
        way = np.column_stack([places, turned])
        still = np.ones_like(flat)
        if np.ptp(turned) > _TURNED or np.ptp(places, axis=0).max() > _SLID:
            pace = np.gradient(gaussian_filter1d(way, _BLUR * self._rate, axis=0), 1 / self._rate, axis=0)
            still = (np.linalg.norm(pace[:, :2], axis=1) < _SLIDES) & (np.abs(pace[:, 2]) < _TURNS)
        printed = way.copy()
        for start, end in _runs(still):
            chosen = flat[start:end] if flat[start:end].any() else slice(None)
            printed[start:end] = np.median(way[start:end][chosen], axis=0)
        added = printed - way
        for start, end in _runs(~still):
            printed[start:end] += _between(added, start, end)
        return printed[:, :2], printed[:, 2]

    def _lift(self, position: Float64, rotation: Rotation) -> Float64:
        """How much higher the foot has to be in its swings to stay clear of the ground, (T,) [m]."""
        ends = [[self._body.heel[0], 0, self._body.heel[1]], [self._body.toe[0], 0, self._body.toe[1]]]
        lowest = np.min([(position + rotation.apply(end))[:, 2] for end in ends], axis=0) - self._body.sole_radius
        lift = np.zeros(len(position))
        for start, end in _runs(~self._stands):
            hump = np.sin(np.pi * _share(start, end))
            need = np.maximum(_CLEARANCE * hump - lowest[start:end], 0)
            width = max(1, (end - start) // 4)
            smooth = gaussian_filter1d(maximum_filter1d(need, width), width / 3, mode="nearest")
            # Nothing at the ends, where the foot leaves the ground and meets it.
            lift[start:end] = smooth * np.minimum(1, 3 * hump)
        return lift


def _between(values: Float64, start: int, end: int) -> Float64:
    """From the value before a run of rows to the one behind it, smoothly; at a clip's end, the only one there is.

    Args:
        values: over time, (T, ...).
        start: of the run.
        end: of the run.
    """
    before = values[start - 1] if start > 0 else None
    after = values[end] if end < len(values) else None
    if before is None or after is None:
        only = after if before is None else before
        return np.tile(np.zeros_like(values[0]) if only is None else only, (end - start, 1))
    share = _share(start, end)[:, None]
    share = share * share * (3 - 2 * share)
    return (1 - share) * before + share * after


def _share(start: int, end: int) -> Float64:
    """How much of a swing is over in each of its rows, between 0 and 1."""
    return np.arange(1, end - start + 1) / (end - start + 1)


def _runs(mask: NDArray[np.bool_]) -> list[tuple[int, int]]:
    """Beginnings and ends of the runs of True."""
    edges = np.flatnonzero(np.diff(np.concatenate([[False], mask, [False]])))
    return [(int(start), int(end)) for start, end in edges.reshape(-1, 2)]


def _about(axis: list[float], angles: Float64) -> Rotation:
    """Turns about one axis by angles, (T,) [rad]."""
    return Rotation.from_rotvec(angles[:, None] * axis)


def _levelled(turns: Rotation, flat: NDArray[np.bool_]) -> Rotation:
    """Orientations of a foot that is level on average while it is flat on the ground; its heading stays."""
    if not flat.any():
        return turns
    ahead = turns.apply([1.0, 0.0, 0.0])
    heading = _about([0, 0, 1], np.arctan2(ahead[:, 1], ahead[:, 0]))
    tilts = (heading.inv() * turns).as_quat()[flat]
    return turns * Rotation.from_quat(tilts).mean().inv()
