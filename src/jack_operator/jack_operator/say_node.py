"""The node `say`: tells him a sentence, and prints what he makes of it."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable

import rcl_interfaces.msg
import rclpy
from diagnostic_msgs.msg import DiagnosticArray
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
SIGHT, SENTENCE, MISHEARD = "brain: sight", "sentence", "misheard"
#: It is told so often that there is no such part before nobody is waited for any more [1].
_PATIENCE = 3


class SayNode(Node):
    """Says one thing to one robot.

    Attributes:
        answer: what he makes of it; empty until he said.
        follows: whether he follows it.
    """

    def __init__(self) -> None:
        """Get ready.

        Raises:
            JackError: a parameter that is not allowed.
        """
        super().__init__("say")
        self.parameters = declare(self, SayParameters, rcl_interfaces.msg)
        self.answer, self.follows, self._blind = "", False, 0
        self._voice = self.create_publisher(String, "instruction", LATCHED)
        self._said = False
        self.create_subscription(DiagnosticArray, "/diagnostics", self._on_diagnostics, 10)

    @property
    def heard(self) -> bool:
        """Whether somebody listens."""
        return self._voice.get_subscription_count() > 0

    def say(self) -> None:
        """Say it."""
        self._voice.publish(String(data=self.parameters.text))
        self._said = True

    def _on_diagnostics(self, message: DiagnosticArray) -> None:
        parts = {status.name: status for status in message.status}
        if not self._said or not any(name.startswith("brain: ") for name in parts):
            return
        if SIGHT not in parts:
            self._blind += 1
            if self._blind >= _PATIENCE:
                self.answer = "He watches no camera, so that he follows no sentences: start him with camera:=true."
            return
        told = {pair.key: pair.value for pair in parts[SIGHT].values}
        if told.get(MISHEARD, "nothing") != "nothing":
            self.answer = told[MISHEARD]
        elif not self.parameters.text.strip():
            self.answer = "He follows nothing any more."
        if told.get(SENTENCE) == self.parameters.text:
            self.follows = True
            self.answer = self.answer or f"He follows: {told[SENTENCE]}"


def until(executor: SingleThreadedExecutor, condition: Callable[[], object], seconds: float) -> bool:
    """Let messages in until something is so; whether it came to be in time."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            return False
        executor.spin_once(timeout_sec=0.05)
    return True


def main() -> int:
    """Say it, and print the answer; returns the exit code: 0 if he follows it."""
    rclpy.init()
    try:
        node = SayNode()
        executor, patience = SingleThreadedExecutor(), node.parameters.patience
        executor.add_node(node)
        if not until(executor, lambda: node.heard, patience):
            where = node.resolve_topic_name("instruction")
            print(f"say: Nobody listens on {where} within {patience:g} s: is he deployed?", file=sys.stderr)
            return 1
        node.say()
        if not until(executor, lambda: node.answer, patience):
            print("say: It was said; he says nothing about it. Does the policy follow sentences?", file=sys.stderr)
            return 1
        print(node.answer)
        return 0 if node.follows or not node.parameters.text.strip() else 1
    except (JackError, ParameterException) as error:
        print(f"say: {error}", file=sys.stderr)
        return 1
    except (KeyboardInterrupt, ExternalShutdownException):
        return 130
    finally:
        try_shutdown()


if __name__ == "__main__":
    sys.exit(main())
