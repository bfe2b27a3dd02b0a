"""A terminal that hands over every key as it is pressed, and is put back as it was."""

from __future__ import annotations

import os
import select
import shutil
import sys
import termios
import tty
from types import TracebackType
from typing import Self

_CHUNK = 256
#: Back to the beginning of the line, and nothing on it (ECMA-48, erase in line).
_CLEAR = "\r\x1b[K"


class Terminal:
    """Standard input, key by key. Use it as a context; where it is no terminal, no key ever comes."""

    def __init__(self) -> None:
        self._input = sys.stdin.fileno() if sys.stdin and sys.stdin.isatty() else None
        self._before: list[object] = []
        self._written = ""

    def __enter__(self) -> Self:
        """Ask for keys one by one, unechoed. Ctrl-C stays what it is."""
        if self._input is not None:
            self._before = termios.tcgetattr(self._input)
            tty.setcbreak(self._input)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Put the terminal back, what was typed ahead forgotten."""
        if self._input is not None:
            termios.tcsetattr(self._input, termios.TCSAFLUSH, self._before)  # type: ignore[arg-type]
            print()

    @property
    def there(self) -> bool:
        """Whether there is a terminal."""
        return self._input is not None

    def read(self) -> bytes:
        """What was typed since the last call; nothing is waited for."""
        if self._input is None or not select.select([self._input], [], [], 0.0)[0]:
            return b""
        try:
            data = os.read(self._input, _CHUNK)
        except OSError:  # the terminal was closed
            data = b""
        if not data:
            self._input = None
        return data

    def say(self, text: str) -> None:
        """Write a line that stays."""
        print(f"{_CLEAR if sys.stdout.isatty() else ''}{text}", flush=True)
        self._written = ""

    def line(self, text: str) -> None:
        """Write a line that the next one takes the place of, as far as there is room."""
        text = text[: shutil.get_terminal_size().columns - 1]
        if sys.stdout.isatty() and text != self._written:
            self._written = text
            print(f"{_CLEAR}{text}", end="", flush=True)
