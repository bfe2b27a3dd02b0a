"""Gymnasium's Humanoid-v5 as one vector environment on `mujoco.batch`: its model, its rules, many copies at once.

Observation, reward, health, reset noise and time limit are those of `gymnasium/envs/mujoco/humanoid_v5.py` with its
defaults. One thing differs: contact forces are those of the last substep's beginning instead of its end.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import gymnasium
import mujoco
import numpy as np
from gymnasium.spaces import Box
from gymnasium.vector import AutoresetMode, VectorEnv
from gymnasium.vector.utils import batch_space
from mujoco.batch import Batch
from numpy.typing import NDArray

from jack_trainer.tasks.gymnasium_task import GymnasiumTask

SUBSTEPS, TIME_LIMIT = 5, 1000
FORWARD_WEIGHT, CONTROL_WEIGHT, HEALTHY_REWARD = 1.25, 0.1, 5.0
CONTACT_WEIGHT, CONTACT_LIMIT = 5e-7, 10.0
#: [m]
HEALTHY_HEIGHT = (1.0, 2.0)
RESET_NOISE = 0.01
#: What the observation takes from MuJoCo besides position and velocity, and what it leaves out of each.
_FIELDS = {"cinert": 1, "cvel": 1, "qfrc_actuator": 6, "cfrc_ext": 1}


def humanoid_model() -> mujoco.MjModel:
    """Gymnasium's model, with a sensor that makes MuJoCo work out contact forces (`cfrc_ext`) as it steps."""
    path = Path(gymnasium.__file__).parent / "envs/mujoco/assets/humanoid.xml"
    spec = mujoco.MjSpec.from_file(str(path))
    site = spec.body("torso").add_site(name="contact_forces")
    accelerometer, of_site = mujoco.mjtSensor.mjSENS_ACCELEROMETER, mujoco.mjtObj.mjOBJ_SITE
    spec.add_sensor(type=accelerometer, objtype=of_site, objname=site.name, name="contact_forces")
    return spec.compile()


class BatchHumanoid(VectorEnv[NDArray[np.float64], NDArray[np.float32], Any]):
    """N humanoids on so many threads (0: all cores); they reset themselves within the step."""

    def __init__(self, count: int, threads: int = 0) -> None:
        model = humanoid_model()
        self.num_envs = count
        self.metadata = {"autoreset_mode": AutoresetMode.SAME_STEP, "render_fps": 67}
        self.batch = Batch(model, count, threads)
        self._state = {name: self.batch.bind(name) for name in ("qpos", "qvel", "ctrl", "xipos", *_FIELDS)}
        self._mass = model.body_mass / model.body_mass.sum()
        self._home, self._period = model.qpos0.copy(), SUBSTEPS * model.opt.timestep
        self._age = np.zeros(count, np.int64)
        low, high = model.actuator_ctrlrange.T.astype(np.float32)
        self.single_action_space = Box(low, high)
        self.single_observation_space = Box(-np.inf, np.inf, (self._observe(np.arange(1)).shape[1],), np.float64)
        self.action_space = batch_space(self.single_action_space, count)
        self.observation_space = batch_space(self.single_observation_space, count)
        self._random = np.random.default_rng(0)

    def reset(
        self, *, seed: int | list[int] | None = None, options: dict[str, Any] | None = None
    ) -> tuple[NDArray[np.float64], dict[str, Any]]:
        """Start all episodes."""
        if seed is not None:
            self._random = np.random.default_rng(seed)
        every = np.arange(self.num_envs)
        self._start(every)
        return self._observe(every, fresh=every), {}

    def step(self, actions: NDArray[np.float32]) -> tuple[Any, Any, Any, Any, dict[str, Any]]:
        """Act (N, 17) for one control period of 15 ms."""
        state, before = self._state, self._centre()
        state["ctrl"][:] = actions
        self.batch.step(nstep=SUBSTEPS)
        self._age += 1
        height = state["qpos"][:, 2]
        healthy = (height > HEALTHY_HEIGHT[0]) & (height < HEALTHY_HEIGHT[1])
        reward = FORWARD_WEIGHT * (self._centre() - before) / self._period + HEALTHY_REWARD * healthy
        reward -= CONTROL_WEIGHT * np.square(actions, dtype=np.float64).sum(axis=1)
        forces = state["cfrc_ext"].reshape(self.num_envs, -1)
        reward -= np.minimum(CONTACT_WEIGHT * np.einsum("ij,ij->i", forces, forces), CONTACT_LIMIT)
        terminated, truncated = ~healthy, self._age >= TIME_LIMIT
        seen, info = self._observe(np.arange(self.num_envs)), {}
        done = np.flatnonzero(terminated | truncated)
        if len(done):
            final = np.full(self.num_envs, None, object)
            final[done] = list(seen[done])
            info = {"final_obs": final, "_final_obs": terminated | truncated}
            self._start(done)
            seen[done] = self._observe(done, fresh=np.arange(len(done)))
        return seen, reward, terminated, truncated, info

    def _start(self, ids: NDArray[np.integer]) -> None:
        """New episodes: the model's own pose, with a little noise on every number."""
        self.batch.reset(ids, stage=mujoco.mjtStage.mjSTAGE_NONE.value)
        qpos, qvel = self._state["qpos"], self._state["qvel"]
        qpos[ids] = self._home + self._random.uniform(-RESET_NOISE, RESET_NOISE, (len(ids), qpos.shape[1]))
        qvel[ids] = self._random.uniform(-RESET_NOISE, RESET_NOISE, (len(ids), qvel.shape[1]))
        self.batch.forward(ids)
        self._age[ids] = 0

    def _observe(self, ids: NDArray[np.integer], fresh: NDArray[np.integer] | None = None) -> NDArray[np.float64]:
        """Observations (k, 348) of some; contact forces of the rows `fresh` are not worked out yet, and 0."""
        parts = [self._state["qpos"][ids, 2:], self._state["qvel"][ids]]
        parts += [self._state[name][ids, skip:].reshape(len(ids), -1) for name, skip in _FIELDS.items()]
        if fresh is not None:
            parts[-1][fresh] = 0.0
        return np.concatenate(parts, axis=1)

    def _centre(self) -> NDArray[np.float64]:
        """Forward position of the centre of mass, (N,) [m]."""
        return self._state["xipos"][:, :, 0] @ self._mass


def batch_task(count: int, seed: int) -> GymnasiumTask:
    """It as a task for Jack's learners."""
    return GymnasiumTask(BatchHumanoid(count), seed)
