"""What is filmed of who follows sentences: tables that no training saw, and in a corner what he sees of them."""

from __future__ import annotations

from collections.abc import Iterator

import cv2
import numpy as np
from numpy.typing import NDArray

from jack_brain.policy import Policy
from jack_contract.contract import CameraSpec
from jack_contract.overlay import pointed
from jack_sim.render import BatchCamera
from jack_sim.tabletop import AUDIENCE
from jack_trainer.table_exam import unseen
from jack_trainer.tasks.following import Following
from jack_trainer.tasks.instructions import Skill
from jack_trainer.tasks.planner import Planner
from jack_trainer.tasks.tabletop import PATIENCE, Tabletop

#: What he is told, one after the other, each at another table.
PROGRAMME = (Skill.TOUCH, Skill.PUSH_LEFT, Skill.POINT, Skill.WAVE, Skill.PUSH_RIGHT, Skill.WALK)
#: He is looked at for so long after it was done [s].
_AFTER = 0.6
#: Of the corner with what he sees: its edge, as a share of the film's height [1].
_CORNER = 0.4


class TableStage:
    """Jack before tables, with a policy that follows sentences.

    Attributes:
        falls: how often he fell.
    """

    def __init__(self, policy: Policy, width: int, height: int, rate: int, seed: int = 3) -> None:
        """Prepare a film of so many pixels, and pictures a second; `seed` decides tables and sentences."""
        self._policy, self._size, self._seed, self.falls = policy, CameraSpec(width, height), seed, 0
        period = policy.contract.robot.control_period
        self._every, self._after = round(1 / (rate * period)), round(_AFTER / period)
        self._patience = {skill: round(seconds / period) for skill, seconds in PATIENCE.items()}

    def play(self) -> Iterator[tuple[NDArray[np.uint8], str, str]]:
        """Go through the programme; yields pictures, what he is told, and how it goes.

        Raises:
            JackError: the policy follows no sentences, or nothing can be drawn on this machine.
        """
        contract, random = self._policy.contract, np.random.default_rng(self._seed)
        task = Tabletop(1, contract)
        planner, batch = Planner(task), task.world.batch
        with (
            BatchCamera(batch, contract.camera) as eyes,
            BatchCamera(batch, self._size, AUDIENCE) as audience,
        ):
            following = Following(task, self._policy, eyes)
            for skill in PROGRAMME:
                situation = unseen(random, planner, skill)
                following.begin(np.arange(1), [situation])
                while not task.told[0]:
                    following.tick(np.ones(1, bool))
                left = self._patience[skill]
                while left > 0:
                    following.tick(np.ones(1, bool))
                    left = min(left - 1, self._after) if task.over[0] else left - 1
                    if left % self._every == 0:
                        picture = audience.render(np.arange(1))[0]
                        yield self._with_corner(picture, following), situation.sentence, _told(task)
                self.falls += int(task.fallen[0])

    def _with_corner(self, picture: NDArray[np.uint8], following: Following) -> NDArray[np.uint8]:
        """What he sees in the lower right corner, with where the sentence points."""
        edge = round(_CORNER * len(picture))
        large, seen = cv2.resize(following.pictures[0], (edge, edge)), following.seen[0]
        assert seen is not None
        picture[-edge:, -edge:] = pointed(np.asarray(large, np.uint8), seen.attention)
        return picture


def _told(task: Tabletop) -> str:
    """How it goes, in words."""
    seconds = f"{task.age[0] * task.contract.robot.control_period:.1f} s"
    if task.fallen[0]:
        return "fallen"
    if task.meddled[0]:
        return f"{seconds}, he moved something else"
    return "done" if task.succeeded[0] else seconds
