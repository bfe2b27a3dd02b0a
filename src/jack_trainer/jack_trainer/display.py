"""What a person sees while Jack learns: a live bar on a terminal, a line now and then elsewhere."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass
from types import TracebackType
from typing import Self

from rich.console import Console, Group
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

#: Seconds between two lines where there is no terminal.
QUIET_INTERVAL = 5.0
_BAR_WIDTH = 24


@dataclass(frozen=True)
class Scene:
    """Everything there is to be seen at one moment."""

    #: what is being taught; empty before the first update
    phase: str = ""
    #: environment steps, so far and in all
    step: int = 0
    total_steps: int = 0
    #: environment steps per second
    steps_per_second: float = math.nan
    mean_return: float = math.nan
    #: [s]
    mean_episode_length: float = math.nan
    #: estimated time left [s]
    remaining: float = math.nan
    #: what the live Jack does; empty without one
    live: str = ""
    #: what is going on where there is no training to be seen
    note: str = "starting"

    @property
    def fraction(self) -> float:
        """How much of the training is done, 0 to 1."""
        return min(1.0, self.step / self.total_steps) if self.total_steps else 0.0

    def numbers(self) -> list[str]:
        """The training in words and figures; empty before the first update."""
        if not self.total_steps:
            return []
        return [
            f"{self.step:,} of {self.total_steps:,} steps",
            f"{_figure(self.steps_per_second, ',.0f')} steps/s",
            f"return {_figure(self.mean_return, '.2f')}",
            f"episode {_figure(self.mean_episode_length, '.1f')} s",
            f"{duration(self.remaining)} left",
        ]

    def line(self) -> str:
        """All of it in one line."""
        numbers = self.numbers()
        head = f"{self.phase} {self.fraction:4.0%}" if numbers else self.note
        return "; ".join([", ".join([head, *numbers]), *([f"Jack {self.live}"] if self.live else [])])


def duration(seconds: float) -> str:
    """A time as people write it: 0:07, 3:20, 1:02:05; `?` if it is not known."""
    if not math.isfinite(seconds):
        return "?"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"


def _figure(value: float, pattern: str) -> str:
    return format(value, pattern) if math.isfinite(value) else "-"


class Display:
    """Shows scenes as they come. Use it as a context: it leaves the terminal as it was."""

    def __init__(self, console: Console | None = None, interval: float = QUIET_INTERVAL) -> None:
        """Show on a console; where that is no terminal, print a line every `interval` seconds."""
        self.console = console or Console(highlight=False)
        self._interval = interval
        self._said, self._said_at = "", -math.inf
        self._live = Live(console=self.console, auto_refresh=False, transient=True)

    def __enter__(self) -> Self:
        if self.console.is_terminal:
            self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._live.stop()

    def show(self, scene: Scene) -> None:
        """Show how things are now."""
        if self.console.is_terminal:
            self._live.update(_picture(scene), refresh=True)
            return
        now, line = time.monotonic(), scene.line()
        if line != self._said and now - self._said_at >= self._interval:
            self._said, self._said_at = line, now
            self.console.print(line, soft_wrap=True)

    def say(self, text: str, style: str = "") -> None:
        """Print something that stays."""
        self.console.print(Text(text, style), soft_wrap=True)


def _picture(scene: Scene) -> Group:
    numbers = scene.numbers()
    if numbers:
        row = Table.grid(padding=(0, 1))
        bar = ProgressBar(total=1.0, completed=scene.fraction, width=_BAR_WIDTH)
        row.add_row(Text(scene.phase, "bold"), bar, f"{scene.fraction:.0%}", Text(", ".join(numbers)))
        first: Table | Text = row
    else:
        first = Text(f"{scene.note} ...", "dim")
    return Group(first, *([Text(f"Jack {scene.live}", "cyan")] if scene.live else []))
