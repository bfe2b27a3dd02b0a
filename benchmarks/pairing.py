"""How two sides are compared: in turns, in one process tree, with a check that the machine can tell them apart.

A machine's speed drifts by more than what is to be measured. So each side runs in short windows right beside the
other's, in random order; only the ratio within a pair counts; and a side is first compared with itself. If that
is off by more than 5 %, the machine was too busy for its word to be taken: the run is void.
"""

from __future__ import annotations

import json
import os
import platform
import random
import sys
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from statistics import median

import numpy as np
from rich import box
from rich.console import Console
from rich.progress import Progress
from rich.table import Table
from scipy.stats import bootstrap

from jack_launch.graphs import learning_environment

#: Runs one side for so many seconds; returns its figure: work per second, or seconds per work.
Side = Callable[[float], float]

#: A side compared with itself may be off by this much [1].
TOLERANCE = 0.05


@dataclass(frozen=True)
class Protocol:
    """How long and how often."""

    #: windows of each side
    pairs: int = 10
    #: length of a window [s]
    window: float = 5.0
    #: of the order within the pairs
    seed: int = 0

    def __post_init__(self) -> None:
        if self.pairs < 2 or not self.window > 0:
            raise ValueError(f"At least 2 pairs and a window above 0 s are needed, given: {self}.")


#: Says whether a benchmark runs at all; its figures mean nothing.
QUICK = Protocol(pairs=2, window=0.5)


@dataclass(frozen=True)
class Comparison:
    """One side against its peer."""

    name: str
    peer: str
    #: unit of the two medians
    unit: str
    median: float
    peer_median: float
    #: median of the ratios within the pairs, and its 95 % bootstrap interval
    ratio: float
    low: float
    high: float
    #: what the ratio should be, in words
    aim: str
    reached: bool
    #: median ratio of the side to itself
    self_ratio: float
    #: every ratio, in the order measured
    ratios: list[float]

    @property
    def void(self) -> bool:
        """Whether the machine could not tell the side from itself."""
        return abs(self.self_ratio - 1.0) > TOLERANCE


def compare(
    name: str, side: Side, peer: tuple[str, Side], unit: str, protocol: Protocol, *, at_least: float = 0.0,
    at_most: float = float("inf"),
) -> Comparison:  # fmt: skip
    """Measure `side` against `peer`.

    Args:
        name: of the side.
        side: what is to be judged.
        peer: name and side of what it is judged by.
        unit: of the figures that the sides return.
        protocol: how long and how often.
        at_least: aim for the ratio, side / peer.
        at_most: the same from above.
    """
    order = random.Random(protocol.seed)
    itself = _pairs(f"{name} against itself", side, side, protocol, order)
    figures = _pairs(f"{name} against {peer[0]}", side, peer[1], protocol, order)
    ratios = figures[:, 0] / figures[:, 1]
    interval = bootstrap((ratios,), np.median, method="percentile", rng=protocol.seed).confidence_interval
    return Comparison(
        name=name,
        peer=peer[0],
        unit=unit,
        median=float(np.median(figures[:, 0])),
        peer_median=float(np.median(figures[:, 1])),
        ratio=float(np.median(ratios)),
        low=float(interval.low),
        high=float(interval.high),
        aim=f">= {at_least:g}" if at_least else f"<= {at_most:g}",
        reached=bool(at_least <= np.median(ratios) <= at_most),
        self_ratio=median((itself[:, 0] / itself[:, 1]).tolist()),
        ratios=ratios.tolist(),
    )


def _pairs(title: str, first: Side, second: Side, protocol: Protocol, order: random.Random) -> np.ndarray:
    """Figures of both sides, (pairs, 2), each pair measured in random order."""
    sides = (first, second)
    for side in sides:
        side(protocol.window / 5)  # caches, lazy allocations, clock rates
    figures = np.zeros((protocol.pairs, 2))
    with Progress(transient=True) as progress:
        for pair in progress.track(range(protocol.pairs), description=title):
            for index in order.sample((0, 1), 2):
                figures[pair, index] = sides[index](protocol.window)
    return figures


def report(title: str, rows: Sequence[Comparison], extra: dict[str, float], packages: Sequence[str]) -> dict:
    """Print one table; returns all of it, with versions and the machine's load, as plain data for JSON."""
    table = Table(
        title=title,
        box=box.SIMPLE_HEAD,
        padding=(0, 1, 0, 0),
        caption="void: the machine could not tell a side from itself" if any(row.void for row in rows) else None,
    )
    for heading in ("", "median", "peer", "ratio", "95 %", "aim", "itself", ""):
        table.add_column(heading, justify="left" if heading in ("", "aim") else "right", no_wrap=True)
    for row in rows:
        verdict = "[red]void" if row.void else "[green]reached" if row.reached else "[red]missed"
        figures = [f"{_short(value)}\n{row.unit}" for value in (row.median, row.peer_median)]
        interval = f"{row.low:.3f}\n{row.high:.3f}"
        ratio, itself = f"{row.ratio:.3f}", f"{row.self_ratio:.3f}"
        table.add_row(f"{row.name}\n/ {row.peer}", *figures, ratio, interval, row.aim, itself, verdict)
    console = Console()
    console.print(table)
    for name, value in extra.items():
        console.print(f"{name}: {value:.3f}", highlight=False)
    told = [{**asdict(row), "void": row.void} for row in rows]
    return {"title": title, "rows": told, "extra": extra, **circumstances(packages)}


def circumstances(packages: Sequence[str]) -> dict:
    """What figures depend on besides what is measured, as plain data for JSON; prints how busy the machine was."""
    load, cores = os.getloadavg(), len(os.sched_getaffinity(0))
    loads = " ".join(f"{number:.2f}" for number in load)
    Console().print(f"load average {loads}, {cores} cores", highlight=False)
    return {
        "load_average": load,
        "machine": {"cores": cores, "cpu": _cpu(), "system": platform.platform()},
        "versions": {"python": platform.python_version(), **{name: version(name) for name in packages}},
    }


def as_the_trainer() -> None:
    """Start again with OpenMP set up as the trainer's process has it: torch reads that when it is loaded."""
    wanted = learning_environment()
    if any(os.environ.get(name) != value for name, value in wanted.items()):
        os.environ.update(wanted)
        os.execv(sys.executable, sys.orig_argv)


def write_json(path: Path, data: dict) -> None:
    """Write a report beside its script."""
    path.write_text(json.dumps(data, indent=1) + "\n", encoding="utf-8")
    Console().print(f"written to {path}", highlight=False)


def _short(value: float) -> str:
    return f"{value:,.0f}" if value >= 1000 else f"{value:.4g}"


def _cpu() -> str:
    info = Path("/proc/cpuinfo")
    lines = info.read_text(encoding="utf-8").splitlines() if info.exists() else []
    models = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return models[0] if models else platform.processor()
