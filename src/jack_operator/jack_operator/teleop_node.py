"""The node `teleop`: keys of the terminal and the topic `joy` in, `cmd_vel` out. The mapping is in teleop.py."""

from __future__ import annotations

import signal
import sys
import threading
import time

import rcl_interfaces.msg
import rclpy
from geometry_msgs.msg import Twist
from jack_msgs.msg import BrainStatus
from rclpy.clock import Clock
from rclpy.clock_type import ClockType
from rclpy.exceptions import ParameterException
from rclpy.experimental.events_executor import EventsExecutor
from rclpy.node import Node
from rclpy.qos import QoSProfile, ReliabilityPolicy, qos_profile_sensor_data
from rclpy.signals import SignalHandlerOptions
from rclpy.utilities import try_shutdown
from sensor_msgs.msg import Joy
from std_srvs.srv import Trigger

from jack_contract.errors import JackError, MessageError
from jack_contract.parameters import declare
from jack_operator import panel
from jack_operator.asking import Asking
from jack_operator.keys import Key, KeyReader
from jack_operator.parameters import TeleopParameters
from jack_operator.scene import Heard
from jack_operator.teleop import Teleop, read_joy
from jack_operator.terminal import Terminal

COMMAND = QoSProfile(depth=1, reliability=ReliabilityPolicy.RELIABLE)
#: Time between two velocity commands [s].
PERIOD = 0.05
#: What the keys are, for whoever starts it.
HELP = """\
  W S, up and down      forwards, backwards        space   stop: damp the joints at once
  A D                   to the left, to the right  R       reset the fault
  Q E, left and right   turn                       Ctrl-C  end
Keep a key pressed. A gamepad steers as well: ros2 run joy joy_node; hold its dead-man button."""


class TeleopNode(Node):
    """Steers one robot."""

    def __init__(self, terminal: Terminal) -> None:
        """Listen to a terminal and to a gamepad.

        Raises:
            JackError: a parameter that is not allowed.
        """
        super().__init__("teleop")
        self.parameters = declare(self, TeleopParameters, rcl_interfaces.msg)
        self._terminal, self._keys = terminal, KeyReader()
        self._teleop = Teleop(self.parameters)
        self._stop_was, self._said = False, ""
        self._brain: Heard[BrainStatus] = Heard()
        self._velocities = self.create_publisher(Twist, "cmd_vel", COMMAND)
        self.create_subscription(Joy, "joy", self._on_joy, qos_profile_sensor_data)
        self.create_subscription(BrainStatus, "brain/status", self._on_brain, qos_profile_sensor_data)
        names = ("brain/stop", "brain/reset_fault", "driver/reset")
        self._doors = [Asking(self.create_client(Trigger, name), name, self._tell) for name in names]
        self._stop, self._reset, self._reset_driver = self._doors
        self.create_timer(PERIOD, self._proceed, clock=Clock(clock_type=ClockType.STEADY_TIME))

    def _on_joy(self, message: Joy) -> None:
        try:
            sticks = read_joy(message.axes, message.buttons, self.parameters)
        except MessageError as error:
            self._tell(str(error), good=False)
            return
        now = time.monotonic()
        self._teleop.move(sticks, now)
        if sticks.stop and not self._stop_was:
            self._stop.ask(Trigger.Request(), now)
        self._stop_was = sticks.stop

    def _on_brain(self, message: BrainStatus) -> None:
        self._brain.put(message, time.monotonic())

    def _tell(self, text: str, good: bool) -> None:
        if text != self._said or good:
            self._terminal.say(text)
        self._said = text

    def _proceed(self) -> None:
        now = time.monotonic()
        if self.parameters.keyboard:
            for key in self._keys.read(self._terminal.read()):
                self._on_key(key, now)
        for service in self._doors:
            service.proceed(now)
        velocity = self._teleop.velocity(now)
        if velocity is not None:
            message = Twist()
            message.linear.x, message.linear.y, message.angular.z = velocity.tolist()
            self._velocities.publish(message)
        self._terminal.line(f"{panel.velocity(velocity)}   {panel.state(self._brain.get(now)).text}")

    def _on_key(self, key: Key, now: float) -> None:
        self._teleop.press(key, now)
        if key is Key.STOP:
            self._stop.ask(Trigger.Request(), now)
        elif key is Key.RESET:
            self._reset.ask(Trigger.Request(), now)
            if self._reset_driver.there:  # a robot without a driver of its own has none to reset
                self._reset_driver.ask(Trigger.Request(), now)


def main() -> int:
    """Run the node until it is told to end."""
    ending = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda *_: ending.set())
    rclpy.init(signal_handler_options=SignalHandlerOptions.NO)
    try:
        with Terminal() as terminal:
            node = TeleopNode(terminal)
            executor = EventsExecutor()
            executor.add_node(node)
            terminal.say(HELP if terminal.there else "teleop: no terminal here, only a gamepad steers")
            while not ending.is_set():
                executor.spin_once(timeout_sec=0.2)
    except (JackError, ParameterException) as error:
        print(f"teleop: {error}", file=sys.stderr)
        return 1
    finally:
        try_shutdown()
    return 0


if __name__ == "__main__":
    sys.exit(main())
