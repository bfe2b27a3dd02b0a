from collections.abc import Callable
from dataclasses import replace

import mujoco
import numpy as np
import pytest
import torch

from jack_brain.network.brain import Brain
from jack_contract.action import ActionSpec
from jack_contract.contract import Contract, default_contract
from jack_contract.gait import default_gait
from jack_contract.observation import ObservationSpec, Term
from jack_contract.robot import JointSpec, RobotSpec
from jack_sim.batch import BatchWorld
from jack_sim.randomization import OFF
from jack_sim.scene import TRAINING, load_model
from jack_trainer.rl.ppo import PPO, PPOConfig
from jack_trainer.tasks.environment import Observation, Transition
from jack_trainer.tasks.lessons import LocomotionConfig
from jack_trainer.tasks.locomotion import Locomotion


@pytest.fixture(scope="session", autouse=True)
def one_thread() -> None:
    """Batches are so small here that a second thread only waits for the first."""
    torch.set_num_threads(1)


@pytest.fixture(scope="session")
def contract() -> Contract:
    return default_contract()


@pytest.fixture(scope="session")
def model() -> mujoco.MjModel:
    return load_model(TRAINING)


@pytest.fixture
def make_locomotion(contract: Contract, model: mujoco.MjModel) -> Callable[..., Locomotion]:
    """Locomotion whose episodes begin together and whose bodies are as modelled, unless the test says otherwise.

    Any field may be given, and any row of the table of randomization.
    """
    pushed = replace(OFF, push_interval=(1.0, 4.0), push_speed=(0.3, 0.6))

    def make(count: int = 4, seed: int = 0, **changes) -> Locomotion:
        rows = {name: changes.pop(name) for name in vars(pushed) if name in changes}
        config = replace(LocomotionConfig(staggered=False, randomization=replace(pushed, **rows)), **changes)
        return Locomotion(BatchWorld(model, contract.robot, count), contract, config, seed)

    return make


@pytest.fixture(scope="session")
def two_joints() -> Contract:
    """A robot with a left and a right joint, which sees only their angles."""
    joints = tuple(JointSpec(f"{side}_hip_roll", -2, 2, 10, 30, 0.0, 40, 2, -1) for side in ("left", "right"))
    observation = ObservationSpec((Term("joint_position", 2, 1.0),), history=1)
    robot = RobotSpec("toy", joints, 0.02)
    return Contract(robot, observation, ActionSpec((1.0, 1.0)), default_gait(robot))


class Echo:
    """A toy `Environment`: see two numbers, do the same; each episode lasts `limit` steps, then time is over."""

    def __init__(self, count: int = 32, limit: int = 8, seed: int = 0) -> None:
        self.count, self.limit, self.level, self.broken = count, limit, 1.0, 0
        self._random = np.random.default_rng(seed)
        self.age = np.zeros(count, np.int64)
        self.seen: list[np.ndarray] = []

    @property
    def random(self) -> np.random.Generator:
        return self._random

    def reset(self) -> Observation:
        self.age[:] = 0
        return self._look()

    def step(self, action: np.ndarray) -> Transition:
        error = ((action - self.target[:, 0]) ** 2).sum(-1)
        reward = np.exp(-error).astype(np.float32)
        self.age += 1
        truncated = self.age >= self.limit
        self.age[truncated] = 0
        observation = self._look()
        ended = reward[truncated], np.full(int(truncated.sum()), self.limit)
        final = observation.rows(truncated) if truncated.any() else None
        terminated = np.zeros(self.count, bool)
        return Transition(observation, reward, terminated, truncated, final, *ended, {"echo": float(reward.mean())})

    def _look(self) -> Observation:
        self.target = self._random.uniform(-1, 1, (self.count, 1, 2)).astype(np.float32)
        self.seen.append(self.target)
        return Observation(self.target)

    def state_dict(self) -> dict[str, np.ndarray]:
        return {"age": self.age}

    def load_state_dict(self, state: dict[str, np.ndarray]) -> Observation:
        self.age[:] = state["age"]
        return self._look()


@pytest.fixture
def make_learner(two_joints: Contract) -> Callable[..., PPO]:
    """PPO on the toy, on one thread unless the test says otherwise; any field of its configuration may be given."""

    def make(seed: int = 0, environment: Echo | None = None, threads: int = 1, **changes) -> PPO:
        torch.manual_seed(seed)
        brain = Brain(two_joints, std=0.5)
        config = replace(PPOConfig(rollout=8, rate=3e-3, entropy=0.0, noise=0.01), **changes)
        return PPO(brain, environment or Echo(seed=seed), config, seed, threads)

    return make
