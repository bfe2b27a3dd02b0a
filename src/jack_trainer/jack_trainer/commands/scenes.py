"""`./jack scenes`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from tyro.conf import Positional

from jack_launch.graphs import PRETRAINED, runs_folder
from jack_trainer.live_graph import INTERRUPTED, OK


@dataclass(frozen=True)
class Scenes:
    """Let an expert show at thousands of tables what the phase `manipulation` learns from; goes on if stopped."""

    # where they go; some 0.4 MB for each demonstration
    folder: Positional[Path] = runs_folder().parent / "scenes"
    # demonstrations to be learnt from, less what he fails at; a sixteenth of them besides is only looked at
    count: int = 2400
    # the policy that has his legs: file, checkpoint or run, newest, or pretrained
    policy: Path = Path(PRETRAINED)
    # a policy that follows sentences, as above: it begins, and the expert shows how to go on from where that led
    apprentice: Path | None = None
    # what he shows: touch, point, push left, push right, wave, walk; by itself all of it
    skills: tuple[str, ...] = ()
    # of everything random
    seed: int = 0
    # folder of the trainings
    runs: Path = runs_folder()

    def run(self) -> int:
        """Do it; returns the exit code."""
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

        from jack_trainer.exam import policy_named
        from jack_trainer.scene_making import Making, make_scenes
        from jack_trainer.tasks.instructions import Skill, skill_named

        policy = policy_named(self.policy, self.runs)
        skills = tuple(map(skill_named, self.skills)) or tuple(Skill)
        apprentice = policy_named(self.apprentice, self.runs) if self.apprentice else None
        making = Making(self.folder, policy, self.count, skills, self.seed, apprentice)
        columns = TextColumn("Parts of scenes"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn()
        try:
            with Progress(*columns) as bar:
                task = bar.add_task("scenes", total=None)
                made = make_scenes(making, lambda done, count: bar.update(task, completed=done, total=count))
        except KeyboardInterrupt:
            print(f"Stopped; ./jack scenes {self.folder} goes on.")
            return INTERRUPTED
        print(f"{made.taught} parts to be learnt from and {made.kept} to be looked at are in {self.folder}.")
        return OK
