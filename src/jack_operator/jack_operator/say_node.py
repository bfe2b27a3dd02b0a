"""The node `say`: tells him a sentence, and prints what he makes of it."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable

import rcl_interfaces.msg
import rclpy
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus
from rclpy.exceptions import ParameterException
from rclpy.executors import ExternalShutdownException, SingleThreadedExecutor
from rclpy.node import Node
from rclpy.qos import DurabilityPolicy, QoSProfile, ReliabilityPolicy
from rclpy.utilities import try_shutdown
from std_msgs.msg import String

from jack_contract.errors import JackError
from jack_contract.parameters import declare
from jack_operator.parameters import SayParameters

LATCHED = QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL, reliability=ReliabilityPolicy.RELIABLE)
#: The part of the brain's diagnostics that tells of sentences, and what it calls them.
SIGHT, SENTENCE, MISHEARD, HEARD, FOLLOWED = "brain: sight", "sentence", "misheard", "sentences heard", "followed"
#: What the brain says where there is nothing to say.
_NOTHING = ("none", "nothing")
#: So often he tells that he does not follow before that is the answer [1].
_PATIENCE = 3


class SayNode(Node):
    """Says one thing to one robot.

    Attributes:
        answer: what he makes of it; empty until he said.
        good: whether he does what he was told.
    """

    def __init__(self) -> None:
        """Get ready.

        Raises:
            JackError: a parameter that is not allowed.
        """
        super().__init__("say")
        self.parameters = declare(self, SayParameters, rcl_interfaces.msg)
        self.answer, self.good = "", False
        self._heard: int | None = None  # sentences that he had heard before this one
        self._told = self._blind = 0
        self._voice = self.create_publisher(String, "instruction", LATCHED)
        self.create_subscription(DiagnosticArray, "/diagnostics", self._on_diagnostics, 10)

    @property
    def there(self) -> bool:
        """Whether somebody listens."""
        return self._voice.get_subscription_count() > 0

    def _on_diagnostics(self, message: DiagnosticArray) -> None:
        mine = self.get_namespace().rstrip("/")
        parts = {s.name: s for s in message.status if s.hardware_id.rpartition("/")[0] == mine}
        if SIGHT in parts:
            self._on_sight(parts[SIGHT])
        elif any(name.startswith("brain: ") for name in parts):
            self._blind += 1
            if self._blind >= _PATIENCE:
                self.answer = "He watches no camera, so that he follows no sentences: start him with camera:=true."

    def _on_sight(self, status: DiagnosticStatus) -> None:
        told = {pair.key: pair.value for pair in status.values}
        heard = int(told.get(HEARD, "0"))
        if self._heard is None:
            self._heard = heard
            self._voice.publish(String(data=self.parameters.text))
        elif heard > self._heard:
            self._told += 1
            self._judge(told, status.message)

    def _judge(self, told: dict[str, str], message: str) -> None:
        """Understand what he says of a sentence that he has heard."""
        odd = "" if told[MISHEARD] in _NOTHING else told[MISHEARD]
        if not self.parameters.text.strip():
            self.answer, self.good = "He follows nothing any more.", True
        elif told[FOLLOWED] == "yes":
            self.answer, self.good = " ".join(filter(None, (f"He follows: {told[SENTENCE]}", odd))), True
        elif told[SENTENCE] in _NOTHING and odd:
            self.answer = odd
        elif self._told >= _PATIENCE:
            self.answer = f"He does not follow it: {message}"


def until(executor: SingleThreadedExecutor, condition: Callable[[], object], seconds: float) -> bool:
    """Let messages in until something is so; whether it came to be in time."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            return False
        executor.spin_once(timeout_sec=0.05)
    return True


def main() -> int:
    """Say it, and print the answer; returns the exit code: 0 if he does what he was told."""
    rclpy.init()
    try:
        node = SayNode()
        executor, patience = SingleThreadedExecutor(), node.parameters.patience
        executor.add_node(node)
        if not until(executor, lambda: node.there, patience):
            where = node.resolve_topic_name("instruction")
            print(f"say: Nobody listens on {where} within {patience:g} s: is he deployed?", file=sys.stderr)
            return 1
        if not until(executor, lambda: node.answer, patience):
            print(f"say: He said nothing about it within {patience:g} s.", file=sys.stderr)
            return 1
        print(node.answer)
        return 0 if node.good else 1
    except (JackError, ParameterException) as error:
        print(f"say: {error}", file=sys.stderr)
        return 1
    except (KeyboardInterrupt, ExternalShutdownException):
        return 130
    finally:
        try_shutdown()


if __name__ == "__main__":
    sys.exit(main())
