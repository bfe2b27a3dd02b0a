from dataclasses import replace
from functools import partial

import numpy as np
import pytest
import torch

from jack_brain.network.brain import Brain, Inputs
from jack_brain.network.export import PolicyExporter
from jack_brain.policy import Policy, PolicyLimits
from jack_contract.errors import JackError, PolicyError, UnknownNameError
from jack_trainer import exam
from jack_trainer.evaluate import Evaluation
from jack_trainer.exam import ExamResult, examine, find_policy
from jack_trainer.phases import PHASES
from jack_trainer.policy_actor import PolicyActor
from jack_trainer.tasks.environment import Observation


@pytest.fixture(scope="module")
def brain(contract):
    torch.manual_seed(0)
    brain = Brain(contract)
    with torch.no_grad():
        brain.action_head.linear.weight.mul_(50.0)  # an action of some size
    return brain


@pytest.fixture(scope="module")
def exporter(brain):
    return PolicyExporter(brain, command=True)


@pytest.fixture
def policy(exporter, tmp_path):
    """A policy file of a phase."""

    def write(phase="walk"):
        path = tmp_path / f"{phase}.onnx"
        path.write_bytes(exporter.export({"phase": phase, "step": 7}))
        return path

    return write


@pytest.fixture(autouse=True)
def patience(monkeypatch):
    """The test machine is shared: no policy is refused for being slow."""
    monkeypatch.setattr(Policy, "load", partial(Policy.load, limits=PolicyLimits(period_share=100.0)))


def seen(contract, count=3):
    observation, random = contract.observation, np.random.default_rng(0)
    frames = random.normal(size=(count, observation.history, observation.frame_size)).astype(np.float32)
    return Observation(frames, random.uniform(-1, 1, (count, 3)).astype(np.float32))


def test_the_file_decides_as_the_brain_for_many_at_once(contract, brain, policy):
    observation = seen(contract)
    asked = Inputs(torch.from_numpy(observation.proprioception), torch.from_numpy(observation.command))
    with torch.no_grad():
        expected = brain(asked).mean.numpy()
    found = PolicyActor(policy())(observation)
    assert found.dtype == np.float32 and np.abs(expected).max() > 0.1
    np.testing.assert_allclose(found, expected, atol=1e-4)


def test_without_a_command_he_stands(contract, policy):
    actor, observation = PolicyActor(policy()), seen(contract)
    still = replace(observation, command=np.zeros((3, 3), np.float32))
    np.testing.assert_array_equal(actor(replace(observation, command=None)), actor(still))
    assert not np.array_equal(actor(observation), actor(still))


def test_a_file_is_examined_on_its_phase(policy, monkeypatch):
    given = []

    def evaluate(actor, contract, task, episodes, seed):
        given.append((type(actor), task, episodes, seed))
        return Evaluation(episodes, 19, 19.5, 80.0, velocity_error=0.1, yaw_rate_error=0.1)

    monkeypatch.setattr(exam, "evaluate", evaluate)
    path = policy("walk")
    result = examine(path, episodes=20, seed=5)
    assert given == [(PolicyActor, PHASES["walk"].exam, 20, 5)]
    assert (result.policy, result.step, result.phase, result.scores) == (path, 7, PHASES["walk"], [])
    assert result.passed


def test_an_exam_is_lived_through(policy, monkeypatch):
    """Nothing is spared: a short one of a brain that knows nothing."""
    short = replace(PHASES["walk"], exam=replace(PHASES["walk"].exam, episode=0.2))
    monkeypatch.setitem(PHASES, "walk", short)
    result = examine(policy("walk"), episodes=2)
    assert result.evaluation.episodes == 2 and 0.0 < result.evaluation.mean_time <= 0.2


def test_a_file_that_must_not_drive_him_is_not_examined(policy):
    path = policy()
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(PolicyError):
        examine(path)


def test_a_phase_that_nobody_knows_is_named(policy):
    with pytest.raises(UnknownNameError, match="no phase 'fly'"):
        examine(policy("fly"))


def test_the_result_reads_well():
    scored = Evaluation(100, 93, 18.26, 71.04, velocity_error=0.128, yaw_rate_error=0.4)
    result = ExamResult(None, 1_234_567, scored, PHASES["walk"])
    assert not result.passed
    assert str(result) == (
        "93 of 100 episodes ended on his feet (needed: 95%).\n"
        "He erred by 0.13 m/s (allowed: 0.2) and 0.40 rad/s (allowed: 0.25).\n"
        "In the mean: 18.3 s on his feet, return 71.0. The policy has learnt from 1,234,567 steps."
    )


def test_a_policy_is_found_as_a_file_in_a_checkpoint_in_a_run_or_as_the_newest(tmp_path):
    run = tmp_path / "run"
    paths = [run / "checkpoints" / name / "policy.onnx" for name in ("000000000005", "000000000020")]
    for path in paths:
        path.parent.mkdir(parents=True)
        path.write_bytes(b"")
    assert find_policy(paths[0], tmp_path) == paths[0]
    assert find_policy(paths[0].parent, tmp_path) == paths[0]
    assert find_policy(run, tmp_path) == find_policy(None, tmp_path) == paths[1]
    for place in (tmp_path / "nothing", tmp_path):
        with pytest.raises(JackError, match=f"no policy in {place}"):
            find_policy(place, tmp_path)
    with pytest.raises(JackError, match="train makes one"):
        find_policy(None, tmp_path / "nothing")
