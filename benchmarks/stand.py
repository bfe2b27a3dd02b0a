"""How long it takes from nothing to a policy that stands: one training a seed, then the exam.

The exam is the phase's own: 100 episodes of 20 s, a push of 0.5 m/s every 4 s, no exploration noise, with a seed
that no training saw. Time is time of training: simulating, learning, checkpoints; the second of set-up is extra.
"""

from __future__ import annotations

import tempfile
import time
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import tyro
from pairing import as_the_trainer, circumstances, write_json
from rich.console import Console
from rich.markup import escape
from rich.table import Table

#: Of the final exam; trainings examine themselves with another.
EXAM_SEED = 20_261


@dataclass(frozen=True)
class Options:
    """What to measure."""

    #: seeds 0, 1, ... of so many trainings
    seeds: int = 3
    #: the phase to train
    phase: str = "stand"
    #: simulations side by side
    environments: int = 256


@dataclass(frozen=True)
class Row:
    """One training."""

    seed: int
    seconds: float
    wall: float
    steps: int
    survived: int
    reason: str


def main(options: Options) -> None:
    """Train each seed, print one table, write JSON beside this script."""
    rows = [measure(options, seed) for seed in range(options.seeds)]
    heads = ("seed", "training [s]", "wall [s]", "steps", "survived of 100", "ended")
    table = Table(*map(escape, heads), title="From nothing")
    for row in rows:
        numbers = (row.seed, f"{row.seconds:.0f}", f"{row.wall:.0f}", f"{row.steps:,}", row.survived, row.reason)
        table.add_row(*map(str, numbers))
    seconds = [row.seconds for row in rows]
    table.add_row("median", f"{np.median(seconds):.0f}", end_section=True)
    table.add_row("worst", f"{max(seconds):.0f}", "", "", str(min(row.survived for row in rows)))
    Console().print(table)
    told = [asdict(row) for row in rows]
    write_json(Path(__file__).with_suffix(".json"), {"rows": told, **circumstances(("mujoco", "numpy", "torch"))})


def measure(options: Options, seed: int) -> Row:
    """One training from nothing, and its exam."""
    from jack_trainer.exam import examine
    from jack_trainer.school import School
    from jack_trainer.training import TrainOptions

    with tempfile.TemporaryDirectory() as runs:
        begun = time.monotonic()
        wanted = TrainOptions(options.phase, seed=seed, runs=Path(runs), environments=options.environments)
        result = School(wanted, Quiet()).run()
        wall = time.monotonic() - begun
        survived = examine(result.policy, seed=EXAM_SEED).evaluation.survived
    return Row(seed, result.seconds, wall, result.step, survived, result.reason)


class Quiet:
    """A listener that prints a line now and then."""

    def on_progress(self, progress) -> None:  # noqa: ANN001
        """An update is done."""
        if progress.update % 50 == 0:
            print(
                f"  {progress.step:>9,} steps  {progress.steps_per_second:6.0f}/s  "
                f"return {progress.mean_return:6.1f}  length {progress.mean_episode_length:5.1f} s",
                flush=True,
            )

    def on_policy(self, policy) -> None:  # noqa: ANN001
        """A checkpoint is written."""


if __name__ == "__main__":
    as_the_trainer()
    main(tyro.cli(Options))
