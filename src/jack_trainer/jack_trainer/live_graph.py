"""A graph with a person in front of it: a training beside a live Jack, or Jack at work."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from jack_launch.description import NodeSpec
from jack_trainer.display import Display
from jack_trainer.session import GraphEndedError, Interrupts, Outcome, Session, TrainGoal
from jack_trainer.supervisor import Supervisor
from jack_trainer.write_up import WriteUp

#: Exit codes.
OK, FAILED, INTERRUPTED = 0, 1, 130


@dataclass(frozen=True)
class Standing:
    """For how long the live Jack is to stand, and what comes then."""

    #: [s]
    seconds: float
    #: whether everything lives on afterwards, until Ctrl-C
    keep: bool = False


def run_graph(specs: Sequence[NodeSpec], runs: Path, act: Callable[[Session], int]) -> int:
    """Start a graph, do something with it, and end it, whatever happens.

    Args:
        specs: its nodes.
        runs: folder of the trainings; what the nodes say goes to `log/` in it.
        act: what to do; returns the exit code.

    Returns:
        The exit code of `act`; that of a failure if a required node died.
    """
    log = runs.absolute() / "log" / time.strftime("%Y%m%d-%H%M%S")
    with Interrupts() as interrupts, Supervisor(specs, log) as supervisor, Display() as display:
        from jack_trainer.console_node import Connection  # makes threads: only once the processes are started

        display.say(f"The nodes write to {log}", "dim")
        with Connection(specs) as connection:
            session = Session(connection.node, display, connection.listen, supervisor.poll, lambda: interrupts.came)
            try:
                return act(session)
            except GraphEndedError:
                return FAILED


def train(session: Session, goal: TrainGoal, standing: Standing, report: bool = False) -> int:
    """Have Jack trained, watch him stand on what came of it, have a report made; returns the exit code."""
    outcome = session.train(goal)
    session.display.say(outcome.message, "bold green" if outcome.success else "bold red")
    interrupted = session.interrupted()
    _show_files(session.display, outcome, "./jack train --resume" if interrupted else "./jack deploy --sim")
    if interrupted:
        return INTERRUPTED
    if not outcome.policy:
        return FAILED
    stood = _watch(session, standing.seconds, Path(outcome.policy))
    if report:
        _write_up(session, Path(outcome.policy).parents[2])
    if standing.keep:
        session.display.say("He lives on until Ctrl-C.")
        session.until(lambda: False)
    return OK if stood and outcome.success else FAILED


def deploy(session: Session, policy: str, standing: Standing, walk: Sequence[float] = ()) -> int:
    """Watch Jack at work, until he stood long enough or until Ctrl-C; returns the exit code."""
    session.note = "running"
    session.display.say(f"Policy: {policy or 'whichever is published'}")
    if any(walk):
        session.console.drive(walk)
    if standing.seconds:
        return OK if _watch(session, standing.seconds) else FAILED
    session.display.say("Ctrl-C ends it.", "dim")
    session.until(lambda: False)
    return OK


def _watch(session: Session, seconds: float, policy: Path | None = None) -> bool:
    """Say whether Jack stands for so long, on this policy or on any."""
    session.note = f"watching whether he stands for {seconds:g} s"
    session.console.sight.training = None  # the bar is full: make way for the note
    stood = session.stand(policy, seconds)
    if stood >= seconds:
        session.display.say(f"Jack stood for {seconds:g} s.", "bold green")
    else:
        words = "so far" if session.interrupted() else "at best; train on: ./jack train --resume"
        session.display.say(f"Jack stood for {stood:.1f} s of {seconds:g} s {words}", "bold red")
    return stood >= seconds


def _write_up(session: Session, run: Path) -> None:
    """Have scores and report made while he lives on; Ctrl-C ends both."""
    with WriteUp(run) as work:

        def finished() -> bool:
            done, session.note = work.proceed(), work.note
            return done

        session.until(finished)
    for line in work.said:
        session.display.say(line)


def _show_files(display: Display, outcome: Outcome, next_command: str) -> None:
    if outcome.policy:
        tensorboard = Path(sys.executable).parent / "tensorboard"
        display.say(f"  policy       {outcome.policy}")
        display.say(f"  TensorBoard  {tensorboard} --logdir {Path(outcome.policy).parents[2]}")
    display.say(f"  next         {next_command}")
