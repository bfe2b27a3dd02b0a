"""The node `brain`: parameters, topics, services, clocks and the life cycle. What it decides is in pilot.py."""

from __future__ import annotations

import gc
import secrets
import sys
import time
from array import array
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import rcl_interfaces.msg
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus, KeyValue
from geometry_msgs.msg import Twist
from jack_msgs.msg import BrainStatus, JointCommand, Timing
from jack_msgs.msg import Policy as PolicyMessage
from rclpy.clock import Clock
from rclpy.clock_type import ClockType
from rclpy.executors import Executor, SingleThreadedExecutor
from rclpy.experimental.events_executor import EventsExecutor
from rclpy.lifecycle import LifecycleNode, LifecycleState, TransitionCallbackReturn
from rclpy.qos import DurabilityPolicy, QoSProfile, ReliabilityPolicy, qos_profile_sensor_data
from sensor_msgs.msg import Image, Imu, JointState
from std_msgs.msg import Header, String
from std_srvs.srv import Trigger

from jack_brain import realtime
from jack_brain.examiner import Examiner, Offer
from jack_brain.gaze import Follower, Gaze
from jack_brain.latency import TickTimes
from jack_brain.loader_node import LoaderNode
from jack_brain.parameters import BrainParameters
from jack_brain.pictures import read_sentence
from jack_brain.pilot import Decision, Pilot
from jack_brain.policy import Policy
from jack_brain.process_node import run
from jack_brain.readings import Pair, Pairing
from jack_brain.realtime import RealTime
from jack_brain.safety import Rung, State, Trip
from jack_brain.shadow import AUTO
from jack_contract.contract import default_contract
from jack_contract.errors import JackError, MessageError, NonFiniteError
from jack_contract.instruction import default_tokenizer
from jack_contract.parameters import declare
from jack_contract.robot import RobotSpec
from jack_contract.wire import StateReader, doubles, fill_joint_command, seconds

SENSOR = qos_profile_sensor_data
COMMAND = QoSProfile(depth=1, reliability=ReliabilityPolicy.RELIABLE)
LATCHED = QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL, reliability=ReliabilityPolicy.RELIABLE)
#: Wall-clock time between two messages of each kind; timing goes with diagnostics [s].
STATUS_PERIOD, DIAGNOSTICS_PERIOD = 0.2, 1.0
#: What each state means, in words.
_WORDS = {
    State.UNCONFIGURED: "not in command",
    State.HOLDING: "holding the default pose: no policy yet",
    State.BLENDING: "a policy takes over",
    State.RUNNING: "a policy drives",
}
_RUNGS = {
    Rung.FULL: "everything is current",
    Rung.PROPRIOCEPTION: "no current picture",
    Rung.HOLD: "readings are late",
    Rung.DAMP: "readings are stale",
}
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
        self._contract = default_contract(self.parameters.robot)
        self._robot = self._contract.robot
        self._simulated = bool(self.get_parameter("use_sim_time").value)
        self._steady = Clock(clock_type=ClockType.STEADY_TIME)
        self.examiner: Examiner | None = None
        self._loader: LoaderNode | None = None
        self._gaze: Gaze | None = None

    # -- the life cycle

    def start(self) -> bool:
        """Configure and activate, as a manager would; returns whether it worked."""
        return self.trigger_configure() == _SUCCESS == self.trigger_activate()

    def on_configure(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Load the contract, and listen for policies."""
        given, simulated, contract = self.parameters, self._simulated, self._contract
        limits, config = given.safety(simulated), given.pilot(simulated)
        self.pilot = Pilot(contract, limits, config, given.succession(), given.camera)
        banned = self.pilot.succession.refused
        self._reader = StateReader(hardware(self._robot, given.prefix))
        self._times = TickTimes(self._robot.control_period)
        self._ticks = self._malformed = 0
        self._complaint, self._told = "", list[str]()
        self._command, self._session, self._realtime = JointCommand(), 0, RealTime()
        self.examiner = Examiner(contract, given.limits(), self._accept, self._refuse, banned)
        if given.camera:
            saw, intend = self.pilot.safety.saw, self.pilot.intend
            self._gaze = Gaze(contract, default_tokenizer(), self._follower, saw, intend)
        self._commands = self.create_lifecycle_publisher(JointCommand, "joint_command", COMMAND)
        self._status = self.create_publisher(BrainStatus, "brain/status", 10)
        self._timing = self.create_publisher(Timing, "brain/timing", 10)
        self._diagnostics = self.create_publisher(DiagnosticArray, "/diagnostics", 10)
        self._attention = self.create_publisher(Image, "brain/attention", 10)
        self._listeners = [
            self.create_subscription(PolicyMessage, "policy", self._on_policy, LATCHED),
            self.create_subscription(Twist, "cmd_vel", self._on_velocity, COMMAND),
            # Not unpacked: a text that is no UTF-8 would end the executor.
            self.create_subscription(String, "instruction", self._on_instruction, LATCHED, raw=True),
        ]
        self._offered = [
            self.create_service(Trigger, "~/stop", self._on_stop),
            self.create_service(Trigger, "~/reset_fault", self._on_reset),
            self.create_service(Trigger, "~/promote", self._on_promote),
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
        self._session = 1 + secrets.randbelow(2**64 - 1)
        self._times.rest()
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
        if self.parameters.camera:
            self._sensors.append(
                self.create_subscription(Image, "camera/image_raw", self._on_image, SENSOR, raw=True)
            )
        if self.parameters.trigger == "timer":
            self._timers_.append(self.create_timer(self._robot.control_period, self._take, clock=self._steady))
        self._enter_real_time()
        gc.collect()
        gc.freeze()
        gc.disable()  # no tick waits for a collection; _diagnose collects between two ticks
        return super().on_activate(state)

    def on_deactivate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Let go of the joints: the last command damps them."""
        self._send(self.pilot.damp(), self._now())
        self.pilot.rest()
        if self._realtime != RealTime():
            realtime.leave()
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
        for publisher in (self._commands, self._status, self._timing, self._diagnostics, self._attention):
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
        if self._gaze is not None:
            self._gaze.close()
        self._loader = self.examiner = self._gaze = None

    def _enter_real_time(self) -> None:
        wanted = self.parameters.realtime
        if wanted == "always" or (wanted == "auto" and not self._simulated):
            advised, self._realtime = self._realtime.advice, realtime.enter()
            if self._realtime.advice and not advised:
                self.get_logger().warning(self._realtime.advice)

    # -- the control loop

    def _on_joint_state(self, message: JointState) -> None:
        self._pairing.put_joint_state(message)
        if self.parameters.trigger == "sensor":
            self._take()

    def _on_imu(self, message: Imu) -> None:
        self._pairing.put_imu(message)
        if self.parameters.trigger == "sensor":
            self._take()

    def _on_image(self, data: bytes) -> None:
        if self._gaze is not None:
            self._gaze.see(data, self._now())

    def _take(self) -> None:
        begun = time.perf_counter()
        pair = self._pairing.take()
        if pair is None:
            return
        if pair.again and self._ticks:
            self._commands.publish(self._command)
            return
        now = self._now(seconds(pair.joint_state.header.stamp))
        decision = self._decide(pair, now)
        if decision is not None:
            self._command.header.stamp = pair.joint_state.header.stamp
            self._send(decision, now)
            self._times.add(time.perf_counter() - begun, self._sent)
            self.pilot.shadow(now)

    def _decide(self, pair: Pair, now: float) -> Decision | None:
        try:
            state = self._reader.read(pair.joint_state, pair.imu)
            return self.pilot.tick(state, now)
        except NonFiniteError as error:
            self.pilot.safety.trip(Trip.NOT_FINITE, str(error))
        except MessageError as error:  # as if it had not come; if no better one comes, readings are stale
            self._complain(error)
            return None
        except Exception as error:  # whatever it is, it must not leave the joints to themselves
            self.pilot.safety.trip(Trip.CONTROL, f"The control loop failed: {type(error).__name__}: {error}")
        return self.pilot.damp()

    def _send(self, decision: Decision, now: float) -> None:
        """Command the joints; `now` is the time of the decision, on the clock of `_now` [s]."""
        fill_joint_command(
            self._command,
            self._robot,
            decision.mode,
            decision.targets,
            decision.stiffness,
            decision.damping,
            self._session,
        )
        self._commands.publish(self._command)
        self._sent = time.monotonic()
        self.pilot.safety.sent(now if self._simulated else self._sent)
        self._ticks += 1

    def _watch(self) -> None:
        now = self._now()
        decision = self.pilot.watch(now)
        if decision is not None and time.monotonic() - self._sent >= self._robot.control_period:
            self._send(decision, now)

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
            self._complain(error)

    def _complain(self, error: JackError) -> None:
        """Count a message that says nothing usable; `_diagnose` logs the newest: no tick waits for a log."""
        self._malformed += 1
        self._complaint = str(error)

    def _on_instruction(self, data: bytes) -> None:
        try:
            text = read_sentence(data)
        except MessageError as error:
            self._complain(error)
            return
        if self._gaze is None:
            self.get_logger().warning("A sentence is not followed: he sees nothing. Start with camera:=true")
        elif odd := self._gaze.hear(text):
            self.get_logger().warning(odd)

    def _follower(self) -> Follower | None:
        """The policy that drives, if it is one that may follow sentences; called in another thread."""
        policy = self.pilot.policy
        return policy if isinstance(policy, Policy) else None

    def _on_stop(self, request: Trigger.Request, response: Trigger.Response) -> Trigger.Response:
        self.pilot.stop("Stopped by the service stop")
        self._send(self.pilot.damp(), self._now())
        response.success, response.message = True, "The joints are damped; reset_fault lets go on"
        return response

    def _on_reset(self, request: Trigger.Request, response: Trigger.Response) -> Trigger.Response:
        fault = self.pilot.safety.fault
        self.pilot.reset(self._now())
        response.success, response.message = True, f"Cleared: {fault}" if fault else "There was no fault"
        self.get_logger().info(response.message)
        return response

    def _on_promote(self, request: Trigger.Request, response: Trigger.Response) -> Trigger.Response:
        try:
            response.message = f"The policy {self.pilot.succession.promote()} takes over"
            response.success = True
        except JackError as error:
            response.message = str(error)
        self.get_logger().info(response.message)
        return response

    def _accept(self, policy: Policy) -> None:
        """Called in another thread."""
        given = self.parameters
        untried = self.pilot.policy is None or (given.promote == AUTO and given.trial == 0)
        self.pilot.offer(policy)
        self.get_logger().info(
            f"Policy of phase '{policy.phase}', step {policy.step:,} ({policy.sha256[:12]}) "
            f"{'takes over' if untried else 'goes on trial'}; it decides in {1e3 * policy.latency:.2f} ms"
        )

    def _refuse(self, reason: str) -> None:
        """Called in another thread."""
        self.get_logger().error(f"Policy refused: {reason}")

    # -- how it is

    def _publish_status(self) -> None:
        assert self.examiner is not None
        pilot, safety, succession = self.pilot, self.pilot.safety, self.pilot.succession
        policy, trial, message = pilot.policy, succession.trial, BrainStatus()
        message.header = Header(stamp=self._command.header.stamp)
        message.mode, message.state = int(pilot.mode), int(safety.state)
        if isinstance(policy, Policy):
            message.policy, message.phase, message.step = policy.sha256, policy.phase, policy.step
        message.swaps, message.rollbacks, message.ticks = succession.swaps, succession.rollbacks, self._ticks
        message.refused, message.refusal = self.examiner.refused, self.examiner.refusal
        if trial is not None:
            message.shadow, message.shadow_report = trial.policy.sha256, trial.report
            message.shadow_time = trial.seconds
        message.fault, message.value, message.missed = safety.fault, pilot.value(), safety.deadlines.missed
        message.latency, message.latency_max = self._times.median_and_max()
        self._status.publish(message)
        self._publish_attention(message.header)
        self._log_news()

    def _publish_attention(self, header: Header) -> None:
        """Where in the picture the sentence points, as a small grey picture; nothing where none is followed."""
        weights = self._gaze.sight.attention if self._gaze is not None else None
        if weights is not None:
            grey = np.rint(255.0 * weights / max(float(weights.max()), 1e-9)).astype(np.uint8)
            height, width = grey.shape
            message = Image(header=header, height=height, width=width, encoding="mono8", step=width)
            message.data = array("B", grey.tobytes())
            self._attention.publish(message)

    def _log_news(self) -> None:
        """Say what has changed since the last time; here and not in a tick, which waits for no log."""
        safety, succession = self.pilot.safety, self.pilot.succession
        trial, bad, good = succession.trial, list[str](), list[str]()
        if safety.fault:
            bad.append(f"Damped: {safety.fault}. Call the service reset_fault to go on.")
        for sha256, reason in succession.refused.items():
            bad.append(f"The policy {sha256[:12]} is taken back, and refused from now on: {reason}")
        if trial is not None and (trial.complaint or trial.ready):
            line = f"The policy on trial, {trial.policy.sha256[:12]}: {trial.report}"
            (bad if trial.complaint else good).append(line)
        for line in bad:
            if line not in self._told:
                self.get_logger().error(line)
        for line in good:
            if line not in self._told:
                self.get_logger().info(line)
        self._told = bad + good

    def _diagnose(self) -> None:
        if self._complaint:
            self.get_logger().error(self._complaint)
            self._complaint = ""
        header = Header(stamp=self.get_clock().now().to_msg())
        self._diagnostics.publish(
            DiagnosticArray(header=header, status=[self._control(), self._safety(), *self._sight()])
        )
        self._publish_timing(header)
        gc.collect(1)

    def _control(self) -> DiagnosticStatus:
        """How the control loop is."""
        assert self.examiner is not None
        pilot, succession = self.pilot, self.pilot.succession
        fault, state = pilot.safety.fault, pilot.safety.state
        median, longest = self._times.median_and_max()
        values = {
            "commands": self._ticks,
            "latency median [ms]": f"{1e3 * median:.3f}",
            "latency max [ms]": f"{1e3 * longest:.3f}",
            "missed deadlines": pilot.safety.deadlines.missed,
            "real time": self._realtime.fifo,
            "memory locked": self._realtime.locked,
            "malformed messages": self._malformed,
            "refused policies": self.examiner.refused,
            "policies taken back": succession.rollbacks,
            "policy on trial": succession.trial.report if succession.trial is not None else "none",
        }
        waits = state in (State.UNCONFIGURED, State.HOLDING)
        level = DiagnosticStatus.ERROR if fault else DiagnosticStatus.WARN if waits else DiagnosticStatus.OK
        return self._diagnostic("control", level, fault or _WORDS[state], values)

    def _safety(self) -> DiagnosticStatus:
        """What damped the joints, how often, and how much can be relied on."""
        safety = self.pilot.safety
        rung = safety.rung(self._now())
        values = {
            "state": safety.state.name,
            "readings and pictures": _RUNGS[rung],
            "last fault": safety.last_fault or "none",
            "late readings": safety.late,
            "targets cut [ticks]": safety.cut,
            **{f"trips: {kind}": count for kind, count in safety.trips.items()},
        }
        level = DiagnosticStatus.ERROR if safety.fault else DiagnosticStatus.WARN if rung else DiagnosticStatus.OK
        return self._diagnostic("safety", level, safety.fault or _RUNGS[rung], values)

    def _sight(self) -> list[DiagnosticStatus]:
        """What he sees, is told and does about it; nothing where no camera is watched."""
        if self._gaze is None:
            return []
        now = self._now()
        sight, arms, rung = self._gaze.sight, self.pilot.arms, self.pilot.safety.rung(now)
        values = {
            "sentence": sight.sentence or "none",
            "sentences heard": sight.heard,
            "followed": "no" if sight.attention is None else "yes",
            "misheard": sight.misheard or "nothing",
            "arms follow it [share]": f"{arms.share:.2f}",
            "done, as he thinks [share]": f"{arms.progress:.2f}",
            "pictures seen": sight.seen,
            "pictures refused": sight.refused,
            "from picture to intent [ms]": f"{1e3 * sight.took:.1f}",
            "same picture for [s]": f"{sight.same:.1f}",
        }
        lost = _RUNGS[Rung.PROPRIOCEPTION] if rung is Rung.PROPRIOCEPTION else ""
        words = (sight.trouble if now - sight.at < DIAGNOSTICS_PERIOD else "") or lost
        level = DiagnosticStatus.WARN if words else DiagnosticStatus.OK
        return [self._diagnostic("sight", level, words or "pictures are seen", values)]

    def _diagnostic(self, part: str, level: bytes, words: str, values: Mapping[str, object]) -> DiagnosticStatus:
        """How one part of the brain is; there may be another robot's beside it."""
        pairs = [KeyValue(key=key, value=str(value)) for key, value in values.items()]
        owner = f"{self.get_namespace().rstrip('/')}/{self._robot.name}"
        return DiagnosticStatus(level=level, name=f"brain: {part}", message=words, hardware_id=owner, values=pairs)

    def _publish_timing(self, header: Header) -> None:
        seen, deadlines = self._times.punctuality(), self.pilot.safety.deadlines
        message = Timing(header=header, period=self._robot.control_period)
        message.edges = doubles(self._times.edges)
        message.latency, message.interval = (array("Q", row.tobytes()) for row in (seen.latency, seen.interval))
        message.latency_p50, message.latency_p99, message.latency_p999 = seen.p50, seen.p99, seen.p999
        message.latency_max, message.ticks = seen.longest, self._times.count
        message.missed, message.missed_in_a_row = deadlines.missed, deadlines.in_a_row
        message.realtime, message.memory_locked = self._realtime.fifo, self._realtime.locked
        self._timing.publish(message)


def hardware(robot: RobotSpec, prefix: str) -> RobotSpec:
    """The robot with the names that its hardware gives its joints."""
    return replace(robot, joints=tuple(replace(joint, name=prefix + joint.name) for joint in robot.joints))


def _executor(kind: str) -> Executor:
    return EventsExecutor() if kind == "events" else SingleThreadedExecutor()


def main() -> int:
    """Run the node until it is told to end."""
    sys.setswitchinterval(5e-4)  # a tick waits no longer than this for the thread that examines policies [s]
    return run("brain", BrainNode, lambda node: _executor(node.parameters.executor))


if __name__ == "__main__":
    sys.exit(main())
