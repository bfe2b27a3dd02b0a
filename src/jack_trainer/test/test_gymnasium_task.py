import gymnasium
import numpy as np
import pytest
import torch
from gymnasium.spaces import Box
from gymnasium.vector import AutoresetMode, SyncVectorEnv

from jack_brain.network.brain import Brain, Inputs
from jack_contract.contract import Contract
from jack_contract.errors import ContractError, JackError
from jack_trainer.tasks.gymnasium_task import GymnasiumTask, make_task


class Clock(gymnasium.Env):
    """Sees its age and what it was last told; pays its age; strikes (for good) or is stopped (from outside)."""

    def __init__(self, strike: int = 10**9, stop: int = 10**9, low=(-2.0, 0.0), high=(2.0, 10.0)) -> None:
        self.observation_space = Box(-np.inf, np.inf, (3,), np.float64)
        self.action_space = Box(np.array(low, np.float32), np.array(high, np.float32))
        self._strike, self._stop, self._age = strike, stop, 0

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self._age = 0
        return np.array([0.0, -1.0, self.np_random.uniform() if seed is not None else -1.0]), {}

    def step(self, action):
        self._age += 1
        seen = np.array([self._age, *action])
        return seen, float(self._age), self._age >= self._strike, self._age >= self._stop, {}


def task(*clocks: dict, mode: AutoresetMode = AutoresetMode.SAME_STEP, seed: int = 0) -> GymnasiumTask:
    makers = [lambda given=given: Clock(**given) for given in clocks]
    return GymnasiumTask(SyncVectorEnv(makers, autoreset_mode=mode), seed)


def ages(observation) -> list[float]:
    return observation.proprioception[:, 0, 0].tolist()


ZERO = np.zeros((3, 2), np.float32)


def test_an_end_and_a_stop_are_told_apart_and_the_next_episode_has_begun():
    clocks = task({"strike": 2}, {"stop": 2}, {"strike": 2, "stop": 2})
    assert ages(clocks.reset()) == [0.0, 0.0, 0.0]
    first = clocks.step(ZERO)
    assert ages(first.observation) == [1.0, 1.0, 1.0] and first.final is None
    assert not first.terminated.any() and not first.truncated.any() and len(first.episode_returns) == 0
    second = clocks.step(ZERO)
    assert second.terminated.tolist() == [True, False, True]  # both at once: what follows has no value
    assert second.truncated.tolist() == [False, True, False]
    assert second.reward.tolist() == [2.0, 2.0, 2.0]
    assert ages(second.observation) == [0.0, 0.0, 0.0]
    assert second.final is not None and ages(second.final) == [2.0]
    assert second.final.proprioception.shape == (1, 1, 3)
    assert second.episode_returns.tolist() == [3.0, 3.0, 3.0] and second.episode_lengths.tolist() == [2, 2, 2]


def test_no_step_is_lost_to_a_reset():
    clocks = task({"stop": 3})
    clocks.reset()
    seen = [clocks.step(ZERO[:1]) for _ in range(7)]
    assert [ages(step.observation)[0] for step in seen] == [1, 2, 0, 1, 2, 0, 1]
    assert [step.reward[0] for step in seen] == [1, 2, 3, 1, 2, 3, 1]
    assert [step.episode_returns.tolist() for step in seen] == [[], [], [6], [], [], [6], []]


@pytest.mark.parametrize(
    "action, told",
    [((0, 0), (0, 5)), ((1, 1), (2, 10)), ((-1, -0.5), (-2, 2.5)), ((-7, 9), (-2, 10))],
    ids=["middle", "bound", "between", "beyond"],
)
def test_one_is_the_bound_of_the_box(action, told):
    clocks = task({})
    clocks.reset()
    step = clocks.step(np.array([action], np.float32))
    assert step.observation.proprioception[0, 0, 1:].tolist() == pytest.approx(told)
    assert step.observation.proprioception.dtype == np.float32


def test_a_seed_decides_how_episodes_begin_and_they_differ():
    first, again, other = (task({}, {}, seed=seed).reset().proprioception for seed in (1, 1, 2))
    np.testing.assert_array_equal(first, again)
    assert len(np.unique(np.concatenate((first, other))[:, 0, 2])) == 4


def test_the_contract_fits_a_brain_and_is_no_robots():
    contract = task({}).contract
    assert contract.robot.name == "SyncVectorEnv" and contract.robot.count == 2
    assert contract.action.scale == (2.0, 5.0)
    brain = Brain(contract)
    assert brain(Inputs(torch.zeros(4, 1, 3))).mean.shape == (4, 2)
    with pytest.raises(ContractError, match="raw"):
        Contract.from_json(contract.to_json())


def test_what_a_learner_cannot_use_is_refused_in_words():
    with pytest.raises(JackError, match="SAME_STEP"):
        task({}, mode=AutoresetMode.NEXT_STEP)
    with pytest.raises(JackError, match="bounds"):
        task({"low": (-np.inf, 0.0)})
    with pytest.raises(JackError, match=r"Discrete\(2\)"):
        make_task("gymnasium:CartPole-v1", 2, vectorization="sync")
    with pytest.raises(JackError, match="Gymnasium cannot make 'gymnasium:Humanoyd-v5'"):
        make_task("gymnasium:Humanoyd-v5", 2)
    with pytest.raises(JackError, match="allowed: async, sync"):
        make_task("Humanoid-v5", 2, vectorization="parallel")


def test_processes_and_one_process_do_the_same():
    seen = []
    for way in ("sync", "async"):
        with make_task("Pendulum-v1", 2, seed=3, vectorization=way) as pendulum:
            frames = [pendulum.reset().proprioception]
            frames += [
                pendulum.step(np.full((2, 1), 0.3, np.float32)).observation.proprioception for _ in range(201)
            ]
        seen.append(np.array(frames))
    np.testing.assert_array_equal(*seen)
    assert seen[0].shape == (202, 2, 1, 3)


def test_an_episode_that_is_cut_off_by_time_says_where():
    with make_task("gymnasium:Pendulum-v1", 2, vectorization="sync") as pendulum:
        pendulum.reset()
        steps = [pendulum.step(np.zeros((2, 1), np.float32)) for _ in range(200)]
    assert steps[-1].truncated.all() and not steps[-1].terminated.any()
    assert steps[-1].final is not None
    assert not np.array_equal(steps[-1].final.proprioception, steps[-1].observation.proprioception)
    assert steps[-1].episode_lengths.tolist() == [200, 200]


def test_humanoid_can_be_made():
    with make_task("Humanoid-v5", 1, vectorization="sync") as humanoid:
        assert humanoid.reset().proprioception.shape == (1, 1, 348)
        step = humanoid.step(np.ones((1, 17), np.float32))
    assert humanoid.contract.action.scale == pytest.approx([0.4] * 17)
    assert 4.0 < step.reward[0] < 6.0  # 5 for being upright
