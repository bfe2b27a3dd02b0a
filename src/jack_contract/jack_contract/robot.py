"""What a robot is, as far as a policy is concerned: its joints in one order, their limits and gains, its clock."""

from __future__ import annotations

import json
import math
from dataclasses import asdict, dataclass, fields
from functools import cached_property
from importlib import resources
from typing import Any

import numpy as np

from jack_contract.arrays import Float64
from jack_contract.errors import ContractError, UnknownNameError


@dataclass(frozen=True)
class JointSpec:
    """One actuated hinge joint. Every figure is finite; limits bracket the default."""

    name: str
    #: lower position limit [rad]
    lower: float
    #: upper position limit [rad]
    upper: float
    #: greatest speed [rad/s]
    velocity_limit: float
    #: greatest torque [N m]
    effort_limit: float
    #: position in the default pose [rad]
    default: float
    #: proportional gain of the joint's position control [N m/rad]
    stiffness: float
    #: derivative gain of the joint's position control [N m s/rad]
    damping: float
    #: sign of the joint's angle under the left-right reflection of the body: +1 pitch, -1 roll and yaw
    mirror_sign: int = 1

    def __post_init__(self) -> None:
        numbers = {f.name: getattr(self, f.name) for f in fields(self) if f.name != "name"}
        wrong = [name for name, value in numbers.items() if not math.isfinite(value)]
        wrong += [n for n in ("velocity_limit", "effort_limit") if not numbers[n] > 0]
        wrong += [n for n in ("stiffness", "damping") if not numbers[n] >= 0]
        if not self.lower <= self.default <= self.upper or self.lower == self.upper:
            wrong.append("lower <= default <= upper")
        if self.mirror_sign not in (-1, 1):
            wrong.append("mirror_sign")
        if wrong:
            raise ContractError(f"Joint '{self.name}' is not usable, check: {', '.join(wrong)}.")


@dataclass(frozen=True)
class RobotSpec:
    """A robot: joints in the one order that every array in Jack follows, and the control period."""

    name: str
    joints: tuple[JointSpec, ...]
    #: time between two commands [s]
    control_period: float

    def __post_init__(self) -> None:
        names = self.joint_names
        if not names or len(set(names)) != len(names):
            raise ContractError(f"Robot '{self.name}' needs joints with distinct names, given: {names}.")
        if not (math.isfinite(self.control_period) and 1e-4 <= self.control_period <= 1.0):
            raise ContractError(f"control_period is {self.control_period} s; allowed: 0.0001 to 1.")

    @cached_property
    def joint_names(self) -> tuple[str, ...]:
        """Names in joint order."""
        return tuple(joint.name for joint in self.joints)

    @property
    def count(self) -> int:
        """Number of joints n."""
        return len(self.joints)

    def _column(self, field: str) -> Float64:
        column = np.array([getattr(joint, field) for joint in self.joints], dtype=np.float64)
        column.flags.writeable = False
        return column

    @cached_property
    def default_position(self) -> Float64:
        """Default pose, (n,) [rad]."""
        return self._column("default")

    @cached_property
    def lower(self) -> Float64:
        """Lower position limits, (n,) [rad]."""
        return self._column("lower")

    @cached_property
    def upper(self) -> Float64:
        """Upper position limits, (n,) [rad]."""
        return self._column("upper")

    @cached_property
    def velocity_limit(self) -> Float64:
        """Speed limits, (n,) [rad/s]."""
        return self._column("velocity_limit")

    @cached_property
    def effort_limit(self) -> Float64:
        """Torque limits, (n,) [N m]."""
        return self._column("effort_limit")

    @cached_property
    def stiffness(self) -> Float64:
        """Proportional gains, (n,) [N m/rad]."""
        return self._column("stiffness")

    @cached_property
    def damping(self) -> Float64:
        """Derivative gains, (n,) [N m s/rad]."""
        return self._column("damping")

    @cached_property
    def mirror_sign(self) -> Float64:
        """Signs under left-right reflection, (n,)."""
        return self._column("mirror_sign")

    @cached_property
    def mirror_index(self) -> tuple[int, ...]:
        """For each joint the index of its partner on the other side (its own where it has none)."""
        position = {name: index for index, name in enumerate(self.joint_names)}
        return tuple(position.get(_other_side(name), position[name]) for name in self.joint_names)

    def index(self, joint: str) -> int:
        """Index of a joint by name; an UnknownNameError lists the valid ones."""
        if joint not in self.joint_names:
            raise UnknownNameError("joint", joint, self.joint_names)
        return self.joint_names.index(joint)

    def to_dict(self) -> dict[str, Any]:
        """Plain data, ready for JSON."""
        return asdict(self)

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> RobotSpec:
        """The robot of plain data; a ContractError says what is missing or unknown."""
        try:
            joints = tuple(JointSpec(**joint) for joint in data["joints"])
            return cls(str(data["name"]), joints, float(data["control_period"]))
        except (KeyError, TypeError, ValueError) as error:
            raise ContractError(f"Not a robot description: {error}.") from error


def _other_side(name: str) -> str:
    for here, there in (("left", "right"), ("right", "left")):
        if here in name:
            return name.replace(here, there)
    return name


def robot_names() -> list[str]:
    """The robots that ship with Jack."""
    folder = resources.files("jack_contract") / "robots"
    return sorted(entry.name.removesuffix(".json") for entry in folder.iterdir() if entry.name.endswith(".json"))


def load_robot(name: str = "jack") -> RobotSpec:
    """A robot that ships with Jack, by name."""
    if name not in robot_names():
        raise UnknownNameError("robot", name, robot_names())
    text = (resources.files("jack_contract") / "robots" / f"{name}.json").read_text(encoding="utf-8")
    return RobotSpec.from_dict(json.loads(text))
