"""What a robot is, as far as a policy is concerned: its joints in one order, their limits and gains, its clock."""

from __future__ import annotations

import math
from collections.abc import Collection
from dataclasses import asdict, dataclass, fields
from functools import cached_property
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from jack_contract.arrays import Float64
from jack_contract.errors import ContractError, JackError, UnknownNameError

#: A robot's file is some kilobytes; a larger one is refused unread.
MAX_FILE_BYTES = 200_000
_SUFFIX = ".yaml"


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
    return sorted(path.stem for path in _folder().glob(f"*{_SUFFIX}"))


def load_robot(name: str = "jack") -> RobotSpec:
    """A robot that ships with Jack, by name, or any other, by the path of its file.

    Args:
        name: as in `robot_names`, or a path that ends in .yaml.

    Raises:
        JackError: there is none, or its file does not describe one; says which joint and field.
    """
    if not name.endswith(_SUFFIX) and name not in robot_names():
        raise UnknownNameError("robot", name, [*robot_names(), f"the path of a {_SUFFIX} file"])
    path = Path(name) if name.endswith(_SUFFIX) else _folder() / f"{name}{_SUFFIX}"
    try:
        if not path.is_file() or path.stat().st_size > MAX_FILE_BYTES:
            raise ContractError(f"it must be a file of at most {MAX_FILE_BYTES} bytes")
        return robot_from_yaml(path.read_text(encoding="utf-8"))
    except (JackError, OSError, UnicodeDecodeError) as error:
        raise ContractError(f"The robot description {path} cannot be used: {error}") from error


def robot_from_yaml(text: str) -> RobotSpec:
    """The robot that a YAML text describes: name, control_period and joints, each with the fields of a JointSpec.

    Raises:
        JackError: the text describes none; says which joint and field.
    """
    try:
        data = yaml.safe_load(text)
    except (yaml.YAMLError, ArithmeticError, AttributeError, LookupError, RecursionError, ValueError) as error:
        raise ContractError(f"Not YAML: {error}") from error
    _require_fields("The robot", data, [field.name for field in fields(RobotSpec)])
    if not isinstance(data["name"], str) or not isinstance(data["joints"], list):
        raise ContractError("A robot's 'name' must be a text and its 'joints' a list.")
    joints = tuple(_joint(index, joint) for index, joint in enumerate(data["joints"]))
    return RobotSpec(data["name"], joints, _number("The robot", "control_period", data["control_period"]))


def robot_to_yaml(robot: RobotSpec) -> str:
    """A robot as the text of its file, a line for each joint, figures in full precision."""
    data = robot.to_dict()
    data["joints"] = data.pop("joints")  # last: what is short comes first
    return yaml.safe_dump(data, sort_keys=False, default_flow_style=None, width=1000)


def _folder() -> Path:
    return Path(str(resources.files("jack_contract"))) / "robots"


def _joint(index: int, data: object) -> JointSpec:
    given = data.get("name") if isinstance(data, dict) else None
    if not isinstance(data, dict) or not isinstance(given, str) or not given:
        raise ContractError(f"Joint {index + 1} of the robot must have a 'name' that is a text.")
    who = f"Joint '{given[:60]}'"
    known = [field.name for field in fields(JointSpec)]
    _require_fields(who, data, known, optional={"mirror_sign"})
    numbers = {field: _number(who, field, data[field]) for field in known[1:] if field in data}
    sign = numbers.pop("mirror_sign", 1.0)
    if sign not in (1.0, -1.0):
        raise ContractError(f"{who}: 'mirror_sign' is {sign:g}; allowed: 1 and -1.")
    return JointSpec(given, **numbers, mirror_sign=int(sign))


def _require_fields(
    who: str, data: object, known: Collection[str], optional: Collection[str] = frozenset()
) -> None:
    if not isinstance(data, dict):
        raise ContractError(f"{who} must have the fields {', '.join(known)}; given: a {type(data).__name__}.")
    for field in data:
        if field not in known:
            raise UnknownNameError(f"field of {who[0].lower()}{who[1:]}", str(field)[:60], known)
    missing = [field for field in known if field not in data and field not in optional]
    if missing:
        raise ContractError(f"{who} lacks: {', '.join(missing)}.")


def _number(who: str, field: str, value: object) -> float:
    """A number as float, so that -2 in a file is the -2.0 of the digest."""
    if isinstance(value, float) or (type(value) is int and abs(value) < 2**53):
        return float(value)
    given = repr(value)[:60] if isinstance(value, str | bool) else f"a {type(value).__name__}"
    raise ContractError(f"{who}: '{field}' is {given}; expected a number, like 0.5 or 1.0e-3.")
