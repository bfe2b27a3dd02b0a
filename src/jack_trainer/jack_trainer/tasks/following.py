"""He is told, looks, and does it: a policy file at many tables at once, each robot steered as a real one is.

Every robot has a `Pilot` of its own, with its safety, its seams between chunks and its reflexes; all share one
policy. What differs from the live graph is that nothing takes time and nothing is lost.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, fields

import numpy as np
from numpy.typing import NDArray

from jack_brain.gaze import Intent, understands
from jack_brain.pilot import Pilot, PilotConfig
from jack_brain.policy import Policy, PolicyLimits, Seen
from jack_brain.safety import Mode
from jack_contract.errors import JackError
from jack_contract.instruction import Tokenizer, default_tokenizer
from jack_contract.state import RobotState
from jack_sim.render import BatchCamera
from jack_trainer.tasks.tabletop import PICTURE_EVERY, SETTLING, Ids, Situation, Tabletop
from jack_trainer.tasks.turns import in_turns

#: Who simulates waits for a policy: whether it is quick enough for a robot, the robot's own computer says.
UNHURRIED = PolicyLimits(period_share=100.0, look=100.0)


@dataclass(frozen=True)
class Outcome:
    """What came of something he was told."""

    situation: Situation
    success: bool
    #: on the ground, or damped by his own safety
    fell: bool
    #: whether he moved something that nobody had named
    meddled: bool
    #: until it was done, or over [s]
    seconds: float
    #: why the joints were damped; empty if they were not
    fault: str = ""


class Following:
    """N robots that do what they are told, as their policy has it.

    Attributes:
        pictures: the newest that each has seen, (N, h, w, 3).
        seen: what the policy made of it; None before the first.
    """

    def __init__(
        self, task: Tabletop, policy: Policy, camera: BatchCamera, hears: bool = True, sees: bool = True
    ) -> None:
        """Prepare.

        Args:
            task: whose robots they are.
            policy: that follows sentences.
            camera: of the robots.
            hears: whether sentences reach it.
            sees: whether pictures do.

        Raises:
            JackError: it follows none, or was taught with other words than this Jack has.
        """
        self.task, self._policy, self._camera = task, policy, camera
        self._hears, self._sees = hears, sees
        self._tokenizer = default_tokenizer()
        require_follower(policy, self._tokenizer)
        self._pilots = [self._pilot() for _ in range(task.count)]
        self._said = np.zeros((task.count, self._tokenizer.length), np.int64)
        self._now, size = 0.0, task.contract.camera
        self.pictures = np.zeros((task.count, size.height, size.width, 3), np.uint8)
        self.seen: list[Seen | None] = [None] * task.count
        self._stands = np.tile(task.contract.robot.default_position, (task.count, 1))

    def run(self, draw: Callable[[], Situation], count: int) -> Iterator[Outcome]:
        """So many trials, in the order in which they end."""

        def step(active: NDArray[np.bool_]) -> NDArray[np.bool_]:
            self.tick(active)
            return self.task.over | self._damped

        turns = in_turns(self.task.count, count, lambda ids: self.begin(ids, [draw() for _ in ids]), step)
        return map(self._outcome, turns)

    def begin(self, ids: Ids, situations: Sequence[Situation]) -> None:
        """Put robots `ids` (k,) into situations (k,); they are told, and look, once they have found their feet."""
        self.task.begin(ids, situations, SETTLING)
        for index, situation in zip(ids.tolist(), situations, strict=True):
            self._pilots[index] = self._pilot()
            self._said[index] = self._tokenizer.read(situation.sentence).ids

    def tick(self, active: NDArray[np.bool_]) -> None:
        """One control period; those who are not active (N,) only stand there."""
        state, targets = self.task.world.state(), self._stands.copy()
        due = np.flatnonzero(active & self.task.told & (self.task.age % PICTURE_EVERY == 0))
        pictures = self._camera.render(due) if self._sees else np.zeros((len(due), 0), np.uint8)
        for index, picture in zip(due.tolist(), pictures, strict=True):
            self._look(index, picture)
        for index in np.flatnonzero(active).tolist():
            targets[index] = self._pilots[index].tick(_one(state, index), self._now).targets
        self.task.step(targets)
        self._now += self.task.contract.robot.control_period

    def _look(self, index: int, picture: NDArray[np.uint8]) -> None:
        ids, image = self._said[index] if self._hears else None, picture if self._sees else None
        pilot = self._pilots[index]
        self.seen[index] = seen = self._policy.look(ids, image)
        if image is not None:
            self.pictures[index] = image
        pilot.safety.saw(self._now, self._now)
        pilot.intend(Intent(self._policy, seen.prefix, self._now))

    def _pilot(self) -> Pilot:
        pilot = Pilot(self.task.contract, config=PilotConfig(blend=0.0), watches_camera=True)
        pilot.offer(self._policy)
        return pilot

    @property
    def _damped(self) -> NDArray[np.bool_]:
        return np.array([pilot.mode is Mode.DAMP for pilot in self._pilots])

    def _outcome(self, index: int) -> Outcome:
        task, fault = self.task, self._pilots[index].safety.fault
        situation = task.situations[index]
        assert situation is not None
        return Outcome(
            situation,
            bool(task.succeeded[index]),
            bool(task.fallen[index] or fault),
            bool(task.meddled[index]),
            float(task.age[index] * task.contract.robot.control_period),
            fault,
        )


def require_follower(policy: Policy, tokenizer: Tokenizer) -> None:
    """Refuse a policy that follows no sentences, or those of another vocabulary.

    Raises:
        JackError: says which.
    """
    if not policy.follows:
        raise JackError(f"This policy of phase '{policy.phase}' follows no sentences; ./jack train manipulation.")
    if not understands(policy, tokenizer):
        raise JackError(
            f"This policy was taught with the vocabulary {policy.words[:8]}, this Jack has {tokenizer.digest[:8]}: "
            "it would take one word for another."
        )


def _one(state: RobotState, index: int) -> RobotState:
    """The readings of one of many robots."""
    return RobotState(**{f.name: getattr(state, f.name)[index] for f in fields(state)})
