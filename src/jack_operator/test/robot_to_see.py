"""A robot that somebody may look at: it publishes, answers and listens, over real DDS, beside a real process."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import rclpy
from geometry_msgs.msg import Twist
from jack_msgs.msg import BrainStatus
from nav_msgs.msg import Odometry
from rclpy.executors import ExternalShutdownException, SingleThreadedExecutor
from rclpy.node import Node
from rclpy.qos import DurabilityPolicy, QoSProfile, ReliabilityPolicy, qos_profile_sensor_data
from sensor_msgs.msg import CompressedImage, JointState
from std_msgs.msg import String
from std_srvs.srv import Trigger

LATCHED = QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL, reliability=ReliabilityPolicy.RELIABLE)
JACK = (Path(__file__).parents[2] / "jack_sim/jack_sim/models/jack.urdf").read_text()


def start(name: str, parameters: dict[str, object] | None = None, **streams: Any) -> subprocess.Popen[str]:
    """A node of the package in a process of its own, in this process' ROS domain."""
    words = [f"{key}:={str(v).lower() if isinstance(v, bool) else v}" for key, v in (parameters or {}).items()]
    given = [word for text in words for word in ("-p", text)]
    command = [sys.executable, "-m", f"jack_operator.{name}_node", "--ros-args", *given]
    return subprocess.Popen(command, text=True, env=os.environ | {"PYTHONUNBUFFERED": "1"}, **streams)


def wait(condition: Callable[[], Any], seconds: float = 20.0) -> Any:
    """The condition's value as soon as it is true."""
    deadline = time.monotonic() + seconds
    while not (value := condition()):
        assert time.monotonic() < deadline, f"not within {seconds} s"
        time.sleep(0.005)
    return value


class RobotToSee:
    """Publishes at 20 Hz; knows what it was asked for."""

    def __init__(self) -> None:
        self.context = rclpy.Context()
        rclpy.init(context=self.context)
        self.node = Node("robot", context=self.context)
        make = self.node.create_publisher
        make(String, "robot_description", LATCHED).publish(String(data=JACK))
        self._joints = make(JointState, "joint_states", qos_profile_sensor_data)
        self._odometry = make(Odometry, "odom", 10)
        self._status = make(BrainStatus, "brain/status", 10)
        self.images = make(CompressedImage, "camera/image_raw/compressed", qos_profile_sensor_data)
        #: the velocities that came, and when
        self.velocities: list[tuple[float, Twist]] = []
        self.asked: list[str] = []
        self.knee, self.fault = 0.5, ""
        self.node.create_subscription(Twist, "cmd_vel", self._on_velocity, 10)
        for name in ("brain/stop", "brain/reset_fault"):
            self.node.create_service(Trigger, name, lambda _, answer, name=name: self._answer(name, answer))
        self.node.create_timer(0.05, self._publish)
        self._executor = SingleThreadedExecutor(context=self.context)
        self._executor.add_node(self.node)
        self._thread = threading.Thread(target=self._spin, daemon=True)
        self._thread.start()

    def _spin(self) -> None:
        with suppress(ExternalShutdownException):
            self._executor.spin()

    def _publish(self) -> None:
        self._joints.publish(JointState(name=["left_knee"], position=[self.knee]))
        odometry = Odometry()
        odometry.pose.pose.position.z, odometry.pose.pose.orientation.w = 0.77, 1.0
        self._odometry.publish(odometry)
        self._status.publish(
            BrainStatus(state=BrainStatus.RUNNING, policy="ab" * 32, phase="walk", fault=self.fault)
        )

    def _on_velocity(self, message: Twist) -> None:
        self.velocities.append((time.monotonic(), message))

    def _answer(self, name: str, answer: Trigger.Response) -> Trigger.Response:
        self.asked.append(name)
        answer.success, answer.message = True, f"{name} was heard"
        return answer

    def close(self) -> None:
        """Leave."""
        rclpy.shutdown(context=self.context)
        self._thread.join(timeout=2.0)
