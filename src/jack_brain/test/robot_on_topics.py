"""A robot as the brain knows one: it publishes sensors and hears commands, over real DDS, beside a real process."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import numpy as np
import rclpy
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus
from jack_msgs.msg import BrainStatus, JointCommand, Timing
from jack_msgs.msg import Policy as PolicyMessage
from rclpy.client import Client
from rclpy.context import Context
from rclpy.executors import ExternalShutdownException, SingleThreadedExecutor
from rclpy.node import Node
from rclpy.qos import DurabilityPolicy, QoSProfile, ReliabilityPolicy, qos_profile_sensor_data
from sensor_msgs.msg import Imu, JointState

from jack_contract.contract import Contract
from jack_contract.state import RobotState
from jack_contract.wire import fill_imu, fill_joint_state, fill_stamp

LATCHED = QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL, reliability=ReliabilityPolicy.RELIABLE)

#: Until a server has met a new client too [s]: before, it answers to nobody (rmw_fastrtps waits 0.1 s for it).
SETTLING = 0.5


class Heard(subprocess.Popen[str]):
    """A process whose error stream is read all the time: one that writes a lot must not wait for a reader."""

    def __init__(self, command: list[str], environment: dict[str, str]) -> None:
        super().__init__(command, env=environment, stderr=subprocess.PIPE, text=True)
        self._heard: list[str] = []
        self._thread = threading.Thread(target=self._hear, daemon=True)
        self._thread.start()

    def _hear(self) -> None:
        assert self.stderr is not None
        for line in self.stderr:
            self._heard.append(line)

    @property
    def said(self) -> str:
        """All so far."""
        return "".join(self._heard)

    def communicate(self, input=None, timeout=None):
        """Nothing on its standard output, and all that it said, once it has ended."""
        self.wait(timeout)
        self._thread.join(timeout=5.0)
        return "", self.said


def start_brain(domain: int, **parameters: object) -> Heard:
    """The node in a process of its own."""
    given = [
        word
        for name, value in parameters.items()
        for word in ("-p", f"{name}:={str(value).lower() if isinstance(value, bool) else value}")
    ]
    environment = os.environ | {"ROS_DOMAIN_ID": str(domain), "ROS_AUTOMATIC_DISCOVERY_RANGE": "LOCALHOST"}
    command = [sys.executable, "-m", "jack_brain.brain_node", "--ros-args", *given]
    return Heard(command, environment)


def end(process: subprocess.Popen[str]) -> str:
    """Ctrl-C; returns what it said on its error stream."""
    process.send_signal(signal.SIGINT)
    return last_words(process, 5.0)


def last_words(process: subprocess.Popen[str], seconds: float) -> str:
    """What it said on its error stream until it ended; it is killed if it does not end in time."""
    try:
        return process.communicate(timeout=seconds)[1]
    except subprocess.TimeoutExpired:
        process.kill()
        raise


def wait(condition: Callable[[], Any], seconds: float = 10.0) -> Any:
    """The condition's value as soon as it is true."""
    deadline = time.monotonic() + seconds
    while not (value := condition()):
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {seconds} s")
        time.sleep(0.002)
    return value


class RobotOnTopics:
    """Sensors at the control period from a thread of their own, until told otherwise."""

    def __init__(self, contract: Contract, domain: int) -> None:
        os.environ["ROS_AUTOMATIC_DISCOVERY_RANGE"] = "LOCALHOST"
        self.robot = contract.robot
        self.context = Context()
        rclpy.init(context=self.context, domain_id=domain)
        self.node = Node("robot", context=self.context)
        self._joints = self.node.create_publisher(JointState, "joint_states", qos_profile_sensor_data)
        self._imu = self.node.create_publisher(Imu, "imu/data", qos_profile_sensor_data)
        self._clients: dict[str, Client] = {}
        self.policies = self.node.create_publisher(PolicyMessage, "policy", LATCHED)
        self.commands: list[tuple[float, JointCommand]] = []
        self.status: BrainStatus | None = None
        self.timing: Timing | None = None
        #: the brain's, by their names
        self.health: dict[str, DiagnosticStatus] = {}
        #: of the accelerometer: no real sensor stands still; 0: it does [m/s^2]
        self.noise = 1e-6
        self.node.create_subscription(Timing, "brain/timing", self._on_timing, 10)
        self.node.create_subscription(DiagnosticArray, "/diagnostics", self._on_health, 10)
        self.node.create_subscription(JointCommand, "joint_command", self._on_command, 10)
        self.node.create_subscription(BrainStatus, "brain/status", self._on_status, 10)
        self._executor = SingleThreadedExecutor(context=self.context)
        self._executor.add_node(self.node)
        self.state = RobotState.at_rest(self.robot)
        #: changes the messages on their way out
        self.disturb: Callable[[JointState, Imu], None] = lambda joint_state, imu: None
        self.sending = threading.Event()
        self._closed = False
        self.threads = [threading.Thread(target=target, daemon=True) for target in (self._spin, self._send)]
        for thread in self.threads:
            thread.start()

    def _on_command(self, message: JointCommand) -> None:
        self.commands.append((time.monotonic(), message))

    def _on_status(self, message: BrainStatus) -> None:
        self.status = message

    def _on_timing(self, message: Timing) -> None:
        self.timing = message

    def _on_health(self, message: DiagnosticArray) -> None:
        self.health |= {status.name: status for status in message.status}

    def told(self, part: str, key: str) -> str:
        """What the diagnostics of a part of the brain say; empty if nothing."""
        status = self.health.get(f"brain: {part}", DiagnosticStatus())
        return next((pair.value for pair in status.values if pair.key == key), "")

    def _spin(self) -> None:
        with suppress(ExternalShutdownException):
            self._executor.spin()

    def _send(self) -> None:
        due = time.monotonic()
        while not self._closed:
            due = max(due + self.robot.control_period, time.monotonic())
            time.sleep(max(0.0, due - time.monotonic()))
            if self.sending.is_set():
                self.send(time.time())

    def send(self, stamp: float) -> None:
        """One pair of readings."""
        joint_state, imu = JointState(), Imu()
        fill_joint_state(joint_state, self.robot, self.state)
        fill_imu(imu, self.state)
        imu.linear_acceleration.x += random.gauss(0.0, self.noise)
        for message in (imu, joint_state):
            fill_stamp(message.header.stamp, stamp)
        self.disturb(joint_state, imu)
        self._imu.publish(imu)
        self._joints.publish(joint_state)

    def modes(self, since: float) -> list[int]:
        """Modes of the commands that came since then."""
        return [message.mode for at, message in list(self.commands) if at >= since]

    def mode(self) -> int | None:
        """Mode of the newest command."""
        return self.commands[-1][1].mode if self.commands else None

    def settled(self) -> BrainStatus:
        """A status that was made after now."""
        for _ in range(2):
            before = self.status
            wait(lambda before=before: self.status is not before)
        assert self.status is not None
        return self.status

    def offer(self, file: bytes, sha256: str = "", uri: str = "") -> None:
        """Publish a policy as the trainer does."""
        message = PolicyMessage(sha256=sha256, uri=uri)
        message.onnx = np.frombuffer(file, np.uint8) if file else []
        self.policies.publish(message)

    def call(self, kind: Any, name: str, request: Any = None) -> Any:
        """Call a service of the brain."""
        if name not in self._clients:
            self._clients[name] = self.node.create_client(kind, name)
            assert self._clients[name].wait_for_service(timeout_sec=10.0), name
            time.sleep(SETTLING)
        future = self._clients[name].call_async(request or kind.Request())
        wait(future.done)
        return future.result()

    def close(self) -> None:
        """Leave."""
        self._closed = True
        spinning, sending = self.threads
        sending.join(timeout=2.0)  # it publishes until it sees that it is over
        rclpy.shutdown(context=self.context)
        spinning.join(timeout=2.0)
        self.node.destroy_node()  # else what is latched stays, where a failed test keeps the node
