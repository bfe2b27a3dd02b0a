"""Any Gymnasium task with box observations and actions, as an `Environment`: how Jack's learners meet others.

Such a task is no robot, but it has what a brain asks of a contract: so many numbers in, so many out. Its contract
can be named and compared like any other; a robot cannot fill its observation, and reading it back says so.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import gymnasium
import numpy as np
from gymnasium.spaces import Box
from gymnasium.vector import AutoresetMode, VectorEnv
from numpy.typing import NDArray

from jack_contract.action import ActionSpec
from jack_contract.arrays import Float32
from jack_contract.contract import Contract
from jack_contract.errors import JackError
from jack_contract.gait import default_gait
from jack_contract.observation import ObservationSpec, Term
from jack_contract.robot import JointSpec, RobotSpec
from jack_trainer.tasks.environment import Observation, Transition

#: What such a task's name begins with, where a name could also mean something else.
PREFIX = "gymnasium:"

VECTORIZATIONS = ("async", "sync")

#: Steps per second of a task that does not say.
_RATE = 50.0


@dataclass(frozen=True)
class RawTerm(Term):
    """The whole observation as the task gives it. No `RobotState` holds it."""

    def __post_init__(self) -> None:
        """It is in no robot's list of terms."""


class GymnasiumTask:
    """N copies of a Gymnasium task. An `Environment`; use it as a context, or `close` it.

    An action of -1 or 1 is the bound of the task's box, 0 its middle; beyond is clipped. Rewards stay as they are.
    """

    def __init__(self, environments: VectorEnv[Any, Any, Any], seed: int = 0) -> None:
        """Take over a vector of environments that resets itself within the step (`AutoresetMode.SAME_STEP`).

        Raises:
            JackError: a space that is no box, an action without bounds, or another way of resetting.
        """
        self._environments = environments
        self.contract = gymnasium_contract(environments)
        self.count, self.broken = environments.num_envs, 0
        self._random = np.random.default_rng(seed)
        self._shape = environments.single_action_space.shape or ()
        self._return = np.zeros(self.count)
        self._age = np.zeros(self.count, np.int64)

    def __enter__(self) -> GymnasiumTask:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """End the environments and their processes."""
        self._environments.close()

    def reset(self) -> Observation:
        """Start all episodes anew."""
        seeds = self._random.integers(0, 2**31, self.count).tolist()
        seen, _ = self._environments.reset(seed=seeds)
        self._return[:], self._age[:] = 0.0, 0
        return self._observe(seen)

    def step(self, action: Float32) -> Transition:
        """Act (N, n) once; an episode that ends is followed by the next one's first observation."""
        asked = self.contract.action.targets(self.contract.robot, action).astype(np.float32)
        seen, reward, terminated, cut, info = self._environments.step(asked.reshape(self.count, *self._shape))
        self._return += reward
        self._age += 1
        truncated, over = cut & ~terminated, cut | terminated
        final = self._observe(np.stack(info["final_obs"][truncated])) if truncated.any() else None
        done = np.flatnonzero(over)
        ended = self._return[done].astype(np.float32), self._age[done]
        self._return[done], self._age[done] = 0.0, 0
        reward = np.asarray(reward, np.float32)
        return Transition(self._observe(seen), reward, terminated, truncated, final, *ended)

    @property
    def name(self) -> str:
        """Gymnasium's."""
        return self.contract.robot.name

    @property
    def limit(self) -> int:
        """Not known: what cuts an episode off is the task's own."""
        return 0

    @property
    def level(self) -> float:
        """All of it: a task is what it is."""
        return 1.0

    @property
    def random(self) -> np.random.Generator:
        """Where the environments' seeds come from; what follows from a seed is theirs."""
        return self._random

    def state_dict(self) -> dict[str, NDArray[Any]]:
        """Nothing: a Gymnasium task cannot tell its state."""
        return {}

    def load_state_dict(self, state: dict[str, NDArray[Any]]) -> Observation:
        """Begin all episodes anew: a Gymnasium task cannot be put back into one."""
        return self.reset()

    def _observe(self, seen: NDArray[Any]) -> Observation:
        """Observations (k, ...) as frames (k, 1, D)."""
        return Observation(np.array(seen, np.float32).reshape(len(seen), 1, -1))


def make_task(name: str, count: int, seed: int = 0, vectorization: str = "async") -> GymnasiumTask:
    """`count` copies of a task by its Gymnasium name, `gymnasium:` before it or not.

    Args:
        name: such as `Humanoid-v5`, or `module:Name-v0` where a module registers it.
        count: of environments.
        seed: of everything random.
        vectorization: `async`, a process for each, or `sync`, all in this one.

    Raises:
        JackError: Gymnasium does not know or cannot make it, or it is not for Jack's learners; says why.
    """
    if vectorization not in VECTORIZATIONS:
        raise JackError(f"vectorization is '{vectorization}'; allowed: {', '.join(VECTORIZATIONS)}.")
    if not 1 <= count <= 100_000:
        raise JackError(f"environments is {count}; allowed: 1 to 100000.")
    try:
        environments = gymnasium.make_vec(
            name.removeprefix(PREFIX),
            num_envs=count,
            vectorization_mode=vectorization,
            vector_kwargs={"autoreset_mode": AutoresetMode.SAME_STEP},
        )
    except (gymnasium.error.Error, ImportError) as error:
        raise JackError(f"Gymnasium cannot make '{name}': {error}") from error
    try:
        return GymnasiumTask(environments, seed)
    except JackError:
        environments.close()
        raise


def gymnasium_contract(environments: VectorEnv[Any, Any, Any]) -> Contract:
    """A contract with the sizes and action bounds of a task, and neither gait nor sides.

    Raises:
        JackError: it is not for Jack's learners; says why.
    """
    seen, done = environments.single_observation_space, environments.single_action_space
    name = environments.spec.id if environments.spec else type(environments).__name__
    if not isinstance(seen, Box) or not isinstance(done, Box):
        raise JackError(f"'{name}' observes {seen} and is told {done}; Jack's learners want a Box for both.")
    if not done.is_bounded():
        raise JackError(f"The actions of '{name}' have no bounds; give it some with gymnasium.wrappers.ClipAction.")
    if environments.metadata.get("autoreset_mode") != AutoresetMode.SAME_STEP:
        raise JackError(f"'{name}' must reset within the step; make it with AutoresetMode.SAME_STEP.")
    low, high = done.low.ravel().astype(np.float64), done.high.ravel().astype(np.float64)
    joints = tuple(
        _axis(f"action_{i}", a, b) for i, (a, b) in enumerate(zip(low.tolist(), high.tolist(), strict=True))
    )
    period = 1.0 / (environments.metadata.get("render_fps") or _RATE)
    robot = RobotSpec(name, joints, min(max(period, 1e-4), 1.0))
    return Contract(
        robot=robot,
        observation=ObservationSpec((RawTerm("raw", int(np.prod(seen.shape)), 1.0),), history=1),
        action=ActionSpec(tuple((0.5 * (high - low)).tolist())),
        gait=default_gait(robot),
    )


def _axis(name: str, low: float, high: float) -> JointSpec:
    """One number of the action; what is said of a motor says nothing here."""
    middle = low + 0.5 * (high - low)
    return JointSpec(name, low, high, 1.0, 1.0, middle, stiffness=0.0, damping=0.0)
