"""What each part of the school is good for: walking after the same wall time, with one left out.

- no mirror: the network sees both sides of the body as they are, and learns each step twice;
- no reference: actions are offsets from the default pose alone. The rhythm remains, in what he sees and in
  what he is rewarded for;
- no curriculum: the whole of the commands and pushes from the first step on;
- no landing: no reward for feet that land where the capture point wants them;
- no estimate: the action's part of the brain is not asked how fast he moves.

All are examined alike (`trials.py`). The sides come in random order for each seed.
"""

from __future__ import annotations

import random
import sys
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import tyro
from pairing import as_the_trainer
from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text
from trials import EPISODES, Records, Trial, Variant, attempt, spread

if TYPE_CHECKING:
    from jack_trainer.phases import Phase


@dataclass(frozen=True)
class Options:
    """What to measure."""

    #: wall time of each training [min]
    minutes: float = 10.0
    #: seeds 0, 1, ... of so many trainings of each side
    seeds: int = 1
    #: the phase to train
    phase: str = "walk"
    #: only these sides; none named: all
    sides: tuple[str, ...] = ()
    #: simulations side by side; 0: as many as the phase takes
    environments: int = 0
    #: keep the trainings that the file has already, and do the others
    append: bool = False
    #: where the figures go
    output: Path = Path(__file__).with_suffix(".json")


def _complete(phase: str) -> Variant:
    return Variant()


def _without_mirror(phase: str) -> Variant:
    from jack_brain.network.brain import Brain

    return Variant(network=partial(Brain, symmetric=False))


def _without_reference(phase: str) -> Variant:
    from jack_contract.contract import default_contract

    contract = default_contract()
    count = contract.robot.count
    still = replace(contract.gait, swing=(0.0,) * count, stride=((0.0, 0.0, 0.0),) * count)
    return Variant(contract=replace(contract, gait=still))


def _without_curriculum(phase: str) -> Variant:
    lesson = _lesson(phase)
    return Variant(lesson=replace(lesson, task=replace(lesson.task, curriculum=1.0)))


def _without_landing(phase: str) -> Variant:
    lesson = _lesson(phase)
    weights = replace(lesson.task.weights, landing=0.0)
    return Variant(lesson=replace(lesson, task=replace(lesson.task, weights=weights)))


def _without_estimate(phase: str) -> Variant:
    lesson = _lesson(phase)
    return Variant(lesson=replace(lesson, ppo=replace(lesson.ppo, estimate=0.0)))


def _lesson(name: str) -> Phase:
    from jack_trainer.phases import phase

    return phase(name)


SIDES: dict[str, Callable[[str], Variant]] = {
    "complete": _complete,
    "no mirror": _without_mirror,
    "no reference": _without_reference,
    "no curriculum": _without_curriculum,
    "no landing": _without_landing,
    "no estimate": _without_estimate,
}


def measure(options: Options, side: str, seed: int) -> Trial:
    """One training of one side, and its exam."""
    from jack_trainer.training import TrainOptions

    given = TrainOptions(options.phase, seed=seed, environments=options.environments, until_passed=False)
    return attempt(side, given, SIDES[side](options.phase), 60.0 * options.minutes)


def table(options: Options, records: Records[Trial]) -> Table:
    """One row a side: medians over the seeds, least and greatest beside them."""
    shown = Table(
        title=f"{options.phase}, {options.minutes:g} minutes each",
        box=box.SIMPLE_HEAD,
        padding=(0, 1, 0, 0),
        caption="median, least..greatest",
    )
    heads = ("steps", f"survived\nof {EPISODES}", "on his\nfeet [s]", "velocity\n[m/s]", "yaw rate\n[rad/s]")
    for name in ("", *heads, "passed"):
        shown.add_column(Text(name), justify="right" if name else "left", no_wrap=True)
    for side in SIDES:
        if mine := records.of(side):
            shown.add_row(side, *_cells(mine), f"{sum(t.passed for t in mine)} of {len(mine)}")
    return shown


def _cells(mine: list[Trial]) -> list[str]:
    patterns = {
        "steps": ",.0f",
        "survived": ".0f",
        "mean_time": ".1f",
        "velocity_error": ".3f",
        "yaw_rate_error": ".3f",
    }
    return [spread([getattr(t, name) for t in mine], pattern) for name, pattern in patterns.items()]


def main(options: Options) -> None:
    """Train every side with every seed, write JSON after each, print one table."""
    if unknown := set(options.sides) - set(SIDES):
        sys.exit(f"Unknown sides: {', '.join(sorted(unknown))}. There are: {', '.join(SIDES)}.")
    setting = {name: getattr(options, name) for name in ("minutes", "phase", "environments")}
    records, order = Records(options.output, setting, options.append, Trial), random.Random(0)
    try:
        for seed in range(options.seeds):
            for side in order.sample(list(SIDES), len(SIDES)):
                if (not options.sides or side in options.sides) and not records.has(side, seed):
                    records.add(measure(options, side, seed))
    finally:  # what was measured before somebody stopped it counts
        if records.trials:
            Console().print(table(options, records))


if __name__ == "__main__":
    as_the_trainer()
    main(tyro.cli(Options, description=__doc__))
