"""Training on a Gymnasium task: the same brain, the same learner, a task that others are measured on too.

No robot can run what comes of it, so there is no policy file and no graph: weights (safetensors), a JSON with the
options, the contract and the learning curve, and a TensorBoard log.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Protocol

import torch
from safetensors import SafetensorError
from safetensors.torch import load, save

from jack_brain.network.brain import Brain
from jack_brain.network.presets import preset
from jack_contract.contract import Contract
from jack_contract.errors import JackError
from jack_trainer import progress_file
from jack_trainer.display import Display, Scene
from jack_trainer.files import write_file, write_json
from jack_trainer.live_graph import INTERRUPTED, OK
from jack_trainer.log import Log
from jack_trainer.rl.episodes import EpisodeLog
from jack_trainer.rl.ppo import PPO, PPOConfig
from jack_trainer.rl.reinforce import Reinforce, ReinforceConfig
from jack_trainer.session import Interrupts
from jack_trainer.tasks.environment import Environment
from jack_trainer.tasks.gymnasium_task import make_task

WEIGHTS = "weights.safetensors"

#: For a task that nobody has looked at yet. Episodes are long and simulation is dear beside Jack's, so that what is
#: experienced is looked at more often.
GYMNASIUM_PPO = PPOConfig(
    rollout=128, epochs=5, minibatches=8, gamma=0.99, lam=0.95, value=0.5, rate=5e-4, rate_bounds=(5e-5, 2e-3),
    divergence=0.015, memory=0.02,
)  # fmt: skip


@dataclass(frozen=True)
class GymnasiumOptions:
    """How a training on a Gymnasium task is to be run."""

    #: name of the task, `gymnasium:` before it or not
    env: str
    #: environment steps at most
    steps: int = 1_000_000
    #: seconds of training at most; 0: as many as the steps take
    seconds: float = 0.0
    #: of everything random
    seed: int = 0
    #: copies of the task side by side
    environments: int = 16
    #: size of the brain: nano, small, base
    brain: str = "nano"
    #: standard deviation of the first actions, where 1 is the action's bound
    noise: float = 0.5
    #: a process for each copy (async), or all in one (sync)
    vectorization: str = "async"
    #: folder in which runs get their own folder
    runs: Path = Path("runs")
    #: how to learn; the type says with which learner
    learner: PPOConfig | ReinforceConfig = GYMNASIUM_PPO
    #: time between two writings of the weights [s]
    save_interval: float = 30.0

    def __post_init__(self) -> None:
        if not (0 < self.steps <= 10**12 and 0 <= self.seed < 2**63 and 0 <= self.seconds < math.inf):
            raise JackError(f"steps must be positive, seed and seconds at least 0, given: {self}.")


@dataclass(frozen=True)
class Point:
    """How far a training was after an update."""

    #: environment steps
    step: int
    #: since the first step [s]
    seconds: float
    #: mean return and length [steps] of the last episodes, NaN before the first ends
    mean_return: float
    mean_length: float


@dataclass(frozen=True)
class GymnasiumResult:
    """What came of a training."""

    #: its folder
    run: Path
    #: one point an update
    curve: list[Point]
    #: why it ended: steps, seconds, stopped
    reason: str

    @property
    def end(self) -> Point:
        """The last point."""
        return self.curve[-1]

    def steps_to(self, mean_return: float) -> int | None:
        """Environment steps until the mean return was first that high; None if it never was."""
        return next((point.step for point in self.curve if point.mean_return >= mean_return), None)


class Rewarded(Protocol):
    """What is trained with: `PPO` or `Reinforce`."""

    episodes: EpisodeLog

    @property
    def samples(self) -> int:
        """Environment steps of the last `iterate`."""
        ...

    def iterate(self) -> Mapping[str, float]:
        """Experience, and one update from it; returns what is to be logged."""
        ...


class Task(Environment, Protocol):
    """What is trained on."""

    @property
    def contract(self) -> Contract:
        """How many numbers go in and out."""
        ...

    @property
    def name(self) -> str:
        """What runs are named after."""
        ...

    def close(self) -> None:
        """End what goes on beside it."""
        ...


class GymnasiumTraining:
    """One training. Use it as a context: it has processes to end."""

    def __init__(self, options: GymnasiumOptions, task: Task | None = None) -> None:
        """Make everything ready.

        Args:
            options: how.
            task: to train on, instead of making `options.env`; closed in the end.

        Raises:
            JackError: an unknown task or size, or a task that is not for Jack's learners.
        """
        self.options = options
        torch.manual_seed(options.seed)
        # Processes are forked before the learner has threads.
        self.task: Task = task or make_task(options.env, options.environments, options.seed, options.vectorization)
        self.brain = Brain(self.task.contract, preset(options.brain), std=options.noise)
        self.learner: Rewarded = self._learner()
        #: what a training is for: of PPO the average of the late brains, see `PPO`
        self.policy = self.learner.average if isinstance(self.learner, PPO) else self.brain
        self.curve: list[Point] = []
        self.step = 0
        self.run_folder = progress_file.new_run(options.runs, self.task.name)

    def __enter__(self) -> GymnasiumTraining:
        return self

    def __exit__(self, *_: object) -> None:
        self.task.close()

    def run(
        self, should_stop: Callable[[], bool] = lambda: False, watch: Callable[[Point], None] = lambda point: None
    ) -> GymnasiumResult:
        """Train until steps or seconds are used up or somebody says stop; saves now and then, and in the end."""
        options, begun = self.options, time.monotonic()
        saved, reason = begun, ""
        with Log(self.run_folder) as log:
            while not reason:
                self._iterate(log, begun)
                watch(self.curve[-1])
                reason = self._over(should_stop)
                if reason or time.monotonic() - saved >= options.save_interval:
                    self.save()
                    saved = time.monotonic()
        return GymnasiumResult(self.run_folder, self.curve, reason)

    def save(self) -> None:
        """Write the weights, and then what they are of."""
        state = {name: tensor.contiguous() for name, tensor in self.policy.state_dict().items()}
        story = {
            "options": self.options,
            "learner": type(self.learner).__name__,
            "contract": self.task.contract.to_dict(),
            "versions": {name: version(name) for name in ("gymnasium", "numpy", "torch")},
            "curve": [list(asdict(point).values()) for point in self.curve],
        }
        write_file(self.run_folder / WEIGHTS, save(state))
        write_json(self.run_folder / progress_file.RUN, story)

    def scene(self, point: Point) -> Scene:
        """What there is to be seen, up to whichever of steps and seconds is used up first."""
        options, speed, robot = self.options, point.step / point.seconds, self.task.contract.robot
        total = min(options.steps, round(options.seconds * speed)) if options.seconds else options.steps
        return Scene(
            phase=self.task.name,
            step=point.step,
            total_steps=max(total, 1),
            steps_per_second=speed,
            mean_return=point.mean_return,
            mean_episode_length=point.mean_length * robot.control_period,
            remaining=max(0, total - point.step) / speed,
        )

    def _learner(self) -> Rewarded:
        config, brain, task, seed = self.options.learner, self.brain, self.task, self.options.seed
        if isinstance(config, ReinforceConfig):
            return Reinforce(brain, task, config, seed)
        return PPO(brain, task, config, seed)

    def _iterate(self, log: Log, begun: float) -> None:
        """One update, one point on the curve."""
        stats = self.learner.iterate()
        self.step += self.learner.samples
        episodes = self.learner.episodes
        point = Point(self.step, time.monotonic() - begun, episodes.mean_return, episodes.mean_length)
        self.curve.append(point)
        log.add(self.step, {"return": point.mean_return, "length": point.mean_length}, "episode")
        log.add(self.step, episodes.terms, "reward")
        log.add(self.step, {"seconds": point.seconds}, "time")
        log.add(self.step, stats, type(self.learner).__name__.lower())

    def _over(self, should_stop: Callable[[], bool]) -> str:
        """Why the training is over; empty if it is not."""
        if should_stop():
            return "stopped"
        if self.step >= self.options.steps:
            return "steps"
        return "seconds" if 0 < self.options.seconds <= self.curve[-1].seconds else ""


def load_weights(brain: Brain, run: Path) -> None:
    """Give a brain the weights that a training on the same task has saved.

    Raises:
        JackError: they are not there, damaged, or of another task or size.
    """
    try:
        brain.load_state_dict(load((run / WEIGHTS).read_bytes()))
    except (OSError, SafetensorError, RuntimeError) as error:
        raise JackError(f"{run / WEIGHTS} does not fit this brain: {str(error).splitlines()[0]}") from error


def train_gymnasium(options: GymnasiumOptions) -> int:
    """Train until it is done or Ctrl-C comes, and show how it goes; returns the exit code.

    Raises:
        JackError: an unknown task or size, or a task that is not for Jack's learners.
    """
    with Interrupts() as interrupts, Display() as display:
        display.show(Scene(note="loading"))
        with GymnasiumTraining(options) as training:
            result = training.run(lambda: interrupts.came, lambda point: display.show(training.scene(point)))
        end = result.end
        told = f"{end.step:,} steps in {end.seconds:.0f} s, mean return {end.mean_return:.1f}"
        display.say(told, "bold green")
        display.say(f"  weights      {result.run / WEIGHTS}")
        display.say(f"  curves       tensorboard --logdir {result.run}")
    return INTERRUPTED if interrupts.came else OK
