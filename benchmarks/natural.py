"""Walking like a person: the gait of phase 1 and what style makes of it, both held against one clip, and the exam.

    python natural.py --walker ../runs/...-walk --clip walk.bvh --speed 1.5

A walker that passes his exam goes on learning, with a judge of style (`jack_trainer/rl/amp.py`) and one clip of a
person. Before and after he is asked to walk as fast as the clip does, unpushed, and what he does is held against
it, joint by joint and cycle by cycle. Each difference is to be at most half of what it was, the exam of walking is
still to be passed, and all of it within half an hour on two cores. A film shows all three side by side.
"""

from __future__ import annotations

import time
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import tyro
from pairing import as_the_trainer, circumstances, write_json
from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

if TYPE_CHECKING:  # torch is loaded by who trains
    from jack_brain.network.brain import Brain
    from jack_trainer.imitation.mocap.motion import MotionClip
    from jack_trainer.imitation.similarity import Gait
    from jack_trainer.rl.amp import AMP

#: A difference is to be less by this share of what it was.
AIM = 0.5
#: Of the exam; trainings examine themselves with another.
EXAM_SEED = 20_261
#: Seconds between two lines that say how it goes.
_INTERVAL = 30.0
#: So many control periods of each are filmed.
_FILMED = 300


@dataclass(frozen=True)
class Options:
    """What to measure."""

    #: a run that taught him to walk
    walker: Path
    #: a recording of a person who walks
    clip: Path
    #: how many times faster than recorded it is played
    speed: float = 1.5
    #: environment steps
    steps: int = 4_400_000
    #: of everything random
    seed: int = 0
    #: simulations side by side
    environments: int = 256
    #: figures; the film gets the same name
    output: Path = Path(__file__).with_name("natural.json")


def motion_of(path: Path, speed: float) -> MotionClip:
    """The clip as Jack would do it."""
    from jack_contract.contract import default_contract
    from jack_trainer.imitation.mocap.body import load_body
    from jack_trainer.imitation.mocap.reader import read_clip
    from jack_trainer.imitation.mocap.retarget import retarget

    return retarget(read_clip(path), load_body(), default_contract().robot, speed).motion


def walker(run: Path) -> Brain:
    """The brain that a run came to, as robots get it."""
    from jack_brain.network.brain import Brain
    from jack_contract.contract import default_contract
    from jack_trainer import checkpoint as storage

    brain = Brain(default_contract())
    brain.load_state_dict(storage.newest_checkpoint(run / "checkpoints").part("average"))
    return brain


def train(options: Options, brain: Brain, motion: MotionClip) -> AMP:
    """Learn style until the steps are used up."""
    from jack_sim.batch import BatchWorld
    from jack_sim.scene import TRAINING, load_model
    from jack_trainer.phases import phase
    from jack_trainer.rl.amp import AMP, AmpConfig
    from jack_trainer.tasks.lessons import NATURAL
    from jack_trainer.tasks.locomotion import Locomotion

    world = BatchWorld(load_model(TRAINING), brain.contract.robot, options.environments)
    environment = Locomotion(world, brain.contract, NATURAL, options.seed)
    learner = AMP(brain, environment, [motion], AmpConfig(), phase("walk").ppo, options.seed)
    begun, told, step = time.monotonic(), time.monotonic(), 0
    while step < options.steps:
        learner.progress = step / options.steps
        learner.iterate()
        step += learner.samples
        if time.monotonic() - told > _INTERVAL:
            told = time.monotonic()
            print(
                f"{told - begun:5.0f} s, {step:,} steps, a cycle of {environment.gait.period:.2f} s, likeness "
                f"{learner.episodes.terms.get('likeness', 0.0):.2f}, return {learner.episodes.mean_return:.1f}"
            )
    return learner


def table(before: Gait, after: Gait, clip: Gait) -> Table:
    """A row for each figure."""
    was, now = before.difference(clip), after.difference(clip)
    shown = Table(title="How alike", box=box.SIMPLE_HEAD)
    for head in ("", "clip", "phase 1", "natural", "difference was", "is", "better by"):
        shown.add_column(Text(head), justify="right" if head else "left")
    for name, share in now.improvement(was).items():
        gaits = [getattr(gait.figures, name, float("nan")) for gait in (clip, before, after)]
        numbers = [*gaits, getattr(was, name), getattr(now, name)]
        cells = ["-" if number != number else f"{number:.3g}" for number in numbers]
        shown.add_row(name, *cells, Text(f"{share:.0%}", style="green" if share >= AIM else "red"))
    return shown


def main(options: Options) -> None:
    """Train, compare, examine, film."""
    from jack_trainer.evaluate import evaluate
    from jack_trainer.imitation.side_by_side import write_side_by_side
    from jack_trainer.imitation.similarity import courses_at, gait_at, gait_of
    from jack_trainer.phases import phase
    from jack_trainer.rl.acting import actor
    from jack_trainer.tasks.reference import Reference

    motion, first = motion_of(options.clip, options.speed), actor(walker(options.walker))
    brain, walk = walker(options.walker), phase("walk")
    contract = brain.contract
    clip = gait_of(motion, contract.robot)
    speed = clip.figures.speed
    before, begun = gait_at(first, contract, speed), time.monotonic()
    learner = train(options, brain, motion)
    seconds = time.monotonic() - begun
    act, beat = actor(learner.average), learner.beat
    after = gait_at(act, contract, speed, beat)
    exam = evaluate(act, contract, replace(walk.exam, beat=beat), seed=EXAM_SEED)
    courses = {
        "phase 1": courses_at(first, contract, speed)[0],
        "clip": Reference(motion, contract, _FILMED).qpos,
        "natural": courses_at(act, contract, speed, beat)[0],
    }
    write_side_by_side(options.output.with_suffix(".webm"), courses, contract.robot.control_period)
    Console().print(table(before, after, clip))
    Console().print(f"{exam.survived} of {exam.episodes} on his feet, {exam.velocity_error:.2f} m/s,", end=" ")
    Console().print(f"{exam.yaw_rate_error:.2f} rad/s: {'passed' if walk.passes(exam) else 'not passed'}")
    found = {"clip": clip.figures, "before": before.figures, "after": after.figures, "exam": exam}
    found |= {"was": before.difference(clip), "is": after.difference(clip)}
    given = {name: getattr(options, name) for name in ("speed", "steps", "seed", "environments")}
    told = {"clip_sha256": motion.info.source_sha256, "training_seconds": seconds, "beat": beat and asdict(beat)}
    report = {name: asdict(figures) for name, figures in found.items()}
    write_json(options.output, {**report, **given, **told, **circumstances(["mujoco", "torch"])})


if __name__ == "__main__":
    as_the_trainer()
    main(tyro.cli(Options, description=__doc__))
