"""Episodes in a row with a person in front: each from a fresh stand, driven by a script, marked, and told."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol, cast

import numpy as np
from rich import box
from rich.table import Table

from jack_contract.arrays import Array
from jack_contract.errors import JackError
from jack_launch.description import NodeSpec
from jack_launch.graphs import DEPLOY, named_policy
from jack_trainer.display import Display
from jack_trainer.imitation.facts import Mark, complaints, read_facts
from jack_trainer.imitation.topics import CAMERA, TOPICS
from jack_trainer.live_graph import FAILED, INTERRUPTED, OK
from jack_trainer.session import STANDING, Session

#: How long he may take to get on his feet, and the recorder to be there or to close a bag [s].
STAND_PATIENCE, PATIENCE = 60.0, 15.0
SCRIPTED, NOBODY = "scripted", "none"
OPERATORS = (SCRIPTED, NOBODY)


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
    #: of each episode; 0: until Ctrl-C [s]
    seconds: float
    #: what he is asked to do, in words
    instruction: str = ""
    #: who drives
    operator: str = SCRIPTED
    #: of the commands and starting poses; each episode has its own
    seed: int = 0


class RecorderConsole(Protocol):
    """What is asked of the recorder and of the simulation."""

    #: RecorderStatus
    status: Any
    outcome: EpisodeOutcome | None

    def ready(self) -> bool:
        """Whether the recorder takes goals and marks."""
        ...

    def reset(self, seed: int) -> bool:
        """Ask that the robot is put back to its start; whether anybody is there to do it."""
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


@dataclass
class Operator:
    """Asks for another random velocity every few seconds, as the lessons do."""

    draw: Callable[[], Array]
    #: between two commands [s]
    interval: float
    drive: Callable[[Sequence[float]], None]
    asked: Array = field(default_factory=lambda: np.zeros(3))
    _due: float = 0.0

    def proceed(self, now: float) -> None:
        """A moment passes: it is `now` [s]."""
        if now >= self._due:
            self.asked, self._due = self.draw(), now + self.interval
            self.drive(self.asked.tolist())


def scripted(drive: Callable[[Sequence[float]], None], seed: int) -> Operator:
    """An operator whose commands are those of the walking exam."""
    from jack_trainer.tasks.lessons import WALK_EXAM, random_command

    random = np.random.default_rng(seed)
    return Operator(lambda: random_command(random), WALK_EXAM.command_interval, drive)


def graph(
    plan: Plan, given: Mapping[str, str], bags: Path, robot: str = "jack", camera: bool = True
) -> tuple[NodeSpec, ...]:
    """The nodes that a plan needs: a recorder, and with a scripted operator a simulated Jack and his brain.

    Args:
        plan: what is to be recorded.
        given: policy, runs and namespace, as `DEPLOY` takes them.
        bags: folder of the episodes.
        robot: whose topics are recorded.
        camera: whether with pictures.

    Raises:
        JackError: numbers that make no sense, or no policy to drive him with.
    """
    if plan.episodes < 1 or not 0.0 <= plan.seconds < math.inf:
        raise JackError(
            f"episodes is {plan.episodes} and seconds {plan.seconds}; allowed: 1 or more, and 0 or more."
        )
    names = tuple(topic.name for topic in TOPICS if camera or topic.name not in CAMERA)
    recorder = NodeSpec(
        "jack_trainer",
        "recorder_node",
        "recorder",
        given["namespace"],
        {"folder": str(bags.absolute()), "robot": robot, "topics": names},
        required=True,
    )
    if plan.operator != SCRIPTED:
        return (recorder,)
    if named_policy(given["policy"], Path(given["runs"])) is None:
        raise JackError("There is no policy to drive him with. Make one with ./jack train walk.")
    return (*DEPLOY.nodes({**given, "sim": "true"}), recorder)


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
    for index in range(plan.episodes):
        session.note = f"episode {index + 1} of {plan.episodes}"
        try:
            outcome = _Take(session, recorder, plan, index).record(f"{first}-{index:03d}")
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

    def record(self, name: str) -> EpisodeOutcome:
        """Record it, and say how it went.

        Raises:
            JackError: he does not get on his feet, or the recorder does not answer.
        """
        script = self.plan.operator == SCRIPTED
        if script:
            self._stand()
        recorder = self.recorder
        recorder.record(name, 0.0 if script else self.plan.seconds, self.plan.instruction)
        self._wait(lambda: recorder.begun() or recorder.outcome is not None, "begin an episode")
        fell = self._drive() if script else self._watch()
        if recorder.outcome is None:
            if script and not self.session.interrupted():
                recorder.mark(Mark.FAILURE if fell else Mark.SUCCESS, "fell" if fell else "")
                self._wait(recorder.answered, "take a mark")
            recorder.cancel()
            self._close()
        return recorder.outcome or EpisodeOutcome(False, "The recorder did not close the bag in time.")

    def _stand(self) -> None:
        """A fresh stand: back to the start, let down, on his own feet."""
        session, sight = self.session, self.session.console.sight
        session.console.drive((0.0, 0.0, 0.0))
        ready = session.until(lambda: self.recorder.reset(self._seed), PATIENCE)
        ready = ready and session.until(lambda: self.recorder.answered() and sight.gantry != STANDING, PATIENCE)
        if not ready or not session.until(lambda: sight.gantry == STANDING, STAND_PATIENCE):
            raise JackError(
                f"He was not on his feet within {STAND_PATIENCE:g} s; the logs of sim and brain say why."
            )

    def _drive(self) -> bool:
        """Drive him until the time is over or he falls; whether he fell."""
        session, begun = self.session, time.monotonic()
        operator = scripted(session.console.drive, self._seed)

        def over() -> bool:
            now = time.monotonic()
            operator.proceed(now)
            self._show(", asked " + ", ".join(f"{number:+.2f}" for number in operator.asked))
            late = 0.0 < self.plan.seconds <= now - begun
            return late or self._fallen or self.recorder.outcome is not None

        session.until(over)
        return self._fallen

    def _watch(self) -> bool:
        """Let another graph do what it does, until the time is over."""

        def over() -> bool:
            self._show("")
            return self.recorder.outcome is not None

        self.session.until(over)
        return False

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
        return self.plan.seed * 1_000 + self.index + 1

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
