"""Jack's PPO against stable-baselines3 and rsl_rl on Gymnasium's Humanoid-v5: return after the same wall time.

One training after the other, each in a process of its own on all cores; for each seed the sides come in random
order. What counts is the ratio of returns within a seed: two trainings of ten minutes cannot take turns in windows.
`jack`, `sb3` and `rsl-rl` run the same number of Gymnasium's own environments, a process each; `jack-batch` and
`rsl-rl-batch` run four times as many on `mujoco.batch`; `sb3-zoo` has the settings that were tuned for this task.
"""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Literal

import numpy as np
import tyro
from rich import box
from rich.console import Console
from rich.table import Table
from trials import Records, spread

from jack_launch.graphs import learning_environment

SideName = Literal["jack", "jack-batch", "sb3", "sb3-zoo", "rsl-rl", "rsl-rl-batch"]
#: What each side needs: module, what to type for it, and what the return of the first side is to be, in its own.
NEEDS = {
    "sb3": ("stable_baselines3", "pip install stable-baselines3", 2.0),
    "sb3-zoo": ("stable_baselines3", "pip install stable-baselines3", 1.0),
    "rsl-rl": ("rsl_rl", "pip install rsl-rl-lib", 1.0),
    "rsl-rl-batch": ("rsl_rl", "pip install rsl-rl-lib", 1.0),
}
DISTRIBUTIONS = {"stable_baselines3": "stable-baselines3", "rsl_rl": "rsl-rl-lib"}


@dataclass(frozen=True)
class Options:
    """What to measure."""

    #: a few seconds of each, to see that it runs; the figures mean nothing, nothing is written
    quick: bool = False
    #: of each training
    seconds: float = 600.0
    #: seeds 0, 1, ... of so many trainings of each side
    seeds: int = 3
    #: copies of the task side by side
    environments: int = 16
    #: episodes without exploration that a policy is scored by
    episodes: int = 20
    #: who is trained; the first is measured against the others
    sides: tuple[SideName, ...] = ("jack", "sb3", "sb3-zoo", "rsl-rl")
    #: threads of torch in the peers' processes; 0: as many as torch takes by itself
    peer_threads: int = 0
    #: keep the trainings that the file has already, and do the others
    append: bool = False
    #: where the figures go
    output: Path = Path(__file__).with_suffix(".json")


QUICK: dict[str, Any] = {"seconds": 5.0, "seeds": 1, "environments": 2, "episodes": 2}


@dataclass(frozen=True)
class Training:
    """One training, as `learners.py` tells it."""

    side: str
    seed: int
    steps: int
    seconds: float
    training_return: float
    returns: list[float]

    @property
    def speed(self) -> float:
        """Environment steps per second, learning included."""
        return self.steps / self.seconds

    @property
    def mean_return(self) -> float:
        """Mean return without exploration."""
        return float(np.mean(self.returns))


def present(sides: Sequence[str], console: Console) -> list[str]:
    """The sides whose library is there; says what to type for the others."""
    found = []
    for side in sides:
        module, remedy, _ = NEEDS.get(side, ("jack_trainer", "", 0.0))
        if find_spec(module) is None:
            console.print(f"{side} is left out, its library is not there. Type: {remedy}")
        else:
            found.append(side)
    return found


def train(options: Options, side: str, seed: int) -> Training:
    """One training in a process of its own, with torch's threads as its library has them."""
    environment = {name: value for name, value in os.environ.items() if name not in learning_environment()}
    if side.startswith("jack"):
        environment |= learning_environment()
    elif options.peer_threads:
        environment["OMP_NUM_THREADS"] = str(options.peer_threads)
    numbers = ("seconds", "environments", "episodes")
    given = [word for name in numbers for word in (f"--{name}", str(getattr(options, name)))]
    with tempfile.TemporaryDirectory() as folder:
        output = Path(folder) / "outcome.json"
        script = Path(__file__).with_name("learners.py")
        words = [sys.executable, str(script), "--side", side, "--seed", str(seed), "--output", str(output), *given]
        done = subprocess.run(words, env=environment, capture_output=True, text=True, check=False)
        if done.returncode:
            sys.exit(f"{side}, seed {seed}, failed:\n{done.stderr[-2000:]}")
        return Training(**json.loads(output.read_text(encoding="utf-8")))


def ratios(trainings: Sequence[Training], side: str, peer: str, figure: str) -> list[float]:
    """A side's figure in its peer's, one ratio for each seed that trained both."""
    mine, theirs = ({t.seed: getattr(t, figure) for t in trainings if t.side == name} for name in (side, peer))
    return [mine[seed] / theirs[seed] for seed in sorted(mine.keys() & theirs.keys())]


def table(options: Options, sides: Sequence[str], trainings: Sequence[Training]) -> Table:
    """Medians over the seeds, least and greatest beside them, and the ratios to the first side."""
    head = f"Humanoid-v5, {options.seconds:g} s, {options.seeds} seeds, {options.environments} environments"
    shown = Table(
        title=head, box=box.SIMPLE_HEAD, caption="median, least..greatest; ratios: the first side in this"
    )
    for name in ("", "steps/s", "return", "while training", "ratio of steps/s", "ratio of returns", "aim"):
        shown.add_column(name, justify="left" if not name else "right")
    for side in sides:
        mine = [t for t in trainings if t.side == side]
        figures = [spread([getattr(t, name) for t in mine]) for name in ("speed", "mean_return", "training_return")]
        if side == sides[0]:
            shown.add_row(side, *figures, "", "", "")
            continue
        returns, aim = ratios(trainings, sides[0], side, "mean_return"), NEEDS.get(side, ("", "", 1.0))[2]
        verdict = f"[{'green' if np.median(returns) >= aim else 'red'}]>= {aim:g}"
        speeds = spread(ratios(trainings, sides[0], side, "speed"), ".2f")
        shown.add_row(side, *figures, speeds, spread(returns, ".2f"), verdict)
    return shown


def main(options: Options) -> None:
    """Train every side with every seed, write JSON after each training, print one table."""
    if options.quick:
        options = replace(options, **QUICK, output=Path(os.devnull))
    console, order = Console(), random.Random(0)
    sides = present(options.sides, console)
    used = [name for module, name in DISTRIBUTIONS.items() if find_spec(module)]
    setting = {name: getattr(options, name) for name in ("seconds", "environments", "episodes", "peer_threads")}
    records = Records(options.output, setting, options.append, Training)
    for seed in range(options.seeds):
        for side in order.sample(sides, len(sides)):
            if records.has(side, seed):
                continue
            found = train(options, side, seed)
            records.add(found, ("gymnasium", "mujoco", "numpy", "torch", *used))
            console.print(
                f"seed {seed} {side}: return {found.mean_return:.0f}, {found.speed:.0f} steps/s", highlight=False
            )
    console.print(table(options, sides, records.trials))


if __name__ == "__main__":
    main(tyro.cli(Options, description=__doc__))
