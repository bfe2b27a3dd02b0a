"""Jack's measures, as retargeting needs them: read from his model, so that a new model needs no new figures."""

from __future__ import annotations

from dataclasses import dataclass

import mujoco
import numpy as np

from jack_contract.arrays import Float64
from jack_contract.errors import JackError
from jack_sim.scene import SOLE_GROUP, SceneOptions, load_model
from jack_trainer.imitation.mocap.clip import SIDES


@dataclass(frozen=True)
class Body:
    """Jack's model, and lengths of his limbs [m], of the left side; the right one mirrors it."""

    model: mujoco.MjModel
    #: from the middle to the hip, and from the pelvis' origin down to the hips
    hip: tuple[float, float]
    #: hip to knee to ankle
    leg: float
    #: shoulder to elbow, elbow to hand
    arm: tuple[float, float]
    #: the ankle above the ground when the foot is flat on it
    ankle_height: float
    #: from the ankle to the heel's and to the toes' contact spheres, x and z in the foot
    heel: Float64
    toe: Float64
    #: radius of those spheres
    sole_radius: float


def load_body() -> Body:
    """Measure Jack.

    Raises:
        JackError: the model is not symmetric, so that one side does not tell the other.
    """
    model = load_model(SceneOptions(visuals=False))
    data = mujoco.MjData(model)
    data.qpos[:] = model.qpos0
    mujoco.mj_kinematics(model, data)
    left, right = (_places(model, data, side) for side in SIDES)
    if any(not np.allclose(left[name], right[name] * [1, -1, 1], atol=1e-6) for name in left):
        raise JackError("Jack's model has two different sides, and motions cannot be given to it.")
    below = left["hip"] - data.xpos[model.body("pelvis").id]
    sole = {end: left[end] - left["ankle"] for end in ("heel", "toe")}
    radius = float(model.geom_size[model.geom("left_heel_inner").id, 0])
    return Body(
        model=model,
        hip=(float(left["hip"][1]), float(-below[2])),
        leg=_length(left, "hip", "knee") + _length(left, "knee", "ankle"),
        arm=(_length(left, "shoulder", "elbow"), _length(left, "elbow", "hand")),
        ankle_height=float(radius - sole["heel"][2]),
        heel=sole["heel"][[0, 2]],
        toe=sole["toe"][[0, 2]],
        sole_radius=radius,
    )


def sole_ids(model: mujoco.MjModel) -> list[int]:
    """The spheres that feet stand on: left heel and toes, then the right ones."""
    names = [f"{side}_{end}_{edge}" for side in SIDES for end in ("heel", "toe") for edge in ("inner", "outer")]
    ids = [model.geom(name).id for name in names]
    if set(ids) != set(np.flatnonzero(model.geom_group == SOLE_GROUP)):
        raise JackError("Jack's model has soles that retargeting does not know.")
    return ids


def _places(model: mujoco.MjModel, data: mujoco.MjData, side: str) -> dict[str, Float64]:
    def ankle_to(end: str) -> Float64:
        both = [data.geom_xpos[model.geom(f"{side}_{end}_{edge}").id] for edge in ("inner", "outer")]
        return np.mean(both, axis=0)

    bodies = {
        "hip": "hip_roll_link",
        "knee": "shin_link",
        "ankle": "ankle_link",
        "shoulder": "shoulder_roll_link",
        "elbow": "forearm_link",
    }
    places = {name: data.xpos[model.body(f"{side}_{body}").id].copy() for name, body in bodies.items()}
    places["hand"] = data.site_xpos[model.site(f"{side}_hand").id].copy()
    return places | {"heel": ankle_to("heel"), "toe": ankle_to("toe")}


def _length(places: dict[str, Float64], start: str, end: str) -> float:
    return float(np.linalg.norm(places[end] - places[start]))
