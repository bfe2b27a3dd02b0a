"""One training on Humanoid-v5 by one library, in a process of its own: `peers.py` starts it, nobody else needs to.

Every library learns with its own published settings and its own way of running environments, is stopped by the same
clock, and hands over a policy that is then scored by the same code: whole episodes without exploration.
"""

from __future__ import annotations

import json
import tempfile
import time
from collections import deque
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import torch
import tyro
from gymnasium.vector import AutoresetMode
from humanoid import batch_task
from numpy.typing import NDArray

from jack_trainer.gymnasium_training import GYMNASIUM_PPO, GymnasiumOptions, GymnasiumTraining
from jack_trainer.rl.acting import actor
from jack_trainer.tasks.environment import Observation
from jack_trainer.tasks.gymnasium_task import GymnasiumTask, make_task

TASK = "Humanoid-v5"
#: Of the scoring; trainings count from 0.
EXAM_SEED = 20_261

#: Environment steps between two updates, where a library leaves it open.
ROLLOUT = 2048

#: Observations (N, D) in, actions (N, n) within the task's bounds out, without exploration.
Policy = Callable[[NDArray[Any]], NDArray[Any]]


@dataclass(frozen=True)
class Run:
    """What is to be trained."""

    #: library, see `SIDES`
    side: str
    #: where the outcome goes, as JSON
    output: Path
    #: of everything random
    seed: int = 0
    #: of training
    seconds: float = 600.0
    #: copies of the task side by side
    environments: int = 16
    #: that the policy is scored by in the end
    episodes: int = 20


@dataclass(frozen=True)
class Outcome:
    """What came of it."""

    side: str
    seed: int
    steps: int
    seconds: float
    #: mean of the last 100 episodes of training, with exploration
    training_return: float
    #: of each episode without exploration
    returns: list[float]


@dataclass
class Trained:
    """A training that is over."""

    steps: int
    seconds: float
    training_return: float
    policy: Policy


def jack(run: Run, task: GymnasiumTask | None = None) -> Trained:
    """Jack's brain and PPO; a process for each copy, unless a task is given."""
    task = task or make_task(TASK, run.environments, run.seed)
    learner = replace(GYMNASIUM_PPO, rollout=max(16, ROLLOUT // task.count))
    with tempfile.TemporaryDirectory() as runs:
        options = GymnasiumOptions(TASK, 10**12, run.seconds, run.seed, runs=Path(runs), learner=learner)
        with GymnasiumTraining(options, task) as training:
            end = training.run().end
    decide, contract = actor(training.policy), training.task.contract

    def policy(seen: NDArray[Any]) -> NDArray[Any]:
        return contract.action.targets(contract.robot, decide(Observation(seen[:, None].astype(np.float32))))

    return Trained(end.step, end.seconds, end.mean_return, policy)


def jack_batch(run: Run) -> Trained:
    """The same on `mujoco.batch`, which stays fast with more copies."""
    return jack(run, batch_task(4 * run.environments, run.seed))


#: stable-baselines3's defaults but for the rollout, which is the same number of steps whatever the copies.
SB3_DEFAULT = {"rollout": ROLLOUT, "policy": {}, "ppo": {}}
#: Its tuned ones for Humanoid, from rl-baselines3-zoo's hyperparams/ppo.yml.
SB3_ZOO = {
    "rollout": 512,
    "policy": {
        "log_std_init": -2.0,
        "ortho_init": False,
        "activation_fn": torch.nn.ReLU,
        "net_arch": {"pi": [256, 256], "vf": [256, 256]},
    },
    "ppo": {
        "batch_size": 256,
        "gamma": 0.95,
        "learning_rate": 3.56987e-05,
        "ent_coef": 0.00238306,
        "clip_range": 0.3,
        "n_epochs": 5,
        "gae_lambda": 0.9,
        "max_grad_norm": 2.0,
        "vf_coef": 0.431892,
    },
}


def sb3(run: Run, settings: dict[str, Any] = SB3_DEFAULT) -> Trained:
    """stable-baselines3: its own processes, its own normaliser."""
    from stable_baselines3 import PPO  # type: ignore[import-not-found]
    from stable_baselines3.common.env_util import make_vec_env  # type: ignore[import-not-found]
    from stable_baselines3.common.vec_env import SubprocVecEnv, VecNormalize  # type: ignore[import-not-found]

    environments = VecNormalize(make_vec_env(TASK, run.environments, run.seed, vec_env_cls=SubprocVecEnv))
    rollout = max(8, settings["rollout"] // run.environments)
    chosen = {"n_steps": rollout, "policy_kwargs": settings["policy"], **settings["ppo"]}
    model = PPO("MlpPolicy", environments, seed=run.seed, device="cpu", **chosen)
    begun = time.monotonic()
    model.learn(10**12, callback=lambda *_: time.monotonic() - begun < run.seconds)
    seconds = time.monotonic() - begun
    environments.training = False

    def policy(seen: NDArray[Any]) -> NDArray[Any]:
        return model.predict(environments.normalize_obs(seen), deterministic=True)[0]

    recent = [episode["r"] for episode in model.ep_info_buffer or ()]
    environments.close()
    return Trained(model.num_timesteps, seconds, float(np.mean(recent)) if recent else float("nan"), policy)


def rsl_settings(rollout: int) -> dict[str, Any]:
    """rsl_rl's, as Isaac Lab trains its own Humanoid; the rollout is longer, of fewer copies."""
    network = {
        "class_name": "MLPModel",
        "hidden_dims": [400, 200, 100],
        "activation": "elu",
        "obs_normalization": True,
    }
    return {
        "num_steps_per_env": rollout,
        "save_interval": 10**9,
        "obs_groups": {"actor": ["policy"], "critic": ["policy"]},
        "actor": network | {"distribution_cfg": {"class_name": "GaussianDistribution", "init_std": 1.0}},
        "critic": network,
        "algorithm": {
            "class_name": "PPO",
            "value_loss_coef": 1.0,
            "use_clipped_value_loss": True,
            "clip_param": 0.2,
            "entropy_coef": 0.0,
            "num_learning_epochs": 5,
            "num_mini_batches": 4,
            "learning_rate": 5e-4,
            "schedule": "adaptive",
            "gamma": 0.99,
            "lam": 0.95,
            "desired_kl": 0.01,
            "max_grad_norm": 1.0,
        },
    }


class RslTask:
    """A Gymnasium task as rsl_rl wants it (its `VecEnv`)."""

    def __init__(self, task: GymnasiumTask) -> None:
        self._task = task
        self.num_envs, self.num_actions = task.count, task.contract.robot.count
        self.max_episode_length, self.device, self.cfg = 1000, "cpu", {}
        self.episode_length_buf = torch.zeros(task.count, dtype=torch.long)
        self.steps = 0
        self.returns: deque[float] = deque(maxlen=100)
        self._seen = task.reset()

    def get_observations(self) -> Any:  # noqa: ANN401 - a TensorDict, which comes with rsl_rl
        """What is seen now."""
        from tensordict import TensorDict  # type: ignore[import-not-found]

        return TensorDict({"policy": torch.from_numpy(self._seen.proprioception[:, 0])}, [self.num_envs])

    def step(self, actions: torch.Tensor) -> tuple[Any, torch.Tensor, torch.Tensor, dict[str, torch.Tensor]]:
        """Act once."""
        step = self._task.step(actions.numpy())
        self._seen = step.observation
        self.steps += self.num_envs
        self.returns.extend(step.episode_returns.tolist())
        done = torch.from_numpy(step.terminated | step.truncated)
        time_outs = {"time_outs": torch.from_numpy(step.truncated).float()}
        return self.get_observations(), torch.from_numpy(step.reward), done.long(), time_outs


def rsl(run: Run, task: GymnasiumTask | None = None) -> Trained:
    """rsl_rl: it brings no environments, so that it gets ours, a process for each copy unless a task is given."""
    from rsl_rl.runners import OnPolicyRunner  # type: ignore[import-not-found]
    from tensordict import TensorDict  # type: ignore[import-not-found]

    torch.manual_seed(run.seed)
    task = task or make_task(TASK, run.environments, run.seed)
    with task:
        adapted = RslTask(task)
        runner = OnPolicyRunner(adapted, rsl_settings(max(16, ROLLOUT // task.count)))  # type: ignore[arg-type]
        begun = time.monotonic()
        while (seconds := time.monotonic() - begun) < run.seconds:
            runner.learn(1)
    network, contract = runner.get_inference_policy(), task.contract

    def policy(seen: NDArray[Any]) -> NDArray[Any]:
        given = TensorDict({"policy": torch.from_numpy(seen.astype(np.float32))}, [len(seen)])
        with torch.inference_mode():
            return contract.action.targets(contract.robot, network(given).numpy())

    recent = float(np.mean(adapted.returns)) if adapted.returns else float("nan")
    return Trained(adapted.steps, seconds, recent, policy)


SIDES: dict[str, Callable[[Run], Trained]] = {
    "jack": jack,
    "jack-batch": jack_batch,
    "sb3": sb3,
    "sb3-zoo": lambda run: sb3(run, SB3_ZOO),
    "rsl-rl": rsl,
    "rsl-rl-batch": lambda run: rsl(run, batch_task(4 * run.environments, run.seed)),
}


def score(policy: Policy, episodes: int) -> list[float]:
    """Returns of whole episodes on Gymnasium's own task, (episodes,)."""
    tasks = gymnasium.make_vec(TASK, episodes, "sync", vector_kwargs={"autoreset_mode": AutoresetMode.SAME_STEP})
    seen, _ = tasks.reset(seed=EXAM_SEED)
    returns, alive = np.zeros(episodes), np.ones(episodes, bool)
    while alive.any():
        seen, reward, terminated, truncated, _ = tasks.step(policy(seen).astype(np.float32))
        returns += alive * reward
        alive &= ~(terminated | truncated)
    tasks.close()
    return returns.tolist()


def main(run: Run) -> None:
    """Train, score, write."""
    trained = SIDES[run.side](run)
    returns = score(trained.policy, run.episodes)
    outcome = Outcome(run.side, run.seed, trained.steps, trained.seconds, trained.training_return, returns)
    run.output.write_text(json.dumps(asdict(outcome)), encoding="utf-8")


if __name__ == "__main__":
    main(tyro.cli(Run, description=__doc__))
