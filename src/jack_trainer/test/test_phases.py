import pytest

from jack_contract.errors import UnknownNameError
from jack_trainer.phases import PHASES, phase


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
