"""One training from nothing and its exam: what the benchmarks of learning are made of.

The exam is the phase's own: 100 episodes of 20 s, no exploration noise, with a seed that no training saw, held on
the policy file that a robot would get. Time is time of training: simulating, learning, checkpoints, the training's
own exams; what set-up takes besides is in the wall time.
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Generic, Protocol, TypeVar

import numpy as np
from pairing import circumstances, write_json

if TYPE_CHECKING:  # torch is loaded by who trains
    from jack_contract.contract import Contract
    from jack_trainer.phases import Phase
    from jack_trainer.school import Network
    from jack_trainer.training import PolicyFile, Progress, TrainOptions

#: Of the final exam; trainings examine themselves with another.
EXAM_SEED = 20_261
EPISODES = 100
#: Seconds between two lines that say how a training goes.
_INTERVAL = 15.0


@dataclass(frozen=True)
class Variant:
    """What a `School` takes instead of its own; None: its own."""

    contract: Contract | None = None
    lesson: Phase | None = None
    network: Network | None = None


@dataclass(frozen=True)
class Trial:
    """What came of one training."""

    #: which side was trained
    side: str
    seed: int
    #: of training
    seconds: float
    #: from the first import to the last checkpoint
    wall: float
    #: of the environment
    steps: int
    #: of 100 episodes
    survived: int
    #: mean time on his feet [s]
    mean_time: float
    #: root mean square errors over half a gait cycle [m/s], [rad/s]
    velocity_error: float
    yaw_rate_error: float
    #: whether that passes the phase
    passed: bool
    #: why the training ended
    reason: str
    #: load average of the machine when it began
    load: float


def attempt(side: str, options: TrainOptions, variant: Variant, seconds: float = float("inf")) -> Trial:
    """Train from nothing, for so many seconds at most, and hold the exam.

    Args:
        side: name of what is trained.
        options: of the training; its folder is a temporary one.
        variant: of what it teaches, and to whom.
        seconds: after which it is stopped.
    """
    begun, load = time.monotonic(), os.getloadavg()[0]
    from jack_brain.network.brain import Brain
    from jack_trainer.evaluate import evaluate
    from jack_trainer.policy_actor import PolicyActor
    from jack_trainer.school import School

    with tempfile.TemporaryDirectory() as runs:
        student = School(
            replace(options, runs=Path(runs)),
            Narrator(f"{side}, seed {options.seed}"),
            contract=variant.contract,
            lesson=variant.lesson,
            network=variant.network or Brain,
        )
        result = student.run(lambda: student.seconds >= seconds)
        wall, phase = time.monotonic() - begun, student.phase
        found = evaluate(PolicyActor(result.policy), student.contract, phase.exam, EPISODES, EXAM_SEED)
    return Trial(
        side=side,
        seed=options.seed,
        seconds=result.seconds,
        wall=wall,
        steps=result.step,
        survived=found.survived,
        mean_time=found.mean_time,
        velocity_error=found.velocity_error,
        yaw_rate_error=found.yaw_rate_error,
        passed=phase.passes(found),
        reason=result.reason,
        load=load,
    )


class Narrator:
    """A listener that prints a line now and then."""

    def __init__(self, title: str) -> None:
        self._title, self._begun, self._said = title, time.monotonic(), 0.0

    def on_progress(self, progress: Progress) -> None:
        """An update is done."""
        now = time.monotonic() - self._begun
        if now - self._said < _INTERVAL:
            return
        self._said = now
        print(
            f"{self._title}: {now:4.0f} s, {progress.step:,} steps, {progress.steps_per_second:,.0f} steps/s, "
            f"return {progress.mean_return:.1f}, episode {progress.mean_episode_length:.1f} s",
            flush=True,
        )

    def on_policy(self, policy: PolicyFile) -> None:
        """A checkpoint is written."""

    def on_news(self, news: str) -> None:
        """Something else."""
        print(f"{self._title}: {news}", flush=True)


class Kept(Protocol):
    """One training of one side, as a dataclass."""

    @property
    def side(self) -> str:
        """Which side was trained."""
        ...

    @property
    def seed(self) -> int:
        """Of everything random."""
        ...


T = TypeVar("T", bound=Kept)


class Records(Generic[T]):
    """Trainings in a JSON file that is whole after each of them: a benchmark may be stopped and continued."""

    def __init__(self, path: Path, setting: dict[str, Any], append: bool, kind: type[T]) -> None:
        """Begin a file, or go on with one.

        Args:
            path: of the file.
            setting: what all of its trainings have in common; a file of another setting is not continued.
            append: whether to go on.
            kind: dataclass that a training is kept as.
        """
        self._path, self._setting = path, json.loads(json.dumps(setting))
        self.trials: list[T] = []
        if not append or not path.exists():
            return
        known = json.loads(path.read_text(encoding="utf-8"))
        if known["setting"] != self._setting:
            sys.exit(f"{path} was measured with {known['setting']}, not {self._setting}: give another --output.")
        self.trials = [kind(**row) for row in known["trials"]]

    def has(self, side: str, seed: int) -> bool:
        """Whether that was measured already."""
        return any((trial.side, trial.seed) == (side, seed) for trial in self.trials)

    def of(self, side: str) -> list[T]:
        """The trainings of one side, by seed."""
        return sorted((t for t in self.trials if t.side == side), key=lambda trial: trial.seed)

    def add(self, trial: T, packages: Sequence[str] = ("mujoco", "numpy", "torch")) -> None:
        """Take in one more, and write all, with the versions of these packages."""
        self.trials.append(trial)
        told = {"setting": self._setting, "trials": [asdict(trial) for trial in self.trials]}  # type: ignore[call-overload]  # a dataclass
        write_json(self._path, told | circumstances(packages))


def spread(values: Sequence[float], pattern: str = ",.0f") -> str:
    """Median, and below it the least and the greatest where there are several."""
    middle, low, high = (format(number, pattern) for number in (np.median(values), min(values), max(values)))
    return f"{middle}\n{low}..{high}" if len(values) > 1 else middle
