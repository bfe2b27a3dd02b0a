import json
import math
import os
import subprocess
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jack_trainer import progress_file
from jack_trainer.progress_file import StatusError, find_run, new_run, read, write
from jack_trainer.training import Progress


def progress(run, step=1000, **changes):
    given = {
        "run": run,
        "phase": "walk",
        "step": step,
        "total_steps": 4000,
        "update": 3,
        "steps_per_second": 4600.0,
        "mean_return": 12.5,
        "mean_episode_length": 6.0,
        "remaining": 60.0,
        "checkpoint": run / "checkpoints" / "000000000900",
    }
    return Progress(**(given | changes))


def test_what_was_written_is_read_again(tmp_path):
    assert write(tmp_path, progress(tmp_path, mean_return=math.nan), exam="95 of 100")
    status = read(tmp_path)
    assert (status.phase, status.step, status.total_steps, status.checkpoint) == (
        "walk",
        1000,
        4000,
        "000000000900",
    )
    assert math.isnan(status.mean_return) and status.exam == "95 of 100"
    assert status.pid == os.getpid() and status.alive and status.ended == ""
    assert [path.name for path in tmp_path.iterdir()] == ["status.json"]


def test_at_most_one_write_a_second_but_the_end_is_always_told(tmp_path):
    assert write(tmp_path, progress(tmp_path, 1))
    assert not write(tmp_path, progress(tmp_path, 2))
    assert read(tmp_path).step == 1
    assert write(tmp_path, progress(tmp_path, 3), ended="passed")
    assert (read(tmp_path).step, read(tmp_path).ended) == (3, "passed")
    a_second_ago = time.time() - 1.1
    os.utime(tmp_path / "status.json", (a_second_ago, a_second_ago))
    assert write(tmp_path, progress(tmp_path, 4))
    os.utime(tmp_path / "status.json", (time.time() + 3600,) * 2)  # the clock was set back
    assert write(tmp_path, progress(tmp_path, 5))


def test_a_disk_that_takes_no_status_stops_no_training(tmp_path):
    assert not write(tmp_path / "gone", progress(tmp_path))


def test_a_process_that_is_gone_or_another_with_its_number_is_not_alive(tmp_path):
    write(tmp_path, progress(tmp_path))
    status = read(tmp_path)
    child = subprocess.Popen(["true"])
    while progress_file._started(child.pid) is not None:  # until it is a zombie
        time.sleep(0.01)
    assert status.model_copy(update={"pid": child.pid, "pid_started": 0}).alive is False
    child.wait()
    assert status.model_copy(update={"pid": child.pid, "pid_started": 0}).alive is False
    assert status.model_copy(update={"pid_started": status.pid_started + 1}).alive is False
    assert status.model_copy(update={"host": "elsewhere"}).alive is None


def test_a_torn_file_a_foreign_one_and_none_at_all_are_told_apart(tmp_path):
    with pytest.raises(StatusError, match="after the first update"):
        read(tmp_path)
    write(tmp_path, progress(tmp_path))
    file = tmp_path / "status.json"
    whole = file.read_bytes()
    file.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(StatusError, match=r"status\.json is torn"):
        read(tmp_path)
    file.write_text(json.dumps(json.loads(whole) | {"version": 2, "news": 1}))
    with pytest.raises(StatusError, match="of version 2, and this Jack reads 1"):
        read(tmp_path)
    file.write_text(json.dumps(json.loads(whole) | {"step": "many"}))
    with pytest.raises(StatusError, match="look at step"):
        read(tmp_path)
    file.write_bytes(b" " * 70_000)
    with pytest.raises(StatusError, match="more than 65,536 bytes"):
        read(tmp_path)


@settings(deadline=None)
@given(st.binary(max_size=200))
def test_no_bytes_lead_to_anything_but_a_status_error(tmp_path_factory, data):
    run = tmp_path_factory.getbasetemp()
    (run / "status.json").write_bytes(data)
    with pytest.raises(StatusError):
        read(run)


def test_runs_are_found_by_name_by_folder_or_as_the_newest(tmp_path):
    for index, name in enumerate(["b-old", "a-new"]):
        (tmp_path / name).mkdir()
        (tmp_path / name / "run.json").write_text("{}")
        os.utime(tmp_path / name / "run.json", (index + 1.0,) * 2)
    assert find_run("newest", tmp_path) == tmp_path / "a-new"
    write(tmp_path / "b-old", progress(tmp_path))
    assert find_run("newest", tmp_path) == tmp_path / "b-old"
    assert find_run("a-new", tmp_path) == find_run(str(tmp_path / "a-new"), tmp_path / "x") == tmp_path / "a-new"
    with pytest.raises(StatusError, match=r"no run 'c'\. .* there are: a-new, b-old\."):
        find_run("c", tmp_path)
    with pytest.raises(StatusError, match=r"\./jack train makes one"):
        find_run("newest", tmp_path / "a-new")


def checkpointed(runs, name):
    path = runs / name / "checkpoints" / "000000000100" / "policy.onnx"
    path.parent.mkdir(parents=True)
    path.write_bytes(b"")
    return runs / name


def test_only_a_run_with_a_checkpoint_is_gone_on_with(tmp_path):
    old, new = checkpointed(tmp_path, "old"), checkpointed(tmp_path, "new")
    os.utime(old / "checkpoints" / "000000000100", (1, 1))
    (tmp_path / "begun" / "checkpoints").mkdir(parents=True)
    (tmp_path / "begun" / "run.json").write_text("{}")
    assert find_run("newest", tmp_path) == tmp_path / "begun"
    assert find_run("newest", tmp_path, resumable=True) == new
    assert find_run("old", tmp_path, resumable=True) == old
    assert find_run(str(old), tmp_path / "elsewhere", resumable=True) == old
    for name in ("yours", "begun"):
        with pytest.raises(StatusError, match=rf"no run with a checkpoint '{name}'\. .* there are: new, old\."):
            find_run(name, tmp_path, resumable=True)
    with pytest.raises(StatusError, match=r"there are: none; \./jack train makes one"):
        find_run("newest", tmp_path / "empty", resumable=True)


def test_a_new_run_has_a_name_that_is_not_taken(tmp_path, monkeypatch):
    monkeypatch.setattr(time, "strftime", lambda layout: "20300102-030405")
    for end in ("", "-1", "-2"):
        folder = new_run(tmp_path, "module:a/B-v0")
        assert folder == tmp_path / f"20300102-030405-module_a_B-v0{end}" and not folder.exists()
        folder.mkdir()
