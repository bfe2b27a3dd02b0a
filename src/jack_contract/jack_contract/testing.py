"""A small robot and states of it, for the tests of every package."""

from __future__ import annotations

import numpy as np

from jack_contract.contract import Contract, contract_for
from jack_contract.robot import JointSpec, RobotSpec
from jack_contract.state import RobotState

_LEG = ("hip_yaw", "hip_roll", "hip_pitch", "knee", "ankle_pitch", "ankle_roll")
_ARM = ("shoulder_pitch", "shoulder_roll", "elbow")


def sample_robot() -> RobotSpec:
    """Nineteen joints, no two of them with the same figures: a mix-up of two joints changes something."""
    names = ["waist_yaw", *(f"{side}_{part}" for side in ("left", "right") for part in (*_LEG, *_ARM))]
    joints = tuple(_sample_joint(index, name) for index, name in enumerate(names))
    return RobotSpec("sample", joints, control_period=0.02)


def _sample_joint(index: int, name: str) -> JointSpec:
    default = 0.01 * index - 0.1
    return JointSpec(
        name=name,
        lower=default - 1.0 - 0.01 * index,
        upper=default + 1.2 + 0.01 * index,
        velocity_limit=10.0 + index,
        effort_limit=30.0 + index,
        default=default,
        stiffness=40.0 + index,
        damping=2.0 + 0.1 * index,
        mirror_sign=1 if "pitch" in name or "knee" in name or "elbow" in name else -1,
    )


def sample_contract() -> Contract:
    """Jack's observation and action on the sample robot."""
    return contract_for(sample_robot())


def sample_state(robot: RobotSpec, rng: np.random.Generator, shape: tuple[int, ...] = ()) -> RobotState:
    """Plausible random readings: joints within their limits, any orientation, moderate speeds."""
    n = robot.count
    orientation = rng.normal(size=(*shape, 4))
    return RobotState(
        time=rng.uniform(0.0, 100.0, shape),
        joint_position=rng.uniform(robot.lower, robot.upper, (*shape, n)),
        joint_velocity=rng.normal(0.0, 2.0, (*shape, n)),
        joint_effort=rng.normal(0.0, 10.0, (*shape, n)),
        orientation=orientation / np.linalg.norm(orientation, axis=-1, keepdims=True),
        angular_velocity=rng.normal(0.0, 1.0, (*shape, 3)),
        linear_acceleration=rng.normal((0.0, 0.0, 9.81), 1.0, (*shape, 3)),
    )
