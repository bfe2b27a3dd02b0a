"""One observation, one network, one answer: whether trained, exported, or asked over topics.

Physics -> readings -> observation -> action, by every way there is, along one trajectory. All agree to 1e-5.
"""

import signal
import subprocess
import sys
import time
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from jack_brain.network.brain import Brain, Inputs
from jack_brain.network.export import PolicyExporter
from jack_brain.policy import Policy, PolicyLimits
from jack_contract.contract import default_contract
from jack_contract.observation import History
from jack_contract.wire import StateReader, fill_imu, fill_joint_state, fill_stamp
from jack_sim.batch import BatchWorld
from jack_sim.physics import World
from jack_sim.scene import TRAINING, load_model

CONTRACT = default_contract()
ROBOT = CONTRACT.robot
STEPS = 50
TOLERANCE = 1e-5


def random_targets(steps: int = STEPS) -> np.ndarray:
    """Motions around the default pose, large enough that every joint moves and the feet leave the ground."""
    walk = np.random.default_rng(1).normal(0.0, 0.05, (steps, ROBOT.count)).cumsum(axis=0)
    return np.clip(ROBOT.default_position + walk, ROBOT.lower, ROBOT.upper)


@pytest.fixture(scope="module")
def brain() -> Brain:
    """Every parameter and statistic of it matters: nothing is zero, nothing is one."""
    torch.manual_seed(0)
    made = Brain(CONTRACT)
    with torch.no_grad():
        for parameter in made.parameters():
            parameter.add_(0.02 * torch.randn_like(parameter))
        made.action_head.linear.weight.mul_(30.0)
    world, frames = World(TRAINING), []
    for target in random_targets():
        world.command(target)
        world.step()
        frames.append(CONTRACT.observation.encode(ROBOT, world.state(), np.zeros(ROBOT.count)))
    made.normaliser.update(torch.from_numpy(np.array(frames)))
    made.value_normaliser.update(torch.tensor([[5.0], [25.0]]))
    return made


@pytest.fixture(scope="module")
def policy_bytes(brain) -> bytes:
    return PolicyExporter(brain).export({"phase": "stand", "step": 1})


@pytest.fixture
def policy(policy_bytes) -> Policy:
    return Policy.load(policy_bytes, CONTRACT, PolicyLimits(period_share=100.0))


def asked(brain: Brain, history: np.ndarray) -> tuple[np.ndarray, float]:
    """What torch says to one history (H, D): action (n,) and expected return."""
    with torch.no_grad():
        output = brain(Inputs(torch.from_numpy(history[None].copy())))
        return output.mean[0].numpy(), float(brain.value_normaliser.restore(output.value))


def messages() -> tuple[SimpleNamespace, SimpleNamespace]:
    """An empty JointState and an empty Imu, as far as they are used."""
    joints = SimpleNamespace(
        header=SimpleNamespace(stamp=SimpleNamespace(sec=0, nanosec=0)),
        name=[],
        position=[],
        velocity=[],
        effort=[],
    )
    empty = (SimpleNamespace() for _ in range(3))
    return joints, SimpleNamespace(
        **dict(zip(("orientation", "angular_velocity", "linear_acceleration"), empty, strict=True))
    )


def over_messages(reader: StateReader, state):
    """Readings that went through messages."""
    joints, imu = messages()
    fill_stamp(joints.header.stamp, float(state.time))
    fill_joint_state(joints, ROBOT, state)
    fill_imu(imu, state)
    return reader.read(joints, imu)


def test_batch_world_and_messages_give_one_observation_and_one_action(brain, policy):
    """The three ways to an observation, and the two runtimes, in one loop over a random trajectory."""
    world, batch = World(TRAINING), BatchWorld(load_model(TRAINING), ROBOT, count=3)
    reader, ways = StateReader(ROBOT), ("batch", "world", "messages")
    histories = {way: History(CONTRACT.observation) for way in ways}
    previous = np.zeros(ROBOT.count)
    worst, moved = 0.0, []
    for target in random_targets():
        world.command(target)
        world.step()
        batch.step(np.tile(target, (3, 1)))
        states = {
            "batch": batch.state().rows(np.array([1])),
            "world": world.state(),
            "messages": over_messages(reader, world.state()),
        }
        seen = {}
        for way, state in states.items():
            frame = CONTRACT.observation.encode(ROBOT, state, previous[None] if way == "batch" else previous)
            seen[way] = histories[way].push(frame[0] if way == "batch" else frame)
            np.testing.assert_allclose(seen[way], seen["batch"], atol=TOLERANCE)
        expected, value = asked(brain, seen["batch"])
        for way in ways:
            action, returns = policy.infer(seen[way])
            by_torch, _ = asked(brain, seen[way])
            worst = max(worst, *(float(np.abs(answer - expected).max()) for answer in (action, by_torch)))
            assert returns == pytest.approx(value, rel=TOLERANCE)
            np.testing.assert_allclose(
                CONTRACT.action.targets(ROBOT, action), CONTRACT.action.targets(ROBOT, expected), atol=TOLERANCE
            )
        previous = expected.astype(np.float64)
        moved.append(expected)
    assert worst < TOLERANCE
    assert np.ptp(moved, axis=0).min() > 0.05  # it was about something: every action changed on the way


@pytest.mark.ros
def test_the_node_answers_over_topics_what_torch_says(brain, policy, policy_bytes, ros_domain, tmp_path):
    """Physics, published; commands of a brain node in a process of its own, heard, and obeyed by the physics."""
    pytest.importorskip("jack_msgs", reason="needs ROS 2 and Jack's messages: ./jack test has them")
    path = tmp_path / "policy.onnx"
    path.write_bytes(policy_bytes)
    with Robot(path) as robot:
        history, previous, moved = History(CONTRACT.observation), None, []
        for _ in range(STEPS):
            state = robot.world.state()
            if previous is None:  # the node begins in the pose in which it finds the joints
                previous = CONTRACT.action.action(ROBOT, np.clip(state.joint_position, ROBOT.lower, ROBOT.upper))
            seen = history.push(CONTRACT.observation.encode(ROBOT, state, previous))
            action, _ = asked(brain, seen)
            np.testing.assert_allclose(policy.infer(seen)[0], action, atol=TOLERANCE)
            previous = action.astype(np.float64)
            command = robot.answer(state)
            assert command.mode == command.RUN
            assert tuple(command.name) == ROBOT.joint_names
            targets = np.array(command.position)
            moved.append(targets)
            np.testing.assert_allclose(targets, CONTRACT.action.targets(ROBOT, action), atol=TOLERANCE)
            np.testing.assert_array_equal(command.stiffness, ROBOT.stiffness)
            np.testing.assert_array_equal(command.damping, ROBOT.damping)
            robot.world.command(targets, np.array(command.stiffness), np.array(command.damping))
            robot.world.step()
    assert np.ptp(moved, axis=0).min() > 0.01


class Robot:
    """A simulated robot on topics, driven by a brain node. It waits for each answer before time goes on."""

    #: Nothing but the policy: no blending, no cut on steps, no judgement on how he lies.
    PARAMETERS = ("use_sim_time:=true", "autostart:=true", "blend:=0.0", "step_limit:=100.0", "tilt_limit:=4.0",
                  "policy_share:=1.0")  # fmt: skip

    def __init__(self, policy) -> None:
        import rclpy
        from jack_msgs.msg import JointCommand
        from jack_msgs.srv import LoadPolicy
        from rclpy.executors import SingleThreadedExecutor
        from rclpy.qos import qos_profile_sensor_data
        from sensor_msgs.msg import Imu, JointState

        arguments = [word for parameter in self.PARAMETERS for word in ("-p", parameter)]
        command = [sys.executable, "-m", "jack_brain.brain_node", "--ros-args", *arguments]
        self._brain = subprocess.Popen(command)
        self._rclpy, self._heard = rclpy, {}
        rclpy.init()
        self.world = World(TRAINING)
        self._node = rclpy.create_node("robot")
        self._executor = SingleThreadedExecutor()
        self._executor.add_node(self._node)
        self._joints, self._imu = JointState(), Imu()
        self._publishers = [
            self._node.create_publisher(JointState, "joint_states", qos_profile_sensor_data),
            self._node.create_publisher(Imu, "imu/data", qos_profile_sensor_data),
        ]
        self._node.create_subscription(JointCommand, "joint_command", self._hear, 10)
        loader = self._node.create_client(LoadPolicy, "brain/load_policy")
        self._until(loader.service_is_ready, 60.0)
        loaded = loader.call_async(LoadPolicy.Request(path=str(policy)))
        self._until(loaded.done, 60.0)
        assert loaded.result().success, loaded.result().message
        self._until(lambda: all(publisher.get_subscription_count() for publisher in self._publishers), 60.0)

    def _hear(self, message) -> None:
        self._heard[(message.header.stamp.sec, message.header.stamp.nanosec)] = message

    def answer(self, state):
        """The command with the stamp of these readings. Sensor messages may get lost: they are sent again."""
        for message, fill in ((self._joints, fill_joint_state), (self._imu, None)):
            fill_stamp(message.header.stamp, float(state.time) + 1.0)
            if fill is not None:
                fill(message, ROBOT, state)
        fill_imu(self._imu, state)
        stamp = self._joints.header.stamp.sec, self._joints.header.stamp.nanosec
        for _ in range(60):
            for publisher, message in zip(self._publishers, (self._joints, self._imu), strict=True):
                publisher.publish(message)
            if self._until(lambda: stamp in self._heard, 0.5, required=False):
                return self._heard[stamp]
        raise AssertionError(f"No command for the readings of {stamp}.")

    def _until(self, condition, seconds: float, required: bool = True) -> bool:
        deadline = time.monotonic() + seconds
        while not condition() and time.monotonic() < deadline:
            assert self._brain.poll() is None, "The brain's process ended."
            self._executor.spin_once(timeout_sec=0.05)
        assert condition() or not required
        return condition()

    def __enter__(self):
        return self

    def __exit__(self, *_) -> None:
        self._node.destroy_node()
        self._rclpy.try_shutdown()
        self._brain.send_signal(signal.SIGINT)
        try:
            self._brain.wait(10.0)
        except subprocess.TimeoutExpired:
            self._brain.kill()
            self._brain.wait()
