import io
import os
import subprocess
import sys
import threading
import time

import pytest
from rich.console import Console

from jack_contract.errors import JackError
from jack_trainer import progress_file, status, transcript
from jack_trainer.cli import Report, Status, parse
from jack_trainer.training import Progress
from jack_trainer.transcript import Entry, Score, Transcript


def console(width=120):
    return Console(file=io.StringIO(), width=width)


def text(console):
    return console.file.getvalue()


@pytest.fixture
def run(tmp_path):
    """A run that is a quarter done, with a checkpoint of two minutes ago."""
    folder = tmp_path / "mine"
    newest = folder / "checkpoints" / "000000000900"
    newest.mkdir(parents=True)
    os.utime(newest, (time.time() - 120,) * 2)
    write(folder)
    return folder


def write(run, step=1_000, ended=""):
    newest = run / "checkpoints" / "000000000900"
    told = Progress(run, "walk", step, 4_000, 3, 4600.0, 12.5, 6.0, 65.0, newest)
    progress_file.write(run, told, exam="95 of 100 at step 900", ended=ended)


def test_everything_there_is_to_know_is_in_the_table(run):
    shown = console()
    status.show(run, shown)
    for words in (
        *("mine", "walk", "training", "1,000 of 4,000", "25%", "4,600 steps/s", "12.50", "6.0 s", "1:05"),
        *("95 of 100 at step 900", "000000000900, 2:00 old", f"{os.getpid()} on", "running", "./jack report mine"),
    ):
        assert words in text(shown), words


def test_each_phase_is_told_with_its_score_its_parent_and_what_it_was_learnt_from(run):
    told = Transcript(entries=[
        Entry(phase="stand", step=1_000_000, ended="passed", scores={"stand": score(97)}),
        Entry(phase="walk", begun=1_000_000, parent="ab" * 32, parent_phase="stand", ended="passed",
              scores={"walk": score(99), "stand": score(96)}),
        Entry(phase="natural", begun=5_000_000, parent="cd" * 32, parent_phase="walk",
              clips={"ef" * 32: "walk.txt"}, forgot=["walk: 80% of the episodes end on his feet"]),
    ])  # fmt: skip
    transcript.write(run, told)
    (run / "run.json").write_text('{"options": {"phase": "stand,walk,natural,clone"}}')
    shown = console(width=160)
    status.show(run, shown)
    lines = text(shown).splitlines()
    rows = {line.split()[0]: line for line in lines if line and line.split()[:1]}
    assert "passed" in rows["stand"] and "97%" in rows["stand"] and "a new brain" in rows["stand"]
    assert "99%" in rows["walk"] and "stand, step 1,000,000 (abababab)" in text(shown)
    assert "is taught, forgot" in rows["natural"] and "none yet" in rows["natural"]
    assert "1 clip: walk.txt (efefefef)" in " ".join(text(shown).split())
    assert "to come" in rows["clone"]
    assert "not published: natural forgot; walk: 80% of the episodes end on his feet" in text(shown)


def test_a_run_without_a_transcript_and_one_with_a_torn_one_are_told_as_they_are(run):
    shown = console()
    status.show(run, shown)
    assert "learnt from" not in text(shown)
    (run / transcript.NAME).write_bytes(b"{")
    status.show(run, shown)
    assert "is no transcript" in text(shown) and "1,000 of 4,000" in text(shown)


def score(survived):
    return Score(episodes=100, survived=survived, velocity_error=0.1, yaw_rate_error=0.2)


def test_who_died_is_called_dead_and_told_how_to_go_on(run):
    dead = progress_file.read(run).model_copy(update={"pid_started": 1})
    shown = console()
    shown.print(status.table(run, dead, dead.written + 61))
    assert "died; last heard of 1:01 ago" in text(shown) and "--resume" in text(shown) and "gone" in text(shown)


def test_a_run_that_ended_names_its_report(run):
    write(run, 4_000, ended="passed")
    (run / "report.html").write_text("")
    shown = console()
    status.show(run, shown)
    assert "passed" in text(shown) and "report.html" in text(shown) and "training" not in text(shown)


def test_markup_in_a_name_is_only_text(run):
    renamed = run.rename(run.with_name("[red]mine"))
    shown = console()
    status.show(renamed, shown)
    assert "[red]mine" in text(shown)


def test_watching_ends_with_the_training(run):
    shown = console()
    watcher = threading.Thread(target=status.watch, args=(run, shown, 0.01), daemon=True)
    watcher.start()
    time.sleep(0.1)
    assert watcher.is_alive()
    write(run, 4_000, ended="steps")
    watcher.join(10)
    assert not watcher.is_alive() and "all its steps are done" in text(shown)


def test_the_commands_know_runs_by_name(run, capsys):
    runs = run.parent
    assert parse(["status", "mine", "--watch"]) == Status("mine", watch=True, runs=Status().runs)
    assert parse(["report", "--no-film"]) == Report(film=False, runs=Report().runs)
    assert parse(["status", "--runs", str(runs)]).run() == 0
    assert "1,000 of 4,000" in capsys.readouterr().out
    with pytest.raises(JackError, match=r"no run 'yours'.* there are: mine\."):
        parse(["status", "yours", "--runs", str(runs)]).run()


def test_a_look_needs_neither_torch_nor_mujoco(run):
    script = (
        "import sys; from jack_trainer.cli import parse\n"
        f"parse(['status', '--runs', {str(run.parent)!r}]).run()\n"
        "print(sorted({'torch', 'rclpy', 'mujoco'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60)
    assert done.stdout.splitlines()[-1] == "[]", done.stderr
