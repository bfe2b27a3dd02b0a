import io
import math

import pytest
from rich.console import Console

from jack_trainer.display import Display, Scene, duration

SCENE = Scene("stand", 500_000, 2_000_000, 4600.4, 31.24, 6.4, 326.0, live="hangs on the gantry")


def shown(display: Display) -> str:
    file = display.console.file
    assert isinstance(file, io.StringIO)
    return file.getvalue()


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(7, "0:07"), (200, "3:20"), (3725, "1:02:05"), (59.6, "1:00"), (math.nan, "?"), (math.inf, "?")],
)
def test_durations_read_like_a_clock(seconds, text):
    assert duration(seconds) == text


def test_a_line_says_all_there_is_to_know():
    assert SCENE.line() == (
        "stand  25%, 500,000 of 2,000,000 steps, 4,600 steps/s, return 31.24, episode 6.4 s, 5:26 left; "
        "Jack hangs on the gantry"
    )


def test_before_the_first_update_it_says_what_it_waits_for():
    assert Scene(note="starting").line() == "starting"
    assert "nan" not in Scene("stand", 0, 10).line()


def test_more_steps_than_planned_are_still_all_of_them():
    assert Scene("stand", 11, 10).fraction == 1.0


def test_without_a_terminal_lines_come_now_and_then_and_never_twice():
    display = Display(Console(file=io.StringIO(), width=200), interval=0.0)
    with display:
        display.show(SCENE)
        display.show(SCENE)
        display.say("a word")
    assert shown(display) == f"{SCENE.line()}\na word\n"
    patient = Display(Console(file=io.StringIO(), width=200), interval=60.0)
    with patient:
        patient.show(SCENE)
        patient.show(Scene("walk", 1, 2))
    assert shown(patient).count("\n") == 1


def test_on_a_terminal_it_draws_a_bar_and_leaves_what_was_said():
    display = Display(Console(file=io.StringIO(), force_terminal=True, width=160))
    with display:
        display.show(SCENE)
        display.say("Jack is let down")
    text = shown(display)
    assert "━" in text and "4,600 steps/s" in text and "hangs on the gantry" in text
    assert "Jack is let down" in text
