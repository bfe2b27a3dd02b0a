"""From a bag to tensors: messages a second, against those who decode them one by one.

The bag is that of a minute of Jack: joint states, IMU, joint commands and velocities. Each side reads it from the
file on, again and again, and ends with the same torch tensors: what joints and IMU said, what was asked, and the
targets. Whether they are the same is checked first.
"""

from __future__ import annotations

import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import tyro
from pairing import QUICK, Protocol, Side, compare, report, write_json

from jack_contract.contract import default_contract
from jack_contract.robot import RobotSpec
from jack_trainer.imitation.bag import Bag
from jack_trainer.imitation.bag_of_moments import Moments, write_bag
from jack_trainer.imitation.definitions import define
from jack_trainer.imitation.frames import read_frames

Tensors = dict[str, torch.Tensor]


@dataclass(frozen=True)
class Options:
    """What is read, and how."""

    #: a few seconds, to see that it runs; the figures mean nothing, nothing is written
    quick: bool = False
    #: windows of each side
    pairs: int = 10
    #: length of a window [s]
    window: float = 5.0
    #: of the recording [s]
    seconds: float = 60.0
    #: where the figures go
    output: Path = Path(__file__).with_suffix(".json")


def record(folder: Path, seconds: float, robot: RobotSpec) -> tuple[Path, int]:
    """A bag, and how many messages are in it."""
    count, random = round(seconds / robot.control_period), np.random.default_rng(0)
    state = random.normal(size=(count, 2 * robot.count + 10))
    state[:, 2 * robot.count : 2 * robot.count + 4] = 0.5  # an orientation has length 1
    command, action = random.normal(size=(count, 3)), random.normal(size=(count, robot.count))
    episode = Moments(1.0 / robot.control_period, "", "", state, command, action, iter(()))
    write_bag(folder, "walk", episode, robot)
    return folder, 4 * count


# -- three ways to read it


def ours(path: Path, robot: RobotSpec) -> Tensors:
    """Jack's: as trainings read it, with everything that is checked on the way."""
    frames = read_frames(Bag(path), robot)
    state = frames.state
    body = np.concatenate((state.orientation, state.angular_velocity, state.linear_acceleration), axis=1)
    joints = np.stack((state.joint_position, state.joint_velocity), axis=1)
    arrays = {"joints": joints, "body": body, "command": frames.command, "target": frames.target}
    return {name: torch.from_numpy(array.astype(np.float32)) for name, array in arrays.items()}


def rosbags(path: Path, robot: RobotSpec) -> Tensors:
    """The reader and decoder of rosbags."""
    from rosbags.rosbag2 import Reader
    from rosbags.typesys import Stores, get_types_from_msg, get_typestore

    store = get_typestore(Stores.ROS2_JAZZY)
    definition = define("jack_msgs/msg/JointCommand").text
    types = get_types_from_msg(definition, "jack_msgs/msg/JointCommand")
    store.register({kind: fields for kind, fields in types.items() if kind.startswith("jack_msgs")})

    def messages() -> Iterator[tuple[str, Any]]:
        with Reader(path) as reader:
            for connection, _, data in reader.messages():
                yield connection.topic, store.deserialize_cdr(data, connection.msgtype)

    return _gathered(messages())


def mcap_ros2(path: Path, robot: RobotSpec) -> Tensors:
    """The reader and decoder of mcap-ros2-support."""
    from mcap_ros2.reader import read_ros2_messages  # pyright: ignore[reportMissingImports] - a peer

    (file,) = path.glob("*.mcap")
    return _gathered((entry.channel.topic, entry.ros_msg) for entry in read_ros2_messages(file))


def _gathered(messages: Iterator[tuple[str, Any]]) -> Tensors:
    """What anybody would write who has messages one by one; nothing is checked or aligned."""
    rows: dict[str, list[Any]] = defaultdict(list)
    asked = (0.0, 0.0, 0.0)
    for topic, m in messages:
        if topic == "/joint_states":
            rows["joints"].append((m.position, m.velocity))
        elif topic == "/imu/data":
            q, w, a = m.orientation, m.angular_velocity, m.linear_acceleration
            rows["body"].append((q.x, q.y, q.z, q.w, w.x, w.y, w.z, a.x, a.y, a.z))
        elif topic == "/joint_command":
            rows["target"].append(m.position)
            rows["command"].append(asked)
        else:
            asked = (m.linear.x, m.linear.y, m.angular.z)
    return {name: torch.from_numpy(np.array(values, dtype=np.float32)) for name, values in rows.items()}


def side(read: Callable[[Path, RobotSpec], Tensors], path: Path, robot: RobotSpec, count: int) -> Side:
    """Messages a second of one way."""

    def measure(seconds: float) -> float:
        begun, times = time.perf_counter(), 0
        while time.perf_counter() - begun < seconds:
            read(path, robot)
            times += 1
        return times * count / (time.perf_counter() - begun)

    return measure


def main(options: Options) -> None:
    """Measure and report."""
    torch.set_num_threads(1)
    robot = default_contract().robot
    protocol = QUICK if options.quick else Protocol(options.pairs, options.window)
    with tempfile.TemporaryDirectory() as folder:
        path, count = record(Path(folder), 2.0 if options.quick else options.seconds, robot)
        expected, rows, packages = ours(path, robot), [], ["numpy", "torch", "mcap"]
        for name, package, read in (("rosbags", "rosbags", rosbags), ("mcap-ros2", "mcap-ros2-support", mcap_ros2)):
            try:
                found = read(path, robot)
            except ImportError:
                print(f"{package} is not installed: pip install {package}")
                continue
            if not all(torch.equal(found[key], expected[key]) for key in expected):
                raise SystemExit(f"{name} reads something else.")
            peer = name, side(read, path, robot, count)
            packages.append(package)
            rows.append(compare("Jack", side(ours, path, robot, count), peer, "1/s", protocol, at_least=5.0))
    data = report(f"from a bag of {count:,} messages to tensors, one thread", rows, {}, packages)
    if not options.quick:
        write_json(options.output, data)


if __name__ == "__main__":
    main(tyro.cli(Options, description=__doc__))
