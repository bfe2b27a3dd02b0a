"""The Python environment: made once, filled with exactly what the lock names."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

from checkout import Checkout
from lockfile import canonical, pins
from preflight import Python
from progress import Progress, SetupError, child_environment, run, tail
from ros import Ros

#: pip first, then what source packages are built with: the rest is installed by these.
INSTALLERS = ("pip", "setuptools", "wheel")
CPU_INDEX = "https://download.pytorch.org/whl/cpu"


def environment_is_whole(checkout: Checkout, ros: Ros) -> bool:
    """Say whether `.venv` was made to the end, here, and for this ROS 2."""
    config = checkout.venv / "pyvenv.cfg"
    if not (checkout.python.exists() and config.is_file()):
        return False
    sees_system = re.search(r"^include-system-site-packages = true$", config.read_text(), re.MULTILINE) is not None
    version = checkout.site_packages.parent.name.removeprefix("python")
    if sees_system != bool(ros.prefix) or version not in ros.pythons:
        return False
    script = checkout.venv / "bin" / "pip"  # names the folder that the environment was made in
    if not script.is_file() or f"{checkout.venv}/bin" not in script.read_text() or torn(checkout, "pip"):
        return False
    argv = [checkout.python, *checkout.pip, "--version"]
    return subprocess.run(argv, env=child_environment(), capture_output=True).returncode == 0


def make_environment(checkout: Checkout, python: Python, ros: Ros) -> None:
    """Make `.venv` anew, and forget what was built with the old one.

    Raises:
        SetupError: Python's venv module failed.
    """
    for stale in (checkout.venv, checkout.state / "build", checkout.state / "install"):
        shutil.rmtree(stale, ignore_errors=True)
    # ROS 2 from apt leans on apt's Python packages (launch needs osrf_pycommon); the lock's come before them.
    sees = ["--system-site-packages"] if ros.prefix else []
    log = checkout.log("environment")
    argv = [python.path, *checkout.make_venv, *sees, checkout.venv]
    if run(argv, log, child_environment(), lambda _: None) != 0:
        raise SetupError(f"Python could not make {checkout.venv}:\n{tail(log)}")


def torn(checkout: Checkout, name: str = "*") -> list[Path]:
    """The `dist-info` folders of packages whose installation was cut off.

    pip writes a package's RECORD last and lists its own INSTALLER file in it; a RECORD that does not is the
    wheel's own, unpacked on the way.
    """

    def is_whole(folder: Path) -> bool:
        record = folder / "RECORD"
        return record.is_file() and f"{folder.name}/INSTALLER," in record.read_text()

    return [path for path in checkout.site_packages.glob(f"{name}-*.dist-info") if not is_whole(path)]


def installed(checkout: Checkout) -> dict[str, str]:
    """`{name: version}` of what the environment can import, local version labels such as `+cpu` cut off."""
    ask = (
        "import importlib.metadata as m, json\n"
        "print(json.dumps([[d.metadata['Name'], d.version] for d in m.distributions()]))"
    )
    done = subprocess.run(
        [checkout.python, "-c", ask], env=child_environment(), check=True, capture_output=True, text=True
    )
    in_order = reversed(json.loads(done.stdout))  # the first on the path is the one that is imported
    return {canonical(name): version.split("+")[0] for name, version in in_order}


def wants_cuda(checkout: Checkout) -> bool:
    """Say whether the torch that pip found is a CUDA build: then it names NVIDIA's libraries."""
    metadata = next(checkout.site_packages.glob("torch-*.dist-info/METADATA"), None)
    return (
        metadata is not None
        and re.search(r"^Requires-Dist: (nvidia|cuda)-", metadata.read_text(), re.M) is not None
    )


def same_version(left: str, right: str) -> bool:
    """Compare versions as PEP 440 does with trailing zeros."""
    return re.sub(r"(\.0)+$", "", left) == re.sub(r"(\.0)+$", "", right)


def missing(checkout: Checkout, section: str) -> dict[str, str]:
    """The pins of a section that the environment does not have."""
    have = installed(checkout)
    version = checkout.site_packages.parent.name.removeprefix("python")
    wanted = pins(checkout.lock_text, section, version)
    return {name: pin for name, pin in wanted.items() if not same_version(have.get(name, ""), pin)}


def pip(checkout: Checkout, progress: Progress, options: Sequence[str], wanted: dict[str, str]) -> None:
    """Install pinned packages, without what they ask for: the lock is complete.

    Raises:
        SetupError: pip failed; the message has the end of its output.
    """
    counter = Counter(progress, len(wanted))
    listing = checkout.state / "wanted.txt"
    listing.write_text("".join(f"{name}=={version}\n" for name, version in wanted.items()))
    flags = ["--no-deps", "--no-compile", "--no-input", "--disable-pip-version-check", "--no-warn-script-location"]
    argv = [checkout.python, *checkout.pip, "install", *flags, *options, "-r", listing]
    log = checkout.log("packages")
    if run(argv, log, child_environment(), counter.read) != 0:
        raise SetupError(f"pip could not install the packages; its log is {log} and ends:\n{tail(log, 6)}")


class Counter:
    """Turns pip's output into "37/250 scipy, 12 of 38 MB"."""

    def __init__(self, progress: Progress, total: int) -> None:
        self._progress, self._total, self._seen, self._what = progress, total, 0, ""

    def read(self, line: str) -> None:
        """Take one line of pip's output."""
        if found := re.match(r"Progress (\d+) of (\d+)", line):
            done, size = (int(number) / 1e6 for number in found.groups())
            tail = f", {done:.0f} of {size:.0f} MB" if size > 1 else ""
            self._progress.note(f"{self._seen}/{self._total} {self._what}{tail}")
            return
        if found := re.match(r"(?:Collecting |Processing \S*/)([A-Za-z0-9_.]+(?:-[A-Za-z_]\w*)*)", line):
            self._seen, self._what = self._seen + 1, found[1]
            self._progress.note(f"{self._seen}/{self._total} {self._what}")
        elif line.startswith("Installing collected packages"):
            self._progress.note(f"unpacking {self._total} packages")


def check_network(checkout: Checkout, wanted: dict[str, str]) -> None:
    """Ask pip for one package without installing it, so that a missing network is said before anything is done.

    Raises:
        SetupError: no index has it.
    """
    name, version = min(wanted.items())
    flags = ["--dry-run", "--no-deps", "--ignore-installed", "--no-input", "--disable-pip-version-check"]
    patience = ["--retries", "1", "--timeout", "15"]
    argv = [checkout.python, *checkout.pip, "install", *flags, *patience, f"{name}=={version}"]
    log = checkout.log("network")
    if run(argv, log, child_environment(), lambda _: None) != 0:
        raise SetupError(
            f"{len(wanted)} Python packages are missing and no package index answers (pip's words: {log}). "
            "Connect this machine, or name a proxy (export HTTPS_PROXY=...) or a mirror "
            "(export PIP_INDEX_URL=...), then ./jack again."
        )


def fill_environment(checkout: Checkout, ros: Ros, torch_index: str, progress: Progress) -> None:
    """Bring the environment to what the lock says; does nothing, and needs no network, when it is there.

    Raises:
        SetupError: there is no network, or pip failed.
    """
    for cut_off in torn(checkout):
        shutil.rmtree(cut_off)
    for remains in checkout.site_packages.glob("~*"):  # what pip had moved aside to replace
        shutil.rmtree(remains, ignore_errors=True)
    wanted = {name: pin for section in ros.lock_sections for name, pin in missing(checkout, section).items()}
    if wanted:
        check_network(checkout, wanted)
    if first := {name: wanted.pop(name) for name in INSTALLERS if name in wanted}:
        pip(checkout, progress, [], first)
    options = ["--no-build-isolation", "--progress-bar", "raw"]
    if "torch" in wanted:
        index = ["--index-url", torch_index] if torch_index else []
        if not torch_index and not Path("/dev/nvidiactl").exists():
            progress.say(
                "  No NVIDIA GPU is seen. If pip finds torch's CUDA build (3 GB), its CPU build is enough and "
                f"smaller: Ctrl-C, then JACK_TORCH_INDEX={CPU_INDEX} ./jack setup"
            )
        pip(checkout, progress, [*options, *index], {"torch": wanted.pop("torch")})
    if wants_cuda(checkout):
        wanted |= missing(checkout, "cuda")
    if wanted:
        pip(checkout, progress, options, wanted)
