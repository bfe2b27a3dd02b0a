"""What a tick costs, and how punctual it is: the brain node at 200 Hz, a robot with a control period of 5 ms.

First the processor time of the node's whole process for each command, under rclpy's EventsExecutor against rclpy's
default executor: the same node, the same readings, in turns. Then the time from sensor to command, and the control
periods that passed without a decision, by itself and beside a live simulation, as a robot's own computer might have
one running; there the node is as on a robot, with real time if the system permits it.
"""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import rclpy
import tyro
from jack_msgs.msg import Timing
from latency import QUANTILES, Body, Windows, export, process
from pairing import QUICK, Comparison, Protocol, Side, compare, report, write_json
from rclpy.executors import Executor
from rclpy.experimental.events_executor import EventsExecutor
from rclpy.utilities import try_shutdown

from jack_contract.contract import Contract, contract_for
from jack_contract.robot import load_robot, robot_to_yaml
from jack_contract.testing import ros_domain

#: Sensor messages a second; a control period is as long as one of them.
RATE = 200
#: The two sides, by the names of their executors as the brain's parameter has them.
EXECUTORS = ("events", "single")
PATIENCE = 30.0


@dataclass(frozen=True)
class Options:
    """How long."""

    #: a few seconds, to see that it runs; the figures mean nothing, nothing is written
    quick: bool = False
    #: windows of each side
    pairs: int = 10
    #: length of a window [s]
    window: float = 5.0
    #: for how long punctuality is watched, alone and beside a simulation each [s]
    watch: float = 120.0
    #: size of the brain
    brain: str = "nano"
    #: where the figures go
    output: Path = Path(__file__).with_suffix(".json")


@dataclass(frozen=True)
class Setup:
    """A robot with a short control period, and a policy for it."""

    contract: Contract
    robot: Path
    policy: Path


def fast_jack(folder: Path, size: str) -> Setup:
    """Jack, commanded at RATE."""
    robot = replace(load_robot(), control_period=1.0 / RATE)
    path = folder / "fast.yaml"
    path.write_text(robot_to_yaml(robot), encoding="utf-8")
    contract = contract_for(robot)
    return Setup(contract, path, export(folder, contract, size))


def brain(setup: Setup, namespace: str, **parameters: object) -> list[str]:
    """The command line of a brain in a namespace of its own."""
    given = {"autostart": "true", "robot": setup.robot, "policy": setup.policy} | parameters
    words = [word for name, value in given.items() for word in ("-p", f"{name}:={value}")]
    return ["-m", "jack_brain.brain_node", "--ros-args", "-r", f"__ns:=/{namespace}", *words]


def processor_time(process: int) -> float:
    """What all threads of a process have had of a processor so far [s]: the clock of clock_getcpuclockid."""
    return time.clock_gettime(~process << 3 | 2)


def cost(windows: Windows, process: int) -> Side:
    """A side whose figure is processor time for each command [ms]."""

    def side(seconds: float) -> float:
        before = processor_time(process)
        windows.measure(seconds)
        return 1e3 * (processor_time(process) - before) / len(windows.measured[-1])

    return side


@contextmanager
def listening(setup: Setup, sides: tuple[str, ...]) -> Iterator[tuple[Body, Executor]]:
    """A body for brains that have been started; it waits until each drives."""
    rclpy.init()
    executor, body = EventsExecutor(), Body(setup.contract, sides)
    executor.add_node(body)
    deadline = time.monotonic() + PATIENCE
    while body.ready != set(sides) or not body.latencies:
        if time.monotonic() > deadline:
            raise SystemExit(f"Not every brain drives: {sorted(set(sides) - body.ready)}.")
        for side in sides:
            body.send(side)
        for _ in range(5):
            executor.spin_once(timeout_sec=0.005)
    try:
        yield body, executor
    finally:
        body.destroy_node()
        try_shutdown()


def compare_executors(setup: Setup, protocol: Protocol) -> Comparison:
    """Processor time a command, EventsExecutor against rclpy's default."""
    with ExitStack() as stack:
        # Simulated time without a clock: no watchdog trips while the other side is measured.
        children = [
            stack.enter_context(process(brain(setup, e, executor=e, use_sim_time="true"))) for e in EXECUTORS
        ]
        body, executor = stack.enter_context(listening(setup, EXECUTORS))
        sides = [
            cost(Windows(body, executor, name, RATE), child.pid)
            for name, child in zip(EXECUTORS, children, strict=True)
        ]
        return compare(f"events, {RATE} Hz", sides[0], ("default", sides[1]), "ms", protocol, at_most=0.5)


def punctuality(setup: Setup, seconds: float, beside: str) -> dict[str, float]:
    """Sensor to command, and missed deadlines, of a brain as on a robot, by itself or beside a simulation."""
    # Where nothing but this process is late, nothing is to be damped: that would be the end of the measurement.
    easy = {"missed_limit": 0, "stale_time": 1.0, "stale_periods": 50.0}
    with ExitStack() as stack:
        if beside:
            stack.enter_context(process(["-m", "jack_sim.sim_node", "--ros-args", "-r", "__ns:=/other"]))
        stack.enter_context(process(brain(setup, "brain", **easy)))
        body, executor = stack.enter_context(listening(setup, ("brain",)))
        told: list[Timing] = []
        body.create_subscription(Timing, "/brain/brain/timing", told.append, 10)
        windows = Windows(body, executor, "brain", RATE)
        windows.measure(2.0)
        begun = _newest(executor, told)
        windows.measure(seconds)
        ended = _newest(executor, told)
    where = beside or "alone"
    latencies = windows.measured[-1]
    figures = {f"{where}: {name} in us": 1e6 * float(np.percentile(latencies, q)) for name, q in QUANTILES.items()}
    ticks = ended.ticks - begun.ticks
    figures[f"{where}: commands"] = float(ticks)
    figures[f"{where}: missed deadlines"] = float(ended.missed - begun.missed)
    figures[f"{where}: real time"] = float(ended.realtime)
    return figures


def _newest(executor: Executor, told: list[Timing]) -> Timing:
    """The next that is told."""
    told.clear()
    deadline = time.monotonic() + PATIENCE
    while not told:
        if time.monotonic() > deadline:
            raise SystemExit("The brain tells nothing of its timing.")
        executor.spin_once(timeout_sec=0.1)
    return told[-1]


def main(options: Options) -> None:
    """Measure and report."""
    protocol = QUICK if options.quick else Protocol(options.pairs, options.window)
    seconds = 1.0 if options.quick else options.watch
    with tempfile.TemporaryDirectory() as folder, ros_domain() as domain:
        os.environ |= {"ROS_DOMAIN_ID": str(domain), "ROS_AUTOMATIC_DISCOVERY_RANGE": "LOCALHOST"}
        setup = fast_jack(Path(folder), options.brain)
        row = compare_executors(setup, protocol)
        extra = punctuality(setup, seconds, "") | punctuality(setup, seconds, "beside a simulation")
    title = f"processor time a command, by executor; brain {options.brain}"
    data = report(title, [row], extra, ("rclpy", "onnxruntime", "numpy"))
    if not options.quick:
        write_json(options.output, data)


if __name__ == "__main__":
    main(tyro.cli(Options, description=__doc__))
