"""The node `markers`: what RViz and Foxglove show beside the robot's model. What that is, is in markers.py."""

from __future__ import annotations

import signal
import sys
import threading
import time

import rcl_interfaces.msg
import rclpy
from geometry_msgs.msg import Point, Twist
from jack_msgs.msg import BrainStatus
from nav_msgs.msg import Odometry
from rclpy.clock import Clock
from rclpy.clock_type import ClockType
from rclpy.exceptions import ParameterException
from rclpy.experimental.events_executor import EventsExecutor
from rclpy.node import Node
from rclpy.qos import DurabilityPolicy, QoSProfile, ReliabilityPolicy, qos_profile_sensor_data
from rclpy.signals import SignalHandlerOptions
from rclpy.utilities import try_shutdown
from sensor_msgs.msg import Imu, JointState
from std_msgs.msg import String
from visualization_msgs.msg import Marker, MarkerArray

from jack_contract.errors import JackError
from jack_contract.parameters import declare
from jack_operator.markers import Markers
from jack_operator.parameters import MarkerParameters
from jack_operator.scene import Scene

LATCHED = QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL, reliability=ReliabilityPolicy.RELIABLE)


class MarkersNode(Node):
    """Listens to one robot, and marks what he is asked for and what he does."""

    def __init__(self) -> None:
        """Listen.

        Raises:
            JackError: a parameter that is not allowed.
        """
        super().__init__("markers")
        self.parameters = declare(self, MarkerParameters, rcl_interfaces.msg)
        self._scene, self._markers = Scene(), Markers(Marker, Point)
        scene, now = self._scene, time.monotonic
        for kind, topic, hear in (
            (JointState, "joint_states", scene.on_joint_states),
            (Imu, "imu/data", scene.on_imu),
            (Odometry, "odom", scene.on_odometry),
            (Twist, "cmd_vel", scene.on_velocity),
            (BrainStatus, "brain/status", scene.on_brain),
        ):
            self.create_subscription(
                kind, topic, lambda message, hear=hear: hear(message, now()), qos_profile_sensor_data
            )
        self.create_subscription(String, "robot_description", self._on_description, LATCHED)
        self._publisher = self.create_publisher(MarkerArray, "markers", 1)
        steady = Clock(clock_type=ClockType.STEADY_TIME)
        self.create_timer(1.0 / self.parameters.rate, self._publish, clock=steady)

    def _on_description(self, message: String) -> None:
        self._scene.on_description(message.data)

    def _publish(self) -> None:
        if self._publisher.get_subscription_count():
            now = time.monotonic()
            markers = self._markers.of(self._scene, self._scene.frame(now), now)
            self._publisher.publish(MarkerArray(markers=markers))


def main() -> int:
    """Run the node until it is told to end."""
    ending = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: ending.set())
    rclpy.init(signal_handler_options=SignalHandlerOptions.NO)
    try:
        node = MarkersNode()
        executor = EventsExecutor()
        executor.add_node(node)
        while not ending.is_set():
            executor.spin_once(timeout_sec=0.2)
    except (JackError, ParameterException) as error:
        print(f"markers: {error}", file=sys.stderr)
        return 1
    finally:
        try_shutdown()
    return 0


if __name__ == "__main__":
    sys.exit(main())
