"""The node `trainer`: the school on ROS 2. An action trains, topics tell how it goes and hand out policies."""

from __future__ import annotations

import array
import os
import signal
import sys
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import rcl_interfaces.msg
import rclpy
from builtin_interfaces.msg import Time
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus, KeyValue
from jack_msgs.action import Train
from jack_msgs.msg import Policy, TrainingStatus
from rclpy.action.server import ActionServer, CancelResponse, GoalResponse, ServerGoalHandle
from rclpy.exceptions import ParameterException
from rclpy.executors import MultiThreadedExecutor
from rclpy.node import Node
from rclpy.qos import DurabilityPolicy, QoSProfile, ReliabilityPolicy
from rclpy.signals import SignalHandlerOptions
from rclpy.utilities import try_shutdown

from jack_contract.errors import JackError
from jack_contract.parameters import check, declare, parameter
from jack_sim.randomization import RANDOMIZATIONS
from jack_trainer.lesson import Lesson
from jack_trainer.training import DEVICES, PolicyFile, Progress, TrainOptions

LATCHED = QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL, reliability=ReliabilityPolicy.RELIABLE)
#: A larger policy file is not sent, only where it lies [bytes].
MAX_SENT = 4_000_000
REPORT_PERIOD = 1.0
#: How long the end of this process waits for the last checkpoint [s].
LAST_CHECKPOINT = 2.0


@dataclass(frozen=True)
class TrainerParameters:
    """Parameters of the node `trainer`."""

    autostart_phase: str = parameter(
        "", "Start training this phase at once, or several with commas between; empty: wait for a goal."
    )
    steps: int = parameter(0, "Environment steps of a training that starts at once; 0: the phase's own.", 0, 1e12)
    seed: int = parameter(0, "Of everything random in a training that starts at once.", 0)
    resume: str = parameter("", "Run that a training that starts at once goes on with; empty: anew.")
    parent: str = parameter("", "Checkpoint or run that what is not resumed goes on from; empty: a new brain.")
    bags: tuple[str, ...] = parameter((), "Demonstrations, for the phases that learn from some.")
    clips: tuple[str, ...] = parameter((), "Motions, for the phases that learn from some.")
    scenes: tuple[str, ...] = parameter((), "Folders of scenes, for the phases that learn from some.")
    teacher: str = parameter("", "Checkpoint, run or policy that corrects who clones demonstrations; empty: none.")
    chunk: str = parameter("", "How action chunks are learnt: squared, flow or tokens; empty: the phase's own.")
    batch: int = parameter(0, "Samples of a step of learning from scenes; 0: as the phase has it.", 0, 1_000_000)
    device: str = parameter(
        "auto",
        "Where he learns from scenes: cpu, cuda, or auto, which is cuda where there is one.",
        choices=DEVICES,
    )
    runs: str = parameter("runs", "Folder of the trainings.")
    brain: str = parameter("nano", "Size of the brain: nano, small or base.")
    environments: int = parameter(0, "Simulations side by side; 0: as many as the phase takes.", 0, 100_000)
    randomization: str = parameter(
        "on",
        "Bodies and sensors that he learns in: off, as modelled; on; wide. With -p, in quotes: YAML takes a bare "
        "on or off for a boolean.",
        choices=tuple(RANDOMIZATIONS),
    )
    until_passed: bool = parameter(True, "Whether a phase ends when it is passed, or when its steps are used up.")

    def __post_init__(self) -> None:
        check(self)


class TrainerNode(Node):
    """The school's office: takes goals, starts trainings, publishes what comes of them."""

    def __init__(self) -> None:
        """Declare the parameters, and start training if they say so."""
        super().__init__("trainer")
        self.parameters = declare(self, TrainerParameters, rcl_interfaces.msg)
        self._lesson: Lesson | None = None
        self._progress: Progress | None = None
        self._news = ""
        self._policy = self.create_publisher(Policy, "policy", LATCHED)
        self._status = self.create_publisher(TrainingStatus, "training/status", 10)
        self._diagnostics = self.create_publisher(DiagnosticArray, "/diagnostics", 10)
        self.create_timer(REPORT_PERIOD, self._report)
        self._server = ActionServer(
            self, Train, "train", self._train, goal_callback=self._on_goal, cancel_callback=self._on_cancel
        )
        if self.parameters.autostart_phase:
            own = self.parameters
            self._start(Train.Goal(phase=own.autostart_phase, steps=own.steps, seed=own.seed, resume=own.resume))

    # -- the action

    def _on_goal(self, goal: Train.Goal) -> GoalResponse:
        if self._lesson is not None and not self._lesson.over:
            self.get_logger().warning("Refused a goal: Jack is being taught already; cancel that first.")
            return GoalResponse.REJECT
        return GoalResponse.ACCEPT

    def _on_cancel(self, goal: ServerGoalHandle) -> CancelResponse:
        if self._lesson is not None:
            self._lesson.stop()
        return CancelResponse.ACCEPT

    def _train(self, goal: ServerGoalHandle) -> Train.Result:
        lesson = self._start(goal.request, goal.publish_feedback)
        lesson.join()
        if goal.is_cancel_requested:
            goal.canceled()
        elif lesson.result is None:
            goal.abort()
        else:
            goal.succeed()
        return result_message(lesson)

    def _start(
        self,
        goal: Train.Goal,
        feedback: Callable[[Train.Feedback], None] = lambda message: None,
    ) -> Lesson:
        def options() -> TrainOptions:
            """What the goal and the parameters ask for; a JackError if that makes no sense."""
            own = self.parameters
            return TrainOptions(
                phase=goal.phase,
                steps=goal.steps,
                seed=goal.seed,
                resume=Path(goal.resume) if goal.resume else None,
                runs=Path(own.runs),
                parent=Path(own.parent) if own.parent and not goal.resume else None,
                bags=tuple(map(Path, own.bags)),
                clips=tuple(map(Path, own.clips)),
                scenes=tuple(map(Path, own.scenes)),
                teacher=Path(own.teacher) if own.teacher else None,
                chunk=own.chunk,
                batch=own.batch,
                device=own.device,
                brain=own.brain,
                environments=own.environments,
                randomization=own.randomization,
                until_passed=own.until_passed,
            )

        self.get_logger().info(f"Training begins: {goal.phase or goal.resume}")
        self._lesson = Lesson(options, Reporter(self, feedback))
        return self._lesson

    # -- what comes of it

    def publish_progress(self, progress: Progress) -> None:
        """Tell how a training goes; from any thread."""
        self._progress = progress
        message = TrainingStatus(
            run=str(progress.run),
            phase=progress.phase,
            step=progress.step,
            total_steps=progress.total_steps,
            update=progress.update,
            steps_per_second=float(progress.steps_per_second),
            mean_return=float(progress.mean_return),
            mean_episode_length=float(progress.mean_episode_length),
            remaining=float(progress.remaining),
            checkpoint=str(progress.checkpoint or ""),
        )
        message.header.stamp = self._now()
        self._status.publish(message)

    def publish_policy(self, policy: PolicyFile) -> None:
        """Offer a policy to every brain that listens; from any thread."""
        size = policy.path.stat().st_size
        message = Policy(
            contract_digest=policy.contract_digest, phase=policy.phase, step=policy.step, sha256=policy.sha256
        )
        if size <= MAX_SENT:
            message.onnx = array.array("B", policy.path.read_bytes())
        else:
            message.uri = policy.path.absolute().as_uri()
        message.header.stamp = self._now()
        self._policy.publish(message)
        self.get_logger().info(f"Policy of step {policy.step:,} is out: {size / 1000:.0f} kB, {policy.sha256[:12]}")

    def publish_news(self, news: str) -> None:
        """Say something that is worth a line; from any thread."""
        self._news = news
        self.get_logger().warning(news)

    def publish_end(self, lesson: Lesson) -> None:
        """Say how a training ended; from any thread."""
        (self.get_logger().info if lesson.result else self.get_logger().error)(lesson.message)

    def _report(self) -> None:
        lesson, progress = self._lesson, self._progress
        failed = lesson is not None and lesson.over and lesson.result is None
        state = "idle" if lesson is None else (lesson.message if lesson.over else "training")
        status = DiagnosticStatus(name="trainer: training", message=state)
        status.level = DiagnosticStatus.ERROR if failed else DiagnosticStatus.OK
        if progress is not None:
            values = {"run": progress.run, "step": progress.step, "steps/s": round(progress.steps_per_second)}
            values |= {"broken": progress.broken, "news": self._news}
            status.values = [KeyValue(key=key, value=str(value)) for key, value in values.items()]
        message = DiagnosticArray(status=[status])
        message.header.stamp = self._now()
        self._diagnostics.publish(message)

    def _now(self) -> Time:
        return self.get_clock().now().to_msg()

    @property
    def failed(self) -> bool:
        """Whether the training that this process was started for came to nothing."""
        lesson = self._lesson
        return bool(self.parameters.autostart_phase and lesson and lesson.over and not lesson.result)

    def close(self) -> bool:
        """Stop the training, and wait for its last checkpoint; whether that came in time."""
        if self._lesson is None:
            return True
        self._lesson.stop()
        self._lesson.join(LAST_CHECKPOINT)
        return self._lesson.over


class Reporter:
    """A lesson's audience: carries what it hears to the node and to whoever set the goal."""

    def __init__(self, node: TrainerNode, feedback: Callable[[Train.Feedback], None]) -> None:
        self._node, self._feedback = node, feedback

    def on_progress(self, progress: Progress) -> None:
        """An update is done."""
        self._feedback(feedback_message(progress))
        self._node.publish_progress(progress)

    def on_policy(self, policy: PolicyFile) -> None:
        """A checkpoint with a policy is published."""
        self._node.publish_policy(policy)

    def on_news(self, news: str) -> None:
        """Something is worth a line."""
        self._node.publish_news(news)

    def on_end(self, lesson: Lesson) -> None:
        """The training is over."""
        self._node.publish_end(lesson)


def feedback_message(progress: Progress) -> Train.Feedback:
    """How a training goes, for whoever set the goal."""
    return Train.Feedback(
        step=progress.step,
        fraction=progress.step / max(1, progress.total_steps),
        steps_per_second=float(progress.steps_per_second),
        mean_return=float(progress.mean_return),
        mean_episode_length=float(progress.mean_episode_length),
        remaining=float(progress.remaining),
    )


def result_message(lesson: Lesson) -> Train.Result:
    """What came of a training."""
    done = lesson.result is not None and not lesson.result.forgot
    message = Train.Result(success=done, message=lesson.message)
    if lesson.result is not None:
        message.checkpoint, message.policy = str(lesson.result.checkpoint), str(lesson.result.policy)
        message.step, message.mean_return = lesson.result.step, float(lesson.result.mean_return)
    return message


def main() -> int:
    """Run the node until it is told to end; a training then checkpoints first."""
    told = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: told.set())
    # rclpy's own handlers would take the publishers away from the last checkpoint.
    rclpy.init(signal_handler_options=SignalHandlerOptions.NO)
    node = None
    try:
        node = TrainerNode()
        # One thread waits for the training that a goal asked for; a coroutine would be polled on and on.
        executor = MultiThreadedExecutor(num_threads=2)
        executor.add_node(node)
        while not (told.is_set() or node.failed):  # spin() alone burns a core and hears no signal (rclpy 7.1)
            executor.spin_once(timeout_sec=0.1)
        return int(node.failed)
    except (JackError, ParameterException) as error:
        print(f"trainer: {error}", file=sys.stderr)
        return 1
    finally:
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # a second Ctrl-C must not tear what is being put away
        in_time = node is None or node.close()
        if node is not None:
            node.destroy_node()
        try_shutdown()
        if not in_time:  # Python cannot end in order while a thread of it computes
            print("trainer: the training did not end in time; its newest checkpoint is whole", file=sys.stderr)
            os._exit(1)


if __name__ == "__main__":
    sys.exit(main())
