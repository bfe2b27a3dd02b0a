"""Does he do what he is told, and because he is told and sees it? A policy that follows sentences, in closed loop.

Trials at tables and in words that no training saw, as in the exam (`jack_trainer.table_exam`), each skill alike.
Where a thing is named there is another one with which the same could be done:

- as told: the exam itself;
- another sentence: the same tables, and the same kind of deed done to another thing; who only learnt what is
  usually done at a table fails;
- deaf: no sentence reaches the policy; blind: no picture does. What is left is what can be done by chance.

Ends with 0 if as told he does what passes the phase, and of what he is told otherwise at least 0.8 of that.
"""

from __future__ import annotations

import multiprocessing
import os
import sys
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass
from itertools import repeat
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import tyro
from pairing import circumstances, write_json
from rich import box
from rich.console import Console
from rich.table import Table

if TYPE_CHECKING:
    from jack_trainer.tasks.following import Outcome
    from jack_trainer.tasks.instructions import Skill
    from jack_trainer.tasks.planner import Planner
    from jack_trainer.tasks.tabletop import Situation

#: Of everything random; no training and no exam of a training has it.
SEED = 20_261
AS_TOLD, OTHERWISE, DEAF, BLIND = "as told", "another sentence", "deaf", "blind"
#: What is to be left of his success with another sentence.
AIM = 0.8


@dataclass(frozen=True)
class Options:
    """What to measure."""

    #: policy file (.onnx) that follows sentences, checkpoint or run; newest
    policy: Path = Path("newest")
    #: of each skill, as told and with another sentence
    trials: int = 100
    #: of each skill deaf, and blind: hardly anything is done then, and each takes all of its time
    masked: int = 25
    #: folder of the trainings
    runs: Path = Path("runs")
    #: where the figures go
    output: Path = Path(__file__).with_suffix(".json")


@dataclass(frozen=True)
class Row:
    """What came of one skill under one condition."""

    condition: str
    skill: str
    trials: int
    done: int
    fell: int
    #: moved something that nobody had named
    meddled: int
    #: of those that were done, the median [s]; None: none was
    seconds: float | None

    @property
    def share(self) -> float:
        """Of what he was told."""
        return self.done / max(1, self.trials)


class Pairs:
    """Tables where there is a choice, with what he is told in the exam's words, and something else."""

    def __init__(self) -> None:
        self._words = np.random.default_rng(SEED)

    def told(self, random: np.random.Generator, planner: Planner, skill: Skill) -> Situation:
        """A table, and what he is told there; of a skill that is about no thing, any."""
        return self._draw(random, planner, skill)[0]

    def otherwise(self, random: np.random.Generator, planner: Planner, skill: Skill) -> Situation:
        """The same table as `told` has of the same generator, and a sentence for another thing on it."""
        other = self._draw(random, planner, skill)[1]
        assert other is not None
        return other

    def _draw(
        self, random: np.random.Generator, planner: Planner, skill: Skill
    ) -> tuple[Situation, Situation | None]:
        from jack_trainer.table_exam import unseen
        from jack_trainer.tasks.demonstrations import other_words

        while True:
            told = unseen(random, planner, skill)
            other = other_words(self._words, planner, told, exam=True)
            if other is not None or not skill.names_thing:
                return told, other


def rows(condition: str, outcomes: Sequence[Outcome]) -> list[Row]:
    """One for each skill."""
    from jack_trainer.table_exam import by_skill

    return [
        Row(
            condition,
            skill,
            len(each),
            sum(o.success for o in each),
            sum(o.fell for o in each),
            sum(o.meddled for o in each),
            float(np.median(times)) if (times := [o.seconds for o in each if o.success]) else None,
        )
        for skill, each in by_skill(outcomes).items()
    ]


def tried(condition: str, skill: Skill, path: Path, trials: int) -> list[Row]:
    """What comes of one skill under one condition; may run in a process of its own."""
    from jack_contract.contract import default_contract
    from jack_trainer.table_exam import try_at_table
    from jack_trainer.tasks.lessons import TableExam

    pairs, exam = Pairs(), TableExam(trials, (skill,))
    draw = pairs.otherwise if condition == OTHERWISE else pairs.told
    sees, hears = condition != BLIND, condition != DEAF
    return rows(condition, try_at_table(path, default_contract(), exam, SEED, draw=draw, hears=hears, sees=sees))


def table(found: Sequence[Row]) -> Table:
    """Skills by conditions: shares done, and how many fell."""
    shown = Table(title="What he is told", box=box.SIMPLE_HEAD)
    names = list(dict.fromkeys(row.condition for row in found))
    for name in ("skill", *names, "fell", "meddled", "median [s]"):
        shown.add_column(name, justify="left" if name == "skill" else "right")
    for skill in dict.fromkeys(row.skill for row in found):
        mine = {row.condition: row for row in found if row.skill == skill}
        cells = [f"{mine[name].share:.0%}" if name in mine else "-" for name in names]
        told = mine[AS_TOLD]
        took = "-" if told.seconds is None else f"{told.seconds:.1f}"
        shown.add_row(skill, *cells, str(told.fell), str(told.meddled), took)
    return shown


def kept(found: Sequence[Row], condition: str) -> float:
    """The share done under a condition, of that as told, over the skills that have both, each alike."""
    there = {row.skill for row in found if row.condition == condition}
    one, other = (
        sum(row.share for row in found if row.condition == name and row.skill in there)
        for name in (condition, AS_TOLD)
    )
    return one / other if other else 0.0


def main(options: Options) -> int:
    """Try, print one table, write JSON; returns the exit code."""
    from jack_trainer.exam import policy_named
    from jack_trainer.phases import phase
    from jack_trainer.scene_making import sha256
    from jack_trainer.tasks.instructions import Skill

    path = policy_named(options.policy, options.runs)
    asked = [
        (condition, skill)
        for condition in (AS_TOLD, OTHERWISE, DEAF, BLIND)
        for skill in Skill
        if skill.names_thing or condition != OTHERWISE
    ]
    found: list[Row] = []
    with ProcessPoolExecutor(len(os.sched_getaffinity(0)), multiprocessing.get_context("spawn")) as pool:
        counts = [options.masked if condition in (DEAF, BLIND) else options.trials for condition, _ in asked]
        for each in pool.map(tried, *zip(*asked, strict=True), repeat(path), counts):
            found += each
            print(*(f"{row.condition}: {row.skill} {row.done} of {row.trials}" for row in each), flush=True)
    console = Console()
    console.print(table(found))
    left = {condition: kept(found, condition) for condition in (OTHERWISE, DEAF, BLIND)}
    console.print("; ".join(f"{condition}: {share:.2f} of as told" for condition, share in left.items()))
    figures = {"policy": sha256(path), "seed": SEED, "left": left, "rows": [asdict(row) for row in found]}
    write_json(options.output, figures | circumstances(("mujoco", "numpy", "onnxruntime")))
    told = {row.skill: row for row in found if row.condition == AS_TOLD}
    falls = sum(row.fell for row in told.values()) / sum(row.trials for row in told.values())
    taught = phase("manipulation")
    passed = falls <= 1 - taught.survival and all(
        told[skill].share >= share for skill, share in taught.done.items()
    )
    return 0 if passed and left[OTHERWISE] >= AIM else 1


if __name__ == "__main__":
    sys.exit(main(tyro.cli(Options, description=__doc__)))
