"""What a phase must not cost: every earlier skill is scored again, by the exam that it was passed with.

Whoever learns something new on the same weights may unlearn the old, and nothing in what he is rewarded for now
says so. A brain that forgot is kept, so that somebody can look into it, but no robot gets it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

from jack_contract.gait import Beat
from jack_trainer import transcript
from jack_trainer.evaluate import Evaluation
from jack_trainer.phases import Phase, phase
from jack_trainer.tasks.lessons import LocomotionConfig, TableExam
from jack_trainer.transcript import Entry, Examined, Score, Transcript

#: Who fell more often than that could not do it yet: chance decides how often he does, and nothing is lost.
ABLE = 0.5
#: How many fewer of the episodes may end on his feet, as a share of all.
SURVIVAL = 0.02
#: How much more he may err where he is told to go, as a share of what he erred by.
TRACKING = 0.10
#: Shares of episodes are sums of whole ones: what is lost is not more than allowed for being rounded.
_ROUNDING = 1e-9
#: Lives through an exam: what came of it.
Exam = LocomotionConfig | TableExam
Examiner = Callable[[Exam], Evaluation]


class Gate:
    """Between a phase and the robots: who has forgotten an earlier skill does not get through.

    Attributes:
        entry: of the phase, in the transcript of the run.
    """

    def __init__(self, run: Path, taught: Phase, told: Transcript, entry: Entry, examine: Examiner) -> None:
        """Nothing happens yet.

        Args:
            run: folder of the run.
            taught: the phase.
            told: what he was taught before; with the entry of the phase, where it goes on.
            entry: of the phase.
            examine: lets him live through an exam, as he is then.
        """
        self._run, self._taught, self._examine = run, taught, examine
        self._transcript, self.entry, self._passed = told, entry, False

    def begin(self) -> None:
        """Write down what he is to be taught; what he can already and nobody examined is examined now.

        Raises:
            JackError: the disk does not take it.
        """
        if self._transcript.entry(self._taught.name) is not self.entry:
            self._transcript.enter(self.entry)
        for other in self._transcript.entries:
            if other is not self.entry and other.phase not in other.scores:
                skill = phase(other.phase)
                other.scores[other.phase] = scored(self._examine(exam_of(skill, skill, other.beat)))
        self._note(ended="")

    @property
    def skills(self) -> dict[str, Score]:
        """What he could before this phase, and is to keep."""
        return self._transcript.skills(self._taught.name)

    @property
    def beat_before(self) -> Beat | None:
        """That he walked at before this phase; None: the contract's."""
        before = [other.beat for other in self._transcript.entries if other.phase != self._taught.name]
        return before[-1] if before else None

    @property
    def guards(self) -> bool:
        """Whether there is anything to forget."""
        return any(other.phase != self._taught.name for other in self._transcript.entries)

    @property
    def transcript(self) -> Transcript:
        """What he was and is taught."""
        return self._transcript

    def hold(self, step: int, beat: Beat | None) -> Evaluation:
        """Hold the exam of the phase, and those of all that he could before; the transcript says how it went.

        Args:
            step: environment steps that he has learnt from.
            beat: that he walks at; None: the contract's.

        Returns:
            What came of the exam of the phase.
        """
        taught, held = self._taught, dict[Exam, Evaluation]()

        def examine(skill: Phase) -> Evaluation:
            task = exam_of(skill, taught, beat)
            if task not in held:  # two phases may have the same
                held[task] = self._examine(task)
            return held[task]

        own = examine(taught)
        self._passed = taught.passes(own)
        self.entry.step, self.entry.beat = step, beat
        self.entry.scores = {name: scored(examine(phase(name))) for name in self.skills} | {
            taught.name: scored(own)
        }
        self.entry.forgot = forgotten(self.skills, self.entry.scores)
        self._note()
        return own

    def keep(self) -> None:
        """Remember the checkpoint that was examined last, which is published: it is taken if he gets worse."""
        entry = self.entry
        if self._passed and not entry.forgot:
            entry.passed = Examined(step=entry.step, beat=entry.beat, scores=entry.scores)
            self._note()

    def end(self, reason: str) -> str:
        """Say that the phase is over, and why; returns that: passed, too, where only an earlier checkpoint has."""
        entry, best = self.entry, self.entry.passed
        if best is not None and (entry.forgot or reason != "passed"):
            entry.step, entry.beat, entry.scores, entry.forgot = best.step, best.beat, best.scores, []
            reason = "passed"
        self._note(ended=reason)
        return reason

    def _note(self, ended: str | None = None) -> None:
        if ended is not None:
            self.entry.ended = ended
        transcript.write(self._run, self._transcript)


def scored(found: Evaluation) -> Score:
    """An evaluation as a transcript keeps it."""
    return Score(
        episodes=found.episodes,
        survived=found.survived,
        velocity_error=found.velocity_error,
        yaw_rate_error=found.yaw_rate_error,
        done=dict(found.done),
    )


def exam_of(skill: Phase, taught: Phase, beat: Beat | None) -> Exam:
    """The exam of a skill for who was taught something since: with his reflexes and at his beat.

    On a robot they belong to the policy: who has learnt to walk takes a step when he stumbles, whatever he is told.

    Args:
        skill: that is examined.
        taught: what he was taught last.
        beat: that he walks at; None: the contract's.
    """
    exam = skill.exam
    if skill.table is not None:
        return skill.table
    return replace(exam, alarm=exam.episode if taught.exam.alarm else 0.0, beat=beat)


def forgotten(skills: Mapping[str, Score], now: Mapping[str, Score]) -> list[str]:
    """What was lost of each skill and must not be, a line each; empty if he forgot nothing.

    Args:
        skills: as they were when each phase was over.
        now: as they are.
    """
    able = {name: before for name, before in skills.items() if before.survival >= ABLE}
    return [line for name, before in able.items() for line in _lost(phase(name), before, now[name])]


def _lost(skill: Phase, before: Score, now: Score) -> list[str]:
    lines: list[str] = []
    if before.survival - now.survival > SURVIVAL + _ROUNDING:
        lines.append(
            f"{skill.name}: {now.survival:.0%} of the episodes end on his feet, {before.survival:.0%} did "
            f"(allowed: {SURVIVAL:.0%} less)"
        )
    errors = (
        ("m/s", before.velocity_error, now.velocity_error),
        ("rad/s", before.yaw_rate_error, now.yaw_rate_error),
    )
    for unit, then, error in errors if skill.follows else ():
        if not error <= then * (1.0 + TRACKING) + _ROUNDING:
            lines.append(
                f"{skill.name}: he errs by {error:.3f} {unit}, it was {then:.3f} (allowed: {TRACKING:.0%} more)"
            )
    return lines
