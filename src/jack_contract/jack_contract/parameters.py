"""A node's parameters as one frozen dataclass: default, description and limits of each in one place.

`ros2 param describe` shows what is written there, and a value outside the limits is refused at start. No ROS is
imported: the node hands in the message classes.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field, fields
from typing import Any, Protocol, TypeVar

from jack_contract.errors import JackError, UnknownNameError

_SPEC = "parameter"
_LARGEST = 2**63 - 1
#: What stands for no texts at all: ROS cannot tell of what an empty list is empty.
_NO_TEXTS = [""]
T = TypeVar("T")


@dataclass(frozen=True)
class ParameterSpec:
    """What a parameter means and what it may be."""

    description: str
    low: float = -math.inf
    high: float = math.inf
    #: the allowed strings; empty: any
    choices: tuple[str, ...] = ()


class ParameterNode(Protocol):
    """A ROS node, as far as its parameters go."""

    def declare_parameter(self, name: str, value: Any, descriptor: Any) -> Any:  # noqa: ANN401
        """Declare one parameter; returns it, with what the user gave in `.value`."""
        ...


def parameter(
    default: bool | int | float | str | tuple[str, ...],
    description: str,
    low: float = -math.inf,
    high: float = math.inf,
    choices: tuple[str, ...] = (),
) -> Any:  # noqa: ANN401 - as dataclasses.field, it stands for a value of the field's type
    """A field of a parameter class."""
    return field(default=default, metadata={_SPEC: ParameterSpec(description, low, high, choices)})


def check(parameters: Any) -> None:  # noqa: ANN401 - any parameter class
    """Refuse values outside their limits; for `__post_init__` of a parameter class.

    Raises:
        JackError: says what was given and what is allowed.
    """
    for item in fields(parameters):
        spec: ParameterSpec = item.metadata[_SPEC]
        value = getattr(parameters, item.name)
        if spec.choices and value not in spec.choices:
            raise UnknownNameError(f"value of the parameter {item.name}", str(value), spec.choices)
        if isinstance(value, int | float) and not spec.low <= value <= spec.high:  # NaN is refused as well
            raise JackError(f"The parameter {item.name} is {value}; allowed: {spec.low:g} to {spec.high:g}.")


def declare(node: ParameterNode, kind: type[T], messages: Any) -> T:  # noqa: ANN401 - a module
    """Declare every field of a parameter class on a node, and fill the class with what the user gave.

    Args:
        node: that has the parameters.
        kind: a dataclass whose fields are `parameter`s.
        messages: the module rcl_interfaces.msg.

    Raises:
        JackError: a value outside its limits.
    """
    values = {}
    for item in fields(kind):  # type: ignore[arg-type] - a dataclass
        descriptor = _descriptor(item.default, item.metadata[_SPEC], messages)
        default = (list(item.default) or _NO_TEXTS) if isinstance(item.default, tuple) else item.default
        value = node.declare_parameter(item.name, default, descriptor).value
        values[item.name] = tuple(filter(None, value)) if isinstance(item.default, tuple) else value
    return kind(**values)


def _descriptor(default: object, spec: ParameterSpec, messages: Any) -> Any:  # noqa: ANN401
    descriptor = messages.ParameterDescriptor(description=spec.description, read_only=True)
    if spec.choices:
        descriptor.additional_constraints = f"One of: {', '.join(spec.choices)}."
    if isinstance(default, float):
        limits = messages.FloatingPointRange(from_value=spec.low, to_value=spec.high)
        descriptor.floating_point_range = [limits]
    elif isinstance(default, int) and not isinstance(default, bool):
        low, high = max(spec.low, -_LARGEST), min(spec.high, _LARGEST)
        descriptor.integer_range = [messages.IntegerRange(from_value=int(low), to_value=int(high))]
    return descriptor
