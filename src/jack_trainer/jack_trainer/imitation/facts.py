"""What is known of an episode besides its messages: kept in the bag, and in the `metadata.yaml` beside it.

The bag has what was known when it was closed. `metadata.yaml`, which is rosbag2's, can be changed afterwards, so
that an episode can still be called a success or a failure: where it is there, it is what counts.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from enum import StrEnum
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from jack_contract.errors import JackError
from jack_contract.wire import NANOSECONDS
from jack_trainer.files import replace_file

METADATA = "metadata.yaml"
#: Of the metadata record in the bag.
RECORD = "jack_episode"
#: A larger metadata.yaml is none of ours [bytes].
MAX_BYTES = 4 << 20
#: A steady topic has a gap where two of its messages are further apart than so many periods: where two or more in a
#: row are missing. One is made up for by its neighbours.
GAP_PERIODS = 2.5
#: What a policy cannot be taught without.
NEEDED = ("joint_states", "imu/data", "joint_command")
_VERSION = 9  # of metadata.yaml, as ROS 2 Jazzy writes it
_INFORMATION = "rosbag2_bagfile_information"


class Mark(StrEnum):
    """How an episode went, in the order of jack_msgs/srv/Mark."""

    NONE = "none"
    SUCCESS = "success"
    FAILURE = "failure"


class TopicFacts(BaseModel):
    """What came of one topic; received = recorded + dropped."""

    type: str
    #: messages in the bag, and heard of but not in it
    recorded: int = Field(ge=0)
    dropped: int = Field(ge=0)
    #: time from one message to the next, as it should be; 0: whenever [s]
    period: float = Field(default=0.0, ge=0.0)
    #: the longest that it was, by the messages' own stamps where they have any [s]
    longest: float = Field(default=0.0, ge=0.0)
    #: how often the stamps ran back
    backwards: int = Field(default=0, ge=0)

    @property
    def received(self) -> int:
        """Messages heard of."""
        return self.recorded + self.dropped

    @property
    def gap(self) -> bool:
        """Whether messages are missing where there should be some all the time."""
        return self.period > 0.0 and (self.longest > GAP_PERIODS * self.period or self.backwards > 0)


class Facts(BaseModel):
    """What is known of an episode."""

    model_config = ConfigDict(extra="ignore")

    #: 1 for this layout
    version: int = 1
    name: str
    robot: str = ""
    contract_digest: str = ""
    #: in the contract's order
    joints: tuple[str, ...] = ()
    #: what the robot was asked to do, in words
    instruction: str = ""
    mark: Mark = Mark.NONE
    note: str = ""
    #: wall-clock time of its first moment, look-back included [ns since 1970]
    started: int = Field(default=0, ge=0)
    #: [s]
    duration: float = Field(default=0.0, ge=0.0)
    #: why it ended; empty in a bag that was torn
    ended: str = ""
    #: by full name
    topics: dict[str, TopicFacts] = {}

    @field_validator("joints", "topics", mode="before")
    @classmethod
    def _from_text(cls, value: Any) -> Any:  # noqa: ANN401 - whatever was read
        return json.loads(value) if isinstance(value, str) else value

    def texts(self) -> dict[str, str]:
        """Every field as text, for places that hold nothing else."""
        data = self.model_dump(mode="json")
        return {key: value if isinstance(value, str) else json.dumps(value) for key, value in data.items()}

    @classmethod
    def from_texts(cls, texts: object) -> Facts:
        """The facts that `texts` wrote; a JackError says what is wrong with others."""
        try:
            return cls.model_validate(texts)
        except (ValidationError, ValueError, RecursionError) as error:
            raise JackError(f"Not the facts of an episode of Jack: {error}") from error

    @property
    def recorded(self) -> int:
        """Messages in the bag."""
        return sum(topic.recorded for topic in self.topics.values())

    @property
    def dropped(self) -> int:
        """Messages heard of and not in the bag."""
        return sum(topic.dropped for topic in self.topics.values())

    @property
    def gaps(self) -> list[str]:
        """The topics with gaps."""
        return [name for name, topic in self.topics.items() if topic.gap]


def complaints(facts: Facts, gaps_allowed: bool = False) -> list[str]:
    """Why an episode is not to be trained on, in words; empty if it is fit.

    Args:
        facts: of the episode.
        gaps_allowed: whether one with gaps is fit all the same.
    """
    said = []
    if not facts.ended:
        said.append("it was never closed: the recorder died")
    if facts.mark is Mark.FAILURE:
        said.append(f"it is marked as a failure{f' ({facts.note})' if facts.note else ''}")
    for name in NEEDED:
        if not any(topic.recorded for full, topic in facts.topics.items() if full.endswith(f"/{name}")):
            heard = ", ".join(full for full, topic in facts.topics.items() if topic.recorded)
            said.append(f"nothing of {name} is in it; what is: {heard or 'nothing'}")
    if not gaps_allowed:
        said += [f"{name} has a gap ({_gap(facts.topics[name])})" for name in facts.gaps]
    return said


def usable(facts: Facts, gaps_allowed: bool = False) -> bool:
    """Whether an episode is fit to be trained on; see `complaints`."""
    return not complaints(facts, gaps_allowed)


def _gap(topic: TopicFacts) -> str:
    if topic.backwards:
        return f"its stamps ran back {topic.backwards} times"
    return f"{topic.longest:.3f} s without a message, one is due every {topic.period:.3f} s"


# -- metadata.yaml


def write_metadata(
    folder: Path, facts: Facts, file: str, profiles: Mapping[str, list[dict[str, Any]]], hashes: Mapping[str, str]
) -> None:
    """Write the `metadata.yaml` of a bag, as rosbag2 does; the facts are its custom data.

    Args:
        folder: of the bag.
        facts: of the episode.
        file: name of the bag's one file.
        profiles: of each topic: the qualities of service with which it was offered.
        hashes: of each message type.

    Raises:
        OSError: the disk does not take it.
    """
    topics = [
        {
            "topic_metadata": {
                "name": name,
                "type": topic.type,
                "serialization_format": "cdr",
                "offered_qos_profiles": profiles[name],
                "type_description_hash": hashes.get(topic.type, ""),
            },
            "message_count": topic.recorded,
        }
        for name, topic in facts.topics.items()
        if topic.recorded
    ]
    information = {
        "version": _VERSION,
        "storage_identifier": "mcap",
        **_extent(facts),
        "topics_with_message_count": topics,
        "compression_format": "",  # of whole files or messages; chunks know their own
        "compression_mode": "",
        "relative_file_paths": [file],
        "files": [{"path": file, **_extent(facts)}],
        "custom_data": facts.texts(),
        "ros_distro": "jazzy",
    }
    _write(folder, {_INFORMATION: information})


def _extent(facts: Facts) -> dict[str, Any]:
    return {
        "duration": {"nanoseconds": round(facts.duration * NANOSECONDS)},
        "starting_time": {"nanoseconds_since_epoch": facts.started},
        "message_count": facts.recorded,
    }


def read_facts(folder: Path) -> Facts:
    """The facts of a closed episode.

    Raises:
        JackError: there is no bag, or not one that Jack recorded.
    """
    try:
        return Facts.from_texts(_read(folder)[_INFORMATION]["custom_data"])
    except (KeyError, TypeError) as error:
        raise JackError(f"{folder / METADATA} says nothing of an episode: Jack did not record this bag.") from error


def mark_episode(folder: Path, mark: Mark, note: str) -> Facts:
    """Say how a closed episode went; returns its facts.

    Raises:
        JackError: there is no such episode, or the disk does not take it.
    """
    facts = read_facts(folder).model_copy(update={"mark": mark, "note": note})
    data = _read(folder)
    data[_INFORMATION]["custom_data"] = facts.texts()
    try:
        _write(folder, data)
    except OSError as error:
        raise JackError(f"{folder / METADATA} could not be written ({error.strerror}). Make room.") from error
    return facts


class _PlainLoader(yaml.SafeLoader):
    """YAML without references: no bag has any, and a few of them can stand for gigabytes."""

    def compose_node(self, parent: Any, index: Any) -> Any:  # noqa: ANN401 - as its parent has it
        if self.check_event(yaml.AliasEvent):
            raise yaml.YAMLError("it has references, which a bag's metadata never has")
        return super().compose_node(parent, index)


def _read(folder: Path) -> dict[str, Any]:
    path = folder / METADATA
    try:
        if path.stat().st_size > MAX_BYTES:
            raise JackError(f"{path} has more than {MAX_BYTES} bytes: it is no metadata of a bag.")
        return yaml.load(path.read_text(encoding="utf-8"), _PlainLoader)  # noqa: S506 - it is a SafeLoader
    except OSError as error:
        raise JackError(f"{folder} is no closed bag: {METADATA} cannot be read ({error.strerror}).") from error
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise JackError(f"{path} is not YAML: {error}") from error


def _write(folder: Path, data: dict[str, Any]) -> None:
    replace_file(folder / METADATA, yaml.safe_dump(data, sort_keys=False, width=1000).encode())
