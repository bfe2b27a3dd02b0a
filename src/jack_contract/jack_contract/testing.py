"""A small robot, states of it and contracts that are nearly right, for the tests of every package."""

from __future__ import annotations

import fcntl
import math
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from jack_contract.action import ActionSpec
from jack_contract.contract import Contract
from jack_contract.errors import JackError
from jack_contract.gait import default_gait
from jack_contract.observation import Term, default_observation
from jack_contract.robot import JointSpec, RobotSpec
from jack_contract.state import RobotState

_LEG = ("hip_yaw", "hip_roll", "hip_pitch", "knee", "ankle_pitch", "ankle_roll")
_ARM = ("shoulder_pitch", "shoulder_roll", "elbow")


@contextmanager
def ros_domain() -> Iterator[int]:
    """A ROS domain id that no other test on this machine has meanwhile, whoever runs it.

    Ids up to 101 are safe on every system; 0 and 1 are left to people.
    """
    for domain in range(101, 1, -1):
        with (Path(tempfile.gettempdir()) / f"jack-ros-domain-{domain}").open("w") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                continue
            yield domain
            return
    raise JackError("All ROS domain ids are taken by other tests; wait for them.")


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
    """Jack's observation on the sample robot.

    An action of 1 moves every joint's target by 0.3 rad; joint i swings by 0.01 (i + 1) rad.
    """
    robot = sample_robot()
    swing = tuple(0.01 * (index + 1) for index in range(robot.count))
    gait = replace(default_gait(robot), swing=swing)
    return Contract(robot, default_observation(robot), ActionSpec((0.3,) * robot.count), gait)


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


def mutations(contract: Contract) -> dict[str, Contract]:
    """Contracts that differ in one thing each, by the path of the difference; floats by their last digit."""
    robot, observation, terms = contract.robot, contract.observation, contract.observation.terms
    joints = robot.joints
    name = f"robot.joints[{joints[1].name}]"
    floats = ("lower", "upper", "velocity_limit", "effort_limit", "default", "stiffness", "damping")
    mutated = {f"{name}.{f}": _with_joint(contract, **{f: _next(getattr(joints[1], f))}) for f in floats}
    mutated[f"{name}.mirror_sign"] = _with_joint(contract, mirror_sign=-joints[1].mirror_sign)
    mutated[f"{name}.name"] = _with_joint(contract, name="nobody")
    changed_robots = {
        f"robot.joints[{joints[0].name}].name": {"joints": (joints[1], joints[0], *joints[2:])},
        "robot.control_period": {"control_period": _next(robot.control_period)},
        "robot.name": {"name": "jill"},
    }
    for path, change in changed_robots.items():
        mutated[path] = replace(contract, robot=replace(robot, **change))
    changed_observations: dict[str, dict[str, Any]] = {
        f"observation.terms[{terms[0].name}].scale": {"terms": (_scaled(terms[0]), *terms[1:])},
        f"observation.terms[{terms[0].name}].name": {"terms": (terms[1], terms[0], *terms[2:])},
        f"observation.terms[{terms[2].name}].size": {"terms": (*terms[:2], replace(terms[2], size=1), *terms[3:])},
        "observation.terms: ": {"terms": terms[:-1]},
        "observation.history": {"history": observation.history + 1},
        "observation.clip": {"clip": _next(observation.clip)},
    }
    for path, change in changed_observations.items():
        mutated[path] = replace(contract, observation=replace(observation, **change))
    scale = contract.action.scale
    mutated["action.scale[0]"] = replace(contract, action=ActionSpec((_next(scale[0]), *scale[1:])))
    gait, last = contract.gait, contract.robot.count - 1
    changed_gaits: dict[str, dict[str, Any]] = {
        "gait.period": {"period": _next(gait.period)},
        f"gait.swing[{last}]": {"swing": (*gait.swing[:last], _next(gait.swing[last]))},
        f"gait.stride[{last}][2]": {"stride": (*gait.stride[:last], _turned(gait.stride[last]))},
        "gait.acceleration": {"acceleration": _next(gait.acceleration)},
        "gait.still": {"still": _next(gait.still)},
    }
    for path, change in changed_gaits.items():
        mutated[path] = replace(contract, gait=replace(gait, **change))
    mutated["camera.height"] = replace(contract, camera=replace(contract.camera, height=contract.camera.height * 2))
    words = contract.instruction
    mutated["instruction.vocabulary"] = replace(
        contract, instruction=replace(words, vocabulary=words.vocabulary + 1)
    )
    return mutated


def _with_joint(contract: Contract, **change: Any) -> Contract:  # noqa: ANN401 - any field of a joint
    joints = contract.robot.joints
    mutated = (joints[0], replace(joints[1], **change), *joints[2:])
    return replace(contract, robot=replace(contract.robot, joints=mutated))


def _scaled(term: Term) -> Term:
    return replace(term, scale=_next(term.scale))


def _turned(stride: tuple[float, float, float]) -> tuple[float, float, float]:
    return *stride[:2], _next(stride[2])


def _next(number: float) -> float:
    return math.nextafter(number, math.inf)
