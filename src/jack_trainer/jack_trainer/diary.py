"""What is told of a phase while it is taught: to the listener, in `status.json`, as curves."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Self

from jack_trainer import progress_file
from jack_trainer.evaluate import Evaluation
from jack_trainer.log import Log
from jack_trainer.training import Listener, Progress
from jack_trainer.transcript import Score


class Diary:
    """One session of one phase. Use it as a context."""

    def __init__(self, run: Path, listener: Listener, family: str, step: int) -> None:
        """Begin.

        Args:
            run: folder of the run.
            listener: who is told.
            family: of the curves of the learner's own numbers.
            step: environment steps so far; what an earlier session has logged beyond them is void.
        """
        self._run, self._listener, self._family = run, listener, family
        self._log = Log(run, purge_step=step + 1)
        self._progress: Progress | None = None
        self._exam = ""

    def __enter__(self) -> Self:
        self._log.__enter__()
        return self

    def __exit__(self, *_: object) -> None:
        self._log.__exit__()

    def update(self, step: int, progress: Progress, stats: Mapping[str, float], terms: Mapping[str, float]) -> None:
        """An update is done.

        Args:
            step: environment steps that he has learnt from, in all phases.
            progress: of this phase.
            stats: the learner's own numbers.
            terms: of the reward.
        """
        self._listener.on_progress(progress)
        self._progress = progress
        progress_file.write(self._run, progress, exam=self._exam)
        lived = {
            "return": progress.mean_return,
            "length_s": progress.mean_episode_length,
            "broken": progress.broken,
        }
        self._log.add(step, lived, "episode")
        self._log.add(step, {"steps_per_second": progress.steps_per_second}, "time")
        self._log.add(step, stats, self._family)
        self._log.add(step, terms, "reward")

    def exam(self, step: int, found: Evaluation, kept: Mapping[str, Score]) -> None:
        """An exam was held, and those of what he could before (`kept`, by skill)."""
        did = "".join(f"; {skill} {share:.0%}" for skill, share in found.done.items())
        self._exam = f"{found.survived} of {found.episodes} at step {step:,}{did}"
        told = {"survival": found.survival, "mean_time_s": found.mean_time}
        if found.done:
            told |= {skill.replace(" ", "_"): share for skill, share in found.done.items()}
        else:
            told |= {"velocity_error": found.velocity_error, "yaw_rate_error": found.yaw_rate_error}
        self._log.add(step, told, "evaluation")
        for name, score in kept.items():
            told = {"survival": score.survival, "velocity_error": score.velocity_error}
            self._log.add(step, {f"{name}_{key}": value for key, value in told.items()}, "kept")

    def look(self, step: int, found: Evaluation) -> None:
        """A few episodes, to see whether an exam is worth its time."""
        self._log.add(step, {"survival": found.survival, "mean_time_s": found.mean_time}, "look")

    def end(self, reason: str) -> None:
        """It is over, and why; empty: another phase follows."""
        if self._progress is not None:
            progress_file.write(self._run, self._progress, exam=self._exam, ended=reason)
