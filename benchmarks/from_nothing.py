"""How long a phase takes from nothing until it is passed: one training a seed, then the exam (`trials.py`).

`--network mlp` trains two plain perceptrons of the brain's size instead (`mlp.py`), with the same normalisers,
mirror, PPO and checkpoints: what the transformer costs, or brings, is the difference.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import tyro
from pairing import as_the_trainer
from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text
from trials import EPISODES, Records, Trial, Variant, attempt

#: What is compared; all but one are the worse the more there is of it.
SURVIVED = f"survived\nof {EPISODES}"
HEADS = ("training\n[s]", "wall\n[s]", "steps", SURVIVED, "velocity\n[m/s]", "yaw rate\n[rad/s]")


@dataclass(frozen=True)
class Options:
    """What to measure."""

    #: the phase to train
    phase: Literal["stand", "walk"] = "stand"
    #: so many trainings, of seeds that follow each other
    seeds: int = 5
    #: the first of them
    first: int = 0
    #: what learns
    network: Literal["brain", "mlp"] = "brain"
    #: simulations side by side; 0: as many as the phase takes
    environments: int = 0
    #: environment steps of a training; 0: as many as the phase gets
    steps: int = 0
    #: keep the seeds that the file has already, and train the others
    append: bool = False
    #: where the figures go; by default beside this script, named after phase and network
    output: Path | None = None


def measure(options: Options, seed: int) -> Trial:
    """One training from nothing, and its exam."""
    from mlp import perceptrons

    from jack_trainer.training import TrainOptions

    variant = Variant(network=perceptrons) if options.network == "mlp" else Variant()
    given = TrainOptions(options.phase, options.steps, seed, environments=options.environments)
    return attempt(options.network, given, variant)


def table(options: Options, trials: list[Trial]) -> Table:
    """One row a seed, the median and the worst."""
    shown = Table(
        title=f"From nothing: {options.phase}, {options.network}", box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0)
    )
    for name in ("seed", *HEADS, "passed", "ended"):
        shown.add_column(Text(name), justify="left" if name in ("passed", "ended") else "right")
    for t in trials:
        shown.add_row(str(t.seed), *_cells(figures(t)), _verdict(t.passed), t.reason)
    rows = np.array([figures(t) for t in trials])
    worst = np.where([head is SURVIVED for head in HEADS], rows.min(axis=0), rows.max(axis=0))
    passed = f"{sum(t.passed for t in trials)} of {len(trials)}"
    shown.add_section()
    shown.add_row("median", *_cells(np.median(rows, axis=0).tolist()), passed)
    shown.add_row("worst", *_cells(worst.tolist()))
    return shown


def figures(trial: Trial) -> list[float]:
    """What is compared, in the order of `HEADS`."""
    errors = trial.velocity_error, trial.yaw_rate_error
    return [trial.seconds, trial.wall, trial.steps, trial.survived, *errors]


def _cells(numbers: list[float]) -> list[str]:
    patterns = (",.0f", ",.0f", ",.0f", ".0f", ".3f", ".3f")
    return [format(number, pattern) for number, pattern in zip(numbers, patterns, strict=True)]


def _verdict(passed: bool) -> str:
    return "[green]yes" if passed else "[red]no"


def main(options: Options) -> None:
    """Train each seed, write JSON after each, print one table."""
    path = options.output or Path(__file__).with_name(f"from_nothing-{options.phase}-{options.network}.json")
    setting = {name: getattr(options, name) for name in ("phase", "network", "environments", "steps")}
    records = Records(path, setting, options.append, Trial)
    try:
        for seed in range(options.first, options.first + options.seeds):
            if not records.has(options.network, seed):
                records.add(measure(options, seed))
    finally:  # what was measured before somebody stopped it counts
        if records.trials:
            Console().print(table(options, records.of(options.network)))


if __name__ == "__main__":
    as_the_trainer()
    main(tyro.cli(Options, description=__doc__))
