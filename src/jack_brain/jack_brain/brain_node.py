"""The node `brain`: parameters, topics, services, clocks and the life cycle. What it decides is in pilot.py."""

from __future__ import annotations

import gc
import signal
import sys
import threading
import time
from pathlib import Path

import numpy as np
import rcl_interfaces.msg
import rclpy
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus, KeyValue
from geometry_msgs.msg import Twist
from jack_msgs.msg import BrainStatus, JointCommand
from jack_msgs.msg import Policy as PolicyMessage
from rclpy.clock import Clock
from rclpy.clock_type import ClockType
from rclpy.exceptions import ParameterException
from rclpy.executors import Executor, ExternalShutdownException, SingleThreadedExecutor
from rclpy.experimental.events_executor import EventsExecutor
from rclpy.lifecycle import LifecycleNode, LifecycleState, TransitionCallbackReturn
from rclpy.qos import DurabilityPolicy, QoSProfile, ReliabilityPolicy, qos_profile_sensor_data
from rclpy.signals import SignalHandlerOptions
from rclpy.utilities import try_shutdown
from sensor_msgs.msg import Imu, JointState
from std_msgs.msg import Header, String
from std_srvs.srv import Trigger

from jack_brain.examiner import Examiner, Offer
from jack_brain.latency import LatencyWindow
from jack_brain.loader_node import LoaderNode
from jack_brain.parameters import BrainParameters
from jack_brain.pilot import Decision, Pilot
from jack_brain.policy import Policy
from jack_brain.readings import Pair, Pairing
from jack_brain.safety import Mode
from jack_contract.contract import default_contract
from jack_contract.errors import JackError, MessageError, NonFiniteError
from jack_contract.parameters import declare
from jack_contract.wire import StateReader, fill_joint_command, seconds

SENSOR = qos_profile_sensor_data
COMMAND = QoSProfile(depth=1, reliability=ReliabilityPolicy.RELIABLE)
LATCHED = QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL, reliability=ReliabilityPolicy.RELIABLE)
#: Wall-clock time between two messages of each kind [s].
STATUS_PERIOD, DIAGNOSTICS_PERIOD = 0.2, 1.0
_SUCCESS = TransitionCallbackReturn.SUCCESS


class BrainNode(LifecycleNode):
    """Drives one robot. Inactive it examines policies; active it commands the joints."""

    def __init__(self) -> None:
        """Declare the parameters; nothing else happens before the node is configured.

        Raises:
            JackError: a parameter that is not allowed.
        """
        super().__init__("brain")
        self.parameters = declare(self, BrainParameters, rcl_interfaces.msg)
        self._simulated = bool(self.get_parameter("use_sim_time").value)
        self._steady = Clock(clock_type=ClockType.STEADY_TIME)
        self.examiner: Examiner | None = None
        self._loader: LoaderNode | None = None

    # -- the life cycle

    def start(self) -> bool:
        """Configure and activate, as a manager would; returns whether it worked."""
        return self.trigger_configure() == _SUCCESS == self.trigger_activate()

    def on_configure(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Load the contract, and listen for policies."""
        contract = default_contract(self.parameters.robot)
        self._robot = contract.robot
        self.pilot = Pilot(contract, self.parameters.safety(), self.parameters.pilot())
        self._reader, self._latency = StateReader(self._robot), LatencyWindow(self._robot.control_period)
        self._last_fault, self._ticks, self._malformed = "", 0, 0
        self._command = JointCommand()
        self.examiner = Examiner(contract, self.parameters.limits(), self._accept, self._refuse)
        self._commands = self.create_lifecycle_publisher(JointCommand, "joint_command", COMMAND)
        self._status = self.create_publisher(BrainStatus, "brain/status", 10)
        self._diagnostics = self.create_publisher(DiagnosticArray, "/diagnostics", 10)
        self._listeners = [
            self.create_subscription(PolicyMessage, "policy", self._on_policy, LATCHED),
            self.create_subscription(Twist, "cmd_vel", self._on_velocity, COMMAND),
            self.create_subscription(String, "instruction", self._on_instruction, LATCHED),
        ]
        self._offered = [
            self.create_service(Trigger, "~/stop", self._on_stop),
            self.create_service(Trigger, "~/reset_fault", self._on_reset),
        ]
        self._loader = LoaderNode(self, self.examiner)
        if self.parameters.policy:
            self.examiner.submit(Offer(Path(self.parameters.policy)))
        self.get_logger().info(f"Robot '{self._robot.name}', contract {contract.digest[:12]}")
        return _SUCCESS

    def on_activate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Take over the joints: in the pose in which they are found."""
        self._pairing = Pairing(self._robot.control_period)
        self._sent = 0.0
        self.pilot.rest()
        self._sensors = [
            self.create_subscription(JointState, "joint_states", self._on_joint_state, SENSOR),
            self.create_subscription(Imu, "imu/data", self._on_imu, SENSOR),
        ]
        self._timers_ = [
            self.create_timer(self.pilot.safety.watch_period, self._watch, clock=self._steady),
            self.create_timer(STATUS_PERIOD, self._publish_status, clock=self._steady),
            self.create_timer(DIAGNOSTICS_PERIOD, self._diagnose, clock=self._steady),
        ]
        if self.parameters.trigger == "timer":
            self._timers_.append(self.create_timer(self._robot.control_period, self._take))
        gc.collect()
        gc.freeze()
        gc.disable()  # no tick waits for a collection; _diagnose collects between two ticks
        return super().on_activate(state)

    def on_deactivate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Let go of the joints: the last command damps them."""
        self._send(self.pilot.damp())
        for timer in self._timers_:
            self.destroy_timer(timer)
        for subscription in self._sensors:
            self.destroy_subscription(subscription)
        gc.enable()
        return super().on_deactivate(state)

    def on_cleanup(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Forget everything that was configured."""
        self.close()
        for listener in self._listeners:
            self.destroy_subscription(listener)
        for service in self._offered:
            self.destroy_service(service)
        for publisher in (self._commands, self._status, self._diagnostics):
            self.destroy_publisher(publisher)
        return _SUCCESS

    def on_shutdown(self, state: LifecycleState) -> TransitionCallbackReturn:
        """End the threads."""
        self.close()
        return _SUCCESS

    def close(self) -> None:
        """End the threads; may be called twice."""
        if self._loader is not None and self.examiner is not None:
            self._loader.close()
            self.examiner.close()
        self._loader = self.examiner = None

    # -- the control loop

    def _on_joint_state(self, message: JointState) -> None:
        self._pairing.put_joint_state(message)
        if self.parameters.trigger == "sensor":
            self._take()

    def _on_imu(self, message: Imu) -> None:
        self._pairing.put_imu(message)
        if self.parameters.trigger == "sensor":
            self._take()

    def _take(self) -> None:
        begun = time.perf_counter()
        pair = self._pairing.take()
        if pair is None:
            return
        if pair.again and self._ticks:
            self._commands.publish(self._command)
            return
        decision = self._decide(pair)
        if decision is not None:
            self._command.header.stamp = pair.joint_state.header.stamp
            self._send(decision)
            self._latency.add(time.perf_counter() - begun)

    def _decide(self, pair: Pair) -> Decision | None:
        try:
            state = self._reader.read(pair.joint_state, pair.imu)
            return self.pilot.tick(state, self._now(seconds(pair.joint_state.header.stamp)))
        except NonFiniteError as error:
            self.pilot.stop(str(error))
        except MessageError as error:  # as if it had not come; if no better one comes, readings are stale
            self._malformed += 1
            self.get_logger().error(str(error), throttle_duration_sec=1.0)
            return None
        except Exception as error:  # whatever it is, it must not leave the joints to themselves
            self.pilot.stop(f"The control loop failed: {type(error).__name__}: {error}")
        return self.pilot.damp()

    def _send(self, decision: Decision) -> None:
        fill_joint_command(
            self._command, self._robot, decision.mode, decision.targets, decision.stiffness, decision.damping
        )
        self._commands.publish(self._command)
        self._sent = time.monotonic()
        self._ticks += 1
        if self.pilot.safety.fault != self._last_fault:
            self._last_fault = self.pilot.safety.fault
            self.get_logger().error(f"Damped: {self._last_fault}. Call the service reset_fault to go on.")

    def _watch(self) -> None:
        decision = self.pilot.watch(self._now())
        if decision is not None and time.monotonic() - self._sent >= self._robot.control_period:
            self._send(decision)

    def _now(self, stamp: float | None = None) -> float:
        """The time by which ages are judged [s].

        On a robot it is the monotonic clock: a wall clock that is set right trips nothing, and readings with frozen
        stamps are no new ones. In a simulation it is simulated time: a pause makes nothing stale, at any speed.
        """
        if not self._simulated:
            return time.monotonic()
        return stamp if stamp is not None else self.get_clock().now().nanoseconds * 1e-9

    # -- what it hears

    def _on_policy(self, message: PolicyMessage) -> None:
        assert self.examiner is not None
        self.examiner.submit(Offer(message.uri or bytes(message.onnx), message.sha256))

    def _on_velocity(self, message: Twist) -> None:
        velocity = np.array([message.linear.x, message.linear.y, message.angular.z])
        try:
            self.pilot.command(velocity, self._now())
        except JackError as error:
            self._malformed += 1
            self.get_logger().error(str(error), throttle_duration_sec=1.0)

    def _on_instruction(self, message: String) -> None:
        self.get_logger().warning(f"No policy reads instructions yet; '{message.data[:80]}' is not followed")

    def _on_stop(self, request: Trigger.Request, response: Trigger.Response) -> Trigger.Response:
        self.pilot.stop("Stopped by the service stop")
        self._send(self.pilot.damp())
        response.success, response.message = True, "The joints are damped; reset_fault lets go on"
        return response

    def _on_reset(self, request: Trigger.Request, response: Trigger.Response) -> Trigger.Response:
        fault = self.pilot.safety.fault
        self.pilot.reset(self._now())
        self._last_fault = ""
        response.success, response.message = True, f"Cleared: {fault}" if fault else "There was no fault"
        self.get_logger().info(response.message)
        return response

    def _accept(self, policy: Policy) -> None:
        """Called in another thread."""
        self.pilot.offer(policy)
        self.get_logger().info(
            f"Policy of phase '{policy.phase}', step {policy.step:,} ({policy.sha256[:12]}) takes over; "
            f"it decides in {1e3 * policy.latency:.2f} ms"
        )

    def _refuse(self, reason: str) -> None:
        """Called in another thread."""
        self.get_logger().error(f"Policy refused: {reason}")

    # -- how it is

    def _publish_status(self) -> None:
        assert self.examiner is not None
        policy, message = self.pilot.policy, BrainStatus()
        message.header = Header(stamp=self._command.header.stamp)
        message.mode = int(self.pilot.mode)
        if isinstance(policy, Policy):
            message.policy, message.phase, message.step = policy.sha256, policy.phase, policy.step
        message.swaps, message.ticks = self.pilot.swaps, self._ticks
        message.refused, message.refusal = self.examiner.refused, self.examiner.refusal
        message.fault, message.value = self.pilot.safety.fault, self.pilot.value()
        message.latency, message.latency_max = self._latency.median_and_max()
        self._status.publish(message)

    def _diagnose(self) -> None:
        assert self.examiner is not None
        fault, mode = self.pilot.safety.fault, self.pilot.mode
        level = DiagnosticStatus.ERROR if fault else DiagnosticStatus.OK
        if not fault and mode is Mode.HOLD:
            level = DiagnosticStatus.WARN
        words = fault or ("holding the default pose: no policy yet" if mode is Mode.HOLD else "a policy drives")
        median, longest = self._latency.median_and_max()
        values = {
            "commands": self._ticks,
            "latency median [ms]": f"{1e3 * median:.3f}",
            "latency max [ms]": f"{1e3 * longest:.3f}",
            "malformed messages": self._malformed,
            "refused policies": self.examiner.refused,
        }
        pairs = [KeyValue(key=key, value=str(value)) for key, value in values.items()]
        status = DiagnosticStatus(level=level, name="brain: control", message=words, values=pairs)
        self._diagnostics.publish(
            DiagnosticArray(header=Header(stamp=self.get_clock().now().to_msg()), status=[status])
        )
        gc.collect(1)


def _executor(kind: str) -> Executor:
    return EventsExecutor() if kind == "events" else SingleThreadedExecutor()


def main() -> int:
    """Run the node until it is told to end."""
    sys.setswitchinterval(5e-4)  # a tick waits no longer than this for the thread that examines policies [s]
    ending = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):  # ours: rclpy's would raise in the middle of a callback
        signal.signal(number, lambda *_: ending.set())
    rclpy.init(signal_handler_options=SignalHandlerOptions.NO)
    node = None
    try:
        node = BrainNode()
        executor = _executor(node.parameters.executor)
        executor.add_node(node)
        if node.parameters.autostart and not node.start():
            return 1
        while not ending.is_set():  # spin() without a time-out burns a core (rclpy 7.1)
            executor.spin_once(timeout_sec=0.2)
    except ExternalShutdownException:
        pass
    except (JackError, ParameterException) as error:
        print(f"brain: {error}", file=sys.stderr)
        return 1
    finally:
        if node is not None:
            node.close()
        try_shutdown()
    return 0


if __name__ == "__main__":
    sys.exit(main())
