"""The phases of the school: what each trains, for how long, and when it has been passed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from math import inf, isfinite
from typing import Literal

from jack_brain.chunk import ChunkSpec
from jack_contract.errors import JackError, UnknownNameError
from jack_trainer.evaluate import Evaluation
from jack_trainer.imitation.cloning import CloningConfig
from jack_trainer.imitation.seeing import SeeingConfig
from jack_trainer.rl.amp import AmpConfig
from jack_trainer.rl.ppo import PPOConfig
from jack_trainer.tasks.instructions import Skill
from jack_trainer.tasks.lessons import (
    EXAM,
    NATURAL,
    NATURAL_EXAM,
    STAND,
    WALK,
    WALK_EXAM,
    LocomotionConfig,
    TableExam,
)


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
    velocity_error: float = inf
    #: ... and this [rad/s] in the exam
    yaw_rate_error: float = inf
    #: a training ends before its steps are used up only if so many more survived: an exam of 100 errs by 0.02
    margin: float = 0.02
    #: and only if he errs by so much less, as a share of what is allowed: one policy erred by 0.20 and by 0.21 m/s
    tracking_margin: float = 0.1
    #: standard deviation of the exploration noise at first, in units of action; who goes on from another phase has
    #: at least as much where he learns by reward alone, and that one's otherwise
    noise: float = 1.6
    #: simulations that he learns in side by side; in fewer, he changes more often for as much experience
    environments: int = 256
    #: how he learns to move like the clips beside the task; None: he does not
    style: AmpConfig | None = None
    #: how he learns from demonstrations instead; None: he does not
    cloning: CloningConfig | None = None
    #: how he learns to do what he is told from scenes; None: he does not
    seeing: SeeingConfig | None = None
    #: which action chunks he makes then; None: none
    chunk: ChunkSpec | None = None
    #: what he is examined on then, instead: what he is told at a table; None: nothing
    table: TableExam | None = None
    #: and of that, by its kind, at least this share is to be done
    done: Mapping[str, float] = field(default_factory=dict)
    #: whether its steps are used up in any case: its exam does not say how well he does what it is about
    thorough: bool = False
    #: whether this phase can only go on from another one's checkpoint
    advanced: bool = False

    @property
    def learner(self) -> Literal["ppo", "amp", "cloning", "seeing"]:
        """What he learns with."""
        if self.seeing:
            return "seeing"
        return "cloning" if self.cloning else "amp" if self.style else "ppo"

    @property
    def needs(self) -> Literal["bags", "clips", "scenes", ""]:
        """What he learns from besides, and cannot do without."""
        if self.seeing:
            return "scenes"
        return "bags" if self.cloning else "clips" if self.style else ""

    @property
    def follows(self) -> bool:
        """Whether it counts where he gets to: not, if he was only taught to stand."""
        return isfinite(self.velocity_error)

    def passes(self, found: Evaluation) -> bool:
        """Whether an exam's outcome is good enough."""
        return not self.shortfalls(found)

    def shortfalls(self, found: Evaluation) -> list[str]:
        """What an exam's outcome lacks, in words; nothing if it is good enough."""
        errors = (
            (found.velocity_error, self.velocity_error, "m/s"),
            (found.yaw_rate_error, self.yaw_rate_error, "rad/s"),
        )
        kept = {"on his feet": (found.survival, self.survival)}
        shares = kept | {skill: (found.done.get(skill, 0.0), share) for skill, share in self.done.items()}
        return [
            *(f"{name} {has:.1%}, not {needed:.0%}" for name, (has, needed) in shares.items() if has < needed),
            *(f"{has:.3f} {unit} off, not {most:g}" for has, most, unit in errors if has > most),
        ]

    def surely_passes(self, found: Evaluation) -> bool:
        """Whether it is so much better that another exam would most likely say the same, and nothing is left."""
        strict = replace(
            self,
            survival=self.survival + self.margin,
            velocity_error=(1 - self.tracking_margin) * self.velocity_error,
            yaw_rate_error=(1 - self.tracking_margin) * self.yaw_rate_error,
        )
        return not self.thorough and strict.passes(found)


PHASES: dict[str, Phase] = {
    "stand": Phase(
        "stand",
        STAND,
        EXAM,
        PPOConfig(divergence=0.04, last_divergence=0.005, polish_from=0.3, calming=0.01, mirror=0.2),
        steps=800_000,
        survival=0.95,
        noise=1.0,
    ),
    "walk": Phase(
        "walk",
        WALK,
        WALK_EXAM,
        PPOConfig(last_divergence=0.004),
        steps=4_400_000,
        survival=0.95,
        velocity_error=0.2,
        yaw_rate_error=0.25,
        # Who ended at 0.16 m/s instead of 0.13 did not become natural in the steps that he gets for it.
        tracking_margin=0.3,
    ),
    "clone": Phase(
        "clone",
        WALK,
        WALK_EXAM,
        PPOConfig(),
        steps=10_240_000,
        survival=0.85,
        velocity_error=0.25,
        yaw_rate_error=0.3,
        cloning=CloningConfig(),
        thorough=True,
    ),
    "natural": Phase(
        "natural",
        NATURAL,
        NATURAL_EXAM,
        PPOConfig(last_divergence=0.004),
        steps=3_000_000,
        survival=0.85,
        velocity_error=0.2,
        yaw_rate_error=0.25,
        noise=0.5,
        style=AmpConfig(),
        advanced=True,
    ),
    "manipulation": Phase(
        "manipulation",
        WALK,
        WALK_EXAM,
        PPOConfig(),
        steps=2_400_000,
        survival=0.98,
        table=TableExam(),
        done={Skill.TOUCH: 0.8, Skill.POINT: 0.8, Skill.PUSH_LEFT: 0.6, Skill.PUSH_RIGHT: 0.6},
        seeing=SeeingConfig(),
        chunk=ChunkSpec(),
        thorough=True,
        advanced=True,
    ),
}


def phase(name: str) -> Phase:
    """A phase by name; an UnknownNameError lists the valid ones."""
    if name not in PHASES:
        raise UnknownNameError("phase", name, PHASES)
    return PHASES[name]


def sequence(names: str) -> tuple[Phase, ...]:
    """The phases of a list with commas, in their order.

    Raises:
        JackError: none, an unknown one, or one twice.
    """
    words = [word.strip() for word in names.split(",")]
    if not all(words) or len(set(words)) < len(words):
        raise JackError(f"phases is '{names}'; expected names with commas between, each once: stand,walk.")
    return tuple(map(phase, words))
