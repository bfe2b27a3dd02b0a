"""How good a policy is: whole episodes, no exploration noise, counted."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from jack_contract.arrays import Array, Float32
from jack_contract.contract import Contract
from jack_sim.batch import BatchWorld
from jack_sim.scene import TRAINING, load_model
from jack_trainer.tasks.environment import Observation, Transition
from jack_trainer.tasks.lessons import EXAM, LocomotionConfig
from jack_trainer.tasks.locomotion import Locomotion

#: Decides for N robots at once: an observation in, actions (N, n) out.
Actor = Callable[[Observation], Float32]


@dataclass(frozen=True)
class Evaluation:
    """What came of a number of episodes."""

    #: episodes
    episodes: int
    #: those that ended on his feet
    survived: int
    #: mean time on his feet [s]
    mean_time: float
    #: mean return until the fall or the end
    mean_return: float
    #: root mean square of the velocity's error over half a gait cycle, once a new command has settled [m/s]
    velocity_error: float = 0.0
    #: the same of the yaw rate [rad/s]
    yaw_rate_error: float = 0.0
    #: by what he was told, the share of it that he did; empty where he is told nothing
    done: Mapping[str, float] = field(default_factory=dict)

    @property
    def survival(self) -> float:
        """Share of the episodes that ended on his feet."""
        return self.survived / self.episodes


@dataclass(frozen=True)
class Moment:
    """A control period of N robots, each in the first of its episodes."""

    #: as it is at the end, until the next step
    environment: Locomotion
    step: Transition
    #: what was asked of each: vx, vy [m/s], yaw rate [rad/s], (N, 3)
    command: Array
    #: who had not fallen yet when it began, and when it ended, (N,)
    before: NDArray[np.bool_]
    standing: NDArray[np.bool_]


def live(actor: Actor, environment: Locomotion) -> Iterator[Moment]:
    """Live through whole episodes, one in each world, until all are over."""
    observation, standing = environment.reset(), np.ones(environment.count, bool)
    for _ in range(environment.limit):
        command, before = environment.command.copy(), standing
        step = environment.step(actor(observation))
        observation, standing = step.observation, before & ~step.terminated
        yield Moment(environment, step, command, before, standing)
        if not standing.any():
            return


class Tally:
    """Counts moments of the same robots."""

    def __init__(self, environment: Locomotion) -> None:
        """Of the robots of this environment."""
        self._period, self._standing = environment.contract.robot.control_period, np.ones(environment.count, bool)
        self._time, self._returns = np.zeros(environment.count), np.zeros(environment.count)
        self._squares, self._counted = np.zeros(2), 0

    def add(self, moment: Moment) -> None:
        """Take in the next one."""
        self._standing = moment.standing
        self._time += moment.before
        self._returns += moment.before * moment.step.reward
        environment = moment.environment
        drift = environment.motion.drift[moment.standing & environment.settled] ** 2
        self._squares += drift[:, :2].sum(), drift[:, 2].sum()
        self._counted += len(drift)

    @property
    def evaluation(self) -> Evaluation:
        """What came of them."""
        velocity_error, yaw_rate_error = np.sqrt(self._squares / max(1, self._counted)).tolist()
        return Evaluation(
            episodes=len(self._standing),
            survived=int(self._standing.sum()),
            mean_time=float(self._time.mean() * self._period),
            mean_return=float(self._returns.mean()),
            velocity_error=velocity_error,
            yaw_rate_error=yaw_rate_error,
        )


def evaluate(
    actor: Actor, contract: Contract, task: LocomotionConfig = EXAM, episodes: int = 100, seed: int = 1
) -> Evaluation:
    """Let a policy live through `episodes` full episodes, one in each of so many worlds."""
    world = BatchWorld(load_model(TRAINING), contract.robot, episodes)
    environment = Locomotion(world, contract, task, seed)
    tally = Tally(environment)
    for moment in live(actor, environment):
        tally.add(moment)
    return tally.evaluation
