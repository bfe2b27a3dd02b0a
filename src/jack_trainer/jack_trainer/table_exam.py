"""The exam of who follows sentences: a policy file in closed loop, at tables and in words that no training saw."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np

from jack_brain.policy import Policy
from jack_contract.contract import Contract
from jack_sim.render import BatchCamera
from jack_trainer.evaluate import Evaluation
from jack_trainer.tasks.demonstrations import draw_situation
from jack_trainer.tasks.following import UNHURRIED, Following, Outcome
from jack_trainer.tasks.instructions import Skill
from jack_trainer.tasks.lessons import TableExam
from jack_trainer.tasks.planner import Planner
from jack_trainer.tasks.tabletop import Situation, Tabletop

#: Robots side by side.
_ROBOTS = 25
#: Draws a situation: of a skill, where it can be done.
Draw = Callable[[np.random.Generator, Planner, Skill], Situation]


def unseen(random: np.random.Generator, planner: Planner, skill: Skill) -> Situation:
    """A table and a phrasing that are kept for examinations."""
    return draw_situation(random, planner, exam=True, skill=skill)


def require_eyes(contract: Contract) -> None:
    """Refuse a machine on which nothing can be drawn.

    Raises:
        JackError: says why nothing can.
    """
    BatchCamera(Tabletop(1, contract).world.batch, contract.camera).close()


def evaluate_at_table(policy: bytes | Path, contract: Contract, exam: TableExam, seed: int = 1) -> Evaluation:
    """Examine a policy file that follows sentences, however long it takes to decide.

    Raises:
        JackError: it must not drive this robot, or follows none; or nothing can be drawn on this machine.
    """
    outcomes = try_at_table(policy, contract, exam, seed)
    return Evaluation(
        episodes=len(outcomes),
        survived=sum(not outcome.fell for outcome in outcomes),
        mean_time=float(np.mean([outcome.seconds for outcome in outcomes])),
        mean_return=float(np.mean([outcome.success for outcome in outcomes])),
        done=shares(outcomes),
    )


def try_at_table(
    policy: bytes | Path,
    contract: Contract,
    exam: TableExam,
    seed: int = 1,
    draw: Draw = unseen,
    hears: bool = True,
    sees: bool = True,
) -> list[Outcome]:
    """All trials of an exam, in the order of the skills.

    Args:
        policy: file, or its path.
        contract: of the robot.
        exam: how many trials of which skills.
        seed: of everything random.
        draw: draws the situations.
        hears: whether sentences reach the policy.
        sees: whether pictures do.

    Raises:
        JackError: see `evaluate_at_table`.
    """
    loaded = Policy.load(policy, contract, UNHURRIED)
    task = Tabletop(min(_ROBOTS, exam.trials), contract)
    planner = Planner(task)
    outcomes: list[Outcome] = []
    with BatchCamera(task.world.batch, contract.camera) as camera:
        following = Following(task, loaded, camera, hears, sees)
        for skill in exam.skills:
            random = np.random.default_rng((seed, list(Skill).index(skill)))
            outcomes += following.run(lambda skill=skill, random=random: draw(random, planner, skill), exam.trials)
    return outcomes


def shares(outcomes: Iterable[Outcome]) -> dict[str, float]:
    """By skill, the share that was done."""
    return {skill: float(np.mean([o.success for o in each])) for skill, each in by_skill(outcomes).items()}


def by_skill(outcomes: Iterable[Outcome]) -> dict[str, list[Outcome]]:
    """Outcomes by what was to be done."""
    found: dict[str, list[Outcome]] = {}
    for outcome in outcomes:
        found.setdefault(outcome.situation.goal.skill.value, []).append(outcome)
    return found
