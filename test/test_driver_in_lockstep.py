"""A driver between brain and simulation changes nothing about lock-step: one answer to each reading."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace

import pytest

pytest.importorskip("rclpy", reason="needs ROS 2 and Jack's messages: ./jack test has them")

from jack_msgs.msg import DriverStatus, JointCommand
from rclpy.client import Client
from std_srvs.srv import Trigger

from jack_contract.wire import nanoseconds
from jack_launch.graphs import DEPLOY
from jack_trainer.console_node import Connection
from jack_trainer.supervisor import Supervisor

pytestmark = pytest.mark.ros
PATIENCE = 60.0


def test_each_answer_is_passed_on_and_while_it_damps_nothing_stalls(tmp_path, policies, nodes_alive):
    sim, *others = DEPLOY.nodes({"sim": "true", "policy": str(policies[0])})
    specs = (replace(sim, parameters={**sim.parameters, "lock_step": True}), *others)
    states: list[DriverStatus] = []
    asked: list[JointCommand] = []
    heard: list[JointCommand] = []
    with Supervisor(specs, tmp_path) as supervisor, Connection(specs) as connection:
        node = connection.node
        node.create_subscription(DriverStatus, "driver/status", states.append, 10)
        node.create_subscription(JointCommand, "joint_command", asked.append, 1000)
        node.create_subscription(JointCommand, "hardware/joint_command", heard.append, 1000)
        clients: dict[str, Client] = {
            name: node.create_client(Trigger, f"driver/{name}") for name in ("stop", "reset")
        }

        def until(condition: Callable[[], object]) -> None:
            deadline = time.monotonic() + PATIENCE
            while not condition():
                assert time.monotonic() < deadline
                assert supervisor.poll() == []
                connection.listen(0.05)

        def call(name: str) -> None:
            until(clients[name].service_is_ready)
            future = clients[name].call_async(Trigger.Request())
            until(future.done)
            assert future.result().success

        def answers() -> set[int]:
            """The readings that were answered since."""
            heard.clear()
            until(lambda: len({nanoseconds(message.header.stamp) for message in heard}) > 50)
            return {message.mode for message in heard}

        until(lambda: states and states[-1].state == DriverStatus.DRIVING)
        assert JointCommand.DAMP not in answers()
        told = [(nanoseconds(message.header.stamp), tuple(message.position)) for message in heard[:40]]
        given = {(nanoseconds(message.header.stamp), tuple(message.position)) for message in asked}
        assert set(told) <= given and states[-1].refused == states[-1].ignored == 0
        call("stop")
        until(lambda: states[-1].state == DriverStatus.DAMPING)
        assert answers() == {JointCommand.DAMP}
        call("reset")
        until(lambda: states[-1].state == DriverStatus.DRIVING)
        assert JointCommand.DAMP not in answers()
