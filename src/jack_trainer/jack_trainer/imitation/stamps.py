"""What can be read of a message without its class: the stamp of its header, where it begins with one."""

from __future__ import annotations

import struct

from jack_contract.wire import NANOSECONDS

#: Serialized messages begin with four bytes of which the second says in which order bytes are written: XCDR1,
#: big- and little-endian.
_ORDERS = {0: struct.Struct(">4xiI"), 1: struct.Struct("<4xiI")}


def stamp_of(data: bytes) -> int | None:
    """The stamp of a serialized message that begins with a std_msgs/Header [ns]; None where there is none."""
    order = _ORDERS.get(data[1]) if len(data) >= 12 else None
    if order is None:
        return None
    seconds, nanoseconds = order.unpack_from(data)
    return seconds * NANOSECONDS + nanoseconds
