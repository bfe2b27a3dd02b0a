"""Episodes in a row, in a graph that does as it is told: no node runs here."""

import io
from dataclasses import dataclass, field
from itertools import islice
from types import SimpleNamespace

import numpy as np
import pytest
from rich.console import Console

from jack_contract.contract import default_contract
from jack_contract.errors import JackError
from jack_sim.layout import layout_of
from jack_trainer.cli import Bags, Record, parse
from jack_trainer.commands import record as recording_command
from jack_trainer.imitation import operators, record_session
from jack_trainer.imitation.bag_file import Subject
from jack_trainer.imitation.definitions import define
from jack_trainer.imitation.facts import Mark, read_facts
from jack_trainer.imitation.operators import Attempt, Deed, Operator, deeds, scripted
from jack_trainer.imitation.record_session import EpisodeOutcome, Plan, graph, record_all
from jack_trainer.imitation.recording import Recorder, RecordingConfig, Request
from jack_trainer.imitation.topics import TOPICS
from jack_trainer.live_graph import FAILED, INTERRUPTED, OK
from jack_trainer.session import HANGING, LIFTING, STANDING
from jack_trainer.tasks.instructions import Goal, Skill
from jack_trainer.tasks.live_expert import meaning, says_done


@dataclass
class FakeGraph:
    """A session and a recorder console in one: a real recorder, and a robot that stands, or falls when told."""

    folder: object
    #: episodes in which he falls, and ticks after which somebody presses Ctrl-C
    falls: tuple[int, ...] = ()
    patience: int = 10_000
    there: bool = True
    stands: bool = True
    #: whether the expert does what he is told
    able: bool = True
    log: list = field(default_factory=list)
    note: str = ""
    said: str = ""
    outcome: EpisodeOutcome | None = None
    ticks: int = 0
    episodes: int = 0

    def __post_init__(self):
        self.console = SimpleNamespace(drive=lambda v: self.log.append(("drive", tuple(v))), sight=self)
        self.display = SimpleNamespace(
            say=lambda text, style="": self.log.append(("say", text)),
            console=Console(file=io.StringIO(), width=200),
        )
        self.gantry, self.status = HANGING, SimpleNamespace(recorded=[3, 4], dropped=[1], elapsed=2.0)
        topic = TOPICS[0]
        config = RecordingConfig(self.folder, reserve_bytes=0)
        subjects = [Subject(topic, "/joint_states", define(topic.type))]
        self._recorder = Recorder(subjects, config, default_contract())

    # -- the session

    def tick(self):
        self.ticks += 1
        if self.gantry != STANDING and self.stands:
            self.gantry = STANDING
        elif self._recorder.episode and self.episodes - 1 in self.falls:
            self.gantry = LIFTING

    def until(self, condition, timeout=1e9):
        for _ in range(3_000):
            if condition():
                return True
            if self.interrupted():
                return False
            self.tick()
        return False

    def interrupted(self):
        return self.ticks > self.patience

    # -- the recorder

    def ready(self):
        return self.there

    def reset(self, seed):
        self.log.append(("reset", seed))
        self.gantry = HANGING
        return True

    def tell(self, sentence):
        self.log.append(("tell", sentence))
        self.said = says_done(meaning(sentence)) if sentence and self.able else "he stands"

    def answered(self):
        return True

    def mark(self, mark, note):
        self.log.append(("mark", mark))
        self._recorder.mark(mark, note)

    def record(self, name, seconds, instruction):
        self.outcome, self.episodes = None, self.episodes + 1
        self._recorder.start(Request(name, instruction=instruction))
        if seconds:
            self._close()

    def begun(self):
        return True

    def cancel(self):
        self._close()

    def _close(self):
        episode = self._recorder.episode
        episode.end("asked")
        episode.join(5.0)
        self._recorder.proceed()
        self.outcome = EpisodeOutcome(True, "done", str(episode.path))


@pytest.fixture(autouse=True)
def hurry(monkeypatch):
    monkeypatch.setattr(record_session, "PATIENCE", 1.0)
    monkeypatch.setattr(operators, "AFTER", 1e-4)


def run(graph, **changes):
    return record_all(graph, graph, Plan(**({"episodes": 3, "seconds": 0.05, "instruction": "walk"} | changes)))


def test_each_episode_begins_with_a_fresh_stand_and_is_marked(tmp_path):
    fake = FakeGraph(tmp_path, falls=(1,))
    assert run(fake) == OK
    facts = [read_facts(path) for path in sorted(tmp_path.iterdir())]
    assert [entry.mark for entry in facts] == [Mark.SUCCESS, Mark.FAILURE, Mark.SUCCESS]
    assert facts[1].note == "fell" and {entry.instruction for entry in facts} == {"walk"}
    assert [value for what, value in fake.log if what == "reset"] == [1, 2, 3]  # never the same start
    told = fake.display.console.file.getvalue()
    assert told.count("not fit") == 3 and "failure" in told and "success" in told
    said = [text for what, text in fake.log if what == "say" and "not fit for training" in text]
    assert len(said) == 3 and "marked as a failure (fell)" in said[1] and "nothing of joint_states" in said[0]


def test_with_nobody_at_the_wheel_he_is_neither_reset_nor_driven_nor_judged(tmp_path):
    fake = FakeGraph(tmp_path)
    assert run(fake, operator="none") == OK
    assert not [entry for entry in fake.log if entry[0] in ("drive", "reset", "mark")]
    assert [read_facts(path).mark for path in tmp_path.iterdir()] == [Mark.NONE] * 3


def test_the_expert_is_told_something_else_at_each_table_and_judged_by_what_he_says(tmp_path):
    fake = FakeGraph(tmp_path, falls=(1,))
    assert run(fake, operator="expert", instruction="") == OK
    facts = [read_facts(path) for path in sorted(tmp_path.iterdir())]
    assert [entry.mark for entry in facts] == [Mark.SUCCESS, Mark.FAILURE, Mark.SUCCESS] and facts[1].note == "fell"
    first, *_ = planned = list(islice(deeds(0), 3))
    assert [entry.instruction for entry in facts] == [deed.sentence for deed in planned]
    assert fake.log[:3] == [("tell", ""), ("reset", first.seed), ("tell", first.sentence)]
    assert not [entry for entry in fake.log if entry[0] == "drive"]


def test_what_the_expert_does_not_do_in_time_is_a_failure(tmp_path, monkeypatch):
    monkeypatch.setitem(operators.PATIENCE, Skill.WAVE, 0.0)
    fake = FakeGraph(tmp_path, able=False)
    assert run(fake, operator="expert", instruction="wave", episodes=1) == OK
    (path,) = tmp_path.iterdir()
    assert read_facts(path).note == "not done within 0 s; the expert: he stands"


def test_an_attempt_ends_a_while_after_it_is_done_or_too_late(monkeypatch):
    monkeypatch.setattr(operators, "AFTER", 1.0)
    wave = Deed(1, Goal(Skill.WAVE), "wave")
    late, good = Attempt(wave, told=10.0), Attempt(wave, told=10.0)
    assert [late.over(now, "point red cube: done") for now in (10.0, 16.0, 16.1)] == [False, False, True]
    assert [good.over(now, "wave: done") for now in (15.5, 16.4, 16.5)] == [False, False, True]
    assert good.done == 15.5 and late.done is None


def test_what_he_is_told_can_be_done_at_tables_that_are_not_examined():
    told = list(islice(deeds(1), 6))
    assert told == list(islice(deeds(1), 6)) != list(islice(deeds(2), 6))
    assert len({deed.seed for deed in told}) == 6 and not any(layout_of(deed.seed).held_out for deed in told)
    assert all(meaning(deed.sentence) == deed.goal and deed.goal.skill is not Skill.WALK for deed in told)
    (red,) = islice(deeds(0, "Tap the red cube!"), 1)
    assert red.goal == Goal(Skill.TOUCH, "red", "cube") and red.sentence == "Tap the red cube!"
    assert layout_of(red.seed).slot("red cube") >= 0


def test_ctrl_c_closes_the_episode_that_runs_and_judges_nothing(tmp_path):
    fake = FakeGraph(tmp_path, patience=40)
    assert run(fake, seconds=1e9) == INTERRUPTED
    (path,) = tmp_path.iterdir()
    assert read_facts(path).mark is Mark.NONE and read_facts(path).ended == "asked"


@pytest.mark.parametrize(
    ("changes", "words"), [({"there": False}, "recorder was not there"), ({"stands": False}, "feet")]
)
def test_what_does_not_come_is_told(tmp_path, changes, words):
    fake = FakeGraph(tmp_path, **changes)
    assert run(fake) == FAILED
    assert any(words in text for what, text in fake.log if what == "say")
    assert list(tmp_path.iterdir()) == []


def test_the_operator_asks_for_something_else_every_few_seconds():
    asked, numbers = [], iter(range(9))
    operator = Operator(lambda: np.full(3, next(numbers)), 4.0, asked.append)
    for now in (10.0, 11.0, 13.9, 14.0, 20.0):
        operator.proceed(now)
    assert [velocity[0] for velocity in asked] == [0, 1, 2]
    first, second, same = (scripted(lambda v: None, seed) for seed in (1, 2, 1))
    for entry in (first, second, same):
        entry.proceed(0.0)
    assert (first.asked == same.asked).all() and (first.asked != second.asked).any()
    assert -0.3 <= first.asked[0] <= 1.0


def test_the_graph_is_the_deployed_one_and_a_recorder(tmp_path):
    given = {"policy": "pretrained", "runs": str(tmp_path), "namespace": ""}
    nodes = graph(Plan(1, 1.0), given, tmp_path, camera=False)
    assert [spec.name for spec in nodes] == ["sim", "driver", "brain", "recorder"]
    assert nodes[-1].required and nodes[-1].parameters["folder"] == str(tmp_path)
    assert "joint_states" in nodes[-1].parameters["topics"]
    assert not [name for name in nodes[-1].parameters["topics"] if name.startswith("camera")]
    alone = graph(Plan(1, 1.0, operator="none"), given | {"policy": ""}, tmp_path)
    assert [spec.name for spec in alone] == ["recorder"] and len(alone[0].parameters["topics"]) == len(TOPICS)
    table = graph(Plan(1, 1.0, operator="expert"), given, tmp_path)
    assert [spec.name for spec in table] == ["sim", "expert", "recorder"] and not table[0].remappings
    assert table[0].parameters["scene"] == "tabletop" and table[1].parameters["policy"].endswith("nano.onnx")
    said = ("expert/status:std_msgs/msg/String:reliable", "sim/table:std_msgs/msg/String:reliable")
    assert table[-1].parameters["topics"][-2:] == said
    with pytest.raises(
        JackError, match=r"no sentence of the grammar, as 'touch the red cube'.* Leave --instruction"
    ):
        graph(Plan(1, 1.0, "make coffee", "expert"), given, tmp_path)
    with pytest.raises(JackError, match=r"\./jack train walk"):
        graph(Plan(1, 1.0), given | {"policy": ""}, tmp_path)
    for plan in (Plan(0, 1.0), Plan(1, -1.0), Plan(1, float("nan"))):
        with pytest.raises(JackError, match="allowed: 1 or more, and 0 or more"):
            graph(plan, given, tmp_path)


def test_the_command_line_says_what_is_recorded(tmp_path, monkeypatch):
    started = []
    monkeypatch.setattr(recording_command, "run_graph", lambda specs, runs, act: started.append(specs) or 0)
    words = ["record", "--episodes", "3", "--seconds", "5", "--instruction", "walk", "--bags", str(tmp_path)]
    command = parse([*words, "--no-camera", "--operator", "none"])
    assert isinstance(command, Record) and command.run() == 0
    assert (command.episodes, command.seconds, command.instruction, command.camera) == (3, 5.0, "walk", False)
    assert started[0][0].parameters["folder"] == str(tmp_path)
    bag = parse(["bag", "check", str(tmp_path), "--gaps"])
    assert isinstance(bag, Bags) and (bag.do, bag.paths, bag.gaps) == ("check", (tmp_path,), True)
    assert parse(["bag"]) == Bags(bags=Bags().bags)
