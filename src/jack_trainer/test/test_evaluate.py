from dataclasses import replace

import numpy as np
import pytest

from jack_sim.randomization import OFF
from jack_trainer.evaluate import Evaluation, evaluate
from jack_trainer.tasks.lessons import EXAM

#: Half a second without a push; whoever keeps his pose is still on his feet then.
QUIET = replace(EXAM, episode=0.5, randomization=OFF, start_velocity=0.0)


@pytest.fixture
def keep_the_pose(contract):
    return lambda seen: np.zeros((len(seen.proprioception), contract.robot.count), np.float32)


@pytest.fixture
def give_way(contract):
    """Bend the knees as far as they go."""
    action = np.zeros(contract.robot.count, np.float32)
    for side in ("left", "right"):
        action[contract.robot.index(f"{side}_knee")] = 20.0
    return lambda seen: np.tile(action, (len(seen.proprioception), 1))


def test_who_keeps_standing_survives(contract, keep_the_pose):
    found = evaluate(keep_the_pose, contract, QUIET, episodes=5)
    assert (found.episodes, found.survived, found.survival) == (5, 5, 1.0)
    assert found.mean_time == pytest.approx(0.5)


def test_who_gives_way_falls_and_nobody_waits_for_the_end(contract, give_way):
    calls = []

    def actor(seen):
        calls.append(len(seen.proprioception))
        return give_way(seen)

    found = evaluate(actor, contract, replace(QUIET, episode=20.0), episodes=5)
    assert (found.survived, found.survival) == (0, 0.0)
    assert 0.0 < found.mean_time < 3.0
    assert set(calls) == {5} and len(calls) < 200
    assert len(calls) >= found.mean_time / contract.robot.control_period


def test_one_fall_is_counted_once_and_what_follows_not_at_all(contract, make_locomotion, keep_the_pose):
    """Against a count by hand: hard pushes fell some, and those start anew and may fall again."""
    pushes = replace(OFF, push_interval=(0.2, 0.6), push_speed=(1.0, 1.5))
    task = replace(EXAM, episode=2.0, randomization=pushes)
    found = evaluate(keep_the_pose, contract, task, episodes=8, seed=3)
    environment = make_locomotion(8, seed=3, **vars(task))
    seen, falls, until, earned = environment.reset(), np.zeros(8, int), np.zeros(8), np.zeros(8)
    for _ in range(100):
        step = environment.step(keep_the_pose(seen))
        until += falls == 0
        earned += step.reward * (falls == 0)
        falls += step.terminated
    assert falls.max() >= 2  # somebody fell twice
    assert found.survived == (falls == 0).sum()
    assert found.mean_time == pytest.approx(until.mean() * 0.02)
    assert found.mean_return == pytest.approx(earned.mean(), rel=1e-5)


def test_a_seed_decides_the_outcome(contract, give_way):
    task = replace(EXAM, episode=1.0)
    first, again, other = (evaluate(give_way, contract, task, episodes=3, seed=seed) for seed in (1, 1, 2))
    assert first == again and first != other


def test_survival_is_a_share():
    assert Evaluation(episodes=100, survived=95, mean_time=19.0, mean_return=50.0).survival == 0.95


def test_the_error_is_taken_once_a_command_has_settled(contract, make_locomotion, keep_the_pose):
    """Against the definition: of those on their feet, from one cycle of 0.52 s after each new command on."""
    asked = ((0.0, 0.3), (-0.2, 0.2), (-0.5, 0.5))
    task = replace(QUIET, episode=2.5, command=asked, still=0.5, command_interval=1.2)
    found = evaluate(keep_the_pose, contract, task, episodes=8, seed=3)
    environment = make_locomotion(8, seed=3, **vars(task))
    seen, standing, drifts = environment.reset(), np.ones(8, bool), []
    for t in range(1, 125):  # in the last period all start anew
        step = environment.step(keep_the_pose(seen))
        standing &= ~step.terminated
        if t % 60 > 26:
            drifts.append(environment.motion.drift[standing])
    drift = np.concatenate(drifts)
    assert len(drifts) == 66 and len(drifts[-1]) > 0
    assert found.velocity_error == pytest.approx(np.sqrt((drift[:, :2] ** 2).sum(-1).mean()))
    assert found.yaw_rate_error == pytest.approx(np.sqrt((drift[:, 2] ** 2).mean()))
    assert found.velocity_error > 0.0 and found.yaw_rate_error > 0.0


def test_who_falls_before_a_command_settles_has_no_error(contract, give_way):
    found = evaluate(give_way, contract, replace(QUIET, episode=0.5), episodes=2)
    assert (found.velocity_error, found.yaw_rate_error) == (0.0, 0.0)
