"""Where the pieces of a checkout lie, and the lock that keeps two set-ups apart."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).resolve().parent


@dataclass(frozen=True)
class Checkout:
    """One clone of the repository and how the three programs that fill it are started."""

    root: Path
    #: Each follows an interpreter on the command line; the tests put stand-ins here.
    make_venv: tuple[str, ...] = ("-m", "venv")
    pip: tuple[str, ...] = ("-m", "pip")
    colcon: tuple[str, ...] = ("-m", "colcon")

    @property
    def state(self) -> Path:
        """What set-up made besides the environment: build, install, logs, stamp."""
        return self.root / ".jack"

    @property
    def venv(self) -> Path:
        """The Python environment; with ROS 2 from wheels it is an ament prefix too."""
        return self.root / ".venv"

    @property
    def python(self) -> Path:
        """The environment's interpreter."""
        return self.venv / "bin" / "python"

    @property
    def site_packages(self) -> Path:
        """The folder that pip fills."""
        return next(iter(self.venv.glob("lib/python3.*/site-packages")), self.venv / "lib")

    @property
    def lock_text(self) -> str:
        """The pinned versions, as text."""
        return (self.root / "bootstrap" / "requirements.lock").read_text()

    def log(self, name: str) -> Path:
        """The log of one step."""
        return self.state / "log" / f"{name}.log"


def write_whole(path: Path, text: str) -> None:
    """Write a file aside, flush it to the disk and put it in place: a reader sees the old or the new one."""
    aside = path.with_name(path.name + ".new")
    with aside.open("w") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    aside.replace(path)


@contextmanager
def only_one(path: Path, say: Callable[[str], None]) -> Iterator[None]:
    """Hold `path` locked; wait, saying so, while another set-up of this checkout holds it.

    The descriptor is inherited by the commands that set-up starts. When set-up is killed and pip lives on,
    the next set-up waits for pip instead of writing into the same folder beside it.
    """
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
    try:
        os.set_inheritable(descriptor, True)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = os.pread(descriptor, 20, 0).decode(errors="replace").strip()
            say(f"Another set-up of this checkout is at work (process {holder} or its children); waiting for it.")
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, f"{os.getpid()}\n".encode(), 0)
        yield
    finally:
        os.close(descriptor)
