"""What must be true before set-up touches anything; every "no" comes with what to type."""

from __future__ import annotations

import ctypes
import json
import os
import platform
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from checkout import Checkout
from progress import Progress, SetupError, child_environment, run, tail
from ros import Ros

GIB = 1024**3
#: Free disk for everything, with a CPU build of torch and with PyPI's CUDA build [bytes].
ROOM, ROOM_CUDA = 4 * GIB, 10 * GIB
GL_LIBRARIES = {
    "libEGL.so.1": "libegl1",
    "libGL.so.1": "libgl1",
    "libGLESv2.so.2": "libgles2",
    "libOpenGL.so.0": "libopengl0",
}


@dataclass(frozen=True)
class Python:
    """An interpreter that can make the environment."""

    path: str
    version: str
    #: Whether `venv` and `ensurepip` are there, and the C header.
    can_make_environments: bool
    has_headers: bool


@dataclass(frozen=True)
class Need:
    """Something that the operating system provides."""

    what: str
    why: str
    #: Debian's and Ubuntu's name for the package that has it.
    package: str
    present: Callable[[], bool]
    #: Without it, does anything but a camera picture fail?
    essential: bool = True


def check_place(checkout: Checkout) -> None:
    """Refuse a folder that cannot be written, or whose name the ROS build tools cannot take."""
    root = checkout.root
    if re.search(r"[\s:;\"'$\\]", str(root)):
        raise SetupError(
            f"The checkout lies in {str(root)!r}; ROS 2's build tools break on blanks and quotes in a path. "
            f"Move it, for example: mv {str(root)!r} ~/jack"
        )
    if any(path.exists() and not os.access(path, os.W_OK) for path in (root, checkout.state, checkout.venv)):
        raise SetupError(f'{root} cannot be written by this user. Type: sudo chown -R "$USER" {root}')


def check_machine(ros: Ros, system: str = sys.platform, machine: str | None = None) -> None:
    """Refuse a machine that the wheels of ROS 2 were not built for."""
    machine = machine or platform.machine()
    if ros.prefix is None and (system != "linux" or machine != "x86_64"):
        raise SetupError(
            f"This is {system} on {machine}; ROS 2 from PyPI is for Linux on x86_64. Install ROS 2 Jazzy with apt "
            "(Ubuntu 24.04: sudo apt-get install ros-jazzy-ros-base) or use Docker (docker/README.md)."
        )


def check_disk(checkout: Checkout, torch_index: str) -> None:
    """Refuse to begin where the disk would be full before the end."""
    if any(checkout.site_packages.glob("torch-*.dist-info")):
        return
    room = ROOM if torch_index else ROOM_CUDA
    free = shutil.disk_usage(checkout.root).free
    if free < room:
        smaller = (
            ""
            if torch_index
            else (
                f" ({ROOM / GIB:.0f} GB do with the CPU build of torch: "
                "JACK_TORCH_INDEX=https://download.pytorch.org/whl/cpu ./jack setup)"
            )
        )
        raise SetupError(
            f"{free / GIB:.1f} GB are free under {checkout.root}, set-up needs {room / GIB:.0f}{smaller}. "
            "Make room (df -h shows where), then ./jack again."
        )


def probe(path: str) -> Python | None:
    """Run an interpreter and see what it is; None where it does not run (a pyenv shim, a broken link)."""
    ask = (
        "import json, pathlib, sys, sysconfig\n"
        "try: import ensurepip, venv; makes = True\n"
        "except ImportError: makes = False\n"
        "header = pathlib.Path(sysconfig.get_path('include'), 'Python.h').is_file()\n"
        "print(json.dumps([sys.executable, '%d.%d' % sys.version_info[:2], makes, header]))"
    )
    try:
        done = subprocess.run(
            [path, "-c", ask], capture_output=True, text=True, env=child_environment(), timeout=30
        )
        return Python(*json.loads(done.stdout)) if done.returncode == 0 else None
    except (OSError, ValueError, subprocess.TimeoutExpired):
        return None


def interpreters(versions: tuple[str, ...]) -> Iterator[str]:
    """Every place where one of these Pythons may be, the one that runs this first."""
    yield sys.executable
    for name in (*(f"python{version}" for version in versions), "python3"):
        for folder in os.get_exec_path():
            if (path := Path(folder) / name).is_file():
                yield str(path)


def find_python(ros: Ros) -> Python:
    """Choose the interpreter for the environment: one that is complete before one that lacks a package.

    Raises:
        SetupError: none has a version that this ROS 2 can be used with.
    """
    probed = (probe(path) for path in interpreters(ros.pythons))
    fitting: list[Python] = []
    for python in (found for found in probed if found and found.version in ros.pythons):
        if python.can_make_environments and python.has_headers:
            return python
        fitting.append(python)
    if fitting:
        return fitting[0]
    wanted = " or ".join(sorted(ros.pythons))
    raise SetupError(
        f"ROS 2 from {ros.prefix or 'PyPI'} needs Python {wanted}, and none was found. "
        "On Debian 12 and Ubuntu 24.04 type: sudo apt-get install python3 python3-venv python3-dev"
    )


def loads(library: str) -> bool:
    """Say whether the dynamic linker finds a shared library."""
    try:
        ctypes.CDLL(library)
    except OSError:
        return False
    return True


def has_renderer() -> bool:
    """Say whether something can draw behind EGL: Mesa's drivers or NVIDIA's."""
    folders = ("/usr/lib", "/usr/lib64")
    mesa = any(
        next(Path(folder).glob(pattern), None) for folder in folders for pattern in ("dri/*.so", "*/dri/*.so")
    )
    return mesa or loads("libEGL_nvidia.so.0")


def system_needs(python: Python, ros: Ros) -> list[Need]:
    """List what set-up and the simulator want from the operating system."""

    def again() -> Python:
        return probe(python.path) or python

    headers, venv = f"python{python.version}-dev", f"python{python.version}-venv"
    building = "builds Jack's ROS 2 messages"
    needs = [
        Need("a C++ compiler", building, "g++", lambda: bool(shutil.which("c++") or shutil.which("g++"))),
        Need("Python's C header", building, headers, lambda: python.has_headers or again().has_headers),
        Need(
            "Python's venv module",
            "makes the environment",
            venv,
            lambda: python.can_make_environments or again().can_make_environments,
        ),
    ]
    if ros.prefix:  # the wheels bring their own
        needs.append(Need("CMake", building, "cmake", lambda: bool(shutil.which("cmake"))))
    for library, package in GL_LIBRARIES.items():
        needs.append(Need(library, "camera pictures", package, lambda name=library: loads(name), essential=False))
    needs.append(Need("a renderer", "camera pictures", "libgl1-mesa-dri", has_renderer, essential=False))
    return needs


def apt_get() -> list[str] | None:
    """How to start apt-get without being asked for a password; None where that is not possible."""
    if not shutil.which("apt-get"):
        return None
    wait = ["apt-get", "-o", "DPkg::Lock::Timeout=120"]
    if os.geteuid() == 0:
        return ["env", "DEBIAN_FRONTEND=noninteractive", *wait]
    if shutil.which("sudo") and subprocess.run(["sudo", "-n", "true"], capture_output=True).returncode == 0:
        return ["sudo", "-n", "env", "DEBIAN_FRONTEND=noninteractive", *wait]
    return None


def refusal(missing: list[Need], reason: str) -> SetupError:
    """Say in one line what the operating system lacks and what to type."""
    reasons = dict.fromkeys(need.why for need in missing)
    whats = "; ".join(f"{', '.join(n.what for n in missing if n.why == why)} ({why})" for why in reasons)
    packages = " ".join(sorted({need.package for need in missing}))
    return SetupError(
        f"This machine lacks {whats}. {reason}. On Debian or Ubuntu type: sudo apt-get install -y {packages}   "
        "(elsewhere, install what provides them), then ./jack again."
    )


def provide_system_packages(checkout: Checkout, needs: list[Need], allowed: bool, progress: Progress) -> None:
    """Install what is missing with apt-get where that is allowed and possible.

    Without leave (`--no-system`) missing GL libraries only cost the camera, so they are no reason to stop.

    Raises:
        SetupError: something stays missing.
    """
    missing = [need for need in needs if not need.present()]
    if not missing:
        return
    if not allowed:
        essential = [need for need in missing if need.essential]
        if essential:
            raise refusal(essential, "--no-system forbids to install that")
        progress.say("Without " + ", ".join(need.what for need in missing) + " the camera will show nothing.")
        return
    apt = apt_get()
    if apt is None:
        raise refusal(missing, "Installing it takes root, or sudo without a password, and apt-get")
    for need in missing:
        progress.say(f"  installing {need.package}: {need.what}, {need.why}")
    log = checkout.log("apt")
    packages = sorted({need.package for need in missing})
    for arguments in (["update"], ["install", "-y", "--no-install-recommends", *packages]):
        code = run([*apt, *arguments], log, child_environment(), progress.note)
        if code != 0 and arguments[0] == "install":
            raise SetupError(f"apt-get could not install {' '.join(packages)}:\n{tail(log)}")
    if still := [need for need in missing if not need.present()]:
        raise refusal(still, "apt-get installed its package, and it is still not found")
