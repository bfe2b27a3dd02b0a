"""What a training is asked for, and what it tells: plain data, for whoever has no torch at hand."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from jack_contract.errors import JackError, UnknownNameError

#: Where a network may learn, see `device.device_named`.
AUTO = "auto"
DEVICES = (AUTO, "cpu", "cuda")


@dataclass(frozen=True)
class TrainOptions:
    """How a training is to be run."""

    #: what to teach: a phase, or several with commas between, one after the other; empty: what the run that is
    #: resumed was started with
    phase: str = "stand"
    #: environment steps of each phase; 0: as many as it gets
    steps: int = 0
    #: of everything random
    seed: int = 0
    #: go on with this run
    resume: Path | None = None
    #: folder in which runs get their own folder
    runs: Path = Path("runs")
    #: checkpoint that the first phase goes on from, or a run, of which it is the newest that is published; None: a
    #: new brain
    parent: Path | None = None
    #: demonstrations, motions and folders of scenes, for the phases that learn from some
    bags: tuple[Path, ...] = ()
    clips: tuple[Path, ...] = ()
    scenes: tuple[Path, ...] = ()
    #: checkpoint, run or policy file that says, while he practises what was demonstrated, what it would do; None:
    #: nothing but the demonstrations is learnt from
    teacher: Path | None = None
    #: how action chunks are learnt, where a phase makes some: squared, flow or tokens; empty: as the phase has it
    chunk: str = ""
    #: size of the brain: nano, small, base
    brain: str = "nano"
    #: simulations that run side by side; 0: as many as the phase takes
    environments: int = 0
    #: samples of one step of learning from demonstrations that are seen; 0: as many as the phase takes
    batch: int = 0
    #: where that is learnt: cpu, cuda, or auto, which is cuda where there is one; bodies are simulated and all else
    #: is learnt on the processor
    device: str = AUTO
    #: bodies and sensors that he learns in: off (as modelled), on, wide; he is pushed in any case
    randomization: str = "on"
    #: time between two checkpoints [s]; each is published to the running brain, unless he may have forgotten what
    #: he was taught before
    checkpoint_interval: float = 10.0
    #: least time between two exams, once the episodes make one worth its time [s]; later in a training it is longer
    exam_interval: float = 20.0
    #: checkpoints that are kept
    keep: int = 5
    #: stop as soon as the phase is passed, instead of using up its steps
    until_passed: bool = True

    def __post_init__(self) -> None:
        limits = {
            "checkpoint_interval": (0.0, 86_400.0),
            "exam_interval": (0.0, 86_400.0),
            "keep": (1, 10_000),
            "batch": (0, 1_000_000),
        }
        for name, (low, high) in limits.items():
            if not low <= getattr(self, name) <= high:
                raise JackError(f"{name} is {getattr(self, name)}; allowed: {low} to {high}.")
        if self.device not in DEVICES:
            raise UnknownNameError("device", self.device, DEVICES)
        if self.environments and not 2 <= self.environments <= 100_000:
            raise JackError(
                f"environments is {self.environments}; allowed: 2 to 100000, or 0 for as many as the phase takes."
            )
        if not (0 <= self.steps <= 10**12 and 0 <= self.seed < 2**63):
            raise JackError(f"steps ({self.steps}) and seed ({self.seed}) must not be negative or beyond reason.")


@dataclass(frozen=True)
class Progress:
    """How a training goes, after each update."""

    run: Path
    phase: str
    #: environment steps of this phase, so far and in all
    step: int
    total_steps: int
    #: updates
    update: int
    #: environment steps per second of late
    steps_per_second: float
    mean_return: float
    #: [s]
    mean_episode_length: float
    #: estimated time left [s]
    remaining: float
    checkpoint: Path | None
    #: how often a robot began anew because its physics, action or reward was no number
    broken: int = 0


@dataclass(frozen=True)
class PolicyFile:
    """A policy that was just written. Read it at once: old checkpoints are removed."""

    path: Path
    sha256: str
    phase: str
    step: int
    contract_digest: str


@dataclass(frozen=True)
class TrainResult:
    """What came of a training."""

    run: Path
    #: the newest
    checkpoint: Path
    #: the newest that was published; of a run that published none, that of the checkpoint
    policy: Path
    #: that the checkpoint has learnt from
    step: int
    mean_return: float
    #: seconds of training with its checkpoints and exams, all sessions of the run together
    seconds: float
    #: share of evaluated episodes that ended on his feet; None if it was not evaluated
    survival: float | None
    #: why it ended: passed, steps, stopped
    reason: str
    #: what he forgot over it, in words, so that the checkpoint is not published; empty: nothing
    forgot: str = ""
    #: what the last phase's exam lacked when its steps were used up, in words; empty: nothing
    lacks: str = ""


class Listener(Protocol):
    """Somebody who wants to know."""

    def on_progress(self, progress: Progress) -> None:
        """An update is done."""
        ...

    def on_policy(self, policy: PolicyFile) -> None:
        """A checkpoint with a policy is published."""
        ...

    def on_news(self, news: str) -> None:
        """Something else that is worth a line: a phase begins, a checkpoint is not published."""
        ...
