"""The deploy launch drives a robot of which it knows no more than its sensors say (`hardware.py`).

Once with the launch and the commands of ROS 2 itself, where they are installed, and once with `./jack deploy`.
"""

from __future__ import annotations

import math
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import onnx
import pytest

pytest.importorskip("rclpy", reason="needs ROS 2 and Jack's messages: ./jack test has them")

import rclpy
from geometry_msgs.msg import Twist
from jack_msgs.msg import BrainStatus, DriverStatus, JointCommand
from jack_msgs.srv import LoadPolicy
from lifecycle_msgs.srv import GetState
from nav_msgs.msg import Odometry
from rclpy.context import Context
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node
from rclpy.qos import DurabilityPolicy, QoSProfile
from std_msgs.msg import String
from std_srvs.srv import Trigger

from jack_brain.policy_file import SEAL_SIZE, seal
from jack_launch.graphs import pretrained_policy
from jack_sim.gantry import GantryMode

sys.path.insert(0, str(Path(__file__).parent))
from hardware import start_body

pytestmark = [pytest.mark.ros, pytest.mark.slow]

#: Enough for a machine that has much else to do [s].
PATIENCE = 60.0
#: How long he stands before he walks [s].
STAND = 4.0
#: How long he walks [s of his own time], how fast [m/s], and how far he must get at least [m].
WALK, SPEED, FAR = 8.0, 0.4, 1.5
#: What the brain says of a machine that was busy with something else, and how often that may be.
LATE, ATTEMPTS = "No new sensor readings", 3
#: Of a policy that is offered [s].
TRIAL = 2.0
LATCHED = QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL)


class Onlooker:
    """Sees what his driver sees, and the truth besides."""

    def __init__(self, domain: int) -> None:
        self.context = Context()
        rclpy.init(context=self.context, domain_id=domain)
        self.node = Node("onlooker", context=self.context)
        self.executor = SingleThreadedExecutor(context=self.context)
        self.executor.add_node(self.node)
        self.brain, self.driver, self.odometry, self.gantry = BrainStatus(), DriverStatus(), Odometry(), String()
        self.velocity = self.node.create_publisher(Twist, "cmd_vel", 10)
        for kind, topic, name, qos in (
            (BrainStatus, "brain/status", "brain", 10),
            (DriverStatus, "driver/status", "driver", 10),
            (Odometry, "world/odom", "odometry", 10),
            (String, "world/sim/gantry", "gantry", LATCHED),
        ):
            self.node.create_subscription(kind, topic, lambda message, name=name: setattr(self, name, message), qos)

    def until(self, condition: Callable[[], object], what: str, seconds: float = PATIENCE) -> None:
        deadline = time.monotonic() + seconds
        while not condition():
            assert time.monotonic() < deadline, f"{what}; brain: {self.brain}; driver: {self.driver}"
            self.executor.spin_once(0.02)

    def watch(self, seconds: float, velocity: float = 0.0) -> None:
        """For so long, and steer him.

        It is the body's time that counts: where the machine has much else to do, simulated bodies are slow.
        """
        twist, begun = Twist(), self.now
        twist.linear.x = velocity
        deadline = time.monotonic() + PATIENCE
        while self.now < begun + seconds:
            assert time.monotonic() < deadline, f"the body's time stands at {self.now} s"
            self.velocity.publish(twist)
            self.executor.spin_once(0.05)

    @property
    def now(self) -> float:
        return self.odometry.header.stamp.sec + 1e-9 * self.odometry.header.stamp.nanosec

    @property
    def place(self) -> tuple[float, float]:
        return self.odometry.pose.pose.position.x, self.odometry.pose.pose.position.y

    def call(self, kind: type, name: str, request: object) -> object:
        client = self.node.create_client(kind, name)
        self.until(client.service_is_ready, name)
        future = client.call_async(request)
        self.until(future.done, name)
        return future.result()

    @property
    def height(self) -> float:
        return self.odometry.pose.pose.position.z

    def close(self) -> None:
        self.executor.shutdown()
        self.node.destroy_node()
        rclpy.shutdown(context=self.context)


@pytest.fixture
def onlooker(ros_domain: int, nodes_alive) -> Iterator[Onlooker]:
    body = start_body(ros_domain)
    seen = Onlooker(ros_domain)
    try:
        yield seen
    finally:
        seen.close()
        for process in body:
            process.send_signal(signal.SIGINT)
        for process in body:
            process.wait(10.0)


class Ours:
    """`./jack deploy`, and services called by a client."""

    deploy = (sys.executable, "-m", "jack_trainer.cli", "deploy", "--policy", "pretrained", "--trial", str(TRIAL))

    def __init__(self, onlooker: Onlooker) -> None:
        self.onlooker = onlooker

    def state(self, node: str) -> str:
        return self.onlooker.call(GetState, f"{node}/get_state", GetState.Request()).current_state.label

    def load(self, path: Path) -> str:
        return str(self.onlooker.call(LoadPolicy, "brain/load_policy", LoadPolicy.Request(path=str(path))))

    def trigger(self, name: str) -> str:
        return str(self.onlooker.call(Trigger, name, Trigger.Request()))


class Ros2:
    """`ros2 launch`, `ros2 lifecycle`, `ros2 service`."""

    deploy = ("ros2", "launch", "jack_brain", "deploy.launch.py", "policy:=pretrained", f"trial:={TRIAL}")

    def __init__(self, onlooker: Onlooker) -> None:
        del onlooker

    def state(self, node: str) -> str:
        return _ros2("lifecycle", "get", "--no-daemon", "--spin-time", "3", f"/{node}").split()[0]

    def load(self, path: Path) -> str:
        return _ros2("service", "call", "/brain/load_policy", "jack_msgs/srv/LoadPolicy", f"{{path: {path}}}")

    def trigger(self, name: str) -> str:
        return _ros2("service", "call", f"/{name}", "std_srvs/srv/Trigger")


def _ros2(*words: str) -> str:
    command = ["nice", "-n", "19", "ros2", *words]  # beside the robot's computer, not on it
    done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def sibling(policy: bytes) -> bytes:
    """A policy that does the same, and is another file."""
    model = onnx.load_from_string(policy[:-SEAL_SIZE])
    model.doc_string = "another"
    return seal(model.SerializeToString())


def begin(onlooker: Onlooker, commands: Ours | Ros2) -> None:
    """Wait until he is driven and on his feet, and has been for a while.

    Where a reading was late, do as an operator would: he may have fallen, and be let down anew.
    """
    since = time.monotonic()

    def begun() -> bool:
        nonlocal since
        driven = onlooker.brain.mode == JointCommand.RUN and onlooker.driver.state == DriverStatus.DRIVING
        if not driven or onlooker.gantry.data != GantryMode.RELEASED:
            since = time.monotonic()
        if onlooker.brain.state == BrainStatus.FAULT:
            commands.trigger("brain/reset_fault")
        elif onlooker.brain.mode == JointCommand.RUN and onlooker.driver.state == DriverStatus.DAMPING:
            commands.trigger("driver/reset")
        return time.monotonic() - since > STAND

    onlooker.until(begun, "he is not driven")


def walk(onlooker: Onlooker, commands: Ours | Ros2) -> float:
    """Have him stand, and then walk; how far he got [m]. Once more if a machine too busy brought a reading late."""
    for _ in range(ATTEMPTS):
        begin(onlooker, commands)
        assert onlooker.height > 0.6, "he fell, standing"
        begun = onlooker.place
        onlooker.watch(WALK, SPEED)
        if not onlooker.brain.fault.startswith(LATE):
            break
    assert onlooker.height > 0.6, f"he fell, walking; brain: {onlooker.brain}"
    return math.dist(begun, onlooker.place)


NEEDS_ROS2 = pytest.mark.skipif(
    shutil.which("ros2") is None, reason="needs ROS 2's own launch and commands: source /opt/ros/jazzy/setup.bash"
)


@pytest.mark.parametrize("front_end", [Ours, pytest.param(Ros2, marks=NEEDS_ROS2)])
def test_what_the_deploy_launch_drives_may_as_well_be_hardware(front_end, onlooker, ros_domain, tmp_path):
    """He stands, walks, takes over another policy after its trial, and is damped when told to stop."""
    environment = os.environ | {"ROS_DOMAIN_ID": str(ros_domain), "JACK_ROOT": str(tmp_path)}
    log = (tmp_path / "log").open("w")
    launch = subprocess.Popen(front_end.deploy, env=environment, stdout=log, stderr=subprocess.STDOUT)
    commands = front_end(onlooker)
    try:
        begin(onlooker, commands)
        assert (commands.state("brain"), commands.state("driver")) == ("active", "active")
        topics = dict(onlooker.node.get_topic_names_and_types())
        assert not {"/clock", "/odom", "/tf"} & {name for name in topics if onlooker.node.count_publishers(name)}
        assert walk(onlooker, commands) > FAR
        onlooker.watch(1.0)
        first = onlooker.brain.swaps
        heir = tmp_path / "heir.onnx"
        heir.write_bytes(sibling(pretrained_policy().read_bytes()))
        commands.load(heir)
        onlooker.until(lambda: onlooker.brain.shadow, "the heir is not tried")
        assert onlooker.brain.swaps == first
        onlooker.watch(TRIAL)
        onlooker.until(lambda: "success=True" in commands.trigger("brain/promote"), "the heir is never ready")
        onlooker.until(lambda: onlooker.brain.swaps == first + 1, "the heir does not take over")
        onlooker.watch(2.0)
        assert onlooker.height > 0.6 and onlooker.brain.mode == JointCommand.RUN
        assert "success=True" in commands.trigger("driver/stop")
        onlooker.until(lambda: onlooker.driver.state == DriverStatus.DAMPING, "he is not damped")
    finally:
        launch.send_signal(signal.SIGINT)
        try:
            launch.wait(20.0)
        finally:
            launch.kill()
            log.close()
            print((tmp_path / "log").read_text()[-4000:])
