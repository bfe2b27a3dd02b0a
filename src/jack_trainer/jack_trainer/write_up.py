"""What is written about a training when it is over: its scores, then its page, by the commands that a person has.

Each is made in a process aside, at a low priority: nothing waits for it, and what goes wrong there fails nothing.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import IO, Self

from jack_trainer.status import EVALUATION, REPORT

_NICENESS = 10


@dataclass(frozen=True)
class Chore:
    """One thing to be written."""

    #: of ./jack
    command: str
    #: in the folder of the run
    file: str
    #: what is being done, in words
    note: str


CHORES = (
    Chore(
        "evaluate", EVALUATION, "scoring him, in worlds he never saw, too: a minute or two, Ctrl-C to do without"
    ),
    Chore("report", REPORT, "filming him and writing his report"),
)


class WriteUp:
    """The chores of one run, one after another. Use it as a context: at its end nothing of it runs any more.

    Attributes:
        note: what is being done, in words.
        said: what came of the chores so far, a line each.
    """

    def __init__(self, run: Path, chores: tuple[Chore, ...] = CHORES) -> None:
        """Write about a run, when `proceed` is called."""
        self._run, self._left = run.absolute(), list(chores)
        self._chore: Chore | None = None
        self._process: subprocess.Popen[bytes] | None = None
        self._before = 0
        self.note, self.said = "", list[str]()

    def __enter__(self) -> Self:
        self._output: IO[bytes] = tempfile.TemporaryFile()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._process is not None:
            with suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)  # and whatever it has started
            self._process.wait()
        self._output.close()

    def proceed(self) -> bool:
        """Do what can be done now, without waiting; whether all is done. Call it often."""
        if self._process is not None and self._process.poll() is None:
            return False
        if self._chore is not None:
            self.said.append(self._outcome(self._chore))
            self._chore = self._process = None
        if not self._left:
            return True
        self._begin(self._left.pop(0))
        return False

    def _begin(self, chore: Chore) -> None:
        self._chore, self.note, self._before = chore, chore.note, _written(self._run / chore.file)
        self._output.seek(0)
        self._output.truncate()
        self._process = subprocess.Popen(
            [sys.executable, "-m", "jack_trainer.cli", chore.command, str(self._run)],
            stdin=subprocess.DEVNULL,
            stdout=self._output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        with suppress(ProcessLookupError):  # over already
            os.setpriority(os.PRIO_PROCESS, self._process.pid, max(_NICENESS, os.getpriority(os.PRIO_PROCESS, 0)))

    def _outcome(self, chore: Chore) -> str:
        """Whether the file is there now: the exit code of an evaluation tells whether the phase is passed."""
        path = self._run / chore.file
        if _written(path) != self._before:
            return f"  {chore.command:<12} {path}"
        self._output.seek(0)
        lines = self._output.read().decode(errors="replace").strip().splitlines() or ["it said nothing"]
        new = "new " if self._before else ""
        return f"  There is no {new}{chore.file}: {lines[-1]}"


def _written(path: Path) -> int:
    """When a file was written [ns since 1970]; 0 if there is none."""
    try:
        return path.stat().st_mtime_ns
    except OSError:
        return 0
