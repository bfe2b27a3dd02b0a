"""Bags of ROS 2, read without ROS: MCAP or sqlite3, one file or a folder of them, whole or torn."""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from collections.abc import Collection, Iterator
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

from jack_contract.errors import JackError
from jack_trainer.imitation.decoding import UndecodableError, decode
from jack_trainer.imitation.storage import Raw, read_file

#: The formats that rosbag2 writes.
SUFFIXES = (".mcap", ".db3")
#: So many complaints are kept in words; all are counted.
_KEPT = 20


class BagError(JackError):
    """What is not a bag, or lacks what is needed."""


class Recorded(NamedTuple):
    """A message of a bag."""

    topic: str
    #: when it was received [ns]
    time: int
    #: an object with the attributes of the ROS message; its arrays of numbers are numpy's
    message: Any


class Bag:
    """A recording.

    Attributes:
        path: as it was given.
        files: that the messages lie in, in the order in which they were written.
        topics: types by topic, of all that were seen by `read` so far.
        undecodable: messages that were not what their type says, by topic; counted by `read`.
        spoilt: what else could not be read, in words, the first ones.
        complaints: how often something else could not be read.
    """

    def __init__(self, path: Path) -> None:
        """Find the files of a bag; none is opened yet.

        A folder's metadata.yaml is not needed: it is written last, and who was killed has none.

        Raises:
            BagError: there are none.
        """
        self.path, self.files = path, _files(path)
        self.topics: dict[str, str] = {}
        self.undecodable: Counter[str] = Counter()
        self.spoilt: list[str] = []
        self.complaints = 0

    @cached_property
    def sha256(self) -> str:
        """Of the bag, hexadecimal: of its file, or, of several, of the lines that sha256sum prints of them."""
        digests = [(_sha256(file), file.name) for file in self.files]
        if len(digests) == 1:
            return digests[0][0]
        return hashlib.sha256("".join(f"{digest}  {name}\n" for digest, name in digests).encode()).hexdigest()

    def read(self, topics: Collection[str] | None = None) -> Iterator[Recorded]:
        """The messages of some topics, or all, in the order in which they were written.

        What cannot be read is counted and left out; nothing in a file makes this raise.

        Args:
            topics: full names, as in /joint_states; None: all.
        """
        for raw in self.read_raw(topics):
            try:
                yield Recorded(raw.channel.topic, raw.time, decode(raw.channel, raw.data))
            except UndecodableError as error:
                self.reject(error, raw.channel.topic)

    def read_raw(self, topics: Collection[str] | None = None) -> Iterator[Raw]:
        """As `read`, and every message as it was sent."""
        for file in self.files:
            for raw in read_file(file, self.complain):
                self.topics[raw.channel.topic] = raw.channel.type
                if topics is None or raw.channel.topic in topics:
                    yield raw

    def reject(self, error: UndecodableError, topic: str) -> None:
        """Count a message that was not what its type says."""
        self.undecodable[topic] += 1
        self.complain(str(error))

    def collect(self, topics: Collection[str]) -> dict[str, list[Recorded]]:
        """The messages of some topics by topic, each in the order in which they were received."""
        found: dict[str, list[Recorded]] = {topic: [] for topic in topics}
        for recorded in self.read(topics):
            found[recorded.topic].append(recorded)
        for messages in found.values():
            messages.sort(key=lambda recorded: recorded.time)
        return found

    def complain(self, words: str) -> None:
        """Count, and keep in words, something that could not be read."""
        self.complaints += 1
        if len(self.spoilt) < _KEPT:
            self.spoilt.append(words)


def _files(path: Path) -> list[Path]:
    if path.is_file() and path.suffix in SUFFIXES:
        return [path]
    if path.is_dir():
        found = [file for file in path.iterdir() if file.suffix in SUFFIXES and file.is_file()]
        if found:
            return sorted(found, key=_in_order)
    raise BagError(
        f"{path} is no bag: expected a file that ends in {' or '.join(SUFFIXES)}, or a folder with such files."
    )


def _in_order(file: Path) -> tuple[str, int]:
    """rosbag2 numbers its files, name_0 to name_10 and on."""
    match = re.fullmatch(r"(.*?)(\d{1,9})", file.stem)
    return (match[1], int(match[2])) if match else (file.stem, -1)


def _sha256(file: Path) -> str:
    with file.open("rb") as opened:
        return hashlib.file_digest(opened, "sha256").hexdigest()
