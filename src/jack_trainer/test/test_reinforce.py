import math
from dataclasses import replace

import numpy as np
import pytest
import torch

from jack_brain.network.brain import Brain, Inputs
from jack_contract.contract import contract_for
from jack_contract.errors import JackError
from jack_contract.observation import ObservationSpec, Term
from jack_contract.robot import JointSpec, RobotSpec
from jack_trainer.rl.reinforce import Episodes, Reinforce, ReinforceConfig, returns_to_go
from jack_trainer.tasks.environment import Observation, Transition


class Chain:
    """Environment i goes on for i + 1 steps, until it ends or, if odd, is cut off; 0.5 is paid best."""

    def __init__(self, count: int = 3) -> None:
        self.count = count
        self.age = np.zeros(count, np.int64)
        self.resets = 0
        self._random = np.random.default_rng(0)
        self._frames = np.zeros((count, 1, 1), np.float32)

    @property
    def random(self) -> np.random.Generator:
        return self._random

    def reset(self) -> Observation:
        self.resets += 1
        self.age[:] = 0
        return self._look()

    def step(self, action: np.ndarray) -> Transition:
        reward = (1.0 - (action[:, 0] - 0.5) ** 2).astype(np.float32)
        self.age += 1
        over = self.age > np.arange(self.count)
        terminated = over & (np.arange(self.count) % 2 == 0)
        self.age[over] = 0
        none = np.zeros(0, np.float32), np.zeros(0, np.int64)
        return Transition(self._look(), reward, terminated, over & ~terminated, None, *none)

    def _look(self) -> Observation:
        self._frames[:, 0, 0] = self.age  # the array is reused, as real ones are
        return Observation(self._frames)

    def state_dict(self) -> dict[str, np.ndarray]:
        return {"age": self.age}

    def load_state_dict(self, state: dict[str, np.ndarray]) -> Observation:
        self.age[:] = state["age"]
        return self._look()


def learner(environment: Chain | None = None, seed: int = 0, **changes) -> Reinforce:
    joint = JointSpec("axis", -1, 1, 10, 30, 0.0, 40, 2)
    robot = RobotSpec("toy", (joint,), 0.02)
    contract = replace(
        contract_for(robot), observation=ObservationSpec((Term("joint_position", 1, 1.0),), history=1)
    )
    torch.manual_seed(seed)
    config = replace(ReinforceConfig(), **changes)
    return Reinforce(Brain(contract, std=0.5), environment or Chain(), config, seed)


def test_returns_by_hand():
    # gamma 1/2: G_2 = 4, G_1 = 2 + 1/2 * 4 = 4, G_0 = 1 + 1/2 * 4 = 3; beside it an episode that ended with step 0
    reward = torch.tensor([[1.0, 5.0], [2.0, 0.0], [4.0, 0.0]])
    assert returns_to_go(reward, 0.5).tolist() == [[3.0, 5.0], [4.0, 0.0], [4.0, 0.0]]


def episodes_of_two() -> Episodes:
    """One episode of two steps, one of one; what follows its end is nonsense that nobody may read."""
    return Episodes(
        proprioception=torch.tensor([[[[0.1]], [[0.2]]], [[[0.3]], [[math.nan]]]]),
        command=None,
        action=torch.tensor([[[1.0], [0.5]], [[-1.0], [math.nan]]]),
        reward=torch.tensor([[1.0, 3.0], [2.0, 0.0]]),
        alive=torch.tensor([[True, True], [True, False]]),
    )


@pytest.mark.parametrize("baseline, credits", [(False, (2.0, 3.0, 2.0)), (True, (-1 / 3, 2 / 3, -1 / 3))])
def test_the_loss_by_hand(baseline, credits):
    # gamma 1/2: G = 1 + 1/2 * 2 = 2 and 3 at the first step, 2 at the second; their mean is 7/3
    pupil = learner(gamma=0.5, baseline=baseline)
    with torch.no_grad():
        mean = pupil.brain(Inputs(torch.tensor([[[0.1]], [[0.2]], [[0.3]]]))).mean[:, 0].tolist()
    # log N(a; m, 1/2) = -1/2 ((a - m) / 0.5)^2 + ln 2 - 1/2 ln(2 pi)
    density = [
        -2.0 * (a - m) ** 2 + math.log(2) - 0.5 * math.log(2 * math.pi)
        for a, m in zip((1.0, 0.5, -1.0), mean, strict=True)
    ]
    expected = -sum(d * c for d, c in zip(density, credits, strict=True)) / 3
    told = pupil.update(episodes_of_two())
    assert told.loss == pytest.approx(expected, rel=1e-5)
    assert told.steps == 3
    assert told.discounted_return == pytest.approx(2.5)


def test_a_step_makes_what_paid_likelier():
    pupil, episodes = learner(gamma=0.5, rate=1e-4), episodes_of_two()
    first, second = pupil.update(episodes), pupil.update(episodes)
    assert second.loss < first.loss


def test_one_whole_episode_of_each_and_nothing_beyond():
    chain = Chain()
    pupil = learner(chain)
    episodes = pupil.collect()
    assert episodes.alive.T.tolist() == [[True, False, False], [True, True, False], [True, True, True]]
    assert episodes.proprioception[:, 2, 0, 0].tolist() == [0.0, 1.0, 2.0]  # copies, not the reused array
    assert episodes.reward[1, 0] == 0.0 and episodes.reward[2, 1] == 0.0
    assert list(pupil.episodes.lengths) == [1, 2, 3]
    assert list(pupil.episodes.returns) == pytest.approx(episodes.reward.sum(0).tolist())
    pupil.collect()
    assert chain.resets == 2


def test_an_episode_without_an_end_is_cut_off():
    pupil = learner(Chain(50), longest=7)
    assert len(pupil.collect().reward) == 7
    assert max(pupil.episodes.lengths) == 7


def test_it_learns():
    pupil = learner(Chain(32), rate=3e-3)
    first = pupil.iterate()
    for _ in range(60):
        last = pupil.iterate()
    with torch.no_grad():
        mean = pupil.brain(Inputs(torch.zeros(1, 1, 1))).mean
    assert abs(float(mean) - 0.5) < 0.25
    assert last["discounted_return"] > first["discounted_return"]
    assert pupil.samples == last["steps"] == sum(range(1, 33))


def test_the_value_head_is_left_alone():
    pupil = learner()
    before = pupil.brain.value_head.hidden[0].weight.clone()
    pupil.iterate()
    assert torch.equal(before, pupil.brain.value_head.hidden[0].weight)


def test_a_seed_decides_everything():
    pupils = [learner(seed=s) for s in (1, 1, 2)]
    told = [[pupil.iterate()["loss"] for _ in range(3)] for pupil in pupils]
    assert told[0] == told[1] != told[2]


def test_a_reward_that_is_no_number_stops_it_and_spares_the_brain():
    pupil, episodes = learner(), episodes_of_two()
    before = {name: tensor.clone() for name, tensor in pupil.brain.state_dict().items()}
    episodes.reward[0, 0] = math.nan
    with pytest.raises(JackError, match="not finite"):
        pupil.update(episodes)
    assert all(torch.equal(before[name], tensor) for name, tensor in pupil.brain.state_dict().items())
