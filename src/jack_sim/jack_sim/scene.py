"""Scenes: Jack and the world around him, compiled for the purpose at hand from one set of files."""

from __future__ import annotations

from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Literal, get_args

import mujoco
import numpy as np

from jack_contract.errors import JackError, UnknownNameError
from jack_sim.tabletop import TABLETOP, furnish

Collision = Literal["legs", "full"]

#: Geom groups of jack.xml: what one sees, the soles, the rest of the body but for the legs, the legs.
VISUAL_GROUP, SOLE_GROUP, BODY_GROUP, LEG_GROUP = 2, 3, 4, 5
#: Name of the mocap body and of the weld that a gantry adds.
GANTRY = "gantry"
#: Name of the root body.
ROOT = "pelvis"
#: Name of the ground.
FLOOR = "floor"
#: How far the soles reach from under the pelvis [m].
REACH = 0.2
_PREFIX = "scene_"


def models_folder() -> Path:
    """Where the MJCF and URDF files lie."""
    return Path(str(resources.files("jack_sim") / "models"))


def scene_names() -> list[str]:
    """The scenes that ship with Jack."""
    files = (path.stem.removeprefix(_PREFIX) for path in models_folder().glob(f"{_PREFIX}*.xml"))
    return sorted([*files, TABLETOP])


@dataclass(frozen=True)
class SceneOptions:
    """Which world to compile, and for what."""

    #: name of the scene; scene_names() lists them
    scene: str = "flat"
    #: which geoms touch: "legs", the soles on the ground and the legs (for training), or "full", the whole body
    collision: Collision = "full"
    #: whether to keep what is only there to be looked at
    visuals: bool = True
    #: whether to add the gantry, a body that can hold the pelvis
    gantry: bool = False
    #: how far the ground rises forwards [degree]
    slope: float = 0.0
    #: physics step [s]
    timestep: float = 0.005
    #: most iterations of the constraint solver in a step [1]
    iterations: int = 8
    #: most iterations of the solver's line search [1]
    ls_iterations: int = 8

    def __post_init__(self) -> None:
        if self.scene not in scene_names():
            raise UnknownNameError("scene", self.scene, scene_names())
        if self.collision not in get_args(Collision):
            raise UnknownNameError("collision set", self.collision, get_args(Collision))
        if not -30.0 <= self.slope <= 30.0:
            raise JackError(f"slope is {self.slope} degrees; allowed: -30 to 30.")
        if not 1e-4 <= self.timestep <= 0.02:
            raise JackError(f"timestep is {self.timestep} s; allowed: 0.0001 to 0.02.")
        if self.iterations < 1 or self.ls_iterations < 1:
            raise JackError(
                f"iterations and ls_iterations are {self.iterations} and {self.ls_iterations}; allowed: 1 or more."
            )


#: Thousands of worlds: only soles and legs touch, nothing to look at. A leg that could pass through the other one
#: would learn to.
TRAINING = SceneOptions(collision="legs", visuals=False)
#: The one world that people see: everything touches, and a gantry can hold Jack.
LIVE = SceneOptions(collision="full", visuals=True, gantry=True)


def load_spec(options: SceneOptions) -> mujoco.MjSpec:
    """The scene as an editable description, already cut down to what the options ask for."""
    table = options.scene == TABLETOP
    spec = mujoco.MjSpec.from_file(str(models_folder() / f"{_PREFIX}{'flat' if table else options.scene}.xml"))
    if table:
        furnish(spec)
    spec.option.timestep = options.timestep
    spec.option.iterations = options.iterations
    spec.option.ls_iterations = options.ls_iterations
    # What touches is looked for in boxes around it, and the ground's would stay as it is compiled (`incline`).
    spec.option.disableflags |= mujoco.mjtDisableBit.mjDSBL_MIDPHASE.value
    if options.collision == "legs":
        _strip_geoms(spec, BODY_GROUP)
    if not options.visuals:
        _strip_geoms(spec, VISUAL_GROUP)
        _strip_assets(spec)
    if options.gantry:
        _add_gantry(spec)
    if options.slope:
        _tilt_ground(spec, np.radians(options.slope))
    return spec


def load_model(options: SceneOptions = LIVE) -> mujoco.MjModel:
    """Compile a scene.

    Args:
        options: what to compile; TRAINING and LIVE are the two in use.

    Returns:
        The model. Joint order, actuators and dynamics do not depend on `collision`, `visuals` or `gantry`.

    Raises:
        UnknownNameError: for a scene that is not there (raised by SceneOptions); it lists those that are.
    """
    return load_spec(options).compile()


def _tilt_ground(spec: mujoco.MjSpec, angle: float) -> None:
    """Turn the floor about y, so that it rises along x, and start on top of it instead of with the toes inside."""
    spec.geom(FLOOR).quat = [np.cos(angle / 2), 0.0, -np.sin(angle / 2), 0.0]
    for key in spec.keys:
        qpos = np.array(key.qpos)
        qpos[2] += REACH * abs(np.sin(angle))
        key.qpos = qpos


def _strip_geoms(spec: mujoco.MjSpec, group: int) -> None:
    for geom in list(spec.geoms):
        if geom.group == group:
            spec.delete(geom)


def _strip_assets(spec: mujoco.MjSpec) -> None:
    for geom in spec.geoms:
        geom.material = ""
    for asset in [*spec.meshes, *spec.materials, *spec.textures]:
        spec.delete(asset)


def _add_gantry(spec: mujoco.MjSpec) -> None:
    """A mocap body welded to the pelvis, softly enough to take up a landing (5 cm/s: 1 mm), and off at first."""
    pelvis = spec.body(ROOT)
    spec.worldbody.add_body(name=GANTRY, mocap=True, pos=pelvis.pos)
    weld = spec.add_equality(
        name=GANTRY,
        type=mujoco.mjtEq.mjEQ_WELD,
        objtype=mujoco.mjtObj.mjOBJ_BODY,
        name1=GANTRY,
        name2=ROOT,
        active=False,
        solref=[0.04, 1.0],
    )
    # Anchor (3), relative pose (position 3, quaternion w x y z 4), torque scale (1).
    weld.data[:11] = [0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 1]
