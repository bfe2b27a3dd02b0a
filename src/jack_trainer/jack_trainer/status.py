"""What ./jack status shows: where a run is, now or for as long as it goes on."""

from __future__ import annotations

import time
from pathlib import Path

from rich.box import SIMPLE_HEAD
from rich.console import Console, Group
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from jack_trainer import progress_file, transcript
from jack_trainer.display import duration
from jack_trainer.progress_file import Status

#: Seconds between two looks.
PERIOD = 1.0
#: Names of the report and of the scores in a run's folder.
REPORT, EVALUATION = "report.html", "evaluation.json"
_ENDED = {"passed": "passed", "steps": "all its steps are done", "stopped": "stopped"}


def show(run: Path, console: Console | None = None) -> None:
    """Print where a run is.

    Raises:
        StatusError: it cannot be told; says why.
    """
    (console or Console()).print(table(run, progress_file.read(run), time.time()))


def watch(run: Path, console: Console | None = None, period: float = PERIOD) -> None:
    """Show where a run is, again and again, until it ends or its process is gone.

    Raises:
        StatusError: it cannot be told; says why.
    """
    status = progress_file.read(run)
    with Live(table(run, status, time.time()), console=console, auto_refresh=False) as live:
        while not status.ended and status.alive is not False:
            time.sleep(period)
            status = progress_file.read(run)
            live.update(table(run, status, time.time()), refresh=True)


def table(run: Path, status: Status, now: float) -> Group:
    """Everything that is known of a run at `now` [s since 1970]."""
    return Group(_training(run, status, now), *_phases(run))


def _training(run: Path, status: Status, now: float) -> Table:
    share = min(1.0, status.step / status.total_steps) if status.total_steps else 0.0
    steps = Table.grid(padding=(0, 1))
    bar = ProgressBar(total=1.0, completed=share, width=20)
    steps.add_row(f"{status.step:,} of {status.total_steps:,}", bar, f"{share:.0%}")
    grid = Table(title=Text(f"{run.name}"), title_justify="left", show_header=False, box=None, padding=(0, 2))
    grid.add_column(style="dim")
    grid.add_column(overflow="fold")
    for name, value in (
        ("phase", Text(status.phase)),
        ("state", _state(status, now)),
        ("step", steps),
        ("speed", Text(f"{status.steps_per_second:,.0f} steps/s")),
        ("return", Text(f"{status.mean_return:.2f}")),
        ("episode", Text(f"{status.mean_episode_length:.1f} s")),
        ("last exam", Text(status.exam or "none yet")),
        ("checkpoint", Text(_checkpoint(run, status, now))),
        ("broken", Text(f"{status.broken}, begun anew" if status.broken else "none")),
        ("time left", Text("0:00" if status.ended else duration(status.remaining))),
        ("process", Text(f"{status.pid} on {status.host}, {_process(status)}")),
        ("report", Text(_report(run))),
    ):
        grid.add_row(name, value)
    return grid


def _phases(run: Path) -> list[Table | Text]:
    """What he was taught so far, is taught and will be, and what he forgot over it."""
    try:
        entries = transcript.read(run).entries
    except transcript.TranscriptError as error:
        return [Text(str(error), "red")]
    if not entries:  # of a run that is older than transcripts
        return []
    shown = Table(box=SIMPLE_HEAD, padding=(0, 1), pad_edge=False)
    for head in ("phase", "", "score", "from", "learnt from"):
        shown.add_column(head, overflow="fold")
    for entry in entries:
        score = str(entry.scores.get(entry.phase, "none yet"))
        cells = (entry.phase, entry.state, score, entry.origin, entry.materials or "-")
        shown.add_row(*map(Text, cells))
    asked = str(progress_file.options(run).get("phase", "")).split(",")
    for name in [name.strip() for name in asked if name.strip() not in [entry.phase for entry in entries]]:
        shown.add_row(Text(name), Text("to come"))
    lines = [f"{entry.phase} forgot; {line}" for entry in entries for line in entry.forgot]
    return [shown, *(Text(f"not published: {line}", "red") for line in lines)]


def _state(status: Status, now: float) -> Text:
    if status.ended:
        return Text(_ENDED.get(status.ended, status.ended), "green")
    age = duration(max(0.0, now - status.written))
    if status.alive is False:
        return Text(f"died; last heard of {age} ago. Go on with ./jack train --resume", "red")
    return Text(f"training; last heard of {age} ago", "cyan")


def _process(status: Status) -> str:
    return {True: "running", False: "gone", None: "of which nothing is known here"}[status.alive]


def _checkpoint(run: Path, status: Status, now: float) -> str:
    if not status.checkpoint:
        return "none yet"
    try:
        written = (run / "checkpoints" / status.checkpoint).stat().st_mtime
    except OSError:
        return f"{status.checkpoint}, gone"
    return f"{status.checkpoint}, {duration(max(0.0, now - written))} old"


def _report(run: Path) -> str:
    path = run / REPORT
    return str(path.absolute()) if path.is_file() else f"none yet; ./jack report {run.name} makes one"
