from dataclasses import replace

import pytest

from jack_contract.errors import UnknownNameError
from jack_trainer.evaluate import Evaluation
from jack_trainer.phases import PHASES, phase
from jack_trainer.tasks.instructions import Skill


def test_a_phase_is_found_by_its_name():
    assert [phase(name).name for name in PHASES] == list(PHASES)


def test_an_unknown_phase_is_told_the_nearest():
    with pytest.raises(UnknownNameError, match=r"no phase 'stnad'\. Did you mean 'stand'\? Valid: .*stand"):
        phase("stnad")


@pytest.mark.parametrize("name", list(PHASES))
def test_a_phase_can_be_trained_and_passed(name):
    found = phase(name)
    assert found.steps > 0 and found.noise > 0
    assert 0.0 < found.survival <= 1.0
    for (least, most), (low, high) in zip(found.exam.command, found.task.command, strict=True):
        assert low <= least <= most <= high  # he is asked for nothing that he was not taught


def test_who_stands_has_stood_through_20_seconds_of_pushes():
    """At least 95 of 100 episodes of 20 s, pushed by 0.5 m/s every 4 s; the bar is no lower than that."""
    stand = phase("stand")
    assert stand.survival >= 0.95
    pushes = stand.exam.randomization
    assert (stand.exam.episode, pushes.push_interval, pushes.push_speed) == (20.0, (4.0, 4.0), (0.5, 0.5))


def test_who_walks_goes_where_he_is_told():
    walk = phase("walk")
    good = Evaluation(100, 95, 19.5, 90.0, velocity_error=0.2, yaw_rate_error=0.25)
    assert walk.survival <= 0.95 and walk.passes(good)
    for worse in ({"survived": 94}, {"velocity_error": 0.21}, {"yaw_rate_error": 0.26}):
        assert not walk.passes(replace(good, **worse)), worse


def test_who_stands_is_asked_for_no_more_than_to_stand():
    assert phase("stand").passes(Evaluation(100, 95, 19.5, 90.0, velocity_error=9.0, yaw_rate_error=9.0))
    assert not phase("stand").passes(Evaluation(100, 94, 19.5, 90.0))


def test_luck_in_one_exam_ends_no_training():
    stand, walk = phase("stand"), phase("walk")
    assert [stand.surely_passes(Evaluation(100, n, 19.5, 90.0)) for n in (94, 95, 96, 97)] == [False] * 3 + [True]
    for velocity, yaw_rate, sure in (
        (0.139, 0.17, True),
        (0.15, 0.17, False),
        (0.139, 0.18, False),
        (0.21, 0.0, False),
    ):
        found = Evaluation(100, 100, 19.5, 90.0, velocity_error=velocity, yaw_rate_error=yaw_rate)
        assert walk.surely_passes(found) == sure


def test_what_an_exam_lacks_is_said():
    natural, table = phase("natural"), phase("manipulation")
    assert natural.shortfalls(Evaluation(100, 85, 19.5, 90.0, velocity_error=0.2, yaw_rate_error=0.25)) == []
    found = Evaluation(400, 338, 19.5, 90.0, velocity_error=0.2241, yaw_rate_error=0.215)
    assert natural.shortfalls(found) == ["on his feet 84.5%, not 85%", "0.224 m/s off, not 0.2"]
    done = dict.fromkeys(table.done, 1.0) | {Skill.TOUCH: 0.76}
    assert table.shortfalls(Evaluation(100, 100, 5.0, 1.0, done=done)) == ["touch 76.0%, not 80%"]
