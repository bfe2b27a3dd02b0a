import math

import pytest
import torch

from jack_brain.network import trunk
from jack_brain.network.presets import BrainSize
from jack_brain.network.trunk import Trunk, attend, pack, unpack
from jack_contract.errors import JackError

SIZE = BrainSize(width=16, layers=3, heads=2, feedforward=32)


def test_attention_by_hand():
    """One head of size 1: query 1, keys 0 and ln 3, so weights 1/4 and 3/4; values 4 and 8 give 7."""
    query = torch.ones(1, 1, 1, 1)
    keys = torch.tensor([0.0, math.log(3.0)]).reshape(1, 2, 1, 1)
    values = torch.tensor([4.0, 8.0]).reshape(1, 2, 1, 1)
    torch.testing.assert_close(attend(query, keys, values), torch.full((1, 1, 1, 1), 7.0))


@pytest.mark.parametrize("keys", [1, 2, 3, 8])
@pytest.mark.parametrize("batch", [1, 4])
@pytest.mark.parametrize("queries", [1, 3])
def test_every_way_to_compute_attention_gives_the_same(monkeypatch, keys, batch, queries):
    query, k, v = torch.randn(batch, queries, 2, 8), torch.randn(4, keys, 2, 8), torch.randn(4, keys, 2, 8)
    direct = attend(query, k, v)
    fused = torch.nn.functional.scaled_dot_product_attention(
        *(x.expand(4, -1, -1, -1).transpose(1, 2) for x in (query, k, v))
    ).transpose(1, 2)
    torch.testing.assert_close(direct, fused)
    monkeypatch.setattr(trunk, "FEW_KEYS", 0)
    torch.testing.assert_close(attend(query, k, v), fused)


def test_a_block_reads_the_memory_and_the_memory_never_reads_the_block():
    net, first, second = Trunk(SIZE), torch.randn(4, 3, 16), torch.randn(4, 2, 16)
    _, past = net.extend(first)
    out, after = net.extend(second, past)
    other, after_other = net.extend(second.flip(-1), past)
    assert not torch.allclose(out, other)
    for (k, v), (ko, vo), (kp, vp) in zip(after, after_other, past, strict=True):
        assert torch.equal(k[:, :3], kp) and torch.equal(v[:, :3], vp)
        assert torch.equal(ko[:, :3], kp) and torch.equal(vo[:, :3], vp)
    _, changed = net.extend(first.flip(-1))  # adding 1 would be lost: layers normalise
    assert not torch.allclose(net.extend(second, changed)[0], out)


def test_absorbing_leaves_the_memory_that_extending_leaves():
    net, first, second = Trunk(SIZE), torch.randn(4, 3, 16), torch.randn(4, 2, 16)
    extended, absorbed = net.extend(first)[1], net.absorb(first)
    for past in (extended, absorbed):
        for ours, theirs in zip(net.absorb(second, past), net.extend(second, extended)[1], strict=True):
            torch.testing.assert_close(ours, theirs)


def test_a_memory_of_another_brain_is_refused():
    _, past = Trunk(SIZE).extend(torch.randn(1, 1, 16))
    with pytest.raises(JackError, match="3 layers, the brain 2"):
        Trunk(BrainSize(16, 2, 2, 32)).extend(torch.randn(1, 1, 16), past)


@pytest.mark.parametrize("wrong", [(63, 2, 4, 128), (64, 0, 4, 128), (64, 2, 0, 128), (64, 2, 4, -1)])
def test_impossible_sizes_are_refused(wrong):
    with pytest.raises((JackError, ZeroDivisionError)) as error:
        BrainSize(*wrong)
    assert isinstance(error.value, JackError)


def test_a_memory_goes_through_one_tensor_and_back():
    _, memory = Trunk(SIZE).extend(torch.randn(4, 5, 16))
    packed = pack(memory)
    assert packed.shape == (4, 2 * 3, 5, 16)
    for (k, v), (key, value) in zip(unpack(packed, heads=2), memory, strict=True):
        assert torch.equal(k, key) and torch.equal(v, value)
