"""Who begins what an expert goes on with, and why: so that a posture does not tell what was said.

An expert whose deeds all begin with hanging arms shows the way to a thing from one side only. Who learns from that
tells from how he holds his arms what he is about to do, and hardly listens (causal confusion, de Haan et al. 2019,
arXiv 1905.11979).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from jack_contract.arrays import Array, Float64
from jack_contract.observation import COMMAND_SIZE
from jack_trainer.tasks.expert import Expert
from jack_trainer.tasks.instructions import Goal, Skill
from jack_trainer.tasks.tabletop import Ids, Situation, Tabletop

#: Who is told to push was about to push that to the other side in this share; of anything else that he could have
#: been about to do so many things are thought of before he waves.
_OPPOSITE, _TRIES = 0.5, 6
_DEEDS = [skill for skill in Skill if skill.names_thing]


class Beginner(Protocol):
    """Who has the arms of N robots before an expert takes over."""

    #: whether he has to be shown pictures
    sees: bool

    @property
    def velocity(self) -> Float64:
        """What he asks of the legs, (N, 3) [m/s, m/s, rad/s]."""
        ...

    @property
    def free(self) -> NDArray[np.bool_]:
        """Whose arms he leaves to the one who walks, (N,)."""
        ...

    def begin(self, ids: Ids, situations: Sequence[Situation]) -> None:
        """Robots `ids` (k,) are told what their situations (k,) say; nothing was before."""

    def look(self, index: int, picture: NDArray[np.uint8]) -> None:
        """Show one of them a picture, (h, w, 3)."""

    def lead(self, frames: Array, walks: Array, offsets: Array, led: NDArray[np.bool_]) -> Float64:
        """What he does with the arms of the robots that he leads.

        Args:
            frames: what all of them feel, (N, D).
            walks: joint targets of the one who walks, (N, n) [rad].
            offsets: what the gait adds to them, (N, n) [rad].
            led: whom he leads, (N,).

        Returns:
            Joint targets, (N, n) [rad]; of others anything.
        """
        ...


class Interrupted:
    """He was told something else at the same table before, and is about to do it."""

    sees = False

    def __init__(self, task: Tabletop, random: np.random.Generator) -> None:
        """Of a task's robots; chance decides what else he was told."""
        self._random, self._expert = random, Expert(task)
        self.velocity: Float64 = np.zeros((task.count, COMMAND_SIZE))

    @property
    def free(self) -> NDArray[np.bool_]:
        """Nobody, but whose arms rest."""
        return self._expert.free

    def begin(self, ids: Ids, situations: Sequence[Situation]) -> None:
        """See `Beginner.begin`."""
        self._expert.begin(ids, [situation.told(self.other(situation), "") for situation in situations])

    def look(self, index: int, picture: NDArray[np.uint8]) -> None:
        """He knows where everything is."""

    def lead(self, frames: Array, walks: Array, offsets: Array, led: NDArray[np.bool_]) -> Float64:
        """See `Beginner.lead`."""
        return self._expert.arms(walks)

    def other(self, situation: Situation) -> Goal:
        """Something else that can be done there."""
        random, goal = self._random, situation.goal
        wishes = [self._any(situation) for _ in range(_TRIES)]
        if goal.skill.pushes and random.random() < _OPPOSITE:
            wishes.insert(0, Goal(goal.skill.other_side, goal.colour, goal.shape))
        able = (wish for wish in wishes if wish != goal and self._expert.planner.plan(situation.layout, wish))
        return next(able, Goal(Skill.WAVE))

    def _any(self, situation: Situation) -> Goal:
        things = situation.layout.things
        thing = things[int(self._random.integers(len(things)))]
        return Goal(_DEEDS[int(self._random.integers(len(_DEEDS)))], thing.colour, thing.shape)
