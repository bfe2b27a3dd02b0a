"""Faults of whole graphs: what listens, what killed nodes leave behind, and a walk while everything goes wrong."""

from __future__ import annotations

import os
import random
import socket
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

pytest.importorskip("rclpy", reason="needs ROS 2 and Jack's messages: ./jack test has them")

from jack_msgs.msg import JointCommand

from jack_contract.contract import default_contract
from jack_launch.graphs import DEPLOY, PRETRAINED
from jack_trainer.console_node import Connection
from jack_trainer.session import STANDING
from jack_trainer.supervisor import Supervisor

sys.path.insert(0, str(Path(__file__).parent))
import chaos

pytestmark = pytest.mark.ros

SOAK = os.environ.get("JACK_SOAK") == "1"
#: Enough for a machine that has much else to do [s].
PATIENCE = 60.0
#: State of a listening TCP socket in /proc/net/tcp (Linux, include/net/tcp_states.h).
_LISTEN = "0A"
_LOOPBACK = {"0100007F", "00000000000000000000000001000000"}  # 127.0.0.1 and ::1, as the kernel writes them


def listening(pids: set[int]) -> list[str]:
    """Addresses, `host:port` in hexadecimal, on which these processes accept TCP connections."""
    owned = set()
    for pid in pids:
        for link in Path(f"/proc/{pid}/fd").iterdir():
            try:
                owned.add(str(link.readlink()))
            except FileNotFoundError:  # closed meanwhile
                continue
    found = []
    for table in ("tcp", "tcp6"):
        for line in Path(f"/proc/net/{table}").read_text().splitlines()[1:]:
            fields = line.split()
            if fields[3] == _LISTEN and f"socket:[{fields[9]}]" in owned:
                found.append(fields[1])
    return found


def open_to_others(addresses: list[str]) -> list[str]:
    return [address for address in addresses if address.split(":")[0] not in _LOOPBACK]


@pytest.mark.parametrize(("host", "seen"), [("0.0.0.0", 1), ("127.0.0.1", 0)])
def test_a_listener_is_found(host, seen):
    with socket.create_server((host, 0)):
        assert len(open_to_others(listening({os.getpid()}))) == seen


def shared_memory() -> int:
    """Bytes that DDS holds in /dev/shm."""
    return sum(file.stat().st_blocks * 512 for file in Path("/dev/shm").glob("*fastrtps*"))


@pytest.mark.slow
def test_fault_32_killed_nodes_leave_bounded_memory_and_are_found_again(ros_domain, tmp_path):
    """Each of sim, driver and brain in turn; everybody hears the new one within 3 s of its start."""
    times = 100 if SOAK else 4
    specs = {spec.name: spec for spec in DEPLOY.nodes({"sim": "true", "policy": PRETRAINED})}
    held = []
    with Connection(list(specs.values())) as connection:
        alive = {name: start(spec, tmp_path) for name, spec in specs.items()}
        try:
            wait_for_all(connection, specs)
            for round_ in range(times):
                for name, spec in specs.items():
                    alive[name]._running[0].process.kill()
                    alive[name].stop()
                    alive[name] = start(spec, tmp_path)
                    begun = time.monotonic()
                    wait_for_all(connection, {name: spec}, 3.0 + STARTING)
                    assert time.monotonic() - begun < 3.0 + STARTING
                if round_ >= times // 2:
                    held.append(shared_memory())
        finally:
            for supervisor in alive.values():
                supervisor.stop()
    assert max(held) < 200e6 and held[-1] <= 1.2 * held[0], held


#: A process of Python with numpy and ROS takes so long to begin [s].
STARTING = 7.0


def start(spec, logs: Path) -> Supervisor:
    supervisor = Supervisor([spec], logs)
    supervisor.__enter__()
    return supervisor


def wait_for_all(connection, specs, seconds: float = PATIENCE) -> None:
    deadline = time.monotonic() + seconds
    while not set(specs) <= set(connection.node.get_node_names()):
        assert time.monotonic() < deadline, connection.node.get_node_names()
        connection.listen(0.05)


@pytest.mark.slow
def test_a_walk_while_everything_goes_wrong(ros_domain, tmp_path):
    """Every fault once; the soak is ten minutes."""
    walk = chaos.walk(600.0 if SOAK else 60.0, tmp_path)
    assert [(outcome.name, outcome.wrong) for outcome in walk.outcomes if outcome.wrong] == []
    assert not walk.violations and walk.commands > 1000
    if SOAK:
        assert {outcome.name for outcome in walk.outcomes} == {fault.name for fault in chaos.FAULTS}


@pytest.mark.parametrize(
    ("field", "value", "named"),
    [
        ("position", 9.0, "a position limit"),
        ("damping", float("nan"), "a number"),
        ("stiffness", 1e6, "a gain"),
    ],
)
def test_the_judge_of_that_walk_names_what_a_motor_must_not_hear(field, value, named):
    robot = default_contract().robot
    judge = chaos.Chaos((), Path(), random.Random())
    command = JointCommand(mode=JointCommand.RUN, name=list(robot.joint_names))
    command.position, command.damping = robot.default_position.tolist(), robot.damping.tolist()
    command.stiffness = robot.stiffness.tolist()
    assert judge.broken(command) == []
    getattr(command, field)[2] = value
    assert judge.broken(command) == [named]
    assert judge.broken(JointCommand()) == ["names"]


# -- a graph that all tests below share: they come last, a process has one connection at a time


@pytest.fixture(scope="module")
def deployed(shared_ros_domain, tmp_path_factory) -> Iterator[tuple[Supervisor, Connection]]:
    """Jack, simulated, driven by the policy that ships."""
    specs = DEPLOY.nodes({"sim": "true", "policy": PRETRAINED})
    with Supervisor(specs, tmp_path_factory.mktemp("graph")) as supervisor, Connection(specs) as connection:
        deadline = time.monotonic() + PATIENCE
        while connection.node.sight.gantry != STANDING:
            assert time.monotonic() < deadline and not supervisor.poll()
            connection.listen(0.1)
        yield supervisor, connection


def test_fault_33_nothing_listens_but_dds(deployed):
    supervisor, _ = deployed
    pids = {child.process.pid for child in supervisor._running}
    assert len(pids) == 3
    assert listening(pids) == []  # no TCP at all: DDS speaks UDP and shared memory


@pytest.mark.slow
def test_fault_34_time_alone_costs_nothing(deployed):
    """Memory, descriptors and threads of every process, over ten seconds; the soak is an hour."""
    supervisor, connection = deployed
    connection.listen(10.0)
    before = [usage(child.process.pid) for child in supervisor._running]
    connection.listen(3600.0 if SOAK else 10.0)
    assert supervisor.poll() == []
    for (memory, files, threads), child in zip(before, supervisor._running, strict=True):
        now = usage(child.process.pid)
        assert now[0] < 1.05 * memory + 4e6 and now[1] <= files + 2 and now[2] <= threads + 1, child.spec.name


def usage(pid: int) -> tuple[int, int, int]:
    """Resident bytes, open descriptors, threads."""
    status = dict(line.split(":", 1) for line in Path(f"/proc/{pid}/status").read_text().splitlines())
    return (
        int(status["VmRSS"].split()[0]) * 1024,
        len(list(Path(f"/proc/{pid}/fd").iterdir())),
        int(status["Threads"]),
    )
