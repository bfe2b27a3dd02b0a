"""Learning from demonstrations, on a toy with two joints: see two numbers, do something with them."""

import copy
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from jack_brain.network.brain import Brain
from jack_contract.errors import JackError
from jack_trainer.imitation.cloning import Cloning, CloningConfig
from jack_trainer.imitation.dagger import Practice, PracticeConfig
from jack_trainer.imitation.dataset import Demonstrations, Episode
from jack_trainer.imitation.samples import layout, windows
from jack_trainer.learner import LearningError
from jack_trainer.rl.acting import actor
from jack_trainer.tasks.environment import Observation, Transition

#: Of whoever teaches here.
MIX, SHIFT = np.array([[0.8, -0.5], [0.3, 1.1]], np.float32), np.array([0.2, -0.4], np.float32)
QUICK = CloningConfig(batch=128, steps=50, rate=3e-3, noise=0.02, memory=0.98, practice=None)


def teach(seen):
    return seen @ MIX.T + SHIFT


@pytest.fixture
def demonstrate(two_joints):
    """Episodes in which somebody does something with numbers between bounds."""

    def make(done=teach, episodes=10, length=60, low=-1.0, high=1.0, seed=0, noise=0.0):
        random, made = np.random.default_rng(seed), []
        for index in range(episodes):
            rows = np.zeros(length, layout(two_joints))
            rows["frame"] = random.uniform(low, high, (length, 2))
            rows["action"] = done(rows["frame"]) + random.normal(0.0, noise, (length, 2))
            rows["use"] = True
            made.append(Episode(Path(f"bag{index}"), f"{seed}{index:063d}", rows))
        return Demonstrations(made)

    return make


@pytest.fixture
def make_brain(two_joints):
    def make(seed=0):
        torch.manual_seed(seed)
        return Brain(two_joints, std=0.5)

    return make


class Numbers:
    """An environment of numbers between -1 and 1; each lasts for one control period."""

    def __init__(self, count=32, seed=0):
        self.count, self.broken = count, 0
        self._random = np.random.default_rng(seed)
        self.now, self.done = np.zeros((count, 2), np.float32), []

    @property
    def random(self):
        return self._random

    def reset(self):
        return self._look()

    def step(self, action):
        self.done.append(action.copy())
        none, nobody = np.zeros(self.count, bool), np.zeros(0, np.float32)
        return Transition(self._look(), np.zeros(self.count, np.float32), none, none, None, nobody, nobody, {})

    def _look(self):
        self.now = self._random.uniform(-1, 1, (self.count, 2)).astype(np.float32)
        return self._see()

    def _see(self):
        return Observation(self.now[:, None], np.zeros((self.count, 3), np.float32))

    def state_dict(self):
        return {"now": self.now.copy()}

    def load_state_dict(self, state):
        self.now = state["now"].copy()
        return self._see()


def error(brain, done=teach, low=-1.0, high=1.0):
    """Root mean square of what is wrong in what it does."""
    seen = np.random.default_rng(99).uniform(low, high, (500, 2)).astype(np.float32)
    found = actor(brain)(Observation(seen[:, None], np.zeros((500, 3), np.float32)))
    return float(np.sqrt(np.square(found - done(seen)).mean()))


def learn(learner, times):
    found = []
    for index in range(times):
        learner.progress = index / times
        found.append(learner.iterate())
    return found


# -- cloning


def test_a_clone_does_as_its_teacher(make_brain, demonstrate):
    brain = make_brain()
    before = error(brain)
    learner = Cloning(brain, demonstrate(), QUICK, seed=0)
    assert learner.samples == 128 * 50
    found = learn(learner, 8)
    assert error(learner.average) < 0.06 < 0.5 < before
    assert found[-1]["held_out"] < found[0]["held_out"] - 1.0
    assert learner.bags == [episode.sha256 for episode in demonstrate().episodes]


def test_the_spread_becomes_that_of_the_demonstrator(make_brain, demonstrate):
    """The likeliest spread is how far his actions lie from what can be told of them."""
    learner = Cloning(make_brain(), demonstrate(episodes=20, length=200, noise=0.3), QUICK, seed=0)
    assert learn(learner, 8)[-1]["noise"] == pytest.approx(0.3, rel=0.15)


def test_who_has_seen_nothing_is_normalised_by_the_data_and_who_has_seen_something_is_not(make_brain, demonstrate):
    brain = make_brain()
    learner = Cloning(brain, demonstrate(low=2.0, high=4.0), QUICK, seed=0)
    learnt, _ = demonstrate(low=2.0, high=4.0).split(QUICK.held_out)
    frames = np.concatenate([episode.rows["frame"] for episode in learnt])
    np.testing.assert_allclose(brain.normaliser.mean, frames.mean(0), rtol=1e-5)
    np.testing.assert_allclose(brain.normaliser.var, frames.var(0), rtol=1e-4)
    learner.iterate()
    assert int(brain.normaliser.count) == len(frames)
    other = make_brain()
    other.normaliser.update(torch.zeros(10, 2))
    Cloning(other, demonstrate(low=2.0, high=4.0), QUICK, seed=0).iterate()
    assert int(other.normaliser.count) == 10 and not other.normaliser.mean.any()


def test_the_value_readout_is_left_alone(make_brain, demonstrate):
    brain = make_brain()
    before = copy.deepcopy(brain.value_head.state_dict())
    Cloning(brain, demonstrate(), QUICK, seed=0).iterate()
    assert all(torch.equal(before[name], tensor) for name, tensor in brain.value_head.state_dict().items())


def test_it_stops_when_what_is_held_out_gets_no_likelier(make_brain, demonstrate):
    """Few samples of pure chance can be learnt by heart only, which makes others less likely."""
    config = replace(QUICK, patience=4, held_out=0.5)
    learner = Cloning(make_brain(), demonstrate(lambda seen: 0.0 * seen, 2, 16, noise=1.0), config, seed=0)
    found = []
    while not learner.over:
        assert len(found) < 60
        found.append(learner.iterate()["held_out"])
    best = int(np.argmin(found))
    assert len(found) == best + 1 + 4 and found[-1] > found[best] + 0.1
    running = learner._running.module
    _, ((source, _),) = learner._shares(0), learner._shares(1)
    ids = np.arange(len(source))
    with torch.no_grad():
        kept, last = (float(learner._surprise(brain, source, ids)) for brain in (learner.average, running))
    assert kept == pytest.approx(found[best]) and last == pytest.approx(found[-1])
    brain = copy.deepcopy(learner.brain.state_dict())
    assert learner.ready and np.isnan(learner.iterate()["loss"])
    assert all(torch.equal(brain[name], tensor) for name, tensor in learner.brain.state_dict().items())


def test_without_anything_held_out_the_newest_average_is_what_robots_get(make_brain, demonstrate):
    learner = Cloning(make_brain(), demonstrate(episodes=1), QUICK, seed=0)
    assert "held_out" not in learner.iterate() and not learner.over
    running = learner._running.module.state_dict()
    assert all(torch.equal(running[name], tensor) for name, tensor in learner.average.state_dict().items())


def test_of_a_brain_that_could_something_a_share_of_the_weights_before_stays(make_brain, demonstrate):
    """Robots get a quarter of what was before and three of what is learnt; of a new brain, all that is learnt."""
    brain, shown = make_brain(), demonstrate()
    brain.normaliser.update(torch.from_numpy(np.concatenate([e.rows["frame"] for e in shown.episodes])))
    before = {name: tensor.clone() for name, tensor in brain.state_dict().items()}
    learner = Cloning(brain, shown, replace(QUICK, kept=0.25, held_out=0.0), seed=0)
    learner.iterate()
    for name, tensor in learner.average.state_dict().items():
        learnt = learner._running.module.state_dict()[name]
        if tensor.is_floating_point():
            torch.testing.assert_close(tensor, 0.25 * before[name] + 0.75 * learnt)
    key = next(name for name in before if name.startswith("action_head"))
    assert not torch.equal(before[key], learner.average.state_dict()[key])
    new = Cloning(make_brain(), shown, replace(QUICK, kept=0.25, held_out=0.0), seed=0)
    new.iterate()
    assert torch.equal(new.average.state_dict()[key], new._running.module.state_dict()[key])


def test_a_loss_that_is_no_number_changes_no_weight(make_brain, demonstrate):
    found = demonstrate()
    for episode in found.episodes:
        episode.rows["action"][:] = np.nan
    learner = Cloning(make_brain(), found, QUICK, seed=0)
    before = copy.deepcopy(learner.brain.state_dict())
    with pytest.raises(LearningError, match="not finite"):
        learner.iterate()
    assert all(torch.equal(before[name], tensor) for name, tensor in learner.brain.state_dict().items())


def test_who_has_nothing_to_learn_from_is_told(make_brain):
    with pytest.raises(JackError, match="needs demonstrations"):
        Cloning(make_brain(), None, QUICK, seed=0)


# -- practice


def test_rehearsal_keeps_what_cloning_alone_loses(make_brain, demonstrate, tmp_path):
    """He knows how to answer any number, and is shown another answer to the large ones."""
    knows = Cloning(make_brain(), demonstrate(), QUICK, seed=0)
    learn(knows, 8)

    def other(seen):
        return teach(seen) + 0.6

    shown = demonstrate(other, low=0.7, high=1.0, seed=1)
    alone = Cloning(copy.deepcopy(knows.average), shown, QUICK, seed=0)
    learn(alone, 6)
    config = replace(QUICK, practice=PracticeConfig(rounds=2, length=20), between=1)
    rehearsed = Cloning(copy.deepcopy(knows.average), shown, config, 0, Numbers(), folder=tmp_path)
    learn(rehearsed, 6)
    forgot, kept = (error(learner.average, high=0.3) for learner in (alone, rehearsed))
    assert kept < 0.15 and kept < 0.4 * forgot
    for learner in (
        alone,
        rehearsed,
    ):  # and both learnt what they were shown, as far as the other is still to be true
        assert error(learner.average, other, 0.75, 0.95) < 0.35


def test_a_teacher_alone_is_enough(make_brain, tmp_path):
    config = replace(QUICK, practice=PracticeConfig(rounds=4, length=20), between=1)
    brain = make_brain()
    learner = Cloning(brain, None, config, 0, Numbers(), lambda seen: teach(seen.proprioception[:, 0]), tmp_path)
    learn(learner, 8)
    assert error(learner.average) < 0.06
    assert int(brain.normaliser.count) == 4 * 20 * (32 - 3)  # of 32 robots 3 are held out


def test_who_acts_and_who_is_learnt_from(two_joints, tmp_path):
    """The teacher decides always, then in half of the moments, then in a quarter; what he says is learnt always."""
    environment = Numbers(count=64)
    config = PracticeConfig(rounds=3, length=40, falls=0.5)
    practice = Practice(environment, lambda seen: teach(seen.proprioception[:, 0]), two_joints, config, 0, tmp_path)
    for share in (1.0, 0.5, 0.25):
        environment.done.clear()
        rows = practice.go_on(lambda seen: np.full((64, 2), 9.0, np.float32))
        np.testing.assert_allclose(rows["action"], teach(rows["frame"]), rtol=1e-6)
        assert np.mean(np.array(environment.done)[..., 0] != 9.0) == pytest.approx(share, abs=0.03)
    assert practice.over and rows["use"].all() and rows.shape == (64, 40)


def test_histories_of_practice_are_those_that_were_seen(make_locomotion, contract, tmp_path):
    """Also of robots that fell and began anew, and across the beginning of a round."""
    seen, environment = [], make_locomotion(count=3, start_velocity=3.0, episode=0.5)

    def teacher(observation):
        seen.append(observation.proprioception.copy())
        return np.zeros((3, contract.robot.count), np.float32)

    practice = Practice(environment, teacher, contract, PracticeConfig(rounds=2, length=40), 0, tmp_path)
    for begin in (0, 40):
        rows = practice.go_on(teacher)
        told = np.stack(seen[2 * begin :: 2], axis=1)  # who acts is asked as well
        for robot in range(3):
            ids = np.flatnonzero(rows[robot]["use"])
            found = windows(rows[robot]["frame"], rows[robot]["back"], ids, contract.observation.history)
            np.testing.assert_array_equal(found, told[robot])
    assert practice.episodes.lengths


@pytest.mark.parametrize("wrong", [{"rounds": 0}, {"length": 0}, {"beta": 1.1}, {"falls": -0.1}])
def test_practice_that_makes_no_sense_is_refused(wrong):
    with pytest.raises(JackError, match="Practice needs"):
        PracticeConfig(**wrong)


# -- going on


@pytest.fixture
def make_learner(make_brain, demonstrate, tmp_path):
    config = replace(QUICK, steps=5, practice=PracticeConfig(rounds=3, length=6), between=2)

    def make(folder="run", seed=0, count=8, **changes):
        place = tmp_path / folder
        place.mkdir(exist_ok=True)
        return Cloning(make_brain(seed), demonstrate(**changes), config, 0, Numbers(count), folder=place)

    return make


@pytest.mark.parametrize("before", [1, 2, 3, 6])
def test_fault_21_put_away_and_taken_up_it_learns_the_same_bit_for_bit(make_learner, before):
    whole, first = make_learner("whole"), make_learner("parts")
    learn(whole, 8)

    def go(learner, begin, end):
        for index in range(begin, end):
            learner.progress = index / 8
            learner.iterate()

    go(first, 0, before)
    tensors = {name: tensor.clone() for name, tensor in first.tensors().items()}
    numbers = first.numbers()
    first.iterate()  # what was practised after it was put away counts for nothing
    second = make_learner("parts", seed=5)
    second.restore(tensors, numbers)
    go(second, before, 8)
    expected = whole.tensors()
    assert set(expected) == set(second.tensors()) and whole.numbers() == second.numbers()
    for name, tensor in second.tensors().items():
        assert torch.equal(tensor, expected[name]), name


def test_what_does_not_fit_is_refused_in_words(make_learner, tmp_path):
    learner = make_learner()
    learner.iterate()
    tensors, numbers = learner.tensors(), learner.numbers()
    with pytest.raises(JackError, match="other bags"):
        make_learner(seed=1, episodes=9).restore(tensors, numbers)
    with pytest.raises(JackError, match="--environments"):
        make_learner(count=7).restore(tensors, numbers)
    (file,) = (tmp_path / "run").glob("practice-*.npy")
    file.write_bytes(file.read_bytes()[:-1])
    with pytest.raises(JackError, match="not what was practised"):
        make_learner().restore(tensors, numbers)


def test_a_full_disk_is_told(make_learner, monkeypatch):
    from jack_trainer.imitation import dagger

    def full(*given):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(dagger, "save_rows", full)
    with pytest.raises(JackError, match="No space left on device"):
        make_learner().iterate()
