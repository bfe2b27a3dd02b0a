"""A policy file before its examiners: the file that a robot would get lives through the phase's exam."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path

from jack_brain.policy import Policy
from jack_contract.contract import default_contract
from jack_contract.errors import JackError
from jack_launch.graphs import newest_policy
from jack_trainer.checkpoint import newest_published, policy_of
from jack_trainer.evaluate import Evaluation, evaluate
from jack_trainer.parents import find_parent
from jack_trainer.phases import Phase, phase
from jack_trainer.policy_actor import PolicyActor
from jack_trainer.scorecard import Score, scorecard
from jack_trainer.table_exam import evaluate_at_table
from jack_trainer.tasks.lessons import at_beat


@dataclass(frozen=True)
class ExamResult:
    """What came of an exam."""

    #: the file that was examined
    policy: Path
    #: environment steps it has learnt from
    step: int
    evaluation: Evaluation
    #: what was asked of him
    phase: Phase
    #: in other worlds and by kind of command; empty if nobody asked
    scores: list[Score] = field(default_factory=list)

    @property
    def passed(self) -> bool:
        """Whether the phase is passed."""
        return self.phase.passes(self.evaluation)

    @property
    def done(self) -> list[str]:
        """How much he did of what he was told, a line for each kind; nothing where he was told nothing."""
        needed = {told: f" (needed: {share:.0%})" for told, share in self.phase.done.items()}
        return [f"{told}: {share:.0%} done{needed.get(told, '')}" for told, share in self.evaluation.done.items()]

    def __str__(self) -> str:
        scored, phase = self.evaluation, self.phase
        if self.done:
            stood = (
                f"{scored.survived} of {scored.episodes} trials ended on his feet (needed: {phase.survival:.0%})."
            )
            return "\n".join((stood, *self.done, f"The policy has learnt from {self.step:,} steps."))
        allowed = (phase.velocity_error, phase.yaw_rate_error) if phase.follows else ("any", "any")
        return (
            f"{scored.survived} of {scored.episodes} episodes ended on his feet "
            f"(needed: {phase.survival:.0%}).\n"
            f"He erred by {scored.velocity_error:.2f} m/s (allowed: {allowed[0]}) and "
            f"{scored.yaw_rate_error:.2f} rad/s (allowed: {allowed[1]}).\n"
            f"In the mean: {scored.mean_time:.1f} s on his feet, return {scored.mean_return:.1f}. "
            f"The policy has learnt from {self.step:,} steps."
        )


def examine(path: Path, episodes: int = 100, seed: int = 1, worlds: bool = False) -> ExamResult:
    """Let a policy file live through whole episodes of its phase's exam, without exploration noise.

    Args:
        path: of a policy file.
        episodes: how many, one in each of so many worlds.
        seed: of everything random.
        worlds: whether he is scored in other worlds, too.

    Raises:
        PolicyError: a file that must not drive this robot.
        UnknownNameError: a phase that this Jack does not know.
    """
    contract = default_contract()
    policy = Policy.load(path, contract)
    taught = phase(policy.phase)
    exam = at_beat(taught.exam, policy.beat)
    card = scorecard(PolicyActor(path), contract, exam, episodes, seed) if worlds else None
    if taught.table is not None:
        table = replace(taught.table, trials=episodes)
        evaluation = evaluate_at_table(path, contract, table, seed)
    else:
        evaluation = card.exam if card else evaluate(PolicyActor(path), contract, exam, episodes, seed)
    return ExamResult(path, policy.step, evaluation, taught, card.scores if card else [])


def policy_named(place: Path, runs: Path) -> Path:
    """The policy file that a person means: as for `find_parent`, a checkpoint being its policy.

    Raises:
        JackError: there is none.
    """
    return find_policy(find_parent(place, runs), runs)


def find_policy(place: Path | None, runs: Path) -> Path:
    """The policy file of a place: a file itself, or the newest of a checkpoint, of a run, or, for None, of `runs`.

    Raises:
        JackError: there is none.
    """
    if place is None:
        found = newest_policy(runs)
    elif place.is_dir():
        path = policy_of(newest_published(place / "checkpoints") or place)
        found = path if path.is_file() else None
    else:
        found = place if place.is_file() else None
    if found is None:
        where = place or runs.absolute()
        raise JackError(
            f"There is no policy in {where}. Give a policy file, a checkpoint or a run; ./jack train makes one."
        )
    return found
