"""`./jack train`."""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated

import tyro
from tyro.conf import Positional

from jack_contract.errors import JackError
from jack_launch.graphs import TRAIN, learning_environment, runs_folder
from jack_trainer import live_graph
from jack_trainer.live_graph import Standing, run_graph
from jack_trainer.session import TrainGoal

#: More steps than anybody takes.
UNLIMITED = 10**12


@dataclass(frozen=True)
class Train:
    """Teach Jack, and watch him in a live simulation, driven by every new policy."""

    # what he is taught: stand, walk, ..., or several with commas between, one after the other; by itself stand, or
    # what a run that goes on was begun with
    phase: Positional[str] = ""
    # the same, by name: --phases stand,walk,natural
    phases: Annotated[str, tyro.conf.arg(aliases=("--phase",))] = ""
    # environment steps of each phase; 0: as many as it gets
    steps: int = 0
    # of everything random
    seed: int = 0
    # go on with a run: its name or folder, or nothing for the last one
    resume: str = ""
    # checkpoint, or run, that the first phase goes on from, instead of a new brain
    parent: Annotated[str, tyro.conf.arg(name="from", metavar="CHECKPOINT")] = ""
    # demonstrations, for the phases that learn from some: folders or files
    bags: tuple[Path, ...] = ()
    # motions, for the phases that learn from some: files of ./jack mocap retarget
    clips: tuple[Path, ...] = ()
    # what an expert shows at the table, for the phases that learn from it: folders of ./jack scenes
    scenes: tuple[Path, ...] = ()
    # who corrects him while he practises what was demonstrated: checkpoint, run, policy file or `pretrained`
    teacher: Annotated[str, tyro.conf.arg(metavar="CHECKPOINT")] = ""
    # how action chunks are learnt, where a phase makes some: squared, flow or tokens
    chunk: str = ""
    # samples of one step of learning from scenes; 0: as many as the phase takes
    batch: int = 0
    # where he learns from scenes: cpu, cuda, or auto, which is cuda where there is one
    device: str = "auto"
    # simulations that he learns in side by side; 0: as many as the phase takes, with --env 16, of a clip 256
    environments: int = 0
    # size of the brain: nano, small or base
    brain: str = "nano"
    # instead of a phase, do as a clip does: clip:motions/walk.safetensors; or instead of Jack, train on a Gymnasium
    # task: gymnasium:Humanoid-v5
    env: str = ""
    # seconds of training with --env at most; 0: as many as the steps take
    seconds: float = 0.0
    # bodies and sensors that he learns in: off (as modelled), on, wide
    randomization: str = "on"
    # end a phase when it is passed; without it all of its steps are used, the last ones to polish what he can
    until_passed: bool = True
    # show him living in a simulation of his own; without it only the training runs, and no ROS
    live: bool = True
    # the world of the live simulation
    scene: str = "flat"
    # for how long the live Jack is to stand on the final policy [s]
    stand_for: float = 10.0
    # score and film him afterwards, and write evaluation.json and report.html
    report: bool = True
    # leave him living afterwards, until Ctrl-C
    keep: bool = False
    # folder of the trainings
    runs: Path = runs_folder()

    def run(self) -> int:
        """Do it; returns the exit code."""
        if self.env:
            return self._elsewhere()
        if self.phase and self.phases:
            raise JackError(f"Say once what he is to be taught: '{self.phase}' or --phases {self.phases}.")
        from jack_trainer.progress_file import find_run

        resume = find_run(self.resume, self.runs, resumable=True) if self.resume else None
        return self._live(resume) if self.live else self._alone(resume)

    @property
    def taught(self) -> str:
        """What he is to be taught; empty: what the run that goes on was begun with."""
        return self.phase or self.phases or ("" if self.resume else "stand")

    def _live(self, resume: Path | None) -> int:
        given = {"runs": str(self.runs), "environments": str(self.environments), "brain": self.brain}
        given |= {"randomization": self.randomization, "scene": self.scene, "parent": self.parent}
        given |= {name: ",".join(map(str, getattr(self, name))) for name in ("bags", "clips", "scenes")}
        given |= {"teacher": self.teacher, "chunk": self.chunk, "batch": str(self.batch), "device": self.device}
        given |= {"until_passed": str(self.until_passed).lower()}
        specs = TRAIN.nodes(given | {"autostart": "false"})
        goal = TrainGoal(self.taught, self.steps, self.seed, str(resume or ""))
        standing = Standing(self.stand_for, self.keep)
        return run_graph(specs, self.runs, lambda session: live_graph.train(session, goal, standing, self.report))

    def _alone(self, resume: Path | None) -> int:
        os.environ.update(learning_environment())  # torch reads it when it is loaded
        from jack_trainer.alone import train_alone
        from jack_trainer.training import TrainOptions

        return train_alone(
            TrainOptions(
                phase=self.taught,
                steps=self.steps,
                seed=self.seed,
                resume=resume,
                runs=self.runs,
                parent=Path(self.parent) if self.parent else None,
                bags=self.bags,
                clips=self.clips,
                scenes=self.scenes,
                teacher=Path(self.teacher) if self.teacher else None,
                chunk=self.chunk,
                batch=self.batch,
                device=self.device,
                brain=self.brain,
                environments=self.environments,
                randomization=self.randomization,
                until_passed=self.until_passed,
            ),
            self.report,
        )

    def _elsewhere(self) -> int:
        if self.resume:
            raise JackError("A task of --env cannot be put back to where it was: train anew, without --resume.")
        os.environ.update(learning_environment())
        from jack_trainer import clip_training
        from jack_trainer.gymnasium_training import GymnasiumOptions, train_gymnasium

        is_clip = self.env.startswith(clip_training.PREFIX)
        train = clip_training.train_clip if is_clip else train_gymnasium
        usual = clip_training.USUAL if is_clip else GymnasiumOptions(self.env)
        return train(
            replace(
                usual,
                env=self.env,
                steps=self.steps or (UNLIMITED if self.seconds else usual.steps),
                seconds=self.seconds,
                seed=self.seed,
                environments=self.environments or usual.environments,
                brain=self.brain,
                runs=self.runs,
            )
        )
