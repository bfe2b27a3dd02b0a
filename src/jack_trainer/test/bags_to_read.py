"""Bags for tests: a robot that moves its joints, as it would have been recorded."""

import cv2
import numpy as np

from jack_contract.contract import default_contract
from jack_trainer.imitation.bag_file import BagFile, Subject, describe
from jack_trainer.imitation.decoding import encode, part
from jack_trainer.imitation.definitions import define
from jack_trainer.imitation.facts import Facts, TopicFacts
from jack_trainer.imitation.heard import Heard
from jack_trainer.imitation.topics import TOPICS

CONTRACT = default_contract()
ROBOT = CONTRACT.robot
SECOND = 10**9
PERIOD = round(ROBOT.control_period * SECOND)
PICTURES = "camera/image_raw/compressed"
SPECS = {topic.name: topic for topic in TOPICS}


def header(stamp):
    time = part("builtin_interfaces/msg/Time", sec=stamp // SECOND, nanosec=stamp % SECOND)
    return part("std_msgs/msg/Header", stamp=time, frame_id="base")


def joints(stamp, position, velocity, names=ROBOT.joint_names, effort=()):
    numbers = (np.asarray(row, dtype=np.float64) for row in (position, velocity, effort))
    position, velocity, effort = numbers
    kind = "sensor_msgs/msg/JointState"
    return encode(kind, header=header(stamp), name=list(names), position=position, velocity=velocity, effort=effort)


def imu(stamp, orientation=(0.0, 0.0, 0.0, 1.0), angular=(0.0, 0.0, 0.0), linear=(0.0, 0.0, 9.81)):
    vector, unknown = "geometry_msgs/msg/Vector3", np.zeros(9)
    turned = part("geometry_msgs/msg/Quaternion", **dict(zip("xyzw", orientation, strict=True)))
    return encode(
        "sensor_msgs/msg/Imu",
        header=header(stamp),
        orientation=turned,
        orientation_covariance=unknown,
        angular_velocity=part(vector, **dict(zip("xyz", angular, strict=True))),
        angular_velocity_covariance=unknown,
        linear_acceleration=part(vector, **dict(zip("xyz", linear, strict=True))),
        linear_acceleration_covariance=unknown,
    )


def command(stamp, target, names=ROBOT.joint_names, mode=1):
    n, target = len(names), np.asarray(target, dtype=np.float64)
    return encode(
        "jack_msgs/msg/JointCommand",
        header=header(stamp),
        session=7,
        mode=mode,
        name=list(names),
        position=target,
        stiffness=np.full(n, 40.0),
        damping=np.full(n, 2.0),
    )


def velocity(x, y, turn):
    vector = "geometry_msgs/msg/Vector3"
    linear, angular = part(vector, x=x, y=y, z=0.0), part(vector, x=0.0, y=0.0, z=turn)
    return encode("geometry_msgs/msg/Twist", linear=linear, angular=angular)


def scene(step, width=64, height=48):
    """A picture of a bright square that moves, RGB."""
    picture = np.full((height, width, 3), (40, 90, 160), np.uint8)
    left = step * 2 % (width - 16)
    picture[8:32, left : left + 16] = (230, 200, 40)
    return picture


def picture(stamp, shown, data=None):
    if data is None:
        done, data = cv2.imencode(".jpg", shown[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, 95])
        assert done
        data = data.tobytes()
    kind = "sensor_msgs/msg/CompressedImage"
    return encode(
        kind, header=header(stamp), format="rgb8; jpeg compressed bgr8", data=np.frombuffer(data, np.uint8)
    )


def episode(steps=20, pictures=0, seed=0):
    """Topics, messages and times [ns] of an episode; with pictures, one every so many steps."""
    random = np.random.default_rng(seed)
    for step in range(steps):
        stamp = SECOND + step * PERIOD
        if step % 5 == 0:
            yield "cmd_vel", velocity(0.1 * step, 0.0, -0.1), stamp
        if pictures and step % pictures == 0:
            yield PICTURES, picture(stamp, scene(step)), stamp + 1
        yield "imu/data", imu(stamp, angular=random.normal(size=3)), stamp + 2
        yield "joint_states", joints(stamp, *random.normal(size=(2, ROBOT.count))), stamp + 3
        yield "joint_command", command(stamp, random.normal(size=ROBOT.count)), stamp + 4


def write_bag(folder, messages, instruction="", name="", contract=CONTRACT, kinds=None, space="", compress=True):
    """A bag with messages (topic, bytes, time), closed in order; returns its folder.

    Types may be given by topic; a space is put before each name.
    """
    name = name or folder.name
    messages = list(messages)
    folder.mkdir(parents=True)
    kinds = {topic: SPECS[topic].type for topic in SPECS} | (kinds or {})
    topics = list(dict.fromkeys(topic for topic, _, _ in messages))
    subjects = [Subject(SPECS[topic], f"{space}/{topic}", define(kinds[topic])) for topic in topics]
    facts = Facts(name=name, robot=contract.robot.name, contract_digest=contract.digest, instruction=instruction)
    file = BagFile(folder / f"{name}_0.mcap", subjects, facts, 64 << 10 if compress else 1 << 30)
    for topic, data, time in messages:
        file.write(Heard(topics.index(topic), data, time), time)
    counts = {subject.name: [topic for topic, _, _ in messages].count(subject.spec.name) for subject in subjects}
    topics_of = {
        subject.name: TopicFacts(type=subject.definition.type, recorded=counts[subject.name], dropped=0)
        for subject in subjects
    }
    facts = facts.model_copy(update={"ended": "asked", "topics": topics_of})
    file.finish(facts)
    describe(folder / f"{name}_0.mcap", subjects, facts)
    return folder
