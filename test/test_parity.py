"""One observation, one network, one answer: whether trained, exported, or asked over topics.

Physics -> readings -> observation -> action -> joint targets, by every way there is, along one trajectory on which
he is told to walk and then to stand. All agree to 1e-5.
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
from jack_contract.gait import Rhythm
from jack_contract.observation import History, encode_command
from jack_contract.wire import StateReader, fill_imu, fill_joint_state, fill_stamp
from jack_sim.batch import BatchWorld
from jack_sim.physics import World
from jack_sim.scene import TRAINING, load_model

CONTRACT = default_contract()
ROBOT = CONTRACT.robot
STEPS = 60
TOLERANCE = 1e-5
#: What he is asked for at first, and for how many steps.
WALK, WALKING = np.array([0.6, -0.2, 0.4], np.float32), 20
#: When both his feet are down after that [steps].
AT_REST = 40


def command_at(step: int) -> np.ndarray:
    return WALK if step < WALKING else np.zeros(3, np.float32)


class Way:
    """One way to joint targets: what it remembers, and the row that is about our robot if it is one for many."""

    def __init__(self, shape: tuple[int, ...] = (), row=...) -> None:
        self.history, self.rhythm = History(CONTRACT.observation, shape), Rhythm.at_rest(shape)
        self._row = row

    def see(self, state, previous: np.ndarray) -> np.ndarray:
        gait = CONTRACT.gait.signal(self.rhythm)
        previous = np.broadcast_to(previous, state.joint_position.shape)
        return self.history.push(CONTRACT.observation.encode(ROBOT, state, previous, gait))[self._row]

    def act(self, action: np.ndarray, command: np.ndarray) -> np.ndarray:
        offsets = CONTRACT.gait.offsets(ROBOT, self.rhythm)
        tipping = CONTRACT.observation.tipping(self.history.frames)
        self.rhythm = CONTRACT.gait.advance(self.rhythm, command, ROBOT.control_period, tipping)
        return CONTRACT.action.targets(ROBOT, action, offsets)[self._row]


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
        made.action_head.linear.weight.mul_(3.0)
    world, way, frames = World(TRAINING), Way(), []
    random, action = np.random.default_rng(0), np.zeros(ROBOT.count)
    for step, target in enumerate(random_targets()):
        world.command(target)
        world.step()
        frames.append(way.see(world.state(), action)[-1].copy())
        action = random.normal(size=ROBOT.count)
        way.act(action, command_at(step))
    made.normaliser.update(torch.from_numpy(np.array(frames)))
    made.value_normaliser.update(torch.tensor([[5.0], [25.0]]))
    return made


@pytest.fixture(scope="module")
def policy_bytes(brain) -> bytes:
    return PolicyExporter(brain, command=True).export({"phase": "walk", "step": 1, "stumble_steps": True})


@pytest.fixture
def policy(policy_bytes) -> Policy:
    return Policy.load(policy_bytes, CONTRACT, PolicyLimits(period_share=100.0))


def asked(brain: Brain, history: np.ndarray, command: np.ndarray) -> tuple[np.ndarray, float]:
    """What torch says to one history (H, D) and command (3,): action (n,) and expected return."""
    with torch.no_grad():
        output = brain(Inputs(torch.from_numpy(history[None].copy()), torch.from_numpy(command[None].copy())))
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
    reader = StateReader(ROBOT)
    ways = {"batch": Way((3,), row=1), "world": Way(), "messages": Way()}
    previous, worst, moved = np.zeros(ROBOT.count), 0.0, []
    for step, target in enumerate(random_targets()):
        world.command(target)
        world.step()
        batch.step(np.tile(target, (3, 1)))
        states = {
            "batch": batch.state(),
            "world": world.state(),
            "messages": over_messages(reader, world.state()),
        }
        command = command_at(step)
        commands = dict.fromkeys(ways, command)
        commands["batch"] = np.stack((np.zeros(3), command, WALK))  # the others of the batch do something else
        seen = {name: way.see(states[name], previous) for name, way in ways.items()}
        rhythm = by_hand(step) if step < AT_REST else ways["world"].rhythm  # thrown about as he is, he stumbles
        offsets, pace = CONTRACT.gait.offsets(ROBOT, rhythm), rhythm.pace.astype(np.float32)
        expected, value = asked(brain, seen["batch"], pace)
        for name, way in ways.items():
            np.testing.assert_allclose(seen[name], seen["batch"], atol=TOLERANCE)
            action, returns = policy.infer(seen[name], pace)
            by_torch, _ = asked(brain, seen[name], pace)
            worst = max(worst, *(float(np.abs(answer - expected).max()) for answer in (action, by_torch)))
            # Returns spread by 10, and no norm squeezes what a critic reads of one who is thrown about.
            assert returns == pytest.approx(value, rel=TOLERANCE, abs=20 * TOLERANCE)
            targets = way.act(action, commands[name])
            np.testing.assert_allclose(targets, CONTRACT.action.targets(ROBOT, expected, offsets), atol=TOLERANCE)
        previous = expected.astype(np.float64)
        moved.append(expected)
    assert worst < TOLERANCE
    assert np.ptp(moved, axis=0).min() > 0.05  # it was about something: every action changed on the way


def by_hand(step: int) -> Rhythm:
    """The rhythm at a step: he takes up the pace by 0.02 a step, 1 m/s^2, and gives it up likewise.

    The phase makes 0.02 s of 0.52 s a step from the second one with a pace on. Told to stand at 20, he has hardly a
    pace left at 39, in the left foot's second step, which ends at `AT_REST`.
    """
    pace = np.minimum(0.02 * min(step, WALKING), np.abs(WALK)) - 0.02 * max(step - WALKING, 0)
    phase = max(step - 1, 0) / 26 % 1.0
    return Rhythm(np.float64(phase), np.sign(WALK) * pace.clip(0.0))


def within_torque(targets, state):
    """Cut back to where stiffness (target - q) - damping dq is as much as the motor has: to it that is the same."""
    rest = state.joint_position + ROBOT.damping / ROBOT.stiffness * state.joint_velocity
    reach = ROBOT.effort_limit / ROBOT.stiffness
    return np.clip(np.clip(targets, rest - reach, rest + reach), ROBOT.lower, ROBOT.upper)


@pytest.mark.ros
def test_the_node_answers_over_topics_what_torch_says(brain, policy, policy_bytes, ros_domain, tmp_path):
    """Physics, published; commands of a brain node in a process of its own, heard, and obeyed by the physics."""
    pytest.importorskip("jack_msgs", reason="needs ROS 2 and Jack's messages: ./jack test has them")
    path = tmp_path / "policy.onnx"
    path.write_bytes(policy_bytes)
    with Robot(path) as robot:
        way, previous, moved = Way(), None, []
        for step in range(STEPS):
            state, asked_for = robot.world.state(), command_at(step)
            if step in (0, WALKING):
                robot.ask(asked_for)
            if previous is None:  # the node begins in the pose in which it finds the joints
                previous = CONTRACT.action.action(ROBOT, np.clip(state.joint_position, ROBOT.lower, ROBOT.upper))
            seen = way.see(state, previous)
            pace = encode_command(way.rhythm.pace)
            action, _ = asked(brain, seen, pace)
            np.testing.assert_allclose(policy.infer(seen, pace)[0], action, atol=TOLERANCE)
            previous = action.astype(np.float64)
            command = robot.answer(state)
            assert command.mode == command.RUN
            assert tuple(command.name) == ROBOT.joint_names
            targets = np.array(command.position)
            moved.append(targets)
            expected = within_torque(way.act(action, asked_for), state)
            np.testing.assert_allclose(targets, expected, atol=TOLERANCE, err_msg=f"step {step}")
            np.testing.assert_array_equal(command.stiffness, ROBOT.stiffness)
            np.testing.assert_array_equal(command.damping, ROBOT.damping)
            robot.world.command(targets, np.array(command.stiffness), np.array(command.damping))
            robot.world.step()
    assert np.ptp(moved, axis=0).min() > 0.01


class Robot:
    """A simulated robot on topics, driven by a brain node. It waits for each answer before time goes on."""

    #: Nothing but the policy: no blending, no cut on steps, no judgement on how he lies, no command that fades.
    PARAMETERS = ("use_sim_time:=true", "autostart:=true", "blend:=0.0", "step_limit:=100.0", "tilt_limit:=4.0",
                  "policy_share:=1.0", "command_timeout:=10.0", "command_end:=10.0")  # fmt: skip

    def __init__(self, policy) -> None:
        import rclpy
        from geometry_msgs.msg import Twist
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
        self._joints, self._imu, self._velocity = JointState(), Imu(), Twist()
        self._velocities = self._node.create_publisher(Twist, "cmd_vel", 10)
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
        everybody = (self._velocities, *self._publishers)
        self._until(lambda: all(publisher.get_subscription_count() for publisher in everybody), 60.0)

    def _hear(self, message) -> None:
        self._heard[(message.header.stamp.sec, message.header.stamp.nanosec)] = message

    def ask(self, velocity: np.ndarray) -> None:
        """Send vx, vy, yaw rate (3,), and wait until the node has it."""
        self._velocity.linear.x, self._velocity.linear.y, self._velocity.angular.z = map(float, velocity)
        self._velocities.publish(self._velocity)
        assert self._velocities.wait_for_all_acked(self._rclpy.duration.Duration(seconds=60.0))
        time.sleep(0.2)  # what has arrived is about to be heard

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
