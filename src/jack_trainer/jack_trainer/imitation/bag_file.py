"""An MCAP file as it is written: profile ros2, so that rosbag2, Foxglove and PlotJuggler open it."""

from __future__ import annotations

import os
import time
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from mcap.writer import CompressionType, Writer

from jack_trainer.imitation.definitions import Definition
from jack_trainer.imitation.facts import RECORD, Facts, write_metadata
from jack_trainer.imitation.heard import Heard
from jack_trainer.imitation.topics import Listening, TopicSpec

_FOREVER = {"sec": 9223372036, "nsec": 854775807}


@dataclass(frozen=True)
class Subject:
    """A topic that is heard, under its full name."""

    spec: TopicSpec
    name: str
    definition: Definition


class BagFile:
    """An MCAP file that is written in small chunks, each forced to disk. Every method may raise an OSError."""

    def __init__(self, path: Path, subjects: Sequence[Subject], facts: Facts, chunk_bytes: int) -> None:
        """Begin a file; it says at once whose it is."""
        self._subjects, self._chunk_bytes = subjects, chunk_bytes
        self._file = path.open("xb")
        self._writer = Writer(self._file, chunk_size=chunk_bytes, compression=CompressionType.ZSTD)
        self._writer.start(profile="ros2", library="jack")
        self._channels: dict[int, int] = {}
        self._schemas: dict[str, int] = {}
        #: messages of each topic that are not on the disk yet, their size, and since when [s, monotonic]
        self.unsafe: Counter[int] = Counter()
        self._unsafe_bytes, self._unsafe_since = 0, 0.0
        #: what is on the disk; for every thread [bytes]
        self.size = 0
        self._writer.add_metadata(RECORD, facts.texts())
        self.flush()

    def write(self, heard: Heard, log_time: int) -> None:
        """Add a message, heard at `log_time` [ns since 1970]."""
        if self._unsafe_bytes and self._unsafe_bytes + heard.size > self._chunk_bytes:
            self.flush()
        channel = self._channels.get(heard.topic) or self._open_channel(heard.topic)
        published, number = heard.published or log_time, heard.number & 0xFFFFFFFF
        self._writer.add_message(channel, log_time, heard.data, published, number)
        if not self._unsafe_bytes:
            self._unsafe_since = time.monotonic()
        self.unsafe[heard.topic] += 1
        self._unsafe_bytes += heard.size

    @property
    def age(self) -> float:
        """For how long something has waited to be forced to disk [s]."""
        return time.monotonic() - self._unsafe_since if self._unsafe_bytes else 0.0

    def flush(self) -> None:
        """End the chunk, and force all of it to disk."""
        self._writer.flush()
        os.fsync(self._file.fileno())
        self.unsafe.clear()
        self._unsafe_bytes, self.size = 0, self._file.tell()

    def finish(self, facts: Facts) -> None:
        """Write what is known of the episode, and the index, and close."""
        self.flush()
        self._writer.add_metadata(RECORD, facts.texts())
        self._writer.finish()
        self._file.flush()
        os.fsync(self._file.fileno())
        self.size = self._file.tell()
        self._file.close()

    def abandon(self) -> None:
        """Close without an end; what is on the disk can be read."""
        with suppress(OSError):  # what cannot be written is tried once more
            self._file.close()

    def _open_channel(self, topic: int) -> int:
        subject = self._subjects[topic]
        definition = subject.definition
        if definition.type not in self._schemas:
            text = definition.text.encode()
            self._schemas[definition.type] = self._writer.register_schema(definition.type, "ros2msg", text)
        metadata = {"offered_qos_profiles": _profile_text(subject.spec), "topic_type_hash": definition.hash}
        schema = self._schemas[definition.type]
        self._channels[topic] = self._writer.register_channel(subject.name, "cdr", schema, metadata)
        return self._channels[topic]


def describe(path: Path, subjects: Sequence[Subject], facts: Facts) -> None:
    """Write the `metadata.yaml` of a bag that consists of one closed file, beside it.

    Raises:
        OSError: the disk does not take it.
    """
    profiles = {subject.name: [played(subject.spec)] for subject in subjects}
    hashes = {subject.definition.type: subject.definition.hash for subject in subjects}
    write_metadata(path.parent, facts, path.name, profiles, hashes)


def played(spec: TopicSpec) -> dict[str, Any]:
    """The qualities of service with which a topic should be played again: whoever listens gets it."""
    latched = spec.listening is Listening.LATCHED
    return {
        "history": "keep_last",
        "depth": spec.kept if latched else 10,
        "reliability": "reliable",
        "durability": "transient_local" if latched else "volatile",
        "deadline": dict(_FOREVER),
        "lifespan": dict(_FOREVER),
        "liveliness": "automatic",
        "liveliness_lease_duration": dict(_FOREVER),
        "avoid_ros_namespace_conventions": False,
    }


def _profile_text(spec: TopicSpec) -> str:
    """As YAML, which is how a channel of a bag says it."""
    return yaml.safe_dump([played(spec)], sort_keys=False)
