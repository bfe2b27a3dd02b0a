"""`transcript.json` in a run's folder: what he was taught, from what, and how well he did in everything after it.

Each phase of a run is an entry, the last of which may go on. Where a run has begun from another one's checkpoint,
the entries of that one come first. The scores make a matrix, phases by skills: its diagonal is what he could when a
phase was over, and what is left of it is in the rows below.
"""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from jack_contract.errors import JackError
from jack_contract.gait import Beat
from jack_trainer.files import write_json

NAME = "transcript.json"
#: A larger file is none of ours [bytes].
_MAX_BYTES = 4 << 20
#: So many bags and clips are named in words; the file has them all.
_NAMED = 4


class TranscriptError(JackError):
    """A transcript that cannot be read."""


class Strict(BaseModel):
    """Nothing unknown, and numbers that are not finite as words."""

    model_config = ConfigDict(extra="forbid", ser_json_inf_nan="strings")


class Score(Strict):
    """What came of an exam."""

    #: episodes, and those that ended on his feet
    episodes: int
    survived: int
    #: root mean square errors, see `Evaluation` [m/s], [rad/s]
    velocity_error: float = 0.0
    yaw_rate_error: float = 0.0
    #: by what he was told, the share of it that he did
    done: dict[str, float] = {}

    @property
    def survival(self) -> float:
        """Share of the episodes that ended on his feet."""
        return self.survived / max(1, self.episodes)

    def __str__(self) -> str:
        if self.done:
            return ", ".join([f"{self.survival:.0%} on his feet", *(f"{k} {v:.0%}" for k, v in self.done.items())])
        return f"{self.survival:.0%}, {self.velocity_error:.2f} m/s, {self.yaw_rate_error:.2f} rad/s"


class Examined(Strict):
    """A checkpoint that has passed the exam of its phase, and forgot nothing."""

    #: what it has learnt from [environment steps]
    step: int
    #: that he walks at; None: the contract's
    beat: Beat | None = None
    scores: dict[str, Score]


class Entry(Strict):
    """One phase."""

    phase: str
    #: what the checkpoint that it began from had learnt from [environment steps]; 0: nothing, a new brain
    begun: int = 0
    #: SHA-256 of that checkpoint's manifest; empty: a new brain
    parent: str = ""
    #: the phase that it was of
    parent_phase: str = ""
    #: what he learnt from besides: names of files by their SHA-256
    bags: dict[str, str] = {}
    clips: dict[str, str] = {}
    scenes: dict[str, str] = {}
    #: that he walks at; None: the contract's
    beat: Beat | None = None
    #: of runs from before beats had a speed; who walked at one of his own then is to be taught anew
    gait_period: None = Field(default=None, exclude=True)
    #: of the checkpoint that the scores are about [environment steps]
    step: int = 0
    #: by skill, the name of a phase: this one and the earlier ones
    scores: dict[str, Score] = {}
    #: what he forgot, a line each; such a checkpoint is not published
    forgot: list[str] = []
    #: the last checkpoint that was published and has passed: what is taken if it was better than the last one is
    passed: Examined | None = None
    #: why it ended: passed, steps; empty while it goes on
    ended: str = ""

    @property
    def state(self) -> str:
        """How it goes, in words."""
        words = {"": "is taught", "passed": "passed", "steps": "not passed"}.get(self.ended, self.ended)
        return f"{words}, forgot" if self.forgot else words

    @property
    def origin(self) -> str:
        """What it began from, in words."""
        return f"{self.parent_phase}, step {self.begun:,} ({self.parent[:8]})" if self.parent else "a new brain"

    @property
    def materials(self) -> str:
        """What he learnt from besides, in words; empty: nothing."""
        files = [f"{name} ({digest[:8]})" for digest, name in (self.bags | self.clips | self.scenes).items()]
        counts = ((len(self.bags), "bag"), (len(self.clips), "clip"), (len(self.scenes), "folder of scenes"))
        told = ", ".join(f"{count} {what}{'s' * (count > 1)}" for count, what in counts if count)
        more = ", ..." if len(files) > _NAMED else ""
        return f"{told}: {', '.join(files[:_NAMED])}{more}" if files else ""


class Transcript(Strict):
    """All of it."""

    #: 1 for this layout
    version: Literal[1] = 1
    entries: list[Entry] = []

    def entry(self, phase: str) -> Entry | None:
        """Of a phase, if he was or is taught it."""
        return next((entry for entry in self.entries if entry.phase == phase), None)

    def enter(self, entry: Entry) -> None:
        """Add an entry as the last; an earlier one of the same phase, and what came after it, is void."""
        phases = [other.phase for other in self.entries]
        if entry.phase in phases:
            del self.entries[phases.index(entry.phase) :]
        self.entries.append(entry)

    def skills(self, phase: str) -> dict[str, Score]:
        """What he could when each phase before this one was over, by its name."""
        found: dict[str, Score] = {}
        for entry in self.entries:
            if entry.phase == phase:
                break
            if entry.phase in entry.scores:
                found[entry.phase] = entry.scores[entry.phase]
        return found


def read(run: Path) -> Transcript:
    """The transcript of a run; an empty one, if it has none.

    Raises:
        TranscriptError: it is torn, or another version of Jack wrote it.
    """
    path = run / NAME
    try:
        with path.open("rb") as file:
            data = file.read(_MAX_BYTES + 1)
        if len(data) > _MAX_BYTES:
            raise TranscriptError(f"{path} has more than {_MAX_BYTES:,} bytes; it is no transcript.")
        return Transcript.model_validate_json(data)
    except FileNotFoundError:
        return Transcript()
    except OSError as error:
        raise TranscriptError(f"{path} cannot be read: {error.strerror}.") from error
    except ValidationError as error:
        wrong = error.errors(include_url=False)[0]
        raise TranscriptError(
            f"{path} is no transcript: {'.'.join(map(str, wrong['loc']))} {wrong['msg']}. Without it the run "
            f"cannot go on; begin another from one of its checkpoints: ./jack train --from CHECKPOINT."
        ) from error


def write(run: Path, transcript: Transcript) -> None:
    """Replace the transcript of a run.

    Raises:
        JackError: the disk does not take it.
    """
    write_json(run / NAME, transcript)
