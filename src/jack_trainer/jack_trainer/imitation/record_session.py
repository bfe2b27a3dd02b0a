"""Episodes in a row with a person in front: each from a fresh stand, driven by somebody, marked, and told."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import repeat
from pathlib import Path
from typing import Any, Protocol, cast

from rich import box
from rich.table import Table

from jack_contract.errors import JackError
from jack_launch.description import NodeSpec
from jack_launch.graphs import DEPLOY, TABLETOP, named_policy
from jack_trainer.display import Display
from jack_trainer.imitation.facts import Mark, complaints, read_facts
from jack_trainer.imitation.operators import (
    EXPERT,
    NOBODY,
    SCRIPTED,
    SEEDS,
    Attempt,
    Deed,
    deeds,
    require_known,
    scripted,
)
from jack_trainer.imitation.topics import CAMERA, TOPICS
from jack_trainer.live_graph import FAILED, INTERRUPTED, OK
from jack_trainer.session import STANDING, Session

#: How long he may take to get on his feet, and the recorder to be there or to close a bag [s].
STAND_PATIENCE, PATIENCE = 60.0, 15.0
#: What is recorded of an expert besides, as the recorder's parameter has it; what it said before is of no episode.
EXPERT_TOPICS = tuple(f"{topic}:std_msgs/msg/String:reliable" for topic in ("expert/status", "sim/table"))
#: What went wrong with who fell.
FELL = "fell"


@dataclass(frozen=True)
class EpisodeOutcome:
    """How an episode ended."""

    success: bool
    message: str
    #: folder of the bag; empty where there is none
    path: str = ""


@dataclass(frozen=True)
class Plan:
    """What is to be recorded."""

    episodes: int
    #: of each episode; 0: until Ctrl-C; what the expert is told takes as long as it takes [s]
    seconds: float
    #: what he is asked to do, in words
    instruction: str = ""
    #: who drives
    operator: str = SCRIPTED
    #: of commands, tables and starting poses; each episode has its own
    seed: int = 0


class RecorderConsole(Protocol):
    """What is asked of the recorder, of the simulation and of the expert."""

    #: RecorderStatus
    status: Any
    #: what the expert said last
    said: str
    outcome: EpisodeOutcome | None

    def ready(self) -> bool:
        """Whether the recorder takes goals and marks."""
        ...

    def reset(self, seed: int) -> bool:
        """Ask that the robot is put back to its start; whether anybody is there to do it."""
        ...

    def tell(self, sentence: str) -> None:
        """Say what is to be done; nothing: that he is to stand."""
        ...

    def mark(self, mark: Mark, note: str) -> None:
        """Say how the episode goes."""
        ...

    def answered(self) -> bool:
        """Whether the last question was answered."""
        ...

    def record(self, name: str, seconds: float, instruction: str) -> None:
        """Begin an episode."""
        ...

    def begun(self) -> bool:
        """Whether it is being recorded."""
        ...

    def cancel(self) -> None:
        """Ask that it ends."""
        ...


def graph(
    plan: Plan, given: Mapping[str, str], bags: Path, robot: str = "jack", camera: bool = True
) -> tuple[NodeSpec, ...]:
    """The nodes that a plan needs: a recorder, and a simulated Jack with his brain, or with the expert at a table.

    Args:
        plan: what is to be recorded.
        given: policy, runs and namespace, as `DEPLOY` takes them.
        bags: folder of the episodes.
        robot: whose topics are recorded.
        camera: whether with pictures.

    Raises:
        JackError: numbers that make no sense, no policy to drive him with, or an instruction that the expert does
            not know.
    """
    if plan.episodes < 1 or not 0.0 <= plan.seconds < math.inf:
        raise JackError(
            f"episodes is {plan.episodes} and seconds {plan.seconds}; allowed: 1 or more, and 0 or more."
        )
    names = tuple(topic.name for topic in TOPICS if camera or topic.name not in CAMERA)
    names += EXPERT_TOPICS if plan.operator == EXPERT else ()
    recorder = NodeSpec(
        "jack_trainer",
        "recorder_node",
        "recorder",
        given["namespace"],
        {"folder": str(bags.absolute()), "robot": robot, "topics": names},
        required=True,
    )
    if plan.operator == NOBODY:
        return (recorder,)
    policy = named_policy(given["policy"], Path(given["runs"]))
    if policy is None:
        raise JackError("There is no policy to drive him with. Make one with ./jack train walk.")
    if plan.operator == SCRIPTED:
        return (*DEPLOY.nodes({**given, "sim": "true"}), recorder)
    if plan.instruction:
        require_known(plan.instruction)
    legs = {"policy": str(policy.absolute())}
    expert = NodeSpec("jack_trainer", "expert_node", "expert", given["namespace"], legs, required=True)
    table = DEPLOY.nodes({**given, "sim": "true", "scene": TABLETOP, "driver": "false"})
    return (*(spec for spec in table if spec.name != "brain"), expert, recorder)


def record(session: Session, plan: Plan) -> int:
    """Record the episodes of a plan in a graph that runs; returns the exit code."""
    from jack_trainer.recording_console_node import RecordingConsole  # the graph is there: ROS may be loaded

    return record_all(session, RecordingConsole(cast(Any, session.console)), plan)


def record_all(session: Session, recorder: RecorderConsole, plan: Plan) -> int:
    """Record the episodes of a plan; returns the exit code."""
    session.note = "waiting for the recorder"
    if not session.until(recorder.ready, PATIENCE):
        session.display.say(f"The recorder was not there within {PATIENCE:g} s; its log says why.", "red")
        return FAILED
    first, paths, code = time.strftime("%Y%m%d-%H%M%S"), [], OK
    told = deeds(plan.seed, plan.instruction) if plan.operator == EXPERT else repeat(None)
    for index, deed in zip(range(plan.episodes), told, strict=False):
        session.note = f"episode {index + 1} of {plan.episodes}"
        try:
            outcome = _Take(session, recorder, plan, index, deed).record(f"{first}-{index:03d}")
        except JackError as error:
            outcome = EpisodeOutcome(False, str(error))
        if outcome.success:
            paths.append(Path(outcome.path))
        else:
            session.display.say(outcome.message, "red")
            code = FAILED
            break
        if session.interrupted():
            code = INTERRUPTED
            break
    if paths:
        tell(session.display, paths)
        session.display.say(f"  bags         {paths[0].parent}")
    return code


@dataclass
class _Take:
    """One episode of a plan."""

    session: Session
    recorder: RecorderConsole
    plan: Plan
    index: int
    #: what the expert is told; None of anybody else
    deed: Deed | None

    def record(self, name: str) -> EpisodeOutcome:
        """Record it, and say how it went.

        Raises:
            JackError: he does not get on his feet, or the recorder does not answer.
        """
        recorder, plan, deed = self.recorder, self.plan, self.deed
        simulated = plan.operator != NOBODY
        if simulated:
            self._stand()
        instruction = deed.sentence if deed else plan.instruction
        recorder.record(name, 0.0 if simulated else plan.seconds, instruction)
        self._wait(lambda: recorder.begun() or recorder.outcome is not None, "begin an episode")
        trouble = self._teach(deed) if deed else self._drive() if simulated else self._watch()
        if recorder.outcome is None:
            if simulated and not self.session.interrupted():
                recorder.mark(Mark.FAILURE if trouble else Mark.SUCCESS, trouble)
                self._wait(recorder.answered, "take a mark")
            recorder.cancel()
            self._close()
        return recorder.outcome or EpisodeOutcome(False, "The recorder did not close the bag in time.")

    def _stand(self) -> None:
        """A fresh stand: back to the start, let down, on his own feet."""
        session, sight = self.session, self.session.console.sight
        if self.deed:
            self.recorder.tell("")
        else:
            session.console.drive((0.0, 0.0, 0.0))
        ready = session.until(lambda: self.recorder.reset(self._seed), PATIENCE)
        ready = ready and session.until(lambda: self.recorder.answered() and sight.gantry != STANDING, PATIENCE)
        if not ready or not session.until(lambda: sight.gantry == STANDING, STAND_PATIENCE):
            raise JackError(
                f"He was not on his feet within {STAND_PATIENCE:g} s; the logs of sim and "
                f"{'expert' if self.deed else 'brain'} say why."
            )

    def _drive(self) -> str:
        """Drive him until the time is over or he falls; what went wrong, or nothing."""
        session, begun = self.session, time.monotonic()
        operator = scripted(session.console.drive, self._seed)

        def over() -> bool:
            """Whether the time is over, or he fell."""
            now = time.monotonic()
            operator.proceed(now)
            self._show(", asked " + ", ".join(f"{number:+.2f}" for number in operator.asked))
            late = 0.0 < self.plan.seconds <= now - begun
            return late or self._fallen or self.recorder.outcome is not None

        session.until(over)
        return FELL if self._fallen else ""

    def _teach(self, deed: Deed) -> str:
        """Tell the expert what to do, until it is done or takes too long; what went wrong, or nothing."""
        recorder, attempt = self.recorder, Attempt(deed, time.monotonic())
        recorder.tell(deed.sentence)

        def over() -> bool:
            """Whether it is done, too late, or he fell."""
            self._show(f", told '{deed.sentence}'")
            ended = attempt.over(time.monotonic(), recorder.said)
            return ended or self._fallen or recorder.outcome is not None

        self.session.until(over)
        late = "" if attempt.done else f"not done within {attempt.patience:g} s; the expert: {recorder.said}"
        return FELL if self._fallen else late

    def _watch(self) -> str:
        """Let another graph do what it does, until the time is over."""

        def over() -> bool:
            self._show("")
            return self.recorder.outcome is not None

        self.session.until(over)
        return ""

    def _show(self, more: str) -> None:
        status = self.recorder.status
        told = f"{sum(status.recorded):,} messages, {sum(status.dropped):,} dropped" if status else ""
        elapsed = f"{status.elapsed:.0f} s, " if status else ""
        self.session.note = f"episode {self.index + 1} of {self.plan.episodes}: {elapsed}{told}{more}"

    @property
    def _fallen(self) -> bool:
        return self.session.console.sight.gantry != STANDING

    @property
    def _seed(self) -> int:
        """Its own, and never 0: that is the same pose each time."""
        return self.deed.seed if self.deed else self.plan.seed * SEEDS + self.index + 1

    def _wait(self, condition: Callable[[], bool], what: str) -> None:
        if not self.session.until(condition, PATIENCE) and not self.session.interrupted():
            raise JackError(f"The recorder did not {what} within {PATIENCE:g} s; its log says why.")

    def _close(self) -> None:
        """Wait until the bag is closed, whoever wants to leave."""
        deadline = time.monotonic() + PATIENCE
        while self.recorder.outcome is None and time.monotonic() < deadline:
            self.session.tick()


def tell(display: Display, paths: Sequence[Path]) -> None:
    """Print a table of episodes, and why one is not fit for training."""
    shown = Table(title="Episodes", box=box.SIMPLE_HEAD)
    shown.add_column("episode", no_wrap=True)
    for column in ("seconds", "messages", "dropped"):
        shown.add_column(column, justify="right")
    for column in ("gaps", "mark", "training"):
        shown.add_column(column)
    reasons = []
    for path in paths:
        facts = read_facts(path)
        said = complaints(facts)
        numbers = [f"{facts.duration:.1f}", f"{facts.recorded:,}", f"{facts.dropped:,}"]
        words = ["yes" if facts.gaps else "no", str(facts.mark), "not fit" if said else "fit"]
        shown.add_row(path.name, *numbers, *words)
        reasons += [f"{path.name} is not fit for training: {'; '.join(said)}"] if said else []
    display.console.print(shown)
    for line in reasons:
        display.say(line)
