"""The node `recorder`: hears everything, raw, and puts episodes of it into bags when it is asked to.

Listening is `EarsNode`'s, writing is `Recorder`'s; here are parameters, the action, services and what is told.
"""

from __future__ import annotations

import signal
import sys
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import rcl_interfaces.msg
import rclpy
from builtin_interfaces.msg import Time
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus, KeyValue
from jack_msgs.action import Record
from jack_msgs.msg import RecorderStatus
from jack_msgs.srv import Mark as MarkService
from rclpy.action.server import ActionServer, CancelResponse, ServerGoalHandle
from rclpy.clock import Clock
from rclpy.clock_type import ClockType
from rclpy.exceptions import ParameterException
from rclpy.experimental.events_executor import EventsExecutor
from rclpy.node import Node
from rclpy.signals import SignalHandlerOptions
from rclpy.task import Future
from rclpy.utilities import try_shutdown
from std_srvs.srv import Trigger

from jack_contract.contract import default_contract
from jack_contract.errors import JackError
from jack_contract.parameters import check, declare, parameter
from jack_trainer.ears_node import EarsNode
from jack_trainer.imitation.bag_file import Subject
from jack_trainer.imitation.definitions import define
from jack_trainer.imitation.facts import Mark, TopicFacts
from jack_trainer.imitation.recording import DISCARDED, Episode, Recorder, RecordingConfig, Request, free_bytes
from jack_trainer.imitation.topics import TOPICS, parse

#: How often it takes what came, looks whether an episode is over, tells how it goes, and how it is [s].
HEAR_PERIOD, LOOK_PERIOD, STATUS_PERIOD, DIAGNOSTICS_PERIOD = 0.01, 0.05, 0.5, 1.0
#: How long the end of this process waits for the bag to be closed [s].
LAST_CHUNK = 2.0
_MARKS = tuple(Mark)
_DEFAULT = RecordingConfig(Path("bags"))


@dataclass(frozen=True)
class RecorderParameters:
    """Parameters of the node `recorder`."""

    folder: str = parameter(str(_DEFAULT.folder), "Folder of the episodes.")
    robot: str = parameter("jack", "Whose topics they are: a robot that ships with Jack, or the path of its file.")
    topics: tuple[str, ...] = parameter(
        tuple(topic.name for topic in TOPICS),
        "What is recorded: names of known topics, or NAME:TYPE:LISTENING, as foo:std_msgs/msg/String:sensor (or "
        "reliable, or latched).",
    )
    queue_bytes: int = parameter(_DEFAULT.queue_bytes, "Messages that may wait for the disk [bytes].", 1e5, 1e9)
    chunk_bytes: int = parameter(
        _DEFAULT.chunk_bytes, "What a kill may cost: as much is written at once [bytes].", 1e3, _DEFAULT.chunk_bytes
    )
    chunk_seconds: float = parameter(
        _DEFAULT.chunk_seconds, "What a kill may cost: nothing waits longer to be written [s].", 0.01, 1.0
    )
    look_back_seconds: float = parameter(
        _DEFAULT.look_back_seconds, "What was heard in so many seconds can be added to an episode [s].", 0.0, 600.0
    )
    look_back_bytes: int = parameter(
        _DEFAULT.look_back_bytes, "At most so much is kept of the time before an episode [bytes].", 0, 2e9
    )
    reserve_bytes: int = parameter(
        _DEFAULT.reserve_bytes, "An episode ends when less than this is left on the disk [bytes].", 1e6, 1e13
    )

    def __post_init__(self) -> None:
        check(self)
        if self.reserve_bytes < 2 * self.queue_bytes:
            raise JackError(
                f"The parameter reserve_bytes is {self.reserve_bytes}; it must be twice queue_bytes "
                f"({self.queue_bytes}) or more: what waits is still written when the disk is nearly full."
            )

    def config(self) -> RecordingConfig:
        """Where episodes go, and how much they may take."""
        return RecordingConfig(
            Path(self.folder),
            self.queue_bytes,
            self.chunk_bytes,
            self.chunk_seconds,
            self.look_back_seconds,
            self.look_back_bytes,
            self.reserve_bytes,
        )


class RecorderNode(Node):
    """An action that records, services that judge, a topic that tells how it goes."""

    def __init__(self) -> None:
        """Declare the parameters, and begin to listen.

        Raises:
            JackError: a parameter, type or folder that cannot be; says which.
        """
        super().__init__("recorder")
        self.parameters = declare(self, RecorderParameters, rcl_interfaces.msg)
        specs = parse(self.parameters.topics)
        subjects = [Subject(spec, self.resolve_topic_name(spec.name), define(spec.type)) for spec in specs]
        config, contract = self.parameters.config(), default_contract(self.parameters.robot)
        self._folder = _made(config.folder)
        self.recorder = Recorder(subjects, config, contract)
        #: of each topic, whether one node sends on it and no other
        self._alone = [False] * len(specs)
        self._goal: ServerGoalHandle | None = None
        self._problem = ""
        self.ears = EarsNode(self, subjects)
        self._offer()

    def _offer(self) -> None:
        wall = Clock(clock_type=ClockType.STEADY_TIME)
        self._status = self.create_publisher(RecorderStatus, "recorder/status", 10)
        self._diagnostics = self.create_publisher(DiagnosticArray, "/diagnostics", 10)
        self.create_service(MarkService, "~/mark", self._on_mark)
        self.create_service(Trigger, "~/discard", self._on_discard)
        self.create_timer(HEAR_PERIOD, self._hear, clock=wall)
        self.create_timer(LOOK_PERIOD, self._look, clock=wall)
        self.create_timer(STATUS_PERIOD, self._tell, clock=wall)
        self.create_timer(DIAGNOSTICS_PERIOD, self._diagnose, clock=wall)
        self._server = ActionServer(
            self,
            Record,
            "record",
            self._refuse,
            handle_accepted_callback=self._on_goal,
            cancel_callback=self._on_cancel,
        )

    def _hear(self) -> None:
        """Hand over what came."""
        for caught in self.ears.catch():
            alone = self._alone[caught.topic]
            self.recorder.hear(caught.topic, caught.data, caught.published, caught.number, alone, caught.at)

    # -- the action

    def _on_goal(self, goal: ServerGoalHandle) -> None:
        """Begin. The goal is "executed" at its end only, in a moment: a coroutine would be polled all the time."""
        request: Record.Goal = goal.request
        try:
            episode = self.recorder.start(Request(request.name, request.look_back, request.instruction))
        except JackError as error:
            self.get_logger().error(str(error))
            goal.execute(partial(self._refuse, message=str(error)))
            return
        self._goal, self._problem = goal, ""
        self.get_logger().info(f"Recording {episode.folder}")

    def _on_cancel(self, goal: ServerGoalHandle) -> CancelResponse:
        episode = self.recorder.episode
        if episode is not None and self._goal is not None and self._goal.goal_id == goal.goal_id:
            episode.end("it was asked to end")
        return CancelResponse.ACCEPT

    def _look(self) -> None:
        """Look whether the episode is over."""
        episode = self.recorder.episode
        if episode is None or self._goal is None:
            return
        seconds = self._goal.request.seconds
        if 0.0 < seconds <= episode.elapsed and not episode.ended:
            episode.end(f"its {seconds:g} s are over")
        if self.recorder.proceed() is not None:
            self._tell()
            goal, self._goal = self._goal, None
            goal.execute(partial(self._finish, episode=episode))

    def _finish(self, goal: ServerGoalHandle, episode: Episode) -> Record.Result:
        counts = episode.counts().values()
        recorded, dropped = sum(topic.recorded for topic in counts), sum(topic.dropped for topic in counts)
        words = episode.problem or f"{recorded:,} messages, {dropped:,} dropped; {episode.ended}"
        whole = not episode.problem
        self._problem = "" if episode.ended == DISCARDED else episode.problem or episode.trouble
        (self.get_logger().error if self._problem else self.get_logger().info)(f"{episode.path.name}: {words}")
        if goal.is_cancel_requested:
            goal.canceled()
        elif whole and not self._problem:
            goal.succeed()
        else:
            goal.abort()
        path = "" if episode.ended == DISCARDED else str(episode.path)
        return Record.Result(success=whole, message=words, path=path, recorded=recorded, dropped=dropped)

    def _refuse(self, goal: ServerGoalHandle, message: str = "") -> Record.Result:
        if goal.is_cancel_requested:
            goal.canceled()
        else:
            goal.abort()
        return Record.Result(success=False, message=message)

    # -- the services

    def _on_mark(self, request: MarkService.Request, response: MarkService.Response) -> MarkService.Response:
        try:
            if request.mark >= len(_MARKS):
                raise JackError(f"mark is {request.mark}; allowed: 0 (none), 1 (success) and 2 (failure).")
            response.message = self.recorder.mark(_MARKS[request.mark], request.note)
            response.success = True
        except JackError as error:
            response.message = str(error)
        return response

    def _on_discard(self, request: Trigger.Request, response: Trigger.Response) -> Trigger.Response:
        try:
            response.message, response.success = self.recorder.discard(), True
        except JackError as error:
            response.message = str(error)
        return response

    # -- how it is

    def _tell(self) -> None:
        """Publish the counts; give feedback to whoever set the goal."""
        subjects, episode = self.recorder.subjects, self.recorder.episode
        self._alone = [self.count_publishers(subject.name) == 1 for subject in subjects]
        counts = episode.counts() if episode else {}
        message = RecorderStatus(recording=episode is not None, topic=list(counts))
        with suppress(OSError):  # somebody removed the folder: the next episode makes it again
            message.free = free_bytes(self._folder)
        message.received = [topic.received for topic in counts.values()]
        message.recorded = [topic.recorded for topic in counts.values()]
        message.dropped = [topic.dropped for topic in counts.values()]
        if episode is not None:
            message.path, message.elapsed, message.bytes = str(episode.path), episode.elapsed, episode.bytes
        message.header.stamp = self._now()
        self._status.publish(message)
        if self._goal is not None and episode is not None and not episode.over:
            self._goal.publish_feedback(feedback(episode, counts))

    def _diagnose(self) -> None:
        episode = self.recorder.episode
        counts = episode.counts() if episode else {}
        dropped = sum(topic.dropped for topic in counts.values())
        status = DiagnosticStatus(name="recorder: episode", message=self._problem or "idle")
        status.level = DiagnosticStatus.ERROR if self._problem else DiagnosticStatus.OK
        if episode is not None:
            status.level = DiagnosticStatus.WARN if dropped else DiagnosticStatus.OK
            status.message = f"{dropped:,} messages dropped" if dropped else "recording"
            values = {"episode": episode.folder.name, "elapsed [s]": f"{episode.elapsed:.1f}", "dropped": dropped}
            values |= {"bytes": episode.bytes, "gaps": ", ".join(name for name in counts if counts[name].gap)}
            status.values = [KeyValue(key=key, value=str(value)) for key, value in values.items()]
        message = DiagnosticArray(status=[status])
        message.header.stamp = self._now()
        self._diagnostics.publish(message)

    def _now(self) -> Time:
        return self.get_clock().now().to_msg()

    def close(self) -> bool:
        """Close the bag of an episode that is being recorded; whether that was possible in time."""
        return self.recorder.close(LAST_CHUNK)


def feedback(episode: Episode, counts: dict[str, TopicFacts]) -> Record.Feedback:
    """How an episode goes, for whoever set the goal."""
    return Record.Feedback(
        elapsed=episode.elapsed,
        recorded=sum(topic.recorded for topic in counts.values()),
        dropped=sum(topic.dropped for topic in counts.values()),
        bytes=episode.bytes,
    )


def _made(folder: Path) -> Path:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise JackError(f"{folder} cannot be made ({error.strerror}); choose another folder.") from error
    return folder


def main() -> int:
    """Run the node until it is told to end; an episode is then closed first."""
    told = Future()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: told.done() or told.set_result(None))
    # rclpy's own handlers would take the subscriptions away in the middle of a message.
    rclpy.init(signal_handler_options=SignalHandlerOptions.NO)
    node = None
    try:
        node = RecorderNode()
        executor = EventsExecutor()
        executor.add_node(node)
        node.get_logger().info(f"Episodes go to {Path(node.parameters.folder).absolute()}")
        # spin() without a time-out burns a core (rclpy 7.1).
        while not told.done():
            executor.spin_until_future_complete(told, timeout_sec=1.0)
    except (JackError, ParameterException) as error:
        print(f"recorder: {error}", file=sys.stderr)
        return 1
    finally:
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # a second Ctrl-C must not tear what is being put away
        in_time = node is None or node.close()
        if node is not None:
            node.ears.destroy_node()
            node.destroy_node()
        try_shutdown()
        if not in_time:
            print("recorder: the bag was not closed in time; it can be read up to its last chunk", file=sys.stderr)
    return 0


if __name__ == "__main__":
    sys.exit(main())
