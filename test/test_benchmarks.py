"""The parts of the benchmarks that figures depend on."""

from __future__ import annotations

import io
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from jack_brain.network.brain import Brain, Inputs
from jack_brain.network.export import PolicyExporter
from jack_brain.network.presets import PRESETS
from jack_brain.policy import Policy, PolicyLimits
from jack_contract.contract import default_contract
from jack_contract.mirror import Mirror

pytestmark = pytest.mark.timed


@pytest.fixture(autouse=True)
def scripts(monkeypatch):
    """Benchmarks are scripts: they find each other in their own folder."""
    monkeypatch.syspath_prepend(str(Path(__file__).resolve().parents[1] / "benchmarks"))


@pytest.fixture
def mlp():
    from mlp import perceptrons

    torch.manual_seed(0)
    network = perceptrons(default_contract(), PRESETS["nano"], 0.5)
    with torch.no_grad():
        network.actor[-1].weight.mul_(100.0)  # type: ignore[union-attr] - an action of some size
    return network


def seen(contract, count=8):
    observation = contract.observation
    return torch.randn(count, observation.history, observation.frame_size), torch.randn(count, 3)


def test_the_perceptrons_are_as_large_as_what_of_the_brain_walks(mlp):
    from mlp import parameters

    brain = Brain(default_contract())
    assert parameters(mlp) == sum(p.numel() for p in mlp.parameters())
    assert 0.98 < parameters(mlp) / parameters(brain) <= 1.0
    assert parameters(brain) < sum(p.numel() for p in brain.parameters())  # seeing and hearing are left out


def test_the_perceptrons_know_left_from_right_as_the_brain_does(mlp):
    contract = default_contract()
    mirror, (frames, command) = Mirror.of(contract), seen(contract)
    pairs = ((mirror.frame, frames), (mirror.command, command))
    mirrored = (torch.from_numpy(reflect(x.numpy())) for reflect, x in pairs)
    truth = torch.randn(len(frames), 8)
    with torch.no_grad():
        one = mlp(Inputs(frames, command, truth=truth))
        two = mlp(Inputs(*mirrored, truth=truth * torch.tensor([1.0, -1.0, 1.0, 1.0, -1.0, -1.0, 1.0, -1.0])))
    torch.testing.assert_close(torch.from_numpy(mirror.action(one.mean.numpy())), two.mean)
    torch.testing.assert_close(one.value, two.value)
    assert one.mean.abs().max() > 0.1
    with torch.no_grad():
        assert not torch.equal(one.value, mlp(Inputs(frames, command)).value)  # the critic alone knows the truth
        assert torch.equal(one.mean, mlp(Inputs(frames, command)).mean)


def test_the_perceptrons_go_into_a_policy_file(mlp):
    contract = default_contract()
    file = PolicyExporter(mlp, command=True).export({"phase": "walk", "step": 3})
    policy, (frames, command) = Policy.load(file, contract, PolicyLimits(period_share=100.0)), seen(contract)
    with torch.no_grad():
        asked = mlp(Inputs(frames, command)).mean
    torch.testing.assert_close(torch.from_numpy(policy.act(frames[0].numpy(), command[0].numpy())), asked[0])


def test_making_the_perceptrons_draws_no_other_random_numbers_than_theirs():
    from mlp import Perceptrons, _width

    contract = default_contract()
    torch.manual_seed(0)
    _width(contract, PRESETS["nano"])
    drawn = torch.rand(1)
    torch.manual_seed(0)
    assert drawn == torch.rand(1) and Perceptrons(contract).log_std.exp().allclose(torch.ones(1))


def test_processor_time_is_that_of_the_process_alone():
    import subprocess
    import sys
    import time

    from realtime import processor_time

    busy = subprocess.Popen([sys.executable, "-c", "while True: pass"])
    idle = subprocess.Popen(["sleep", "60"])
    try:
        time.sleep(0.5)
        spent = {child: processor_time(child.pid) for child in (busy, idle)}
    finally:
        for child in (busy, idle):
            child.kill()
            child.wait()
    assert 0.02 < spent[busy] < 1.0 and spent[idle] < 0.02


def test_the_fast_robot_is_jack_with_a_control_period_of_five_milliseconds(tmp_path, monkeypatch):
    import realtime

    monkeypatch.setattr(realtime, "export", lambda folder, contract, size: folder / "policy.onnx")
    setup = realtime.fast_jack(tmp_path, "nano")
    assert default_contract(str(setup.robot)) == setup.contract
    differing = {line.split("[")[0].split(":")[0] for line in default_contract().diff(setup.contract)}
    assert setup.contract.robot.control_period == 0.005 and "robot.control_period" in differing


@pytest.mark.ros
@pytest.mark.slow
def test_a_quick_look_at_real_time_runs_to_its_end():
    import subprocess
    import sys

    pytest.importorskip("rclpy", reason="needs ROS 2 and Jack's messages: ./jack test has them")
    script = Path(__file__).resolve().parents[1] / "benchmarks" / "realtime.py"
    done = subprocess.run([sys.executable, str(script), "--quick"], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert "beside a simulation: missed deadlines" in done.stdout and "written" not in done.stdout


def trial(**changes):
    from trials import Trial

    numbers = {"seconds": 1.0, "wall": 2.0, "steps": 3, "survived": 96, "mean_time": 19.5}
    errors = {"velocity_error": 0.1, "yaw_rate_error": 0.2}
    rest = {"side": "brain", "seed": 0, "passed": True, "reason": "passed", "load": 0.5}
    return Trial(**numbers | errors | rest | changes)


def test_records_are_whole_after_each_trial_and_can_be_continued(tmp_path):
    from trials import Records, Trial

    path, setting = tmp_path / "out.json", {"phase": "walk", "minutes": 5.0}
    records = Records(path, setting, append=False, kind=Trial)
    for seed in (1, 0):
        records.add(trial(seed=seed))
        assert len(json.loads(path.read_text())["trials"]) == len(records.trials)
    again = Records(path, setting, append=True, kind=Trial)
    assert again.has("brain", 1) and not again.has("brain", 2) and not again.has("mlp", 1)
    assert [t.seed for t in again.of("brain")] == [0, 1] and again.of("mlp") == []
    assert Records(path, setting, append=False, kind=Trial).trials == []
    with pytest.raises(SystemExit, match="give another --output"):
        Records(path, setting | {"minutes": 6.0}, append=True, kind=Trial)


def test_the_worst_seed_survives_least_and_takes_longest():
    from from_nothing import Options, table
    from rich.console import Console

    rows = [trial(), trial(seed=1, seconds=9.0, survived=40, velocity_error=0.3, passed=False)]
    console = Console(width=100, file=io.StringIO())
    console.print(table(Options(phase="walk"), rows))
    lines = console.file.getvalue().splitlines()
    median, worst = lines[-3:-1]
    assert "[rad/s]" in "".join(lines[:6])
    assert median.split() == ["median", "5", "2", "3", "68", "0.200", "0.200", "1", "of", "2"]
    assert worst.split() == ["worst", "9", "2", "3", "40", "0.300", "0.200"]


def test_each_ablation_leaves_out_what_it_says_and_nothing_else():
    from ablations import SIDES
    from trials import Variant

    from jack_trainer.phases import PHASES

    assert SIDES["complete"]("walk") == Variant()
    mirrorless = SIDES["no mirror"]("walk")
    assert mirrorless.contract is None and mirrorless.lesson is None
    assert mirrorless.network(default_contract(), PRESETS["nano"], 1.0).symmetry is None
    contract = SIDES["no reference"]("walk").contract
    differing = {line.split("[")[0].split(":")[0] for line in default_contract().diff(contract)}
    assert differing == {"gait.swing", "gait.stride"}
    assert not any(contract.gait.swing) and not any(sum(contract.gait.stride, ()))
    lesson = SIDES["no curriculum"]("walk").lesson
    assert lesson.task.curriculum == 1.0
    assert replace(lesson, task=replace(lesson.task, curriculum=PHASES["walk"].task.curriculum)) == PHASES["walk"]
    lesson = SIDES["no landing"]("walk").lesson
    assert lesson.task.weights.landing == 0.0
    assert replace(lesson, task=replace(lesson.task, weights=PHASES["walk"].task.weights)) == PHASES["walk"]
    lesson = SIDES["no estimate"]("walk").lesson
    assert lesson.ppo.estimate == 0.0
    assert replace(lesson, ppo=PHASES["walk"].ppo) == PHASES["walk"]


def test_a_trial_teaches_the_variant_and_examines_the_policy_file_that_came_of_it(monkeypatch):
    import trials
    from mlp import Perceptrons, perceptrons

    from jack_trainer.phases import PHASES
    from jack_trainer.school import School
    from jack_trainer.training import TrainOptions

    students, contract = [], default_contract()
    contract = replace(contract, gait=replace(contract.gait, period=1.0))
    run = School.run
    monkeypatch.setattr(School, "run", lambda self, stop: students.append(self) or run(self, stop))
    monkeypatch.setattr(trials, "EPISODES", 3)
    lesson = replace(PHASES["walk"], exam=replace(PHASES["walk"].exam, episode=0.4), survival=1.0)
    variant = trials.Variant(contract, lesson, perceptrons)
    found = trials.attempt("mlp", TrainOptions("walk", environments=4, seed=3), variant, seconds=1e-9)
    (student,) = students
    assert (
        isinstance(student.learner.brain, Perceptrons) and student.phase is lesson and student.contract is contract
    )
    assert student.learner.brain.log_std.exp().allclose(torch.tensor(lesson.noise), atol=0.1)
    assert (found.side, found.seed, found.reason, found.steps) == ("mlp", 3, "stopped", student.step)
    assert found.steps == 4 * lesson.ppo.rollout  # the clock is looked at before each update
    assert found.survived == 3 and found.mean_time == pytest.approx(0.4)
    assert found.passed == (found.velocity_error <= 0.2 and found.yaw_rate_error <= 0.25)
    assert found.wall >= found.seconds > 0 and not student.run_folder.exists()


def test_what_is_left_of_following_is_counted_over_the_skills_that_have_both():
    from following import AS_TOLD, BLIND, OTHERWISE, Row, kept, table

    def row(condition, skill, done):
        return Row(condition, skill, trials=10, done=done, fell=0, meddled=1, seconds=2.0)

    found = [row(AS_TOLD, "touch", 8), row(AS_TOLD, "wave", 10), row(OTHERWISE, "touch", 6), row(BLIND, "touch", 1)]
    found.append(row(BLIND, "wave", 8))
    assert kept(found, OTHERWISE) == pytest.approx(6 / 8) and kept(found, BLIND) == pytest.approx(9 / 18)
    assert table(found).row_count == 2


def test_with_another_sentence_the_table_is_the_same_and_the_thing_another():
    from following import Pairs

    from jack_trainer.tasks.expert import Planner
    from jack_trainer.tasks.instructions import Skill
    from jack_trainer.tasks.tabletop import Tabletop

    planner, pairs = Planner(Tabletop(1, default_contract())), Pairs()
    for skill in (Skill.TOUCH, Skill.PUSH_LEFT):
        one, two = np.random.default_rng(3), np.random.default_rng(3)
        for _ in range(3):
            told, other = pairs.told(one, planner, skill), pairs.otherwise(two, planner, skill)
            assert told.layout == other.layout and told.layout.held_out and told.start == other.start
            assert told.goal.skill is other.goal.skill is skill and told.goal != other.goal
    assert pairs.told(np.random.default_rng(3), planner, Skill.WAVE).goal.skill is Skill.WAVE


def test_what_was_like_the_clip_by_chance_cannot_come_nearer():
    from natural import chance

    from jack_trainer.style import Style

    figures = {who: {"arms": arms, "knees": 1.0} for who, arms in (("clip", 0.74), ("before", 0.76), ("now", 0.9))}
    figures["before"]["knees"] = 0.4
    style = Style(clip="walk", speed=1.0, figures=figures, nearer={"angles": 0.6, "arms": -7.0, "knees": 1.0})
    assert [chance(style, name) for name in ("angles", "arms", "knees")] == [False, True, False]
