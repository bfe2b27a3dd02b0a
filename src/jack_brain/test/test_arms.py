import numpy as np
import pytest

from jack_brain.arms import GIVE, PERIOD, TAKE, Arms
from jack_brain.chunk import chunk_width, led_joints
from jack_contract.contract import default_contract

CONTRACT = default_contract()
COUNT = CONTRACT.robot.count
LED = led_joints(CONTRACT.robot)
NONE = np.zeros(COUNT)


def chunk(arms: float, forwards: float = 0.0, held: float = 1.0) -> np.ndarray:
    rows = np.full((16, chunk_width(CONTRACT.robot)), arms)
    rows[:, -4:] = [forwards, 0.0, 0.0, held]
    return rows


def live(arms: Arms, ticks: int, following: bool, wanted: float = 1.0, action=NONE, offsets=NONE) -> np.ndarray:
    said = []
    for _ in range(ticks):
        if following and arms.due:
            arms.follow(chunk(wanted, 0.4), 0.5)
        said.append(arms.step(action, offsets, following))
    return np.array(said)


def test_without_a_chunk_the_action_is_the_very_same():
    arms, action = Arms(CONTRACT), np.linspace(-1, 1, COUNT)
    assert arms.step(action, NONE, following=False) is action
    live(arms, 40, following=True)
    live(arms, 40, following=False)
    assert arms.step(action, NONE, following=False) is action
    assert arms.share == 0.0 and not arms.velocity.any()


def test_arms_change_hands_step_by_step_both_ways_and_the_rest_of_the_body_never_does():
    arms, action = Arms(CONTRACT), np.full(COUNT, -1.0)
    there = live(arms, 60, following=True, action=action)
    back = live(arms, 60, following=False, action=action)
    for said, periods in ((there, TAKE), (back, GIVE)):
        assert np.abs(np.diff(said, axis=0)).max() <= 2.0 / periods + 1e-9  # 2 to go
        assert (np.delete(said, LED, axis=1) == -1.0).all()
    np.testing.assert_allclose(there[-1, LED], 1.0)
    np.testing.assert_allclose(back[-1, LED], -1.0)
    assert np.abs(there[0, LED] + 1.0).max() <= 2.0 / TAKE + 1e-9


def test_chunks_that_disagree_make_no_jump():
    arms, said = Arms(CONTRACT), []
    for tick in range(200):
        if arms.due:
            arms.follow(chunk(1.0 if tick // PERIOD % 2 else -1.0), 0.0)
        said.append(arms.step(NONE, NONE, following=True))
    assert np.abs(np.diff(np.array(said), axis=0)).max() <= 2 / 9 + 1 / TAKE + 1e-9


def test_a_chunk_is_played_row_by_row_and_its_end_is_kept():
    arms, rows = Arms(CONTRACT), chunk(0.0)
    live(arms, 30, following=True, wanted=0.0)  # until it has all of them
    rows[:, :-4] = np.arange(16)[:, None] / 10.0
    arms.follow(rows, 0.0)
    said = [arms.step(NONE, NONE, following=True)[LED[0]] for _ in range(20)]
    assert said[8:] == pytest.approx([0.8, 0.9, 1.0, 1.1, 1.2, 1.3, 1.4, 1.5, 1.5, 1.5, 1.5, 1.5])


def test_a_new_chunk_is_due_ten_times_a_second():
    arms, due = Arms(CONTRACT), 0
    for _ in range(50):
        if arms.due:
            due += 1
            arms.follow(chunk(0.0), 0.0)
        arms.step(NONE, NONE, following=True)
    assert due == 10


def test_where_the_arms_are_to_be_does_not_swing_with_the_gait():
    arms, offsets = Arms(CONTRACT), np.full(COUNT, 0.2)
    said = live(arms, 60, following=True, offsets=offsets)[-1]
    scale = np.array(CONTRACT.action.scale)
    np.testing.assert_allclose((scale * said + offsets)[LED], scale[LED])


def test_the_legs_are_asked_for_as_much_as_arms_follow_and_never_for_more_than_he_was_taught():
    arms = Arms(CONTRACT)
    live(arms, 2, following=True)
    np.testing.assert_allclose(arms.velocity, [2 / TAKE * 0.4, 0, 0])
    live(arms, 60, following=True)
    np.testing.assert_allclose(arms.velocity, [0.4, 0, 0])
    for _ in range(10):
        arms.follow(chunk(0.0, forwards=100.0), 0.0)
        arms.step(NONE, NONE, following=True)
    assert 0.5 < arms.velocity[0] <= 0.6


def test_a_chunk_may_lead_the_legs_and_leave_the_arms_alone():
    arms, action = Arms(CONTRACT), np.linspace(-1, 1, COUNT)
    for tick in range(200):
        if arms.due:
            arms.follow(chunk(1.0, 0.4, held=float(60 <= tick < 120)), 0.0)
        said = arms.step(action, NONE, following=True)
        assert (said is action) == (arms.share == 0.0)
        if tick in (59, 100, 199):
            assert arms.share == float(tick == 100)
    np.testing.assert_allclose(arms.velocity, [0.4, 0, 0])


def test_progress_is_told_while_something_is_followed():
    arms = Arms(CONTRACT)
    live(arms, 5, following=True)
    assert arms.progress == 0.5
    live(arms, 30, following=False)
    assert arms.progress == 0.0
