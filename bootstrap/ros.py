"""Where ROS 2 Jazzy comes from, and the environment variables that lead to it."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from checkout import Checkout, write_whole
from progress import SetupError, child_environment

APT_PREFIX = Path("/opt/ros/jazzy")
#: The wheels carry the paths of the Python they were built with in their CMake files.
BUILT_WITH = re.compile(r"/opt/python/cp\d+-cp\d+/(include|lib)/python3\.\d+(/site-packages)?")
#: Variables that are lists of folders: ours go before what the user has, instead of in its place.
LISTS = (
    "AMENT_PREFIX_PATH",
    "CMAKE_PREFIX_PATH",
    "COLCON_PREFIX_PATH",
    "LD_LIBRARY_PATH",
    "PATH",
    "PKG_CONFIG_PATH",
    "PYTHONPATH",
)
#: Bare folders that any shell has; what is found before them is ours.
SYSTEM_PATH = "/usr/local/bin:/usr/bin:/bin"


@dataclass(frozen=True)
class Ros:
    """A source of ROS 2: an installed prefix, or None for the wheels of PyPI."""

    prefix: Path | None

    @property
    def pythons(self) -> tuple[str, ...]:
        """The Python versions that this ROS 2 can be used with, the better one first."""
        if self.prefix is None:
            return ("3.12", "3.11")
        found = self.prefix.glob("lib/python3.*/site-packages/rclpy")
        return tuple(path.parents[1].name.removeprefix("python") for path in found)

    @property
    def lock_sections(self) -> tuple[str, ...]:
        """The sections of requirements.lock to install."""
        return ("base",) if self.prefix else ("base", "ros")


def find_ros(environ: Mapping[str, str]) -> Ros:
    """Choose the source of ROS 2: JACK_ROS_PREFIX (a path, or `pypi`), else apt's, else the wheels.

    Raises:
        SetupError: JACK_ROS_PREFIX names a folder without ROS 2.
    """
    named = environ.get("JACK_ROS_PREFIX", "")
    if named == "pypi" or (not named and not (APT_PREFIX / "setup.bash").is_file()):
        return Ros(None)
    ros = Ros(Path(named or APT_PREFIX).absolute())
    if not (ros.prefix and (ros.prefix / "setup.bash").is_file() and ros.pythons):
        raise SetupError(
            f"There is no ROS 2 with rclpy in {ros.prefix}. JACK_ROS_PREFIX is the folder whose setup.bash is "
            "sourced (such as /opt/ros/jazzy), or `pypi`; for the wheels type: JACK_ROS_PREFIX=pypi ./jack setup"
        )
    return ros


def mend_cmake_paths(checkout: Checkout) -> int:
    """Put this environment's folders for those that the wheels were built with; returns how many files changed."""
    site = checkout.site_packages
    ask = "import sysconfig; print(sysconfig.get_path('include'))"
    include = subprocess.run(
        [checkout.python, "-c", ask], env=child_environment(), check=True, capture_output=True, text=True
    ).stdout.strip()
    changed = 0
    for path in (checkout.venv / "share").rglob("*.cmake"):
        text = path.read_text()
        mended = BUILT_WITH.sub(
            lambda m: include if m[1] == "include" else str(site if m[2] else site.parent), text
        )
        if mended != text:
            write_whole(path, mended)
            changed += 1
    return changed


def variables(checkout: Checkout, ros: Ros, scripts: Sequence[Path] = ()) -> dict[str, str]:
    """What sourcing ROS 2 and then `scripts` sets, starting from almost nothing.

    Raises:
        SetupError: one of the files cannot be sourced.
    """
    venv = checkout.venv
    base = {"HOME": os.environ.get("HOME", "/"), "PATH": f"{venv}/bin:{SYSTEM_PATH}", "VIRTUAL_ENV": str(venv)}
    if ros.prefix is None:
        libraries = [str(path) for path in sorted(checkout.site_packages.glob("ros_*.libs"))]
        base |= {
            "AMENT_PREFIX_PATH": str(venv),
            "CMAKE_PREFIX_PATH": str(venv),
            "LD_LIBRARY_PATH": ":".join([f"{venv}/lib", *libraries]),
            "ROS_DISTRO": "jazzy",
            "ROS_PYTHON_VERSION": "3",
            "ROS_VERSION": "2",
            # LD_LIBRARY_PATH stands, so the wheels need not start every Python twice to set it.
            "_ROS_WHEELS_BOOTSTRAP_COMPLETE": "1",
        }
    sources = [*([ros.prefix / "setup.bash"] if ros.prefix else []), *scripts]
    source = 'for file in "$@"; do . "$file" >/dev/null || exit 1; done; exec env -0'
    argv = ["bash", "--norc", "-c", source, "bash", *map(str, sources)]
    shell = subprocess.run(argv, env=base, capture_output=True, text=True)
    if shell.returncode != 0:
        raise SetupError(f"Could not source {' and '.join(map(str, sources))}: {shell.stderr.strip()}")
    pairs = (entry.split("=", 1) for entry in shell.stdout.split("\0") if "=" in entry)
    passing = {"HOME", "PWD", "OLDPWD", "SHLVL", "_", "AMENT_CURRENT_PREFIX", "COLCON_CURRENT_PREFIX"}
    return {name: value for name, value in pairs if name not in passing}


def render(found: Mapping[str, str], root: Path) -> str:
    """Write `found` as a file to be sourced by a POSIX shell."""
    lines = ["# Written by ./jack at the end of set-up. `. .jack/env.sh` gives a shell Jack's ROS 2 workspace."]
    for name, value in sorted({**found, "JACK_ROOT": str(root)}.items()):
        if name in LISTS:
            ours = value.removesuffix(SYSTEM_PATH).rstrip(":") if name == "PATH" else value.rstrip(":")
            lines.append(f'export {name}={shlex.quote(ours)}"${{{name}:+:${name}}}"')
        elif name in ("JACK_ROOT", "ROS_DISTRO", "ROS_PYTHON_VERSION", "ROS_VERSION", "VIRTUAL_ENV"):
            lines.append(f"export {name}={shlex.quote(value)}")
        else:  # such as a discovery range: the user's own choice stands
            lines.append(f'[ -n "${{{name}+set}}" ] || export {name}={shlex.quote(value)}')
    return "\n".join(lines) + "\n"
