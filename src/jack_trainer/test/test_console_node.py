"""What ./jack asks of a graph, over real DDS."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator

import pytest

pytest.importorskip("rclpy", reason="needs ROS 2 and Jack's messages: ./jack test has them")

import rclpy
from jack_msgs.action import Train
from rclpy.action.server import ActionServer, GoalResponse
from rclpy.context import Context
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node

from jack_launch.graphs import TRAIN
from jack_trainer.console_node import ANSWER_TIMEOUT, REFUSED, Connection
from jack_trainer.session import Outcome, TrainGoal

pytestmark = pytest.mark.ros
PATIENCE = 30.0


class Trainer:
    """Does what he is told at once. Use it as a context."""

    def __init__(self, domain: int, accepts: bool = True) -> None:
        self._context, self._ended, self.told = Context(), threading.Event(), 0
        rclpy.init(context=self._context, domain_id=domain)
        self._node = Node("trainer", context=self._context)
        answer = GoalResponse.ACCEPT if accepts else GoalResponse.REJECT
        ActionServer(self._node, Train, "train", self._train, goal_callback=lambda goal: answer)
        self._thread = threading.Thread(target=self._spin)

    def _train(self, goal):
        self.told += 1
        goal.succeed()
        return Train.Result(success=True, message=f"Taught {goal.request.phase}")

    def _spin(self) -> None:
        executor = SingleThreadedExecutor(context=self._context)
        executor.add_node(self._node)
        while not self._ended.is_set():
            executor.spin_once(0.05)

    def __enter__(self) -> Trainer:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join()
        self._node.destroy_node()
        rclpy.shutdown(context=self._context)


@pytest.fixture
def console(ros_domain) -> Iterator[Connection]:
    with Connection(TRAIN.nodes({"autostart": "false"})) as connection:
        yield connection


def until(console: Connection, condition: Callable[[], object]) -> float:
    """How long that takes [s]."""
    begun = time.monotonic()
    while not condition():
        assert time.monotonic() < begun + PATIENCE
        console.listen(0.05)
    return time.monotonic() - begun


def lose(console: Connection, kinds: list[str]) -> None:
    """The next answer of each of these kinds does not reach the console."""
    client = console.node._client
    hear = client.execute

    async def hear_less(answers):
        for kind in [kind for kind in kinds if kind in answers]:
            kinds.remove(kind)
            del answers[kind]
        await hear(answers)

    client.execute = hear_less


@pytest.mark.parametrize("lost", [[], ["goal"], ["result"]])
def test_an_answer_that_is_lost_is_asked_for_again(ros_domain, console, lost):
    count = len(lost)
    with Trainer(ros_domain) as trainer:
        until(console, console.node.ready)
        lose(console, lost)
        console.node.train(TrainGoal("stand"))
        took = until(console, lambda: console.node.outcome)
        assert console.node.outcome == Outcome(True, "Taught stand") and trainer.told == 1
        assert not lost and took >= count * ANSWER_TIMEOUT


def test_a_goal_that_nobody_heard_is_set_again(ros_domain, console):
    console.node.train(TrainGoal("stand"))
    console.listen(0.2)
    with Trainer(ros_domain) as trainer:
        until(console, lambda: console.node.outcome)
        assert console.node.outcome == Outcome(True, "Taught stand") and trainer.told == 1


@pytest.mark.parametrize("lost", [[], ["goal"]])
def test_who_refuses_is_believed_also_when_asked_twice(ros_domain, console, lost):
    with Trainer(ros_domain, accepts=False) as trainer:
        until(console, console.node.ready)
        lose(console, lost)
        console.node.train(TrainGoal("stand"))
        until(console, lambda: console.node.outcome)
        assert console.node.outcome == REFUSED and trainer.told == 0
