"""The supervisor on stand-ins for nodes: small shell programs in a workspace of their own."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from jack_launch.description import NodeSpec
from jack_trainer.supervisor import MissingProgramError, Supervisor, command


@pytest.fixture
def workspace(tmp_path, monkeypatch):
    monkeypatch.setenv("AMENT_PREFIX_PATH", f"{tmp_path / 'empty'}:{tmp_path / 'install'}")
    return tmp_path


def program(workspace: Path, name: str, text: str) -> NodeSpec:
    path = workspace / "install" / "lib" / "toys" / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/bash\n{text}\n")
    path.chmod(0o755)
    return NodeSpec("toys", name, name, parameters={"speed": 1.5}, environment={"MOOD": "good"})


def wait_for(condition, seconds: float = 5.0) -> bool:
    deadline = time.monotonic() + seconds
    while not condition() and time.monotonic() < deadline:
        time.sleep(0.02)
    return bool(condition())


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except FileNotFoundError:
        return False


def pid_in(path: Path) -> int:
    assert wait_for(lambda: path.exists() and path.read_text().strip())
    return int(path.read_text())


def test_a_node_gets_its_ros_arguments_its_environment_and_a_log_of_its_own(workspace):
    spec = program(workspace, "talker", 'echo "$MOOD: $*"; pwd; exec sleep 60')
    with Supervisor([spec], workspace / "log") as supervisor:
        assert wait_for(lambda: supervisor.log(spec).read_text().count("\n") == 2)
        said = supervisor.log(spec).read_text().splitlines()
    assert said == ["good: --ros-args -r __node:=talker -p speed:=1.5", str(workspace / "log")]
    assert supervisor.log(spec) == workspace / "log" / "talker.log"


def test_a_node_that_dies_is_named_once_with_its_exit_code_last_words_and_log(workspace):
    spec = program(workspace, "sick", "for i in $(seq 30); do echo line $i; done; exit 3")
    with Supervisor([spec, program(workspace, "well", "exec sleep 60")], workspace / "log") as supervisor:
        deaths = []
        assert wait_for(lambda: deaths.extend(supervisor.poll()) or deaths)
        assert supervisor.poll() == []
    text = str(deaths[0])
    assert "/sick died (exit code 3)" in text
    assert str(workspace / "log" / "sick.log") in text
    assert "line 30" in text and "line 19\n" in text and "line 18\n" not in text


def test_a_node_that_is_killed_is_named_with_the_signal(workspace):
    spec = program(workspace, "crash", "kill -SEGV $$")
    with Supervisor([spec], workspace / "log") as supervisor:
        deaths = []
        assert wait_for(lambda: deaths.extend(supervisor.poll()) or deaths)
    assert "/crash died (SIGSEGV)" in str(deaths[0]) and deaths[0].exit_code == -signal.SIGSEGV


def test_who_was_started_deaf_to_ctrl_c_ends_his_nodes_all_the_same(workspace):
    """A script that starts something in its background makes it ignore SIGINT, and that is inherited."""
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        with Supervisor([program(workspace, "sleeper", "exec sleep 60")], workspace / "log"):
            begun = time.monotonic()
    finally:
        signal.signal(signal.SIGINT, before)
    assert time.monotonic() - begun < 1.0


@pytest.mark.parametrize(("deaf_to", "at_most"), [("", 1.0), ("INT", 3.0), ("INT TERM", 3.5)])
def test_all_end_within_five_seconds_whatever_they_are_deaf_to(workspace, deaf_to, at_most):
    # Without a trap of its own, bash ignores a SIGINT that comes just as the program it waits for has ended; and
    # its `wait` would sleep through one that comes just before.
    forever = "while true; do sleep 0.05; done"
    trap = f"trap '' {deaf_to}; " if deaf_to else "trap exit INT; "
    stubborn = program(workspace, "stubborn", f"{trap}echo $$ > stubborn.pid; {forever}")
    parent = program(
        workspace, "parent", f"{trap}(while true; do sleep 0.1; done) & echo $! > grandchild.pid; {forever}"
    )
    with Supervisor([stubborn, parent], workspace / "log") as supervisor:
        pids = [pid_in(workspace / "log" / name) for name in ("stubborn.pid", "grandchild.pid")]
        assert all(alive(pid) for pid in pids)
        begun = time.monotonic()
    took = time.monotonic() - begun
    assert took < at_most
    assert wait_for(lambda: not any(alive(pid) for pid in pids), 0.3)
    assert supervisor.poll() == []


def test_nobody_survives_a_supervisor_that_is_killed(workspace):
    program(workspace, "orphan", "trap '' INT TERM HUP; echo $$ > orphan.pid; while true; do sleep 0.05; done")
    script = (
        "import sys, time; from pathlib import Path; from jack_launch.description import NodeSpec\n"
        "from jack_trainer.supervisor import Supervisor\n"
        "with Supervisor([NodeSpec('toys', 'orphan', 'orphan')], Path(sys.argv[1])): time.sleep(60)\n"
    )
    process = subprocess.Popen([sys.executable, "-c", script, str(workspace / "log")])
    try:
        pid = pid_in(workspace / "log" / "orphan.pid")
        assert alive(pid)
    finally:
        process.kill()
        process.wait()
    assert wait_for(lambda: not alive(pid), 2.0)


def test_a_start_that_fails_halfway_leaves_nothing_running(workspace):
    first = program(workspace, "first", "echo $$ > first.pid; exec sleep 60")
    second = program(workspace, "second", "exit 0")
    supervisor = Supervisor([first, second], workspace / "log")
    (workspace / "install" / "lib" / "toys" / "second").unlink()
    with pytest.raises(FileNotFoundError), supervisor:
        pass
    path = workspace / "log" / "first.pid"
    assert not path.exists() or not alive(int(path.read_text() or -1))


def test_a_program_that_is_not_built_is_named_with_what_to_type(workspace):
    with pytest.raises(MissingProgramError, match=r"nobody of toys.*\./jack setup"):
        Supervisor([NodeSpec("toys", "nobody", "nobody")], workspace / "log")


def test_the_first_workspace_that_has_the_program_wins(workspace, monkeypatch):
    spec = program(workspace, "talker", "exit 0")
    monkeypatch.setenv("AMENT_PREFIX_PATH", os.environ["AMENT_PREFIX_PATH"] + ":/usr")
    assert command(spec)[0] == str(workspace / "install" / "lib" / "toys" / "talker")
