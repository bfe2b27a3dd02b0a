from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
from rich.console import Console

from jack_trainer import scorecard as cards
from jack_trainer.evaluate import evaluate
from jack_trainer.scorecard import SURROUNDINGS, Score, Surroundings, scorecard, table
from jack_trainer.tasks.lessons import EXAM, WALK_EXAM

#: Rows of who is told to walk only.
WALKING = {f"nominal: {name}" for name in ("back", "slow", "fast", "sideways", "turning")}


@pytest.fixture
def keep_the_pose(contract):
    return lambda seen: np.zeros((len(seen.proprioception), contract.robot.count), np.float32)


@pytest.mark.parametrize(("task", "place"), [(EXAM, "nominal"), (WALK_EXAM, "randomised")])
def test_the_exam_is_one_of_the_worlds_and_is_held_once(contract, keep_the_pose, monkeypatch, task, place):
    monkeypatch.setattr(cards, "SURROUNDINGS", SURROUNDINGS[:3])
    task = replace(task, episode=1.5, start_velocity=1.0)
    card = scorecard(keep_the_pose, contract, task, episodes=6, seed=3)
    assert card.exam == evaluate(keep_the_pose, contract, task, episodes=6, seed=3)
    (row,) = [score for score in card.scores if score.name == place]
    assert row.survival == card.exam.survival
    assert (row.velocity, row.yaw_rate) == pytest.approx((card.exam.velocity_error, card.exam.yaw_rate_error))
    walks = task.command != EXAM.command
    kinds = [score.name for score in card.scores if score.name.startswith("nominal: ")]
    assert bool(kinds) == walks
    standing = {score.name: score.survival for score in card.scores if score.name.endswith(", idle")}
    assert set(standing) == ({"nominal, idle", "randomised, idle"} if walks else set())
    if walks:
        restless = {score.name: score.restless for score in card.scores}
        assert all(np.isnan(restless[name]) for name in WALKING)
        assert all(restless[name] > 0.0 for name in standing)  # whom a stumble makes step
        bent = {score.name: score.knee for score in card.scores}
        assert all(bent[name] > 0.1 for name in ("nominal", *WALKING))  # the gait bends it by itself
        still = replace(task, command=EXAM.command)
        assert standing["randomised, idle"] == evaluate(keep_the_pose, contract, still, 6, 3).survival


def test_in_the_middle_of_a_step_the_swinging_knee_is_compared_with_the_other(contract):
    joints = np.zeros((4, contract.robot.count))
    joints[:, [contract.robot.index("left_knee"), contract.robot.index("right_knee")]] = 1.1, 0.4
    motion = SimpleNamespace(robot=contract.robot, joint_position=joints)
    lift = np.array([[0.95, 0.0], [0.0, 0.95], [0.85, 0.0], [0.0, 0.0]])
    np.testing.assert_allclose(cards._bend(motion, lift), [0.7, -0.7, np.nan, np.nan])


def test_an_exam_in_a_world_of_its_own_is_scored_there_too(contract, keep_the_pose, monkeypatch):
    monkeypatch.setattr(cards, "SURROUNDINGS", SURROUNDINGS[:1])
    task = replace(EXAM, episode=0.2, randomization=replace(EXAM.randomization, payload=(3.0, 3.0)))
    card = scorecard(keep_the_pose, contract, task, episodes=2)
    assert [score.name for score in card.scores] == ["nominal", "exam"]
    assert card.exam == evaluate(keep_the_pose, contract, task, episodes=2)


def test_worlds_are_the_same_whatever_they_are_called():
    assert Surroundings("exam", EXAM.randomization) == SURROUNDINGS[0]
    assert Surroundings("exam", WALK_EXAM.randomization) == SURROUNDINGS[1]
    assert len(set(SURROUNDINGS)) == len(SURROUNDINGS) == 6
    assert {place.randomization.push_speed for place in SURROUNDINGS} == {(0.5, 0.5)}


def test_the_table_is_whole_in_80_columns():
    figures = (1.0, 0.1234, 10.456, 0.789, 1.012, 123.45, 0.678, 0.901, 0.234, 0.567)
    scores = [Score(place.name, *figures) for place in SURROUNDINGS] + [Score("nominal: sideways", *[np.nan] * 10)]
    console = Console(width=80)
    with console.capture() as capture:
        console.print(table(scores))
    shown = capture.get()
    lines = shown.splitlines()
    assert max(map(len, lines)) <= 80 and "…" not in shown
    rows = [line for line in lines if any(line.strip().startswith(score.name) for score in scores)]
    assert len(rows) == len(scores)
    assert all(
        "100% 0.123 10.5 0.789 1.012 123.5 0.678 0.901 0.234 0.567" in " ".join(row.split()) for row in rows[:6]
    )
    assert "[m/s]" in shown and "[rad/s]" in shown
    assert "Stood" in shown and "never seen" in " ".join(shown.split())
