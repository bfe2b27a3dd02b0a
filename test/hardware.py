"""A simulated Jack dressed up as a real one: whoever drives him cannot tell that he is not.

His body is a `sim` in the namespace `world`. Of all that it publishes only the readings of his sensors come out:
late, noisy, with joints that are not where their encoders say, and stamped by the system's clock with the time at
which they were taken. Commands reach his motors late. There is no ground truth, no /clock and no reset.
"""

from __future__ import annotations

import heapq
import itertools
import os
import random
import subprocess
import sys
import time
from contextlib import suppress
from typing import Any

import numpy as np
import rclpy
from builtin_interfaces.msg import Time
from jack_msgs.msg import JointCommand
from rclpy.executors import ExternalShutdownException, SingleThreadedExecutor
from rclpy.node import Node
from rclpy.publisher import Publisher
from rclpy.qos import QoSProfile, ReliabilityPolicy, qos_profile_sensor_data
from sensor_msgs.msg import Imu, JointState

from jack_sim.randomization import ON

COMMAND = QoSProfile(depth=1, reliability=ReliabilityPolicy.RELIABLE)
#: From a sensor to its topic, and from a command to its motor, least and most [s].
DELAY = (0.001, 0.008)
#: Time between two looks at what is due [s].
_PERIOD = 0.002


def start_body(domain: int) -> list[subprocess.Popen[bytes]]:
    """The body and its disguise, in processes of their own."""
    environment = os.environ | {"ROS_DOMAIN_ID": str(domain), "ROS_AUTOMATIC_DISCOVERY_RANGE": "LOCALHOST"}
    words = ["-r", "__ns:=/world", "-r", "brain/status:=/brain/status", "-p", "publish_clock:=false"]
    commands = (["-m", "jack_sim.sim_node", "--ros-args", *words], [__file__])
    processes = [subprocess.Popen([sys.executable, *command], env=environment) for command in commands]
    for process in processes:  # a body does not wait for the computer that drives it
        with suppress(PermissionError):
            os.sched_setscheduler(process.pid, os.SCHED_FIFO, os.sched_param(1))
    return processes


class Hardware(Node):
    """What lies between the body and whoever drives it."""

    def __init__(self, seed: int = 0) -> None:
        super().__init__("hardware")
        self._random = random.Random(seed)
        self._numbers = np.random.default_rng(seed)
        self._waiting: list[tuple[float, int, Publisher, Any]] = []
        self._order, self._last = itertools.count(), {}
        self._offset: np.ndarray | None = None
        self._joints = self.create_publisher(JointState, "joint_states", qos_profile_sensor_data)
        self._imu = self.create_publisher(Imu, "imu/data", qos_profile_sensor_data)
        self._motors = self.create_publisher(JointCommand, "world/joint_command", COMMAND)
        self._heard = [
            self.create_subscription(JointState, "world/joint_states", self._on_joints, qos_profile_sensor_data),
            self.create_subscription(Imu, "world/imu/data", self._on_imu, qos_profile_sensor_data),
            self.create_subscription(JointCommand, "hardware/joint_command", self._on_command, COMMAND),
        ]
        self.create_timer(_PERIOD, self._deliver)

    def _on_joints(self, message: JointState) -> None:
        message.header.stamp = self._read_now()
        count = len(message.position)
        if self._offset is None:
            self._offset = self._numbers.uniform(*ON.joint_offset, count)
        noise = self._numbers.uniform
        message.position = (np.array(message.position) + self._offset + noise(*ON.position_noise, count)).tolist()
        message.velocity = (np.array(message.velocity) + noise(*ON.velocity_noise, count)).tolist()
        self._later(self._joints, message)

    def _on_imu(self, message: Imu) -> None:
        message.header.stamp = self._read_now()
        rate = message.angular_velocity
        rate.x, rate.y, rate.z = (
            np.array([rate.x, rate.y, rate.z]) + self._numbers.uniform(*ON.gyro_noise, 3)
        ).tolist()
        self._later(self._imu, message)

    def _on_command(self, message: JointCommand) -> None:
        self._later(self._motors, message)

    def _read_now(self) -> Time:
        return self.get_clock().now().to_msg()

    def _later(self, publisher: Publisher, message: Any) -> None:
        """Send it after a while, though no sooner than what was sent before it."""
        due = max(time.monotonic() + self._random.uniform(*DELAY), self._last.get(publisher, 0.0))
        self._last[publisher] = due
        heapq.heappush(self._waiting, (due, next(self._order), publisher, message))

    def _deliver(self) -> None:
        while self._waiting and self._waiting[0][0] <= time.monotonic():
            _, _, publisher, message = heapq.heappop(self._waiting)
            publisher.publish(message)


def main() -> None:
    """Be his hardware until Ctrl-C."""
    rclpy.init()
    executor = SingleThreadedExecutor()
    executor.add_node(Hardware())
    with suppress(KeyboardInterrupt, ExternalShutdownException, RuntimeError):  # rclpy, when it is interrupted
        executor.spin()


if __name__ == "__main__":
    main()
