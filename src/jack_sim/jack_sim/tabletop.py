"""A table before Jack, and on it things to touch: where they are, what they look like, and what he sees of them.

One model serves every layout: it has a table and four slots, each a free body with one geom of the size of a cube.
A ball and a cylinder of that size fit into the same bounds, so that a slot becomes either by its geom's type alone,
and a batch may hold another layout in each of its simulations. A slot that is not used lies far behind him.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import mujoco
import numpy as np
from numpy.typing import NDArray

from jack_contract.arrays import Float64
from jack_contract.errors import JackError
from jack_sim.layout import COLOURS, HEIGHTS, MATERIALS, SHAPES, SIZES, SLOTS, Layout, Looks

#: Name of the scene.
TABLETOP = "tabletop"
TABLE = "table"
#: Name of the camera of who watches him, and where it is: left of the table, beyond it, looking back at it [m].
AUDIENCE, _SEAT = "audience", (1.35, 1.15, 1.35)
#: Edge of the table before him, half its depth and width, and the thickness of its top [m].
EDGE, HALF_DEPTH, HALF_WIDTH, _THICKNESS = 0.16, 0.17, 0.42, 0.03
#: Of a thing [kg]; damping of its motion, which lets a ball come to rest [N m s/rad].
_MASS, _DAMPING = 0.12, 0.002
#: What a slot that is not used is put to: so far behind him, so far apart [m].
_FAR, _BETWEEN = -20.0, 0.5
#: His head is turned down so far before a table [degree], so that he sees it.
TILT = 50.0
_LIGHTS = ("sky", "sun")


def slot_name(slot: int) -> str:
    """Name of a slot's body, joint and geom, of its number from 0."""
    return f"thing_{slot + 1}"


def furnish(spec: mujoco.MjSpec) -> None:
    """Put a table and the slots into a scene with Jack, and turn his head's camera down to it."""
    _add_materials(spec)
    _add_table(spec)
    for slot in range(SLOTS):
        _add_slot(spec, slot)
    head = spec.camera("head")
    head.alt.type, head.quat = mujoco.mjtOrientation.mjORIENTATION_QUAT, _camera_turn(np.zeros(3))
    spec.worldbody.add_camera(
        name=AUDIENCE, pos=_SEAT, fovy=40, mode=mujoco.mjtCamLight.mjCAMLIGHT_TARGETBODY, targetbody=TABLE
    )
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
    solid: dict[str, Any] = {"contype": 4, "conaffinity": 6, "material": MATERIALS[0], "rgba": [*Looks().table, 1]}
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
        self._materials = [known[name] for name in MATERIALS if name in known]

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
