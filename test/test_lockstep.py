"""In lock-step a seed gives the same trajectory, bit for bit, through ROS: one command, one step."""

from __future__ import annotations

import dataclasses
import time
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

pytest.importorskip("rclpy", reason="needs ROS 2 and Jack's messages: ./jack test has them")

import rclpy
from jack_msgs.msg import JointCommand
from lifecycle_msgs.msg import Transition
from lifecycle_msgs.srv import ChangeState
from rclpy.executors import SingleThreadedExecutor
from rclpy.qos import QoSProfile, ReliabilityPolicy, qos_profile_sensor_data
from sensor_msgs.msg import Imu, JointState

from jack_brain.readings import Pairing
from jack_contract.robot import load_robot
from jack_contract.state import RobotState
from jack_contract.wire import StateReader, fill_imu, fill_joint_command, fill_joint_state, seconds
from jack_launch.description import NodeSpec
from jack_sim.physics import World
from jack_sim.scene import LIVE
from jack_trainer.console_node import Connection
from jack_trainer.supervisor import Supervisor

pytestmark = pytest.mark.ros

ROBOT = load_robot()
RELIABLE = QoSProfile(depth=10, reliability=ReliabilityPolicy.RELIABLE)
#: The simulation runs as fast as it can, the listener does not: enough that nothing is pushed out meanwhile.
MANY = QoSProfile(depth=20_000, reliability=ReliabilityPolicy.BEST_EFFORT)
STEPS = 300


def targets_at(step: int, state: RobotState) -> np.ndarray:
    """A motion that depends on the step and, a little, on what is measured: an error of one bit would spread."""
    wave = 0.2 * np.sin(0.1 * step + np.arange(ROBOT.count))
    return ROBOT.default_position + wave - 0.01 * state.joint_velocity


def bits(state: RobotState) -> bytes:
    """Everything that sensors read, apart from the time."""
    return b"".join(np.asarray(value).tobytes() for name, value in vars(state).items() if name != "time")


def sim(seed: int, gantry: str = "never") -> NodeSpec:
    return NodeSpec("jack_sim", "sim_node", "sim", parameters={"lock_step": True, "seed": seed, "gantry": gantry})


class Driver:
    """Answers every reading once, as the brain would."""

    def __init__(self) -> None:
        rclpy.init()
        self.node = rclpy.create_node("driver", use_global_arguments=False)
        self._publisher = self.node.create_publisher(JointCommand, "joint_command", RELIABLE)
        self._pairing, self._reader = Pairing(ROBOT.control_period), StateReader(ROBOT)
        self.node.create_subscription(JointState, "joint_states", self._on_joint_state, qos_profile_sensor_data)
        self.node.create_subscription(Imu, "imu/data", self._on_imu, qos_profile_sensor_data)
        self.states: list[RobotState] = []

    def _on_joint_state(self, message):
        self._pairing.put_joint_state(message)
        self._answer()

    def _on_imu(self, message):
        self._pairing.put_imu(message)
        self._answer()

    def _answer(self):
        pair = self._pairing.take()
        if pair is None:
            return
        state = self._reader.read(pair.joint_state, pair.imu)
        if not self.states or state.time > self.states[-1].time:  # else nobody had heard the last answer
            self.states.append(state)
        command = JointCommand()
        targets = targets_at(len(self.states) - 1, self.states[-1])
        fill_joint_command(command, ROBOT, JointCommand.RUN, targets, ROBOT.stiffness, ROBOT.damping)
        command.header.stamp = pair.joint_state.header.stamp
        self._publisher.publish(command)

    def drive(self, steps: int) -> list[bytes]:
        executor = SingleThreadedExecutor()
        executor.add_node(self.node)
        deadline = time.monotonic() + 60.0
        while len(self.states) < steps and time.monotonic() < deadline:
            executor.spin_once(timeout_sec=0.1)
        self.node.destroy_node()
        rclpy.try_shutdown()
        return [bits(state) for state in self.states[:steps]]


def through_ros(folder: Path, seed: int) -> list[bytes]:
    with Supervisor([sim(seed)], folder):
        return Driver().drive(STEPS)


def without_ros(seed: int) -> list[bytes]:
    """The same, in this process. Messages are plain objects, so that readings are treated as on the other side."""
    world, reader, seen = World(dataclasses.replace(LIVE)), StateReader(ROBOT), []
    world.reset(seed)
    for step in range(STEPS):
        joint_state, imu = plain_messages()
        fill_joint_state(joint_state, ROBOT, world.state())
        fill_imu(imu, world.state())
        state = reader.read(joint_state, imu)
        seen.append(bits(state))
        world.command(targets_at(step, state), ROBOT.stiffness, ROBOT.damping)
        world.step()
    return seen


def plain_messages() -> tuple[SimpleNamespace, SimpleNamespace]:
    vectors = {name: SimpleNamespace() for name in ("orientation", "angular_velocity", "linear_acceleration")}
    header = SimpleNamespace(stamp=SimpleNamespace(sec=0, nanosec=0))
    return SimpleNamespace(name=[], header=header), SimpleNamespace(**vectors)


def test_a_seed_is_a_trajectory_bit_for_bit(tmp_path, nodes_alive):
    first, second = through_ros(tmp_path / "first", 5), through_ros(tmp_path / "second", 5)
    assert len(first) == len(second) == STEPS
    assert first == second
    assert through_ros(tmp_path / "other", 6) != first


def test_ros_carries_every_bit(tmp_path, nodes_alive):
    heard, computed = through_ros(tmp_path / "ros", 5), without_ros(5)
    different = [step for step, (a, b) in enumerate(zip(heard, computed, strict=True)) if a != b]
    assert different == []


#: Until a server has met a new client too [s]: before, its answer goes nowhere (rmw_fastrtps).
SETTLING = 0.5


def with_the_brain(folder: Path, policy: Path) -> dict[float, bytes]:
    """What a driven Jack does in his first seconds: his joints, bit for bit, by the time of the reading."""
    brain = NodeSpec("jack_brain", "brain_node", "brain", parameters={"use_sim_time": True, "policy": str(policy)})
    specs, seen = [sim(5), brain], {}

    def remember(message: JointState) -> None:
        seen[seconds(message.header.stamp)] = b"".join(map(bytes, (message.position, message.velocity)))

    with Supervisor(specs, folder) as supervisor, Connection(specs) as connection:
        connection.node.create_subscription(JointState, "joint_states", remember, MANY)
        transitions = connection.node.create_client(ChangeState, "brain/change_state")

        def until(condition):
            deadline = time.monotonic() + 60.0
            while not condition():
                assert time.monotonic() < deadline
                connection.listen(0.05)

        def change(transition):
            until(transitions.service_is_ready)
            connection.listen(SETTLING)
            future = transitions.call_async(ChangeState.Request(transition=Transition(id=transition)))
            until(future.done)
            assert future.result().success

        change(Transition.TRANSITION_CONFIGURE)
        until(lambda: "takes over" in supervisor.log(brain).read_text())  # the same policy from the first tick on
        until(lambda: seen)  # the simulation waits at its first reading until somebody drives
        change(Transition.TRANSITION_ACTIVATE)
        until(lambda: len(seen) >= STEPS)
    return seen


def test_with_the_brain_at_the_wheel_too(tmp_path, policies, nodes_alive):
    first, second = (with_the_brain(tmp_path / run, policies[0]) for run in ("first", "second"))
    both = sorted(first.keys() & second.keys())  # best-effort readings may be lost on a busy machine
    assert len(both) > 0.5 * STEPS
    assert [stamp for stamp in both if first[stamp] != second[stamp]] == []
