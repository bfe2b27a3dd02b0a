"""A walk on what he believes to be hardware, while faults of every kind are injected: one every few seconds.

What simulates the robot is hidden behind a relay: his sensors reach brain and driver only as this process lets
them, with noise of their own; there is neither ground truth nor a clock of his, and his motors hear nothing but the
driver. Whatever is sent to them is checked, every message. A fault has a bound: damped within so long, or not
damped at all.

    python test/chaos.py --minutes 10     prints what each fault led to
"""

from __future__ import annotations

import os
import random
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import tyro
from geometry_msgs.msg import Twist
from jack_msgs.msg import DriverStatus, JointCommand, Policy
from rcl_interfaces.msg import Parameter, ParameterType, ParameterValue
from rcl_interfaces.srv import SetParameters
from rclpy.qos import DurabilityPolicy, QoSProfile, ReliabilityPolicy, qos_profile_sensor_data
from sensor_msgs.msg import Imu, JointState
from std_srvs.srv import Trigger

from jack_contract.contract import default_contract
from jack_contract.testing import ros_domain
from jack_launch.description import NodeSpec
from jack_launch.graphs import DEPLOY, PRETRAINED
from jack_trainer.console_node import Connection
from jack_trainer.session import STANDING
from jack_trainer.supervisor import Supervisor

LATCHED = QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL, reliability=ReliabilityPolicy.RELIABLE)
#: How long he may take to be on his feet again [s].
PATIENCE = 60.0
#: He walks for so long before the next fault, at least and at most [s].
PAUSE = (1.0, 4.0)
#: He is damped after so long without readings [s]. Where none came through this process, which passes them on, for
#: as long, that is right: it, or the simulation before it, was held up by whoever else computes.
LATE = 0.04
#: On top of each bound: this process hears of it as one of many on two cores [s].
SLACK = 0.05
_SENSORS = {"joint_states": JointState, "imu/data": Imu}
_SPEED = 0.4
#: The simulation picks him up by itself, but it is for this process to say that all is well again.
_OWN_RESETS = tuple((name, f"hidden/{name}") for name in ("brain/reset_fault", "driver/reset"))
#: Standard deviations of what the relay adds to joints [rad], [rad/s] and gyroscope [rad/s].
_NOISE = 0.003, 0.1, 0.05


@dataclass(frozen=True)
class Fault:
    """Something that goes wrong."""

    name: str
    inject: Callable[[Chaos], None]
    #: he is damped within this [s]; None: he must not be
    damped: float | None
    #: he may be damped or not: both are right
    either: bool = False


@dataclass
class Outcome:
    """What a fault led to."""

    name: str
    #: until he was damped [s]; None: he was not
    took: float | None
    #: what is wrong with that; empty if nothing is
    wrong: str = ""


@dataclass
class Chaos:
    """The walk. Use `run`."""

    specs: tuple[NodeSpec, ...]
    logs: Path
    random: random.Random
    outcomes: list[Outcome] = field(default_factory=list)
    #: what commands to the motors broke, and how often
    violations: Counter[str] = field(default_factory=Counter)
    #: commands to the motors that were checked
    commands: int = 0

    def __post_init__(self) -> None:
        self.robot = default_contract().robot

    def run(self, seconds: float) -> None:
        """Walk for so long; an AssertionError says what did not hold."""
        sim, driver, brain = self.specs
        self._hidden = tuple((name, f"hidden/{name}") for name in _SENSORS)
        sim = replace(sim, remappings=(*sim.remappings, *self._hidden, *_OWN_RESETS))
        hardware = {"use_sim_time": False}
        driver = replace(driver, parameters={**driver.parameters, **hardware})
        self._brain = replace(
            brain, lifecycle=False, parameters={**brain.parameters, **hardware, "autostart": True}
        )
        lasting = sim, driver
        with Supervisor(lasting, self.logs) as self._supervisor, Connection(lasting) as self._connection:
            self._node = self._connection.node
            self._listen()
            self._start_brain()
            try:
                self._walk(seconds)
            finally:
                self._brain_alone.stop()

    # -- the relay

    def _listen(self) -> None:
        self._silent_until = self._frozen_until = self._nan_until = 0.0
        self._held: dict[str, Any] = {}
        self._relayed_at: dict[str, float] = {}
        self._gap = 0.0
        self._damped_at: float | None = None
        self._driver: DriverStatus | None = None
        self._clients: dict[str, Any] = {}
        self._relays = {}
        for name, kind in _SENSORS.items():
            self._relays[name] = self._node.create_publisher(kind, name, qos_profile_sensor_data)
            self._node.create_subscription(
                kind,
                f"hidden/{name}",
                lambda message, name=name: self._relay(name, message),
                qos_profile_sensor_data,
            )
        self._node.create_subscription(JointCommand, "hardware/joint_command", self._on_command, 10)
        self._node.create_subscription(DriverStatus, "driver/status", self._on_driver, 10)
        self._intruder = self._node.create_publisher(JointCommand, "joint_command", 1)
        self._velocities = self._node.create_publisher(Twist, "cmd_vel", 1)
        self._policies = self._node.create_publisher(Policy, "policy", LATCHED)

    def _relay(self, name: str, message: Any) -> None:
        now = time.monotonic()
        if now < self._silent_until:
            return
        if now >= self._frozen_until or name not in self._held:
            self._held[name] = self._noisy(message, now)
        self._gap = max(self._gap, now - self._relayed_at.get(name, now))
        self._relayed_at[name] = now
        self._relays[name].publish(self._held[name])

    def _noisy(self, message: Any, now: float) -> Any:
        """A reading as a worse sensor would give it."""
        position, velocity, turn = _NOISE
        if isinstance(message, Imu):
            for axis in "xyz":
                rate = getattr(message.angular_velocity, axis)
                setattr(message.angular_velocity, axis, rate + self.random.gauss(0.0, turn))
            return message
        message.position = [value + self.random.gauss(0.0, position) for value in message.position]
        message.velocity = [value + self.random.gauss(0.0, velocity) for value in message.velocity]
        if now < self._nan_until:
            message.velocity[3] = float("nan")
        return message

    def _on_driver(self, message: DriverStatus) -> None:
        self._driver = message

    def _on_command(self, message: JointCommand) -> None:
        self.commands += 1
        if message.mode == JointCommand.DAMP and self._damped_at is None:
            self._damped_at = time.monotonic()
        elif message.mode != JointCommand.DAMP:
            self._damped_at = None
        self.violations.update(self.broken(message))

    def broken(self, message: JointCommand) -> list[str]:
        """What a command to the motors breaks."""
        robot, broken = self.robot, []
        numbers = np.array([message.position, message.stiffness, message.damping])
        if tuple(message.name) != robot.joint_names or numbers.shape != (3, robot.count):
            return ["names"]
        if not np.isfinite(numbers).all():
            broken.append("a number")
        position, stiffness, damping = numbers
        if (
            message.mode != JointCommand.DAMP
            and ((position < robot.lower - 1e-6) | (position > robot.upper + 1e-6)).any()
        ):
            broken.append("a position limit")
        if (stiffness > robot.stiffness + 1e-6).any() or (damping > robot.damping + 1e-6).any():
            broken.append("a gain")
        if message.mode == JointCommand.DAMP and stiffness.any():
            broken.append("damping")
        return broken

    # -- the walk

    def _walk(self, seconds: float) -> None:
        self._stand_again()
        self._node.drive((_SPEED, 0.0, 0.0))
        deadline = time.monotonic() + seconds
        faults: list[Fault] = []
        while time.monotonic() < deadline:
            self._connection.listen(self.random.uniform(*PAUSE))
            if self._node.sight.gantry != STANDING or self._damped_at is not None:
                self._stand_again()  # he fell by himself: pushed by nobody, but met by a fault before
                continue
            if not faults:  # every one of them comes before any comes again
                faults = self.random.sample(FAULTS, len(FAULTS))
            self._meet(faults.pop())

    def _meet(self, fault: Fault) -> None:
        begun, self._damped_at, self._gap = time.monotonic(), None, 0.0
        fault.inject(self)
        watched = 1.2 if fault.damped is None else max(1.0, 2 * fault.damped)
        while time.monotonic() < begun + watched and self._damped_at is None:
            self._connection.listen(0.01)
        took = None if self._damped_at is None else self._damped_at - begun
        outcome = Outcome(fault.name, took)
        if fault.damped is None and took is not None and not fault.either:
            self._connection.listen(0.3)  # until it is known why
            if not ("No new sensor readings" in self._why() and self._gap > LATE):
                outcome.wrong = f"damped: {self._why()}; readings came after {self._gap:.3f} s"
        elif fault.damped is not None and (took is None or took > fault.damped + SLACK):
            outcome.wrong = f"damped after {took}, not within {fault.damped} s"
        dead = self._supervisor.poll()
        if dead:
            outcome.wrong += "; ".join(map(str, dead))
        self.outcomes.append(outcome)
        if took is not None:
            self._stand_again()

    def _why(self) -> str:
        brain = self._node.sight.brain
        return f"brain '{brain.fault if brain else ''}', driver '{self._driver.fault if self._driver else ''}'"

    def _stand_again(self) -> None:
        """Everything that a person would do after a fault, until he stands on his own feet."""
        deadline, asked = time.monotonic() + PATIENCE, 0.0
        while not (self._node.sight.gantry == STANDING and self._damped_at is None and self.commands):
            assert time.monotonic() < deadline, (
                f"he is not on his feet again: {self._node.sight.live(0)}, {self._why()}"
            )
            if time.monotonic() > asked + 1.0:
                asked = time.monotonic()
                if self._brain_alone.poll():
                    self._start_brain()
                self._reset()
            self._connection.listen(0.05)
        self._connection.listen(0.5)

    def _reset(self) -> None:
        if self._driver is not None and self._driver.state == DriverStatus.DAMPING:
            self.call(Trigger, "driver/reset")
        brain = self._node.sight.brain
        if brain is not None and brain.fault and self._node.sight.gantry != STANDING:
            self.call(Trigger, "brain/reset_fault")

    def _start_brain(self) -> None:
        self._brain_alone = Supervisor([self._brain], self.logs)
        self._brain_alone.__enter__()

    def call(self, kind: Any, name: str, request: Any = None) -> Any:
        """Ask a service if it is there; the answer, or None."""
        if name not in self._clients:
            self._clients[name] = self._node.create_client(kind, name)
        client, deadline = self._clients[name], time.monotonic() + 1.0
        while not client.service_is_ready():
            if time.monotonic() > deadline:
                return None
            self._connection.listen(0.02)
        future = client.call_async(request or kind.Request())
        while not future.done() and time.monotonic() < deadline:
            self._connection.listen(0.005)
        return future.result() if future.done() else None

    # -- what goes wrong

    def readings_stop(self) -> None:
        """A cable comes loose for a third of a second."""
        self._silent_until = time.monotonic() + 0.3

    def readings_freeze(self) -> None:
        """The same readings with the same stamps again and again."""
        self._frozen_until = time.monotonic() + 0.3

    def readings_are_no_numbers(self) -> None:
        """One joint's speed is NaN."""
        self._nan_until = time.monotonic() + 0.1

    def intruder(self) -> None:
        """Somebody else commands the joints, wildly."""
        message = JointCommand(session=4711, mode=JointCommand.RUN, name=list(self.robot.joint_names))
        message.stiffness, message.damping = self.robot.stiffness.tolist(), self.robot.damping.tolist()
        for _ in range(20):
            message.position = np.random.default_rng().uniform(self.robot.lower, self.robot.upper).tolist()
            self._intruder.publish(message)
            self._connection.listen(0.02)

    def nonsense_for_motors(self) -> None:
        """Commands with wrong names, lengths and numbers."""
        for _ in range(20):
            count = self.random.randrange(40)
            message = JointCommand(session=self.random.randrange(3), mode=self.random.randrange(256))
            message.name = [self.random.choice(self.robot.joint_names) for _ in range(count)]
            message.position = [float("inf")] * self.random.randrange(40)
            self._intruder.publish(message)

    def nonsense_readings(self) -> None:
        """Readings with wrong names, lengths and numbers, beside the true ones."""
        for _ in range(20):
            message = JointState(name=["elbow"] * self.random.randrange(40))
            message.position = [1e300] * self.random.randrange(40)
            message.header.stamp.sec = self.random.randrange(2**31)
            self._relays["joint_states"].publish(message)

    def nonsense_velocity(self) -> None:
        """A velocity command that is no number."""
        message = Twist()
        message.linear.x = float("nan")
        for _ in range(5):
            self._velocities.publish(message)

    def damaged_policy(self) -> None:
        """Somebody publishes half a file."""
        self._policies.publish(Policy(onnx=os.urandom(100_000), phase="walk", step=1))

    def bad_parameters(self) -> None:
        """Somebody sets limits that are none."""
        value = ParameterValue(type=ParameterType.PARAMETER_DOUBLE, double_value=float("nan"))
        request = SetParameters.Request(parameters=[Parameter(name="tilt_limit", value=value)])
        answer = self.call(SetParameters, "brain/set_parameters", request)
        assert answer is None or not answer.results[0].successful

    def brain_is_killed(self) -> None:
        """kill -9."""
        self._brain_alone._running[0].process.kill()

    def brain_is_stopped(self) -> None:
        """The service `stop`."""
        self.call(Trigger, "brain/stop")

    def driver_is_stopped(self) -> None:
        """The driver's."""
        self.call(Trigger, "driver/stop")

    def machine_is_busy(self) -> None:
        """Somebody else computes, for half a second, as politely as anybody."""
        words = "import time; end = time.monotonic() + 0.5\nwhile time.monotonic() < end: pass"
        self._busy = [subprocess.Popen([sys.executable, "-S", "-c", words]) for _ in range(2)]


FAULTS = (
    Fault("readings stop", Chaos.readings_stop, 0.06 + 0.02),
    Fault("readings freeze", Chaos.readings_freeze, 0.06 + 0.02),
    Fault("readings are no numbers", Chaos.readings_are_no_numbers, 0.04),
    Fault("the brain is killed", Chaos.brain_is_killed, 0.1),
    Fault("stop, of the brain", Chaos.brain_is_stopped, 0.05),
    Fault("stop, of the driver", Chaos.driver_is_stopped, 0.05),
    Fault("a second publisher of commands", Chaos.intruder, None),
    Fault("nonsense for the motors", Chaos.nonsense_for_motors, None),
    Fault("nonsense among the readings", Chaos.nonsense_readings, None),
    Fault("a velocity that is no number", Chaos.nonsense_velocity, None),
    Fault("half a policy", Chaos.damaged_policy, None),
    Fault("bad parameters", Chaos.bad_parameters, None),
    Fault("a busy machine", Chaos.machine_is_busy, None, either=True),
)


def walk(seconds: float, logs: Path, seed: int = 0) -> Chaos:
    """A walk of so many seconds in the ROS domain of this process."""
    chaos = Chaos(DEPLOY.nodes({"sim": "true", "policy": PRETRAINED}), logs, random.Random(seed))
    chaos.run(seconds)
    return chaos


def main(minutes: float = 1.0, seed: int = 0) -> int:
    """A walk while faults of every kind are injected.

    Args:
        minutes: of wall time.
        seed: of the faults' order.
    """
    with ros_domain() as domain, tempfile.TemporaryDirectory() as logs:
        os.environ |= {"ROS_DOMAIN_ID": str(domain), "ROS_AUTOMATIC_DISCOVERY_RANGE": "LOCALHOST"}
        chaos = walk(60 * minutes, Path(logs), seed)
    for fault in FAULTS:
        mine = [outcome for outcome in chaos.outcomes if outcome.name == fault.name]
        times = [outcome.took for outcome in mine if outcome.took is not None]
        longest = f", damped within {1e3 * max(times):.0f} ms" if times else ""
        wrong = "; ".join(sorted({outcome.wrong for outcome in mine if outcome.wrong}))
        print(f"{fault.name}: {len(mine)} times{longest}{'. WRONG: ' + wrong if wrong else ''}")
    print(f"{chaos.commands:,} commands to the motors, broken: {dict(chaos.violations) or 'none'}")
    return 1 if chaos.violations or any(outcome.wrong for outcome in chaos.outcomes) else 0


if __name__ == "__main__":
    sys.exit(tyro.cli(main))
