"""From a message's bytes to an object with the attributes of the ROS message, without ROS.

`rosbags` does it: it knows Jazzy's messages, takes definitions from bags, and hands arrays over as numpy arrays.
The readers that it generates are made of names and numbers that its grammar of definitions let through.
"""

from __future__ import annotations

import os
import re
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from rosbags.interfaces.typing import Typesdict
from rosbags.typesys import Stores, get_types_from_msg, get_typestore
from rosbags.typesys.store import Typestore

from jack_contract.errors import JackError
from jack_trainer.imitation.storage import Channel

#: A definition is some kilobytes; a longer one is refused.
MAX_DEFINITION = 200_000
#: All arrays of fixed length in a definition together have no more entries: a reader unrolls them.
MAX_FIXED = 10_000
_FIXED = re.compile(r"\[\s*(\d{1,19})\s*\]")
_OWN = "jack_msgs"


class UndecodableError(JackError):
    """Bytes that are not the message that they should be, or of an unknown type."""


def decode(channel: Channel, data: bytes) -> Any:  # noqa: ANN401 - a message of whatever class
    """The message of these bytes, of the type as the bag defines it, so that a bag outlives a change of ours.

    Raises:
        UndecodableError: they are none, or their type is unknown.
    """
    store = _store(channel)
    if store is None or channel.type not in store.types:
        raise UndecodableError(f"Nobody knows the type '{channel.type[:80]}' of {channel.topic[:80]}.")
    try:
        return store.deserialize_cdr(data, channel.type)
    except Exception as error:  # what generated code raises on broken bytes shares no root
        raise UndecodableError(f"A message on {channel.topic[:80]} cannot be read: {error!r:.200}.") from error


def encode(kind: str, **fields: Any) -> bytes:  # noqa: ANN401 - as the message has them
    """A serialized message of an installed type, as package/msg/Name; every field must be given."""
    return bytes(_installed().serialize_cdr(part(kind, **fields), kind))


def part(kind: str, **fields: Any) -> Any:  # noqa: ANN401 - as above
    """A message within a message that is to be encoded."""
    # Rows of a table may be scattered in memory, which the encoder does not expect.
    arrays = {name: np.ascontiguousarray(value) for name, value in fields.items() if isinstance(value, np.ndarray)}
    return _installed().types[kind](**fields | arrays)


def definitions_of(channel: Channel) -> Typesdict:
    """The fields of a channel's type and of those that it builds on, as the bag defines them; empty if none are."""
    store = _store(channel)
    return {} if store is None else store.fielddefs


def _store(channel: Channel) -> Typestore | None:
    return _defined(channel.type, channel.definition) if channel.definition else _installed()


@lru_cache(maxsize=100)  # making a reader takes a thousand times as long as a message
def _defined(kind: str, definition: str) -> Typestore | None:
    """What knows a type by its definition; None if that is none."""
    if len(definition) > MAX_DEFINITION or _fixed(definition) > MAX_FIXED:
        return None
    try:
        store = get_typestore(Stores.EMPTY)
        store.register(get_types_from_msg(definition, kind))
        store.get_msgdef(kind)
    except Exception:  # its parser, its generator and Python each have their own errors
        return None
    return store


def _fixed(definition: str) -> int:
    return sum(int(size) for size in _FIXED.findall(definition))


@lru_cache(maxsize=1)
def _installed() -> Typestore:
    """Jazzy's messages and ours."""
    store = get_typestore(Stores.ROS2_JAZZY)
    prefixes = os.environ.get("AMENT_PREFIX_PATH", "").split(os.pathsep)
    folders = [Path(prefix) / "share" / _OWN / "msg" for prefix in prefixes if prefix]
    source = Path(__file__).resolve().parents[3] / _OWN / "msg"
    folder = next((folder for folder in [*folders, source] if folder.is_dir()), source)
    types = {}
    for path in sorted(folder.glob("*.msg")):
        types |= get_types_from_msg(path.read_text(encoding="utf-8"), f"{_OWN}/msg/{path.stem}")
    store.register(types)
    return store
