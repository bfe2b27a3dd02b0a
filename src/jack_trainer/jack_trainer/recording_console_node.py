"""What ./jack asks of a recorder, and of the simulation or expert that it records, through the node `console`."""

from __future__ import annotations

from typing import Any, cast

from jack_msgs.action import Record
from jack_msgs.msg import RecorderStatus
from jack_msgs.srv import Mark as MarkService
from jack_msgs.srv import Reset
from rclpy.action.client import ActionClient, ClientGoalHandle
from rclpy.node import Node
from rclpy.publisher import Publisher
from rclpy.task import Future
from std_msgs.msg import String

from jack_trainer.console_node import LATCHED
from jack_trainer.imitation.facts import Mark
from jack_trainer.imitation.record_session import EpisodeOutcome

_MARKS = tuple(Mark)


class RecordingConsole:
    """The recorder's action and services, the simulation's reset, and what the expert is told and says."""

    def __init__(self, node: Node) -> None:
        """Speak through a node that is in the graph."""
        self._client = ActionClient(node, Record, "record")
        self._mark = node.create_client(MarkService, "recorder/mark")
        self._reset = node.create_client(Reset, "sim/reset")
        node.create_subscription(RecorderStatus, "recorder/status", self._on_status, 10)
        node.create_subscription(String, "expert/status", self._on_expert, LATCHED)
        self._node, self._instruction = node, cast("Publisher | None", None)
        self._goal: ClientGoalHandle | None = None
        self._cancelled = False
        self._answer: Future | None = None
        #: RecorderStatus
        self.status: Any = None
        self.outcome: EpisodeOutcome | None = None
        self.said = ""

    def ready(self) -> bool:
        """Whether the recorder takes goals and marks."""
        return self._client.server_is_ready() and self._mark.service_is_ready()

    def reset(self, seed: int) -> bool:
        """Ask that the simulated robot is put back to its start; whether anybody is there to do it."""
        if not self._reset.service_is_ready():
            return False
        self._answer = self._reset.call_async(Reset.Request(seed=seed))
        return True

    def tell(self, sentence: str) -> None:
        """Say what is to be done; nothing: that he is to stand."""
        # Only who tells something is on this topic: another one may be speaking there.
        self._instruction = self._instruction or self._node.create_publisher(String, "instruction", LATCHED)
        self._instruction.publish(String(data=sentence))

    def mark(self, mark: Mark, note: str) -> None:
        """Say how the episode goes."""
        self._answer = self._mark.call_async(MarkService.Request(mark=_MARKS.index(mark), note=note))

    def answered(self) -> bool:
        """Whether the last question was answered."""
        return self._answer is None or self._answer.done()

    def record(self, name: str, seconds: float, instruction: str) -> None:
        """Begin an episode; `outcome` is there at its end."""
        self.outcome, self._goal, self._cancelled = None, None, False
        goal = Record.Goal(name=name, seconds=seconds, instruction=instruction)
        self._client.send_goal_async(goal).add_done_callback(self._on_answer)

    def begun(self) -> bool:
        """Whether the episode that was asked for is being recorded."""
        return self._goal is not None

    def cancel(self) -> None:
        """Ask that the episode ends."""
        self._cancelled = True
        if self._goal is not None:
            self._goal.cancel_goal_async()

    def _on_status(self, message: RecorderStatus) -> None:
        self.status = message

    def _on_expert(self, message: String) -> None:
        self.said = message.data

    def _on_answer(self, future: Future) -> None:
        handle: ClientGoalHandle | None = future.result()
        if handle is None or not handle.accepted:
            self.outcome = EpisodeOutcome(False, "The recorder refused.")
            return
        self._goal = handle
        handle.get_result_async().add_done_callback(self._on_result)
        if self._cancelled:
            handle.cancel_goal_async()

    def _on_result(self, future: Future) -> None:
        answer: Any = future.result()
        result: Record.Result = answer.result
        self.outcome = EpisodeOutcome(result.success, result.message, result.path)
