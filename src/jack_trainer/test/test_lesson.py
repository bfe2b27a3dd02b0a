import sys
import threading
import types
from pathlib import Path
from types import SimpleNamespace

import pytest

from jack_contract.errors import JackError
from jack_trainer.lesson import Lesson, in_words


class Ear:
    """An audience that remembers."""

    def __init__(self):
        self.heard, self.end, self.lesson = [], threading.Event(), None

    def on_progress(self, progress):
        self.heard.append(progress)

    def on_policy(self, policy):
        self.heard.append(policy)

    def on_end(self, lesson):
        self.lesson = lesson
        self.end.set()


def result(reason="passed", survival=0.98, lacks=""):
    return SimpleNamespace(
        reason=reason, survival=survival, step=1_234_567, seconds=183.4, run=Path("run"), forgot="", lacks=lacks
    )


@pytest.fixture
def teach(monkeypatch):
    """Put a stand-in for the course where the lesson looks for it; its `run` is the given function."""

    def make(run):
        class School:
            def __init__(self, options, listener):
                self.options, self.listener = options, listener

            def run(self, should_stop):
                return run(self, should_stop)

        module = types.ModuleType("jack_trainer.course")
        module.Course = School
        monkeypatch.setitem(sys.modules, "jack_trainer.course", module)

    return make


def test_it_tells_its_audience_and_ends_with_a_result(teach):
    def run(school, should_stop):
        school.listener.on_progress(school.options)
        return result()

    teach(run)
    ear = Ear()
    lesson = Lesson(lambda: "the options", ear)
    assert ear.end.wait(5.0) and ear.lesson is lesson and lesson.over
    assert ear.heard == ["the options"] and lesson.result is not None
    assert lesson.message.startswith("The phase is passed: 1,234,567 steps in 183 s; 98% of")


def test_stop_reaches_the_school(teach):
    begun = threading.Event()

    def run(school, should_stop):
        begun.set()
        while not should_stop():
            pass
        return result("stopped", None)

    teach(run)
    ear = Ear()
    lesson = Lesson(lambda: None, ear)
    assert begun.wait(5.0) and not lesson.over
    lesson.stop()
    lesson.join(5.0)
    assert lesson.over and lesson.message == "Stopped, and nothing is lost: 1,234,567 steps in 183 s"


@pytest.mark.parametrize(
    ("error", "message"),
    [(JackError("no such phase"), "no such phase"), (ZeroDivisionError("x"), "ZeroDivisionError: x")],
)
def test_a_training_that_fails_says_why(teach, error, message):
    def run(school, should_stop):
        raise error

    teach(run)
    ear = Ear()
    lesson = Lesson(lambda: None, ear)
    assert ear.end.wait(5.0)
    assert lesson.over and lesson.result is None and lesson.message == message


def test_options_that_are_refused_are_a_failure_like_any_other(teach):
    def options():
        raise JackError("steps must not be negative")

    teach(lambda school, should_stop: result())
    ear = Ear()
    assert Lesson(options, ear) and ear.end.wait(5.0)
    assert ear.lesson.message == "steps must not be negative"


def test_every_reason_reads_well():
    assert in_words(result("steps", 0.5)).endswith("; 50% of the evaluated episodes ended on his feet")
    told = in_words(result("steps", 0.85, "0.224 m/s off, not 0.2"))
    assert told.startswith("All steps are taken, but the phase is not passed (0.224 m/s off, not 0.2): 1,234,567")
    assert in_words(result("another", None)) == "another: 1,234,567 steps in 183 s"
