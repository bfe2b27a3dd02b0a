"""What is left of walking when it is learnt from demonstrations, by a brain that never saw reward and one that did.

The policy that ships walks in a live graph at random commands and is recorded (`./jack record`). Then, each with
every seed:

- copied: a new brain, from the demonstrations alone;
- corrected: a new brain, from the demonstrations, and from practice in which the demonstrator says what he would
  have done (DAgger);
- overwritten: a brain that learned to walk by reward, from the demonstrations alone;
- merged: the same, and a fifth of the weights before stays in what robots get;
- rehearsed: as overwritten, and it rehearses what it could before.

All are examined alike: the exam of walking, 100 episodes of 20 s in randomised bodies, a push of 0.5 m/s every 4 s,
with a seed that no training saw. The style is how far his joint targets are, in the same moments of his own exam,
from those that the demonstrator would give, and from those of the brain before.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import tyro
from pairing import as_the_trainer
from rich import box
from rich.console import Console
from rich.table import Table
from trials import EPISODES, EXAM_SEED, Records, spread

if TYPE_CHECKING:  # torch is loaded by who trains
    from jack_contract.arrays import Array, Float32
    from jack_contract.contract import Contract
    from jack_trainer.evaluate import Actor
    from jack_trainer.imitation.cloning import Cloning
    from jack_trainer.tasks.environment import Observation

ROOT = Path(__file__).resolve().parents[1]
DEMONSTRATOR, PARENT = "demonstrator", "before"
SIDES = (DEMONSTRATOR, PARENT, "copied", "corrected", "overwritten", "merged", "rehearsed")
#: Sides that begin with a brain that walks, and those that practise.
GROWN, PRACTISE = ("overwritten", "merged", "rehearsed"), ("corrected", "rehearsed")


@dataclass(frozen=True)
class Options:
    """What to measure."""

    #: bags of walking, or folders of them; without any, 30 episodes of 20 s are recorded first, in 13 minutes
    bags: tuple[Path, ...] = ()
    #: a checkpoint of a brain that learned to walk by reward, better another than the demonstrator
    parent: Path | None = None
    #: policy file that demonstrated; by itself the one that ships
    demonstrator: Path | None = None
    #: which sides, in this order
    sides: tuple[str, ...] = SIDES
    #: seeds 0, 1, ... of so many trainings of each side
    seeds: int = 1
    #: times that a brain learns at most, 25 steps each
    times: int = 400
    #: simulations side by side, for practice
    environments: int = 128
    #: keep what the file has already, and do the others
    append: bool = False
    #: where the figures go
    output: Path = Path(__file__).with_suffix(".json")


@dataclass(frozen=True)
class Trial:
    """What came of one brain."""

    side: str
    seed: int
    #: of learning, practice included
    seconds: float
    #: samples that were demonstrated, and that were practised
    demonstrated: int
    practised: int
    #: of 100 episodes
    survived: int
    #: root mean square errors over half a gait cycle [m/s], [rad/s]
    velocity_error: float
    yaw_rate_error: float
    #: from the demonstrator's joint targets, and from those of the brain before, root mean square [rad]
    from_demonstrator: float
    from_before: float


class Course:
    """Everything that the sides share."""

    def __init__(self, options: Options, folder: Path) -> None:
        from jack_contract.contract import default_contract
        from jack_launch.graphs import pretrained_folder
        from jack_trainer.imitation.cloning import CloningConfig
        from jack_trainer.imitation.dataset import read_demonstrations

        self.options, self.folder, self.contract = options, folder, default_contract()
        self.policy = options.demonstrator or next(pretrained_folder().glob("*.onnx"))
        bags = options.bags or (_recorded(folder / "bags", self.policy),)
        self.demonstrations = read_demonstrations(bags, self.contract, folder=folder / "samples")
        self.config = CloningConfig()
        Console().print(self.demonstrations.table())

    def run(self, side: str, seed: int) -> Trial:
        """One side."""
        begun = time.monotonic()
        learner = None if side in (DEMONSTRATOR, PARENT) else self._learner(side, seed)
        if learner is not None:
            self._learn(learner, f"{side}, seed {seed}")
        seconds = time.monotonic() - begun
        return self._examined(side, seed, seconds, learner)

    def _learner(self, side: str, seed: int) -> Cloning:
        import torch

        from jack_brain.network.brain import Brain
        from jack_trainer.imitation.cloning import Cloning
        from jack_trainer.policy_actor import PolicyActor

        torch.manual_seed(seed)
        brain = self._parent() if side in GROWN else Brain(self.contract)
        practice = self.config.practice if side in PRACTISE else None
        config = replace(self.config, practice=practice, kept=self.config.kept if side == "merged" else 0.0)
        environment = None if config.practice is None else self._environment(seed)
        teacher = PolicyActor(self.policy) if side == "corrected" else None
        folder = Path(tempfile.mkdtemp(dir=self.folder))
        return Cloning(brain, self.demonstrations, config, seed, environment, teacher, folder)

    def _environment(self, seed: int) -> Any:  # noqa: ANN401 - an Environment
        from jack_sim.batch import BatchWorld
        from jack_sim.randomization import Randomization
        from jack_sim.scene import TRAINING, load_model
        from jack_trainer.phases import phase
        from jack_trainer.tasks.locomotion import Locomotion

        task = phase("walk").task
        own = task.randomization
        bodies = replace(Randomization.named("on"), push_speed=own.push_speed, push_interval=own.push_interval)
        world = BatchWorld(load_model(TRAINING), self.contract.robot, self.options.environments)
        return Locomotion(world, self.contract, replace(task, randomization=bodies, curriculum=1.0), seed)

    def _parent(self) -> Any:  # noqa: ANN401 - a Brain
        from jack_brain.network.brain import Brain
        from jack_trainer.checkpoint import read_checkpoint

        if self.options.parent is None:
            sys.exit("Name a checkpoint of a brain that can walk: --parent runs/RUN/checkpoints/STEP")
        brain = Brain(self.contract)
        brain.load_state_dict(read_checkpoint(self.options.parent).part("average"))
        return brain

    def _learn(self, learner: Cloning, title: str) -> None:
        for index in range(self.options.times):
            learner.progress = index / self.options.times
            found = learner.iterate()
            if index % 20 == 0 or learner.over:
                told = ", ".join(f"{name} {value:.3g}" for name, value in found.items())
                print(f"{title}: {index + 1} of {self.options.times}, {told}", flush=True)
            if learner.over:
                break

    def _examined(self, side: str, seed: int, seconds: float, learner: Cloning | None) -> Trial:
        from jack_trainer.evaluate import evaluate
        from jack_trainer.phases import phase
        from jack_trainer.policy_actor import PolicyActor
        from jack_trainer.rl.acting import actor

        demonstrator, before = PolicyActor(self.policy), actor(self._parent())
        does = actor(learner.average) if learner else demonstrator if side == DEMONSTRATOR else before
        watched = Watched(does, (demonstrator, before), self.contract)
        found = evaluate(watched, self.contract, phase("walk").exam, EPISODES, EXAM_SEED)
        return Trial(
            side=side,
            seed=seed,
            seconds=seconds,
            demonstrated=sum(episode.count for episode in self.demonstrations.episodes) if learner else 0,
            practised=learner.practised if learner else 0,
            survived=found.survived,
            velocity_error=found.velocity_error,
            yaw_rate_error=found.yaw_rate_error,
            from_demonstrator=watched.apart[0],
            from_before=watched.apart[1],
        )


class Watched:
    """Somebody who acts, and how far what he does is from what others would have done."""

    def __init__(self, does: Actor, others: Sequence[Actor], contract: Contract) -> None:
        self._does, self._others, self._contract = does, others, contract
        self._squares, self._count = np.zeros(len(others)), 0

    def __call__(self, seen: Observation) -> Float32:
        """Act."""
        said = self._does(seen)
        mine = self._targets(seen, said)
        self._squares += [np.square(mine - self._targets(seen, other(seen))).mean() for other in self._others]
        self._count += 1
        return said

    @property
    def apart(self) -> list[float]:
        """From each of the others, root mean square [rad]."""
        return np.sqrt(self._squares / max(1, self._count)).tolist()

    def _targets(self, seen: Observation, action: Float32) -> Array:
        from jack_trainer.imitation.rhythm import done

        assert seen.command is not None
        within = done(self._contract, action, seen.proprioception[:, -1], seen.command)
        return within * np.array(self._contract.action.scale)


def _recorded(folder: Path, policy: Path) -> Path:
    command = [str(ROOT / "jack"), "record", "--episodes", "30", "--seconds", "20", "--bags", str(folder)]
    subprocess.run([*command, "--policy", str(policy), "--no-camera"], check=True)
    return folder


def table(options: Options, records: Records[Trial]) -> Table:
    """One row a side: medians over the seeds, least and greatest beside them."""
    shown = Table(title="Walking, learnt from demonstrations", box=box.SIMPLE_HEAD)
    heads = (
        f"survived\nof {EPISODES}",
        "velocity\n[m/s]",
        "yaw rate\n[rad/s]",
        "from him\n[rad]",
        "from before\n[rad]",
        "time\n[s]",
    )
    for name in ("", *heads):
        shown.add_column(name, justify="right" if name else "left")
    for side in options.sides:
        if found := records.of(side):
            shown.add_row(side, *_cells(found))
    return shown


def _cells(found: Sequence[Trial]) -> list[str]:
    columns = {"survived": ",.0f"} | dict.fromkeys(("velocity_error", "yaw_rate_error"), ".3f")
    columns |= dict.fromkeys(("from_demonstrator", "from_before"), ".3f") | {"seconds": ",.0f"}
    return [spread([getattr(trial, name) for trial in found], pattern) for name, pattern in columns.items()]


def main(options: Options) -> None:
    """Measure all sides that are not measured yet."""
    as_the_trainer()
    setting = {"times": options.times, "environments": options.environments}
    records = Records(options.output, setting, options.append, Trial)
    with tempfile.TemporaryDirectory() as folder:
        course = Course(options, Path(folder))
        for seed in range(options.seeds):
            for side in options.sides:
                alone = side in (DEMONSTRATOR, PARENT)
                if not records.has(side, seed) and not (alone and seed):
                    records.add(course.run(side, seed), ("mujoco", "numpy", "torch", "rosbags"))
    Console().print(table(options, records))


if __name__ == "__main__":
    main(tyro.cli(Options, description=__doc__))
