import json
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from jack_contract.errors import JackError
from jack_sim.errors import CameraError
from jack_trainer import clip_training
from jack_trainer.cli import parse
from jack_trainer.clip_training import FILM, PREFIX, SCORE, USUAL, clip_task, train_clip
from jack_trainer.gymnasium_training import WEIGHTS
from jack_trainer.imitation.mocap.motion import save_motion
from jack_trainer.tasks.tracking import walk_through

sys.path.insert(0, str(Path(__file__).parent))
from walking_clip import ROBOT, walking_clip

SHORT = replace(USUAL.learner, rollout=8, epochs=1, minibatches=1)


@pytest.fixture
def clip(tmp_path) -> Path:
    path = tmp_path / "walking.safetensors"
    save_motion(path, walking_clip())
    return path


def test_a_clip_is_learnt_scored_and_filmed(clip, tmp_path, monkeypatch):
    filmed = {}
    monkeypatch.setattr(clip_training, "write_side_by_side", lambda path, courses, period: filmed.update(courses))
    options = replace(USUAL, env=f"{PREFIX}{clip}", steps=64, environments=4, learner=SHORT, runs=tmp_path / "runs")
    assert train_clip(options) == 0
    (run,) = (tmp_path / "runs").iterdir()
    assert run.name.endswith("-walking") and (run / WEIGHTS).is_file()
    told = json.loads((run / SCORE).read_text())
    assert (told["clip"], told["clip_sha256"], told["steps"]) == ("walking", "0" * 64, 64)
    assert 0 < told["score"]["mpjpe"] < 0.3 and 0 <= told["score"]["survival"] <= 1
    log = EventAccumulator(str(run / "tensorboard")).Reload()
    assert [event.step for event in log.Scalars("reward/mpjpe")] == [32, 64]
    assert list(filmed) == ["clip", "he"] and filmed["he"].shape[1] == filmed["clip"].shape[1] == 7 + ROBOT.count


def test_what_is_walked_through_is_what_he_does_from_the_beginning(contract):
    """The first row is a control period after the clip's first pose; nobody begins anew within it."""
    task = clip_task(walking_clip(), contract, 3, seed=0)
    rows = walk_through(lambda seen: np.zeros((3, ROBOT.count), np.float32), task)
    assert rows.shape == (3, min(task.limit, task.clip.last) - 1, 7 + ROBOT.count)
    assert np.abs(rows[:, 0, :3] - task.clip.base[1]).max() < 0.02


def test_the_command_knows_a_clip_from_a_task_of_gymnasium(clip, tmp_path, monkeypatch):
    seen = []
    monkeypatch.setattr(clip_training, "train_clip", lambda options: seen.append(options) or 0)
    given = ["train", "--env", f"clip:{clip}", "--seed", "3", "--runs", str(tmp_path)]
    assert parse(given).run() == 0
    assert seen == [replace(USUAL, env=f"clip:{clip}", seed=3, runs=tmp_path)]
    parse([*given, "--steps", "5000", "--environments", "8"]).run()
    assert (seen[1].steps, seen[1].environments) == (5000, 8)


@pytest.mark.parametrize("content", [None, b"", b"BVH"])
def test_what_is_no_motion_is_said_before_anything_is_written(tmp_path, content):
    path = tmp_path / "none.safetensors"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(JackError, match=r"none\.safetensors"):
        train_clip(replace(USUAL, env=f"{PREFIX}{path}", runs=tmp_path / "runs"))
    assert not (tmp_path / "runs").exists()


@pytest.mark.parametrize("draws", [True, False])
def test_there_is_a_film_or_it_is_said_why_not(clip, tmp_path, monkeypatch, capsys, draws):
    def fail(*_):
        raise CameraError("There is no GL.")

    if not draws:
        monkeypatch.setattr(clip_training, "write_side_by_side", fail)
    monkeypatch.setattr(clip_training, "_EXAMINED", 2)
    options = replace(USUAL, env=f"{PREFIX}{clip}", steps=32, environments=4, learner=SHORT, runs=tmp_path / "runs")
    assert train_clip(options) == 0
    (run,) = (tmp_path / "runs").iterdir()
    if draws and not (run / FILM).is_file():
        pytest.skip("nothing can be drawn here; with libEGL or libOSMesa it could")
    assert (run / FILM).is_file() == draws and ("There is no GL." in capsys.readouterr().out) != draws
