import hashlib
import os
import signal
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace

import pytest
from rich.console import Console as RichConsole

from jack_launch.description import NodeSpec
from jack_trainer import session as module
from jack_trainer.display import Display
from jack_trainer.session import (
    HANGING,
    LIFTING,
    LOWERING,
    STANDING,
    GraphEndedError,
    Interrupts,
    Outcome,
    Session,
    Sight,
    TrainGoal,
)
from jack_trainer.supervisor import Death


class FakeClock:
    def __init__(self) -> None:
        self.now = 100.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch):
    clock = FakeClock()
    monkeypatch.setattr(module, "time", clock)
    return clock


@dataclass
class FakeConsole:
    sight: Sight = field(default_factory=Sight)
    outcome: Outcome | None = None
    is_ready: bool = True
    goals: list = field(default_factory=list)
    cancelled: bool = False

    def ready(self):
        return self.is_ready

    def train(self, goal):
        self.goals.append(goal)

    def cancel(self):
        self.cancelled = True


@dataclass
class Play:
    """A session whose every moment is written: at each tick the next act is played."""

    clock: FakeClock
    tmp_path: Path
    acts: list = field(default_factory=list)
    dead: list = field(default_factory=list)
    interrupted: bool = False

    def session(self, console: FakeConsole) -> Session:
        self.file = (self.tmp_path / "out.txt").open("w+")
        display = Display(RichConsole(file=self.file, width=200), interval=0.0)
        return Session(console, display, self.listen, self.deaths, lambda: self.interrupted)

    def listen(self, seconds):
        self.clock.now += seconds
        if self.acts:
            self.acts.pop(0)()
        return []

    def deaths(self):
        dead, self.dead = self.dead, []
        return dead

    def said(self) -> str:
        self.file.seek(0)
        return self.file.read()


@pytest.fixture
def play(clock, tmp_path):
    return Play(clock, tmp_path)


def brain(mode=1, policy="abc", step=1000, fault=""):
    return SimpleNamespace(mode=mode, policy=policy, step=step, fault=fault)


def death(play, name, required):
    log = play.tmp_path / f"{name}.log"
    log.write_text("last words\n")
    return Death(NodeSpec("toys", name, name, required=required), 7, log)


# -- what is seen


def test_the_story_of_a_fall():
    sight = Sight(brain=brain())
    for mode, now in [(HANGING, 0.0), (LOWERING, 1.0), (STANDING, 2.0), (LIFTING, 5.2), (HANGING, 8.0)]:
        sight.on_gantry(mode, now)
    assert sight.events == [
        "Jack is let down onto the policy of step 1,000",
        "Jack stands on his own feet",
        "Jack fell after 3.2 s; he is lifted",
    ]
    assert sight.standing(9.0) == 0.0


def test_what_jack_does_in_words():
    sight = Sight()
    assert sight.live(0.0) == ""
    sight.on_gantry(HANGING, 0.0)
    assert sight.live(0.0) == "hangs on the gantry"
    sight.brain = brain(mode=0, policy="")
    assert sight.live(0.0) == "hangs on the gantry, no policy yet"
    sight.brain = brain()
    sight.on_gantry(STANDING, 10.0)
    assert sight.live(85.0) == "stands, 1:15, the policy of step 1,000"
    sight.brain = brain(mode=2, fault="tilted")
    sight.on_gantry(LIFTING, 86.0)
    assert sight.live(86.0) == "is lifted, damped (tilted), the policy of step 1,000"


# -- training


def test_a_training_ends_with_its_outcome(play):
    console = FakeConsole(is_ready=False)
    outcome = Outcome(True, "passed", "c", "p")
    play.acts = [lambda: None, lambda: setattr(console, "is_ready", True)]
    play.acts += [lambda: None, lambda: setattr(console, "outcome", outcome)]
    assert play.session(console).train(TrainGoal("stand", seed=3)) == outcome
    assert console.goals == [TrainGoal("stand", seed=3)] and not console.cancelled


def test_ctrl_c_lets_the_trainer_checkpoint_first(play):
    console = FakeConsole()
    stopped = Outcome(True, "stopped")
    play.acts = [lambda: None, lambda: setattr(play, "interrupted", True), lambda: None]
    play.acts += [lambda: setattr(console, "outcome", stopped)]
    assert play.session(console).train(TrainGoal("stand")) == stopped
    assert console.cancelled


def test_ctrl_c_does_not_wait_for_ever(play):
    console = FakeConsole()
    console.sight.training = SimpleNamespace(
        phase="stand",
        step=5,
        total_steps=10,
        steps_per_second=1.0,
        mean_return=0.0,
        mean_episode_length=1.0,
        remaining=5.0,
        checkpoint="/runs/a/checkpoints/000000000005",
    )
    play.acts = [lambda: setattr(play, "interrupted", True)]
    begun = play.clock.now
    outcome = play.session(console).train(TrainGoal("stand"))
    assert play.clock.now - begun < 2.0
    assert not outcome.success and outcome.policy == "/runs/a/checkpoints/000000000005/policy.onnx"


def test_ctrl_c_before_anything_began(play):
    play.interrupted = True
    outcome = play.session(FakeConsole(is_ready=False)).train(TrainGoal("stand"))
    assert not outcome.success and "anything to save" in outcome.message


def test_a_dead_trainer_ends_it_and_is_named(play):
    play.dead = [death(play, "trainer", required=True)]
    with pytest.raises(GraphEndedError):
        play.session(FakeConsole()).train(TrainGoal("stand"))
    assert "/trainer died (exit code 7)" in play.said() and "last words" in play.said()


def test_a_dead_simulation_is_named_and_the_training_goes_on(play):
    console = FakeConsole()
    play.dead = [death(play, "sim", required=False)]
    play.acts = [lambda: None, lambda: setattr(console, "outcome", Outcome(True, "passed"))]
    assert play.session(console).train(TrainGoal("stand")).success
    assert "/sim died (exit code 7)" in play.said()


# -- standing


@pytest.fixture
def policy(tmp_path):
    path = tmp_path / "policy.onnx"
    path.write_bytes(b"final")
    return path


def test_only_time_on_the_final_policy_counts(play, clock, policy):
    console = FakeConsole()
    console.sight.on_gantry(STANDING, clock.now - 100.0)
    console.sight.brain = brain(policy="an older one")
    final = hashlib.sha256(b"final").hexdigest()
    play.acts = [lambda: None] * 9 + [lambda: setattr(console.sight, "brain", brain(policy=final))]
    begun = clock.now
    assert play.session(console).stand(policy, 5.0) == 5.0
    assert clock.now - begun == pytest.approx(10 * module.PERIOD + 5.0, abs=0.5)


def test_after_a_fall_the_time_begins_anew(play, clock):
    console = FakeConsole(Sight(brain=brain()))
    console.sight.on_gantry(STANDING, clock.now)
    play.acts = [lambda: None] * 10 + [lambda: console.sight.on_gantry(LIFTING, clock.now)]
    play.acts += [lambda: None] * 10 + [lambda: console.sight.on_gantry(STANDING, clock.now)]
    begun = clock.now
    assert play.session(console).stand(None, 5.0) == 5.0
    assert clock.now - begun == pytest.approx(22 * module.PERIOD + 5.0, abs=0.5)


def test_who_never_stands_is_given_up_in_the_end(play, clock):
    console = FakeConsole(Sight(brain=brain()))
    console.sight.on_gantry(HANGING, clock.now)
    begun = clock.now
    assert play.session(console).stand(None, 5.0) == 0.0
    assert clock.now - begun == pytest.approx(5.0 + module.STAND_GRACE, abs=0.5)


def test_a_damped_jack_does_not_count_as_standing(play, clock):
    console = FakeConsole(Sight(brain=brain(mode=2, fault="tilted")))
    console.sight.on_gantry(STANDING, clock.now)
    assert play.session(console).stand(None, 5.0) == 0.0


def test_nobody_waits_for_a_simulation_that_is_gone(play, clock):
    console = FakeConsole(Sight(brain=brain()))
    play.dead = [death(play, "sim", required=False)]
    begun = clock.now
    assert play.session(console).stand(None, 5.0) == 0.0
    assert clock.now - begun < 1.0


@pytest.mark.parametrize("number", Interrupts.SIGNALS)
def test_signals_are_remembered_and_handlers_put_back(number):
    before = signal.getsignal(number)
    with Interrupts() as interrupts:
        assert not interrupts.came
        os.kill(os.getpid(), number)
        assert interrupts.came
    assert signal.getsignal(number) == before
