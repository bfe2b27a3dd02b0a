"""Walking like a person: the gait before and after a run's phase with a clip, held against that clip, and the exam.

    ./jack train --phases stand,walk,natural --clips motions/walk.safetensors
    python benchmarks/natural.py runs/...-stand-walk-natural

He is asked to walk as fast as the clip does, unpushed, and what he does is held against it, joint by joint and
cycle by cycle (`jack_trainer.style`, which writes a film of all three side by side into the run's folder). Of each
difference at most half is to be left, unless there was none to speak of; the exam of walking is still to be passed,
with a seed that no training saw; and the phase is not to take more than half an hour.

Ends with 0 if all of that is so.
"""

from __future__ import annotations

import sys
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import tyro
from pairing import as_the_trainer, circumstances, write_json
from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text
from trials import EXAM_SEED
from tyro.conf import Positional

if TYPE_CHECKING:  # torch is loaded by who trains
    from jack_trainer.evaluate import Evaluation
    from jack_trainer.style import Style
    from jack_trainer.transcript import Entry

#: Of what he differed by, at least this share is to be gone, in at most this time [s].
AIM, LIMIT = 0.5, 1800.0
#: The exam of the phase itself.
PACED = "now, half of it at the clip's pace"
#: A figure that was as near to the clip's as this before, as a share of it, was right by chance.
RIGHT = 0.05


@dataclass(frozen=True)
class Options:
    """What to measure."""

    #: a run whose last phase was learnt from a clip, after one of walking
    run: Positional[Path]
    #: of each exam
    episodes: int = 400
    #: where the figures go
    output: Path = Path(__file__).with_name("natural.json")


def table(style: Style) -> Table:
    """A row for each figure."""
    shown = Table(title="How alike", box=box.SIMPLE_HEAD)
    for head in ("", "clip", "before", "now", "nearer by"):
        shown.add_column(Text(head), justify="right" if head else "left")
    for name, share in style.nearer.items():
        cells = [f"{style.figures[who][name]:.3g}" if name in style.figures[who] else "-" for who in style.figures]
        colour = "green" if share >= AIM else "yellow" if chance(style, name) else "red"
        shown.add_row(name, *cells, Text(f"{share:.0%}", style=colour))
    return shown


def chance(style: Style, name: str) -> bool:
    """Whether a figure was as the clip's already, before he had seen it."""
    clip, before = (style.figures[who].get(name) for who in ("clip", "before"))
    return clip is not None and before is not None and abs(before - clip) <= RIGHT * abs(clip)


def exams(run: Path, entry: Entry, episodes: int) -> dict[str, Evaluation]:
    """The exam of walking, of the policy that the phase began from and of what came of it, and that one's own."""
    from jack_contract.contract import default_contract
    from jack_trainer.checkpoint import policy_of
    from jack_trainer.evaluate import evaluate
    from jack_trainer.phases import phase
    from jack_trainer.policy_actor import PolicyActor
    from jack_trainer.style import policy_before
    from jack_trainer.tasks.lessons import at_beat

    now = policy_of(run / "checkpoints" / f"{entry.step:012d}")
    found = {}
    for words, who, path, beat in (
        ("before", "walk", policy_before(run, entry), None),
        ("now", "walk", now, entry.beat),
        (PACED, "natural", now, entry.beat),
    ):
        exam = at_beat(phase(who).exam, beat)
        found[words] = evaluate(PolicyActor(path), default_contract(), exam, episodes, EXAM_SEED)
    return found


def seconds(run: Path, entry: Entry) -> float:
    """How long the phase took, exams and all [s]."""
    from jack_trainer.checkpoint import read_checkpoint
    from jack_trainer.style import policy_before

    places = policy_before(run, entry).parent, run / "checkpoints" / f"{entry.step:012d}"
    began, ended = (read_checkpoint(place).numbers.seconds for place in places)
    return ended - began


def main(options: Options) -> int:
    """Compare, examine, print, write JSON; returns the exit code."""
    from jack_trainer.phases import phase
    from jack_trainer.style import last_with_clips, write_style

    entry = last_with_clips(options.run)
    if entry is None:
        sys.exit(f"{options.run} has learnt from no clip: ./jack train --phases stand,walk,natural --clips CLIP")
    style, took = write_style(options.run), seconds(options.run, entry)
    found = exams(options.run, entry, options.episodes)
    console = Console()
    console.print(table(style))
    for who, exam in found.items():
        passes = phase("natural" if who == PACED else "walk").passes(exam)
        console.print(
            f"{who}: {exam.survived} of {exam.episodes} on his feet, {exam.velocity_error:.3f} m/s, "
            f"{exam.yaw_rate_error:.3f} rad/s: {'passed' if passes else 'not passed'}"
        )
    console.print(f"{took / 60:.0f} minutes, {entry.step - entry.begun:,} steps")
    figures = {"style": style.model_dump(), "exams": {who: asdict(exam) for who, exam in found.items()}}
    told = {"seconds": took, "steps": entry.step - entry.begun, "beat": entry.beat and asdict(entry.beat)}
    write_json(options.output, {**figures, **told, **circumstances(["mujoco", "torch"])})
    nearer = all(share >= AIM or chance(style, name) for name, share in style.nearer.items())
    passed = phase("walk").passes(found["now"]) and phase("natural").passes(found[PACED])
    return 0 if nearer and passed and took <= LIMIT else 1


if __name__ == "__main__":
    as_the_trainer()
    sys.exit(main(tyro.cli(Options, description=__doc__)))
