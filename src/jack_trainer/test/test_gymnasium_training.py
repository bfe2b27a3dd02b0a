import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from jack_brain.network.brain import Brain
from jack_brain.network.presets import preset
from jack_contract.errors import JackError
from jack_trainer.gymnasium_training import (
    GYMNASIUM_PPO,
    GymnasiumOptions,
    GymnasiumResult,
    GymnasiumTraining,
    Point,
    load_weights,
)
from jack_trainer.rl.acting import actor
from jack_trainer.rl.reinforce import ReinforceConfig
from jack_trainer.tasks.environment import Observation

SHORT = replace(GYMNASIUM_PPO, rollout=16, epochs=1, minibatches=1)


def options(tmp_path, **changes) -> GymnasiumOptions:
    given = GymnasiumOptions(
        "gymnasium:Pendulum-v1", steps=128, environments=2, vectorization="sync", learner=SHORT
    )
    return replace(given, runs=tmp_path, **changes)


def test_steps_are_counted_and_the_curve_is_kept(tmp_path):
    seen: list[Point] = []
    with GymnasiumTraining(options(tmp_path)) as training:
        result = training.run(watch=seen.append)
    assert result.reason == "steps" and result.curve == seen
    assert [point.step for point in result.curve] == [32, 64, 96, 128]
    log = EventAccumulator(str(result.run / "tensorboard")).Reload()
    assert [event.step for event in log.Scalars("ppo/entropy")] == [32, 64, 96, 128]


def test_what_is_shown_runs_to_the_nearer_end(tmp_path):
    with GymnasiumTraining(options(tmp_path, steps=1000)) as training:
        slow = training.scene(Point(100, 2.0, -5.0, 40.0))
    with GymnasiumTraining(options(tmp_path, steps=1000, seconds=10.0)) as training:
        fast = training.scene(Point(100, 2.0, -5.0, 40.0))
    assert (slow.total_steps, slow.remaining, slow.steps_per_second) == (1000, 18.0, 50.0)
    assert (fast.total_steps, fast.remaining, fast.mean_return) == (500, 8.0, -5.0)
    assert fast.mean_episode_length == pytest.approx(40 / 30)  # Pendulum is drawn 30 times a second


def test_seconds_or_a_word_end_it(tmp_path):
    with GymnasiumTraining(options(tmp_path, steps=10**6, seconds=0.2)) as training:
        result = training.run()
    assert result.reason == "seconds" and result.end.seconds >= 0.2
    with GymnasiumTraining(options(tmp_path, steps=10**6)) as training:
        assert training.run(lambda: training.step >= 64).reason == "stopped"
    assert training.step == 64


def test_the_weights_act_as_the_brain_did(tmp_path):
    with GymnasiumTraining(options(tmp_path)) as training:
        result = training.run()
        contract = training.task.contract
    torch.manual_seed(99)
    brain = Brain(contract, preset("nano"))
    seen = Observation(np.random.default_rng(0).standard_normal((5, 1, 3)).astype(np.float32))
    assert not np.array_equal(actor(brain)(seen), actor(training.policy)(seen))
    load_weights(brain, result.run)
    np.testing.assert_array_equal(actor(brain)(seen), actor(training.policy)(seen))
    story = json.loads((result.run / "run.json").read_text())
    assert story["learner"] == "PPO" and story["options"]["env"] == "gymnasium:Pendulum-v1"
    assert len(story["curve"]) == 4 and story["contract"]["robot"]["name"] == "Pendulum-v1"


def test_weights_of_another_size_are_refused(tmp_path):
    with GymnasiumTraining(options(tmp_path, brain="small")) as training:
        result = training.run()
        brain = Brain(training.task.contract, preset("nano"))
    with pytest.raises(JackError, match="does not fit"):
        load_weights(brain, result.run)
    with pytest.raises(JackError, match="does not fit"):
        load_weights(brain, tmp_path / "nowhere")


def test_reinforce_counts_what_it_learnt_from(tmp_path):
    given = options(tmp_path, learner=ReinforceConfig(), steps=500)
    with GymnasiumTraining(given) as training:
        result = training.run()
    assert [point.step for point in result.curve] == [400, 800]  # two episodes of 200 steps an update
    assert result.end.mean_length == 200.0


def test_a_seed_decides_everything(tmp_path):
    returns = []
    for seed in (0, 0, 1):
        with GymnasiumTraining(options(tmp_path, seed=seed, steps=512)) as training:
            returns.append(training.run().end.mean_return)
    assert returns[0] == returns[1] != returns[2]


@pytest.mark.slow
def test_it_learns_to_balance(tmp_path):
    given = options(tmp_path, env="InvertedPendulum-v5", steps=16_384, environments=8, learner=GYMNASIUM_PPO)
    with GymnasiumTraining(given) as training:
        result = training.run()
    assert result.curve[0].mean_length < 12
    assert result.end.mean_length > 40


def test_steps_to_a_return():
    nan = float("nan")
    curve = [Point(10, 1.0, nan, nan), Point(20, 2.0, 5.0, 1.0), Point(30, 3.0, 4.0, 1.0), Point(40, 4.0, 9.0, 1.0)]
    result = GymnasiumResult(run=None, curve=curve, reason="steps")  # type: ignore[arg-type]
    assert (result.steps_to(4.5), result.steps_to(9.0), result.steps_to(9.1)) == (20, 40, None)


@pytest.mark.parametrize("wrong", [{"steps": 0}, {"seconds": -1.0}])
def test_nonsense_is_refused(tmp_path, wrong):
    with pytest.raises(JackError, match="given"):
        options(tmp_path, **wrong)
