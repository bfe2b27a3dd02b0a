"""`status.json` in a run's folder: where a training is, for whoever looks from outside while it runs.

Nothing of it is needed to go on with the training; that is what checkpoints are for.
"""

from __future__ import annotations

import os
import re
import socket
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, TypeAdapter, ValidationError

from jack_contract.errors import JackError
from jack_launch.graphs import NEWEST
from jack_trainer.files import replace_file
from jack_trainer.training import Progress

NAME = "status.json"
#: What a run's folder is known by: the first is written at its start, the second after its first update.
RUN = "run.json"
#: What a run has, as a pattern, that can be gone on with.
_CHECKPOINT = "checkpoints/[0-9]*"
#: Least time between two writes [s].
INTERVAL = 1.0
#: A larger file is none of ours [bytes].
_MAX_BYTES = 64 << 10
_JSON = TypeAdapter(dict[str, Any])


class StatusError(JackError):
    """No run, or a status that cannot be read."""


class Status(BaseModel):
    """Where a training was when this was written."""

    #: a bare NaN is no JSON, and null would be read as no number at all
    model_config = ConfigDict(extra="forbid", ser_json_inf_nan="strings")

    #: 1 for this layout
    version: Literal[1] = 1
    phase: str
    #: environment steps, so far and in all
    step: int
    total_steps: int
    #: updates
    update: int
    #: environment steps per second of late
    steps_per_second: float
    mean_return: float
    #: [s]
    mean_episode_length: float
    #: estimated time left [s]
    remaining: float
    #: how often a robot began anew because its physics, action or reward was no number
    broken: int = 0
    #: name of the newest checkpoint; empty before the first
    checkpoint: str
    #: what came of the last exam, in words; empty before the first
    exam: str = ""
    #: why it ended (passed, steps, stopped); empty while it goes on
    ended: str = ""
    #: the machine and the process that trains, and that process' start [clock ticks since boot; 0: not known]
    host: str
    pid: int
    pid_started: int = 0
    #: when this was written [s since 1970]
    written: float

    @property
    def alive(self) -> bool | None:
        """Whether the process that wrote this still runs; None if it ran on another machine."""
        if self.host != socket.gethostname():
            return None
        started = _started(self.pid)
        return started is not None and self.pid_started in (0, started)


def write(run: Path, progress: Progress, exam: str = "", ended: str = "") -> bool:
    """Tell where a training is; call it after each update, and once at the end.

    A disk that takes no status stops no training: the next checkpoint will say what is wrong with it.

    Args:
        run: its folder.
        progress: as the school has it.
        exam: what came of the last exam, in words, as long as it is the last.
        ended: why the training is over; empty while it goes on.

    Returns:
        Whether it was written: not within a second of the last time, unless the training ended.
    """
    path = run / NAME
    try:
        if not ended and 0.0 <= time.time() - path.stat().st_mtime < INTERVAL:
            return False
    except OSError:  # the first time
        pass
    try:
        replace_file(path, _status(progress, exam, ended).model_dump_json(indent=1).encode())
    except OSError:
        return False
    return True


def _status(progress: Progress, exam: str, ended: str) -> Status:
    told = asdict(progress) | {
        "checkpoint": progress.checkpoint.name if progress.checkpoint else "",
        "exam": exam,
        "ended": ended,
        "host": socket.gethostname(),
        "pid": os.getpid(),
        "pid_started": _started(os.getpid()) or 0,
        "written": time.time(),
    }
    del told["run"]  # it is where this is written
    return Status.model_validate(told)


def read(run: Path) -> Status:
    """Where the training of a run is.

    Raises:
        StatusError: nothing was written yet, it is torn, or another version of Jack wrote it.
    """
    path = run / NAME
    try:
        with path.open("rb") as file:
            data = file.read(_MAX_BYTES + 1)
    except FileNotFoundError:
        raise StatusError(f"{run} has no {NAME} yet; it is written after the first update.") from None
    except OSError as error:
        raise StatusError(f"{path} cannot be read: {error.strerror}.") from error
    if len(data) > _MAX_BYTES:
        raise StatusError(f"{path} has more than {_MAX_BYTES:,} bytes; it is no status of a training.")
    try:
        return Status.model_validate_json(data)
    except ValidationError as error:
        raise StatusError(f"{path} {_in_words(error)}") from error


def _in_words(error: ValidationError) -> str:
    """What is wrong with a file: other versions first, for they explain everything else."""
    wrong = {".".join(map(str, found["loc"])): found for found in error.errors(include_url=False)}
    if "version" in wrong:
        return f"is of version {wrong['version']['input']!r}, and this Jack reads 1: use the one that trains there."
    if "" in wrong:
        return f"is torn or no JSON: {wrong['']['msg']}."
    return f"is no status of a training; look at {', '.join(wrong)}."


def _started(pid: int) -> int | None:
    """When a process was started [clock ticks since boot]; None if there is none, 0 if that cannot be known."""
    try:
        # The program's name, in brackets, may hold anything. After it come the state and, as 20th word, the start
        # (proc(5)).
        words = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        return None if words[0] == "Z" else int(words[19])
    except FileNotFoundError:
        return None
    except (OSError, ValueError, IndexError):
        return 0


def options(run: Path) -> dict[str, Any]:
    """What a run was asked for, as its `run.json` has it; nothing, if that cannot be read."""
    try:
        found = _JSON.validate_json((run / RUN).read_bytes()).get("options")
    except (OSError, ValidationError):
        return {}
    return found if isinstance(found, dict) else {}


def new_run(runs: Path, name: str) -> Path:
    """A folder in `runs` that is not there yet, called after the time and `name`, phases or a task."""
    stamp = f"{time.strftime('%Y%m%d-%H%M%S')}-{re.sub('[/:]', '_', re.sub(', *', '-', name))}"
    names = (stamp if i == 0 else f"{stamp}-{i}" for i in range(1000))
    return next(runs / name for name in names if not (runs / name).exists())


def find_run(name: str, runs: Path, resumable: bool = False) -> Path:
    """The run that is meant: a folder, the name of one in `runs`, or `newest`, the one that was last written to.

    Args:
        name: what was typed.
        runs: folder of the trainings.
        resumable: only runs with a checkpoint count, and the newest is that with the newest checkpoint.

    Raises:
        StatusError: there is none; lists those that are there.
    """
    marks = (_CHECKPOINT,) if resumable else (RUN, NAME)
    written: dict[Path, float] = {}
    for found in (path for mark in marks for path in runs.glob(f"*/{mark}")):
        run = runs / found.relative_to(runs).parts[0]
        written[run] = max(found.stat().st_mtime, written.get(run, 0.0))
    if name == NEWEST and written:
        return max(written, key=lambda run: written[run])
    places = [] if name == NEWEST else [Path(name), runs / name]
    meant = next((run for run in places if any(any(run.glob(mark)) for mark in marks)), None)
    if meant is None:
        there = ", ".join(sorted(run.name for run in written)) or "none; ./jack train makes one"
        what = "run with a checkpoint" if resumable else "run"
        raise StatusError(f"There is no {what} '{name}'. In {runs.absolute()} there are: {there}.")
    return meant
