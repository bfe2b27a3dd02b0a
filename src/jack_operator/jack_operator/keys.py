"""What the bytes of a terminal mean: keys, and the sequences that arrow keys send (ECMA-48, cursor keys)."""

from __future__ import annotations

from enum import Enum

#: The longest sequence that is waited for [bytes]; a longer one is nothing of ours.
MAX_SEQUENCE = 8


class Key(Enum):
    """What a key asks for."""

    FORWARD = "forward"
    BACKWARD = "backward"
    LEFT = "left"
    RIGHT = "right"
    TURN_LEFT = "turn left"
    TURN_RIGHT = "turn right"
    STOP = "stop"
    RESET = "reset"


_PLAIN = {
    b"w": Key.FORWARD,
    b"s": Key.BACKWARD,
    b"a": Key.LEFT,
    b"d": Key.RIGHT,
    b"q": Key.TURN_LEFT,
    b"e": Key.TURN_RIGHT,
    b" ": Key.STOP,
    b"r": Key.RESET,
}
#: Both ways in which terminals send arrow keys begin so, and end so.
_ARROW_BEGINS = (b"\x1b[", b"\x1bO")
_ARROW_ENDS = {b"A": Key.FORWARD, b"B": Key.BACKWARD, b"C": Key.TURN_RIGHT, b"D": Key.TURN_LEFT}
_ESCAPE = b"\x1b"


class KeyReader:
    """Turns a stream of bytes into keys; a sequence may come in pieces."""

    def __init__(self) -> None:
        self._rest = b""

    def read(self, data: bytes) -> list[Key]:
        """The keys in the bytes that came; whatever is no key of ours is left out."""
        stream, self._rest = self._rest + data, b""
        found: list[Key] = []
        while stream:
            key, used = _first(stream)
            if not used:  # the beginning of a sequence
                self._rest = stream
                break
            found += [key] if key else []
            stream = stream[used:]
        return found


def _first(stream: bytes) -> tuple[Key | None, int]:
    """The first key, if it is one of ours, and how many bytes it took; 0: its end is not there yet."""
    if not stream.startswith(_ESCAPE):
        return _PLAIN.get(stream[:1].lower()), 1
    if len(stream) == 1:
        return None, 0
    if stream[:2] not in _ARROW_BEGINS:
        return None, 1  # a bare escape, or escape and a key
    for length in range(3, min(len(stream), MAX_SEQUENCE) + 1):
        if 0x40 <= stream[length - 1] <= 0x7E:  # the final byte of a sequence
            return _ARROW_ENDS.get(stream[length - 1 : length]), length
    return None, 0 if len(stream) < MAX_SEQUENCE else 2
