import errno
import hashlib
import json
import math
import os
from dataclasses import replace

import numpy as np
import pytest
import torch
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from jack_brain.network.brain import Brain, Inputs
from jack_brain.policy import Policy, PolicyLimits
from jack_contract.errors import JackError, PolicyError
from jack_sim.randomization import RANDOMIZATIONS
from jack_trainer import progress_file, school
from jack_trainer.breakdown import live_again
from jack_trainer.checkpoint import POLICY, checkpoints, newest_checkpoint, read_checkpoint
from jack_trainer.evaluate import Evaluation, evaluate
from jack_trainer.phases import PHASES
from jack_trainer.school import School
from jack_trainer.training import TrainOptions

COUNT = 4
#: Environment steps of one update.
UPDATE = COUNT * PHASES["stand"].ppo.rollout
#: The test machine is shared: no policy is refused for being slow.
PATIENT = PolicyLimits(period_share=100.0)


class Notes:
    """A listener that remembers."""

    def __init__(self) -> None:
        self.progress, self.policies, self.files = [], [], []

    def on_progress(self, progress):
        self.progress.append(progress)

    def on_policy(self, policy):
        self.policies.append(policy)
        self.files.append(policy.path.read_bytes())


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A training of one update with the real exporter and a real, if short, examination."""
    runs = tmp_path_factory.mktemp("whole")
    student = School(TrainOptions(steps=UPDATE, environments=COUNT, runs=runs, until_passed=False), Notes())
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(school, "evaluate", lambda decide, contract, task, _: evaluate(decide, contract, task, 2))
        return student, student.run()


@pytest.fixture
def make_school(whole, tmp_path, monkeypatch):
    """A school of a few robots that saves after every update, and whose examinations find nobody standing."""
    traced, brain = whole[0]._exporter, whole[0].learner.average

    class Exporter:
        """Tracing takes seconds: the one traced brain lends its graph to the weights of all the others."""

        def __init__(self, other: Brain, *, command: bool) -> None:
            assert command, "Every policy is told where to go."
            self.brain = other

        def export(self, provenance) -> bytes:
            brain.load_state_dict(self.brain.state_dict())
            return traced.export(provenance)

    monkeypatch.setattr(school, "PolicyExporter", Exporter)
    monkeypatch.setattr(school, "evaluate", lambda *_: Evaluation(100, 0, 0.5, -1.0))

    def make(updates: int = 2, listener: Notes | None = None, **changes) -> School:
        given = {"steps": updates * UPDATE, "environments": COUNT, "runs": tmp_path, "checkpoint_interval": 0.0}
        given |= {"exam_interval": 0.0, "until_passed": False}
        return School(TrainOptions(**{**given, **changes}), listener or Notes())

    return make


def contents(path) -> tuple[dict, dict]:
    """Tensors and numbers of a checkpoint, without what depends on the clock."""
    found = read_checkpoint(path)
    return found.tensors, found.numbers.model_dump(exclude={"seconds"})


def strictly(path):
    """JSON that every reader takes: no NaN, no Infinity."""

    def refuse(name):
        raise AssertionError(f"{name} in {path}")

    return json.loads(path.read_text(), parse_constant=refuse)


# -- what a training leaves behind


def test_a_training_leaves_checkpoints_a_log_and_what_it_was(make_school, contract, tmp_path):
    notes = Notes()
    result = make_school(3, notes, seed=7).run()
    assert result.reason == "steps" and result.step == 3 * UPDATE and result.survival == 0.0
    assert result.run.parent == tmp_path and result.run.name.endswith("-stand")
    assert [int(path.name) for path in checkpoints(result.run / "checkpoints")] == [
        UPDATE,
        2 * UPDATE,
        3 * UPDATE,
    ]
    assert result.checkpoint == newest_checkpoint(result.run / "checkpoints").path
    assert result.policy == result.checkpoint / POLICY and result.policy.is_file()

    run = strictly(result.run / "run.json")
    assert run["options"]["seed"] == 7 and run["options"]["environments"] == COUNT
    assert run["phase"]["name"] == "stand" and run["phase"]["ppo"]["gamma"] == PHASES["stand"].ppo.gamma
    assert run["contract"]["robot"]["joints"][0]["name"] == contract.robot.joint_names[0]


def test_what_is_not_finite_is_written_in_words(make_school, monkeypatch):
    monkeypatch.setitem(PHASES, "stand", replace(PHASES["stand"], velocity_error=math.inf))
    result = make_school(1).run()
    assert strictly(result.run / "run.json")["phase"]["velocity_error"] == "Infinity"
    status = strictly(result.run / "status.json")
    assert status["mean_return"] == "NaN" and math.isnan(progress_file.read(result.run).mean_return)
    strictly(result.checkpoint / "numbers.json")


def test_the_log_has_what_one_looks_for(make_school):
    result = make_school(2).run()
    events = EventAccumulator(str(result.run / "tensorboard"))
    events.Reload()
    tags = set(events.Tags()["scalars"])
    assert {"episode/return", "episode/length_s", "time/steps_per_second", "evaluation/survival"} <= tags
    assert {"evaluation/velocity_error", "evaluation/yaw_rate_error", "reward/curriculum"} <= tags
    assert {"ppo/divergence", "ppo/explained_variance", "ppo/clipped", "ppo/rate", "reward/alive"} <= tags
    assert [event.step for event in events.Scalars("ppo/value_loss")] == [UPDATE, 2 * UPDATE]
    assert all(math.isfinite(event.value) for event in events.Scalars("ppo/policy_loss"))


def test_progress_is_told_after_every_update(make_school):
    notes = Notes()
    result = make_school(3, notes).run()
    assert [p.update for p in notes.progress] == [1, 2, 3]
    assert [p.step for p in notes.progress] == [UPDATE, 2 * UPDATE, 3 * UPDATE]
    first, *_, last = notes.progress
    assert first.checkpoint is None and last.checkpoint == result.run / "checkpoints" / f"{2 * UPDATE:012d}"
    assert (first.phase, first.total_steps, first.run) == ("stand", 3 * UPDATE, result.run)
    assert first.steps_per_second > 0
    assert first.remaining == pytest.approx(2 * UPDATE / first.steps_per_second) and last.remaining == 0


def test_a_published_policy_loads_and_decides_as_the_average_brain(make_school, contract):
    notes = Notes()
    student = make_school(2, notes, phase="walk")
    student.run()
    told = notes.policies[-1]
    assert hashlib.sha256(notes.files[-1]).hexdigest() == told.sha256
    assert (told.phase, told.step, told.contract_digest) == ("walk", 2 * UPDATE, contract.digest)

    policy = Policy.load(notes.files[-1], contract, PATIENT)
    assert (policy.phase, policy.step, policy.sha256) == ("walk", 2 * UPDATE, told.sha256)
    assert policy.provenance["run"] == student.run_folder.name
    history, command = student.learner.environment.reset().proprioception[0], np.array([0.5, -0.1, 0.3], np.float32)
    action, value = policy.infer(history, command)
    asked = Inputs(torch.from_numpy(history)[None], torch.from_numpy(command)[None])
    with torch.no_grad():
        output, newest = student.learner.average(asked), student.learner.brain(asked)
    np.testing.assert_allclose(action, output.mean[0], atol=1e-5)
    assert value == pytest.approx(float(student.learner.brain.value_normaliser.restore(output.value)), abs=1e-4)
    assert np.abs(action - newest.mean[0].numpy()).max() > 1e-3


def test_the_average_brain_is_the_one_that_is_examined(make_school, monkeypatch):
    decided = []
    monkeypatch.setattr(
        school, "evaluate", lambda decide, *_: decided.append(decide(seen)) or Evaluation(100, 0, 0.5, -1.0)
    )
    student = make_school(2)
    seen = student.learner.environment.reset()
    student.run()
    asked = Inputs(torch.from_numpy(seen.proprioception), torch.from_numpy(seen.command))
    with torch.no_grad():
        expected, newest = student.learner.average(asked).mean.numpy(), student.learner.brain(asked).mean.numpy()
    np.testing.assert_allclose(decided[-1], expected, atol=1e-6)
    assert np.abs(decided[-1] - newest).max() > 1e-3


def test_only_the_newest_are_kept(make_school):
    result = make_school(4, keep=2).run()
    assert [int(p.name) for p in checkpoints(result.run / "checkpoints")] == [3 * UPDATE, 4 * UPDATE]


def test_between_two_checkpoints_time_passes(make_school):
    notes = Notes()
    make_school(4, notes, checkpoint_interval=1000.0).run()
    assert [p.step for p in notes.policies] == [UPDATE, 4 * UPDATE]  # at once, so that he can be seen; at the end


def test_nothing_was_spared_once(whole, contract):
    result = whole[1]
    assert result.survival is not None and 0.0 <= result.survival <= 1.0
    assert Policy.load(result.policy, contract, PATIENT).step == UPDATE


# -- going on


@pytest.mark.slow
@pytest.mark.parametrize(("phase", "randomization"), [("stand", "off"), ("walk", "on")])
def test_fault_21_fifty_updates_and_fifty_are_a_hundred_bit_for_bit(make_school, monkeypatch, phase, randomization):
    """Weights, optimiser, normalisers, average brain, bodies, commands, rhythm, physics, chance: all of it."""
    brief = replace(PHASES[phase].ppo, rollout=5, epochs=1, minibatches=1)
    brisk = replace(PHASES[phase].task, episode=1.0, command_interval=0.4)
    monkeypatch.setitem(PHASES, phase, replace(PHASES[phase], ppo=brief, task=brisk))
    settings = {"seed": 5, "phase": phase, "randomization": randomization, "checkpoint_interval": 1000.0}

    def train(until: int = 100, **more):
        school = make_school(steps=100 * COUNT * brief.rollout, **settings, **more)
        return school.run(lambda: school.update == until)

    hundred, fifty = train(), train(50)
    assert fifty.step == hundred.step / 2
    again = train(resume=fifty.run)
    assert again.run == fifty.run and again.step == hundred.step
    (tensors, numbers), (expected, expected_numbers) = contents(again.checkpoint), contents(hundred.checkpoint)
    assert numbers == expected_numbers
    assert set(tensors) == set(expected)
    for name, tensor in tensors.items():
        assert torch.equal(tensor, expected[name]), name
    saved = {
        "average.action_head.log_std",
        "brain.normaliser.mean",
        "brain.value_normaliser.var",
        "environment.phase",
    }
    saved |= {"environment.physics", "environment.command", "exploration.random"}
    assert saved <= set(tensors) and any(name.startswith("optimiser.") for name in tensors)
    assert ("environment.body.friction" in tensors) == (randomization != "off")
    assert int(tensors["exploration.averaged"]) == numbers["update"] == 100
    assert not torch.equal(tensors["average.action_head.log_std"], tensors["brain.action_head.log_std"])
    assert len(numbers["episode_lengths"]) >= 3 * COUNT and bool(tensors["environment.command"].any()) == (
        phase == "walk"
    )


def test_the_learner_knows_how_much_is_over(make_school, monkeypatch):
    school, seen = make_school(4), []
    iterate = school.learner.iterate
    monkeypatch.setattr(school.learner, "iterate", lambda: (seen.append(school.learner.progress), iterate())[1])
    school.run()
    assert seen == [0.0, 0.25, 0.5, 0.75]


def test_another_seed_is_another_training(make_school):
    one, other = make_school(1, seed=1).run(), make_school(1, seed=2).run()
    first, second = (contents(result.checkpoint)[0]["brain.action_head.linear.weight"] for result in (one, other))
    assert not torch.equal(first, second)


def test_a_resumed_training_counts_on(make_school):
    first = make_school(2).run()
    before = read_checkpoint(first.checkpoint).numbers.seconds
    notes = Notes()
    second = make_school(3, notes, resume=first.run).run()
    assert [(p.update, p.step) for p in notes.progress] == [(3, 3 * UPDATE)]
    assert second.seconds > before > 0
    events = EventAccumulator(str(second.run / "tensorboard"))
    events.Reload()
    assert [event.step for event in events.Scalars("ppo/rate")] == [UPDATE, 2 * UPDATE, 3 * UPDATE]


def test_a_training_that_is_done_still_offers_its_policy(make_school):
    first = make_school(2).run()
    notes = Notes()
    second = make_school(2, notes, resume=first.run).run()
    assert second.step == first.step and notes.progress == []
    assert [p.step for p in notes.policies] == [2 * UPDATE]
    assert hashlib.sha256(notes.files[0]).hexdigest() == notes.policies[0].sha256


def test_a_damaged_newest_checkpoint_costs_only_itself(make_school):
    first = make_school(3).run()
    (first.checkpoint / POLICY).write_bytes(b"")
    assert make_school(3, resume=first.run).step == 2 * UPDATE


# -- being stopped


def test_who_is_stopped_saves_first(make_school):
    notes = Notes()
    student = make_school(100, notes, checkpoint_interval=1000.0)
    result = student.run(lambda: student.update == 3)
    assert result.reason == "stopped" and result.step == 3 * UPDATE and result.survival is None
    assert read_checkpoint(result.checkpoint).numbers.update == 3
    assert notes.policies[-1].step == 3 * UPDATE


def test_who_is_stopped_at_once_saves_too(make_school):
    result = make_school().run(lambda: True)
    assert result.step == 0 and result.reason == "stopped" and math.isnan(result.mean_return)
    assert make_school(resume=result.run).step == 0


# -- passing


def examine_when(monkeypatch, ready=lambda _: True) -> None:
    """Hold an exam after every update that says so, whatever a look would say."""
    monkeypatch.setattr(School, "_is_ready", ready)
    monkeypatch.setattr(School, "_looks_passed", lambda *_: True)


def test_who_passes_is_done(make_school, monkeypatch):
    examined = []

    def exam(_, __, task, *___):
        examined.append(task)
        return Evaluation(100, 97 if len(examined) >= 2 else 50, 19.0, 60.0)

    monkeypatch.setattr(school, "evaluate", exam)
    examine_when(monkeypatch)
    result = make_school(10, until_passed=True).run()
    assert (result.reason, result.survival, result.step) == ("passed", 0.97, 2 * UPDATE)
    assert examined == [PHASES["stand"].exam] * 2


def test_an_exam_is_held_once_a_look_at_other_episodes_says_that_it_is_worth_its_time(make_school, monkeypatch):
    held = []

    def exam(_, __, ___, episodes=100, seed=1):
        held.append((episodes, seed))
        return Evaluation(episodes, episodes - (3 if len(held) == 1 else 2), 19.0, 60.0)  # 22 of 25, then 23

    monkeypatch.setattr(school, "evaluate", exam)
    monkeypatch.setattr(School, "_is_ready", lambda _: True)
    result = make_school(10, until_passed=True).run()
    assert (result.reason, result.step, result.survival) == ("passed", 2 * UPDATE, 0.98)
    assert held == [(25, school._OTHER_SEED)] * 2 + [(100, 1)]


def test_who_does_not_go_where_he_is_told_has_not_passed(make_school, monkeypatch):
    errors = iter([0.5, 0.5, 0.1, 0.1])
    monkeypatch.setattr(school, "evaluate", lambda *_: Evaluation(100, 100, 20.0, 90.0, next(errors), 0.1))
    examine_when(monkeypatch)
    result = make_school(10, until_passed=True, phase="walk").run()
    assert (result.reason, result.step) == ("passed", 3 * UPDATE)


def test_who_falls_in_training_is_not_examined_before_the_end(make_school, monkeypatch):
    examined = []
    monkeypatch.setattr(school, "evaluate", lambda *_: examined.append(1) or Evaluation(100, 100, 20.0, 60.0))
    student = make_school(3, until_passed=True)
    student.learner.episodes.lengths.extend([10] * 100)
    assert student.run().step == 3 * UPDATE and len(examined) == 1


@pytest.mark.parametrize(
    ("lengths", "looks"),
    [([1000] * 100, True), ([1000] * 99, False), ([1000] * 27 + [10] * 73, True), ([1000] * 23 + [10] * 77, False)],
)
def test_who_lasts_in_training_is_worth_examining(make_school, lengths, looks):
    """A hundred episodes, a quarter of the time on his feet; an episode has 1000 control periods."""
    student = make_school(until_passed=True)
    assert not student._is_ready()
    student.learner.environment._level[:] = 1.0  # all of it is asked of him
    student.learner.episodes.lengths.extend(lengths)
    assert student.learner.environment.limit == 1000 and student._is_ready() == looks


@pytest.mark.parametrize(("interval", "young"), [(1000.0, 120.0), (1e-9, 1e-15)], ids=["ever", "in old age"])
def test_exams_are_not_too_frequent(make_school, monkeypatch, interval, young):
    examined = []
    monkeypatch.setattr(school, "_YOUNG", young)
    monkeypatch.setattr(school, "evaluate", lambda *_: examined.append(1) or Evaluation(100, 50, 20.0, 60.0))
    examine_when(monkeypatch)
    make_school(4, exam_interval=interval, until_passed=True).run()
    assert len(examined) == 1  # at the end


def test_what_goes_on_beside_learning_ends_with_it(make_school, monkeypatch):
    student, closed = make_school(2), []
    monkeypatch.setattr(student.learner, "close", lambda: closed.append(student.update))
    student.run()
    assert closed == [2]
    monkeypatch.setattr(student.learner, "iterate", lambda: 1 / 0)
    student.total += UPDATE
    with pytest.raises(ZeroDivisionError):
        student.run()
    assert closed == [2, 2]


def test_survival_is_that_of_the_last_policy(make_school, monkeypatch):
    survived = iter([40, 60, 80])
    monkeypatch.setattr(school, "evaluate", lambda *_: Evaluation(100, next(survived), 20.0, 60.0))
    examine_when(monkeypatch, lambda student: student.update == 1)
    student = make_school(4, until_passed=True)
    assert student.run().survival == 0.6  # examined after the first update, and at the end


def test_who_is_not_to_stop_early_does_not(make_school, monkeypatch):
    monkeypatch.setattr(school, "evaluate", lambda *_: Evaluation(100, 100, 20.0, 60.0))
    student = make_school(3)
    student.learner.episodes.lengths.extend([student.learner.environment.limit] * 10_000)
    result = student.run()
    assert (result.reason, result.step, result.survival) == ("passed", 3 * UPDATE, 1.0)


@pytest.mark.parametrize(("survived", "reason"), [(94, "steps"), (95, "passed")])
def test_who_passes_at_the_end_without_a_margin_has_passed(make_school, monkeypatch, survived, reason):
    monkeypatch.setattr(school, "evaluate", lambda *_: Evaluation(100, survived, 19.0, 60.0))
    examine_when(monkeypatch)
    result = make_school(3, until_passed=True).run()
    assert (result.reason, result.step) == (reason, 3 * UPDATE)


# -- learning that breaks down


def test_fault_22_a_loss_that_is_no_number_publishes_nothing_and_keeps_the_last_good(make_school, contract):
    class Poison(Notes):
        def on_policy(self, policy):
            super().on_policy(policy)
            if policy.step == 2 * UPDATE:  # after the second update all is well; the third begins with this
                with torch.no_grad():
                    student.learner.brain.log_std[0] = math.nan

    notes = Poison()
    student = make_school(10, notes)
    with pytest.raises(JackError, match=r"not finite .* python -m jack_trainer\.breakdown") as raised:
        student.run()
    assert [p.step for p in notes.policies] == [UPDATE, 2 * UPDATE]
    kept = student.run_folder / f"breakdown-{2 * UPDATE:012d}"
    assert str(raised.value).endswith(f" {kept}") and math.isnan(live_again(kept)["policy_loss"])
    newest = newest_checkpoint(student.run_folder / "checkpoints")
    assert newest.numbers.step == 2 * UPDATE
    assert all(t.isfinite().all() for name, t in newest.tensors.items() if name.startswith(("brain.", "average.")))
    Policy.load(newest.path / POLICY, contract, PATIENT)
    assert make_school(3, resume=student.run_folder).run().step == 3 * UPDATE


def test_a_breakdown_that_cannot_be_kept_is_told_all_the_same(make_school, monkeypatch):
    def full(*_, **__):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    student = make_school(1)
    monkeypatch.setattr(school.breakdown, "keep", full)
    with torch.no_grad():
        student.learner.brain.log_std[0] = math.nan
    with pytest.raises(JackError, match=r"not finite .* could not be kept \(No space left on device\)"):
        student.run()


def test_physics_that_breaks_down_costs_one_episode_and_is_counted(make_school, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)  # MuJoCo writes its warnings into a file where it stands
    student = make_school(2)
    student.learner.environment.world.batch.bind("qvel")[1, 8] = math.nan
    result = student.run()
    assert result.reason == "steps" and student.learner.environment.broken == 1
    assert progress_file.read(result.run).broken == 1
    events = EventAccumulator(str(result.run / "tensorboard"))
    events.Reload()
    assert [event.value for event in events.Scalars("episode/broken")] == [1, 1]
    assert all(math.isfinite(event.value) for event in events.Scalars("reward/pose"))
    found = read_checkpoint(result.checkpoint)
    assert found.numbers.broken == 1 and all(tensor.isfinite().all() for tensor in found.tensors.values())
    assert make_school(2, resume=result.run).learner.environment.broken == 1


def test_a_brain_that_answers_nan_is_not_written(make_school):
    student = make_school()
    with torch.no_grad():
        student.learner.average.action_head.linear.bias[0] = math.nan
    with pytest.raises(PolicyError, match="not finite"):
        student.save()
    assert not (student.run_folder / "checkpoints").exists()


# -- what does not fit


def test_another_phase_is_refused(make_school):
    run = make_school(1).run().run
    with pytest.raises(JackError, match=r"is of phase 'stand'; add --phase stand"):
        make_school(phase="walk", resume=run)


def test_another_contract_is_refused(make_school, contract, monkeypatch):
    run = make_school(1).run().run
    other = replace(contract, observation=replace(contract.observation, clip=99.0))
    monkeypatch.setattr(school, "default_contract", lambda: other)
    with pytest.raises(JackError, match="another contract"):
        make_school(resume=run)


def test_another_number_of_environments_is_refused(make_school):
    run = make_school(1).run().run
    with pytest.raises(JackError, match=f"has {COUNT} environments"):
        make_school(resume=run, environments=COUNT + 1)


def test_another_size_of_brain_is_refused(make_school):
    run = make_school(1).run().run
    with pytest.raises(JackError, match="another size"):
        make_school(resume=run, brain="small")


def test_other_bodies_are_pushed_as_well(make_school):
    task = PHASES["stand"].task.randomization
    pushes = {"push_interval": task.push_interval, "push_speed": task.push_speed}
    tables = [make_school(randomization=name).learner.environment.config.randomization for name in RANDOMIZATIONS]
    assert tables == [replace(table.narrowed(0.1), **pushes) for table in RANDOMIZATIONS.values()]
    walks = make_school(phase="walk").learner.environment.config.randomization
    assert walks == PHASES["walk"].task.randomization == RANDOMIZATIONS["on"]  # all of them


def test_other_bodies_are_refused(make_school):
    run = make_school(1).run().run
    with pytest.raises(JackError, match="saved randomization has"):
        make_school(resume=run, randomization="off")


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"randomization": "much"}, "no randomization 'much'"),
        ({"phase": "fly"}, "no phase 'fly'"),
        ({"brain": "huge"}, "no brain size 'huge'"),
        ({"environments": 1}, "environments is 1; allowed: 2 to 100000"),
        ({"checkpoint_interval": -1.0}, "checkpoint_interval is -1.0"),
        ({"checkpoint_interval": math.nan}, "checkpoint_interval is nan"),
        ({"keep": 0}, "keep is 0; allowed: 1"),
        ({"steps": -1}, "must not be negative"),
        ({"seed": -1}, "must not be negative"),
    ],
)
def test_options_that_make_no_sense_are_refused_in_words(make_school, changes, words):
    with pytest.raises(JackError, match=words):
        make_school(**changes)


def test_nothing_to_resume_is_said(make_school, tmp_path):
    with pytest.raises(JackError, match="No checkpoint in"):
        make_school(resume=tmp_path / "nothing")
