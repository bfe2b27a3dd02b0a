"""How good a policy is: whole episodes, no exploration noise, counted."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from jack_contract.arrays import Float32
from jack_contract.contract import Contract
from jack_sim.batch import BatchWorld
from jack_sim.scene import TRAINING, load_model
from jack_trainer.tasks.environment import Observation
from jack_trainer.tasks.locomotion import EXAM, Locomotion, LocomotionConfig

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

    @property
    def survival(self) -> float:
        """Share of the episodes that ended on his feet."""
        return self.survived / self.episodes


def evaluate(
    actor: Actor, contract: Contract, task: LocomotionConfig = EXAM, episodes: int = 100, seed: int = 1
) -> Evaluation:
    """Let a policy live through `episodes` full episodes, one in each of so many worlds."""
    world = BatchWorld(load_model(TRAINING), contract.robot, episodes)
    environment = Locomotion(world, contract, task, seed)
    observation = environment.reset()
    on_his_feet = np.ones(episodes, bool)
    time, returns = np.zeros(episodes), np.zeros(episodes)
    squares, counted = np.zeros(2), 0
    for _ in range(environment.limit):
        step = environment.step(actor(observation))
        time += on_his_feet
        returns += on_his_feet * step.reward
        on_his_feet &= ~step.terminated
        settled = on_his_feet & (environment.since_command * contract.robot.control_period > contract.gait.period)
        drift = environment.motion.drift[settled] ** 2
        squares += drift[:, :2].sum(), drift[:, 2].sum()
        counted += len(drift)
        observation = step.observation
        if not on_his_feet.any():
            break
    velocity_error, yaw_rate_error = np.sqrt(squares / max(1, counted)).tolist()
    return Evaluation(
        episodes=episodes,
        survived=int(on_his_feet.sum()),
        mean_time=float(time.mean() * contract.robot.control_period),
        mean_return=float(returns.mean()),
        velocity_error=velocity_error,
        yaw_rate_error=yaw_rate_error,
    )
