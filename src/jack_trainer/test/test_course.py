"""Several phases in one run: what is handed on, what is published, and that a kill at any moment costs nothing."""

import hashlib
import json
import subprocess
import sys
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path

import onnx
import pytest
import torch

from jack_brain import policy_file
from jack_brain.network.brain import Inputs
from jack_brain.policy import Policy, PolicyLimits
from jack_contract.errors import JackError, PolicyError
from jack_contract.gait import Beat
from jack_launch.graphs import pretrained_policy
from jack_trainer import course, forgetting, progress_file, school, status, transcript
from jack_trainer.checkpoint import HELD, POLICY, checkpoints, newest_checkpoint, read_checkpoint
from jack_trainer.course import Course
from jack_trainer.evaluate import Evaluation, evaluate
from jack_trainer.exam import find_policy
from jack_trainer.imitation.dagger import PracticeConfig
from jack_trainer.imitation.mocap.motion import save_motion
from jack_trainer.phases import PHASES
from jack_trainer.progress_file import find_run
from jack_trainer.rl.ppo import PPOConfig
from jack_trainer.sources import Sources
from jack_trainer.training import TrainOptions

sys.path.insert(0, str(Path(__file__).parent))
from test_dataset import standing
from test_dataset import write as write_bag
from walking_clip import walking_clip

COUNT = 4
#: Environment steps of one update.
UPDATE = COUNT * 4


class Notes:
    """A listener that remembers."""

    def __init__(self):
        self.progress, self.policies, self.news = [], [], []

    def on_progress(self, progress):
        self.progress.append(progress)

    def on_policy(self, policy):
        assert policy.path.name != HELD and policy.path.is_file()
        self.policies.append((policy.phase, policy.step))

    def on_news(self, news):
        self.news.append(news)


class Exporter:
    """A policy file that only says how it came about."""

    def __init__(self, brain, *, command):
        pass

    def export(self, provenance):
        return json.dumps(provenance).encode()


def stand_in_exams(monkeypatch):
    """Have exams end as the result says, by skill: a share of survivors, or of each the next of a list of them."""
    found = {"stand": 1.0, "walk": 1.0, "error": 0.1, "held": []}

    def evaluate(decide, contract, task, *_):
        skill = "walk" if any(high for _, high in task.command) else "stand"
        found["held"].append(skill)
        share = found[skill].pop(0) if isinstance(found[skill], list) else found[skill]
        return Evaluation(100, round(100 * share), 20.0, 60.0, found["error"], 0.1)

    monkeypatch.setattr(school, "evaluate", evaluate)
    monkeypatch.setattr(forgetting, "SURE", 100)  # a share is what they say, without doubt
    return found


def course_maker(monkeypatch, folder):
    """Makes courses of a few robots that save after every update; a phase has two."""
    monkeypatch.setattr(school, "PolicyExporter", Exporter)
    monkeypatch.setattr(school, "PolicyActor", lambda policy: policy)
    for name in ("stand", "walk"):
        brief = replace(PHASES[name].ppo, rollout=4, epochs=1, minibatches=1)
        monkeypatch.setitem(PHASES, name, replace(PHASES[name], ppo=brief))

    def make(listener=None, updates=2, **changes):
        given = {"phase": "stand,walk", "steps": updates * UPDATE, "environments": COUNT, "runs": folder}
        given |= {"checkpoint_interval": 0.0, "exam_interval": 0.0, "until_passed": False, "keep": 2}
        return Course(TrainOptions(**{**given, **changes}), listener or Notes())

    return make


@pytest.fixture
def exams(monkeypatch):
    """Says what comes of the exams."""
    return stand_in_exams(monkeypatch)


@pytest.fixture
def make_course(exams, tmp_path, monkeypatch):
    """A course of a few robots."""
    return course_maker(monkeypatch, tmp_path)


def names(run):
    """What lies in each checkpoint for a policy, by step in updates."""
    return {
        int(path.name) // UPDATE: POLICY if (path / POLICY).is_file() else HELD
        for path in checkpoints(run / "checkpoints")
    }


def provenance(path):
    return json.loads(path.read_bytes())


# -- one phase after another


def test_each_phase_goes_on_with_the_brain_that_the_one_before_has_left(make_course, monkeypatch):
    begun = []
    make = school.make_learner
    monkeypatch.setattr(school, "make_learner", lambda taught, start, options: begun.append(
        {name: tensor.clone() for name, tensor in start.brain.state_dict().items()}
    ) or make(taught, start, options))  # fmt: skip
    notes = Notes()
    result = make_course(notes).run()
    assert (result.reason, result.step, result.forgot) == ("passed", 4 * UPDATE, "")
    assert result.run.name.endswith("-stand-walk")
    assert [(p.phase, p.step // UPDATE) for p in notes.progress] == [
        ("stand", 1), ("stand", 2), ("walk", 1), ("walk", 2),
    ]  # fmt: skip
    stood = read_checkpoint(result.run / "checkpoints" / f"{2 * UPDATE:012d}")
    assert stood.numbers.phase == "stand" and newest_checkpoint(result.run / "checkpoints").numbers.phase == "walk"
    average = stood.part("average")
    assert begun[1].keys() == average.keys()
    spread = "action_head.log_std"
    assert all(torch.equal(begun[1][name], average[name]) for name in average if name != spread)
    # He who stands quietly explores too little to find out how to walk.
    assert (average[spread].exp() < 1.01).all() and begun[1][spread].exp().tolist() == pytest.approx([1.6] * 21)
    assert not torch.equal(begun[1]["normaliser.mean"], begun[0]["normaliser.mean"])
    assert any("walk begins" in news for news in notes.news)


def test_the_transcript_has_the_matrix_and_where_all_of_it_comes_from(make_course, exams):
    exams.update(stand=[0.97, 0.96])
    result = make_course().run()
    stand, walk = transcript.read(result.run).entries
    assert (stand.phase, stand.parent, stand.begun, stand.step, stand.ended) == (
        "stand",
        "",
        0,
        2 * UPDATE,
        "passed",
    )
    parent = read_checkpoint(result.run / "checkpoints" / f"{2 * UPDATE:012d}")
    assert (walk.parent, walk.parent_phase, walk.begun) == (parent.digest, "stand", 2 * UPDATE)
    assert {name: score.survived for name, score in stand.scores.items()} == {"stand": 97}
    assert {name: score.survived for name, score in walk.scores.items()} == {"stand": 96, "walk": 100}
    told = provenance(result.policy)
    assert (told["phase"], told["step"], told["parent"]) == ("walk", 4 * UPDATE, parent.digest)
    assert (told["bags"], told["clips"]) == ({}, {})


def test_checkpoints_of_a_later_phase_wait_for_the_exam_of_the_first_skill(make_course):
    """Live robots keep the policy that stands until one that walks has shown that it stands as well."""
    notes = Notes()
    result = make_course(notes, updates=3).run()
    assert notes.policies == [("stand", n * UPDATE) for n in (1, 2, 3, 3)] + [("walk", 6 * UPDATE)]
    # the last two of each phase, and the last of standing in any case
    assert names(result.run) == {3: POLICY, 5: HELD, 6: POLICY}
    assert find_policy(result.run, result.run.parent) == result.policy


def test_a_parents_last_checkpoint_outlives_any_number_of_newer_ones(make_course):
    result = make_course(updates=6, keep=1).run()
    assert names(result.run) == {6: POLICY, 12: POLICY}


def test_a_single_phase_is_a_course_of_one(make_course):
    notes = Notes()
    result = make_course(notes, phase="walk").run()
    assert notes.policies == [("walk", n * UPDATE) for n in (1, 2, 2)] and result.run.name.endswith("-walk")
    (entry,) = transcript.read(result.run).entries
    assert (entry.phase, entry.parent, entry.ended, list(entry.scores)) == ("walk", "", "passed", ["walk"])
    assert notes.news == []


# -- forgetting


def test_who_forgot_how_to_stand_is_kept_and_not_published(make_course, exams, capsys):
    exams.update(stand=[0.97, 0.94])
    notes = Notes()
    result = make_course(notes, phase="stand,walk").run()
    assert {phase for phase, _ in notes.policies} == {"stand"}
    assert (result.reason, result.step) == ("passed", 4 * UPDATE)  # of its own exam
    words = "stand: 94% of the episodes end on his feet, 97% did (allowed: 2% less)"
    assert result.forgot == words
    assert any("kept, not published" in news and words in news for news in notes.news)
    assert names(result.run)[4] == HELD and names(result.run)[2] == POLICY
    assert result.policy.parent.name == f"{2 * UPDATE:012d}"  # what robots have
    assert find_policy(result.run, result.run.parent) == result.policy
    assert transcript.read(result.run).entries[1].forgot == [words]
    status.show(result.run)
    shown = capsys.readouterr().out
    assert "passed, forgot" in shown and "stand: 94%" in shown.replace("\n", " ")


def test_two_in_a_hundred_may_fall_that_did_not(make_course, exams):
    exams.update(stand=[0.97, 0.95])
    notes = Notes()
    assert make_course(notes).run().forgot == "" and notes.policies[-1] == ("walk", 4 * UPDATE)


def test_nothing_is_taught_on_top_of_what_forgot(make_course, exams, monkeypatch):
    monkeypatch.setitem(PHASES, "run", replace(PHASES["walk"], name="run"))
    exams.update(stand=[0.97, 0.5])
    result = make_course(phase="stand,walk,run").run()
    assert result.forgot and [entry.phase for entry in transcript.read(result.run).entries] == ["stand", "walk"]
    assert progress_file.read(result.run).ended == "passed"


def test_an_exam_in_the_middle_publishes_and_passes_only_who_forgot_nothing(make_course, exams, monkeypatch):
    """After the second update he walks, but has forgotten to stand: the phase goes on, robots keep the first."""
    exams.update(
        stand=[0.97, 0.97, 0.5, 0.97], walk=[0.5, 1.0, 1.0, 1.0, 1.0, 1.0]
    )  # a look that fails, though the exam would not
    monkeypatch.setattr(school.School, "_is_ready", lambda student: student.phase.name == "walk")
    notes = Notes()
    result = make_course(notes, updates=5, until_passed=True).run()
    assert [step // UPDATE for phase, step in notes.policies if phase == "walk"] == [6, 8, 8]
    assert (result.reason, result.step, result.forgot) == ("passed", 8 * UPDATE, "")
    assert names(result.run) == {5: POLICY, 7: HELD, 8: POLICY}
    assert exams["held"] == ["stand"] + ["walk", "walk", "stand"] * 3  # a look, and both exams


def test_a_phase_whose_exam_does_not_say_all_uses_its_steps(make_course, exams, monkeypatch):
    monkeypatch.setattr(school.School, "_is_ready", lambda student: student.phase.name == "walk")
    monkeypatch.setitem(PHASES, "walk", replace(PHASES["walk"], thorough=True))
    notes = Notes()
    result = make_course(notes, updates=3, until_passed=True).run()
    assert [step // UPDATE for phase, step in notes.policies if phase == "walk"] == [4, 5, 6, 6]
    assert (result.reason, result.step) == ("passed", 6 * UPDATE)


def test_what_was_published_outlives_newer_ones_that_are_not(make_course, exams, monkeypatch):
    exams.update(stand=[0.97, 0.97, *[0.5] * 9], walk=[0.5, 0.5, *[1.0] * 18])
    monkeypatch.setattr(school.School, "_is_ready", lambda student: student.phase.name == "walk")
    notes = Notes()
    result = make_course(notes, updates=8, until_passed=True).run()
    assert result.forgot and notes.policies[-1] == ("walk", 9 * UPDATE)
    assert names(result.run) == {8: POLICY, 9: POLICY, 15: HELD, 16: HELD}
    assert result.policy.parent.name == f"{9 * UPDATE:012d}"


@pytest.mark.parametrize(("error", "forgot"), [(0.11, False), (0.111, True)])
def test_a_tenth_more_he_may_err_where_it_counts(make_course, exams, monkeypatch, error, forgot):
    """Not where he was only taught to stand: who takes a step when pushed is further away, and that is well."""
    monkeypatch.setitem(
        PHASES, "run", replace(PHASES["walk"], name="run", exam=replace(PHASES["walk"].exam, still=0.2))
    )
    real = school.evaluate

    def evaluate(decide, contract, task, *_):
        exams["error"] = error if begun and task.still == 0.1 else 0.1
        begun.extend([1] * (task.still == 0.2))
        return real(decide, contract, task)

    begun = []
    monkeypatch.setattr(school, "evaluate", evaluate)
    result = make_course(phase="walk,run").run()
    assert bool(result.forgot) == forgot
    if forgot:
        assert "walk: he errs by 0.111 m/s, it was 0.100 (allowed: 10% more)" in result.forgot


def test_who_had_passed_and_then_forgot_is_taken_as_he_was(make_course, exams, monkeypatch):
    """He passes in the middle of a phase that uses all its steps, and falls at its end."""
    exams.update(stand=[0.97, 0.97, *[0.5] * 2, *[0.97] * 4], walk=[1.0] * 20)
    monkeypatch.setattr(school.School, "_is_ready", lambda student: student.phase.name == "walk")
    monkeypatch.setitem(PHASES, "walk", replace(PHASES["walk"], thorough=True))
    monkeypatch.setitem(PHASES, "run", replace(PHASES["walk"], name="run", thorough=False))
    notes = Notes()
    result = make_course(notes, phase="stand,walk,run", updates=3, until_passed=True).run()
    _, walk, run = transcript.read(result.run).entries
    assert (walk.ended, walk.step, walk.forgot, walk.scores["stand"].survived) == ("passed", 4 * UPDATE, [], 97)
    assert run.begun == 4 * UPDATE
    assert run.parent == read_checkpoint(result.run / "checkpoints" / f"{4 * UPDATE:012d}").digest
    assert sorted(int(path.name) // UPDATE for path in (result.run / "worse").iterdir()) == [5, 6]
    assert (result.reason, result.step) == ("passed", 7 * UPDATE)


def test_a_phase_that_was_passed_on_the_way_is_passed_though_its_end_is_worse(make_course, exams, monkeypatch):
    exams.update(stand=[0.97] * 9, walk=[1.0, 1.0, *[0.5] * 9])
    monkeypatch.setattr(school.School, "_is_ready", lambda student: student.phase.name == "walk")
    monkeypatch.setitem(PHASES, "walk", replace(PHASES["walk"], thorough=True))
    run = make_course(phase="stand,walk", updates=3, until_passed=True).run()
    assert (run.reason, run.step, run.survival, run.forgot) == ("passed", 4 * UPDATE, 1.0, "")
    assert run.checkpoint.name == run.policy.parent.name == f"{4 * UPDATE:012d}"
    again = make_course(phase="stand,walk", updates=3, resume=run.run).run()  # it learns those steps again
    assert (again.reason, again.step) == ("passed", 4 * UPDATE)


@pytest.mark.slow
def test_a_phase_that_really_ruins_him_is_not_published(tmp_path, monkeypatch):
    """Real exams of the brain that ships: who learns in steps a hundred times too long does not stand any more."""
    monkeypatch.setattr(school, "evaluate", lambda decide, contract, task, _: evaluate(decide, contract, task, 10))
    monkeypatch.setattr(forgetting, "SURE", 10)
    monkeypatch.setitem(
        PHASES,
        "more",
        replace(PHASES["walk"], name="more", ppo=PPOConfig(rollout=4, rate=0.1, rate_bounds=(0.1, 0.1))),
    )
    notes = Notes()
    given = {"environments": COUNT, "runs": tmp_path, "until_passed": False, "parent": Path("pretrained")}
    result = Course(TrainOptions("more", steps=2 * UPDATE, **given), notes).run()
    walk, more = transcript.read(result.run).entries
    assert walk.scores["walk"].survival >= 0.9 > 0.5 > more.scores["walk"].survival
    assert "walk: " in result.forgot and [phase for phase, _ in notes.policies] == ["walk"]
    assert {*names(result.run).values()} == {HELD}


# -- from a checkpoint of another run


def test_a_run_begins_from_another_ones_newest_published_checkpoint(make_course, exams, tmp_path):
    exams.update(stand=[0.97, 0.96])
    first = make_course(phase="stand").run()
    notes = Notes()
    second = make_course(notes, phase="walk", parent=first.run).run()
    assert second.run != first.run and second.step == 4 * UPDATE
    stand, walk = transcript.read(second.run).entries
    assert stand == transcript.read(first.run).entries[0]
    assert walk.parent == read_checkpoint(first.checkpoint).digest and walk.scores["stand"].survived == 96
    assert notes.policies == [
        ("stand", 2 * UPDATE),
        ("walk", 4 * UPDATE),
    ]  # at first the old one
    assert make_course(phase="walk", parent=first.checkpoint)._start.parent == first.checkpoint
    assert make_course(phase="walk", parent=Path(first.run.name))._start.parent == first.checkpoint


def test_a_checkpoint_that_nobody_examined_is_examined_before_anything_is_taught(make_course, exams):
    first = make_course(phase="stand").run()
    (first.run / transcript.NAME).unlink()  # as of a run of an earlier version
    exams["held"].clear()
    exams.update(stand=[0.9, 0.89])
    second = make_course(phase="walk", parent=first.checkpoint).run()
    assert exams["held"] == ["stand", "walk", "stand"]
    stand, walk = transcript.read(second.run).entries
    assert (stand.phase, stand.step, stand.scores["stand"].survived) == ("stand", 2 * UPDATE, 90)
    assert walk.scores["stand"].survived == 89 and second.forgot == ""


def test_a_run_begins_from_the_policy_that_ships(make_course, exams, contract):
    """It has all weights that decide, and the critic's; what it has seen so far counts as much as its steps."""
    shipped = pretrained_policy()
    told = Policy.load(shipped, contract, PolicyLimits(period_share=100.0))
    student = make_course(phase="stand", parent=Path("pretrained"))._school(PHASES["stand"], shipped)
    seen = student.learner.environment.reset()
    action, value = told.infer(seen.proprioception[0], seen.command[0])
    with torch.no_grad():
        brain = student.learner.average
        output = brain(Inputs(torch.from_numpy(seen.proprioception), torch.from_numpy(seen.command)))
    assert output.mean[0].numpy() == pytest.approx(action, abs=1e-4)
    assert float(brain.value_normaliser.restore(output.value)[0]) == pytest.approx(value, abs=1e-2)
    assert float(brain.normaliser.count) == told.step == student.step
    assert student.gate.entry.parent == hashlib.sha256(shipped.read_bytes()).hexdigest()


@pytest.mark.parametrize("damage", ["cut", "flipped"])
def test_a_damaged_policy_file_is_nothing_to_begin_from(make_course, tmp_path, damage):
    data = bytearray(pretrained_policy().read_bytes())
    if damage == "cut":
        del data[-1000:]
    else:
        data[len(data) // 2] ^= 1
    (tmp_path / "a.onnx").write_bytes(data)
    with pytest.raises(PolicyError, match="cut off" if damage == "cut" else "damaged"):
        make_course(phase="stand", parent=tmp_path / "a.onnx").run()


def test_a_policy_from_before_beats_had_a_speed_is_nothing_to_begin_from(make_course, tmp_path):
    """Its feet would be led at another rhythm than it has learnt."""
    model = onnx.load_from_string(pretrained_policy().read_bytes()[: -policy_file.SEAL_SIZE])
    entries = {entry.key: entry.value for entry in model.metadata_props}
    told = json.loads(entries[policy_file.PROVENANCE]) | {"gait_period": 0.9}
    onnx.helper.set_model_props(model, entries | {policy_file.PROVENANCE: json.dumps(told)})
    old = tmp_path / "old.onnx"
    old.write_bytes(policy_file.seal(model.SerializeToString()))
    with pytest.raises(PolicyError, match="train it anew"):
        make_course(phase="walk", parent=old).run()


def test_more_of_the_same_phase_is_not_held_against_it_nor_explores_anew(make_course, exams, monkeypatch):
    first = make_course(phase="stand").run()
    notes, spread, make = Notes(), [], school.make_learner
    monkeypatch.setattr(school, "make_learner", lambda taught, start, options: spread.append(
        start.brain.log_std.detach().clone()
    ) or make(taught, start, options))  # fmt: skip
    second = make_course(notes, phase="stand", parent=first.run).run()
    assert torch.equal(spread[0], read_checkpoint(first.checkpoint).part("average")["action_head.log_std"])
    (entry,) = transcript.read(second.run).entries
    assert (entry.phase, entry.begun, entry.parent_phase) == ("stand", 2 * UPDATE, "stand")
    assert notes.policies[0] == ("stand", 3 * UPDATE)


def test_a_brain_of_another_size_or_contract_is_refused(make_course, contract, monkeypatch):
    first = make_course(phase="stand").run()
    with pytest.raises(JackError, match="another size; add --brain"):
        make_course(phase="walk", parent=first.checkpoint, brain="small").run()
    other = replace(contract, observation=replace(contract.observation, clip=99.0))
    monkeypatch.setattr(school, "default_contract", lambda: other)
    with pytest.raises(JackError, match="another contract"):
        make_course(phase="walk", parent=first.checkpoint).run()


# -- going on


def stopped_at(begun, updates):
    """Let a course run until so many updates have been made in all."""
    heard = begun._listener.progress
    return begun.run(lambda: len(heard) >= updates)


@pytest.mark.parametrize("updates", [1, 3])
def test_a_course_that_was_stopped_goes_on_in_the_phase_that_it_was_in(make_course, updates):
    spared = make_course(seed=3).run()
    stopped = stopped_at(make_course(seed=3), updates)
    assert stopped.reason == "stopped" and stopped.step == updates * UPDATE
    notes = Notes()
    again = make_course(notes, seed=3, phase="", resume=stopped.run).run()
    assert again.run == stopped.run and len(notes.progress) == 4 - updates
    assert_same(again.run, spared.run)


def test_a_finished_run_can_be_taught_more(make_course):
    first = make_course(phase="stand").run()
    notes = Notes()
    second = make_course(notes, phase="stand,walk", resume=first.run).run()
    assert second.run == first.run and [p.phase for p in notes.progress] == ["walk", "walk"]
    assert_same(second.run, make_course().run().run)


def test_a_run_of_before_transcripts_goes_on(make_course):
    first = make_course(phase="stand").run()
    (first.run / transcript.NAME).unlink()
    again = make_course(phase="", resume=first.run, updates=3).run()
    assert again.step == 3 * UPDATE and transcript.read(first.run).entries[0].ended == "passed"


def test_what_offers_itself_after_a_resume_is_what_was_published(make_course):
    stopped = stopped_at(make_course(), 3)
    notes = Notes()
    make_course(notes, phase="", resume=stopped.run).run()
    assert notes.policies[0] == ("stand", 2 * UPDATE) and notes.policies[1:] == [("walk", 4 * UPDATE)]


def test_a_run_that_began_from_another_one_offers_that_until_it_has_something_better(make_course):
    first = make_course(phase="stand").run()
    stopped = stopped_at(make_course(phase="walk", parent=first.run), 1)
    assert set(names(stopped.run).values()) == {HELD}
    notes = Notes()
    make_course(notes, phase="", resume=stopped.run).run()
    assert notes.policies == [("stand", 2 * UPDATE), ("walk", 4 * UPDATE)]


def test_a_watcher_sees_one_training_until_its_last_phase_is_over(make_course, tmp_path):
    ends = []

    class Watcher(Notes):
        def on_progress(self, progress):
            super().on_progress(progress)
            if (progress.run / "status.json").exists():
                ends.append(progress_file.read(progress.run).ended)

    result = make_course(Watcher()).run()
    assert set(ends) == {""} and progress_file.read(result.run).ended == "passed"


def assert_same(run, other):
    """Two runs have come to the same, bit for bit."""
    ours, theirs = (newest_checkpoint(folder / "checkpoints") for folder in (run, other))
    assert ours.numbers.model_dump(exclude={"seconds"}) == theirs.numbers.model_dump(exclude={"seconds"})
    assert ours.tensors.keys() == theirs.tensors.keys()
    for name, tensor in ours.tensors.items():
        assert torch.equal(tensor, theirs.tensors[name]), name
    assert names(run) == names(other)
    told, others = transcript.read(run), transcript.read(other)
    for entry in (*told.entries, *others.entries):
        entry.parent = ""  # the digest of a checkpoint in which there are seconds
    assert told == others


#: What is torn by a kill: a function, and whether that comes before or after what it does.
TORN = [
    (module, name, after)
    for module, name in (("checkpoint", "write_checkpoint"), ("checkpoint", "publish"), ("transcript", "write"))
    for after in (False, True)
]


@pytest.mark.slow
@pytest.mark.parametrize(("module", "name", "after"), TORN)
def test_kill_9_wherever_something_is_written_and_all_is_as_if_nobody_had(
    make_course, tmp_path, module, name, after
):
    """In the middle of each phase and between two: every single call of what writes, one after the other."""
    spared = make_course(seed=3).run().run
    script = Path(__file__).with_name("kill_course.py")
    words = [sys.executable, str(script), module, name, "after" if after else "before", str(tmp_path)]
    subprocess.run(words, check=True, timeout=120)
    begun = sorted(tmp_path.glob("killed*"), key=lambda folder: int(folder.name.removeprefix("killed")))
    *killed, whole = begun
    assert_same(find_run("newest", whole), spared)
    for runs in killed:
        try:
            found = {"resume": find_run("newest", runs, resumable=True), "phase": ""}
        except JackError:  # killed before there was anything to go on from
            found = {}
        assert_same(make_course(seed=3, runs=runs, **found).run().run, spared)
    assert len(killed) >= (1 if name == "publish" else 5)


# -- what makes no sense


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"phase": "stand,fly"}, "no phase 'fly'"),
        ({"phase": "stand,,walk"}, "phases is 'stand,,walk'; expected names with commas"),
        ({"phase": "walk,walk"}, "each once"),
        ({"phase": ""}, "phases is ''"),
        ({"bags": (Path("a.mcap"),)}, "No phase of 'stand,walk' learns from bags: leave out --bags"),
        ({"parent": Path("nowhere")}, "no run with a checkpoint 'nowhere'"),
    ],
)
def test_a_course_that_makes_no_sense_is_refused_before_anything_is_written(make_course, tmp_path, changes, words):
    with pytest.raises(JackError, match=words):
        make_course(**changes)
    assert list(tmp_path.iterdir()) == []


def test_what_a_phase_needs_is_asked_for_before_anything_is_trained(make_course, tmp_path):
    with pytest.raises(JackError, match=r"'natural' learns from motions: add --clips FILE \.\.\. \(\./jack mocap"):
        make_course(phase="walk,natural")
    with pytest.raises(JackError, match=r"walk\.safetensors is no motion of Jack"):
        make_course(phase="walk,natural", clips=(tmp_path / "walk.safetensors",))
    with pytest.raises(
        JackError, match=r"'clone' learns from demonstrations: add --bags BAG \.\.\. \(\./jack record"
    ):
        make_course(phase="clone")
    with pytest.raises(JackError, match=r"nothing is no bag: expected a file that ends in \.mcap"):
        make_course(phase="walk,clone", bags=(tmp_path / "nothing",))
    assert list(tmp_path.iterdir()) == []


@pytest.fixture
def natural(make_course, tmp_path, monkeypatch):
    """A course with a phase that learns from a clip, on paper: what it does with it is another test's matter."""
    clip, make = tmp_path / "walk.safetensors", school.make_learner
    clip.write_bytes(b"a clip")
    monkeypatch.setattr(
        school,
        "make_learner",
        lambda taught, *others: make(replace(taught, style=None, ppo=PHASES["walk"].ppo), *others),
    )
    monkeypatch.setattr(
        course,
        "find_sources",
        lambda *_: Sources(clips={hashlib.sha256(clip.read_bytes()).hexdigest(): clip}),
    )
    return partial(make_course, clips=(clip,), runs=tmp_path / "runs"), clip


def test_a_phase_that_builds_on_another_one_wants_one(natural):
    make, _ = natural
    with pytest.raises(JackError, match=r"--phases walk,natural, or add --from"):
        make(phase="natural")


def test_a_checkpoint_names_every_clip_that_it_learnt_from(natural):
    make, clip = natural
    told = {hashlib.sha256(b"a clip").hexdigest(): "walk.safetensors"}
    stopped = stopped_at(make(phase="stand,natural,walk"), 3)
    assert provenance(next(stopped.checkpoint.glob("*.onnx")))["clips"] == told
    clip.write_bytes(b"another")
    with pytest.raises(JackError, match=r"began with other clips: missing or changed are walk\.safetensors"):
        make(phase="", resume=stopped.run).run()
    clip.write_bytes(b"a clip")
    result = make(phase="", resume=stopped.run).run()
    assert (provenance(result.policy)["phase"], provenance(result.policy)["clips"]) == ("walk", told)
    stand, natural, walk = transcript.read(result.run).entries
    assert (stand.clips, natural.clips, walk.clips) == ({}, told, {})


@pytest.fixture
def quick_lessons(monkeypatch):
    """Style and cloning in a few samples."""
    natural, clone = PHASES["natural"], PHASES["clone"]
    monkeypatch.setitem(PHASES, "natural", replace(natural, ppo=replace(natural.ppo, rollout=4, epochs=1)))
    practice = PracticeConfig(rounds=2, length=3)
    config = replace(clone.cloning, batch=8, steps=2, between=1, practice=practice, held_out=0.25)
    monkeypatch.setitem(PHASES, "clone", replace(clone, cloning=config))


@pytest.fixture
def sources(tmp_path, monkeypatch):
    """A clip of walking and two bags of standing, none of them worth learning."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    clip, bags = tmp_path / "walk.safetensors", tmp_path / "bags"
    save_motion(clip, walking_clip())
    for name, count in (("one", 20), ("two", 24)):
        write_bag(bags / name, standing(count))
    return {"clips": (clip,), "bags": (bags,), "runs": tmp_path / "runs"}


def test_all_learners_follow_each_other_and_go_on_bit_for_bit(make_course, quick_lessons, sources, monkeypatch):
    tasks, evaluate = [], school.evaluate
    monkeypatch.setattr(school, "evaluate", lambda d, c, task, *_: tasks.append(task) or evaluate(d, c, task))
    phases = "walk,natural,clone,stand"
    spared = make_course(phase=phases, seed=3, **sources).run()
    walk, natural, clone, stand = transcript.read(spared.run).entries
    assert [len(entry.scores) for entry in (walk, natural, clone, stand)] == [1, 2, 3, 4]
    assert (list(natural.clips.values()), natural.bags, clone.clips) == (["walk.safetensors"], {}, {})
    assert sorted(clone.bags.values()) == ["one", "two"]
    told = provenance(spared.policy)
    assert (told["clips"], told["bags"]) == (natural.clips, clone.bags) and told["phase"] == "stand"
    # the clip's beat, and from then on his own
    beats = [entry.beat for entry in (walk, natural, clone, stand)]
    assert beats[0] is None and beats[1:] == [beats[1]] * 3
    assert asdict(beats[1]) == pytest.approx({"period": 52 * 0.02, "speed": 0.8})
    assert Beat.read(told["beat"]) == beats[-1]
    assert [task.beat for task in tasks[:2]] == beats[:2] and tasks[-1].beat == beats[-1]
    for updates in (3, 5):
        stopped = stopped_at(make_course(phase=phases, seed=3, **sources), updates)
        assert stopped.reason == "stopped"
        again = make_course(phase="", seed=3, resume=stopped.run)
        assert_same(again.run().run, spared.run)


def test_bags_that_are_not_fit_are_left_out_and_told(make_course, quick_lessons, sources):
    write_bag(sources["bags"][0] / "three", standing(20), leave_out=("/imu/data",))
    notes = Notes()
    result = make_course(notes, phase="clone", bags=sources["bags"], runs=sources["runs"]).run()
    assert sorted(transcript.read(result.run).entries[0].bags.values()) == ["one", "two"]
    (news,) = notes.news
    assert news.startswith("three is not learnt from: ") and "nothing of imu/data" in news


def test_going_on_and_beginning_from_something_are_two_things(make_course):
    run = make_course(phase="stand").run().run
    with pytest.raises(JackError, match="leave out --from, or --resume"):
        make_course(resume=run, parent=run)
    with pytest.raises(JackError, match=r"is of phase 'stand', and walk is asked for"):
        make_course(resume=run, phase="walk")


def test_a_torn_transcript_is_said_to_be_torn(make_course):
    run = make_course(phase="stand").run().run
    (run / transcript.NAME).write_bytes(b'{"version": 1, "entr')
    with pytest.raises(JackError, match=r"transcript\.json is no transcript.*--from CHECKPOINT"):
        make_course(resume=run, phase="stand,walk")
