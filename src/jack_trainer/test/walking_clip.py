"""A clip of Jack that a formula makes, for tests."""

import numpy as np

from jack_contract.robot import load_robot
from jack_trainer.imitation.mocap.motion import MotionClip, MotionInfo

ROBOT = load_robot()
PERIOD = ROBOT.control_period
#: Of a cycle [control periods].
ROWS = 52


def walking_clip(
    rows: int = ROWS,
    cycles: int = 1,
    loop: bool = True,
    speed: float = 0.8,
    hip: float = 0.8,
    knee: float = 1.0,
    arm: float = 0.4,
    swing: np.ndarray | None = None,
) -> MotionClip:
    """Walking ahead at a speed [m/s], with so many rows in a cycle and joints that move over such ranges [rad].

    `swing` (T,) is the share of those ranges at each moment.
    """
    count = rows * cycles + 1
    angle = 2 * np.pi * (np.arange(count) + 0.5) / rows
    share = np.ones(count) if swing is None else swing
    joints = np.tile(ROBOT.default_position, (count, 1))
    for side, sign in (("left", 1.0), ("right", -1.0)):
        joints[:, ROBOT.index(f"{side}_hip_pitch")] = -0.2 + sign * share * hip / 2 * np.cos(angle)
        joints[:, ROBOT.index(f"{side}_knee")] = 0.1 + share * knee / 2 * (1 + sign * np.sin(angle))
        joints[:, ROBOT.index(f"{side}_shoulder_pitch")] = 0.1 - sign * share * arm / 2 * np.cos(angle)
    base = np.zeros((count, 3))
    base[:, 0], base[:, 2] = speed * PERIOD * np.arange(count), 0.66
    info = MotionInfo(
        name="walking",
        robot=ROBOT.name,
        joints=ROBOT.joint_names,
        control_period=PERIOD,
        loop=loop,
        source="walking.bvh",
        source_sha256="0" * 64,
        source_format="bvh",
        source_rate=120.0,
        speed=1.0,
        scale=0.65,
        terms="made here",
    )
    return MotionClip(
        info=info,
        joint_position=joints.astype(np.float32),
        joint_velocity=np.gradient(joints, PERIOD, axis=0).astype(np.float32),
        base_position=base.astype(np.float32),
        base_orientation=np.tile([0.0, 0.0, 0.0, 1.0], (count, 1)).astype(np.float32),
        base_linear_velocity=np.tile([speed, 0.0, 0.0], (count, 1)).astype(np.float32),
        base_angular_velocity=np.zeros((count, 3), np.float32),
        contact=np.stack([np.sin(angle) < 0, np.sin(angle) > 0], axis=-1),
    )
