"""`./jack evaluate`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from tyro.conf import Positional

from jack_launch.graphs import runs_folder
from jack_trainer.live_graph import FAILED, OK


@dataclass(frozen=True)
class Evaluate:
    """Score a policy: whole episodes with pushes, no exploration noise. Ends with 0 if the phase is passed."""

    # policy file, checkpoint or run; by default the policy that was written last
    policy: Positional[Path | None] = None
    # how many, in each world
    episodes: int = 100
    # score him by kind of command, and in worlds that he never saw; otherwise only the exam of his phase is held
    worlds: bool = True
    # of everything random
    seed: int = 1
    # folder of the trainings
    runs: Path = runs_folder()

    def run(self) -> int:
        """Do it; returns the exit code."""
        from rich.console import Console

        from jack_trainer import scorecard
        from jack_trainer.exam import examine, find_policy

        path = find_policy(self.policy, self.runs)
        print(f"Examining {path}", flush=True)
        result = examine(path, self.episodes, self.seed, self.worlds)
        print(result)
        if result.scores:
            Console().print(scorecard.table(result.scores))
            print(f"Saved in {scorecard.save(result.scores, scorecard.folder_of(path), *result.done)}")
        return OK if result.passed else FAILED
