"""What lies on a table and what it looks like: drawn at random, told as text, some of it kept for examinations."""

from __future__ import annotations

import json
import math
import zlib
from collections.abc import Sequence
from dataclasses import dataclass

import mujoco
import numpy as np
from numpy.typing import NDArray

from jack_contract.arrays import Float64
from jack_contract.errors import JackError, UnknownNameError

#: Free bodies that a layout may use.
SLOTS = 4
#: What things are called, and how they are drawn: red, green, blue, 0 to 1.
COLOURS: dict[str, tuple[float, float, float]] = {
    "red": (0.85, 0.10, 0.08),
    "green": (0.10, 0.62, 0.16),
    "blue": (0.10, 0.25, 0.85),
    "yellow": (0.95, 0.80, 0.08),
    "purple": (0.52, 0.14, 0.62),
}
SHAPES: dict[str, int] = {
    "cube": mujoco.mjtGeom.mjGEOM_BOX.value,
    "ball": mujoco.mjtGeom.mjGEOM_SPHERE.value,
    "cylinder": mujoco.mjtGeom.mjGEOM_CYLINDER.value,
}
#: One of so many sets of things is kept for examinations.
HELD_OUT_SHARE = 5

#: A description is some hundred characters; a longer one is refused unread.
MAX_DESCRIPTION = 10_000

#: Height of its top [m]: the least and the greatest. His shoulders are 1 m up and his arms 0.37 m long.
HEIGHTS = (0.77, 0.79)
#: Where the things' centres may be: x, y [m]. His hands get there, and his camera sees it.
REGION = ((0.205, 0.285), (-0.18, 0.18))
#: Half the width of a thing [m], least and greatest.
SIZES = (0.025, 0.029)
#: Two things are at least so far apart, centre to centre [m].
APART = 0.105
#: What a layout's pictures may differ in: tilt, turn and roll of the camera [degree], its place [m], its angle
#: [degree].
_TILTS, _PLACES, _ANGLES = 2.0, 0.006, 2.0
#: What a table may be made of: names of materials.
MATERIALS = ("table_plain", "table_grain", "table_checker", "table_speckle")


@dataclass(frozen=True)
class Thing:
    """A thing on the table."""

    colour: str
    shape: str
    #: x, y of its centre in world [m]
    place: tuple[float, float]
    #: half its width [m]
    size: float = 0.028
    #: about the vertical [rad]
    turn: float = 0.0

    def __post_init__(self) -> None:
        if self.colour not in COLOURS:
            raise UnknownNameError("colour", self.colour, COLOURS)
        if self.shape not in SHAPES:
            raise UnknownNameError("shape", self.shape, SHAPES)
        if not SIZES[0] <= self.size <= SIZES[1]:
            raise JackError(f"A thing's size is {self.size} m; allowed: {SIZES[0]} to {SIZES[1]}.")

    @property
    def kind(self) -> str:
        """What it is called."""
        return f"{self.colour} {self.shape}"


@dataclass(frozen=True)
class Looks:
    """What a layout's pictures look like, besides the things themselves. By default as it was built."""

    #: which of the table's materials
    material: int = 0
    #: of the table and of the floor: red, green, blue, 0 to 1
    table: tuple[float, float, float] = (0.72, 0.62, 0.50)
    floor: tuple[float, float, float] = (1.0, 1.0, 1.0)
    #: brightness of the two lights; 1: as built
    light: tuple[float, float] = (1.0, 1.0)
    #: from where the sun shines: x, y, z
    sun: tuple[float, float, float] = (-0.5, -0.45, -1.0)
    #: how the head's camera differs from where it belongs: tilt, turn, roll [degree]
    camera_turn: tuple[float, float, float] = (0.0, 0.0, 0.0)
    #: x, y, z [m]
    camera_place: tuple[float, float, float] = (0.0, 0.0, 0.0)
    #: vertical angle [degree]
    camera_angle: float = 0.0


@dataclass(frozen=True)
class Layout:
    """A table laid."""

    things: tuple[Thing, ...]
    #: of the table's top [m]
    height: float = 0.78
    looks: Looks = Looks()

    def __post_init__(self) -> None:
        kinds = [thing.kind for thing in self.things]
        if len(kinds) > SLOTS or len(set(kinds)) != len(kinds):
            raise JackError(f"A table takes at most {SLOTS} things, no two of a kind; given: {', '.join(kinds)}.")
        if not HEIGHTS[0] <= self.height <= HEIGHTS[1]:
            raise JackError(f"The table's height is {self.height} m; allowed: {HEIGHTS[0]} to {HEIGHTS[1]}.")

    @property
    def held_out(self) -> bool:
        """Whether it is kept for examinations."""
        return held_out([thing.kind for thing in self.things])

    def slot(self, kind: str) -> int:
        """Where a kind of thing is; an UnknownNameError lists those that are there."""
        kinds = [thing.kind for thing in self.things]
        if kind not in kinds:
            raise UnknownNameError("thing on the table", kind, kinds)
        return kinds.index(kind)


def held_out(kinds: Sequence[str]) -> bool:
    """Whether things that lie together are kept for examinations: one of five sets, by the set alone.

    The rule: the CRC-32 of the kinds in the order of the alphabet, with commas, is divisible by five. Who is taught
    has seen every kind of thing, but never these together.
    """
    return zlib.crc32(",".join(sorted(kinds)).encode()) % HELD_OUT_SHARE == 0


def draw_layout(random: np.random.Generator, held_out: bool | None = False, plain: bool = False) -> Layout:
    """Lay a table at random.

    Args:
        random: where all of it comes from.
        held_out: whether it is one that is kept for examinations; None: whichever comes.
        plain: whether it looks as it was built.
    """
    while True:
        count = int(random.integers(2, SLOTS + 1))
        kinds = random.choice(len(COLOURS) * len(SHAPES), count, replace=False)
        names = [(list(COLOURS)[kind % len(COLOURS)], list(SHAPES)[kind // len(COLOURS)]) for kind in kinds]
        places = _places(random, count)
        things = tuple(
            Thing(*name, (float(x), float(y)), _uniform(random, SIZES), _uniform(random, (-math.pi, math.pi)))
            for name, (x, y) in zip(names, places, strict=True)
        )
        looks = Looks() if plain else _draw_looks(random)
        layout = Layout(things, _uniform(random, HEIGHTS), looks)
        if held_out is None or layout.held_out is held_out:
            return layout


def layout_of(seed: int) -> Layout:
    """What lies on the table of a live simulation that is reset with a seed; with 0 it looks as it was built."""
    return draw_layout(np.random.default_rng(seed), held_out=None, plain=not seed)


def _places(random: np.random.Generator, count: int) -> Float64:
    """So many places that are far enough from each other, (count, 2) [m]."""
    low, high = np.array(REGION).T
    while True:
        places = random.uniform(low, high, (count, 2))
        distances = np.linalg.norm(places[:, None] - places[None], axis=-1) + APART * np.eye(count)
        if distances.min() >= APART:
            return places


def _draw_looks(random: np.random.Generator) -> Looks:
    shade = random.uniform(0.45, 0.95)
    tint = random.uniform(-0.12, 0.12, 3)
    table, floor = np.clip(shade + tint, 0.0, 1.0), random.uniform(0.55, 1.0, 3)
    around = random.uniform(-math.pi, math.pi)
    slant = random.uniform(0.3, 0.9)
    return Looks(
        material=int(random.integers(len(MATERIALS))),
        table=_triple(table),
        floor=_triple(floor),
        light=(_uniform(random, (0.6, 1.3)), _uniform(random, (0.5, 1.4))),
        sun=(float(slant * np.cos(around)), float(slant * np.sin(around)), -1.0),
        camera_turn=_triple(random.uniform(-_TILTS, _TILTS, 3)),
        camera_place=_triple(random.uniform(-_PLACES, _PLACES, 3)),
        camera_angle=_uniform(random, (-_ANGLES, _ANGLES)),
    )


def _uniform(random: np.random.Generator, limits: tuple[float, float]) -> float:
    return float(random.uniform(*limits))


def _triple(values: NDArray[np.floating]) -> tuple[float, float, float]:
    x, y, z = values.tolist()
    return x, y, z


# -- as text


def describe(layout: Layout, poses: Float64) -> str:
    """What is on a table, as JSON: its height, and each thing's kind, size and pose.

    Args:
        layout: what lies there.
        poses: of its things as they are: x, y, z in world [m] and orientation w x y z, (k, 7).
    """
    things = [
        {"colour": thing.colour, "shape": thing.shape, "size": thing.size, "pose": pose}
        for thing, pose in zip(layout.things, poses.tolist(), strict=True)
    ]
    return json.dumps({"height": layout.height, "things": things})


def read_description(text: str) -> tuple[Layout, Float64]:
    """The layout, as if it had been laid so, and the poses (k, 7), of a text that `describe` wrote.

    Raises:
        JackError: another text; says what is wrong.
    """
    if len(text) > MAX_DESCRIPTION:
        raise JackError(f"A table's description has at most {MAX_DESCRIPTION} characters, given: {len(text)}.")
    try:
        data = json.loads(text)
        poses = np.array([thing["pose"] for thing in data["things"]], dtype=np.float64).reshape(-1, 7)
        if not np.isfinite(poses).all():
            raise ValueError("a pose that is no number")
        things = tuple(
            Thing(thing["colour"], thing["shape"], (float(pose[0]), float(pose[1])), float(thing["size"]))
            for thing, pose in zip(data["things"], poses, strict=True)
        )
        return Layout(things, float(data["height"])), poses
    except (KeyError, TypeError, ValueError, RecursionError) as error:
        raise JackError(f"Not the description of a table: {type(error).__name__} {error}.") from error
