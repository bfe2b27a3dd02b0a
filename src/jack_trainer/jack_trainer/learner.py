"""What the school knows of whoever learns, by reward, by example or both: it learns, tells, and can be put away."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from torch import Tensor

from jack_brain.network.brain import Brain
from jack_contract.errors import JackError
from jack_trainer.checkpoint import LearnerNumbers
from jack_trainer.rl.episodes import EpisodeLog


class Learner(Protocol):
    """One brain that learns: `PPO`, and whatever else a phase is learnt with.

    Attributes:
        average: what robots get, and what is examined; the same object all the time.
    """

    average: Brain

    @property
    def progress(self) -> float:
        """How much of the training is over, 0 to 1; the school sets it before each `iterate`."""
        ...

    @progress.setter
    def progress(self, share: float) -> None: ...

    @property
    def episodes(self) -> EpisodeLog:
        """Returns, lengths and terms of late; of a learner without episodes, nothing."""
        ...

    @property
    def samples(self) -> int:
        """Environment steps, or samples, that one `iterate` learns from: they make the step count."""
        ...

    @property
    def ready(self) -> bool:
        """Whether an exam is worth its time."""
        ...

    @property
    def broken(self) -> int:
        """How often so far a robot began anew because its physics, action or reward was no number."""
        ...

    def iterate(self) -> Mapping[str, float]:
        """Learn once.

        Returns:
            What is to be logged, by name, without the family's.

        Raises:
            LearningError: a loss or gradient that is no number; no weight has changed.
        """
        ...

    def tensors(self) -> dict[str, Tensor]:
        """All tensors that it needs to go on as if nothing had happened, bit for bit.

        By name, the part and a dot before it: "brain." and "average." hold two whole brains, normalisers included;
        the other parts are the learner's own.
        """
        ...

    def numbers(self) -> LearnerNumbers:
        """All it needs besides."""
        ...

    def restore(self, tensors: Mapping[str, Tensor], numbers: LearnerNumbers) -> None:
        """Go on from what `tensors` and `numbers` gave.

        Raises:
            JackError: they are of a learner that was made otherwise; says of which, and what to type.
        """
        ...

    def close(self) -> None:
        """End what goes on beside `iterate`; another `iterate` begins it again."""
        ...


class LearningError(JackError):
    """A loss or gradient that is no number, noticed before it became the weights, and they the next checkpoint.

    Attributes:
        measured: what was, by name.
    """

    def __init__(self, measured: Mapping[str, float]) -> None:
        told = ", ".join(f"{name} {value:.3g}" for name, value in measured.items())
        super().__init__(
            f"Learning broke down: its loss or gradient is not finite ({told}). The last checkpoint is sound."
        )
        self.measured = dict(measured)
