"""A training from the first step to the last: experience, updates, checkpoints, policies, a log to look at."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from jack_brain.network.brain import Brain
from jack_brain.network.export import PolicyExporter
from jack_brain.network.presets import BrainSize, preset
from jack_contract.contract import Contract, default_contract
from jack_contract.errors import JackError
from jack_sim.batch import BatchWorld
from jack_sim.randomization import Randomization
from jack_sim.scene import TRAINING, load_model
from jack_trainer import __version__, breakdown, progress_file
from jack_trainer import checkpoint as storage
from jack_trainer.evaluate import Evaluation, evaluate
from jack_trainer.files import write_json
from jack_trainer.log import Log
from jack_trainer.phases import Phase, phase
from jack_trainer.rl.acting import actor
from jack_trainer.rl.ppo import PPO, BreakdownError, UpdateStats
from jack_trainer.tasks.lessons import LocomotionConfig
from jack_trainer.tasks.locomotion import Locomotion
from jack_trainer.training import Listener, PolicyFile, Progress, TrainOptions, TrainResult

#: From this age on the time between two exams grows with a training [s]: an exam takes 10 s of it.
_YOUNG = 120.0
#: Makes what learns: for a contract, of a size, with the standard deviation of its actions at the start.
Network = Callable[[Contract, BrainSize, float], Brain]


class School:
    """One run of one phase."""

    def __init__(
        self,
        options: TrainOptions,
        listener: Listener,
        *,
        contract: Contract | None = None,
        lesson: Phase | None = None,
        network: Network = Brain,
    ) -> None:
        """Make everything ready; a run that is resumed goes on where its newest checkpoint is.

        Args:
            options: how it is to be run.
            listener: who is told how it goes.
            contract: another than Jack's; for comparisons, as the two that follow.
            lesson: another than the phase of that name.
            network: another than the brain, with all that the trainer uses of one.

        Raises:
            JackError: an unknown phase or size, or nothing to resume.
        """
        self.options, self.listener = options, listener
        self.phase = lesson or phase(options.phase)
        self.total = options.steps or self.phase.steps
        torch.manual_seed(options.seed)
        self.contract = contract or default_contract()
        self.brain = network(self.contract, preset(options.brain), self.phase.noise)
        world = BatchWorld(load_model(TRAINING), self.contract.robot, options.environments)
        self.environment = Locomotion(world, self.contract, self._task(), options.seed)
        self.ppo = PPO(self.brain, self.environment, self.phase.ppo, options.seed)
        self.step = self.update = 0
        self.seconds = 0.0
        self.newest: Path | None = None
        self._speed = 0.0
        self._progress: Progress | None = None
        self._last_exam = ""
        self.run_folder = options.resume or progress_file.new_run(options.runs, options.phase)
        self._checkpoints = self.run_folder / "checkpoints"
        if options.resume is not None:
            self._restore(storage.newest_checkpoint(self._checkpoints))
        self._exporter = PolicyExporter(self.ppo.average, command=True)

    def run(self, should_stop: Callable[[], bool] = lambda: False) -> TrainResult:
        """Train until the phase is passed, its steps are used up, or somebody says stop; checkpoints last."""
        self._save_options()
        log = Log(self.run_folder, purge_step=self.step + 1)
        saved, reason, evaluation = self.seconds, "steps", None
        examined, begun = self.seconds, time.monotonic() - self.seconds
        with log:
            while self.step < self.total:
                if should_stop():
                    reason = "stopped"
                    break
                self._log(log, self._iterate())
                evaluation = None  # what was found before is of another policy
                if self.seconds - saved >= self.options.checkpoint_interval or self.newest is None:
                    self.save()
                    saved = self.seconds
                pause = self.options.exam_interval * max(1.0, self.seconds / _YOUNG)
                if self.seconds - examined >= pause and self._looks_passed():
                    evaluation = self._evaluate(log)
                    if self.phase.surely_passes(evaluation):
                        reason = "passed"
                        break
                    examined = time.monotonic() - begun
                self.seconds = time.monotonic() - begun
            if reason == "steps":
                evaluation = evaluation or self._evaluate(log)
                reason = "passed" if self.phase.passes(evaluation) else "steps"
        self.seconds = time.monotonic() - begun
        newest = self.save()
        if self._progress is not None:
            progress_file.write(self.run_folder, self._progress, exam=self._last_exam, ended=reason)
        return TrainResult(
            run=self.run_folder,
            checkpoint=newest,
            policy=newest / storage.POLICY,
            step=self.step,
            mean_return=self.ppo.episodes.mean_return,
            seconds=self.seconds,
            survival=evaluation.survival if evaluation else None,
            reason=reason,
        )

    def _task(self) -> LocomotionConfig:
        task = self.phase.task
        pushes = {name: getattr(task.randomization, name) for name in ("push_speed", "push_interval")}
        return replace(task, randomization=replace(Randomization.named(self.options.randomization), **pushes))

    def save(self) -> Path:
        """Write a checkpoint with its policy file and tell the listener; returns its folder."""
        policy = self._exporter.export(self._provenance())
        episodes = self.ppo.episodes
        numbers = storage.Numbers(
            phase=self.phase.name,
            contract_digest=self.contract.digest,
            step=self.step,
            update=self.update,
            seconds=self.seconds,
            rate=self.ppo.rate,
            random=dict(self.environment.random.bit_generator.state),
            episode_returns=list(episodes.returns),
            episode_lengths=list(episodes.lengths),
            terms=episodes.terms,
            broken=self.environment.broken,
        )
        self.newest = storage.write_checkpoint(self._checkpoints, numbers, self._tensors(), policy)
        storage.prune(self._checkpoints, self.options.keep)
        file = self.newest / storage.POLICY
        digest = hashlib.sha256(file.read_bytes()).hexdigest()
        self.listener.on_policy(PolicyFile(file, digest, self.phase.name, self.step, self.contract.digest))
        return self.newest

    def _tensors(self) -> dict[str, Tensor]:
        environment = {name: torch.from_numpy(a) for name, a in self.environment.state_dict().items()}
        parts = {
            "brain": self.brain.state_dict(),
            "average": self.ppo.average.state_dict(),
            "optimiser": storage.flatten_optimiser(self.ppo.optimiser),
            "environment": environment,
            "exploration": {"random": self.ppo.random.get_state(), "averaged": self.ppo.averaged},
        }
        return {f"{part}.{name}": tensor for part, tensors in parts.items() for name, tensor in tensors.items()}

    def _restore(self, found: storage.Checkpoint) -> None:
        numbers = found.numbers
        if numbers.contract_digest != self.contract.digest:
            raise JackError(f"{found.path} was trained under another contract; start anew, without --resume.")
        if numbers.phase != self.phase.name:
            raise JackError(f"{found.path} is of phase '{numbers.phase}'; add --phase {numbers.phase}.")
        try:
            self.brain.load_state_dict(found.part("brain"))
            self.ppo.average.load_state_dict(found.part("average"))
        except RuntimeError as error:  # torch's own message has a line for every tensor
            raise JackError(f"{found.path} holds a brain of another size; add --brain to match.") from error
        storage.restore_optimiser(self.ppo.optimiser, found.part("optimiser"), numbers.rate)
        exploration = found.part("exploration")
        self.ppo.random.set_state(exploration["random"])
        self.ppo.averaged.copy_(exploration["averaged"])
        state = {name: tensor.numpy() for name, tensor in found.part("environment").items()}
        if len(state["age"]) != self.environment.count:
            raise JackError(f"{found.path} has {len(state['age'])} environments; add --environments to match.")
        self.ppo.observation = self.environment.load_state_dict(state)
        self.environment.random.bit_generator.state = numbers.random
        self.environment.broken = numbers.broken
        self.ppo.episodes.restore(numbers.episode_returns, numbers.episode_lengths, numbers.terms)
        self.step, self.update, self.seconds, self.newest = (
            numbers.step,
            numbers.update,
            numbers.seconds,
            found.path,
        )

    def _iterate(self) -> UpdateStats:
        begun, before = time.monotonic(), self.step
        self.ppo.progress = self.step / self.total
        try:
            stats = self.ppo.iterate()
        except BreakdownError as error:
            raise JackError(f"{error} {self._keep(error)}") from error
        self.step += self.environment.count * self.ppo.config.rollout
        self.update += 1
        took = time.monotonic() - begun
        speed = (self.step - before) / took
        self._speed = speed if self._speed == 0.0 else 0.9 * self._speed + 0.1 * speed
        return stats

    def _keep(self, error: BreakdownError) -> str:
        """Keep what led to a breakdown; returns what to do, in words."""
        folder = self.run_folder / f"breakdown-{self.step:012d}"
        facts = {"phase": self.phase.name, "seed": self.options.seed, "step": self.step, "update": self.update}
        try:
            breakdown.keep(folder, error, self.ppo, **facts)
        except OSError as full:
            return f"Go on from it with ./jack train --resume. What led to it could not be kept ({full.strerror})."
        return (
            "Go on from it with ./jack train --resume. What led to it is kept, and shown by "
            f"python -m jack_trainer.breakdown {folder}"
        )

    def _log(self, log: Log, stats: UpdateStats) -> None:
        episodes = self.ppo.episodes
        progress = Progress(
            run=self.run_folder,
            phase=self.phase.name,
            step=self.step,
            total_steps=self.total,
            update=self.update,
            steps_per_second=self._speed,
            mean_return=episodes.mean_return,
            mean_episode_length=episodes.mean_length * self.contract.robot.control_period,
            remaining=max(0, self.total - self.step) / self._speed,
            checkpoint=self.newest,
            broken=self.environment.broken,
        )
        self.listener.on_progress(progress)
        self._progress = progress
        progress_file.write(self.run_folder, progress, exam=self._last_exam)
        lived = {
            "return": progress.mean_return,
            "length_s": progress.mean_episode_length,
            "broken": progress.broken,
        }
        log.add(self.step, lived, "episode")
        log.add(self.step, {"steps_per_second": progress.steps_per_second}, "time")
        log.add(self.step, asdict(stats), "ppo")
        log.add(self.step, episodes.terms, "reward")

    def _looks_passed(self) -> bool:
        """Whether an exam is worth its time: nearly all is asked of him, and noise lets him live for a while."""
        lengths, enough = self.ppo.episodes.lengths, 0.25 * self.environment.limit
        ready = self.environment.level > 0.9 and len(lengths) == lengths.maxlen
        return self.options.until_passed and ready and float(np.mean(lengths)) > enough

    def _evaluate(self, log: Log) -> Evaluation:
        evaluation = evaluate(actor(self.ppo.average), self.contract, self.phase.exam)
        self._last_exam = f"{evaluation.survived} of {evaluation.episodes} at step {self.step:,}"
        found = {"survival": evaluation.survival, "mean_time_s": evaluation.mean_time}
        found |= {"velocity_error": evaluation.velocity_error, "yaw_rate_error": evaluation.yaw_rate_error}
        log.add(self.step, found, "evaluation")
        return evaluation

    def _provenance(self) -> dict[str, str | int | float]:
        return {
            "phase": self.phase.name,
            "step": self.step,
            "seed": self.options.seed,
            "code": __version__,
            "run": self.run_folder.name,
            "brain": self.options.brain,
            "stumble_steps": self.phase.task.alarm > 0,
        }

    def _save_options(self) -> None:
        """The resolved configuration, beside what it led to."""
        resolved = {"options": self.options, "phase": self.phase, "contract": self.contract.to_dict()}
        write_json(self.run_folder / progress_file.RUN, resolved)
