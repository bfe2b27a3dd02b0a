"""Set-up: what it refuses, what it installs, and that it can be killed anywhere."""
# ruff: noqa: E402 (set-up is no package: its folder has to be put on the path first)

import os
import random
import re
import shutil
import signal
import stat
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "bootstrap"))

import check
import lock
import lockfile
import packages
import preflight
import progress
import ros
from checkout import Checkout, write_whole
from preflight import Need, Python
from progress import SetupError

# ----------------------------------------------------------------------------------------------------
# Stand-ins for venv, pip and colcon: the same order of writes as the real ones, slowly.

VENV = """
import sys, time, venv
from pathlib import Path
target = Path(sys.argv[-1])
venv.EnvBuilder(symlinks=True).create(target)
time.sleep(0.05)
site = next(target.glob("lib/python3.*/site-packages"))
info = site / "pip-1.0.dist-info"
info.mkdir()
(info / "METADATA").write_text("Name: pip\\nVersion: 1.0\\n")
(target / "bin/pip").write_text(f"#!{target}/bin/python")
time.sleep(0.05)
(info / "RECORD").write_text("pip-1.0.dist-info/INSTALLER,,\\n")
"""

PIP = """
import fcntl, os, sys, sysconfig, time
from pathlib import Path
site = Path(sysconfig.get_path("purelib"))
calls = site.parents[3] / "pip-calls.txt"
if "--version" in sys.argv:
    sys.exit()
if "--dry-run" in sys.argv:
    sys.exit(1 if os.environ.get("OFFLINE") else 0)
busy = (site / "busy").open("w")
try:
    fcntl.flock(busy, fcntl.LOCK_EX | fcntl.LOCK_NB)
except BlockingIOError:
    calls.open("a").write("TWO AT ONCE\\n")
for line in Path(sys.argv[sys.argv.index("-r") + 1]).read_text().split():
    name, version = line.split("==")
    calls.open("a").write(line + "\\n")
    info = site / f"{name}-{version}.dist-info"
    if (info / "METADATA").exists():
        continue  # as pip does: what has metadata counts as installed
    info.mkdir(exist_ok=True)
    (info / "METADATA").write_text(f"Name: {name}\\nVersion: {version}\\n")
    (info / "RECORD").write_text("the wheel's own\\n")
    for number in range(4):
        time.sleep(float(os.environ.get("SLOW", "0.004")))
        (site / f"{name}_{number}.py").write_text("whole")
    (info / "RECORD").write_text(f"{info.name}/INSTALLER,,\\n")
"""

COLCON = """
import sys, time
from pathlib import Path
install = Path(sys.argv[sys.argv.index("--install-base") + 1])
install.mkdir(exist_ok=True)
sources = sys.argv[sys.argv.index("--base-paths") + 1 : sys.argv.index("--metas")]
for package in map(Path, sources):
    assert (package / "package.xml").exists(), package
    print("Starting >>>", package.name, flush=True)
    (install / package.name).mkdir(exist_ok=True)
    time.sleep(0.03)
    (install / package.name / "done").write_text("whole")
    print("Finished <<<", package.name, "[0.1s]", flush=True)
(install / "local_setup.bash").write_text(f"export PYTHONPATH={install}/../../fake:$PYTHONPATH\\nexport OURS=1\\n")
"""

DRIVER = """
import os, sys
from pathlib import Path
root = Path({root!r})
sys.path.insert(0, str(root / "bootstrap"))
sys.argv[0] = str(root / "bootstrap/setup.py")
import setup
from checkout import Checkout
tools = [str(root / "stand-in" / name) for name in ("make_venv.py", "fake_pip.py", "fake_colcon.py")]
setup.Checkout = lambda place: Checkout(place, *[(tool,) for tool in tools])
setup.system_needs = lambda python, ros: []
setup.__file__ = sys.argv[0]
with (root / "setup-calls.txt").open("a") as calls:
    calls.write("x")
sys.exit(setup.main())
"""

PINS = {
    "pip": "2.0",
    "setuptools": "79.0",
    "torch": "2.13.0",
    "alpha": "1.0",
    "beta-x": "2.1",
    "ros-jazzy-rclpy": "7.1",
}


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    """A small checkout whose `./jack` uses the stand-ins."""
    root = tmp_path / "clone"
    shutil.copytree(ROOT / "bootstrap", root / "bootstrap", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "jack", root / "jack")
    for package in ("jack_one", "jack_two"):
        (root / "src" / package).mkdir(parents=True)
        (root / "src" / package / "package.xml").write_text(f"<package><name>{package}</name></package>")
    (root / "colcon.meta").write_text("{}")
    (root / "fake" / "jack_trainer").mkdir(parents=True)
    (root / "fake" / "jack_trainer" / "cli.py").write_text(
        "import os, sys; print(sys.argv[1:], os.environ['OURS'])"
    )
    lines = [f"{name}=={version}" for name, version in PINS.items()]
    (root / "bootstrap" / "requirements.lock").write_text("\n".join(["[base]", *lines[:-1], "[ros]", lines[-1]]))
    (root / "stand-in").mkdir()
    driver = DRIVER.format(root=str(root))
    for name, text in {"make_venv": VENV, "fake_pip": PIP, "fake_colcon": COLCON, "driver": driver}.items():
        (root / "stand-in" / f"{name}.py").write_text(text)
    executable(
        root / "stand-in" / "python",
        f'[[ ${{3-}} == */bootstrap/setup.py ]] && exec {sys.executable} {root}/stand-in/driver.py "${{@:4}}"\n'
        f'exec {sys.executable} "$@"',
    )
    return root


def executable(path: Path, text: str) -> Path:
    path.write_text("#!/bin/bash\n" + text + "\n")
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return path


def environment(root: Path, **extra: str) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("JACK_", "ROS_", "PYTHON"))}
    own = {"JACK_PYTHON": str(root / "stand-in" / "python"), "JACK_ROS_PREFIX": "pypi", "JACK_TORCH_INDEX": "x"}
    return kept | own | extra


def jack(root: Path, *arguments: str, **extra: str) -> subprocess.CompletedProcess[str]:
    argv = [str(root / "jack"), *arguments]
    return subprocess.run(argv, env=environment(root, **extra), capture_output=True, text=True, timeout=60)


def start(root: Path, **extra: str) -> subprocess.Popen[str]:
    argv = [str(root / "jack"), "setup"]
    return subprocess.Popen(
        argv,
        env=environment(root, **extra),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def assert_complete(root: Path) -> None:
    """Everything that set-up makes is there and whole."""
    site = next((root / ".venv").glob("lib/python3.*/site-packages"))
    for name, version in PINS.items():
        record = site / f"{name}-{version}.dist-info" / "RECORD"
        assert "INSTALLER" in record.read_text(), name
        assert [(site / f"{name}_{number}.py").read_text() for number in range(4)] == ["whole"] * 4, name
    for package in ("jack_one", "jack_two"):
        assert (root / ".jack" / "install" / package / "done").read_text() == "whole"
    assert (root / ".jack" / "env.sh").read_text().endswith("\n")
    assert re.fullmatch(r"[0-9a-f]{64}\n", (root / ".jack" / "ready").read_text())
    assert "TWO AT ONCE" not in (root / "pip-calls.txt").read_text()


# ----------------------------------------------------------------------------------------------------
# The whole way


def test_first_call_sets_up_and_second_does_nothing(clone: Path) -> None:
    first = jack(clone, "train", "--steps", "3")
    assert first.returncode == 0, first.stderr
    assert first.stdout == "['train', '--steps', '3'] 1\n"
    assert re.search(r"^\[3/5\] Python packages, ROS 2 from PyPI: done \(\d+\.\d s\)$", first.stderr, re.MULTILINE)
    assert_complete(clone)
    calls = (clone / "pip-calls.txt").read_text()

    began = time.monotonic()
    second = jack(clone, "train", OFFLINE="1")
    assert second.returncode == 0
    assert second.stderr == ""
    assert time.monotonic() - began < 1.0
    assert (clone / "setup-calls.txt").read_text() == "x"
    assert (clone / "pip-calls.txt").read_text() == calls


def test_a_change_of_what_is_built_sets_up_again_without_network(clone: Path) -> None:
    assert jack(clone, "setup").returncode == 0
    calls = (clone / "pip-calls.txt").read_text()
    (clone / "src" / "jack_one" / "package.xml").write_text("<package><name>jack_one</name><!-- new --></package>")
    assert jack(clone, "setup", OFFLINE="1").returncode == 0
    assert (clone / "setup-calls.txt").read_text() == "xx"
    assert (clone / "pip-calls.txt").read_text() == calls


@pytest.mark.parametrize(
    ("path", "again"),
    [
        ("src/jack_one/launch/new.launch.py", True),
        ("src/jack_one/jack_one/module.py", False),
        ("README.md", False),
    ],
)
def test_which_new_files_set_up_again(clone: Path, path: str, again: bool) -> None:
    assert jack(clone, "setup").returncode == 0
    (clone / path).parent.mkdir(parents=True, exist_ok=True)
    (clone / path).write_text("new")
    assert jack(clone, "setup").returncode == 0
    assert (clone / "setup-calls.txt").read_text() == ("xx" if again else "x")


def test_a_moved_checkout_is_set_up_anew(clone: Path) -> None:
    assert jack(clone, "setup").returncode == 0
    moved = clone.rename(clone.parent / "moved")
    driver = moved / "stand-in" / "driver.py"
    driver.write_text(driver.read_text().replace(str(clone), str(moved)))
    python = moved / "stand-in" / "python"
    python.write_text(python.read_text().replace(str(clone), str(moved)))
    assert jack(moved, "setup").returncode == 0
    assert str(moved) in (moved / ".venv" / "bin" / "pip").read_text()
    assert str(clone) not in (moved / ".jack" / "env.sh").read_text()


def test_without_network_nothing_is_half_done(clone: Path) -> None:
    refused = jack(clone, "setup", OFFLINE="1")
    assert refused.returncode == 1
    assert "6 Python packages are missing and no package index answers" in refused.stderr
    assert "HTTPS_PROXY" in refused.stderr
    assert not (clone / "pip-calls.txt").exists()
    assert jack(clone, "setup").returncode == 0
    assert_complete(clone)


def test_killed_anywhere_the_next_call_finishes(clone: Path) -> None:
    """kill -9 of everything, at moments spread over a whole set-up."""
    randomly = random.Random(2)
    began = time.monotonic()
    assert jack(clone, "setup").returncode == 0
    whole = time.monotonic() - began
    shutil.rmtree(clone / ".venv")
    shutil.rmtree(clone / ".jack")
    reached = set()
    for _ in range(14):
        process = start(clone)
        time.sleep(randomly.uniform(0.05, 0.8) * whole)
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
        said = process.communicate()[1]
        reached |= set(re.findall(r"\[(\d)/5\]", said))
        if (clone / ".jack" / "ready").exists():  # it had come to its end: begin again, from a random part
            shutil.rmtree(randomly.choice([clone / ".jack", clone / ".venv", clone / ".jack" / "install"]))
            (clone / ".jack" / "ready").unlink(missing_ok=True)
        if time.monotonic() - began > 15:
            break
    last = jack(clone, "setup")
    assert last.returncode == 0, last.stderr
    assert_complete(clone)
    assert reached >= {"1", "2", "3"}


def test_only_set_up_killed_the_next_call_waits_for_its_pip(clone: Path) -> None:
    first = start(clone, SLOW="0.4")
    until = time.monotonic() + 20
    while not (clone / "pip-calls.txt").exists() and time.monotonic() < until:
        time.sleep(0.01)
    children = subprocess.run(["pgrep", "-P", str(first.pid)], capture_output=True, text=True).stdout.split()
    for pid in [*map(int, children), first.pid]:  # set-up and ./jack, not what set-up started
        os.kill(pid, signal.SIGKILL)
    first.communicate()
    second = jack(clone, "setup")
    assert second.returncode == 0, second.stderr
    assert "Another set-up of this checkout is at work" in second.stderr
    assert_complete(clone)


def test_two_set_ups_at_once_are_one(clone: Path) -> None:
    both = [start(clone, SLOW="0.1") for _ in range(2)]
    said = [process.communicate(timeout=60)[1] for process in both]
    assert [process.returncode for process in both] == [0, 0]
    assert sum("waiting for it" in text for text in said) == 1
    assert_complete(clone)
    assert len((clone / "pip-calls.txt").read_text().split()) == len(PINS)


def test_half_installed_packages_are_installed_again(clone: Path) -> None:
    assert jack(clone, "setup").returncode == 0
    site = next((clone / ".venv").glob("lib/python3.*/site-packages"))
    (site / "alpha_3.py").unlink()
    (site / "alpha-1.0.dist-info" / "RECORD").write_text("the wheel's own\n")
    (clone / ".jack" / "ready").unlink()
    assert jack(clone, "setup").returncode == 0
    assert_complete(clone)


def test_help_needs_no_set_up(clone: Path) -> None:
    for arguments in ([], ["--help"], ["-h"]):
        shown = jack(clone, *arguments)
        assert shown.returncode == 0
        assert "usage: ./jack" in shown.stdout
    assert not (clone / ".jack").exists()


def test_the_underlay_is_built_where_ros_lacks_it(clone: Path) -> None:
    package = clone / "underlay" / "tf2_msgs" / "package.xml"
    package.parent.mkdir(parents=True)
    package.write_text("<package><name>tf2_msgs</name></package>")
    assert jack(clone, "setup").returncode == 0
    built = clone / ".jack" / "install" / "tf2_msgs"
    assert built.is_dir()
    (clone / ".venv" / "share" / "tf2_msgs").mkdir(parents=True)
    (clone / ".venv" / "share" / "tf2_msgs" / "package.xml").write_text(
        f"<package><name>{package}</name></package>"
    )
    (clone / ".jack" / "ready").unlink()
    assert jack(clone, "setup").returncode == 0
    assert not built.exists()


def test_a_failed_build_shows_its_log_and_says_where_it_is(clone: Path) -> None:
    (clone / "stand-in" / "fake_colcon.py").write_text("print('error: no such message'); raise SystemExit(2)")
    failed = jack(clone, "setup")
    assert failed.returncode == 1
    assert "error: no such message" in failed.stderr
    assert str(clone / ".jack" / "log" / "build.log") in failed.stderr
    assert not (clone / ".jack" / "ready").exists()


# ----------------------------------------------------------------------------------------------------
# Finding Python


def tools_without_python(folder: Path) -> Path:
    folder.mkdir()
    for name in ("bash", "env", "readlink", "find", "sort", "cat", "sha256sum", "cut"):
        (folder / name).symlink_to(shutil.which(name) or name)
    return folder


def test_without_python_one_line_says_what_to_type(clone: Path, tmp_path: Path) -> None:
    tools = tools_without_python(tmp_path / "tools")
    refused = jack(clone, "setup", PATH=str(tools), JACK_PYTHON="")
    assert refused.returncode == 1
    assert refused.stderr.count("\n") == 1
    assert "sudo apt-get install -y python3 python3-venv" in refused.stderr
    assert not (clone / ".jack").exists()


def test_a_shim_that_does_not_run_is_passed_over(clone: Path, tmp_path: Path) -> None:
    tools = tools_without_python(tmp_path / "tools")
    executable(tools / "python3.12", "echo 'pyenv: python3.12: command not found' >&2; exit 127")
    executable(tools / "python3.11", "exit 1")
    (tools / "python3").symlink_to(clone / "stand-in" / "python")
    done = jack(clone, "setup", PATH=str(tools), JACK_PYTHON="")
    assert done.returncode == 0, done.stderr
    assert_complete(clone)


def test_probe_tells_a_python_from_a_shim(tmp_path: Path) -> None:
    shim = executable(tmp_path / "python3.12", "echo 'command not found' >&2; exit 127")
    assert preflight.probe(str(shim)) is None
    found = preflight.probe(sys.executable)
    assert found is not None
    assert found.version == f"{sys.version_info[0]}.{sys.version_info[1]}"


def test_a_complete_python_is_taken_before_one_that_lacks_a_package(monkeypatch: pytest.MonkeyPatch) -> None:
    lacking = Python("/a", "3.12", can_make_environments=False, has_headers=True)
    whole = Python("/b", "3.11", can_make_environments=True, has_headers=True)
    other = Python("/c", "3.13", can_make_environments=True, has_headers=True)
    known = {"/a": lacking, "/b": whole, "/c": other}
    monkeypatch.setattr(preflight, "probe", known.get)
    monkeypatch.setattr(preflight, "interpreters", lambda versions: iter(["/c", "/x", "/a", "/b"]))
    assert preflight.find_python(ros.Ros(None)) == whole
    del known["/b"]
    assert preflight.find_python(ros.Ros(None)) == lacking
    del known["/a"]
    with pytest.raises(SetupError, match=r"needs Python 3\.11 or 3\.12.*sudo apt-get install python3"):
        preflight.find_python(ros.Ros(None))


# ----------------------------------------------------------------------------------------------------
# What is refused before anything is done


def test_a_path_that_ros_cannot_take(tmp_path: Path) -> None:
    with pytest.raises(SetupError, match=r"mv .*my robot"):
        preflight.check_place(Checkout(tmp_path / "my robot"))


def test_a_checkout_that_cannot_be_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(preflight.os, "access", lambda path, mode: False)
    with pytest.raises(SetupError, match="sudo chown -R"):
        preflight.check_place(Checkout(tmp_path))


def test_wheels_are_for_x86_64_only() -> None:
    with pytest.raises(SetupError, match=r"linux on aarch64.*apt.*Docker"):
        preflight.check_machine(ros.Ros(None), machine="aarch64")
    preflight.check_machine(ros.Ros(Path("/opt/ros/jazzy")), machine="aarch64")
    preflight.check_machine(ros.Ros(None), machine="x86_64")


def test_too_little_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def free(gib: float) -> None:
        monkeypatch.setattr(
            preflight.shutil, "disk_usage", lambda path: shutil._ntuple_diskusage(0, 0, int(gib * 2**30))
        )

    free(3.9)
    with pytest.raises(SetupError, match=r"3\.9 GB are free .* needs 4\. Make room"):
        preflight.check_disk(Checkout(tmp_path), "https://an.index")
    free(4.1)
    preflight.check_disk(Checkout(tmp_path), "https://an.index")
    with pytest.raises(SetupError, match=r"needs 10 .*JACK_TORCH_INDEX"):
        preflight.check_disk(Checkout(tmp_path), "")
    (tmp_path / ".venv/lib/python3.11/site-packages/torch-2.13.0.dist-info").mkdir(parents=True)
    preflight.check_disk(Checkout(tmp_path), "")


def test_a_ros_prefix_without_ros(tmp_path: Path) -> None:
    with pytest.raises(SetupError, match=r"no ROS 2 with rclpy in .*JACK_ROS_PREFIX=pypi"):
        ros.find_ros({"JACK_ROS_PREFIX": str(tmp_path)})


def test_where_ros_comes_from(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ros, "APT_PREFIX", tmp_path)
    assert ros.find_ros({}).lock_sections == ("base", "ros")
    (tmp_path / "setup.bash").touch()
    (tmp_path / "lib/python3.12/site-packages/rclpy").mkdir(parents=True)
    assert ros.find_ros({}) == ros.Ros(tmp_path)
    assert ros.find_ros({}).pythons == ("3.12",)
    assert ros.find_ros({}).lock_sections == ("base",)
    assert ros.find_ros({"JACK_ROS_PREFIX": "pypi"}) == ros.Ros(None)


# ----------------------------------------------------------------------------------------------------
# System packages

PYTHON = Python(sys.executable, "3.11", can_make_environments=True, has_headers=True)


def test_needs_are_found_by_looking_for_the_thing_itself(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    needs = {need.package: need for need in preflight.system_needs(PYTHON, ros.Ros(Path("/opt/ros/jazzy")))}
    assert not needs["g++"].present()
    assert not needs["cmake"].present()
    executable(tmp_path / "g++", "true")
    assert needs["g++"].present()
    monkeypatch.setattr(preflight, "loads", lambda library: library == "libEGL.so.1")
    assert needs["libegl1"].present()
    assert not needs["libgl1"].present()
    assert "cmake" not in {need.package for need in preflight.system_needs(PYTHON, ros.Ros(None))}


def test_a_missing_library_does_not_load() -> None:
    assert preflight.loads("libc.so.6")
    assert not preflight.loads("libjack-has-no-such-thing.so.1")


def need(package: str, marker: Path, essential: bool = True) -> Need:
    return Need(f"the {package}", "testing", package, marker.exists, essential)


@pytest.fixture
def apt(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An apt-get that notes how it was called and makes the file `there`."""
    tools = tmp_path / "bin"
    tools.mkdir()
    executable(
        tools / "apt-get", f'echo "$@" >> {tmp_path}/apt.txt; [[ $* == *install* ]] && touch {tmp_path}/there; true'
    )
    monkeypatch.setenv("PATH", f"{tools}:/usr/bin:/bin")
    return tmp_path


def test_root_installs_what_is_missing_and_says_why(
    apt: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(preflight.os, "geteuid", lambda: 0)
    missing, there = need("g++", apt / "there"), need("cmake", apt)
    preflight.provide_system_packages(Checkout(apt), [missing, there], True, progress.Progress(1, sys.stderr))
    assert (apt / "apt.txt").read_text().endswith("install -y --no-install-recommends g++\n")
    assert "installing g++: the g++, testing" in capsys.readouterr().err


def test_without_rights_one_line_says_what_to_type(apt: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(preflight.os, "geteuid", lambda: 1000)
    executable(apt / "bin" / "sudo", "exit 1")
    wanted = [need("g++", apt / "a"), need("libegl1", apt / "b", essential=False)]
    with pytest.raises(SetupError, match=r"sudo apt-get install -y g\+\+ libegl1") as refused:
        preflight.provide_system_packages(Checkout(apt), wanted, True, progress.Progress(1, sys.stderr))
    assert "\n" not in str(refused.value)
    assert not (apt / "apt.txt").exists()


def test_sudo_without_a_password_is_used(apt: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(preflight.os, "geteuid", lambda: 1000)
    executable(apt / "bin" / "sudo", 'shift; exec "$@"')
    preflight.provide_system_packages(
        Checkout(apt), [need("g++", apt / "there")], True, progress.Progress(1, sys.stderr)
    )
    assert "install" in (apt / "apt.txt").read_text()


def test_no_system_forbids_apt_and_only_stops_for_what_is_essential(
    apt: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(preflight.os, "geteuid", lambda: 0)
    optional = need("libegl1", apt / "there", essential=False)
    preflight.provide_system_packages(Checkout(apt), [optional], False, progress.Progress(1, sys.stderr))
    assert "the camera will show nothing" in capsys.readouterr().err
    with pytest.raises(SetupError, match=r"--no-system .* sudo apt-get install -y g\+\+ "):
        preflight.provide_system_packages(
            Checkout(apt), [optional, need("g++", apt / "x")], False, progress.Progress(1, sys.stderr)
        )
    assert not (apt / "apt.txt").exists()


def test_an_installed_package_that_did_not_help_is_said(apt: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(preflight.os, "geteuid", lambda: 0)
    with pytest.raises(SetupError, match="still not found"):
        preflight.provide_system_packages(
            Checkout(apt), [need("g++", apt / "x")], True, progress.Progress(1, sys.stderr)
        )


# ----------------------------------------------------------------------------------------------------
# The environment file and the wheels' CMake files


def test_the_wheels_cmake_files_are_mended_once(tmp_path: Path) -> None:
    checkout = Checkout(tmp_path)
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", checkout.venv], check=True)
    file = checkout.venv / "share" / "a" / "cmake" / "a.cmake"
    file.parent.mkdir(parents=True)
    file.write_text(
        'set(x "/opt/python/cp311-cp311/include/python3.11;'
        '/opt/python/cp311-cp311/lib/python3.11/site-packages/numpy/_core/include")'
    )
    assert ros.mend_cmake_paths(checkout) == 1
    mended = file.read_text()
    include = re.search(r'"([^;]*);', mended)
    assert include
    assert Path(include[1]).name.startswith("python3.")
    assert f"{checkout.site_packages}/numpy/_core/include" in mended
    assert ros.mend_cmake_paths(checkout) == 0


def test_the_environment_file_goes_before_what_the_user_has(tmp_path: Path) -> None:
    found = {
        "PATH": f"/ours/bin:{ros.SYSTEM_PATH}",
        "PYTHONPATH": "/ours/it's:",
        "ROS_DISTRO": "jazzy",
        "OTHER": "o",
    }
    (tmp_path / "env.sh").write_text(ros.render(found, Path("/clone")))
    show = f'. {tmp_path}/env.sh; printf "%s\\n" "$PATH" "$PYTHONPATH" "$ROS_DISTRO" "$OTHER" "$JACK_ROOT"'

    def source(**variables: str) -> list[str]:
        return subprocess.run(
            ["/bin/sh", "-euc", show], env=variables, capture_output=True, text=True
        ).stdout.split("\n")[:-1]

    own = source(PATH="/bin", PYTHONPATH="/user", ROS_DISTRO="humble", OTHER="mine")
    assert own == ["/ours/bin:/bin", "/ours/it's:/user", "jazzy", "mine", "/clone"]
    assert source(PATH="/bin")[1:4] == ["/ours/it's", "jazzy", "o"]


def test_sourcing_an_apt_like_prefix(tmp_path: Path) -> None:
    prefix = tmp_path / "jazzy"
    prefix.mkdir()
    (prefix / "setup.bash").write_text(
        'export AMENT_PREFIX_PATH=/opt/x PATH="/opt/x/bin:$PATH" ROS_DISTRO=jazzy TWO="a\nb"; echo noise'
    )
    found = ros.variables(Checkout(tmp_path), ros.Ros(prefix))
    assert found["AMENT_PREFIX_PATH"] == "/opt/x"
    assert found["TWO"] == "a\nb"
    assert found["PATH"] == f"/opt/x/bin:{tmp_path}/.venv/bin:{ros.SYSTEM_PATH}"
    assert "LD_LIBRARY_PATH" not in found
    (prefix / "setup.bash").write_text("echo broken >&2; false")
    with pytest.raises(SetupError, match="broken"):
        ros.variables(Checkout(tmp_path), ros.Ros(prefix))


def test_write_whole_leaves_nothing_beside(tmp_path: Path) -> None:
    write_whole(tmp_path / "file", "one")
    write_whole(tmp_path / "file", "two")
    assert [(path.name, path.read_text()) for path in tmp_path.iterdir()] == [("file", "two")]


# ----------------------------------------------------------------------------------------------------
# The lock

NAMES = st.from_regex(r"[a-z][a-z0-9]{0,6}(-[a-z0-9]{1,4})?", fullmatch=True)
VERSIONS = st.from_regex(r"[0-9]{1,3}(\.[0-9]{1,3}){0,3}(rc[0-9])?", fullmatch=True)


@settings(max_examples=40)
@given(st.dictionaries(NAMES, VERSIONS), st.dictionaries(NAMES, VERSIONS))
def test_a_lock_says_what_was_resolved(older: dict[str, str], newer: dict[str, str]) -> None:
    text = lock.render({"3.11": older, "3.12": newer}, ros_requirements={"cmake"})
    for python, resolved in {"3.11": older, "3.12": newer}.items():
        locked: dict[str, str] = {}
        for section in ("base", "ros", "cuda"):
            locked |= lockfile.pins(text, section, python)
        assert locked.items() >= resolved.items()
        extra = (
            locked.keys() - resolved.keys()
        )  # a torch without CUDA under one Python says nothing about the other
        assert all(lock.CUDA.match(name) for name in extra)


def test_a_lock_line_that_pins_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match="'numpy>=2' is not name==version"):
        lockfile.pins("[base]\nnumpy>=2\n", "base", "3.11")


@pytest.mark.parametrize("python", ["3.11", "3.12"])
def test_the_lock_has_all_that_is_asked_for(python: str) -> None:
    text = (ROOT / "bootstrap" / "requirements.lock").read_text()
    asked = lockfile.sections((ROOT / "bootstrap" / "requirements.in").read_text())
    for section in ("base", "ros"):
        names = {lockfile.canonical(re.split(r"[\[=<>]", line)[0]) for line in asked[section]}
        assert names <= set(lockfile.pins(text, section, python))
    assert lockfile.pins(text, "base", python)["torch"] == "2.13.0"
    assert not [name for name in lockfile.pins(text, "base", python) if name.startswith("ros-")]
    assert "triton" in lockfile.pins(text, "cuda", python)


def test_a_cuda_torch_is_told_by_its_metadata(tmp_path: Path) -> None:
    checkout = Checkout(tmp_path)
    info = tmp_path / ".venv/lib/python3.11/site-packages/torch-2.13.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Name: torch\nRequires-Dist: sympy\n")
    assert not packages.wants_cuda(checkout)
    (info / "METADATA").write_text(
        'Name: torch\nRequires-Dist: nvidia-cudnn-cu13==9.2; platform_system == "Linux"\n'
    )
    assert packages.wants_cuda(checkout)


def test_versions_with_trailing_zeros_are_the_same() -> None:
    assert packages.same_version("13.0.3", "13.0.3.0")
    assert not packages.same_version("13.0.3", "13.0.30")
    assert not packages.same_version("", "1")


# ----------------------------------------------------------------------------------------------------
# What a person sees


def test_pip_output_becomes_a_count() -> None:
    seen: list[str] = []
    counter = packages.Counter(progress.Progress(1), 250)
    counter._progress.note = seen.append  # type: ignore[method-assign]
    output = """\
        Collecting scipy==1.17.1 (from -r wanted.txt (line 9))
        Progress 12000000 of 38000000
        Processing /some/where/jinja2-3.1.6-py3-none-any.whl (from -r wanted.txt (line 10))
        Installing collected packages: scipy, jinja2"""
    for line in textwrap.dedent(output).splitlines():
        counter.read(line)
    assert seen == ["1/250 scipy", "1/250 scipy, 12 of 38 MB", "2/250 jinja2", "unpacking 250 packages"]


def test_a_killed_command_is_reported_and_logged(tmp_path: Path) -> None:
    lines: list[str] = []
    code = progress.run(
        ["bash", "-c", "echo one; echo two >&2; exit 3"], tmp_path / "log" / "x.log", os.environ, lines.append
    )
    assert code == 3
    assert sorted(lines) == ["one", "two"]
    assert "echo one" in progress.tail(tmp_path / "log" / "x.log")


# ----------------------------------------------------------------------------------------------------
# ./jack test


@pytest.fixture
def checks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> Callable[..., tuple[int, str]]:
    """Runs `check.main` over a folder with one passing, one failing and one skipped test."""
    (tmp_path / ".jack").mkdir()
    (tmp_path / "test_three.py").write_text(
        "import pytest\n"
        "def test_good(): pass\n"
        "def test_bad(): assert False\n"
        "@pytest.mark.skip\n"
        "def test_not(): pass\n"
        "@pytest.mark.soak\n"
        "def test_long(): pass\n"
    )
    monkeypatch.setattr(check, "ROOT", tmp_path)
    monkeypatch.setattr(check, "CHECKS", {"formatting": ["platform"], "lint": ["no_such_module"]})
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("JACK_SOAK", "0")

    def call(*arguments: str) -> tuple[int, str]:
        monkeypatch.setattr(sys, "argv", ["check.py", *arguments])
        code = check.main()
        return code, capfd.readouterr().out

    return call


def test_everything_is_counted_in_the_last_line(checks: Callable[..., tuple[int, str]]) -> None:
    code, out = checks()
    assert code == 1
    assert "formatting: ok" in out
    assert "lint: FAILED" in out
    assert out.splitlines()[-1] == "2 passed, 2 failed, 1 skipped"


def test_pytest_arguments_run_only_those_tests(checks: Callable[..., tuple[int, str]]) -> None:
    code, out = checks("test_three.py", "-k", "good")
    assert (code, out.splitlines()[-1]) == (0, "1 passed, 0 failed, 0 skipped")
    assert "lint" not in out


def test_soaks_run_when_they_are_asked_for(checks: Callable[..., tuple[int, str]]) -> None:
    assert checks("--soak", "-k", "good or long")[1].splitlines()[-1] == "2 passed, 0 failed, 0 skipped"


def test_checks_alone(checks: Callable[..., tuple[int, str]]) -> None:
    code, out = checks("--checks")
    assert (code, out.splitlines()[-1]) == (1, "1 passed, 1 failed, 0 skipped")


def test_what_hangs_is_stopped_and_said(
    checks: Callable[..., tuple[int, str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    Path("test_three.py").write_text("import time\ndef test_long(): time.sleep(60)\n")
    Path("waits.py").write_text("import time\ntime.sleep(60)\n")
    monkeypatch.setattr(check, "CHECKS", {"types": ["waits"]})
    monkeypatch.setattr(check, "CHECK_LIMIT", 1)
    monkeypatch.setattr(check, "TESTS_LIMIT", 5)
    code, out = checks()
    assert (code, out.splitlines()[-1]) == (1, "0 passed, 2 failed, 0 skipped")
    assert "waits was stopped after 1 s." in out and "The tests were stopped after 0 minutes." in out


def test_a_run_without_a_test_is_a_failure(checks: Callable[..., tuple[int, str]]) -> None:
    code, out = checks("-k", "nothing_has_this_name")
    assert (code, out.splitlines()[-1]) == (1, "0 passed, 1 failed, 0 skipped")
