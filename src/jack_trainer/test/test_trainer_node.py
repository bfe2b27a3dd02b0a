"""The trainer as a process, over real DDS: several phases in one goal, and a policy that must not get out."""

import os
import signal
import subprocess
import sys
import time

import pytest
import rclpy
from diagnostic_msgs.msg import DiagnosticArray
from jack_msgs.msg import Policy
from rclpy.context import Context
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node
from rclpy.qos import DurabilityPolicy, QoSProfile, ReliabilityPolicy

from jack_trainer import transcript
from jack_trainer.checkpoint import HELD, POLICY, checkpoints

pytestmark = [pytest.mark.ros, pytest.mark.slow]
LATCHED = QoSProfile(depth=20, durability=DurabilityPolicy.TRANSIENT_LOCAL, reliability=ReliabilityPolicy.RELIABLE)
PATIENCE = 280.0


class Robot:
    """Who would be driven by what is published."""

    def __init__(self, domain):
        self.context = Context()
        rclpy.init(context=self.context, domain_id=domain)
        self.node = Node("robot", context=self.context)
        self.policies, self.told = [], []
        self.node.create_subscription(Policy, "policy", lambda m: self.policies.append((m.phase, m.step)), LATCHED)
        self.node.create_subscription(DiagnosticArray, "/diagnostics", self._hear, 10)
        self._executor = SingleThreadedExecutor(context=self.context)
        self._executor.add_node(self.node)

    def _hear(self, message):
        self.told.append({status.message: {v.key: v.value for v in status.values} for status in message.status})

    def until(self, condition, process):
        deadline = time.monotonic() + PATIENCE
        while not condition():
            assert process.poll() is None, process.stderr.read()
            assert time.monotonic() < deadline, "too late"
            self._executor.spin_once(timeout_sec=0.1)

    def close(self):
        rclpy.try_shutdown(context=self.context)


@pytest.fixture
def robot(ros_domain):
    made = Robot(ros_domain)
    yield made
    made.close()


@pytest.fixture
def train(ros_domain, tmp_path):
    """Start a trainer that begins at once."""
    started = []

    def start(**parameters):
        given = {"environments": 2, "steps": 50, "runs": tmp_path / "runs", **parameters}
        words = [word for name, value in given.items() for word in ("-p", f"{name}:={value}")]
        command = [sys.executable, "-m", "jack_trainer.trainer_node", "--ros-args", *words]
        environment = os.environ | {"OMP_NUM_THREADS": "1"}
        started.append(subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True))
        return started[-1]

    yield start
    for process in started:
        process.kill()
        process.communicate()


def over(run):
    return [entry.ended for entry in transcript.read(run).entries]


def test_phases_follow_each_other_in_one_run_and_go_on_after_a_kill(train, robot, tmp_path):
    process = train(autostart_phase="'stand,walk'")
    robot.until(lambda: any(phase == "stand" for phase, _ in robot.policies), process)
    process.kill()  # in the first phase, or between two
    process.wait()
    (run,) = (tmp_path / "runs").glob("*-stand-walk")
    process = train(autostart_phase="'stand,walk'", resume=run)
    robot.until(lambda: any(phase == "walk" for phase, _ in robot.policies), process)
    robot.until(lambda: all(over(run)) and len(over(run)) == 2, process)
    stand, walk = transcript.read(run).entries
    assert walk.parent_phase == "stand" and walk.begun == stand.step > 0
    assert robot.policies[-1] == ("walk", walk.step) and walk.forgot == []  # who could nothing can forget nothing
    process.send_signal(signal.SIGINT)
    assert process.wait(10.0) == 0


def test_who_unlearns_to_walk_gets_to_no_robot(train, robot, tmp_path):
    """A real fault: taught to stand on his feet only, without the step that he takes when he stumbles."""
    process = train(autostart_phase="stand", parent="pretrained")
    robot.until(lambda: any("it was" in str(told) or "did (allowed" in str(told) for told in robot.told), process)
    (run,) = (tmp_path / "runs").glob("*-stand")
    robot.until(lambda: over(run)[-1:] != [""], process)
    walk, stand = transcript.read(run).entries
    assert walk.scores["walk"].survival >= 0.95 and stand.forgot
    assert {phase for phase, _ in robot.policies} == {"walk"}  # what he could before, as long as nothing is better
    held = {path.name for folder in checkpoints(run / "checkpoints") for path in folder.glob("*.onnx")}
    assert held == {HELD} and POLICY not in held
    assert "kept, not published" in str(robot.told)
