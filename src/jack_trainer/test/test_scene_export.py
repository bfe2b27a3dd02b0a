"""Bags of what was told and done, as scenes: no node runs here, bags are written by hand."""

import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from jack_brain.chunk import HELD, VELOCITY, ChunkSpec, to_rows
from jack_brain.network.brain import Brain
from jack_contract.errors import JackError
from jack_contract.instruction import default_tokenizer
from jack_launch.graphs import pretrained_policy
from jack_sim.layout import Layout, Thing, describe
from jack_trainer.cli import Bags, parse
from jack_trainer.imitation.bag import Bag
from jack_trainer.imitation.decoding import encode, part
from jack_trainer.imitation.facts import Mark, mark_episode
from jack_trainer.imitation.frames import read_frames
from jack_trainer.imitation.seeing import Seeing, SeeingConfig
from jack_trainer.imitation.topics import TopicSpec
from jack_trainer.scene_export import export
from jack_trainer.scene_making import KEPT, read_manifest, read_scenes
from jack_trainer.tasks.demonstrations import GOALS
from jack_trainer.tasks.instructions import Goal, Skill, sentences

sys.path.insert(0, str(Path(__file__).parent))
import bags_to_read
from bags_to_read import CONTRACT, PERIOD, PICTURES, SECOND, episode, header, picture, scene, write_bag

POLICY, GOAL = pretrained_policy(), Goal(Skill.TOUCH, "red", "cube")
SENTENCE = sentences(GOAL)[0]
TOLD, DONE, STEPS = 10, 30, 40
TEXT = "std_msgs/msg/String"

pytestmark = pytest.mark.skipif(POLICY is None, reason="no policy ships with this copy of Jack")


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    for topic in ("expert/status", "sim/table"):
        monkeypatch.setitem(bags_to_read.SPECS, topic, TopicSpec(topic, TEXT))


def text(words, step):
    return encode(TEXT, data=words), SECOND + step * PERIOD - PERIOD // 2


def odometry(orientation, step):
    vector, unknown = part("geometry_msgs/msg/Vector3", x=0.0, y=0.0, z=0.0), np.zeros(36)
    pose = part(
        "geometry_msgs/msg/Pose",
        position=part("geometry_msgs/msg/Point", x=0.01, y=0.02, z=0.6),
        orientation=part("geometry_msgs/msg/Quaternion", **dict(zip("xyzw", orientation, strict=True))),
    )
    stamp, still = SECOND + step * PERIOD, part("geometry_msgs/msg/Twist", linear=vector, angular=vector)
    data = encode(
        "nav_msgs/msg/Odometry",
        header=header(stamp),
        child_frame_id="pelvis",
        pose=part("geometry_msgs/msg/PoseWithCovariance", pose=pose, covariance=unknown),
        twist=part("geometry_msgs/msg/TwistWithCovariance", twist=still, covariance=unknown),
    )
    return "odom", data, stamp


def told(path, instruction=SENTENCE, mark=Mark.SUCCESS, pictures=5, known=True, more=()):
    """A bag of somebody who was told something at a moment, and has done it at another."""
    messages = [*episode(STEPS), *more]
    for step in range(0, STEPS if pictures else 0, pictures or 1):
        stamp = SECOND + step * PERIOD
        messages.append((PICTURES, picture(stamp, scene(step, 96, 72)), stamp + 1))
    if known:
        messages += [("instruction", *text("", 0)), ("instruction", *text(instruction, TOLD))]
        messages += [("expert/status", *text("touch red cube: done", DONE))]
    write_bag(path, sorted(messages, key=lambda message: message[2]), instruction)
    mark_episode(path, mark, "")
    return path


def exported(tmp_path, *paths):
    export(paths, CONTRACT, POLICY, tmp_path / "scenes")
    (scenes,) = read_scenes(tmp_path / "scenes", CONTRACT)
    return scenes


def test_what_was_done_is_told_row_by_row(tmp_path):
    scenes = exported(tmp_path, told(tmp_path / "one"))
    rows = scenes.rows
    assert len(rows) == STEPS and rows["ahead"].tolist() == list(range(STEPS))[::-1]
    assert rows["use"].tolist() == [step >= TOLD for step in range(STEPS)]  # its history is from before
    assert rows["back"][TOLD] == CONTRACT.observation.history - 1
    assert rows["done"][[TOLD, (TOLD + DONE) // 2, DONE, -1]] == pytest.approx([0.0, 0.5, 1.0, 1.0])
    assert (rows["picture"] == np.arange(STEPS) // 5).all() and len(scenes.pictures) == STEPS // 5
    assert (rows["goal"] == GOALS[GOAL]).all()
    ways = scenes.sentences[rows["goal"][0]]
    assert (ways == default_tokenizer().read(SENTENCE).ids).all(axis=1).any()
    assert np.isnan(rows["place"]).all() and np.isnan(rows["pixel"]).all()
    frames = read_frames(Bag(tmp_path / "one"), CONTRACT.robot)
    assert rows["row"] == pytest.approx(to_rows(CONTRACT, frames.target, frames.command), abs=1e-5)
    assert (rows["row"][:, HELD] == 1.0).all() and rows["row"][12, VELOCITY] == pytest.approx([1.0, 0.0, -0.1])
    still = exported(tmp_path / "b", told(tmp_path / "two", known=False)).rows
    assert still["use"].sum() == STEPS - CONTRACT.observation.history  # from the beginning ...
    assert still["done"][-1] == 1.0 > still["done"][-2]  # ... to the end, where the bag does not say


def test_where_the_thing_is_comes_from_the_table_and_odometry(tmp_path):
    thing = Thing("red", "cube", (0.3, 0.1))
    layout = Layout((Thing("blue", "ball", (0.3, -0.1)), thing))
    poses = np.array([[0.3, -0.1, 0.8, 1, 0, 0, 0], [0.3, 0.1, 0.8, 1, 0, 0, 0]])
    turned = [0.0, 0.0, np.sin(np.pi / 4), np.cos(np.pi / 4)]  # to the left
    path = told(tmp_path / "one", more=[("sim/table", *text(describe(layout, poses), 1)), odometry(turned, 1)])
    place = exported(tmp_path, path).rows["place"]
    assert place == pytest.approx(np.tile([0.1 - 0.02, -(0.3 - 0.01), 0.8 - 0.6], (STEPS, 1)), abs=1e-6)
    poor = [("sim/table", *text(describe(Layout((thing,)), poses[1:]), 1)), odometry(turned, 1)]
    other = told(tmp_path / "other", "touch the blue ball", more=poor)
    with pytest.raises(JackError, match="blue ball"):
        export([other], CONTRACT, POLICY, tmp_path / "none")


def test_a_brain_learns_from_it_although_nobody_says_where_the_thing_is(tmp_path):
    torch.manual_seed(0)
    brain, scenes = Brain(CONTRACT, chunk=ChunkSpec()), exported(tmp_path, told(tmp_path / "one"))
    learner = Seeing(brain, [scenes], SeeingConfig(batch=8, steps=2), seed=0, threads=1)
    try:
        measured = learner.iterate()
    finally:
        learner.close()
    assert all(map(np.isfinite, measured.values())) and measured["place"] == 0.0 < measured["chunk"]


def test_what_is_not_fit_is_left_out_with_the_reason(tmp_path):
    good = told(tmp_path / "good")
    bad = {
        "failed": (told(tmp_path / "failed", mark=Mark.FAILURE), "marked as a failure"),
        "open": (told(tmp_path / "open", mark=Mark.NONE, pictures=4), "not marked as a success"),
        "coffee": (told(tmp_path / "coffee", "make coffee"), "no sentence of the grammar"),
        "blind": (told(tmp_path / "blind", pictures=0), "no pictures"),
    }
    made = export([good, *(path for path, _ in bad.values())], CONTRACT, POLICY, tmp_path / "scenes")
    assert [episode.path for episode in made.episodes] == [good]
    assert all(words in dict(made.left_out)[path] for path, words in bad.values())
    manifest = read_manifest(tmp_path / "scenes")
    assert (manifest.bags, manifest.skills, manifest.taught) == (made.digests, ["touch"], 1)
    assert read_scenes(tmp_path / "scenes", CONTRACT, KEPT) == []
    with pytest.raises(JackError, match="there already; choose another folder: --output"):
        export([good], CONTRACT, POLICY, tmp_path / "scenes")
    with pytest.raises(JackError, match=r"coffee: its instruction .* Record some: \./jack record --operator"):
        export([bad["coffee"][0]], CONTRACT, POLICY, tmp_path / "none")
    assert not (tmp_path / "none").exists()


def test_the_command_line_exports_scenes(tmp_path, capsys):
    words = ["bag", "export", str(told(tmp_path / "one")), "--to", "scenes", "--policy", "pretrained"]
    command = parse([*words, "--output", str(tmp_path / "scenes")])
    assert isinstance(command, Bags) and command.run() == 0
    assert "Scenes of 1 episodes" in capsys.readouterr().out
    with pytest.raises(JackError, match="leave out --gaps"):
        parse([*words, "--gaps"]).run()
    with pytest.raises(JackError, match="Name the policy that had his legs"):
        parse(["bag", "export", str(tmp_path / "one"), "--to", "scenes", "--policy", ""]).run()
