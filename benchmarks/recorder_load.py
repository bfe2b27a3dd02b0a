"""What the recorder can take, and whether it counts what it cannot.

First its writing alone, without ROS: messages a second until all are on the disk and the bag is closed, against
the bare `mcap` writer, which forces nothing to disk and knows nothing of episodes. Then the node over DDS, at ever
more messages a second: of every topic, published = recorded + dropped, or the script fails.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
import tyro
from mcap.writer import CompressionType, Writer
from pairing import QUICK, Protocol, Side, compare, report, write_json
from rich import box
from rich.console import Console
from rich.table import Table

from jack_contract.contract import default_contract
from jack_contract.testing import ros_domain
from jack_trainer.imitation.bag_file import Subject
from jack_trainer.imitation.decoding import encode, part
from jack_trainer.imitation.definitions import define
from jack_trainer.imitation.facts import read_facts
from jack_trainer.imitation.recording import Recorder, RecordingConfig, Request
from jack_trainer.imitation.topics import TOPICS

#: Messages of one episode of the first part.
EPISODE = 20_000
SPACE = "/load"


@dataclass(frozen=True)
class Options:
    """What is measured, and how."""

    #: a few seconds, to see that it runs; the figures mean nothing, nothing is written
    quick: bool = False
    #: windows of each side
    pairs: int = 10
    #: length of a window [s]
    window: float = 5.0
    #: of the second part: joint states a second, one after another
    rates: tuple[int, ...] = (500, 1_000, 2_000, 4_000, 8_000)
    #: how long each of them lasts [s]
    seconds: float = 5.0
    #: where the figures go
    output: Path = Path(__file__).with_suffix(".json")


@dataclass(frozen=True)
class Load:
    """What came of one rate over DDS."""

    #: asked for, and what the sender managed [1/s]
    rate: int
    sent_rate: float
    published: int
    recorded: int
    dropped: int

    @property
    def counted(self) -> bool:
        """Whether every message is accounted for."""
        return self.published == self.recorded + self.dropped


def joint_states() -> list[bytes]:
    """Some that differ, with numbers that are not to be compressed."""
    random, robot = np.random.default_rng(0), default_contract().robot
    made = []
    for step in range(1000):
        stamp = part("builtin_interfaces/msg/Time", sec=step // 50, nanosec=step % 50 * 20_000_000)
        position, velocity, effort = random.normal(size=(3, robot.count))
        header = part("std_msgs/msg/Header", stamp=stamp, frame_id="")
        made.append(
            encode(
                "sensor_msgs/msg/JointState",
                header=header,
                name=list(robot.joint_names),
                position=position,
                velocity=velocity,
                effort=effort,
            )
        )
    return made


# -- writing alone


def repeated(episode: Callable[[], None]) -> Side:
    """Messages a second of episodes one after another."""

    def measure(seconds: float) -> float:
        begun, times = time.perf_counter(), 0
        while time.perf_counter() - begun < seconds:
            episode()
            times += 1
        return times * EPISODE / (time.perf_counter() - begun)

    return measure


def recorded(folder: Path, messages: list[bytes]) -> Callable[[], None]:
    """An episode by the recorder; nothing of it may be dropped."""
    subject = Subject(TOPICS[0], "/joint_states", define(TOPICS[0].type))
    config = RecordingConfig(folder, queue_bytes=1 << 30, reserve_bytes=0, look_back_seconds=0.0)
    recorder, number = Recorder([subject], config, default_contract()), count()

    def episode() -> None:
        running = recorder.start(Request(f"e{next(number)}"))
        for index in range(EPISODE):
            recorder.hear(0, messages[index % len(messages)])
        running.end("asked")
        running.join()
        recorder.proceed()
        if running.problem or running.facts.recorded != EPISODE:
            raise SystemExit(f"The recorder lost something: {running.problem or running.facts}.")
        shutil.rmtree(running.path)

    return episode


def bare(folder: Path, messages: list[bytes]) -> Callable[[], None]:
    """The same by mcap's writer with its own settings."""
    definition = define(TOPICS[0].type)

    def episode() -> None:
        path = folder / "bare.mcap"
        with path.open("wb") as file:
            writer = Writer(file, compression=CompressionType.ZSTD)
            writer.start("ros2")
            schema = writer.register_schema(definition.type, "ros2msg", definition.text.encode())
            channel = writer.register_channel("/joint_states", "cdr", schema)
            for index in range(EPISODE):
                at = time.time_ns()
                writer.add_message(channel, at, messages[index % len(messages)], at, index)
            writer.finish()
        path.unlink()

    return episode


# -- the node over DDS


@contextmanager
def recorder_node(folder: Path) -> Iterator[None]:
    """A recorder, until the context ends."""
    command = [sys.executable, "-m", "jack_trainer.recorder_node", "--ros-args", "-r", f"__ns:={SPACE}"]
    command += ["-p", f"folder:={folder}", "-p", "topics:=[joint_states]"]
    child = subprocess.Popen(command, stderr=subprocess.DEVNULL)
    try:
        yield
    finally:
        child.send_signal(signal.SIGINT)
        child.wait(timeout=20)


def load(folder: Path, rates: tuple[int, ...], seconds: float, messages: list[bytes]) -> list[Load]:
    """Send at each rate for so long, recorded by a node of its own process."""
    import rclpy
    from jack_msgs.action import Record
    from rclpy.action.client import ActionClient
    from rclpy.executors import SingleThreadedExecutor
    from rclpy.qos import qos_profile_sensor_data
    from sensor_msgs.msg import JointState

    rclpy.init()
    node = rclpy.create_node("world", namespace=SPACE)
    publisher = node.create_publisher(JointState, "joint_states", qos_profile_sensor_data)
    client, executor = ActionClient(node, Record, "record"), SingleThreadedExecutor()
    executor.add_node(node)

    def wait(condition: Callable[[], bool], patience: float = 30.0) -> None:
        deadline = time.monotonic() + patience
        while not condition():
            if time.monotonic() > deadline:
                raise SystemExit("The recorder does not answer.")
            executor.spin_once(timeout_sec=0.05)

    def rest(patience: float) -> None:
        until = time.monotonic() + patience
        wait(lambda: time.monotonic() > until)

    found = []
    with recorder_node(folder):
        wait(lambda: publisher.get_subscription_count() > 0 and client.server_is_ready())
        for rate in rates:
            publisher.publish(messages[0])  # from now on the recorder knows what number comes next
            rest(1.5)
            asked = client.send_goal_async(Record.Goal(name=f"at{rate}"))
            wait(asked.done)
            goal: Any = asked.result()
            begun, published = time.perf_counter(), 0
            while (passed := time.perf_counter() - begun) < seconds:
                for _ in range(round(passed * rate) - published):
                    publisher.publish(messages[published % len(messages)])
                    published += 1
                time.sleep(0.0005)
            sent = published / (time.perf_counter() - begun)
            rest(1.0)
            publisher.publish(messages[0])  # whose number tells what was lost before it
            rest(1.0)
            wait(goal.cancel_goal_async().done)
            result = goal.get_result_async()
            wait(result.done)
            topic = read_facts(folder / f"at{rate}").topics[f"{SPACE}/joint_states"]
            found.append(Load(rate, sent, published + 1, topic.recorded, topic.dropped))
    rclpy.shutdown()
    return found


def show(loads: list[Load]) -> None:
    """Print a table."""
    table = Table(title="the node over DDS, one topic of joint states", box=box.SIMPLE_HEAD)
    for heading in ("asked [1/s]", "sent [1/s]", "published", "recorded", "dropped", ""):
        table.add_column(heading, justify="right")
    for row in loads:
        numbers = (row.rate, round(row.sent_rate), row.published, row.recorded, row.dropped)
        table.add_row(*(f"{number:,}" for number in numbers), "[green]adds up" if row.counted else "[red]does not")
    Console().print(table)


def main(options: Options) -> None:
    """Measure and report."""
    protocol = QUICK if options.quick else Protocol(options.pairs, options.window)
    messages = joint_states()
    with tempfile.TemporaryDirectory() as place, ros_domain() as domain:
        os.environ |= {"ROS_DOMAIN_ID": str(domain), "ROS_AUTOMATIC_DISCOVERY_RANGE": "LOCALHOST"}
        folder = Path(place)
        sides = repeated(recorded(folder / "bags", messages)), repeated(bare(folder, messages))
        row = compare("recorder", sides[0], ("mcap's writer", sides[1]), "1/s", protocol, at_least=0.5)
        rates, seconds = (options.rates[:2], 1.0) if options.quick else (options.rates, options.seconds)
        loads = load(folder / "live", rates, seconds, messages)
    title = f"joint states of {len(messages[0])} bytes until they are on the disk"
    data = report(title, [row], {}, ("mcap", "zstandard", "rclpy"))
    show(loads)
    if not options.quick:
        write_json(options.output, data | {"loads": [asdict(row) for row in loads]})
    if not all(row.counted for row in loads):
        sys.exit("Messages were lost that nobody counted.")


if __name__ == "__main__":
    main(tyro.cli(Options, description=__doc__))
