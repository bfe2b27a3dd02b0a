"""Whole graphs, as a person starts them: what comes up, what it says, and that nothing of it is left behind."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import numpy as np
import onnx
import pytest

pytest.importorskip("rclpy", reason="needs ROS 2 and Jack's messages: ./jack test has them")

from geometry_msgs.msg import Twist
from jack_msgs.msg import JointCommand, Policy
from jack_msgs.srv import LoadPolicy
from lifecycle_msgs.srv import GetState
from rclpy.client import Client
from rclpy.qos import DurabilityPolicy, QoSProfile, ReliabilityPolicy, qos_profile_sensor_data
from sensor_msgs.msg import JointState
from std_srvs.srv import SetBool, Trigger

from jack_brain.policy_file import CONTRACT, DIGEST, SEAL_SIZE, seal
from jack_contract.contract import Contract, default_contract
from jack_contract.testing import mutations
from jack_contract.wire import nanoseconds
from jack_launch.description import NodeSpec
from jack_launch.graphs import DEPLOY
from jack_trainer.checkpoint import newest_checkpoint
from jack_trainer.console_node import Connection
from jack_trainer.session import HANGING, STANDING
from jack_trainer.supervisor import Supervisor

pytestmark = pytest.mark.ros

LATCHED = QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL, reliability=ReliabilityPolicy.RELIABLE)
#: Enough for a machine that has much else to do [s].
PATIENCE = 60.0


@dataclass
class RunningGraph:
    """A deployed, simulated Jack, and somebody who watches."""

    specs: tuple[NodeSpec, ...]
    supervisor: Supervisor
    connection: Connection
    clients: dict[str, Client] = field(default_factory=dict)

    @property
    def node(self):
        return self.connection.node

    @property
    def sight(self):
        return self.connection.node.sight

    def until(self, condition: Callable[[], object], what: str = "") -> None:
        deadline = time.monotonic() + PATIENCE
        while not condition():
            assert time.monotonic() < deadline, what or self.sight.live(time.monotonic())
            assert self.supervisor.poll() == []
            self.connection.listen(0.05)

    def call(self, kind, name, request):
        if name not in self.clients:
            self.clients[name] = self.node.create_client(kind, name)
        client = self.clients[name]
        self.until(client.service_is_ready, name)
        future = client.call_async(request)
        self.until(future.done, name)
        return future.result()


@pytest.fixture(scope="module")
def graph(shared_ros_domain, tmp_path_factory, policies) -> Iterator[RunningGraph]:
    """One graph for all tests that leave him standing as they found him; the one that does not comes last."""
    specs = DEPLOY.nodes({"sim": "true", "policy": str(policies[0]), "promote": "auto", "trial": "0"})
    with Supervisor(specs, tmp_path_factory.mktemp("graph")) as supervisor, Connection(specs) as connection:
        yield RunningGraph(specs, supervisor, connection)


def test_jack_is_let_down_and_the_whole_graph_is_as_a_ros_user_expects(graph, policies):
    # he may be down before anybody watches: that he hung first is in the log
    graph.until(lambda: graph.sight.gantry == STANDING)
    assert "Jack is let down" in graph.supervisor.log(graph.specs[0]).read_text()
    assert graph.sight.events[-1] == "Jack stands on his own feet"
    state = graph.call(GetState, "brain/get_state", GetState.Request())
    assert state.current_state.label == "active"
    assert {"sim", "driver", "brain"} <= set(graph.node.get_node_names())
    kinds = dict(graph.node.get_topic_names_and_types())
    for topic, kind in {
        "/joint_states": "sensor_msgs/msg/JointState",
        "/imu/data": "sensor_msgs/msg/Imu",
        "/odom": "nav_msgs/msg/Odometry",
        "/tf": "tf2_msgs/msg/TFMessage",
        "/tf_static": "tf2_msgs/msg/TFMessage",
        "/clock": "rosgraph_msgs/msg/Clock",
        "/robot_description": "std_msgs/msg/String",
        "/camera/image_raw": "sensor_msgs/msg/Image",
        "/camera/image_raw/compressed": "sensor_msgs/msg/CompressedImage",
        "/camera/camera_info": "sensor_msgs/msg/CameraInfo",
        "/joint_command": "jack_msgs/msg/JointCommand",
        "/hardware/joint_command": "jack_msgs/msg/JointCommand",
        "/brain/status": "jack_msgs/msg/BrainStatus",
        "/driver/status": "jack_msgs/msg/DriverStatus",
        "/policy": "jack_msgs/msg/Policy",
        "/cmd_vel": "geometry_msgs/msg/Twist",
        "/diagnostics": "diagnostic_msgs/msg/DiagnosticArray",
    }.items():
        assert kinds.get(topic) == [kind], topic
    services = {name for name, _ in graph.node.get_service_names_and_types()}
    assert {
        "/sim/reset",
        "/sim/pause",
        "/sim/step",
        "/driver/stop",
        "/driver/reset",
        "/brain/stop",
        "/brain/reset_fault",
        "/brain/load_policy",
    } <= services
    graph.until(lambda: graph.sight.standing(time.monotonic()) > 3.0, "he does not stand")


def test_a_thousand_damaged_files_and_every_other_contract_are_refused_while_he_stands(graph, policies, tmp_path):
    good, random = policies[0].read_bytes(), np.random.default_rng(0)
    graph.until(lambda: graph.sight.gantry == STANDING)
    events, swaps = len(graph.sight.events), graph.sight.brain.swaps
    file = tmp_path / "policy.onnx"

    def refused(data: bytes) -> str:
        file.write_bytes(data)
        answer = graph.call(LoadPolicy, "brain/load_policy", LoadPolicy.Request(path=str(file)))
        assert not answer.success
        return answer.message

    for bit in random.integers(0, 8 * len(good), 500):
        damaged = bytearray(good)
        damaged[bit // 8] ^= 1 << bit % 8
        refused(bytes(damaged))
    for length in random.integers(0, len(good), 500):
        refused(good[:length])
    for difference, contract in mutations(default_contract()).items():
        assert difference.strip() in refused(for_another(good, contract))
    assert graph.sight.events[events:] == []  # nobody fell, nobody was lifted
    assert (graph.sight.gantry, graph.sight.brain.mode) == (STANDING, JointCommand.RUN)
    assert graph.sight.brain.swaps == swaps


def for_another(policy: bytes, contract: Contract) -> bytes:
    """A policy file, sound in itself, that says it was made under another contract."""
    model = onnx.load_from_string(policy[:-SEAL_SIZE])
    entries = {entry.key: entry.value for entry in model.metadata_props}
    onnx.helper.set_model_props(model, entries | {CONTRACT: contract.to_json(), DIGEST: contract.digest})
    return seal(model.SerializeToString())


def test_every_command_answers_a_reading(graph):
    states, commands = [], []
    graph.node.create_subscription(JointState, "joint_states", states.append, qos_profile_sensor_data)
    graph.node.create_subscription(JointCommand, "joint_command", commands.append, 10)
    graph.until(lambda: states and commands)
    states.clear()
    graph.until(lambda: len(states) > 150)
    read = [nanoseconds(message.header.stamp) for message in states][:100]
    answered = {nanoseconds(message.header.stamp) for message in commands}
    assert sum(stamp in answered for stamp in read) >= 95


def test_a_policy_that_is_published_takes_over_while_he_stands(graph, policies):
    graph.until(lambda: graph.sight.gantry == STANDING)
    publisher = graph.node.create_publisher(Policy, "policy", LATCHED)
    message = Policy(onnx=policies[1].read_bytes(), phase="stand", step=2)
    publisher.publish(message)
    graph.until(lambda: graph.sight.brain is not None and graph.sight.brain.step == 2)
    since, refused = graph.sight.standing_since, graph.sight.brain.refused
    publisher.publish(Policy(onnx=policies[1].read_bytes()[:-1], phase="stand", step=3))
    graph.until(lambda: graph.sight.brain.refused == refused + 1)
    assert graph.sight.brain.step == 2 and graph.sight.drives("")
    graph.until(lambda: graph.sight.standing(time.monotonic()) > 3.0)
    assert graph.sight.standing_since == since


def test_he_is_asked_to_walk_on_his_own_feet_alone(graph):
    heard = []
    graph.node.create_subscription(
        Twist, "cmd_vel", lambda message: heard.append((graph.sight.gantry, message)), 10
    )
    graph.node.drive((0.01, -0.02, 0.03))
    graph.until(lambda: len(heard) > 10)
    assert {gantry for gantry, _ in heard} == {STANDING}
    asked = heard[-1][1]
    assert (asked.linear.x, asked.linear.y, asked.angular.z) == (0.01, -0.02, 0.03)
    graph.node.drive((0.0, 0.0, 0.0))
    graph.until(lambda: heard[-1][1] == Twist())


def test_a_pause_trips_nothing(graph):
    graph.until(lambda: graph.sight.gantry == STANDING)
    assert graph.call(SetBool, "sim/pause", SetBool.Request(data=True)).success
    graph.connection.listen(1.0)
    assert graph.call(SetBool, "sim/pause", SetBool.Request(data=False)).success
    graph.connection.listen(1.0)
    assert graph.sight.drives("") and graph.sight.gantry == STANDING


def test_stop_fells_him_and_he_is_picked_up_and_let_down_again(graph):
    graph.until(lambda: graph.sight.gantry == STANDING)
    graph.sight.events.clear()
    assert graph.call(Trigger, "brain/stop", Trigger.Request()).success
    graph.until(lambda: graph.sight.gantry == HANGING, "he is not picked up")
    graph.until(lambda: graph.sight.gantry == STANDING, "he is not let down again")
    assert "fell after" in graph.sight.events[0] and graph.sight.events[-1] == "Jack stands on his own feet"


def test_a_brain_that_is_killed_is_named_and_the_joints_are_damped(graph):
    graph.until(lambda: graph.sight.gantry == STANDING)
    process = next(child.process for child in graph.supervisor._running if child.spec.name == "brain")
    process.kill()
    deaths = []
    deadline = time.monotonic() + 10.0
    while not deaths and time.monotonic() < deadline:
        graph.connection.listen(0.05)
        deaths += graph.supervisor.poll()
    assert [str(death).split(".")[0] for death in deaths] == ["/brain died (SIGKILL)"]
    sim, driver, _ = graph.specs
    graph.until(lambda: "joints are damped" in graph.supervisor.log(sim).read_text())
    graph.until(lambda: "Damped: No command that can be believed" in graph.supervisor.log(driver).read_text())


# -- as a person types it


@pytest.fixture
def jack(nodes_alive, tmp_path) -> Iterator[Callable[..., subprocess.Popen[str]]]:
    """Start ./jack with some words."""
    started: list[subprocess.Popen[str]] = []

    def start(*words: str) -> subprocess.Popen[str]:
        argv = [sys.executable, "-m", "jack_trainer.cli", *words, "--runs", str(tmp_path / "runs")]
        started.append(
            subprocess.Popen(
                argv, cwd=tmp_path, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, env=os.environ
            )
        )
        return started[-1]

    yield start
    for process in started:
        process.kill()
        process.communicate()


def finish(process: subprocess.Popen[str], seconds: float = 2 * PATIENCE) -> str:
    try:
        said, _ = process.communicate(timeout=seconds)
    except subprocess.TimeoutExpired:
        process.kill()
        pytest.fail(f"not over after {seconds} s; it said: {process.communicate()[0]}")
    return said


def wait_for(
    condition: Callable[[], object], process: subprocess.Popen[str], seconds: float = 2 * PATIENCE
) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert process.poll() is None, finish(process)
        assert time.monotonic() < deadline
        time.sleep(0.1)


def test_deploy_on_a_simulated_jack_until_he_stood(jack, nodes_alive, policies):
    process = jack("deploy", "--sim", "--policy", str(policies[0]), "--stand-for", "2")
    said = finish(process)
    assert process.returncode == 0, said
    assert "Jack is let down onto the policy of step 1" in said and "Jack stood for 2 s." in said
    assert nodes_alive() == []


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_ctrl_c_ends_everything_within_five_seconds(jack, nodes_alive, policies, number):
    process = jack("deploy", "--sim", "--policy", str(policies[0]))
    wait_for(lambda: len(nodes_alive()) == 4, process)  # sim, driver, brain and ./jack itself
    time.sleep(2.0)
    begun = time.monotonic()
    process.send_signal(number)
    said = finish(process)
    assert time.monotonic() - begun < 5.0, said
    assert process.returncode == 0 and "Traceback" not in said
    assert nodes_alive() == []


def test_nothing_survives_a_jack_that_is_killed(jack, nodes_alive, policies):
    process = jack("deploy", "--sim", "--policy", str(policies[0]))
    wait_for(lambda: len(nodes_alive()) == 4, process)
    process.kill()
    process.wait()
    deadline = time.monotonic() + 5.0
    while nodes_alive() and time.monotonic() < deadline:
        time.sleep(0.05)
    assert nodes_alive() == []


@pytest.mark.slow
def test_a_short_training_from_the_first_step_to_the_last(jack, nodes_alive, tmp_path):
    process = jack("train", "--environments", "16", "--steps", "1500", "--stand-for", "0", "--no-report")
    said = finish(process, 4 * PATIENCE)
    assert process.returncode == 0, said
    assert "All steps are taken" in said and "tensorboard" in said and "./jack deploy --sim" in said
    (run,) = (tmp_path / "runs").glob("*-stand")
    checkpoint = newest_checkpoint(run / "checkpoints")
    assert checkpoint.numbers.step >= 1500
    assert list((run / "tensorboard").iterdir()) and json.loads((run / "run.json").read_text())
    (log,) = (tmp_path / "runs" / "log").iterdir()
    assert {path.name for path in log.iterdir()} >= {"sim.log", "brain.log", "trainer.log"}
    assert "takes over" in (log / "brain.log").read_text()


@pytest.mark.slow
def test_ctrl_c_keeps_a_training_and_resume_goes_on(jack, nodes_alive, tmp_path):
    process = jack("train", "--environments", "16", "--steps", "100000000")
    checkpoints = (tmp_path / "runs").glob
    wait_for(lambda: list(checkpoints("*/checkpoints/[0-9]*/manifest.json")), process)
    begun = time.monotonic()
    process.send_signal(signal.SIGINT)
    said = finish(process)
    assert time.monotonic() - begun < 5.0, said
    assert process.returncode == 130 and "./jack train --resume" in said
    assert nodes_alive() == []
    (run,) = (tmp_path / "runs").glob("*-stand")
    kept = newest_checkpoint(run / "checkpoints").numbers.step
    words = ("--environments", "16", "--steps", str(kept + 1000), "--no-live", "--no-report")
    again = jack("train", "--resume", *words)
    said = finish(again, 4 * PATIENCE)
    assert again.returncode == 0, said
    assert newest_checkpoint(run / "checkpoints").numbers.step > kept
