"""Who drives a simulated Jack while he is recorded: a script, or an expert who is told what to do."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import count

import numpy as np

from jack_contract.arrays import Array
from jack_contract.contract import default_contract
from jack_contract.errors import JackError
from jack_sim.layout import Layout, layout_of
from jack_trainer.tasks.instructions import Goal, Skill, say
from jack_trainer.tasks.lessons import WALK_EXAM, random_command
from jack_trainer.tasks.live_expert import MIRROR, meaning, says_done
from jack_trainer.tasks.planner import Planner
from jack_trainer.tasks.tabletop import PATIENCE, Tabletop

SCRIPTED, EXPERT, NOBODY = "scripted", "expert", "none"
#: An episode goes on for so long after he has done what he was told [s].
AFTER = 1.0
#: Each session has so many seeds of its own.
SEEDS = 1_000
#: What he is told at a table; he stands before it already, so it is not to walk there.
_TOLD = tuple(skill for skill in Skill if skill is not Skill.WALK)


@dataclass
class Operator:
    """Asks for another random velocity every few seconds, as the lessons do."""

    draw: Callable[[], Array]
    #: between two commands [s]
    interval: float
    drive: Callable[[Sequence[float]], None]
    asked: Array = field(default_factory=lambda: np.zeros(3))
    _due: float = 0.0

    def proceed(self, now: float) -> None:
        """A moment passes: it is `now` [s]."""
        if now >= self._due:
            self.asked, self._due = self.draw(), now + self.interval
            self.drive(self.asked.tolist())


def scripted(drive: Callable[[Sequence[float]], None], seed: int) -> Operator:
    """An operator whose commands are those of the walking exam."""
    random = np.random.default_rng(seed)
    return Operator(lambda: random_command(random), WALK_EXAM.command_interval, drive)


@dataclass(frozen=True)
class Deed:
    """Something that can be done at a table."""

    #: of the reset that lays the table
    seed: int
    goal: Goal
    #: in which he is told
    sentence: str


def deeds(seed: int, instruction: str = "") -> Iterator[Deed]:
    """What he is told, each at another table, without end; at none of those that are kept for examinations.

    Args:
        seed: decides tables and sentences.
        instruction: what he is told each time, where it can be done; empty: whatever can be done, all kinds alike.

    Raises:
        JackError: an instruction that the expert does not know.
    """
    asked = require_known(instruction) if instruction else None
    planner = Planner(Tabletop(1, default_contract(), scene=MIRROR))
    for number in count(SEEDS * seed + 1):
        layout = layout_of(number)
        if layout.held_out:
            continue
        if asked is None:
            yield _drawn(number, layout, planner)
        elif asked in planner.goals(layout, [asked.skill]):
            yield Deed(number, asked, instruction)


def require_known(instruction: str) -> Goal:
    """The goal of an instruction; a JackError says that the expert does not know it."""
    goal = meaning(instruction)
    if goal is None:
        raise JackError(
            f"'{instruction[:80]}' is no sentence of the grammar, as 'touch the red cube' or 'wave'. Leave "
            f"--instruction out, and the expert is told something that can be done at each table."
        )
    return goal


def _drawn(seed: int, layout: Layout, planner: Planner) -> Deed:
    random = np.random.default_rng((seed, 1))  # not what drew the layout
    kinds = (list(planner.goals(layout, [_TOLD[index]])) for index in random.permutation(len(_TOLD)))
    able = next(filter(None, kinds))  # he can always wave
    goal = able[int(random.integers(len(able)))]
    return Deed(seed, goal, say(random, goal))


@dataclass
class Attempt:
    """How it goes with a deed that the expert was told to do."""

    deed: Deed
    #: when he was told [s, monotonic]
    told: float
    #: when he was done; None before
    done: float | None = None

    @property
    def patience(self) -> float:
        """How long it may take [s]."""
        return PATIENCE[self.deed.goal.skill]

    def over(self, now: float, said: str) -> bool:
        """Whether it is over at `now` [s, monotonic], this being what the expert said last."""
        if self.done is None and said == says_done(self.deed.goal):
            self.done = now
        return now - self.told > self.patience if self.done is None else now - self.done >= AFTER
