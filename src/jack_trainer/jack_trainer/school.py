"""A phase from the first step to the last: experience, updates, checkpoints, policies, a log to look at."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from contextlib import closing
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from typing import Any

import torch

from jack_brain.network.brain import Brain
from jack_brain.network.export import PolicyExporter
from jack_brain.network.presets import BrainSize, preset
from jack_contract.contract import Contract, default_contract
from jack_contract.errors import JackError
from jack_contract.gait import Beat
from jack_contract.instruction import default_tokenizer
from jack_trainer import __version__, breakdown, progress_file, transcript
from jack_trainer import checkpoint as storage
from jack_trainer.diary import Diary
from jack_trainer.evaluate import Evaluation, evaluate
from jack_trainer.files import write_json
from jack_trainer.forgetting import Exam, Gate, exam_of
from jack_trainer.learner import LearningError
from jack_trainer.learners import Start, beat_of, has_learnt_all, make_learner
from jack_trainer.lineage import entry_of, require_same_sources, transcript_of
from jack_trainer.parents import read_parent
from jack_trainer.phases import Phase, phase
from jack_trainer.policy_actor import PolicyActor
from jack_trainer.rl.gaussian import widen
from jack_trainer.scene_making import shown_by_others
from jack_trainer.sources import Sources
from jack_trainer.table_exam import evaluate_at_table
from jack_trainer.tasks.lessons import TableExam
from jack_trainer.training import Listener, Progress, TrainOptions, TrainResult

#: A look has so many episodes, and they are others than those of the exam, which has `evaluate`'s own seed.
_LOOK, _OTHER_SEED = 25, 7_001
#: A look may be so much worse than an exam: who loses 3 of 100 loses 2 of 25 one time in six.
_SLACK = 0.03
#: From this age of a phase on the time between two exams grows with it [s]: an exam takes 10 s.
_YOUNG = 120.0
#: Makes what learns: for a contract, of a size, with the standard deviation of its actions at the start.
Network = Callable[[Contract, BrainSize, float], Brain]


class School:
    """One phase of a run.

    Where he was taught something before, a checkpoint is published only when an exam has shown that he has not
    forgotten it; otherwise each is at once.
    """

    def __init__(
        self,
        options: TrainOptions,
        listener: Listener,
        *,
        contract: Contract | None = None,
        lesson: Phase | None = None,
        network: Network = Brain,
        run: Path | None = None,
        parent: Path | None = None,
        sources: Sources | None = None,
    ) -> None:
        """Make everything ready; a run that is resumed goes on where its newest checkpoint is.

        Args:
            options: how it is to be run.
            listener: who is told how it goes.
            contract: another than Jack's; for comparisons.
            lesson: another than the phase of that name, or one of several.
            network: another than the brain, with all that the trainer uses of one; for comparisons.
            run: folder of the run, if there is one that this phase belongs to.
            parent: checkpoint that it begins from, even if the run is resumed; None: as the options say.
            sources: what it is learnt from besides; None: nothing.

        Raises:
            JackError: an unknown phase or size, nothing to resume, or a checkpoint that does not fit.
        """
        self.options, self.listener = options, listener
        self.phase = lesson or phase(options.phase)
        self.total = options.steps or self.phase.steps
        torch.manual_seed(options.seed)
        self.contract = contract or default_contract()
        self.run_folder = run or options.resume or progress_file.new_run(options.runs, options.phase)
        self._checkpoints = self.run_folder / "checkpoints"
        self.step = self.update = 0
        self.seconds = 0.0
        self.newest: Path | None = None
        self._speed = 0.0
        if self.phase.chunk is not None:
            kind = options.chunk or self.phase.chunk.kind
            network = partial(Brain, chunk=replace(self.phase.chunk, kind=kind))  # nothing else makes chunks
        brain = network(self.contract, preset(options.brain), self.phase.noise)
        parent = parent or (None if options.resume else options.parent)
        sources = (sources or Sources()).of(self.phase)
        self.gate = self._enrol(brain, parent, sources)
        beat, folder = self.gate.beat_before, self.run_folder / f"practice-{self.phase.name}"
        self._start = Start(brain, beat, sources, folder)
        self.learner = make_learner(self.phase, self._start, options)
        if options.resume is not None and parent is None:
            self._restore(storage.newest_checkpoint(self._checkpoints))
        self._exporter = PolicyExporter(self.learner.average, command=True)

    def run(self, should_stop: Callable[[], bool] = lambda: False) -> TrainResult:
        """Train until the phase is passed, its steps are used up, or somebody says stop; checkpoints last."""
        self._save_options()
        if due := self.gate.unmeasured:
            exams = ", ".join(f"{name} in {episodes} episodes" for name, episodes in due.items())
            self.listener.on_news(f"Before he learns, what he can is measured: {exams}.")
        self.gate.begin()
        diary = Diary(self.run_folder, self.listener, self.phase.learner, self.step)
        saved, reason, evaluation = self.seconds, "steps", None
        young = examined = self.seconds
        begun = time.monotonic() - young
        with diary, closing(self.learner):
            while self.taught < self.total and not has_learnt_all(self.learner):
                if should_stop():
                    reason = "stopped"
                    break
                self._tell(diary, self._iterate())
                evaluation = None  # what was found before is of another policy
                if self.seconds - saved >= self.options.checkpoint_interval or self.newest is None:
                    self.save()
                    saved = self.seconds
                pause = self.options.exam_interval * max(1.0, (self.seconds - young) / _YOUNG)
                if self.seconds - examined >= pause and self._is_ready():
                    evaluation, passed = self._try(diary)
                    if passed:
                        reason = "passed"
                        break
                    examined = time.monotonic() - begun
                self.seconds = time.monotonic() - begun
            if reason == "steps":
                evaluation = evaluation or self._examine(diary)
                reason = "passed" if self.phase.passes(evaluation) else "steps"
        self.seconds = time.monotonic() - begun
        return self._end(diary, reason, evaluation)

    def _end(self, diary: Diary, reason: str, evaluation: Evaluation | None) -> TrainResult:
        """Save the last checkpoint, and publish it if it may be; the phase is over, unless it was stopped."""
        newest, forgot = self.save(), ""
        survival = evaluation.survival if evaluation else None
        lacks = self.phase.shortfalls(evaluation) if evaluation else []
        if reason != "stopped":
            self._passed_on()
            reason, entry = self.gate.end(reason), self.gate.entry
            forgot = "; ".join(entry.forgot)
            if entry.step < self.step:
                newest, survival, lacks = self._go_back(entry.step), entry.scores[entry.phase].survival, []
        diary.end(reason if forgot or reason == "stopped" or self._is_last else "")
        published = storage.newest_published(self._checkpoints) or newest
        return TrainResult(
            run=self.run_folder,
            checkpoint=newest,
            policy=storage.policy_of(published),
            step=self.step,
            mean_return=self.learner.episodes.mean_return,
            seconds=self.seconds,
            survival=survival,
            reason=reason,
            forgot=forgot,
            lacks="; ".join(lacks),
        )

    def _go_back(self, step: int) -> Path:
        """Take an earlier checkpoint, which has passed; later ones are kept aside. Returns its folder."""
        self.listener.on_news(f"Step {step:,} is taken, which has passed; what he learnt later made him no better.")
        storage.set_aside(self._checkpoints, step)
        self.step = step
        return self._checkpoints / f"{step:012d}"

    @property
    def taught(self) -> int:
        """Environment steps of this phase so far."""
        return self.step - self.gate.entry.begun

    @property
    def _is_last(self) -> bool:
        """Whether no other phase follows in this run."""
        return self.phase.name not in [name.strip() for name in self.options.phase.split(",")[:-1]]

    # -- where he comes from

    def _enrol(self, brain: Brain, place: Path | None, sources: Sources) -> Gate:
        """What he was taught before, with the brain as it was when the phase began; nothing is written yet."""
        told, parent = transcript.read(self.run_folder), read_parent(place) if place else None
        entry = None if parent else told.entry(self.phase.name)
        if parent is not None:
            report = parent.teach(brain)
            if self.phase.learner == "ppo" and parent.phase != self.phase.name:
                # else he would find out nothing new
                widen(brain.log_std, self.phase.noise)
            if self.phase.chunk is not None:
                self.listener.on_news(f"Of the brain that he goes on with: {report}")
                for folder in shown_by_others(sources.scenes.values(), parent.path):
                    self.listener.on_news(
                        f"{folder} was shown on the legs of another policy. He may hold himself otherwise, and so "
                        f"see the table from elsewhere: ./jack scenes FOLDER --policy {parent.path}"
                    )
            self.step, self.seconds = parent.step, parent.seconds
            if parent.path.parent != self._checkpoints:
                told = transcript_of(parent)
        elif entry is not None:
            require_same_sources(entry, sources)
        entry = entry or entry_of(self.phase.name, parent, sources)
        return Gate(self.run_folder, self.phase, told, entry, self._evaluate)

    def _restore(self, found: storage.Checkpoint) -> None:
        numbers = found.numbers
        if numbers.contract_digest != self.contract.digest:
            raise JackError(f"{found.path} was trained under another contract; start anew, without --resume.")
        if numbers.phase != self.phase.name:
            raise JackError(f"{found.path} is of phase '{numbers.phase}'; add --phase {numbers.phase}.")
        try:
            self.learner.restore(found.tensors, numbers)
        except JackError as error:
            raise JackError(f"{found.path} does not fit: {error}") from error
        self.step, self.update, self.seconds, self.newest = (
            numbers.step,
            numbers.update,
            numbers.seconds,
            found.path,
        )

    def _save_options(self) -> None:
        """The resolved configuration, beside what it led to."""
        resolved = {"options": self.options, "phase": self.phase, "contract": self.contract.to_dict()}
        write_json(self.run_folder / progress_file.RUN, resolved)

    # -- learning

    def _iterate(self) -> Mapping[str, float]:
        begun, before = time.monotonic(), self.step
        self.learner.progress = self.taught / self.total
        try:
            stats = self.learner.iterate()
        except LearningError as error:
            facts = {"seed": self.options.seed, "step": self.step, "update": self.update}
            kept = breakdown.keep_in(self.run_folder, error, phase=self.phase.name, **facts)
            raise JackError(f"{error} {kept}") from error
        self.step += self.learner.samples
        self.update += 1
        took = time.monotonic() - begun
        speed = (self.step - before) / took
        self._speed = speed if self._speed == 0.0 else 0.9 * self._speed + 0.1 * speed
        return stats

    def _tell(self, diary: Diary, stats: Mapping[str, float]) -> None:
        episodes = self.learner.episodes
        progress = Progress(
            run=self.run_folder,
            phase=self.phase.name,
            step=self.taught,
            total_steps=self.total,
            update=self.update,
            steps_per_second=self._speed,
            mean_return=episodes.mean_return,
            mean_episode_length=episodes.mean_length * self.contract.robot.control_period,
            remaining=max(0, self.total - self.taught) / self._speed,
            checkpoint=self.newest,
            broken=self.learner.broken,
        )
        diary.update(self.step, progress, stats, episodes.terms)

    # -- exams

    def _is_ready(self) -> bool:
        """Whether a look at him is worth its time."""
        return self.options.until_passed and self.learner.ready

    def _try(self, diary: Diary) -> tuple[Evaluation | None, bool]:
        """What came of an exam, if one was worth its time, and whether he has passed.

        Who is guarded has one in any case: nothing of his is published without.
        """
        looks = self._looks_passed(diary)
        if not (looks or self.gate.guards):
            return None, False
        found = self._examine(diary)
        return found, self._passed_on() and looks and self.phase.surely_passes(found)

    def _looks_passed(self, diary: Diary) -> bool:
        """Whether a few episodes say so; others than the exam has, for of many exams one is passed by chance."""
        task = exam_of(self.phase, self.phase, self._beat)
        if isinstance(task, TableExam):
            return True
        found = evaluate(PolicyActor(self._policy()), self.contract, task, _LOOK, _OTHER_SEED)
        diary.look(self.step, found)
        return replace(self.phase, survival=self.phase.survival - _SLACK).passes(found)

    def _examine(self, diary: Diary) -> Evaluation:
        """Hold the exam of the phase, and those of all that he could before."""
        own, entry = self.gate.hold(self.step, self._beat), self.gate.entry
        diary.exam(self.step, own, {name: entry.scores[name] for name in self.gate.skills})
        if entry.forgot:
            self.listener.on_news(f"Step {self.step:,} is kept, not published: {'; '.join(entry.forgot)}")
        return own

    @property
    def _beat(self) -> Beat | None:
        """Duration of the gait cycle that he is taught to walk at by now [s]; None: the contract's."""
        return beat_of(self.learner, self._start)

    def _evaluate(self, task: Exam, episodes: int) -> Evaluation:
        if isinstance(task, TableExam):
            return evaluate_at_table(self._policy(), self.contract, task)
        return evaluate(PolicyActor(self._policy()), self.contract, task, episodes)

    def _policy(self) -> bytes:
        """The file that robots would get by now."""
        return self._exporter.export(self._provenance())

    def _passed_on(self) -> bool:
        """Publish the checkpoint of now if he has just shown that he forgot nothing; whether he has."""
        if self.gate.entry.forgot:
            return False
        if self.gate.guards:
            storage.publish(self.save())
            self.gate.keep()
            self._offer()
        return True

    # -- checkpoints

    def save(self) -> Path:
        """Write a checkpoint with its policy file, published if there is nothing to forget; returns its folder."""
        policy, guarded = self._policy(), self.gate.guards
        numbers = storage.Numbers(
            **self.learner.numbers().model_dump(),
            phase=self.phase.name,
            contract_digest=self.contract.digest,
            step=self.step,
            update=self.update,
            seconds=self.seconds,
        )
        tensors = self.learner.tensors()
        self.newest = storage.write_checkpoint(self._checkpoints, numbers, tensors, policy, held=guarded)
        taught = self.gate.transcript.entries
        spared = {entry.step for entry in taught if entry.ended} | {e.passed.step for e in taught if e.passed}
        if published := storage.newest_published(self._checkpoints):
            spared.add(int(published.name))
        storage.prune(self._checkpoints, self.options.keep, spared)
        if not guarded:
            self._offer()
        return self.newest

    def _offer(self) -> None:
        """Tell the listener of the newest policy."""
        if self.newest is not None:
            self.listener.on_policy(storage.policy_file(self.newest))

    def _provenance(self) -> dict[str, Any]:
        taught = self.gate.transcript.entries
        return {
            "phase": self.phase.name,
            "step": self.step,
            "seed": self.options.seed,
            "code": __version__,
            "run": self.run_folder.name,
            "brain": self.options.brain,
            "stumble_steps": self.phase.task.alarm > 0,
            "beat": self._beat and asdict(self._beat),
            "parent": self.gate.entry.parent,
            "bags": {k: v for entry in taught for k, v in entry.bags.items()},
            "clips": {k: v for entry in taught for k, v in entry.clips.items()},
            "scenes": {k: v for entry in taught for k, v in entry.scenes.items()},
            "words": default_tokenizer().digest if self.phase.chunk else "",
        }
