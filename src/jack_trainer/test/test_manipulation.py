"""The phase that teaches him to do what he is told, as part of the school: what is handed on, kept and resumed."""

import json
import sys
import threading
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from jack_brain.network.brain import Brain
from jack_brain.network.chunk_heads import FlowChunk, TokenChunk
from jack_brain.policy import Policy, PolicyLimits
from jack_contract.contract import default_contract
from jack_contract.errors import JackError
from jack_contract.instruction import default_tokenizer
from jack_launch.graphs import pretrained_policy
from jack_sim.batch import BatchWorld
from jack_sim.scene import TRAINING, load_model
from jack_trainer import learners, school, transcript
from jack_trainer.checkpoint import newest_checkpoint
from jack_trainer.course import Course
from jack_trainer.evaluate import Evaluation
from jack_trainer.files import write_json
from jack_trainer.imitation.rehearsal import rehearsal, walked
from jack_trainer.parents import read_parent
from jack_trainer.phases import PHASES
from jack_trainer.scene_making import KEPT, MANIFEST, TAUGHT, Manifest
from jack_trainer.tasks.instructions import Skill
from jack_trainer.tasks.lessons import WALK, TableExam
from jack_trainer.tasks.locomotion import Locomotion
from jack_trainer.training import TrainOptions

sys.path.insert(0, str(Path(__file__).parent))
from sample_scenes import scenes
from test_course import Notes

CONTRACT, PARENT = default_contract(), pretrained_policy()
BATCH = 8

pytestmark = pytest.mark.skipif(PARENT is None, reason="no policy ships with this copy of Jack")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A folder of scenes, of drawn tables."""
    place = tmp_path_factory.mktemp("scenes")
    scenes(CONTRACT, 12, seed=1).save(place / TAUGHT / "000")
    scenes(CONTRACT, 4, seed=2, exam=True).save(place / KEPT / "000")
    own = {"contract": CONTRACT.digest, "words": default_tokenizer().digest}
    write_json(place / MANIFEST, Manifest(**own, policy="", seed=1, skills=[], taught=1, kept=1))
    return place


@pytest.fixture
def make_course(monkeypatch, tmp_path, folder):
    """A course of three iterates, with exams of walking that end well, and one wave in that at the table."""
    brief = replace(PHASES["manipulation"].seeing, batch=BATCH, steps=2, rehearsed=4, look=1)
    table = TableExam(trials=1, skills=(Skill.WAVE,))
    monkeypatch.setitem(PHASES, "manipulation", replace(PHASES["manipulation"], seeing=brief, table=table))
    monkeypatch.setattr(school, "evaluate", lambda *_: Evaluation(100, 97, 20.0, 60.0, 0.15, 0.1))
    rehearsed = learners.rehearsal
    monkeypatch.setattr(learners, "rehearsal", lambda *given: rehearsed(*given, periods=12))

    def make(**changes):
        given = {"phase": "manipulation", "steps": 3 * 2 * BATCH, "environments": 4, "runs": tmp_path}
        given |= {"parent": Path(PARENT), "scenes": (folder,), "checkpoint_interval": 0.0}
        return Course(TrainOptions(**{**given, **changes}), Notes())

    return make


@pytest.mark.slow
def test_who_walks_is_taught_to_follow_and_his_file_says_with_which_words_and_scenes(make_course, folder):
    before = set(threading.enumerate())
    result = make_course().run()
    left = set(threading.enumerate()) - before
    assert not any(thread.name.startswith("prefetch") for thread in left)
    assert result.reason == "steps" and not result.forgot  # he has learnt nothing in three iterates
    policy = Policy.load(result.policy, CONTRACT, PolicyLimits(period_share=10.0, look=10.0))
    assert policy.follows and policy.phase == "manipulation" and policy.words == default_tokenizer().digest
    assert policy.stumble_steps and list(policy.provenance["scenes"].values()) == [folder.name]
    walk, manipulation = transcript.read(result.run).entries
    assert walk.phase == "walk" and manipulation.materials.startswith(f"1 folder of scenes: {folder.name}")
    assert manipulation.scores["manipulation"].done == {"wave": 0.0} and "walk" in manipulation.scores


@pytest.mark.slow
def test_a_run_that_was_cut_off_goes_on_as_if_it_had_not_been(make_course, tmp_path):
    whole = make_course(runs=tmp_path / "whole").run()
    calls = iter([False, False, True])
    cut = make_course(runs=tmp_path / "cut").run(lambda: next(calls))
    assert cut.reason == "stopped" and cut.step < whole.step
    resumed = make_course(runs=tmp_path / "cut", resume=cut.run, parent=None).run()
    assert resumed.step == whole.step
    one, other = (newest_checkpoint(result.run / "checkpoints").tensors for result in (whole, resumed))
    assert one.keys() == other.keys()
    assert [name for name in one if not torch.equal(one[name], other[name])] == []


def test_without_scenes_or_a_brain_that_can_walk_he_is_told_what_to_type(make_course):
    with pytest.raises(JackError, match=r"add --scenes FOLDER .* \(\./jack scenes makes one\)"):
        make_course(scenes=())
    with pytest.raises(JackError, match=r"--phases walk,manipulation, or add --from CHECKPOINT"):
        make_course(parent=None)
    with pytest.raises(JackError, match="leave out --scenes"):
        make_course(phase="walk")
    with pytest.raises(JackError, match="leave out --chunk"):
        make_course(phase="walk", scenes=(), chunk="flow")
    with pytest.raises(JackError, match="put manipulation last"):
        make_course(phase="manipulation,walk")


@pytest.mark.slow
@pytest.mark.parametrize(("chunk", "head"), [("flow", FlowChunk), ("tokens", TokenChunk)])
def test_how_chunks_are_learnt_is_chosen_by_name(make_course, chunk, head, monkeypatch):
    made = []
    monkeypatch.setattr(school, "PolicyExporter", lambda brain, **_: made.append(brain) or Nothing())
    monkeypatch.setattr(school, "evaluate_at_table", lambda *_: Evaluation(1, 1, 5.0, 1.0, done={"wave": 1.0}))
    monkeypatch.setattr(school, "PolicyActor", lambda policy: policy)
    monkeypatch.setattr(school, "evaluate", lambda *_: Evaluation(100, 97, 19.0, 60.0))
    make_course(chunk=chunk, steps=2 * BATCH).run()
    assert isinstance(made[0].chunk_head, head)
    with pytest.raises(JackError, match="Valid: squared, flow, tokens"):
        make_course(chunk="cubes")


class Nothing:
    """Exports nothing."""

    def export(self, provenance):
        return json.dumps(provenance).encode()


# -- rehearsal


def environment():
    return Locomotion(BatchWorld(load_model(TRAINING), CONTRACT.robot, 3), CONTRACT, WALK, seed=2)


def brain():
    result = Brain(CONTRACT)
    read_parent(Path(PARENT)).teach(result)
    return result


def test_what_is_rehearsed_is_what_he_felt_with_the_history_that_he_saw(monkeypatch):
    seen, step = [], Locomotion.step

    def watched(self, action):
        result = step(self, action)
        seen.append(result.observation.proprioception.copy())
        return result

    monkeypatch.setattr(Locomotion, "step", watched)
    rows = walked(brain(), environment(), 12).reshape(3, 12)
    history = CONTRACT.observation.history
    assert rows["back"][0].tolist() == [min(age, history - 1) for age in range(12)] and rows["use"].all()
    for robot in range(3):
        np.testing.assert_array_equal(rows["frame"][robot, 12 - history :], seen[10][robot])
    assert (np.abs(rows["command"]).max(axis=(0, 1)) > 0).any()


def test_it_is_written_down_once_for_who_goes_on_has_another_brain_by_then(tmp_path):
    path = tmp_path / "walked.npy"
    first = rehearsal(brain(), environment, path, periods=10)
    assert len(first) == 30

    def nowhere():
        raise AssertionError("it is there")

    again = rehearsal(Brain(CONTRACT), nowhere, path)
    np.testing.assert_array_equal(first.frames(), again.frames())
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(JackError, match="gone or spoilt"):
        rehearsal(Brain(CONTRACT), environment, path)
