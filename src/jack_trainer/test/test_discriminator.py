import copy
import math

import numpy as np
import pytest
import torch

from jack_contract.errors import JackError
from jack_trainer.learner import LearningError
from jack_trainer.rl.discriminator import LEAST_SQUARES, WASSERSTEIN, Judge, JudgeConfig

SIZE = 4
SMALL = {"hidden": (16,), "batch": 64, "kept": 64, "memory": 256}


def cloud(middle: float, count: int = 400, seed: int = 0) -> np.ndarray:
    """Movements around one point."""
    return (middle + 0.3 * np.random.default_rng(seed).standard_normal((count, SIZE))).astype(np.float32)


def make(seed: int = 0, **changes) -> Judge:
    return Judge(cloud(1.0), JudgeConfig(**SMALL | changes), seed)


def everything(count: int) -> np.ndarray:
    return np.ones(count, np.float32)


def teach(judge: Judge, rounds: int, movements: np.ndarray) -> dict[str, float]:
    for _ in range(rounds):
        told = judge.learn(movements, everything(len(movements)))
    return told


@pytest.mark.parametrize("form", [LEAST_SQUARES, WASSERSTEIN])
def test_it_learns_to_tell_a_policy_from_a_clip_and_likes_the_clip(form):
    judge = make(form=form, rate=3e-3)
    told = teach(judge, 30, cloud(-1.0))
    assert told["right"] > 0.95 and told["clip"] > 0.3 > -0.3 > told["policy"]
    clip, policy = judge.like(cloud(1.0, seed=9)), judge.like(cloud(-1.0, seed=9))
    assert clip.mean() > 0.7 and policy.mean() < 0.45
    assert ((clip >= 0) & (clip <= 1)).all()


@pytest.mark.parametrize("form", [LEAST_SQUARES, WASSERSTEIN])
def test_what_moves_like_the_clip_cannot_be_told_from_it(form):
    told = teach(make(form=form), 30, cloud(1.0, seed=1))
    assert abs(told["clip"] - told["policy"]) < 0.1 and 0.35 < told["right"] < 0.65


@pytest.mark.parametrize(
    ("form", "said", "liked"),
    [
        (LEAST_SQUARES, 1.0, 1.0),
        (LEAST_SQUARES, 0.0, 0.75),
        (LEAST_SQUARES, -1.0, 0.0),
        (LEAST_SQUARES, -9.0, 0.0),
        (LEAST_SQUARES, 2.0, 0.75),
        (WASSERSTEIN, 0.0, 0.5),
        (WASSERSTEIN, math.log(3.0) / 2, 0.75),  # tanh x = 1/2
        (WASSERSTEIN, -99.0, 0.0),
    ],
)
def test_what_is_paid_by_hand(form, said, liked):
    judge = make(form=form)
    last = judge.network[-1]
    torch.nn.init.zeros_(last.weight)
    torch.nn.init.constant_(last.bias, said)
    np.testing.assert_allclose(judge.like(cloud(0.0, 3)), liked, atol=1e-6)


def test_before_it_has_learnt_it_is_nearly_undecided():
    assert np.abs(make().like(cloud(-1.0)) - 0.75).max() < 0.25


def test_what_does_not_count_is_never_looked_at():
    movements = np.concatenate((cloud(-1.0, 100), np.full((300, SIZE), np.nan, np.float32)))
    judge = make()
    for _ in range(5):
        told = judge.learn(movements, np.repeat(np.array([1.0, 0.0], np.float32), [100, 300]))
    assert np.isfinite(list(told.values())).all()


def test_where_nothing_counts_nothing_is_learnt():
    judge = make()
    before = copy.deepcopy(judge.tensors())
    assert judge.learn(cloud(-1.0), np.zeros(400, np.float32)) == {}
    assert all(torch.equal(before[name], tensor) for name, tensor in judge.tensors().items())


def test_the_penalty_keeps_it_from_being_sure_of_trifles():
    near = cloud(0.9, seed=3)
    steep, flat = (teach(make(penalty=weight, rate=3e-3, blur=0.0), 40, near) for weight in (0.0, 20.0))
    assert flat["penalty"] < 0.2 * steep["penalty"]


def test_former_policies_are_remembered_and_the_oldest_written_over():
    judge = make()
    for k in range(5):  # 64 each, 256 have room
        judge.learn(np.full((10, SIZE), float(k), np.float32), everything(10))
    kept = judge.tensors()["memory.rows"][:, 0]
    assert sorted(set(kept.tolist())) == [1.0, 2.0, 3.0, 4.0]
    assert (kept[:64] == 4.0).all()


def test_a_movement_that_is_no_number_stops_the_training_and_spares_the_judge():
    judge = make()
    judge.learn(cloud(-1.0), everything(400))
    before = copy.deepcopy(judge.network.state_dict())
    with pytest.raises(LearningError, match="style_loss nan"):
        judge.learn(np.full((10, SIZE), np.nan, np.float32), everything(10))
    assert all(torch.equal(before[name], weight) for name, weight in judge.network.state_dict().items())


def test_it_goes_on_as_if_nothing_had_happened():
    judge, policy = make(seed=1), cloud(-1.0)
    teach(judge, 3, policy)
    kept = copy.deepcopy(judge.tensors())
    again = make(seed=2)
    again.restore(kept)
    assert teach(again, 3, policy) == teach(judge, 3, policy)
    assert all(torch.equal(tensor, judge.tensors()[name]) for name, tensor in again.tensors().items())


def test_the_seed_decides_all_of_it():
    first, second, other = (make(seed=seed) for seed in (4, 4, 5))
    told = [teach(judge, 2, cloud(-1.0)) for judge in (first, second, other)]
    assert told[0] == told[1] != told[2]


@pytest.mark.parametrize("changes", [{"hidden": (8,)}, {"memory": 128}])
def test_what_is_of_another_judge_is_refused(changes):
    with pytest.raises(JackError, match="judge of style of another size"):
        make().restore(make(**changes).tensors())
    with pytest.raises(JackError, match="or none"):
        make().restore({})


@pytest.mark.parametrize(
    "changes", [{"form": "hinge"}, {"rate": 0.0}, {"penalty": -1.0}, {"batch": 0}, {"hidden": (0,)}]
)
def test_what_cannot_be_meant_is_refused(changes):
    with pytest.raises(JackError):
        JudgeConfig(**changes)
