"""Which topics are recorded: their types, how they are listened to, and how much of them an episode needs."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from jack_contract.errors import JackError, UnknownNameError

_NAME = re.compile(r"/?[A-Za-z_]\w*(/[A-Za-z_]\w*)*", re.ASCII)
_TYPE = re.compile(r"[a-z][a-z0-9_]*/msg/[A-Z][A-Za-z0-9]*", re.ASCII)
#: More topics are no list that a person wrote.
MAX_TOPICS = 200


class Listening(StrEnum):
    """How a topic is listened to, whoever sends it."""

    #: takes what comes and asks for nothing again: it costs the sender nothing
    SENSOR = "sensor"
    #: asks for what was lost on the way
    RELIABLE = "reliable"
    #: what was sent before belongs to every episode: it was true when that began
    LATCHED = "latched"


@dataclass(frozen=True)
class TopicSpec:
    """A topic that is recorded."""

    #: relative names follow the node's namespace
    name: str
    #: as package/msg/Name
    type: str
    listening: Listening = Listening.RELIABLE
    #: whether there is a message in every control period, so that a longer silence is a gap
    steady: bool = False
    #: of a latched topic: so many of its last messages, all different, open each episode
    kept: int = 1


#: What of a robot is recorded, unless somebody asks for something else.
TOPICS = (
    TopicSpec("joint_states", "sensor_msgs/msg/JointState", Listening.SENSOR, steady=True),
    TopicSpec("imu/data", "sensor_msgs/msg/Imu", Listening.SENSOR, steady=True),
    TopicSpec("joint_command", "jack_msgs/msg/JointCommand", Listening.SENSOR, steady=True),
    TopicSpec("cmd_vel", "geometry_msgs/msg/Twist"),
    TopicSpec("instruction", "std_msgs/msg/String", Listening.LATCHED),
    TopicSpec("odom", "nav_msgs/msg/Odometry"),
    TopicSpec("tf", "tf2_msgs/msg/TFMessage"),
    TopicSpec("tf_static", "tf2_msgs/msg/TFMessage", Listening.LATCHED, kept=8),
    TopicSpec("robot_description", "std_msgs/msg/String", Listening.LATCHED),
    TopicSpec("brain/status", "jack_msgs/msg/BrainStatus"),
    TopicSpec("camera/image_raw/compressed", "sensor_msgs/msg/CompressedImage", Listening.SENSOR),
    TopicSpec("camera/camera_info", "sensor_msgs/msg/CameraInfo", Listening.SENSOR),
)
#: Pictures: most of the bytes, and the simulation draws them only while somebody listens.
CAMERA = frozenset({"camera/image_raw/compressed", "camera/camera_info"})
_KNOWN = {topic.name: topic for topic in TOPICS}


def parse(words: Sequence[str]) -> tuple[TopicSpec, ...]:
    """The topics that somebody names.

    Args:
        words: the names of known topics, or name:type:listening for others, as foo:std_msgs/msg/String:reliable.

    Raises:
        JackError: a name, type or way of listening that is none, a topic twice, or none at all.
    """
    topics = tuple(_topic(word) for word in words)
    names = [topic.name for topic in topics]
    if not 1 <= len(names) <= MAX_TOPICS or len(set(names)) != len(names):
        given = ", ".join(names)[:200] or "none"
        raise JackError(f"1 to {MAX_TOPICS} topics can be recorded, each once; given: {given}.")
    return topics


def _topic(word: str) -> TopicSpec:
    name, *rest = word.split(":")
    if not rest:
        if name not in _KNOWN:
            raise UnknownNameError("topic that is known by name", name, [*_KNOWN, "NAME:TYPE:LISTENING"])
        return _KNOWN[name]
    kind, listening = rest[0], rest[1] if len(rest) > 1 else Listening.RELIABLE.value
    if len(rest) > 2 or not _NAME.fullmatch(name) or not _TYPE.fullmatch(kind):
        raise JackError(f"The topic '{word[:200]}' is not NAME:TYPE:LISTENING, as foo:std_msgs/msg/String:sensor.")
    if listening not in list(Listening):
        raise UnknownNameError("way of listening", listening, list(Listening))
    return TopicSpec(name, kind, Listening(listening))
