"""Moments of a robot, from wherever, as a bag: the messages that the robot would have sent."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import zip_longest
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from jack_contract.arrays import Float64
from jack_contract.errors import JackError
from jack_contract.robot import RobotSpec
from jack_contract.wire import NANOSECONDS
from jack_trainer.imitation.bag_file import BagFile, Subject, describe
from jack_trainer.imitation.decoding import encode, part
from jack_trainer.imitation.definitions import define
from jack_trainer.imitation.facts import Facts, TopicFacts
from jack_trainer.imitation.heard import Heard
from jack_trainer.imitation.pictures import TOPIC as PICTURES
from jack_trainer.imitation.topics import TOPICS

_TOPICS = ("joint_states", "imu/data", "cmd_vel", "joint_command", PICTURES)
_CHUNK_BYTES = 64 << 10
#: Of JPEG.
_QUALITY = 95

Picture = NDArray[np.uint8]


@dataclass(frozen=True)
class Moments:
    """An episode of t moments, evenly spaced."""

    #: moments a second
    rate: float
    #: what the robot was asked to do, in words
    task: str
    #: where it comes from, in words
    note: str
    #: positions [rad] and velocities [rad/s] of the joints, orientation x y z w, angular velocity [rad/s], and
    #: specific force [m/s^2], (t, 2 n + 10)
    state: Float64
    #: vx, vy [m/s], yaw rate [rad/s], (t, 3)
    command: Float64
    #: joint targets, (t, n) [rad]
    action: Float64
    #: one for each moment, RGB (height, width, 3), or none at all
    pictures: Iterator[Picture]


def write_bag(folder: Path, name: str, episode: Moments, robot: RobotSpec) -> None:
    """Write an episode as a bag.

    Args:
        folder: of the bag; it is made if it is not there.
        name: of the bag; its file is called after it.
        episode: what is written.
        robot: whose it is.

    Raises:
        OSError: the disk does not take it.
        JackError: a picture cannot be decoded; what was written is torn.
    """
    folder.mkdir(parents=True, exist_ok=True)
    specs = {topic.name: topic for topic in TOPICS}
    subjects = [Subject(specs[topic], f"/{topic}", define(specs[topic].type)) for topic in _TOPICS]
    started = time.time_ns()
    facts = Facts(
        name=name,
        robot=robot.name,
        joints=robot.joint_names,
        instruction=episode.task,
        started=started,
        note=episode.note,
    )
    path = folder / f"{name}_0.mcap"
    file = BagFile(path, subjects, facts, _CHUNK_BYTES)
    counts = dict.fromkeys(range(len(subjects)), 0)
    try:
        for step, topic, message in _messages(episode, robot, episode.rate):
            at = round(step / episode.rate * NANOSECONDS)
            file.write(Heard(topic, message, at), started + at)
            counts[topic] += 1
        facts = facts.model_copy(
            update={
                "ended": "imported",
                "duration": (len(episode.state) - 1) / episode.rate,
                "topics": {
                    subject.name: TopicFacts(
                        type=subject.definition.type,
                        recorded=counts[topic],
                        dropped=0,
                        period=robot.control_period if subject.spec.steady else 0.0,
                        longest=1.0 / episode.rate,
                    )
                    for topic, subject in enumerate(subjects)
                    if counts[topic]
                },
            }
        )
        file.finish(facts)
    except BaseException:
        file.abandon()
        raise
    describe(path, subjects, facts)


def _messages(episode: Moments, robot: RobotSpec, rate: float) -> Iterator[tuple[int, int, bytes]]:
    """Frame, topic and message, in the order in which a robot would have sent them."""
    for step, picture in zip_longest(range(len(episode.state)), episode.pictures):
        if step is None:
            return  # a film may be longer
        stamp = divmod(round(step / rate * NANOSECONDS), NANOSECONDS)
        time_ = part("builtin_interfaces/msg/Time", sec=stamp[0], nanosec=stamp[1])
        header = part("std_msgs/msg/Header", stamp=time_, frame_id="")
        yield step, _TOPICS.index("cmd_vel"), _velocity(episode.command[step])
        if picture is not None:
            yield step, _TOPICS.index(PICTURES), _compressed(header, picture)
        yield step, _TOPICS.index("imu/data"), _imu(header, episode.state[step, 2 * robot.count :])
        yield step, _TOPICS.index("joint_states"), _joints(header, robot, episode.state[step])
        yield step, _TOPICS.index("joint_command"), _command(header, robot, episode.action[step])


def _velocity(command: Float64) -> bytes:
    vector = "geometry_msgs/msg/Vector3"
    x, y, turn = command.tolist()
    linear, angular = part(vector, x=x, y=y, z=0.0), part(vector, x=0.0, y=0.0, z=turn)
    return encode("geometry_msgs/msg/Twist", linear=linear, angular=angular)


def _joints(header: object, robot: RobotSpec, state: Float64) -> bytes:
    n = robot.count
    return encode(
        "sensor_msgs/msg/JointState",
        header=header,
        name=list(robot.joint_names),
        position=state[:n],
        velocity=state[n : 2 * n],
        effort=np.zeros(0),
    )


def _imu(header: object, body: Float64) -> bytes:
    unknown, numbers = np.zeros(9), body.tolist()
    turned, turning, pushed = (
        part(f"geometry_msgs/msg/{kind}", **dict(zip(axes, numbers[start:], strict=False)))
        for kind, axes, start in (("Quaternion", "xyzw", 0), ("Vector3", "xyz", 4), ("Vector3", "xyz", 7))
    )
    return encode(
        "sensor_msgs/msg/Imu",
        header=header,
        orientation=turned,
        orientation_covariance=unknown,
        angular_velocity=turning,
        angular_velocity_covariance=unknown,
        linear_acceleration=pushed,
        linear_acceleration_covariance=unknown,
    )


def _command(header: object, robot: RobotSpec, targets: Float64) -> bytes:
    return encode(
        "jack_msgs/msg/JointCommand",
        header=header,
        session=0,
        mode=1,
        name=list(robot.joint_names),
        position=targets,
        stiffness=robot.stiffness.astype(np.float64),
        damping=robot.damping.astype(np.float64),
    )


def _compressed(header: object, picture: Picture) -> bytes:
    done, data = cv2.imencode(".jpg", picture[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, _QUALITY])
    if not done:
        raise JackError("A picture of the data set cannot be compressed.")
    return encode("sensor_msgs/msg/CompressedImage", header=header, format="rgb8; jpeg compressed bgr8", data=data)
