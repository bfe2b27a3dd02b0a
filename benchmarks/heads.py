"""Three ways to learn the same action chunks: squared error, flow matching, and 256 tokens a number.

One brain that can walk goes on, once with each kind of head, from the same scenes, for as many samples, with the
same seed. Each is then examined as `following.py` does: at tables and in words that no training saw, through the
policy file. What a chunk costs is measured on this machine.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import tyro
from pairing import as_the_trainer
from rich import box
from rich.console import Console
from rich.table import Table
from trials import EXAM_SEED, Narrator, Records, spread

from jack_brain.chunk import KINDS

#: Chunks that are timed.
_CHUNKS = 300


@dataclass(frozen=True)
class Options:
    """What to measure."""

    #: checkpoint of a brain that walks
    parent: Path
    #: folders of ./jack scenes, best made on its legs
    scenes: tuple[Path, ...]
    #: samples that each learns from
    samples: int = 400_000
    #: of each skill
    trials: int = 25
    #: seeds 0, 1, ... of so many trainings of each
    seeds: int = 1
    #: kinds of heads, in this order
    sides: tuple[str, ...] = KINDS
    #: keep what the file has already, and do the others
    append: bool = False
    #: where the figures go
    output: Path = Path(__file__).with_suffix(".json")


@dataclass(frozen=True)
class Trial:
    """What came of one kind."""

    side: str
    seed: int
    #: of learning and its own exams
    seconds: float
    #: by skill, of so many trials each
    done: dict[str, int]
    trials: int
    #: of all trials
    fell: int
    #: of one chunk, median [ms]
    chunk: float


def attempt(options: Options, side: str, seed: int) -> Trial:
    """Teach one, and examine it."""
    from jack_contract.contract import default_contract
    from jack_trainer.checkpoint import policy_of
    from jack_trainer.course import Course
    from jack_trainer.table_exam import by_skill, try_at_table
    from jack_trainer.tasks.lessons import TableExam
    from jack_trainer.training import TrainOptions

    with tempfile.TemporaryDirectory() as runs:
        asked = TrainOptions(
            phase="manipulation",
            steps=options.samples,
            seed=seed,
            runs=Path(runs),
            parent=options.parent,
            scenes=options.scenes,
            chunk=side,
        )
        result = Course(asked, Narrator(f"{side}, seed {seed}")).run()
        policy = policy_of(result.checkpoint)
        found = try_at_table(policy, default_contract(), TableExam(options.trials), EXAM_SEED)
        chunk = _time_of_chunk(policy)
    done = {skill: sum(outcome.success for outcome in each) for skill, each in by_skill(found).items()}
    return Trial(side, seed, result.seconds, done, options.trials, sum(outcome.fell for outcome in found), chunk)


def _time_of_chunk(file: Path) -> float:
    """Median time of one chunk [ms]."""
    from jack_brain.policy import Policy
    from jack_contract.contract import default_contract

    contract, random = default_contract(), np.random.default_rng(0)
    policy, spec = Policy.load(file, contract), contract.observation
    picture = random.integers(0, 256, (contract.camera.height, contract.camera.width, 3), np.uint8)
    seen = policy.look(np.ones(contract.instruction.length, np.int64), picture)
    history = random.normal(size=(spec.history, spec.frame_size)).astype(np.float32)
    took = []
    for _ in range(_CHUNKS):
        begun = time.perf_counter()
        policy.reach(history, seen.prefix)
        took.append(time.perf_counter() - begun)
    return float(1e3 * np.median(took))


def table(options: Options, records: Records[Trial]) -> Table:
    """One row a kind; over seeds, medians with the least and the greatest."""
    found = {side: records.of(side) for side in options.sides}
    skills = next((list(trials[0].done) for trials in found.values() if trials), [])
    shown = Table(title=f"Done, of {options.trials}", box=box.SIMPLE_HEAD)
    for name in ("", *skills, "fell", "chunk [ms]", "learning [s]"):
        shown.add_column(name, justify="right" if name else "left")
    for side, trials in found.items():
        if trials:
            shown.add_row(side, *_cells(trials, skills))
    return shown


def _cells(trials: Sequence[Trial], skills: Sequence[str]) -> list[str]:
    cells = [spread([trial.done[skill] for trial in trials], ",.0f") for skill in skills]
    cells.append(spread([trial.fell for trial in trials], ",.0f"))
    return [*cells, spread([t.chunk for t in trials], ".2f"), spread([t.seconds for t in trials], ",.0f")]


def main(options: Options) -> None:
    """Measure all kinds that are not measured yet."""
    as_the_trainer()
    setting = {"samples": options.samples, "trials": options.trials}
    records = Records(options.output, setting, options.append, Trial)
    for seed in range(options.seeds):
        for side in options.sides:
            if not records.has(side, seed):
                records.add(attempt(options, side, seed), ("mujoco", "numpy", "torch", "onnxruntime"))
    Console().print(table(options, records))


if __name__ == "__main__":
    main(tyro.cli(Options, description=__doc__))
