"""How many environment steps PPO needs for the return that REINFORCE gets to: the same brain, the same task.

For each seed REINFORCE trains for its time; the best mean return of 100 episodes that it came to is then PPO's
goal. Steps are counted until each was first there. REINFORCE is not charged for the steps in which environments
whose episode is over wait for the others.
"""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import tyro
from pairing import as_the_trainer, circumstances, write_json
from rich import box
from rich.console import Console
from rich.markup import escape
from rich.table import Table

#: PPO is to need so many times fewer steps.
AIM = 10.0


@dataclass(frozen=True)
class Options:
    """What to measure."""

    #: a few seconds, to see that it runs; the figures mean nothing, nothing is written
    quick: bool = False
    #: of each training by REINFORCE, and at most of each by PPO
    seconds: float = 600.0
    #: seeds 0, 1, ... of so many trainings by each
    seeds: int = 3
    #: what both learn
    env: str = "gymnasium:Humanoid-v5"
    #: copies of the task side by side
    environments: int = 16
    #: where the figures go
    output: Path = Path(__file__).with_suffix(".json")


QUICK: dict[str, Any] = {"seconds": 10.0, "seeds": 1, "env": "InvertedPendulum-v5", "environments": 4}


@dataclass(frozen=True)
class Pair:
    """One seed."""

    seed: int
    #: what both came to; NaN where no episode ended
    mean_return: float
    #: environment steps and seconds until then; PPO's are None if it was never there
    steps: int
    seconds: float
    ppo_steps: int | None
    ppo_seconds: float | None

    @property
    def ratio(self) -> float:
        """Steps of REINFORCE per step of PPO; 0 if PPO was never there."""
        return self.steps / self.ppo_steps if self.ppo_steps else 0.0


def measure(options: Options, seed: int) -> Pair:
    """One training by each."""
    from jack_trainer.gymnasium_training import GymnasiumOptions, GymnasiumTraining
    from jack_trainer.rl.reinforce import ReinforceConfig

    with tempfile.TemporaryDirectory() as runs:
        given = GymnasiumOptions(
            options.env, 10**12, options.seconds, seed, environments=options.environments, runs=Path(runs)
        )
        with GymnasiumTraining(replace(given, learner=ReinforceConfig())) as training:
            curve = training.run().curve
        best = max(curve, key=lambda point: np.nan_to_num(point.mean_return, nan=-np.inf))
        with GymnasiumTraining(given) as training:
            there = training.run(lambda: training.curve[-1].mean_return >= best.mean_return)
    reached = there.reason == "stopped"
    found = (there.end.step, there.end.seconds) if reached else (None, None)
    return Pair(seed, best.mean_return, best.step, best.seconds, *found)


def table(options: Options, pairs: Sequence[Pair]) -> Table:
    """One row a seed, and the median."""
    shown = Table(title=f"{options.env}, {options.seconds:g} s of REINFORCE", box=box.SIMPLE_HEAD)
    for name in ("seed", "return", "REINFORCE steps", "[s]", "PPO steps", "[s]", "ratio of steps"):
        shown.add_column(escape(name), justify="right")
    for pair in pairs:
        ppo = ("never", "") if pair.ppo_steps is None else (f"{pair.ppo_steps:,}", f"{pair.ppo_seconds:.0f}")
        earlier = (str(pair.seed), f"{pair.mean_return:.1f}", f"{pair.steps:,}", f"{pair.seconds:.0f}")
        shown.add_row(*earlier, *ppo, f"{pair.ratio:.1f}")
    middle = float(np.median([pair.ratio for pair in pairs]))
    verdict = f"[{'green' if middle >= AIM else 'red'}]{middle:.1f} (aim >= {AIM:g})"
    shown.add_section()
    shown.add_row("median", "", "", "", "", "", verdict)
    return shown


def main(options: Options) -> None:
    """Train each seed twice, print one table, write JSON beside this script."""
    if options.quick:
        options = replace(options, **QUICK)
    console, pairs = Console(), [measure(options, seed) for seed in range(options.seeds)]
    console.print(table(options, pairs))
    around = circumstances(("gymnasium", "mujoco", "numpy", "torch"))
    if not options.quick:
        rows = [asdict(pair) | {"ratio": pair.ratio} for pair in pairs]
        told = asdict(options) | {"output": ""}
        write_json(options.output, {"options": told, "rows": rows, **around})


if __name__ == "__main__":
    as_the_trainer()
    main(tyro.cli(Options, description=__doc__))
