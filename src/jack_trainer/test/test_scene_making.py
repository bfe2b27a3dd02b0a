"""Scenes that an expert makes in advance, and what is done with them."""

import hashlib
from dataclasses import replace

import numpy as np
import pytest
import torch

from jack_brain.arms import TAKE
from jack_brain.chunk import ChunkSpec
from jack_brain.network.brain import Brain
from jack_brain.network.export import PolicyExporter
from jack_brain.policy import Policy
from jack_contract.contract import default_contract
from jack_contract.errors import JackError
from jack_contract.gait import Beat
from jack_contract.instruction import default_tokenizer
from jack_launch.graphs import pretrained_policy
from jack_sim.camera import CameraError
from jack_sim.render import BatchCamera
from jack_trainer import scene_making, table_film
from jack_trainer.evaluate import Evaluation
from jack_trainer.exam import examine
from jack_trainer.film import make_film
from jack_trainer.forgetting import exam_of, scored
from jack_trainer.parents import read_parent
from jack_trainer.phases import PHASES, phase
from jack_trainer.scene_making import (
    KEPT,
    MANIFEST,
    TAUGHT,
    Making,
    Manifest,
    digest,
    make_scenes,
    read_scenes,
    shown_by_others,
)
from jack_trainer.table_exam import evaluate_at_table, shares, try_at_table, unseen
from jack_trainer.tasks.apprentice import Apprentice
from jack_trainer.tasks.demonstrations import Demonstrator, draw_situation
from jack_trainer.tasks.following import Following
from jack_trainer.tasks.instructions import Skill
from jack_trainer.tasks.legs import Legs
from jack_trainer.tasks.lessons import TableExam
from jack_trainer.tasks.planner import Planner
from jack_trainer.tasks.tabletop import SETTLING, Tabletop

CONTRACT, POLICY = default_contract(), pretrained_policy()
WAVES = TableExam(trials=2, skills=(Skill.WAVE,))

pytestmark = pytest.mark.skipif(POLICY is None, reason="no policy ships with this copy of Jack")


@pytest.fixture(scope="module")
def can_draw():
    try:
        BatchCamera(Tabletop(1, CONTRACT).world.batch, CONTRACT.camera).close()
    except CameraError as error:
        pytest.skip(str(error))


@pytest.fixture(scope="module")
def follower(tmp_path_factory):
    """What walks, with eyes and ears that nobody has taught anything."""
    return written(tmp_path_factory.mktemp("policy") / "follower.onnx", default_tokenizer().digest)


def written(path, words):
    torch.manual_seed(0)
    brain = Brain(CONTRACT, chunk=ChunkSpec())
    report = read_parent(POLICY).teach(brain)
    assert "chunk_head.out.weight" in report.new and "trunk.layers.0.down.weight" not in report.new
    told = {"phase": "manipulation", "step": 1, "words": words, "stumble_steps": True, "beat": None}
    path.write_bytes(PolicyExporter(brain, command=True).export(told))
    return path


# -- making


def made(folder, **changes):
    return Making(folder, POLICY, **{"count": 2, "skills": (Skill.WALK,), "seed": 3, "part": 1} | changes)


@pytest.mark.slow
def test_scenes_are_made_once_and_a_making_that_was_stopped_goes_on(tmp_path, can_draw):
    making, parts = made(tmp_path / "scenes"), []
    assert make_scenes(making, lambda done, count: parts.append((done, count))).taught == 2
    assert parts == [(0, 3), (1, 3), (2, 3), (3, 3)]
    taught, kept = (read_scenes(making.folder, CONTRACT, kind) for kind in (TAUGHT, KEPT))
    assert (len(taught), len(kept)) == (2, 1)
    assert not all(part.rows["use"].all() for part in (*taught, *kept))  # he was about to do something else
    before = digest(making.folder)
    rows = making.folder / TAUGHT / "001" / "rows.npy"
    whole = rows.read_bytes()
    rows.unlink()
    with pytest.raises(JackError, match=rf"1 of 2 parts are missing: \./jack scenes {making.folder} goes on"):
        read_scenes(making.folder, CONTRACT)
    assert make_scenes(made(making.folder, count=1)).taught == 2  # as it was begun
    assert rows.read_bytes() == whole and digest(making.folder) == before
    with pytest.raises(JackError, match=r"another seed: 3, not 4\. Name another folder"):
        make_scenes(made(making.folder, seed=4))


@pytest.mark.slow
def test_an_apprentice_begins_and_only_what_the_expert_goes_on_with_is_learnt(tmp_path, follower, can_draw):
    task = Tabletop(8, CONTRACT)
    with BatchCamera(task.world.batch, CONTRACT.camera) as camera:
        begins, random = Apprentice(follower, CONTRACT, 8), np.random.default_rng(0)
        shows = Demonstrator(task, Legs(POLICY, CONTRACT, 8), camera, random, begins=begins)
        done = list(shows.run(lambda: draw_situation(random, shows.expert.planner, skill=Skill.POINT), 8))
    led = [int(np.argmax(shown.rows["use"])) for shown in done]
    assert 0 < sum(first > 0 for first in led) < 8  # some are the expert's from the start
    action = CONTRACT.observation.slices()["previous_action"]
    for shown, first in zip(done, led, strict=True):
        assert not shown.rows["use"][:first].any() and shown.rows["use"][first:].all()
        executed, wanted = shown.rows["frame"][1:, action], shown.rows["action"][:-1]
        apart = np.abs(executed - wanted).max(axis=1)
        assert (apart[max(first, TAKE) :] < 1e-5).all()  # the expert has him, and ...
        assert not first or (apart[:first] > 0.05).any()  # ... before, somebody else had
    assert sum(shown.success for shown in done) >= 6  # the expert finds his way from there
    with pytest.raises(JackError, match="give the demonstrator a camera"):
        Demonstrator(task, Legs(POLICY, CONTRACT, 8), None, random, begins=begins)


def test_a_folder_is_of_one_apprentice(tmp_path, follower):
    (tmp_path / "scenes").mkdir()
    begun = scene_making.Manifest(
        contract=CONTRACT.digest,
        words=default_tokenizer().digest,
        policy=hashlib.sha256(POLICY.read_bytes()).hexdigest(),
        seed=3,
        skills=["walk"],
        taught=2,
        kept=1,
    )
    (tmp_path / "scenes" / MANIFEST).write_text(begun.model_dump_json())
    with pytest.raises(JackError, match=r"another apprentice: none, not [0-9a-f]{64}\. Name another folder"):
        make_scenes(made(tmp_path / "scenes", apprentice=follower))


@pytest.mark.slow
def test_a_part_that_cannot_be_made_says_why_from_process_to_process(tmp_path, can_draw):
    (tmp_path / "scenes" / TAUGHT).mkdir(parents=True)
    (tmp_path / "scenes" / TAUGHT / "000").write_bytes(b"in the way")
    with pytest.raises(JackError, match=r"000 could not be written \(.*Make room, then go on"):
        make_scenes(made(tmp_path / "scenes", count=1))


@pytest.mark.parametrize("wrong", [b"", b"{}", b'{"contract": 3}', b"\xff\x00"])
def test_a_folder_that_is_none_says_what_to_type(tmp_path, wrong):
    with pytest.raises(JackError, match=r"\./jack scenes"):
        read_scenes(tmp_path, CONTRACT)
    (tmp_path / MANIFEST).write_bytes(wrong)
    with pytest.raises(JackError, match=r"cannot be read\. Delete"):
        read_scenes(tmp_path, CONTRACT)


def test_scenes_on_the_legs_of_others_are_found(tmp_path):
    own, other = tmp_path / "own.onnx", tmp_path / "other.onnx"
    for path in (own, other):
        path.write_bytes(path.name.encode())
        digest_ = hashlib.sha256(path.read_bytes()).hexdigest()
        made = Manifest(contract="c", words="w", policy=digest_, seed=0, skills=[], taught=0, kept=0)
        (tmp_path / path.stem).mkdir()
        (tmp_path / path.stem / MANIFEST).write_text(made.model_dump_json())
    folders = [tmp_path / "own", tmp_path / "other"]
    assert shown_by_others(folders, own) == [tmp_path / "other"]
    checkpoint = tmp_path / "checkpoint"
    checkpoint.mkdir()
    (checkpoint / "policy.onnx").write_bytes(other.read_bytes())
    assert shown_by_others(folders, checkpoint) == [tmp_path / "own"]


def test_scenes_of_another_robot_or_vocabulary_are_refused(tmp_path):
    right = {"policy": "", "seed": 0, "skills": [], "taught": 0, "kept": 0}
    own = {"contract": CONTRACT.digest, "words": default_tokenizer().digest}
    for what in own:
        manifest = scene_making.Manifest(**right, **(own | {what: "0" * 64}))
        (tmp_path / MANIFEST).write_text(manifest.model_dump_json())
        with pytest.raises(JackError, match="00000000, this Jack has"):
            read_scenes(tmp_path, CONTRACT)


# -- following


@pytest.mark.slow
def test_an_exam_is_lived_through_by_a_policy_file_and_says_what_was_done(follower, can_draw):
    found = evaluate_at_table(follower, CONTRACT, WAVES)
    assert found.episodes == 2 and set(found.done) == {"wave"} and found.done["wave"] == 0.0  # nobody taught it
    assert found.mean_time <= 6.0 + 1e-9
    again = try_at_table(follower, CONTRACT, WAVES)
    assert [o.seconds for o in again] == [o.seconds for o in try_at_table(follower, CONTRACT, WAVES)]
    assert shares(again) == found.done


@pytest.mark.slow
def test_each_robot_is_steered_by_what_it_was_told_and_sees(follower, can_draw):
    policy = Policy.load(follower, CONTRACT)
    task, random = Tabletop(2, CONTRACT), np.random.default_rng(0)
    said, seen = [], []
    look = policy.look
    policy.look = lambda ids, image: (said.append(ids), seen.append(image), look(ids, image))[-1]
    with BatchCamera(task.world.batch, CONTRACT.camera) as camera:
        following = Following(task, policy, camera)
        told = [unseen(random, Planner(task), skill) for skill in (Skill.WAVE, Skill.TOUCH)]
        following.begin(np.arange(2), told)
        before = task.world.state().joint_position.copy()
        for _ in range(SETTLING):
            following.tick(np.ones(2, bool))
        assert not said  # he finds his feet
        for _ in range(10):
            following.tick(np.ones(2, bool))
        deaf_and_blind = Following(task, policy, camera, hears=False, sees=False)
        deaf_and_blind.begin(np.arange(2), told)
        for _ in range(SETTLING + 1):
            deaf_and_blind.tick(np.ones(2, bool))
    assert len(said) == 2 * 2 + 2
    for index, situation in enumerate(told):
        np.testing.assert_array_equal(said[index], default_tokenizer().read(situation.sentence).ids)
        assert seen[index].shape == (CONTRACT.camera.height, CONTRACT.camera.width, 3) and seen[index].std() > 5
    assert said[4:] == [None, None] and seen[4:] == [None, None]
    assert not np.array_equal(before, task.world.state().joint_position)


def test_who_follows_nothing_or_has_learnt_other_words_is_not_examined(tmp_path, follower):
    task = Tabletop(1, CONTRACT)
    with pytest.raises(JackError, match=r"follows no sentences; \./jack train manipulation"):
        Following(task, Policy.load(POLICY, CONTRACT), None)
    other = written(tmp_path / "other.onnx", hashlib.sha256(b"other").hexdigest())
    with pytest.raises(JackError, match="take one word for another"):
        Following(task, Policy.load(other, CONTRACT), None)


# -- the phase


def test_manipulation_is_passed_by_who_does_what_he_is_told_on_his_feet():
    taught = phase("manipulation")
    did = {"touch": 0.8, "point": 0.8, "push left": 0.6, "push right": 0.6}
    assert taught.passes(Evaluation(100, 98, 5.0, 0.8, done=did))
    assert not taught.passes(Evaluation(100, 97, 5.0, 0.8, done=did))
    assert not taught.passes(Evaluation(100, 100, 5.0, 0.8, done=did | {"point": 0.79}))
    assert not taught.passes(Evaluation(100, 100, 5.0, 0.8, done={"touch": 1.0}))
    assert (taught.learner, taught.needs) == ("seeing", "scenes")


def test_the_exam_of_a_skill_at_the_table_is_the_tables():
    taught = phase("manipulation")
    assert exam_of(taught, taught, None) == taught.table
    assert exam_of(phase("walk"), taught, Beat(0.7, 1.0)).beat == Beat(0.7, 1.0)
    before = scored(Evaluation(100, 100, 5.0, 0.8, done={"touch": 0.9}))
    assert str(before) == "100% on his feet, touch 90%" and before.done == {"touch": 0.9}


@pytest.mark.slow
def test_who_is_examined_by_his_file_is_told_what_he_did_of_each_kind(follower, can_draw, monkeypatch):
    monkeypatch.setitem(PHASES, "manipulation", replace(PHASES["manipulation"], table=WAVES))
    found = examine(follower, episodes=2)
    assert not found.passed and found.evaluation.episodes == 2
    assert "2 of 2 trials ended on his feet (needed: 98%).\nwave: 0% done" in str(found)


def test_a_table_and_a_phrasing_that_are_examined_are_none_that_are_learnt_from():
    planner, random = Planner(Tabletop(1, CONTRACT)), np.random.default_rng(0)
    for skill in (Skill.TOUCH, Skill.PUSH_LEFT):
        assert unseen(random, planner, skill).layout.held_out
        assert not draw_situation(random, planner, skill=skill).layout.held_out


@pytest.mark.slow
def test_a_film_of_who_follows_shows_him_from_outside_and_what_he_sees(follower, can_draw, monkeypatch):
    monkeypatch.setattr(table_film, "PROGRAMME", (Skill.WAVE, Skill.TOUCH))
    monkeypatch.setattr(table_film, "PATIENCE", dict.fromkeys(Skill, 0.2))

    def film():
        return list(table_film.TableStage(Policy.load(follower, CONTRACT), 480, 360, 25).play())

    shots = film()
    assert len(shots) == 2 * 5
    picture, asked, doing = shots[0]
    assert picture.shape == (360, 480, 3) and picture[:200, :300].std() > 10  # him
    assert asked and doing.endswith(" s") and asked != shots[-1][1]
    monkeypatch.setattr(table_film, "pointed", lambda image, weights: image)
    plain = film()[0][0]
    np.testing.assert_array_equal(picture[:200, :300], plain[:200, :300])
    redder = picture[-144:, -144:].astype(int) - plain[-144:, -144:]
    assert plain[-144:, -144:].std() > 5 and redder[..., 0].sum() > 0 > redder[..., 2].sum()


@pytest.mark.slow
def test_the_film_of_a_policy_that_follows_is_of_a_table(follower, can_draw, monkeypatch):
    monkeypatch.setattr(table_film, "PROGRAMME", (Skill.WAVE,))
    monkeypatch.setattr(table_film, "PATIENCE", dict.fromkeys(Skill, 0.2))
    made = make_film(follower)
    assert made.seconds == 5 / 25 and made.falls == 0 and len(made.data) > 1000
