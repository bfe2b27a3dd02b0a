"""A table before Jack, and on it things to touch: where they are, what they look like, and what he sees of them.

One model serves every layout: it has a table and four slots, each a free body with one geom of the size of a cube.
A ball and a cylinder of that size fit into the same bounds, so that a slot becomes either by its geom's type alone,
and a batch may hold another layout in each of its simulations. A slot that is not used lies far behind him.
"""

from __future__ import annotations

import json
import math
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import mujoco
import numpy as np
from numpy.typing import NDArray

from jack_contract.arrays import Float64
from jack_contract.errors import JackError, UnknownNameError

#: Name of the scene.
TABLETOP = "tabletop"
TABLE = "table"
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

#: Edge of the table before him, half its depth and width, and the thickness of its top [m].
EDGE, HALF_DEPTH, HALF_WIDTH, _THICKNESS = 0.16, 0.17, 0.42, 0.03
#: Height of its top [m]: the least and the greatest. His shoulders are 1 m up and his arms 0.37 m long.
HEIGHTS = (0.77, 0.79)
#: Where the things' centres may be: x, y [m]. His hands get there, and his camera sees it.
REGION = ((0.205, 0.285), (-0.18, 0.18))
#: Half the width of a thing [m], least and greatest.
SIZES = (0.025, 0.029)
#: Two things are at least so far apart, centre to centre [m].
APART = 0.105
#: Of a thing [kg]; damping of its motion, which lets a ball come to rest [N m s/rad].
_MASS, _DAMPING = 0.12, 0.002
#: What a slot that is not used is put to: so far behind him, so far apart [m].
_FAR, _BETWEEN = -20.0, 0.5
#: His head is turned down so far before a table [degree], so that he sees it.
TILT = 50.0
#: What a layout's pictures may differ in: tilt, turn and roll of the camera [degree], its place [m], its angle
#: [degree].
_TILTS, _PLACES, _ANGLES = 2.0, 0.006, 2.0
_LIGHTS = ("sky", "sun")
_MATERIALS = ("table_plain", "table_grain", "table_checker", "table_speckle")


def slot_name(slot: int) -> str:
    """Name of a slot's body, joint and geom, of its number from 0."""
    return f"thing_{slot + 1}"


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
        material=int(random.integers(len(_MATERIALS))),
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


# -- the model


def furnish(spec: mujoco.MjSpec) -> None:
    """Put a table and the slots into a scene with Jack, and turn his head's camera down to it."""
    _add_materials(spec)
    _add_table(spec)
    for slot in range(SLOTS):
        _add_slot(spec, slot)
    head = spec.camera("head")
    head.alt.type, head.quat = mujoco.mjtOrientation.mjORIENTATION_QUAT, _camera_turn(np.zeros(3))
    parked = np.concatenate([_pose(_parked(slot)) for slot in range(SLOTS)])
    for key in spec.keys:
        key.qpos = np.concatenate([key.qpos, parked])


def _add_materials(spec: mujoco.MjSpec) -> None:
    builtin, mark = mujoco.mjtBuiltin, mujoco.mjtMark
    looks: dict[str, dict[str, Any]] = {
        "table_grain": {"builtin": builtin.mjBUILTIN_GRADIENT, "rgb1": [0.75] * 3, "rgb2": [1.0] * 3},
        "table_checker": {"builtin": builtin.mjBUILTIN_CHECKER, "rgb1": [0.8] * 3, "rgb2": [1.0] * 3},
        "table_speckle": {
            "builtin": builtin.mjBUILTIN_FLAT,
            "rgb1": [0.95] * 3,
            "mark": mark.mjMARK_RANDOM,
            "markrgb": [0.55] * 3,
            "random": 0.06,
        },
    }
    spec.add_material(name="table_plain", specular=0.1)
    for name, look in looks.items():
        spec.add_texture(name=name, type=mujoco.mjtTexture.mjTEXTURE_2D, width=128, height=128, **look)
        material = spec.add_material(name=name, texrepeat=[8, 8], texuniform=True, specular=0.1)
        textures = list(material.textures)
        textures[mujoco.mjtTextureRole.mjTEXROLE_RGB] = name
        material.textures = textures


def _add_table(spec: mujoco.MjSpec) -> None:
    """A top and four legs; the body's origin is the middle of the top's surface."""
    body = spec.worldbody.add_body(name=TABLE, pos=[EDGE + HALF_DEPTH, 0.0, Layout(()).height])
    solid: dict[str, Any] = {"contype": 4, "conaffinity": 6, "material": _MATERIALS[0], "rgba": [*Looks().table, 1]}
    body.add_geom(
        name=TABLE,
        type=mujoco.mjtGeom.mjGEOM_BOX,
        size=[HALF_DEPTH, HALF_WIDTH, _THICKNESS / 2],
        pos=[0.0, 0.0, -_THICKNESS / 2],
        friction=[0.6, 0.005, 0.0001],
        **solid,
    )
    for x in (-1, 1):
        for y in (-1, 1):
            foot = [x * (HALF_DEPTH - 0.03), y * (HALF_WIDTH - 0.03)]
            body.add_geom(
                name=f"{TABLE}_leg_{'near' if x < 0 else 'far'}_{'right' if y < 0 else 'left'}",
                type=mujoco.mjtGeom.mjGEOM_CYLINDER,
                fromto=[*foot, -_THICKNESS, *foot, -HEIGHTS[0]],
                size=[0.018, 0, 0],
                **solid,
            )


def _add_slot(spec: mujoco.MjSpec, slot: int) -> None:
    name, largest = slot_name(slot), SIZES[1]
    inertia = 0.5 * _MASS * largest**2  # between a cube's and a ball's
    body = spec.worldbody.add_body(
        name=name,
        pos=_parked(slot),
        mass=_MASS,
        ipos=[0.0, 0.0, 0.0],  # or it would be the body's own place
        inertia=[inertia] * 3,
        explicitinertial=True,
    )
    body.add_joint(name=name, type=mujoco.mjtJoint.mjJNT_FREE, damping=_DAMPING)
    body.add_geom(
        name=name,
        type=mujoco.mjtGeom.mjGEOM_BOX,
        size=[largest] * 3,
        mass=0.0,
        contype=4,
        conaffinity=7,
        friction=[0.6, 0.005, 0.0001],
        rgba=[0.5, 0.5, 0.5, 1],
    )


def _parked(slot: int) -> list[float]:
    return [_FAR, _BETWEEN * slot, SIZES[0]]


def _pose(place: Sequence[float], turn: float = 0.0) -> Float64:
    """Position and orientation w x y z, (7,)."""
    return np.array([*place, math.cos(turn / 2), 0.0, 0.0, math.sin(turn / 2)])


def _camera_turn(differs: NDArray[np.floating]) -> Float64:
    """Orientation of the camera in the head, w x y z; `differs`: tilt, turn, roll from where it is [degree]."""
    tilt, turn, roll = np.radians(differs)
    down = math.radians(TILT) + tilt
    # MuJoCo's cameras look along -z, y is up: x is to his right.
    c, s = math.cos(down), math.sin(down)
    axes = np.array([[0.0, s, -c], [-1.0, 0.0, 0.0], [0.0, c, s]])
    quaternion, turned = np.zeros(4), np.zeros(4)
    mujoco.mju_mat2Quat(quaternion, axes.ravel())
    mujoco.mju_euler2Quat(turned, np.array([0.0, turn, roll]), "xyz")
    both = np.zeros(4)
    mujoco.mju_mulQuat(both, quaternion, turned)
    return both


#: Gives a field of the model, as in MjModel, of one simulation; it is written to.
Fields = Callable[[str], NDArray[Any]]


class Table:
    """The table and the slots of a compiled model.

    Attributes:
        bodies: ids of the slots' bodies, (SLOTS,).
        addresses: where each slot's pose lies in a generalised position, (SLOTS,).
    """

    def __init__(self, model: mujoco.MjModel) -> None:
        """Find them; a JackError says that there are none."""
        if not has_table(model):
            raise JackError(f"This scene has no table; load it with SceneOptions(scene='{TABLETOP}').")
        names = [slot_name(slot) for slot in range(SLOTS)]
        self.bodies = np.array([model.body(name).id for name in names])
        self.addresses = np.array([model.joint(name).qposadr[0] for name in names])
        self.velocities = np.array([model.joint(name).dofadr[0] for name in names])
        self._geoms = [model.geom(name).id for name in names]
        self._table = model.body(TABLE).id
        self._surfaces = [geom for geom in range(model.ngeom) if model.geom_bodyid[geom] == self._table]
        self._floor = model.geom("floor").id
        self._built = {name: getattr(model, name).copy() for name in ("cam_pos", "cam_fovy", "light_diffuse")}
        self._head = model.camera("head").id
        self._lights = [model.light(name).id for name in _LIGHTS]
        known = {model.material(index).name: index for index in range(model.nmat)}
        #: none where the model was compiled without visuals
        self._materials = [known[name] for name in _MATERIALS if name in known]

    def lay(self, layout: Layout, fields: Fields) -> None:
        """Give a simulation's model the things of a layout, and its looks. Their places are `place`'s business."""
        fields("body_pos")[self._table, 2] = layout.height
        kinds, sizes, colours = fields("geom_type"), fields("geom_size"), fields("geom_rgba")
        for slot, geom in enumerate(self._geoms):
            thing = layout.things[slot] if slot < len(layout.things) else None
            kinds[geom] = SHAPES[thing.shape if thing else "ball"]
            sizes[geom] = thing.size if thing else SIZES[0]
            colours[geom, :3] = COLOURS[thing.colour] if thing else 0.5
        self._dress(layout.looks, fields)

    def place(self, layout: Layout, position: Float64) -> None:
        """Put the things of a layout to their places in a generalised position (nq,)."""
        for slot, address in enumerate(self.addresses):
            pose = _pose(_parked(slot))
            if slot < len(layout.things):
                thing = layout.things[slot]
                pose = _pose([*thing.place, layout.height + thing.size], thing.turn)
            position[address : address + 7] = pose

    def _dress(self, looks: Looks, fields: Fields) -> None:
        colours = fields("geom_rgba")
        colours[self._surfaces, :3] = looks.table
        fields("cam_quat")[self._head] = _camera_turn(np.array(looks.camera_turn))
        fields("cam_pos")[self._head] = self._built["cam_pos"][self._head] + looks.camera_place
        fields("cam_fovy")[self._head] = self._built["cam_fovy"][self._head] + looks.camera_angle
        light = fields("light_diffuse")
        for index, share in zip(self._lights, looks.light, strict=True):
            light[index] = share * self._built["light_diffuse"][index]
        sun = np.array(looks.sun)
        fields("light_dir")[self._lights[1]] = sun / np.linalg.norm(sun)
        if self._materials:
            fields("geom_matid")[self._surfaces] = self._materials[looks.material % len(self._materials)]
            colours[self._floor, :3] = looks.floor


def has_table(model: mujoco.MjModel) -> bool:
    """Whether a model has a table and slots."""
    return mujoco.mj_name2id(model, mujoco.mjtObj.mjOBJ_BODY, TABLE) >= 0
