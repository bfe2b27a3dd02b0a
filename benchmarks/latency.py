"""What the brain adds to the wire: from sensor messages to the joint command, against a node that only echoes.

Both nodes run all the time, each in its own process and namespace, with the same executor; a third process sends
joint states and IMU data to one of them at a time and waits for the command with their stamp. The peer is the least
that any rclpy node could do: it subscribes to the same two topics and answers with a joint command made beforehand.
Before that, without ROS: what a decision takes with each size of the brain, walking and following (`presets.py`).
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import rclpy
import tyro
from jack_msgs.msg import BrainStatus, JointCommand
from pairing import QUICK, Comparison, Protocol, Side, compare, report, write_json
from rclpy.clock import Clock
from rclpy.clock_type import ClockType
from rclpy.executors import Executor, ExternalShutdownException, SingleThreadedExecutor
from rclpy.experimental.events_executor import EventsExecutor
from rclpy.node import Node
from rclpy.qos import QoSProfile, qos_profile_sensor_data
from rclpy.utilities import ok, try_shutdown
from sensor_msgs.msg import Imu, JointState

from jack_contract.contract import Contract, default_contract
from jack_contract.state import RobotState
from jack_contract.testing import ros_domain
from jack_contract.wire import fill_imu, fill_joint_command, fill_joint_state, fill_stamp, nanoseconds

COMMAND = QoSProfile(depth=1)
#: Quantiles that are compared, in percent.
QUANTILES = {"p50": 50.0, "p99": 99.0, "p99.9": 99.9}


@dataclass(frozen=True)
class Options:
    """Which figures, and how."""

    #: a few seconds, to see that it runs; the figures mean nothing, nothing is written
    quick: bool = False
    #: windows of each side
    pairs: int = 10
    #: length of a window [s]
    window: float = 5.0
    #: sensor messages a second
    rates: tuple[int, ...] = (50, 200)
    #: how both nodes run their callbacks: events or single
    executor: str = "events"
    #: size of the brain
    brain: str = "nano"
    #: where the figures go
    output: Path = Path(__file__).with_suffix(".json")
    #: be the echoing node
    echo: bool = False


def make_executor(kind: str) -> Executor:
    """The executor of that name."""
    return EventsExecutor() if kind == "events" else SingleThreadedExecutor()


class Echo(Node):
    """Answers readings with a command that was made beforehand."""

    def __init__(self, contract: Contract) -> None:
        super().__init__("echo", namespace="echo")
        robot = contract.robot
        self._command = JointCommand()
        fill_joint_command(self._command, robot, 0, robot.default_position, robot.stiffness, robot.damping)
        self._commands = self.create_publisher(JointCommand, "joint_command", COMMAND)
        self.create_subscription(Imu, "imu/data", lambda message: None, qos_profile_sensor_data)
        self.create_subscription(JointState, "joint_states", self._on_joint_state, qos_profile_sensor_data)

    def _on_joint_state(self, message: JointState) -> None:
        self._command.header.stamp = message.header.stamp
        self._commands.publish(self._command)


class Body(Node):
    """A robot in each of the two namespaces: sends readings, and takes the time until their command is there."""

    def __init__(self, contract: Contract, sides: tuple[str, ...]) -> None:
        super().__init__("body")
        self._robot, self._state = contract.robot, RobotState.at_rest(contract.robot)
        sensor = qos_profile_sensor_data
        self._joints = {s: self.create_publisher(JointState, f"/{s}/joint_states", sensor) for s in sides}
        self._imus = {s: self.create_publisher(Imu, f"/{s}/imu/data", sensor) for s in sides}
        for side in sides:
            self.create_subscription(JointCommand, f"/{side}/joint_command", self._on_command, COMMAND)
            self.create_subscription(BrainStatus, f"/{side}/brain/status", partial(self._on_status, side), 10)
        #: those with a policy
        self.ready: set[str] = set()
        self._side, self._sent, self._stamp = sides[0], {}, 0
        self.latencies: list[float] = []

    def send(self, side: str) -> None:
        """One pair of readings; simulated time goes on by a control period, whatever the rate."""
        self._stamp += 1
        self._state.linear_acceleration[0] = 1e-6 * self._stamp  # what stands still to the last bit is a fault
        joint_state, imu = JointState(), Imu()
        fill_joint_state(joint_state, self._robot, self._state)
        fill_imu(imu, self._state)
        for message in (imu, joint_state):
            fill_stamp(message.header.stamp, self._stamp * self._robot.control_period)
        self._imus[side].publish(imu)
        self._sent[nanoseconds(imu.header.stamp)] = time.perf_counter()
        self._joints[side].publish(joint_state)

    def _on_command(self, message: JointCommand) -> None:
        now = time.perf_counter()
        sent = self._sent.pop(nanoseconds(message.header.stamp), None)
        if sent is not None:
            self.latencies.append(now - sent)

    def _on_status(self, side: str, message: BrainStatus) -> None:
        if message.policy:
            self.ready.add(side)


@dataclass
class Windows:
    """One side at one rate: its windows are measured once, and looked at again for each further quantile."""

    body: Body
    executor: Executor
    name: str
    rate: int

    def __post_init__(self) -> None:
        self.measured: list[list[float]] = []

    def measure(self, seconds: float) -> float:
        """A window; returns the median latency [us]."""
        self.body.latencies = []
        timer = self.body.create_timer(1.0 / self.rate, lambda: self.body.send(self.name), clock=_STEADY)
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            self.executor.spin_once(timeout_sec=0.1)
        self.body.destroy_timer(timer)
        self.measured.append(self.body.latencies)
        return _quantile(self.body.latencies, 50.0)

    def replay(self, percent: float) -> Side:
        """The windows that were measured, in their order; the figure is another quantile of theirs [us]."""
        windows = iter(self.measured)
        return lambda seconds: _quantile(next(windows), percent)


def _quantile(latencies: list[float], percent: float) -> float:
    return 1e6 * float(np.percentile(latencies, percent))


def compare_rate(body: Body, executor: Executor, rate: int, protocol: Protocol) -> list[Comparison]:
    """Brain against echo at one rate, for every quantile, from the same windows."""
    brain, echo = (Windows(body, executor, name, rate) for name in ("brain", "echo"))
    rows = []
    for label, percent in QUANTILES.items():
        sides = (brain.replay(percent), echo.replay(percent)) if rows else (brain.measure, echo.measure)
        # The same seed gives the same order of windows, so that what is replayed falls into the same pairs.
        rows.append(compare(f"{rate} Hz {label}", sides[0], ("echo", sides[1]), "us", protocol, at_most=1.5))
    return rows


_STEADY = Clock(clock_type=ClockType.STEADY_TIME)


@contextmanager
def process(arguments: list[str]) -> Iterator[subprocess.Popen[bytes]]:
    """Another Python, until the context ends."""
    child = subprocess.Popen([sys.executable, *arguments])
    try:
        yield child
    finally:
        child.send_signal(signal.SIGINT)
        child.wait(timeout=10)


def export(folder: Path, contract: Contract, size: str) -> Path:
    """A policy whose weights nobody trained: they cost the same."""
    import torch  # here, so that the peer's process has nothing that it does not need

    from jack_brain.network.brain import Brain
    from jack_brain.network.export import PolicyExporter
    from jack_brain.network.presets import preset

    torch.manual_seed(0)
    path = folder / "policy.onnx"
    path.write_bytes(
        PolicyExporter(Brain(contract, preset(size)), command=True).export({"phase": "benchmark", "step": 0})
    )
    return path


def be_echo(options: Options) -> None:
    """Run the peer."""
    rclpy.init()
    executor = make_executor(options.executor)
    executor.add_node(Echo(default_contract()))
    try:
        while ok():
            executor.spin_once(timeout_sec=1.0)
    except (KeyboardInterrupt, ExternalShutdownException):
        pass


def measure(options: Options, contract: Contract, policy: Path) -> list[Comparison]:
    """Start both nodes, and compare them at every rate."""
    protocol = QUICK if options.quick else Protocol(options.pairs, options.window)
    # Simulated time without a clock: stamps count, and no watchdog trips while the other side is measured.
    settings = {"autostart": "true", "use_sim_time": "true", "policy": str(policy), "executor": options.executor}
    brain = ["-m", "jack_brain.brain_node", "--ros-args", "-r", "__ns:=/brain"]
    brain += [word for name, value in settings.items() for word in ("-p", f"{name}:={value}")]
    with process([__file__, "--echo", "--executor", options.executor]), process(brain):
        rclpy.init()
        executor, body = EventsExecutor(), Body(contract, ("brain", "echo"))
        executor.add_node(body)
        _wait_until_both_answer(body, executor)
        rows = [row for rate in options.rates for row in compare_rate(body, executor, rate, protocol)]
        try_shutdown()
    return rows


def _wait_until_both_answer(body: Body, executor: Executor) -> None:
    deadline = time.monotonic() + 30.0
    while len(body.latencies) < 40 or "brain" not in body.ready:
        if time.monotonic() > deadline:
            raise SystemExit("One of the two nodes does not answer.")
        for side in ("echo", "brain"):
            body.send(side)
        for _ in range(5):  # one event each
            executor.spin_once(timeout_sec=0.01)


def main(options: Options) -> None:
    """Measure and report."""
    if options.echo:
        be_echo(options)
        return
    from presets import costs  # here, as in `export`

    contract = default_contract()
    sizes = costs(100 if options.quick else 2000)
    with tempfile.TemporaryDirectory() as folder, ros_domain() as domain:
        os.environ |= {"ROS_DOMAIN_ID": str(domain), "ROS_AUTOMATIC_DISCOVERY_RANGE": "LOCALHOST"}
        rows = measure(options, contract, export(Path(folder), contract, options.brain))
    title = f"sensor-to-command time, brain {options.brain}, executor {options.executor}"
    data = report(title, rows, {}, ("rclpy", "onnxruntime", "numpy")) | {"presets": sizes}
    if not options.quick:
        write_json(options.output, data)


if __name__ == "__main__":
    main(tyro.cli(Options, description=__doc__))
