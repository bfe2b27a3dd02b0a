"""Practice with a teacher: one acts, the teacher says what he would have done, and that is learnt from.

Who only copies what a demonstrator did meets his own mistakes in places that no demonstrator ever was. So the
learner acts himself, more and more (DAgger, Ross, Gordon and Bagnell 2011, arXiv 1011.0686): with probability
beta_i the teacher decides a control period of round i, and beta falls. All rounds together are learnt from.

Where the teacher is what the learner was before, this is rehearsal: the less likely new actions are under the old
policy, the further it was left; but for the spread, that is the divergence KL(new || old).
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from jack_contract.contract import Contract
from jack_contract.errors import JackError
from jack_trainer.evaluate import Actor
from jack_trainer.imitation import rhythm
from jack_trainer.imitation.samples import Rows, layout, map_rows, save_rows
from jack_trainer.rl.episodes import EpisodeLog
from jack_trainer.tasks.environment import Environment


@dataclass(frozen=True)
class PracticeConfig:
    """How much is practised, and who acts."""

    rounds: int = 20
    #: of a round, in each environment [control periods]
    length: int = 50
    #: probability that the teacher decides, in the first round ...
    beta: float = 1.0
    #: ... and from each round to the next by this factor less
    falls: float = 0.6

    def __post_init__(self) -> None:
        if self.rounds < 1 or self.length < 1 or not (0 <= self.beta <= 1 and 0 <= self.falls <= 1):
            raise JackError(
                f"Practice needs rounds and a length of 1 or more, beta and its fall within 0 to 1, given: {self}."
            )

    def share(self, number: int) -> float:
        """Of the decisions of a round, from 0 on, that are the teacher's."""
        return self.beta * self.falls**number


class Practice:
    """Robots that somebody moves, and a teacher who watches.

    Attributes:
        rounds: what was practised, a row for each environment's control period, (N, T) each.
        episodes: of the robots, of late.
    """

    def __init__(
        self,
        environment: Environment,
        teacher: Actor,
        contract: Contract,
        config: PracticeConfig,
        seed: int,
        folder: Path,
    ) -> None:
        """Start all episodes.

        Args:
            environment: where the robots are.
            teacher: what should be done.
            contract: of both.
            config: how much.
            seed: decides who acts when.
            folder: keeps the rounds: what was practised is too much for a checkpoint.
        """
        self.environment, self.teacher, self.config = environment, teacher, config
        self._contract, self._seed, self._folder = contract, seed, folder
        self.rounds: list[Rows] = []
        self.episodes = EpisodeLog()
        self.observation = environment.reset()

    @property
    def over(self) -> bool:
        """Whether all rounds are done."""
        return len(self.rounds) >= self.config.rounds

    def go_on(self, learner: Actor) -> Rows:
        """One more round.

        Raises:
            JackError: the disk does not take it.
        """
        number = len(self.rounds)
        rows, path = self._act(learner, number), self._path(number)
        try:
            save_rows(path, rows.ravel())
        except OSError as error:
            raise JackError(f"{path} could not be written ({error.strerror}). Make room.") from error
        self.rounds.append(rows)
        return rows

    def resume(self, state: dict[str, NDArray[Any]], random: dict[str, Any], count: int) -> None:
        """Go on from where the environment was, after so many rounds.

        Raises:
            JackError: a round is not as it was, or there were not so many environments.
        """
        kind, shape = layout(self._contract), (self.environment.count, self._lead + self.config.length)
        self.rounds = []
        for path in map(self._path, range(count)):
            rows = map_rows(path, kind)
            if rows is None or rows.size != shape[0] * shape[1]:
                raise JackError(
                    f"{path} is not there, or not what was practised in {shape[0]} environments: go on with "
                    "as many (--environments), or start anew, without --resume."
                )
            self.rounds.append(rows.reshape(shape))
        self.observation = self.environment.load_state_dict(state)
        self.environment.random.bit_generator.state = random

    @property
    def _lead(self) -> int:
        """Frames of a history before its newest one."""
        return self._contract.observation.history - 1

    def _path(self, number: int) -> Path:
        return self._folder / f"practice-{number:03d}.npy"

    def _act(self, learner: Actor, number: int) -> Rows:
        environment, lead, length = self.environment, self._lead, self.config.length
        random, share = np.random.default_rng((self._seed, number)), self.config.share(number)
        rows = np.zeros((environment.count, lead + length), layout(self._contract))
        rows["frame"][:, :lead] = self.observation.proprioception[:, :-1]
        back = np.full(environment.count, lead)
        for now in range(lead, lead + length):
            seen, row = self.observation, rows[:, now]
            taught = self.teacher(seen)
            row["frame"], row["back"] = seen.proprioception[:, -1], back
            row["command"] = 0.0 if seen.command is None else seen.command
            row["action"] = rhythm.done(self._contract, taught, row["frame"], row["command"])
            row["use"], row["time"] = True, (now - lead) * self._contract.robot.control_period
            teaches = random.uniform(size=(environment.count, 1)) < share
            step = environment.step(np.where(teaches, taught, learner(seen)))
            self.episodes.add(step)
            back = np.where(step.terminated | step.truncated, 0, np.minimum(back + 1, lead))
            self.observation = step.observation
        return rows
