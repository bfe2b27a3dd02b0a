"""Who has learnt something already begins, and the expert goes on from where that led.

Mistakes of his own lead an apprentice where no demonstration of an expert ever is. A teacher who takes over there
shows the way back: HG-DAgger (Kelly et al., 2019), with the moment of taking over at random.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from jack_brain.arms import Arms
from jack_brain.policy import Policy
from jack_contract.arrays import Array, Float32, Float64
from jack_contract.contract import Contract
from jack_contract.instruction import default_tokenizer
from jack_contract.observation import COMMAND_SIZE, History
from jack_trainer.tasks.following import UNHURRIED, require_follower
from jack_trainer.tasks.tabletop import Ids, Situation


class Apprentice:
    """A policy that follows sentences, at the arms of N robots, as a pilot has it there.

    Attributes: see `Beginner`.
    """

    sees = True

    def __init__(self, path: Path, contract: Contract, count: int) -> None:
        """Load the policy; a JackError says why it must not drive this robot, or that it follows no sentences."""
        self._policy, self._contract = Policy.load(path, contract, UNHURRIED), contract
        self._tokenizer = default_tokenizer()
        require_follower(self._policy, self._tokenizer)
        self._history = History(contract.observation, (count,))
        self._arms = [Arms(contract) for _ in range(count)]
        self._said = np.zeros((count, self._tokenizer.length), np.int64)
        self._prefixes: list[Float32 | None] = [None] * count
        self.velocity: Float64 = np.zeros((count, COMMAND_SIZE))
        self.free = np.ones(count, bool)

    def begin(self, ids: Ids, situations: Sequence[Situation]) -> None:
        """Robots `ids` (k,) are told what their situations (k,) say; nothing was before."""
        self._history.reset(ids)
        self.velocity[ids], self.free[ids] = 0.0, True
        for index, situation in zip(ids.tolist(), situations, strict=True):
            self._arms[index].rest()
            self._prefixes[index] = None
            self._said[index] = self._tokenizer.read(situation.sentence).ids

    def look(self, index: int, picture: NDArray[np.uint8]) -> None:
        """Show one of them a picture, (h, w, 3)."""
        self._prefixes[index] = self._policy.look(self._said[index], picture).prefix

    def lead(self, frames: Array, walks: Array, offsets: Array, led: NDArray[np.bool_]) -> Float64:
        """What he does with the arms of the robots that he leads.

        Args:
            frames: what all of them feel, (N, D).
            walks: joint targets of the one who walks, (N, n) [rad].
            offsets: what the gait adds to them, (N, n) [rad].
            led: whom he leads, (N,); they have been shown a picture.

        Returns:
            Joint targets, (N, n) [rad]; of others as they were.
        """
        robot, spec = self._contract.robot, self._contract.action
        histories, result = self._history.push(frames), np.array(walks, np.float64)
        actions = spec.action(robot, walks - offsets)
        for index in np.flatnonzero(led).tolist():
            arms, prefix = self._arms[index], self._prefixes[index]
            if arms.due and prefix is not None:
                arms.follow(*self._policy.reach(histories[index], prefix))
            mixed = arms.step(actions[index], offsets[index], True)
            result[index] = spec.targets(robot, mixed, offsets[index])
            self.velocity[index], self.free[index] = arms.velocity, arms.share == 0.0
        return result
