"""A motion-capture file as it was found: read once, bounded, with a digest, and errors that name the place."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from jack_contract.errors import JackError

#: A larger file is refused unread [bytes]; an hour of text at 120 frames/s has some hundred MB.
MAX_FILE_BYTES = 256 << 20
#: A skeleton with all fingers has some 70 joints.
MAX_JOINTS = 256
#: Half an hour at 120 frames/s.
MAX_FRAMES = 216_000
#: Frames a second that a recording may have.
MIN_RATE, MAX_RATE = 5.0, 1000.0
#: A number beyond this is no length, angle or duration of a person in any unit.
_MAX_NUMBER = 1e6
_MAX_LINE = 100_000
#: What was found in a file is not repeated beyond this many characters.
_MAX_WORDS = 1000


class MocapError(JackError):
    """A motion-capture file that is damaged or of another kind, or a motion that Jack cannot be given."""


@dataclass(frozen=True)
class Source:
    """A file and its content."""

    path: Path
    data: bytes

    @classmethod
    def load(cls, path: Path) -> Source:
        """Read a file of at most MAX_FILE_BYTES.

        Raises:
            MocapError: it is not there, too large, or empty.
        """
        try:
            with path.open("rb") as file:
                data = file.read(MAX_FILE_BYTES + 1)
        except OSError as error:
            raise MocapError(f"{path} cannot be read: {error.strerror}.") from error
        if not data:
            raise MocapError(f"{path} is empty.")
        if len(data) > MAX_FILE_BYTES:
            raise MocapError(f"{path} has more than {MAX_FILE_BYTES:,} bytes; cut it into several files.")
        return cls(path, data)

    @cached_property
    def sha256(self) -> str:
        """Of the content, hexadecimal."""
        return hashlib.sha256(self.data).hexdigest()

    def wrong(self, found: str, expected: str, line: int = 0) -> MocapError:
        """The error that says where a file is wrong, what is there, and what should be."""
        place = f"{self.path}, line {line}" if line else str(self.path)
        return MocapError(f"{place}: found {found[:_MAX_WORDS]}; expected {expected[:_MAX_WORDS]}.")


class Words:
    """The words of a text file one after another, with the line that each is on."""

    def __init__(self, source: Source, comment: str = "") -> None:
        """Open a text.

        Args:
            source: the file.
            comment: what begins a line that says nothing; empty: there are none.
        """
        self.source = source
        self._rows = _rows(source, comment)
        self._line, self._words = 0, list[str]()

    def next(self, expected: str) -> str:
        """The next word; an error says what was expected where the file ends instead."""
        while not self._words:
            self._line, self._words = next(self._rows, (self._line, []))
            if not self._words:
                raise self.source.wrong("the end of the file", expected, self._line)
        return self._words.pop(0)

    def expect(self, *allowed: str) -> str:
        """The next word, which must be one of those allowed."""
        expected = " or ".join(f"'{word}'" for word in allowed)
        word = self.next(expected)
        if word not in allowed:
            raise self.wrong(word, expected)
        return word

    def number(self, what: str) -> float:
        """The next word as a finite number."""
        word = self.next(what)
        return self.numbers([word], what)[0]

    def count(self, what: str, least: int, most: int) -> int:
        """The next word as a whole number from `least` to `most`."""
        expected = f"{what}, a whole number from {least} to {most}"
        word = self.next(expected)
        if not (word.isascii() and word.isdigit() and len(word) < 10 and least <= int(word) <= most):
            raise self.wrong(word, expected)
        return int(word)

    def numbers(self, words: list[str], what: str) -> list[float]:
        """Words of the present line as finite numbers."""
        values = []
        for word in words:
            try:
                value = math.nan if "_" in word else float(word)
            except ValueError:
                value = math.nan
            if not abs(value) <= _MAX_NUMBER:
                raise self.wrong(word, f"{what}, a number between -{_MAX_NUMBER:.0f} and {_MAX_NUMBER:.0f}")
            values.append(value)
        return values

    def rows(self) -> Iterator[list[str]]:
        """The whole lines that follow, as words."""
        for line, words in self._rows:
            self._line = line
            yield words

    def wrong(self, found: str, expected: str) -> MocapError:
        """The error for a word on the present line."""
        return self.source.wrong(f"'{found[:60]}'", expected, self._line)


def _rows(source: Source, comment: str) -> Iterator[tuple[int, list[str]]]:
    """Numbered lines with anything on them, as words."""
    for number, line in enumerate(source.data.splitlines(), 1):
        if len(line) > _MAX_LINE:
            raise source.wrong(f"{len(line):,} characters", f"at most {_MAX_LINE:,} on a line", number)
        words = line.decode("utf-8", "replace").split()
        if words and not (comment and words[0].startswith(comment)):
            yield number, words
