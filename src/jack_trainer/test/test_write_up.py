import os
import signal
import time
from pathlib import Path
from types import SimpleNamespace

import pytest

from jack_trainer import scorecard
from jack_trainer import write_up as module
from jack_trainer.cli import Evaluate, Report, parse
from jack_trainer.write_up import CHORES, WriteUp


@pytest.fixture
def begin(tmp_path, monkeypatch):
    """Write up a run, with a script for the commands; $command is the one that is asked for, $run the folder."""

    def make(script: str) -> WriteUp:
        program = tmp_path / "program"
        program.write_text(f'#!/bin/sh\ncommand=$3 run=$4\ncd "$run"\n{script}\n')
        program.chmod(0o755)
        monkeypatch.setattr(module, "sys", SimpleNamespace(executable=str(program)))
        run = tmp_path / "run"
        run.mkdir(exist_ok=True)
        return WriteUp(run)

    return make


def finish(work: WriteUp) -> list[str]:
    """All of it; returns what was noted on the way."""
    notes, deadline = [], time.monotonic() + 30.0
    with work:
        while not work.proceed():
            assert time.monotonic() < deadline
            notes += [] if work.note in notes else [work.note]
            time.sleep(0.01)
    return notes


def test_the_chores_are_commands_that_write_these_files():
    evaluate, report = (parse([chore.command, "some/run"]) for chore in CHORES)
    assert isinstance(evaluate, Evaluate) and evaluate.policy == Path("some/run") and evaluate.worlds
    assert isinstance(report, Report) and report.run_name == "some/run" and report.film
    assert [chore.file for chore in CHORES] == [scorecard.FILE, "report.html"]


def test_scores_come_before_the_page_that_shows_them(begin, tmp_path):
    work = begin("[ $command = evaluate ] && echo x > evaluation.json || cp evaluation.json report.html")
    assert finish(work) == [chore.note for chore in CHORES]
    assert work.said == [
        f"  evaluate     {tmp_path / 'run' / 'evaluation.json'}",
        f"  report       {tmp_path / 'run' / 'report.html'}",
    ]
    assert (tmp_path / "run" / "report.html").read_text() == "x\n"


def test_a_phase_that_is_not_passed_is_scored_all_the_same(begin):
    work = begin("touch evaluation.json report.html; exit 1")
    finish(work)
    assert not any("There is no" in line for line in work.said)


def test_what_goes_wrong_is_said_and_stops_nothing(begin):
    work = begin('[ $command = evaluate ] && { echo "no GL"; echo "jack: why" >&2; exit 1; }; touch report.html')
    finish(work)
    assert work.said[0] == "  There is no evaluation.json: jack: why" and "report.html" in work.said[1]


def test_an_older_file_is_not_taken_for_a_new_one(begin, tmp_path):
    work = begin("exit 3")
    for chore in CHORES:
        (tmp_path / "run" / chore.file).write_text("old")
    finish(work)
    assert work.said == [f"  There is no new {chore.file}: it said nothing" for chore in CHORES]


def test_the_chores_yield_to_everything_else(begin, tmp_path):
    finish(begin("sleep 0.2; nice > $command.nice"))
    now = os.getpriority(os.PRIO_PROCESS, 0)
    for chore in CHORES:  # the priority is set when the process runs already, hence the sleep
        assert int((tmp_path / "run" / f"{chore.command}.nice").read_text()) >= max(10, now)


def test_nothing_is_left_running(begin, tmp_path):
    with begin("sleep 60 & echo $! > child; wait") as work:
        child = tmp_path / "run" / "child"
        while not (child.exists() and child.read_text()):
            assert not work.proceed()
            time.sleep(0.01)
    with pytest.raises(ProcessLookupError):
        for _ in range(500):  # until whoever inherits it has buried it
            os.kill(int(child.read_text()), signal.SIGCONT)
            time.sleep(0.01)
    assert work.said == []
