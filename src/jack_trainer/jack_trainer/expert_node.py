"""The node `expert`: in a simulation, stands in for a brain and does what it is told, so that it can be recorded.

It publishes what a brain would, `joint_command`, and what it asks of the legs, `cmd_vel`. It knows what no brain
does: where the simulation has everything.
"""

from __future__ import annotations

import signal
import sys
import threading
from dataclasses import dataclass

import numpy as np
import rcl_interfaces.msg
import rclpy
from geometry_msgs.msg import Twist
from jack_msgs.msg import JointCommand
from nav_msgs.msg import Odometry
from rclpy.exceptions import ParameterException
from rclpy.executors import ExternalShutdownException
from rclpy.experimental.events_executor import EventsExecutor
from rclpy.node import Node
from rclpy.qos import DurabilityPolicy, QoSProfile, ReliabilityPolicy, qos_profile_sensor_data
from rclpy.signals import SignalHandlerOptions
from rclpy.utilities import try_shutdown
from sensor_msgs.msg import Imu, JointState
from std_msgs.msg import String

from jack_brain.readings import Pair, Pairing
from jack_contract.contract import default_contract
from jack_contract.errors import JackError
from jack_contract.parameters import check, declare, parameter
from jack_contract.wire import StateReader, fill_joint_command
from jack_launch.graphs import PRETRAINED, named_policy, runs_folder
from jack_trainer.tasks.live_expert import STANDS, LiveExpert, meaning, says_done

LATCHED = QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL, reliability=ReliabilityPolicy.RELIABLE)
COMMAND = QoSProfile(depth=1, reliability=ReliabilityPolicy.RELIABLE)


@dataclass(frozen=True)
class ExpertParameters:
    """What can be chosen when the node starts."""

    policy: str = parameter(PRETRAINED, "Which policy has the legs: a file, `newest`, or `pretrained`.")

    def __post_init__(self) -> None:
        check(self)


class ExpertNode(Node):
    """A scripted expert on topics: sensors, odometry, the table and instructions in, joint commands out."""

    def __init__(self) -> None:
        """Declare the parameters and load the policy of the legs.

        Raises:
            JackError: there is no such policy, or it must not drive this robot.
        """
        super().__init__("expert")
        given = declare(self, ExpertParameters, rcl_interfaces.msg)
        path = named_policy(given.policy, runs_folder())
        if path is None:
            raise JackError("The expert needs a policy for the legs: -p policy:=pretrained, newest or a file.")
        contract = default_contract()
        self._robot, self._expert = contract.robot, LiveExpert(contract, path)
        self._reader, self._pairing = StateReader(contract.robot), Pairing(contract.robot.control_period)
        self._command, self._velocity, self._said = JointCommand(), Twist(), ""
        self._untold: str | None = None
        self._commands = self.create_publisher(JointCommand, "joint_command", COMMAND)
        self._velocities = self.create_publisher(Twist, "cmd_vel", 1)
        self._status = self.create_publisher(String, "~/status", LATCHED)
        self.create_subscription(String, "sim/table", self._on_table, 10)
        self.create_subscription(Odometry, "odom", self._on_odometry, 10)
        self.create_subscription(String, "instruction", self._on_instruction, LATCHED)
        self.create_subscription(Imu, "imu/data", self._on_imu, qos_profile_sensor_data)
        self.create_subscription(JointState, "joint_states", self._on_joint_state, qos_profile_sensor_data)
        self._say(STANDS)

    def _on_table(self, message: String) -> None:
        try:
            self._expert.show(message.data)
        except JackError as error:
            self.get_logger().error(str(error), throttle_duration_sec=1.0)
            return
        self._tell()

    def _on_odometry(self, message: Odometry) -> None:
        p, q = message.pose.pose.position, message.pose.pose.orientation
        self._expert.place(np.array([p.x, p.y, p.z]), np.array([q.x, q.y, q.z, q.w]))

    def _on_instruction(self, message: String) -> None:
        self._untold = message.data
        self._tell()

    def _tell(self) -> None:
        """Tell him what was asked for, once it is known what lies where."""
        if self._untold is None:
            return
        goal = meaning(self._untold)
        if goal is not None and goal.skill.names_thing and not self._expert.informed:
            self._say(f"{goal}: he waits until he is told what lies on the table")
            return
        self._say(self._expert.tell(self._untold))
        self._untold = None

    def _on_imu(self, message: Imu) -> None:
        self._pairing.put_imu(message)
        self._take()

    def _on_joint_state(self, message: JointState) -> None:
        self._pairing.put_joint_state(message)
        self._take()

    def _take(self) -> None:
        pair = self._pairing.take()
        if pair is not None:
            self._answer(pair)

    def _answer(self, pair: Pair) -> None:
        try:
            state = self._reader.read(pair.joint_state, pair.imu)
        except JackError as error:
            self.get_logger().error(str(error), throttle_duration_sec=1.0)
            return
        if not pair.again:
            expert, robot = self._expert, self._robot
            targets = expert.tick(state)
            fill_joint_command(self._command, robot, JointCommand.RUN, targets, robot.stiffness, robot.damping)
            velocity = self._velocity
            velocity.linear.x, velocity.linear.y, velocity.angular.z = expert.velocity.tolist()
            self._velocities.publish(velocity)  # before the command that it belongs to
            if expert.goal is not None and expert.succeeded:
                self._say(says_done(expert.goal))
        self._command.header.stamp = pair.joint_state.header.stamp
        self._commands.publish(self._command)

    def _say(self, words: str) -> None:
        """Tell what he does, once."""
        if words != self._said:
            self._said = words
            self._status.publish(String(data=words))
            self.get_logger().info(words)


def main() -> int:
    """Run the node until it is told to end."""
    ending = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: ending.set())
    rclpy.init(signal_handler_options=SignalHandlerOptions.NO)
    node: Node | None = None
    try:
        node = ExpertNode()
        executor = EventsExecutor()
        executor.add_node(node)
        while not ending.is_set():  # spin() without a time-out burns a core (rclpy 7.1)
            executor.spin_once(timeout_sec=0.2)
    except ExternalShutdownException:
        pass
    except (JackError, ParameterException) as error:
        print(f"expert: {error}", file=sys.stderr)
        return 1
    finally:
        if node is not None:
            node.destroy_node()
        try_shutdown()
    return 0


if __name__ == "__main__":
    sys.exit(main())
