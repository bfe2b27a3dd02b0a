import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from jack_brain.network.normaliser import EPSILON, RunningNormaliser


def test_before_any_update_it_nearly_does_nothing():
    torch.testing.assert_close(RunningNormaliser(2)(torch.tensor([1.0, -2.0])), torch.tensor([1.0, -2.0]) / 1.01)


def test_by_hand():
    """Samples 1 and 3: mean 2, variance 1."""
    normaliser = RunningNormaliser(1)
    normaliser.update(torch.tensor([[1.0], [3.0]]))
    assert normaliser.mean.item() == 2.0
    assert normaliser.var.item() == 1.0
    assert normaliser.count.item() == 2.0
    assert normaliser(torch.tensor([4.0])).item() == pytest.approx(2.0 / (1.0 + EPSILON))


@given(sizes=st.lists(st.integers(0, 50), min_size=1, max_size=6), seed=st.integers(0, 1000))
def test_any_split_into_batches_gives_the_statistics_of_the_whole(sizes, seed):
    generator = torch.Generator().manual_seed(seed)
    samples = 3.0 * torch.randn(sum(sizes) + 1, 4, generator=generator) + 7.0
    normaliser = RunningNormaliser(4)
    for part in samples.split([*sizes, 1]):
        normaliser.update(part)
    torch.testing.assert_close(normaliser.mean, samples.mean(0), rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(normaliser.var, samples.var(0, correction=0), rtol=1e-4, atol=1e-4)


def test_history_shares_the_statistics_of_its_features():
    normaliser = RunningNormaliser(2)
    normaliser.update(torch.randn(3, 4, 5, 2))
    assert normaliser.count == 60
    x = torch.randn(7, 3, 2)
    torch.testing.assert_close(normaliser(x)[:, 1], normaliser(x[:, 1]))


def test_wild_readings_are_clipped():
    normaliser = RunningNormaliser(1, clip=10.0)
    assert normaliser(torch.tensor([1e9])).item() == 10.0
    assert normaliser(torch.tensor([-1e9])).item() == -10.0


def test_restore_inverts():
    normaliser = RunningNormaliser(3)
    normaliser.update(torch.randn(100, 3) * torch.tensor([1.0, 5.0, 50.0]) + 4.0)
    x = torch.randn(8, 3)
    torch.testing.assert_close(normaliser.restore(normaliser(x)), x, rtol=1e-4, atol=1e-3)


def test_looking_does_not_teach_and_statistics_are_saved():
    normaliser = RunningNormaliser(2)
    normaliser.train()(torch.randn(10, 2))
    assert normaliser.count == 0
    normaliser.update(torch.randn(10, 2))
    copy = RunningNormaliser(2)
    copy.load_state_dict(normaliser.state_dict())
    assert torch.equal(copy.mean, normaliser.mean) and copy.count == 10
