"""Environment steps per second on Gymnasium's Humanoid-v5: `mujoco.batch` under Jack's roof against envpool.

Both step the same model under the same random actions, as many copies on as many threads, with the whole
observation, reward and resets. envpool spends one call on each reset, which steps nothing: those are not counted.
(The script is not called envpool.py, because it could not import envpool then.)
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import tyro
from humanoid import batch_task
from pairing import QUICK, Protocol, Side, compare, report, write_json

#: Actions that both sides go through again and again.
RECORDED = 50


@dataclass(frozen=True)
class Options:
    """How to measure."""

    #: a few seconds, to see that it runs; the figures mean nothing, nothing is written
    quick: bool = False
    #: windows of each side
    pairs: int = 10
    #: length of a window [s]
    window: float = 5.0
    #: simulations side by side
    environments: int = 128
    #: where the figures go
    output: Path = Path(__file__).with_suffix(".json")


def ours(actions: np.ndarray) -> Side:
    """A Gymnasium task on `mujoco.batch`, as Jack's learners see it; actions (T, N, 17) of -1 to 1."""
    task = batch_task(actions.shape[1], seed=0)
    task.reset()

    def step(action: np.ndarray) -> int:
        return len(task.step(action).reward)

    return _side(actions, step)


def envpools(actions: np.ndarray, threads: int) -> Side:
    """Envpool's own Humanoid-v5 under the same actions."""
    import envpool  # type: ignore[import-not-found]

    count = actions.shape[1]
    pool = envpool.make("Humanoid-v5", env_type="gymnasium", num_envs=count, num_threads=threads, seed=0)
    pool.reset()
    bound = np.float64(pool.action_space.high[0])

    def step(action: np.ndarray) -> int:
        info = pool.step(bound * action)[4]
        return count - int((info["elapsed_step"] == 0).sum())

    return _side(actions, step)


def _side(actions: np.ndarray, step: Callable[[np.ndarray], int]) -> Side:
    """A side whose figure is steps/s; `step` acts for one period and says how many environments did step."""

    def side(seconds: float) -> float:
        begun, done = time.perf_counter(), 0
        while (now := time.perf_counter()) - begun < seconds:
            done += sum(step(action) for action in actions)
        return done / (now - begun)

    return side


def main(options: Options) -> None:
    """Measure and report."""
    if find_spec("envpool") is None:
        sys.exit("envpool is not there to be measured against. Type: pip install envpool")
    protocol = QUICK if options.quick else Protocol(options.pairs, options.window)
    shape = (RECORDED, options.environments, 17)
    actions = np.random.default_rng(0).uniform(-1.0, 1.0, shape).astype(np.float32)
    threads = len(os.sched_getaffinity(0))
    peer = ("envpool", envpools(actions, threads))
    row = compare("mujoco.batch", ours(actions), peer, "steps/s", protocol, at_least=1.15)
    title = f"{options.environments} x Humanoid-v5 on {threads} threads"
    data = report(title, [row], {}, ("envpool", "gymnasium", "mujoco", "numpy"))
    if not options.quick:
        write_json(options.output, data)


if __name__ == "__main__":
    main(tyro.cli(Options, description=__doc__))
