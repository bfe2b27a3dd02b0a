from dataclasses import fields
from itertools import islice

import numpy as np
import pytest

from jack_contract.contract import default_contract
from jack_contract.instruction import default_tokenizer
from jack_launch.graphs import pretrained_policy
from jack_sim.scene import SceneOptions
from jack_sim.tabletop import REGION, TABLETOP, Layout, Thing
from jack_trainer.tasks.demonstrations import PICTURE_EVERY, Demonstrator, draw_situation
from jack_trainer.tasks.expert import Planner, mirrored
from jack_trainer.tasks.instructions import Goal, Skill, sentences
from jack_trainer.tasks.legs import Legs
from jack_trainer.tasks.tabletop import Situation, Tabletop

CONTRACT = default_contract()
ROBOT = CONTRACT.robot
BARE = SceneOptions(TABLETOP, visuals=False)
POLICY = pretrained_policy()
LAYOUT = Layout((Thing("red", "cube", (0.24, 0.12)), Thing("blue", "ball", (0.24, -0.12))))

needs_policy = pytest.mark.skipif(POLICY is None, reason="no policy ships with this copy of Jack")


@pytest.fixture(scope="module")
def planner():
    return Planner(Tabletop(1, CONTRACT, scene=BARE))


def demonstrator(count, seed=0, disturbance=0.0):
    task = Tabletop(count, CONTRACT, scene=BARE)
    return Demonstrator(task, Legs(POLICY, CONTRACT, count), None, np.random.default_rng(seed), disturbance)


# -- plans


def test_hands_get_to_every_place_where_things_may_be(planner):
    for x in np.linspace(*REGION[0], 5):
        for y in np.linspace(*REGION[1], 15):
            layout = Layout((Thing("red", "cube", (float(x), float(y))),))
            for skill in (Skill.TOUCH, Skill.POINT):
                plan = planner.plan(layout, Goal(skill, "red", "cube"))
                assert plan is not None, (x, y, skill)
                assert abs(y) < 0.05 or (plan.side == 0) == (y > 0)


def test_a_table_of_things_that_are_close_leaves_no_room_for_a_push(planner):
    row = tuple(Thing("red", shape, (0.24, 0.08 + 0.105 * k)) for k, shape in enumerate(("cube", "ball")))
    assert planner.plan(Layout(row), Goal(Skill.PUSH_LEFT, "red", "cube")) is None  # into the ball
    assert planner.plan(Layout(row), Goal(Skill.PUSH_RIGHT, "red", "cube")) is None  # the hand on the ball
    assert planner.plan(Layout(row[:1]), Goal(Skill.PUSH_LEFT, "red", "cube")) is not None


def test_the_right_arms_postures_are_the_lefts_in_a_mirror():
    left, right = (np.array([ROBOT.index(f"{side}_{joint}") for joint in ("shoulder_pitch", "shoulder_roll",
                   "shoulder_yaw", "elbow")]) for side in ("left", "right"))  # fmt: skip
    posture = np.array([0.1, 0.2, 0.3, -0.4])
    np.testing.assert_array_equal(mirrored(posture, 1), ROBOT.mirror_sign[left] * posture)
    np.testing.assert_array_equal(np.array(ROBOT.mirror_index)[left], right)
    assert mirrored(posture, 0) == tuple(posture)


def test_situations_can_be_done_and_are_said_in_words_of_their_kind(planner):
    random = np.random.default_rng(4)
    for exam in (False, True):
        for skill in Skill:
            situation = draw_situation(random, planner, exam, skill)
            assert situation.goal.skill is skill and situation.layout.held_out is exam
            assert situation.sentence in sentences(situation.goal, exam)
            assert planner.plan(situation.layout, situation.goal) is not None
            assert default_tokenizer().read(situation.sentence).strange == ()


# -- deeds


@needs_policy
@pytest.mark.slow
def test_the_expert_does_what_is_said():
    """Each skill four times, at random tables; all succeed but perhaps one, and nobody falls."""
    made, random = demonstrator(8), np.random.default_rng(7)
    skills = iter(list(Skill) * 4)
    done = list(made.run(lambda: draw_situation(random, made.expert.planner, skill=next(skills, Skill.WAVE)), 24))
    assert len(done) == 24
    assert sum(demonstration.success for demonstration in done) >= 23
    assert not any(demonstration.fell for demonstration in done)
    assert {demonstration.situation.goal.skill for demonstration in done} == set(Skill)


@needs_policy
def test_the_same_scene_with_other_words_is_another_deed():
    made = demonstrator(2)
    scene = Situation(LAYOUT, Goal(Skill.TOUCH, "red", "cube"), "touch the red cube")
    told = [scene, scene.told(Goal(Skill.TOUCH, "blue", "ball"), "touch the blue ball")]
    draws = iter(told)
    done = list(made.run(lambda: next(draws), 2))
    assert [demonstration.success for demonstration in done] == [True, True]
    for demonstration in done:
        length = len(demonstration.targets)
        assert demonstration.targets.shape == (length, ROBOT.count) and demonstration.command.shape == (length, 3)
        assert all(len(getattr(demonstration.state, entry.name)) == length for entry in fields(demonstration.state))
        np.testing.assert_allclose(np.diff(demonstration.state.time), ROBOT.control_period)
        assert len(demonstration.images) == len(demonstration.taken) == 0
        assert (demonstration.targets >= ROBOT.lower).all() and (demonstration.targets <= ROBOT.upper).all()
        assert not demonstration.command.any()
    by_words = {demonstration.instruction: demonstration for demonstration in done}
    arms = made.task.arms.indices
    for words, side in (("touch the red cube", 0), ("touch the blue ball", 1)):
        moved = np.ptp(by_words[words].targets, axis=0)
        assert moved[arms[side]].max() > 0.5 and moved[arms[1 - side]].max() == 0.0


@needs_policy
def test_who_tells_the_same_gets_the_same():
    def run():
        made, random = demonstrator(2, disturbance=0.03), np.random.default_rng(1)
        return next(made.run(lambda: draw_situation(random, made.expert.planner, skill=Skill.POINT), 1))

    first, second = run(), run()
    assert first.situation == second.situation
    np.testing.assert_array_equal(first.targets, second.targets)


@needs_policy
def test_an_arm_that_is_led_astray_finds_back():
    made, random = demonstrator(4, disturbance=0.05), np.random.default_rng(2)
    done = list(made.run(lambda: draw_situation(random, made.expert.planner, skill=Skill.TOUCH), 4))
    assert sum(demonstration.success for demonstration in done) >= 3
    arms = made.task.arms.indices.ravel()
    off = [np.abs(d.state.joint_position[1:, arms] - d.targets[:-1, arms]).max() for d in done]
    assert max(off) > 0.1


@needs_policy
def test_each_world_goes_on_with_another_when_it_is_done():
    made, random = demonstrator(2), np.random.default_rng(3)
    drawn = []

    def draw():
        drawn.append(draw_situation(random, made.expert.planner, skill=Skill.POINT))
        return drawn[-1]

    done = list(islice(made.run(draw, 5), 5))
    assert len(done) == len(drawn) == 5
    assert {id(demonstration.situation) for demonstration in done} == {id(situation) for situation in drawn}
    assert PICTURE_EVERY * ROBOT.control_period == pytest.approx(0.1)
