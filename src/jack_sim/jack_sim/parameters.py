"""A node's parameters as one frozen dataclass: default, description and limits of each in one place.

`ros2 param describe` shows what is written here, and a value outside the limits is refused at start.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field, fields
from typing import Any, Protocol, TypeVar

from rcl_interfaces.msg import FloatingPointRange, IntegerRange, ParameterDescriptor

from jack_contract.errors import JackError, UnknownNameError

_SPEC = "parameter"
_INT_LIMIT = 2**63 - 1
T = TypeVar("T")


@dataclass(frozen=True)
class ParameterSpec:
    """What a parameter means and what it may be."""

    description: str
    low: float = -math.inf
    high: float = math.inf
    #: the allowed strings; empty: any
    choices: tuple[str, ...] = ()


class ParameterSource(Protocol):
    """A ROS node, as far as its parameters go."""

    def declare_parameter(self, name: str, value: Any, descriptor: ParameterDescriptor) -> Any:  # noqa: ANN401
        """Declare one parameter; returns it, with its value in `.value`."""
        ...


def parameter(
    default: bool | int | float | str,
    description: str,
    low: float = -math.inf,
    high: float = math.inf,
    choices: tuple[str, ...] = (),
) -> Any:  # noqa: ANN401 - as dataclasses.field, it stands for a value of the field's type
    """A field of a parameter class."""
    return field(default=default, metadata={_SPEC: ParameterSpec(description, low, high, choices)})


def check(parameters: object) -> None:
    """Refuse values outside their limits; for `__post_init__` of a parameter class.

    Raises:
        JackError: says what was given and what is allowed.
    """
    for item in fields(parameters):  # type: ignore[arg-type] - any dataclass
        spec: ParameterSpec = item.metadata[_SPEC]
        value = getattr(parameters, item.name)
        if spec.choices and value not in spec.choices:
            raise UnknownNameError(f"value of the parameter {item.name}", str(value), spec.choices)
        if isinstance(value, int | float) and not spec.low <= value <= spec.high:
            raise JackError(f"The parameter {item.name} is {value}; allowed: {spec.low:g} to {spec.high:g}.")


def declare(node: ParameterSource, kind: type[T]) -> T:
    """Declare every field of a parameter class on a node; returns the class filled with what the user gave.

    Raises:
        JackError: a value outside its limits.
    """
    values = {item.name: _declare_one(node, item.name, item.default, item.metadata[_SPEC]) for item in fields(kind)}  # type: ignore[arg-type] - any dataclass
    return kind(**values)


def _declare_one(node: ParameterSource, name: str, default: object, spec: ParameterSpec) -> object:
    descriptor = ParameterDescriptor(description=spec.description, read_only=True)
    if spec.choices:
        descriptor.additional_constraints = f"One of: {', '.join(spec.choices)}."
    if isinstance(default, float):
        descriptor.floating_point_range = [FloatingPointRange(from_value=spec.low, to_value=spec.high)]
    elif isinstance(default, int) and not isinstance(default, bool):
        low, high = max(spec.low, -_INT_LIMIT), min(spec.high, _INT_LIMIT)
        descriptor.integer_range = [IntegerRange(from_value=int(low), to_value=int(high))]
    return node.declare_parameter(name, default, descriptor).value


@dataclass(frozen=True)
class SimParameters:
    """Parameters of the node `sim`."""

    scene: str = parameter("flat", "Which world: the name of a scene of jack_sim.")
    seed: int = parameter(0, "Of the small random differences in the starting pose; 0: none.", 0)
    gantry: str = parameter(
        "auto",
        "What holds him: `auto`, a gantry that lets him down when a policy drives him, and picks him up when he "
        "fell; `on`, a gantry that never lets go; `off`, nothing.",
        choices=("auto", "on", "off"),
    )
    lock_step: bool = parameter(False, "Advance one control period for each joint command, not by the clock.")
    real_time_factor: float = parameter(
        1.0, "Simulated seconds per second; 0: as fast as possible. Without meaning in lock-step.", 0.0, 1000.0
    )
    command_timeout: float = parameter(
        0.1,
        "A joint command older than this (simulated time) is not obeyed any more: the joints are damped [s].",
        0.01,
        10.0,
    )
    publish_clock: bool = parameter(True, "Publish simulated time on /clock.")
    odom_rate: float = parameter(50.0, "Of odom, per simulated second [1/s].", 0.1, 1000.0)
    tf_rate: float = parameter(50.0, "Of tf, per simulated second; sent while somebody listens [1/s].", 0.1, 1000.0)
    camera_rate: float = parameter(
        15.0, "Of camera images, per simulated second; drawn while somebody looks [1/s].", 0.1, 1000.0
    )
    camera_width: int = parameter(320, "Of camera images [pixel].", 16, 4096)
    camera_height: int = parameter(240, "Of camera images [pixel].", 16, 4096)
    camera_quality: int = parameter(80, "Of compressed camera images (JPEG) [1].", 1, 100)

    def __post_init__(self) -> None:
        check(self)
