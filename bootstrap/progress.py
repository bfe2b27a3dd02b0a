"""What a person sees while Jack is set up: which step of how many, what it is at, how long it has taken."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO

#: Seconds between two lines where the output is a file and one line cannot be drawn over.
QUIET_INTERVAL = 15.0


class SetupError(Exception):
    """Set-up cannot go on; the message says what is wrong and what to type."""


class Progress:
    """Numbered steps. On a terminal one live line a step; elsewhere a line now and then."""

    def __init__(self, total: int, out: TextIO = sys.stderr) -> None:
        self._total, self._out, self._live = total, out, out.isatty()
        self._number, self._title, self._detail = 0, "", ""
        self._began = self._spoke = time.monotonic()

    @contextmanager
    def step(self, title: str) -> Iterator[None]:
        """Show `title` as the next step while the body runs."""
        self._number, self._title, self._detail = self._number + 1, title, ""
        self._began = self._spoke = time.monotonic()
        done = threading.Event()
        ticker = threading.Thread(target=self._tick, args=(done,), daemon=True)
        ticker.start()
        word = "stopped"
        try:
            yield
            word = "done"
        finally:
            done.set()
            ticker.join()
            self._line(f"{self._prefix()}: {word} ({time.monotonic() - self._began:.1f} s)")

    def note(self, detail: str) -> None:
        """Say what the present step is at."""
        self._detail = detail

    def say(self, text: str) -> None:
        """Print a line that stays."""
        self._line(text)

    def _prefix(self) -> str:
        return f"[{self._number}/{self._total}] {self._title}"

    def _tick(self, done: threading.Event) -> None:
        while not done.wait(0.2):
            elapsed = time.monotonic() - self._began
            text = f"{self._prefix()}: {self._detail or '...'} ({elapsed:.0f} s)"
            if self._live:
                width = shutil.get_terminal_size().columns - 1
                self._out.write(f"\r\033[K{text[:width]}")
                self._out.flush()
            elif time.monotonic() - self._spoke > QUIET_INTERVAL:
                self._line(text)

    def _line(self, text: str) -> None:
        self._spoke = time.monotonic()
        self._out.write(("\r\033[K" if self._live else "") + text + "\n")
        self._out.flush()


def run(argv: Sequence[str | Path], log: Path, env: Mapping[str, str], on_line: Callable[[str], None]) -> int:
    """Run a command, its output going to `log` and, line by line, to `on_line`; returns its exit code.

    The lock that set-up holds is an inheritable descriptor, so it stays held by a command that outlives us.
    """
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("a") as record:
        record.write(f"$ {' '.join(map(str, argv))}\n")
        record.flush()
        with subprocess.Popen(
            argv,
            env=dict(env),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            close_fds=False,
        ) as process:
            for line in process.stdout or ():
                record.write(line)
                on_line(line.rstrip())
    return process.returncode


def tail(log: Path, lines: int = 15) -> str:
    """The end of a log, for a message about what went wrong."""
    return "\n".join(log.read_text(errors="replace").splitlines()[-lines:])


def child_environment(**extra: str) -> dict[str, str]:
    """This process's environment without what would lead another Python astray, and with `extra`."""
    astray = {"PYTHONPATH", "PYTHONHOME", "PYTHONSTARTUP", "PIP_TARGET", "PIP_PREFIX"}
    kept = {name: value for name, value in os.environ.items() if name not in astray}
    # The ROS wheels make every Python start itself twice, to set LD_LIBRARY_PATH; installing needs none of it.
    return kept | {"PYTHONUNBUFFERED": "1", "PIP_USER": "0", "_ROS_WHEELS_BOOTSTRAP_COMPLETE": "1"} | extra
