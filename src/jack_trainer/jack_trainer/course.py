"""Phases one after another, in one run: each goes on with the brain that the one before it has left.

Where a run stands is in its checkpoints and its transcript, so that it can be killed at any moment and goes on: in
the middle of a phase, or, where the newest checkpoint is the last of a phase, with the next one.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from jack_brain.chunk import ChunkSpec
from jack_contract.contract import default_contract
from jack_contract.errors import JackError
from jack_trainer import checkpoint as storage
from jack_trainer import progress_file, transcript
from jack_trainer.parents import find_parent, offered
from jack_trainer.phases import Phase, sequence
from jack_trainer.school import School
from jack_trainer.sources import find_sources
from jack_trainer.table_exam import require_eyes
from jack_trainer.training import Listener, TrainOptions, TrainResult


@dataclass(frozen=True)
class _Start:
    """Where a course begins or goes on."""

    #: what is to be taught from here on
    phases: Sequence[Phase]
    #: whether the first of them is in the middle
    resumes: bool = False
    #: checkpoint that it begins from, otherwise
    parent: Path | None = None


class Course:
    """A training of one phase, or of several."""

    def __init__(self, options: TrainOptions, listener: Listener) -> None:
        """Look whether all is there that the phases need; nothing is trained or written yet.

        Raises:
            JackError: an unknown phase, missing bags, clips or scenes, nothing to go on from.
        """
        if options.resume is not None and options.parent is not None:
            raise JackError("A run that goes on has begun already: leave out --from, or --resume.")
        if options.resume is not None:
            options = _as_begun(options, options.resume)
        elif options.parent is not None:
            options = replace(options, parent=find_parent(options.parent, options.runs))
        self._options = options
        self._listener, self._run = listener, options.resume
        phases = sequence(options.phase)
        _require_in_order(phases, options.chunk)
        self._sources = find_sources(options, phases, default_contract())
        self._start = _Start(phases, parent=options.parent) if self._run is None else _where(self._run, phases)
        first = self._start.phases[0]
        if first.advanced and not self._start.resumes and self._start.parent is None:
            raise JackError(
                f"The phase '{first.name}' goes on from a brain that can do something already: put another phase "
                f"before it, as in --phases walk,{first.name}, or add --from CHECKPOINT."
            )

    def run(self, should_stop: Callable[[], bool] = lambda: False) -> TrainResult:
        """Teach until all phases are over, he has forgotten something, or somebody says stop."""
        first, *others = self._start.phases
        for path, why in self._sources.left_out:
            self._listener.on_news(f"{path.name} is not learnt from: {why}")
        school = self._school(first, self._start.parent)
        self._offer_what_there_is(school)
        result = school.run(should_stop)
        for taught in others:
            if result.reason == "stopped" or result.forgot:
                break
            self._listener.on_news(f"{taught.name} begins, with what he has learnt in {result.step:,} steps")
            self._run = result.run
            del school  # and with it its simulations
            school = self._school(taught, result.checkpoint)
            result = school.run(should_stop)
        return result

    def _school(self, taught: Phase, parent: Path | None) -> School:
        return School(
            self._options, self._listener, lesson=taught, run=self._run, parent=parent, sources=self._sources
        )

    def _offer_what_there_is(self, school: School) -> None:
        """Until an exam has shown that he forgot nothing, robots get what was published last."""
        if not school.gate.guards:
            return
        inside = storage.newest_published(school.run_folder / "checkpoints")
        found = inside or self._start.parent or self._options.parent
        if found is not None and (policy := offered(found)):
            self._listener.on_policy(policy)


def _require_in_order(phases: Sequence[Phase], chunk: str) -> None:
    """Refuse what would be found out only after a phase has been taught."""
    follows = [taught for taught in phases if taught.chunk is not None]
    if chunk:
        ChunkSpec(chunk)
        if not follows:
            raise JackError("No phase that is asked for makes action chunks: leave out --chunk.")
    if follows and phases[-1] is not follows[0]:
        raise JackError(f"Who follows sentences is taught nothing else: put {follows[0].name} last.")
    if follows:
        require_eyes(default_contract())


def _as_begun(options: TrainOptions, run: Path) -> TrainOptions:
    """A run that goes on is taught what it was begun with, where nothing else is said."""
    begun = progress_file.options(run)
    return replace(
        options,
        phase=options.phase or str(begun.get("phase", "")),
        parent=Path(str(begun["parent"])) if begun.get("parent") else None,
        bags=options.bags or _paths(begun.get("bags")),
        teacher=options.teacher or (Path(str(begun["teacher"])) if begun.get("teacher") else None),
        clips=options.clips or _paths(begun.get("clips")),
        scenes=options.scenes or _paths(begun.get("scenes")),
        chunk=options.chunk or str(begun.get("chunk", "")),
    )


def _paths(found: object) -> tuple[Path, ...]:
    return tuple(Path(str(path)) for path in found) if isinstance(found, list) else ()


def _where(run: Path, phases: Sequence[Phase]) -> _Start:
    """Where a run goes on that is to be taught these phases."""
    newest = storage.newest_checkpoint(run / "checkpoints")
    phase, names = newest.numbers.phase, [taught.name for taught in phases]
    if phase not in names:
        raise JackError(f"{newest.path} is of phase '{phase}', and {', '.join(names)} is asked for; add it.")
    index, entry = names.index(phase), transcript.read(run).entry(phase)
    over = entry is not None and bool(entry.ended) and entry.step == newest.numbers.step and not entry.forgot
    if over and index + 1 < len(phases):
        return _Start(phases[index + 1 :], parent=newest.path)
    return _Start(phases[index:], resumes=True)
