"""What message types are made of, as a bag must say it: found in the ROS packages that are installed."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from jack_contract.errors import JackError

#: Before each type that a definition builds on.
_SEPARATOR = "=" * 80
_NUMBERS = (f"{sign}int{bits}" for sign in ("", "u") for bits in (8, 16, 32, 64))
_PLAIN = frozenset(("bool", "byte", "char", "string", "wstring", "float32", "float64", *_NUMBERS))
#: A field: its type, what bounds a string, what makes an array, a name, and not the '=' of a constant.
_FIELD = re.compile(r"(?P<type>[A-Za-z][\w/]*)(<=\d+)?(\[[^\]]*\])?\s+(?P<name>[a-z]\w*)", re.ASCII)


@dataclass(frozen=True)
class Definition:
    """A message type as a bag describes it."""

    #: as package/msg/Name
    type: str
    #: its .msg text, and those of all that it builds on (MCAP's encoding ros2msg)
    text: str
    #: the type's hash (REP-2016); empty where the package does not say it
    hash: str
    #: whether its first field is a std_msgs/Header, so that its stamp is at a known place
    stamped: bool


def define(kind: str, prefixes: Sequence[Path] | None = None) -> Definition:
    """Look a message type up.

    Args:
        kind: as package/msg/Name.
        prefixes: where packages are installed; by default as AMENT_PREFIX_PATH says.

    Raises:
        JackError: the package is not installed, or it lacks the type.
    """
    places = installed() if prefixes is None else prefixes
    texts: dict[str, str] = {}
    waiting = [kind]
    for name in waiting:
        if name not in texts:
            texts[name] = _file(name, ".msg", places).read_text(encoding="utf-8")
            waiting += _parts(name, texts[name])
    top, *others = texts
    blocks = [texts[top], *(f"{_SEPARATOR}\nMSG: {_short(name)}\n{texts[name]}" for name in others)]
    text = "\n".join(block.rstrip("\n") for block in blocks) + "\n"
    return Definition(kind, text, _hash(kind, places), is_stamped(kind, text))


def is_stamped(kind: str, text: str) -> bool:
    """Whether the first field of a defined message is a std_msgs/Header."""
    return _parts(kind, text.split(_SEPARATOR)[0], plain=True)[:1] == ["std_msgs/msg/Header"]


def installed() -> list[Path]:
    """The prefixes of the ROS environment."""
    return [Path(path) for path in os.environ.get("AMENT_PREFIX_PATH", "").split(os.pathsep) if path]


def _parts(kind: str, text: str, plain: bool = False) -> list[str]:
    """The types of a message's fields in order; those that ROS itself has only if asked for."""
    package = kind.split("/")[0]
    found = []
    for line in text.splitlines():
        match = _FIELD.match(line.split("#")[0].strip())
        if match and (plain or match["type"] not in _PLAIN):
            found.append(_full(match["type"], package))
    return found


def _full(kind: str, package: str) -> str:
    """A type as package/msg/Name, however a field names it."""
    if kind in _PLAIN:
        return kind
    parts = kind.split("/")
    return f"{parts[0] if len(parts) > 1 else package}/msg/{parts[-1]}"


def _short(kind: str) -> str:
    package, _, name = kind.split("/")
    return f"{package}/{name}"


def _file(kind: str, suffix: str, places: Sequence[Path]) -> Path:
    package, folder, name = kind.split("/")
    for place in places:
        path = place / "share" / package / folder / f"{name}{suffix}"
        if path.is_file():
            return path
    raise JackError(
        f"The message type {kind} is not installed; looked for in: {', '.join(map(str, places)) or 'nothing'}. "
        f"Load the environment that has it: . .jack/env.sh"
    )


def _hash(kind: str, places: Sequence[Path]) -> str:
    """What the build wrote beside the .msg, if it did."""
    try:
        hashes = json.loads(_file(kind, ".json", places).read_text(encoding="utf-8"))["type_hashes"]
        return str(next(entry["hash_string"] for entry in hashes if entry["type_name"] == kind))
    except (JackError, OSError, ValueError, KeyError, TypeError, StopIteration):
        return ""
