"""The node `driver`: parameters, topics, services, clocks and the life cycle. What it decides is in driver.py."""

from __future__ import annotations

import functools
import gc
import math
import sys
import time
from collections.abc import Callable
from typing import Any

import rcl_interfaces.msg
from builtin_interfaces.msg import Time
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus, KeyValue
from jack_msgs.msg import DriverStatus, JointCommand
from rclpy.clock import Clock
from rclpy.clock_type import ClockType
from rclpy.experimental.events_executor import EventsExecutor
from rclpy.lifecycle import LifecycleNode, LifecycleState, TransitionCallbackReturn
from rclpy.qos import QoSProfile, ReliabilityPolicy, qos_profile_sensor_data
from sensor_msgs.msg import JointState
from std_msgs.msg import Float64MultiArray, Header
from std_srvs.srv import Trigger
from trajectory_msgs.msg import JointTrajectory, JointTrajectoryPoint

from jack_brain.driver import DriverState, Moment
from jack_brain.driver_parameters import DriverParameters
from jack_brain.interfaces import FORWARD_COMMAND, JOINT_COMMAND, JOINT_TRAJECTORY, make_interface
from jack_brain.process_node import run
from jack_contract.arrays import Float64
from jack_contract.errors import MessageError
from jack_contract.parameters import declare
from jack_contract.wire import JointReader

SENSOR = qos_profile_sensor_data
#: To the motors the newest command counts.
COMMAND = QoSProfile(depth=1, reliability=ReliabilityPolicy.RELIABLE)
#: From the brain none is left out: a second publisher's must not push out the first one's.
COMMANDS = QoSProfile(depth=50, reliability=ReliabilityPolicy.RELIABLE)
#: Message class and topic of each interface.
HARDWARE: dict[str, tuple[Any, str]] = {
    JOINT_COMMAND: (JointCommand, "hardware/joint_command"),
    FORWARD_COMMAND: (Float64MultiArray, "hardware/commands"),
    JOINT_TRAJECTORY: (JointTrajectory, "hardware/joint_trajectory"),
}
#: Wall-clock time between two messages of each kind [s].
STATUS_PERIOD, DIAGNOSTICS_PERIOD = 0.1, 1.0
_SUCCESS = TransitionCallbackReturn.SUCCESS


def _guarded(callback: Callable[..., None]) -> Callable[..., None]:
    """Whatever goes wrong in a callback, it must not leave the motors to themselves."""

    @functools.wraps(callback)
    def guarded(self: DriverNode, *arguments: Any) -> None:  # noqa: ANN401
        try:
            callback(self, *arguments)
        except Exception as error:
            self.damp(f"The driver failed: {type(error).__name__}: {error}")

    return guarded


class DriverNode(LifecycleNode):
    """Stands between a brain and one robot's motors."""

    def __init__(self) -> None:
        """Declare and check the parameters; nothing else happens before the node is configured.

        Raises:
            JackError: a parameter that is not allowed, or joints that are not the robot's.
        """
        super().__init__("driver")
        self.parameters = declare(self, DriverParameters, rcl_interfaces.msg)
        self._simulated = bool(self.get_parameter("use_sim_time").value)
        self._steady = Clock(clock_type=ClockType.STEADY_TIME)
        self._active = False

    # -- the life cycle

    def start(self) -> bool:
        """Configure and activate, as a manager would; returns whether it worked."""
        return self.trigger_configure() == _SUCCESS == self.trigger_activate()

    def on_configure(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Make the interface to the hardware."""
        given = self.parameters
        self._robot, wiring = given.spec, given.wiring()
        self._interface = make_interface(given.interface, given.kind, wiring, JointTrajectoryPoint)
        self._reader = JointReader(wiring.robot)
        make, topic = HARDWARE[given.interface]
        self._message = make()
        self._hardware = self.create_lifecycle_publisher(make, topic, COMMAND)
        self._status = self.create_publisher(DriverStatus, "driver/status", 10)
        self._diagnostics = self.create_publisher(DiagnosticArray, "/diagnostics", 10)
        return _SUCCESS

    def on_activate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Wait for a brain, whatever was before."""
        self.driver = self.parameters.driver(self._interface.follows_readings, self._simulated)
        self._readings: Float64 | None = None
        self._malformed, self._stamp = 0, Time()
        self._sent_at = self._diagnosed_at = -math.inf
        self._said = ""
        self._listeners = [
            self.create_subscription(JointState, "joint_states", self._on_joint_state, SENSOR),
            self.create_subscription(JointCommand, "joint_command", self._on_command, COMMANDS),
        ]
        self._offered = [
            self.create_service(Trigger, "~/stop", self._on_stop),
            self.create_service(Trigger, "~/reset", self._on_reset),
        ]
        self._timers_ = [
            self.create_timer(self.driver.watch_period, self._watch, clock=self._steady),
            self.create_timer(STATUS_PERIOD, self._report, clock=self._steady),
        ]
        self._command_topic = self.resolve_topic_name("joint_command")
        gc.collect()
        gc.freeze()
        gc.disable()  # no command waits for a collection; _diagnose collects between two of them
        self.get_logger().info(f"'{self._robot.name}' waits for a brain; {self.parameters.interface}")
        self._active = True
        return super().on_activate(state)

    def on_deactivate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Let go of the joints: the last command damps them."""
        self.close()
        for timer in self._timers_:
            self.destroy_timer(timer)
        for listener in self._listeners:
            self.destroy_subscription(listener)
        for service in self._offered:
            self.destroy_service(service)
        gc.enable()
        return super().on_deactivate(state)

    def on_cleanup(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Forget everything that was configured."""
        for publisher in (self._hardware, self._status, self._diagnostics):
            self.destroy_publisher(publisher)
        return _SUCCESS

    def close(self) -> None:
        """Have the last word: damp. May be called twice."""
        if self._active:
            self.driver.stop("The driver lets go")
            self._send()
        self._active = False

    # -- between brain and motors

    @_guarded
    def _on_command(self, message: JointCommand) -> None:
        driver, now = self.driver, self._now()
        ignored = driver.ignored
        if driver.hear(message, now) is not None:
            self._stamp = message.header.stamp
            self._send()
            return
        if driver.ignored > ignored:
            self.get_logger().error(driver.trouble(now), throttle_duration_sec=1.0)
        else:
            self.get_logger().error(driver.refusal, throttle_duration_sec=1.0)

    @_guarded
    def _on_joint_state(self, message: JointState) -> None:
        try:
            self._readings = self._reader.read(message)
        except (
            MessageError
        ) as error:  # as if it had not come; if no better one comes, nobody knows where joints are
            self._malformed += 1
            self.get_logger().error(str(error), throttle_duration_sec=1.0)
            return
        self.driver.see(self._now())
        if self._interface.follows_readings:
            self._send()

    @_guarded
    def _watch(self) -> None:
        if self.driver.watch(self._now()):
            self._tell_fault()
            self._send()
        elif self._damps() and time.monotonic() - self._sent_at >= self._robot.control_period:
            self._send()

    def _damps(self) -> bool:
        """Whether the driver itself damps.

        A simulation that nobody has commanded yet is left alone: in lock-step every command moves it.
        """
        waiting = self.driver.state is DriverState.WAITING
        return self.driver.state is DriverState.DAMPING or (waiting and not self._simulated)

    def damp(self, reason: str) -> None:
        """Damp the joints until they are reset."""
        if self.driver.stop(reason):
            self._tell_fault()
        self._send()

    def _send(self) -> None:
        """Tell the motors what they are to do now."""
        readings = None if self.driver.blind(self._now()) else self._readings
        if not self._interface.fill(self._message, self.driver.order, readings):
            return
        if isinstance(self._message, JointCommand):
            self._message.header.stamp = self._stamp
        self._hardware.publish(self._message)
        self._sent_at = time.monotonic()

    def _now(self) -> Moment:
        """The time by which ages are judged [s]: nobody can set the monotonic clock.

        In a simulation what is late must be late by its time too: a pause makes nothing stale, at any speed.
        """
        if not self._simulated:
            return (time.monotonic(),)
        return time.monotonic(), self.get_clock().now().nanoseconds * 1e-9

    # -- what people ask for

    def _on_stop(self, request: Trigger.Request, response: Trigger.Response) -> Trigger.Response:
        self.damp("Stopped by the service stop")
        response.success, response.message = True, "The joints are damped; the service reset lets a brain command"
        return response

    def _on_reset(self, request: Trigger.Request, response: Trigger.Response) -> Trigger.Response:
        fault = self.driver.reset()
        response.success, response.message = True, f"Cleared: {fault}" if fault else "There was no fault"
        self.get_logger().info(response.message)
        return response

    # -- how it is

    def _tell_fault(self) -> None:
        self.get_logger().error(f"Damped: {self.driver.fault}. Call the service reset to go on.")

    @_guarded
    def _report(self) -> None:
        driver, now = self.driver, self._now()
        driver.publishers = self.count_publishers(self._command_topic)
        age = driver.age(now)
        message = DriverStatus(
            header=Header(stamp=self.get_clock().now().to_msg()),
            state=int(driver.state),
            interface=self.parameters.interface,
            fault=driver.fault,
            session=driver.session,
            passed=driver.passed,
            ignored=driver.ignored,
            refused=driver.refused,
            publishers=driver.publishers,
            age=age if math.isfinite(age) else -1.0,
        )
        self._status.publish(message)
        words = driver.fault or driver.trouble(now)
        if words != self._said or time.monotonic() - self._diagnosed_at >= DIAGNOSTICS_PERIOD:
            self._diagnose(words)

    def _diagnose(self, words: str) -> None:
        driver = self.driver
        waiting = driver.state is DriverState.WAITING
        level = DiagnosticStatus.WARN if waiting else DiagnosticStatus.OK
        values = {
            "interface": self.parameters.interface,
            "session": driver.session,
            "publishers": driver.publishers,
            "passed": driver.passed,
            "ignored": driver.ignored,
            "refused": driver.refused,
            "last refusal": driver.refusal,
            "malformed joint states": self._malformed,
        }
        status = DiagnosticStatus(
            level=DiagnosticStatus.ERROR if words else level,
            name="driver: commands",
            message=words or ("waiting for a brain" if waiting else "a brain commands"),
            hardware_id=self._robot.name,
            values=[KeyValue(key=key, value=str(value)) for key, value in values.items()],
        )
        header = Header(stamp=self.get_clock().now().to_msg())
        self._diagnostics.publish(DiagnosticArray(header=header, status=[status]))
        self._said, self._diagnosed_at = words, time.monotonic()
        gc.collect(1)


def main() -> int:
    """Run the node until it is told to end."""
    return run("driver", DriverNode, lambda _: EventsExecutor())


if __name__ == "__main__":
    sys.exit(main())
