"""How near a motion of Jack is to the person's, and what is wrong with it, in numbers."""

from __future__ import annotations

from dataclasses import dataclass

import mujoco
import numpy as np

from jack_contract.arrays import Float64
from jack_contract.robot import RobotSpec
from jack_sim.scene import FLOOR
from jack_trainer.imitation.mocap.body import Body, sole_ids
from jack_trainer.imitation.mocap.clip import SIDES
from jack_trainer.imitation.mocap.solver import FREE, Targets

#: A joint that is so near to its limit is at it [rad].
_AT_LIMIT = 2e-3
#: What is deeper in the ground, or in another part of him, counts [m].
_DEEP = 1e-3


@dataclass(frozen=True)
class Figures:
    """Figures of a motion."""

    #: how long it lasts [s]
    seconds: float
    #: share of the time at which at least one foot stands
    standing: float
    #: mean speed of a standing foot's lowest point over the ground [m/s]
    skate: float
    #: how deep a sole is in the ground at worst [m], and the share of periods with one deeper than 1 mm
    penetration: float
    penetrating: float
    #: share of periods in which he touches himself
    touching: float
    #: share of joints and periods at a limit of the joint, and the joint that is there most
    at_limit: float
    limited_joint: str
    #: greatest speed of a joint in its limit
    speed: float
    #: root mean square of how far hands and feet are from the person's at Jack's scale [m]: hands from where the
    #: directions of the person's arms put them, feet from the person's ankles, further apart as Jack's hips are
    hands: float
    feet: float


def measure(
    body: Body, robot: RobotSpec, targets: Targets, positions: Float64, velocities: Float64, part: slice
) -> Figures:
    """Figures of a motion, or of a part of it.

    Args:
        body: Jack's measures.
        robot: what is known of his joints.
        targets: where his parts were to be.
        positions: generalised positions, (T, nq).
        velocities: generalised velocities, (T, nv).
        part: which periods count.
    """
    soles, ankles, hands, wished, touching = _places(body, targets, positions)
    stands = targets.feet.stands[part]
    depth = np.maximum(-soles[part, :, :, 2], 0)
    joints = positions[part, -robot.count :]
    limited = np.minimum(joints - robot.lower, robot.upper - joints) < _AT_LIMIT
    worst = robot.joint_names[limited.mean(axis=0).argmax()] if limited.any() else ""
    period = robot.control_period
    return Figures(
        seconds=(len(joints) - 1) * period,
        standing=float(stands.any(axis=1).mean()),
        skate=_skate(soles[part], stands, period),
        penetration=float(depth.max()),
        penetrating=float((depth.max(axis=(1, 2)) > _DEEP).mean()),
        touching=float(touching[part].mean()),
        at_limit=float(limited.mean()),
        limited_joint=worst,
        speed=float((np.abs(velocities[part, FREE:]) / robot.velocity_limit).max()),
        hands=_rms(hands[part] - wished[part]),
        feet=_rms(ankles[part] - targets.feet.person[part]),
    )


def _places(body: Body, targets: Targets, positions: Float64) -> tuple[Float64, ...]:
    """Where things are in each period.

    Returns:
        Lowest points of the soles' spheres (T, 2, 4, 3), ankles, hands, and where hands should be (T, 2, 3);
        whether he touches himself (T,).
    """
    model, data = body.model, mujoco.MjData(body.model)
    spheres = sole_ids(model)
    feet = [model.body(f"{side}_foot_link").id for side in SIDES]
    shoulders = [model.body(f"{side}_shoulder_roll_link").id for side in SIDES]
    hands = [model.site(f"{side}_hand").id for side in SIDES]
    found = []
    for position in positions:
        data.qpos[:] = position
        mujoco.mj_kinematics(model, data)
        soles = data.geom_xpos[spheres].reshape(2, 4, 3) - [0, 0, body.sole_radius]
        limbs = data.xpos[feet].copy(), data.site_xpos[hands].copy(), data.xpos[shoulders].copy()
        found.append((soles, *limbs, touches_himself(model, data)))
    soles, ankles, at_hands, at_shoulders, touching = (np.array(values) for values in zip(*found, strict=True))
    upper, fore = body.arm
    wished = at_shoulders + upper * targets.upper_arm + fore * targets.forearm
    return soles, ankles, at_hands, wished, touching


def touches_himself(model: mujoco.MjModel, data: mujoco.MjData) -> bool:
    """Whether two parts of Jack are in each other, after mj_kinematics."""
    mujoco.mj_collision(model, data)
    floor, contact = model.geom(FLOOR).id, data.contact
    return bool(((contact.geom != floor).all(axis=1) & (contact.dist < -_DEEP)).any())


def _skate(soles: Float64, stands: np.ndarray, period: float) -> float:
    """Mean speed over the ground of what is lowest of a standing foot [m/s]."""
    both = stands[1:] & stands[:-1]
    if not both.any():
        return 0.0
    lowest = soles[:-1, :, :, 2].argmin(axis=2)[..., None, None]
    step = np.take_along_axis(np.diff(soles, axis=0)[..., :2], lowest, axis=2)[:, :, 0]
    return float((np.linalg.norm(step, axis=-1)[both] / period).mean())


def _rms(difference: Float64) -> float:
    return float(np.sqrt((difference**2).sum(axis=-1).mean()))
