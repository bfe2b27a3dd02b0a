"""What a phase must not cost: every earlier skill is scored again, by the exam that it was passed with.

Whoever learns something new on the same weights may unlearn the old, and nothing in what he is rewarded for now
says so. A brain that forgot is kept, so that somebody can look into it, but no robot gets it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from itertools import takewhile
from math import sqrt
from pathlib import Path

from jack_contract.gait import Beat
from jack_trainer import transcript
from jack_trainer.evaluate import Evaluation
from jack_trainer.phases import Phase, phase
from jack_trainer.tasks.lessons import LocomotionConfig, TableExam, at_beat
from jack_trainer.transcript import Entry, Examined, Score, Transcript

#: Who fell more often than that could not do it yet: chance decides how often he does, and nothing is lost.
ABLE = 0.5
#: How many fewer of the episodes may end on his feet, as a share of all.
SURVIVAL = 0.02
#: How much more he may err where he is told to go, as a share of what he erred by.
TRACKING = 0.10
#: An exam of 100 episodes errs by as much as may be lost: where it cannot tell, one of so many decides.
SURE = 400
#: It cannot tell what is nearer to what is allowed than so many standard errors.
_DOUBT = 2.0
#: That of a root mean square error over one episode, as a share of it; measured.
_ERROR_SPREAD = 0.4
#: Shares of episodes are sums of whole ones: what is lost is not more than allowed for being rounded.
_ROUNDING = 1e-9
#: Lives through an exam: what came of it.
Exam = LocomotionConfig | TableExam
#: Lets him, as he is by now, live through so many episodes of one; at a table it has its own number of trials.
Examiner = Callable[[Exam, int], Evaluation]
_EPISODES = 100


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
            examine: holds an exam of him as he is then.
        """
        self._run, self._taught, self._examine = run, taught, examine
        self._transcript, self.entry, self._passed = told, entry, False

    def begin(self) -> None:
        """Write down what he is to be taught, and how well he can what he was taught before.

        What nobody examined is examined now, and what he was taught last in so many episodes that it is sure.

        Raises:
            JackError: the disk does not take it.
        """
        if self._transcript.entry(self._taught.name) is not self.entry:
            self._transcript.enter(self.entry)
        due = self.unmeasured
        for other in self._transcript.entries:
            if other.phase in due:
                task = exam_of(phase(other.phase), phase(other.phase), other.beat)
                other.scores[other.phase] = scored(self._examine(task, due[other.phase]))
        self._note(ended="")

    @property
    def unmeasured(self) -> dict[str, int]:
        """Of which skills an exam is due before he is taught anything, and of how many episodes."""
        before = list(takewhile(lambda other: other.phase != self._taught.name, self._transcript.entries))
        due = {other.phase: _EPISODES for other in before if other.phase not in other.scores}
        last = before[-1].scores.get(before[-1].phase) if before else None
        if last is not None and last.survival >= ABLE and not _is_sure(last):
            due[before[-1].phase] = SURE
        return due

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

        What an exam cannot tell is asked again, in more episodes.

        Args:
            step: environment steps that he has learnt from.
            beat: that he walks at; None: the contract's.

        Returns:
            What came of the exam of the phase.
        """
        skills = [self._taught, *map(phase, self.skills)]
        tasks = {skill.name: exam_of(skill, self._taught, beat) for skill in skills}
        held = {task: self._examine(task, _EPISODES) for task in dict.fromkeys(tasks.values())}  # two may be alike
        doubted = [
            tasks[name]
            for name, before in self.skills.items()
            if in_doubt(phase(name), before, scored(held[tasks[name]]))
        ]
        held |= {task: self._examine(task, SURE) for task in dict.fromkeys(doubted)}
        own = held[tasks[self._taught.name]]
        self._passed = self._taught.passes(own)
        self.entry.step, self.entry.beat = step, beat
        self.entry.scores = {name: scored(held[tasks[name]]) for name in (*self.skills, self._taught.name)}
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
    if skill.table is not None:
        return skill.table
    exam = at_beat(skill.exam, beat)
    return replace(exam, alarm=exam.episode if taught.exam.alarm else 0.0)


def forgotten(skills: Mapping[str, Score], now: Mapping[str, Score]) -> list[str]:
    """What was lost of each skill and must not be, a line each; empty if he forgot nothing.

    Args:
        skills: as they were when each phase was over.
        now: as they are.
    """
    able = {name: before for name, before in skills.items() if before.survival >= ABLE}
    return [line for name, before in able.items() for line in _lost(phase(name), before, now[name])]


def in_doubt(skill: Phase, before: Score, now: Score) -> bool:
    """Whether chance may have decided if too much of a skill was lost; not where both exams were long.

    Args:
        skill: which.
        before: as it was when its phase was over.
        now: as it is.
    """
    if before.survival < ABLE or _is_sure(now):
        return False
    # Laplace's estimate: even of 100 of 100 one may fall the next time
    share = (before.survived + now.survived + 1) / (before.episodes + now.episodes + 2)
    scale = sqrt(1 / before.episodes + 1 / now.episodes)
    lost = before.survival - now.survival - SURVIVAL
    if abs(lost) < _DOUBT * scale * sqrt(share * (1 - share)):
        return True
    if lost > 0.0 or not skill.follows:
        return False
    return any(
        abs(error - (1 + TRACKING) * then) < _DOUBT * scale * _ERROR_SPREAD * then
        for _, then, error in _errors(before, now)
    )


def _is_sure(score: Score) -> bool:
    """Whether an exam was long; that at a table has its own length."""
    return score.episodes >= SURE or bool(score.done)


def _errors(before: Score, now: Score) -> tuple[tuple[str, float, float], ...]:
    """What he erred by and errs by, each with its unit."""
    return (
        ("m/s", before.velocity_error, now.velocity_error),
        ("rad/s", before.yaw_rate_error, now.yaw_rate_error),
    )


def _lost(skill: Phase, before: Score, now: Score) -> list[str]:
    lines: list[str] = []
    if before.survival - now.survival > SURVIVAL + _ROUNDING:
        lines.append(
            f"{skill.name}: {now.survival:.0%} of the episodes end on his feet, {before.survival:.0%} did "
            f"(allowed: {SURVIVAL:.0%} less)"
        )
    for unit, then, error in _errors(before, now) if skill.follows else ():
        if not error <= then * (1.0 + TRACKING) + _ROUNDING:
            lines.append(
                f"{skill.name}: he errs by {error:.3f} {unit}, it was {then:.3f} (allowed: {TRACKING:.0%} more)"
            )
    return lines
