from collections.abc import Callable
from dataclasses import dataclass, field
from types import SimpleNamespace

import pytest

from jack_trainer import alone, live_graph
from jack_trainer.live_graph import FAILED, INTERRUPTED, OK, Standing, deploy, train
from jack_trainer.session import Outcome, TrainGoal


@dataclass
class FakeSession:
    """A graph in which everything goes as it is told."""

    outcome: Outcome
    stands: float = 10.0
    stopped: bool = False
    note: str = ""
    lines: list[str] = field(default_factory=list)
    driven: list = field(default_factory=list)

    @property
    def display(self):
        return SimpleNamespace(say=lambda line, style="": self.lines.append(line))

    @property
    def console(self):
        return SimpleNamespace(sight=SimpleNamespace(training=None), drive=self.driven.append)

    def train(self, goal):
        return self.outcome

    def stand(self, policy, seconds):
        return min(seconds, self.stands)

    def interrupted(self):
        return self.stopped

    def until(self, condition: Callable[[], bool]):
        while not condition():
            self.lines.append(self.note)
        return True


@pytest.fixture
def written(monkeypatch):
    """The runs that were written about."""
    runs = []

    class FakeWriteUp:
        note, said = "at work", ["  report       the page"]

        def __init__(self, run):
            runs.append(run)
            self._answers = iter([False, True])

        def __enter__(self):
            return self

        def __exit__(self, *_):
            runs.append("left")

        def proceed(self):
            return next(self._answers)

    for module in (live_graph, alone):
        monkeypatch.setattr(module, "WriteUp", FakeWriteUp)
    return runs


@pytest.fixture
def trained(tmp_path):
    policy = tmp_path / "run" / "checkpoints" / "000000000100" / "policy.onnx"
    return Outcome(True, "passed", str(policy.parent), str(policy))


def test_a_training_is_written_about_while_he_lives_on(trained, written, tmp_path):
    session = FakeSession(trained)
    assert train(session, TrainGoal("stand"), Standing(10.0), report=True) == OK
    assert written == [tmp_path / "run", "left"]
    stood, *after = [line for line in session.lines if "stood" in line or "report" in line or line == "at work"]
    assert stood == "Jack stood for 10 s." and after == ["at work", "  report       the page"]


def test_the_report_does_not_decide_how_it_ends(trained, written):
    assert train(FakeSession(trained, stands=1.0), TrainGoal("stand"), Standing(10.0), report=True) == FAILED
    assert len(written) == 2


@pytest.mark.parametrize("stopped", [False, True])
def test_nothing_is_written_about_what_did_not_end_well(trained, written, stopped):
    failed = FakeSession(trained if stopped else Outcome(False, "no"), stopped=stopped)
    assert train(failed, TrainGoal("stand"), Standing(10.0), report=True) == (INTERRUPTED if stopped else FAILED)
    assert train(FakeSession(trained), TrainGoal("stand"), Standing(10.0)) == OK
    assert written == []


def test_a_training_alone_is_written_about_unless_it_was_interrupted(trained, written, tmp_path, monkeypatch):
    told = {"reason": "steps", "survival": 0.5, "step": 1, "seconds": 1.0, "forgot": "", "lacks": ""}
    result = SimpleNamespace(**told, run=tmp_path, policy=trained.policy)
    school = SimpleNamespace(run=lambda should_stop: result)
    monkeypatch.setattr(alone, "Course", lambda *_: school)
    monkeypatch.setattr(alone, "PERIOD", 0.0)
    assert alone.train_alone(alone.TrainOptions()) == OK and written == []
    assert alone.train_alone(alone.TrainOptions(), report=True) == OK and written == [tmp_path, "left"]
    interrupts = SimpleNamespace(came=True, __enter__=None)
    monkeypatch.setattr(alone, "Interrupts", lambda: _Context(interrupts))
    assert alone.train_alone(alone.TrainOptions(), report=True) == INTERRUPTED and len(written) == 2


class _Context:
    def __init__(self, value):
        self._value = value

    def __enter__(self):
        return self._value

    def __exit__(self, *_):
        return None


def test_who_is_deployed_may_be_asked_to_walk():
    session = FakeSession(Outcome(True, ""))
    assert deploy(session, "", Standing(1.0), (0.5, 0.0, 0.0)) == OK and session.driven == [(0.5, 0.0, 0.0)]
    assert deploy(session, "", Standing(1.0)) == OK and len(session.driven) == 1
