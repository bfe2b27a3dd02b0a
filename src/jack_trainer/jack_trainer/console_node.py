"""The node `console`: what ./jack knows of a running graph, and what it asks of it."""

from __future__ import annotations

import time
import uuid
from collections.abc import Sequence
from types import TracebackType
from typing import Any, Self

import rclpy
from action_msgs.msg import GoalStatus
from geometry_msgs.msg import Twist
from jack_msgs.action import Train
from jack_msgs.msg import BrainStatus, TrainingStatus
from lifecycle_msgs.msg import State, Transition
from lifecycle_msgs.srv import ChangeState, GetState
from rclpy.action.client import ActionClient, ClientGoalHandle
from rclpy.experimental.events_executor import EventsExecutor
from rclpy.node import Node
from rclpy.publisher import Publisher
from rclpy.qos import DurabilityPolicy, QoSProfile, ReliabilityPolicy
from rclpy.signals import SignalHandlerOptions
from rclpy.task import Future
from rclpy.utilities import try_shutdown
from std_msgs.msg import String
from unique_identifier_msgs.msg import UUID

from jack_launch.description import NodeSpec
from jack_trainer.session import STANDING, Outcome, Sight, TrainGoal

LATCHED = QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL, reliability=ReliabilityPolicy.RELIABLE)
#: How long a service or an action may take to answer before it is asked again [s]: what is asked or answered while
#: nodes only just discover each other can get lost.
ANSWER_TIMEOUT = 3.0
#: Time between two velocity commands: the brain stops where they end [s].
DRIVE_PERIOD = 0.05
#: Refusals after which a lifecycle node is left alone.
MAX_REFUSALS = 3
REFUSED = Outcome(False, "The trainer refused: it is at work already.")
#: States of a goal that is not over; of one that is over at once, no state is heard.
_AT_WORK = {GoalStatus.STATUS_ACCEPTED, GoalStatus.STATUS_EXECUTING, GoalStatus.STATUS_CANCELING}
_NEXT = {
    State.PRIMARY_STATE_UNCONFIGURED: Transition.TRANSITION_CONFIGURE,
    State.PRIMARY_STATE_INACTIVE: Transition.TRANSITION_ACTIVATE,
}


class Activation:
    """Brings one lifecycle node to `active`: asks where it is, asks for the next transition, and so on."""

    def __init__(self, node: Node, name: str) -> None:
        self._get = node.create_client(GetState, f"{name}/get_state")
        self._change = node.create_client(ChangeState, f"{name}/change_state")
        self._waiting: Future | None = None
        self._asked_at = 0.0
        self._refusals = 0
        self.name = name
        self.active = False

    @property
    def failed(self) -> bool:
        """Whether the node refused too often."""
        return self._refusals >= MAX_REFUSALS

    def proceed(self) -> None:
        """Do what can be done now; call it often."""
        if self.active or self.failed:
            return
        if self._waiting is None:
            if self._get.service_is_ready() and self._change.service_is_ready():
                self._ask(self._get.call_async(GetState.Request()))
        elif self._waiting.done():
            answer, self._waiting = self._waiting.result(), None
            self._understand(answer)
        elif time.monotonic() - self._asked_at > ANSWER_TIMEOUT:
            self._waiting = None  # the answer was lost, or is to a question that matters no more

    def _understand(self, answer: Any) -> None:  # noqa: ANN401 - of either service
        if isinstance(answer, ChangeState.Response):
            self._refusals += not answer.success
        elif isinstance(answer, GetState.Response):
            self.active = answer.current_state.id == State.PRIMARY_STATE_ACTIVE
            if (transition := _NEXT.get(answer.current_state.id)) is not None:
                request = ChangeState.Request(transition=Transition(id=transition))
                self._ask(self._change.call_async(request))

    def _ask(self, future: Future) -> None:
        self._waiting, self._asked_at = future, time.monotonic()


class Errand:
    """Sets the trainer one goal, and asks until it is known how that ended.

    Attributes:
        outcome: how it ended; None before.
    """

    def __init__(self, client: ActionClient, goal: TrainGoal) -> None:
        self._client, self._id = client, UUID(uuid=list(uuid.uuid4().bytes))
        self._request = Train.Goal(phase=goal.phase, steps=goal.steps, seed=goal.seed, resume=goal.resume)
        self._goal: ClientGoalHandle | None = None
        self._again = self._cancelled = False
        self.outcome: Outcome | None = None
        self._ask()

    def proceed(self) -> None:
        """Ask again where an answer must be lost: whether the goal is taken, or how it ended; call it often."""
        if self.outcome is not None or time.monotonic() < self._asked_at + ANSWER_TIMEOUT:
            return
        if self._goal is None:
            self._again = True
            self._ask()
        elif self._goal.status not in _AT_WORK:
            self._ask_how_it_ended(self._goal)

    def cancel(self) -> None:
        """Ask the trainer to checkpoint and stop."""
        self._cancelled = True
        if self._goal is not None:
            self._goal.cancel_goal_async()

    def _ask(self) -> None:
        self._asked_at = time.monotonic()
        self._client.send_goal_async(self._request, goal_uuid=self._id).add_done_callback(self._on_answer)

    def _on_answer(self, future: Future) -> None:
        handle: ClientGoalHandle | None = future.result()
        # A goal that is sent again is refused where it had arrived: how it ends says whether that is so.
        if handle is None or not (handle.accepted or self._again):
            self.outcome = REFUSED
        elif self._goal is None:
            self._goal = handle
            self._ask_how_it_ended(handle)
            if self._cancelled:
                handle.cancel_goal_async()

    def _ask_how_it_ended(self, goal: ClientGoalHandle) -> None:
        self._asked_at = time.monotonic()
        goal.get_result_async().add_done_callback(self._on_result)

    def _on_result(self, future: Future) -> None:
        answer: Any = future.result()
        result: Train.Result = answer.result
        known = answer.status != GoalStatus.STATUS_UNKNOWN
        self.outcome = (
            Outcome(result.success, result.message, result.checkpoint, result.policy) if known else REFUSED
        )


class ConsoleNode(Node):
    """Listens to the graph, brings its lifecycle nodes up, and sets the trainer its goal."""

    def __init__(self, specs: Sequence[NodeSpec]) -> None:
        """Listen where these nodes are."""
        super().__init__("console", namespace=specs[0].namespace, use_global_arguments=False)
        self.sight = Sight()
        self._activations = [Activation(self, spec.name) for spec in specs if spec.lifecycle]
        self.create_subscription(TrainingStatus, "training/status", self._on_training, 10)
        self.create_subscription(BrainStatus, "brain/status", self._on_brain, 10)
        self.create_subscription(String, "sim/gantry", self._on_gantry, LATCHED)
        self._client = ActionClient(self, Train, "train")
        self._errand: Errand | None = None
        self._velocities: Publisher | None = None

    def proceed(self) -> list[str]:
        """Bring lifecycle nodes up, and ask after the goal; returns the names of nodes that refuse."""
        if self._errand is not None:
            self._errand.proceed()
        for activation in self._activations:
            activation.proceed()
        failed = [activation.name for activation in self._activations if activation.failed]
        self._activations = [a for a in self._activations if not a.failed and not a.active]
        return failed

    def drive(self, velocity: Sequence[float]) -> None:
        """Ask a simulated Jack for vx, vy [m/s], yaw rate [rad/s] from now on, while he is on his own feet."""
        self._velocity = Twist()
        self._velocity.linear.x, self._velocity.linear.y, self._velocity.angular.z = map(float, velocity)
        if self._velocities is None:
            self._velocities = self.create_publisher(Twist, "cmd_vel", 1)
            self.create_timer(DRIVE_PERIOD, self._drive)

    def _drive(self) -> None:
        if self._velocities is not None and self.sight.gantry == STANDING:
            self._velocities.publish(self._velocity)

    # -- what it hears

    def _on_training(self, message: TrainingStatus) -> None:
        self.sight.training = message

    def _on_brain(self, message: BrainStatus) -> None:
        self.sight.brain = message

    def _on_gantry(self, message: String) -> None:
        self.sight.on_gantry(message.data, time.monotonic())

    # -- the action

    def ready(self) -> bool:
        """Whether the trainer takes goals."""
        return self._client.server_is_ready()

    def train(self, goal: TrainGoal) -> None:
        """Set the trainer a goal; `outcome` is there at its end."""
        self._errand = Errand(self._client, goal)

    def cancel(self) -> None:
        """Ask the trainer to checkpoint and stop."""
        if self._errand is not None:
            self._errand.cancel()

    @property
    def outcome(self) -> Outcome | None:
        """How the goal ended; None before."""
        return self._errand.outcome if self._errand is not None else None


class Connection:
    """A console on the wire. Use it as a context; signals stay with whoever uses it."""

    def __init__(self, specs: Sequence[NodeSpec]) -> None:
        self._specs = specs

    def __enter__(self) -> Self:
        """Join the graph."""
        rclpy.init(signal_handler_options=SignalHandlerOptions.NO)
        self.node = ConsoleNode(self._specs)
        self._executor = EventsExecutor()
        self._executor.add_node(self.node)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Leave the graph."""
        try_shutdown()

    def listen(self, seconds: float) -> list[str]:
        """Let messages in for so long; returns the names of lifecycle nodes that refuse to come up."""
        deadline = time.monotonic() + seconds
        while (left := deadline - time.monotonic()) > 0:
            self._executor.spin_once(timeout_sec=left)
        return self.node.proceed()
