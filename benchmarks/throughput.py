"""What the trainer makes of the physics: environment steps and training steps per second against bare stepping.

The peer is `mujoco.batch` stepping the same model from the same states under the same controls, as many copies on
as many threads, and doing nothing else. Nobody can train faster than that without changing the physics.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
import tyro
from mujoco.batch import Batch
from pairing import QUICK, Protocol, Side, as_the_trainer, compare, report, write_json

from jack_brain.network.brain import Brain
from jack_brain.network.presets import preset
from jack_contract.contract import default_contract
from jack_sim.batch import BatchWorld
from jack_sim.scene import TRAINING, load_model
from jack_trainer.phases import phase
from jack_trainer.rl.ppo import PPO
from jack_trainer.tasks.locomotion import Locomotion

#: Steps whose states the bare side replays.
RECORDED = 24


@dataclass(frozen=True)
class Options:
    """Which figures, and how."""

    #: a few seconds, to see that it runs; the figures mean nothing, nothing is written
    quick: bool = False
    #: windows of each side
    pairs: int = 10
    #: length of a window [s]
    window: float = 5.0
    #: simulations side by side
    environments: int = 256
    #: what is trained
    phase: str = "stand"
    #: size of the brain
    brain: str = "nano"
    #: where the figures go
    output: Path = Path(__file__).with_suffix(".json")


class Bare:
    """`mujoco.batch` alone, replaying states and controls that somebody else came through."""

    def __init__(self, world: BatchWorld) -> None:
        self._world = world
        self._batch = Batch(world.batch.model, world.count, world.batch.nthread)
        self._states: list[np.ndarray] = []

    def record(self, run: Callable[[], Any]) -> None:
        """Keep the states and controls that each step begins with while `run` runs."""
        batch, step = self._world.batch, self._world.batch.step
        self._states.clear()

        def recorded(**given: int) -> None:
            self._states.append(batch.state.copy())
            step(**given)

        batch.step = recorded
        try:
            run()
        finally:
            batch.step = step

    def pass_once(self) -> None:
        """Step through everything recorded."""
        for state in self._states:
            self._batch.state[:] = state
            self._batch.step(nstep=self._world.substeps)


@dataclass
class Share:
    """How much of its time a side spends in the physics."""

    physics: float = 0.0
    whole: float = 0.0

    def watch(self, batch: Batch) -> None:
        """Time every call of `batch.step` from now on."""
        step = batch.step

        def timed(**given: int) -> None:
            begun = time.perf_counter()
            step(**given)
            self.physics += time.perf_counter() - begun

        batch.step = timed

    @property
    def value(self) -> float:
        """Physics per whole."""
        return self.physics / self.whole


def repeated(work: Callable[[], Any], steps: int, share: Share | None = None) -> Side:
    """A side that does `work`, worth so many environment steps, again and again; its figure is steps/s."""

    def side(seconds: float) -> float:
        """Work for so many seconds."""
        begun, done = time.perf_counter(), 0
        while (now := time.perf_counter()) - begun < seconds:
            work()
            done += steps
        if share is not None:
            share.whole += now - begun
        return done / (now - begun)

    return side


def learner(options: Options) -> PPO:
    """What `./jack train` learns with."""
    torch.manual_seed(0)
    taught, contract = phase(options.phase), default_contract()
    world = BatchWorld(load_model(TRAINING), contract.robot, options.environments)
    # Without latency, whose physics is another call: what is compared is `Batch.step` with itself.
    task = replace(taught.task, randomization=replace(taught.task.randomization, latency=(0.0, 0.0)))
    environment = Locomotion(world, contract, task)
    brain = Brain(contract, preset(options.brain), std=taught.noise)
    return PPO(brain, environment, taught.ppo, seed=0)


def stepping(ppo: PPO) -> Callable[[], None]:
    """The environment alone, under small random actions, `RECORDED` steps at a time."""
    environment = ppo.environment
    shape = (RECORDED, environment.count, ppo.brain.contract.robot.count)
    actions = (0.1 * np.random.default_rng(0).standard_normal(shape)).astype(np.float32)

    def work() -> None:
        for action in actions:
            environment.step(action)

    return work


def main(options: Options) -> None:
    """Measure and report."""
    protocol = QUICK if options.quick else Protocol(options.pairs, options.window)
    rows, shares = [], {}
    for name, aim in (("environment", 0.9), ("training", 0.5)):
        ppo = learner(options)
        environment, share = ppo.environment, Share()
        assert isinstance(environment, Locomotion)
        work = stepping(ppo) if name == "environment" else ppo.iterate
        steps = environment.count * (RECORDED if name == "environment" else ppo.config.rollout)
        work()
        bare = Bare(environment.world)
        bare.record(work)
        share.watch(environment.world.batch)
        peer = ("bare physics", repeated(bare.pass_once, steps))
        rows.append(compare(name, repeated(work, steps, share), peer, "steps/s", protocol, at_least=aim))
        shares[f"share of {name} that is physics, timed within"] = share.value
    title = f"{options.environments} x {options.phase}, brain {options.brain}"
    data = report(title, rows, shares, ("mujoco", "numpy", "torch"))
    if not options.quick:
        write_json(options.output, data)


if __name__ == "__main__":
    as_the_trainer()
    main(tyro.cli(Options, description=__doc__))
