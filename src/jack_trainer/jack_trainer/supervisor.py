"""The front end of ./jack: starts a graph's processes, names the one that dies, ends all of them, always.

It starts what `ros2 launch` would start, with the same `--ros-args`. Each process leads a process group of its own,
so that Ctrl-C on the terminal reaches this process alone, which then ends the others in order.
"""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

from jack_contract.errors import JackError
from jack_launch.description import NodeSpec

#: Each signal, and how long a process may take to end after it [s]. With what came before (a last checkpoint:
#: session.py) it is less than the 5 s that Ctrl-C may take.
ENDING = ((signal.SIGINT, 2.3), (signal.SIGTERM, 0.5), (signal.SIGKILL, 0.4))
_POLL = 0.02
_TAIL_LINES = 12
_TAIL_BYTES = 20_000
_PR_SET_PDEATHSIG = 1
_libc = ctypes.CDLL(None, use_errno=True)


class MissingProgramError(JackError):
    """A node's program is not in the workspace."""

    def __init__(self, spec: NodeSpec) -> None:
        super().__init__(
            f"The program {spec.executable} of {spec.package} is not in the workspace (AMENT_PREFIX_PATH is "
            f"'{os.environ.get('AMENT_PREFIX_PATH', '')}'). Build it and load it: ./jack setup && . .jack/env.sh"
        )


@dataclass(frozen=True)
class Death:
    """A process that ended although nobody asked it to."""

    node: NodeSpec
    #: as the shell gives it; minus a signal's number where a signal ended it
    exit_code: int
    log: Path

    def __str__(self) -> str:
        how = f"exit code {self.exit_code}" if self.exit_code >= 0 else signal.Signals(-self.exit_code).name
        lines = "\n".join(f"    {line}" for line in tail(self.log))
        return f"{self.node.full_name} died ({how}). Its log, {self.log}, ends:\n{lines or '    (it is empty)'}"


@dataclass(frozen=True, eq=False)
class _Child:
    spec: NodeSpec
    process: subprocess.Popen[bytes]

    def signal(self, number: signal.Signals) -> None:
        """Signal it and all that it started."""
        with suppress(ProcessLookupError):  # nobody is left in its group
            os.killpg(self.process.pid, number)


class Supervisor:
    """The processes of one graph. Use it as a context: at its end none of them is left."""

    def __init__(self, specs: Iterable[NodeSpec], log_folder: Path) -> None:
        """Find the programs; nothing is started yet.

        Args:
            specs: the nodes; paths among their parameters must be absolute.
            log_folder: for what they say; it is also their working directory.

        Raises:
            MissingProgramError: a package is not built, or the workspace is not loaded.
        """
        self.log_folder = log_folder.absolute()
        self._commands = [(spec, command(spec)) for spec in specs]
        self._running: list[_Child] = []

    def __enter__(self) -> Self:
        """Start every process."""
        self.log_folder.mkdir(parents=True, exist_ok=True)
        try:
            for spec, argv in self._commands:
                self._running.append(_Child(spec, self._start(spec, argv)))
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End every process."""
        self.stop()

    def log(self, spec: NodeSpec) -> Path:
        """What a node said so far."""
        return self.log_folder / f"{spec.full_name.strip('/').replace('/', '.')}.log"

    def poll(self) -> list[Death]:
        """The processes that have ended by themselves since the last call."""
        ended = [child for child in self._running if child.process.poll() is not None]
        self._running = [child for child in self._running if child not in ended]
        for child in ended:
            child.signal(signal.SIGKILL)  # what it had started itself
        return [Death(child.spec, child.process.returncode, self.log(child.spec)) for child in ended]

    def stop(self) -> None:
        """End every process within 5 s: interrupt, terminate, kill."""
        for number, patience in ENDING:
            for child in self._running:
                child.signal(number)
            if self._all_gone(time.monotonic() + patience):
                break
        for child in self._running:
            child.signal(signal.SIGKILL)  # what it had started itself
        self._running = []

    def _all_gone(self, deadline: float) -> bool:
        # Every process is polled each time, so that none stays behind as a zombie.
        while any([child.process.poll() is None for child in self._running]):  # noqa: C419
            if time.monotonic() > deadline:
                return False
            time.sleep(_POLL)
        return True

    def _start(self, spec: NodeSpec, argv: Sequence[str]) -> subprocess.Popen[bytes]:
        environment = os.environ | {"PYTHONUNBUFFERED": "1"} | dict(spec.environment)
        with self.log(spec).open("wb") as log:
            return subprocess.Popen(
                argv,
                env=environment,
                cwd=self.log_folder,  # MuJoCo, for one, leaves its log where it runs
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                preexec_fn=_tether(os.getpid()),
            )


def command(spec: NodeSpec) -> list[str]:
    """The command line of a node: its program from the first workspace that has it, and its ROS arguments."""
    for prefix in filter(None, os.environ.get("AMENT_PREFIX_PATH", "").split(os.pathsep)):
        program = Path(prefix) / "lib" / spec.package / spec.executable
        if program.is_file() and os.access(program, os.X_OK):
            return [str(program), *spec.ros_arguments()]
    raise MissingProgramError(spec)


def tail(path: Path, lines: int = _TAIL_LINES) -> list[str]:
    """The last lines of a file."""
    with path.open("rb") as file:
        file.seek(max(0, path.stat().st_size - _TAIL_BYTES))
        return file.read().decode(errors="replace").splitlines()[-lines:]


def _tether(parent: int) -> Callable[[], None]:
    """What a child does before it becomes the node.

    It listens to SIGINT: whoever was started in the background of a script ignores it, and so would all that he
    starts. And it asks the kernel to kill it when its parent is gone: this is for a parent that was killed itself;
    whoever can still act calls `stop`. The kernel watches the thread that started the child, so processes are
    started from the main thread.
    """

    def tie() -> None:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent:  # gone before the kernel was asked
            os._exit(1)

    return tie
