"""What a graph is made of: nodes and arguments, as plain data. Standard library only: any front end can read it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches

#: What a ROS parameter of ours can hold.
Parameter = bool | int | float | str | tuple[str, ...]


class LaunchError(Exception):
    """An argument or a program that is not there; the message says what is allowed and what to type."""


@dataclass(frozen=True)
class LaunchArgument:
    """Something that a person can say when starting a graph."""

    name: str
    default: str
    description: str
    #: the allowed values; empty: anything
    choices: tuple[str, ...] = ()

    def check(self, value: str) -> str:
        """The value, if it is allowed; a LaunchError lists the choices if not."""
        if self.choices and value not in self.choices:
            raise LaunchError(f"{self.name} is '{value}'; allowed: {', '.join(self.choices)}.")
        return value


@dataclass(frozen=True)
class NodeSpec:
    """One process with one ROS node."""

    package: str
    executable: str
    name: str
    namespace: str = ""
    parameters: Mapping[str, Parameter] = field(default_factory=dict)
    #: pairs (from, to)
    remappings: tuple[tuple[str, str], ...] = ()
    #: a lifecycle node: to be configured and activated once it is up
    lifecycle: bool = False
    #: whether the graph is pointless without it: when it ends, all end
    required: bool = False
    #: variables set for this process only
    environment: Mapping[str, str] = field(default_factory=dict)

    @property
    def full_name(self) -> str:
        """Name with its namespace, as `ros2 node list` shows it."""
        namespace = self.namespace.strip("/")
        return f"/{namespace}/{self.name}" if namespace else f"/{self.name}"

    def ros_arguments(self) -> list[str]:
        """What follows the executable on its command line."""
        rules = [f"__node:={self.name}", *(f"{old}:={new}" for old, new in self.remappings)]
        if self.namespace.strip("/"):
            rules.append(f"__ns:=/{self.namespace.strip('/')}")
        settings = [f"{name}:={_yaml(value)}" for name, value in self.parameters.items()]
        return ["--ros-args", *_each("-r", rules), *_each("-p", settings)]


@dataclass(frozen=True)
class Graph:
    """A set of nodes that depends on arguments."""

    description: str
    arguments: tuple[LaunchArgument, ...]
    #: the nodes for complete, checked arguments
    build: Callable[[Mapping[str, str]], tuple[NodeSpec, ...]]

    def nodes(self, given: Mapping[str, str] | None = None) -> tuple[NodeSpec, ...]:
        """The nodes for the given arguments; those that are not given have their defaults.

        Raises:
            LaunchError: an unknown argument, or a value that is not allowed.
        """
        known = {argument.name: argument for argument in self.arguments}
        for name in given or {}:
            if name not in known:
                close = get_close_matches(name, known, n=1)
                hint = f" Did you mean '{close[0]}'?" if close else ""
                raise LaunchError(f"There is no argument '{name}'.{hint} Valid: {', '.join(known)}.")
        values = {name: argument.default for name, argument in known.items()} | dict(given or {})
        return self.build({name: known[name].check(value) for name, value in values.items()})


def whole_number(name: str, text: str) -> int:
    """The number that an argument says, 0 or more; a LaunchError if it says none."""
    if not (text.isascii() and text.isdigit()):
        raise LaunchError(f"{name} is '{text}'; allowed: a whole number, 0 or more.")
    return int(text)


def number(name: str, text: str) -> float:
    """The number that an argument says, 0 or more; a LaunchError if it says none."""
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0.0 <= value < float("inf"):
        raise LaunchError(f"{name} is '{text}'; allowed: a number, 0 or more.")
    return value


def _yaml(value: Parameter) -> str:
    """A parameter's value as `-p name:=value` reads it: as YAML, so that a string stays a string."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str):
        return "'" + value.replace("'", "''") + "'"
    if isinstance(value, tuple):
        return f"[{','.join(map(_yaml, value))}]"
    return repr(value)


def _each(flag: str, values: Iterable[str]) -> list[str]:
    return [word for value in values for word in (flag, value)]
