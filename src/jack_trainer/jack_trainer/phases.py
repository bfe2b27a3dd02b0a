"""The phases of the school: what each trains, for how long, and when it has been passed."""

from __future__ import annotations

from dataclasses import dataclass

from jack_contract.errors import UnknownNameError
from jack_trainer.evaluate import Evaluation
from jack_trainer.rl.ppo import PPOConfig
from jack_trainer.tasks.lessons import EXAM, STAND, WALK, WALK_EXAM, LocomotionConfig


@dataclass(frozen=True)
class Phase:
    """One phase."""

    name: str
    #: what he trains on
    task: LocomotionConfig
    #: what he is examined on
    exam: LocomotionConfig
    ppo: PPOConfig
    #: environment steps it gets
    steps: int
    #: it is passed when this share of evaluated episodes ends on his feet
    survival: float
    #: and when he errs by no more than this [m/s] ...
    velocity_error: float = 100.0
    #: ... and this [rad/s] in the exam
    yaw_rate_error: float = 100.0
    #: a training ends before its steps are used up only if so many more survived: an exam of 100 errs by 0.02
    margin: float = 0.02
    #: standard deviation of the exploration noise at the start, in units of action
    noise: float = 1.6

    def passes(self, found: Evaluation) -> bool:
        """Whether an exam's outcome is good enough."""
        return (
            found.survival >= self.survival
            and found.velocity_error <= self.velocity_error
            and found.yaw_rate_error <= self.yaw_rate_error
        )

    def surely_passes(self, found: Evaluation) -> bool:
        """Whether it is so much better that another exam would most likely say the same."""
        return self.passes(found) and found.survival >= self.survival + self.margin


PHASES: dict[str, Phase] = {
    "stand": Phase("stand", STAND, EXAM, PPOConfig(), steps=1_000_000, survival=0.95),
    "walk": Phase(
        "walk",
        WALK,
        WALK_EXAM,
        PPOConfig(last_divergence=0.004),
        steps=4_000_000,
        survival=0.95,
        velocity_error=0.2,
        yaw_rate_error=0.25,
    ),
}


def phase(name: str) -> Phase:
    """A phase by name; an UnknownNameError lists the valid ones."""
    if name not in PHASES:
        raise UnknownNameError("phase", name, PHASES)
    return PHASES[name]
