"""What ./jack diff shows: the verdict, a table of what was compared, and a picture of where the paths part."""

from __future__ import annotations

import io
import os
from pathlib import Path

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from rich.console import Console
from rich.table import Table
from rich.text import Text

from jack_trainer.divergence.comparison import Comparison
from jack_trainer.divergence.diff import Diff, Finding

#: What a picture shows before and after [samples].
_BEFORE, _AFTER = 50, 75


def show(result: Diff, picture: Path | None, console: Console | None = None) -> None:
    """Print what came of a bag; `picture` is where its picture lies, if there is one."""
    console = console or Console()
    console.print(Text(str(result), "bold red" if result.finding else "bold green"))
    if result.comparisons:
        console.print(table(result))
    for note in result.notes:
        console.print(Text(note, "dim"))
    if picture:
        console.print(Text(f"Both curves: {picture}"))
    console.print(Text(f"Bag {result.bag.path}, SHA-256 {result.bag.sha256}", "dim"))


def table(result: Diff) -> Table:
    """For each group of numbers, how far its two paths are apart, and where they part."""
    grid = Table(box=None, padding=(0, 2, 0, 0))
    for name in ("compared", "worst", "recorded", "simulator", "allowed", "agreement", "parts at"):
        grid.add_column(name, justify="left" if name in ("compared", "worst") else "right", no_wrap=True)
    for comparison in result.comparisons:
        grid.add_row(*map(Text, _row(comparison, result.times)))
    return grid


def _row(comparison: Comparison, times: np.ndarray) -> tuple[str, ...]:
    error, parted = comparison.error, comparison.parted
    name = f"{comparison.kind.name} [{comparison.kind.unit}]" if comparison.kind.unit else comparison.kind.name
    if not comparison.known.any():
        return name, "unknown"
    # Where they part at all, the column that is apart for longest; else the one with the worst single value.
    column = int(parted.sum(axis=0).argmax()) if parted.any() else int(error.max(axis=0).argmax())
    row = int(parted[:, column].argmax()) if parted.any() else int(error[:, column].argmax())
    values = (comparison.recorded[row, column], comparison.expected[row, column], comparison.tolerance[row, column])
    agreement = float((error <= 1.0)[comparison.known].mean())
    when = f"{times[row]:.2f} s" if parted.any() else "-"
    told = [f"{value:+.2f}" for value in values[:2]] + [f"{values[2]:.2f}"]
    return name, comparison.labels[column], *told, f"{agreement:.1%}", when


def save_picture(result: Diff) -> Path | None:
    """Draw both curves around where they part, beside the bag; None if nothing parts, or nothing may be written."""
    finding, bag = result.finding, result.bag.path
    if finding is None or finding.parting is None:
        return None
    name = bag.name if bag.is_dir() else bag.stem
    path = bag.absolute().with_name(f"{name}.diff.png")
    aside = path.with_suffix(f".{os.getpid()}.part")
    try:
        aside.write_bytes(_drawn(result, finding))
        aside.replace(path)
    except OSError:
        aside.unlink(missing_ok=True)
        return None
    return path


def _drawn(result: Diff, finding: Finding) -> bytes:
    assert finding.parting is not None
    comparison, row, column = finding.parting.comparison, finding.parting.index, finding.parting.column
    part = slice(max(0, row - _BEFORE), row + _AFTER)
    figure = Figure(figsize=(7.0, 3.0), layout="constrained")
    axes = figure.add_subplot()
    axes.plot(result.times[part], comparison.recorded[part, column], label="recorded", color="#d95f02")
    axes.plot(result.times[part], comparison.expected[part, column], label=comparison.kind.source, color="#1b9e77")
    axes.axvline(finding.time, color="0.5", linewidth=0.8, linestyle="--")
    axes.set_title(f"{finding.term} of {finding.label}", fontsize=10)
    axes.set_xlabel("[s]")
    axes.set_ylabel(f"[{comparison.kind.unit}]")
    axes.grid(color="0.9", linewidth=0.6)
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False, fontsize=8)
    file = io.BytesIO()
    FigureCanvasAgg(figure).print_png(file)
    return file.getvalue()
