"""What the recorder hears with: subscriptions that nobody serves, emptied many times a second.

rclpy's EventsExecutor hands over messages, but not what is known of them: when they came, and the number that the
sender gave them (rclpy 7.1 fails on a callback that wants both). The other executors do, and build a new set of
everything to wait for with every message. Asking each subscription in turn costs less than either. The node's name
starts with an underscore, which hides it from `ros2 node list`.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from importlib import import_module
from typing import NamedTuple

from rclpy.node import Node
from rclpy.qos import DurabilityPolicy, QoSProfile, ReliabilityPolicy
from rclpy.subscription import Subscription

from jack_contract.errors import JackError
from jack_contract.wire import NANOSECONDS
from jack_trainer.imitation.bag_file import Subject
from jack_trainer.imitation.topics import Listening

#: So many messages may wait for Python, per topic.
DEPTH = 500
#: A message waits no longer than this, whatever the machine's clock says meanwhile [ns].
_LONGEST = NANOSECONDS
_QOS = {
    Listening.SENSOR: QoSProfile(depth=DEPTH, reliability=ReliabilityPolicy.BEST_EFFORT),
    Listening.RELIABLE: QoSProfile(depth=DEPTH, reliability=ReliabilityPolicy.RELIABLE),
    Listening.LATCHED: QoSProfile(
        depth=DEPTH, durability=DurabilityPolicy.TRANSIENT_LOCAL, reliability=ReliabilityPolicy.RELIABLE
    ),
}


class Caught(NamedTuple):
    """A message that waited."""

    #: when it came [ns, monotonic]
    at: int
    #: index of its subject
    topic: int
    data: bytes
    #: when it was sent, by the sender's clock [ns since 1970]
    published: int
    #: by which its sender counts; 0: not said
    number: int


class EarsNode(Node):
    """Listens for one recorder."""

    def __init__(self, recorder: Node, subjects: Sequence[Subject]) -> None:
        """Listen to these topics; a JackError says which has a type that is not installed."""
        super().__init__(
            f"_{recorder.get_name()}_ears",
            namespace=recorder.get_namespace(),
            use_global_arguments=False,
            start_parameter_services=False,
            enable_rosout=False,
        )
        self._subscriptions_ = [self._listen(subject) for subject in subjects]

    def _listen(self, subject: Subject) -> Subscription:
        kind, qos = message_class(subject), _QOS[subject.spec.listening]
        return self.create_subscription(kind, subject.name, lambda message: None, qos, raw=True)

    def catch(self) -> list[Caught]:
        """What came since the last call, in the order in which it came."""
        wall, now = time.time_ns(), time.monotonic_ns()
        caught: list[Caught] = []
        for topic, subscription in enumerate(self._subscriptions_):
            with subscription.handle:
                for _ in range(DEPTH):
                    taken = subscription.handle.take_message(subscription.msg_type, True)
                    if taken is None:
                        break
                    data, info = taken
                    waited = min(max(0, wall - info["received_timestamp"]), _LONGEST)
                    number = info["publication_sequence_number"] or 0
                    caught.append(Caught(now - waited, topic, data, info["source_timestamp"], number))
        return sorted(caught, key=lambda entry: entry.at)


def message_class(subject: Subject) -> type:
    """The class of a topic's messages; a JackError if there is none."""
    package, folder, name = subject.definition.type.split("/")
    try:
        return getattr(import_module(f"{package}.{folder}"), name)
    except (ImportError, AttributeError) as error:
        raise JackError(
            f"The message type {subject.definition.type} of {subject.name} is not installed: {error}."
        ) from error
