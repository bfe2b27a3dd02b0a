"""A phase in the transcript of its run: what came before it, and what it is learnt from."""

from __future__ import annotations

from jack_contract.errors import JackError
from jack_trainer import transcript
from jack_trainer.parents import Parent
from jack_trainer.sources import Sources
from jack_trainer.transcript import Entry, Transcript


def transcript_of(parent: Parent) -> Transcript:
    """What a brain was taught, up to the checkpoint or policy that is gone on from.

    Its last phase has no score unless the checkpoint is the one that was examined in the end.
    """
    phase, step, entries = parent.phase, parent.step, list[Entry]()
    last = Entry(phase=phase, step=step, beat=parent.beat, ended="steps")
    for entry in transcript.read(parent.run).entries if parent.run else ():
        if entry.phase == phase:
            examined = bool(entry.ended) and entry.step == step
            unknown = {"step": step, "scores": {}, "forgot": [], "ended": "steps"}
            last = entry if examined else entry.model_copy(update=unknown)
            break
        entries.append(entry)
    return Transcript(entries=[*entries, last])


def entry_of(phase: str, parent: Parent | None, sources: Sources) -> Entry:
    """The entry of a phase that begins."""
    entry = Entry(phase=phase)
    for what, files in sources.files.items():
        setattr(entry, what, {digest: path.name for digest, path in files.items()})
    if parent is not None:
        entry.begun, entry.parent, entry.parent_phase = parent.step, parent.digest, parent.phase
    return entry


def require_same_sources(entry: Entry, sources: Sources) -> None:
    """Refuse to go on with other bags, clips or scenes than a phase was begun with.

    Raises:
        JackError: says which are other ones.
    """
    for what, now in sources.files.items():
        then: dict[str, str] = getattr(entry, what)
        if then.keys() != now.keys():
            missing = ", ".join(name for digest, name in then.items() if digest not in now) or "none"
            new = ", ".join(path.name for digest, path in now.items() if digest not in then) or "none"
            raise JackError(
                f"The phase '{entry.phase}' began with other {what}: missing or changed are {missing}; new are "
                f"{new}. Give those that it began with, or begin anew, without --resume."
            )
