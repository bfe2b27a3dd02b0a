from dataclasses import replace

import pytest
import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from jack_brain.network.brain import Brain, Inputs
from jack_brain.network.tokens import means_of_newest
from jack_contract.errors import JackError, ShapeError

ABSENT = [
    {"instruction": None, "image": None},
    {"instruction": None, "image": None, "command": None},
    {"image": None},
    {"instruction": None},
    {},
]


def absent_id(absent):
    return "+".join(absent) or "nothing"


@pytest.fixture(params=ABSENT, ids=absent_id)
def some(request, inputs: Inputs) -> Inputs:
    return replace(inputs, **request.param)


@pytest.mark.parametrize("batch", [1, 2, 5, 33, 256])
@pytest.mark.parametrize("absent", ABSENT, ids=absent_id)
def test_without_the_value_readout_actions_are_bit_identical(brain, contract, make_inputs, absent, batch):
    inputs = replace(make_inputs(contract, batch), **absent)
    with torch.no_grad():
        both, alone = brain(inputs), brain(inputs, value=False)
    assert alone.value is None
    assert both.value.shape == (batch, 1)
    assert torch.equal(both.mean, alone.mean)


def test_actions_do_not_depend_on_the_value_readout_nor_values_on_the_action_readout(brain, some):
    before = brain(some)
    with torch.no_grad():
        brain.value_head.hidden[0].weight.copy_(brain.value_head.hidden[0].weight.flip(-1))
    assert torch.equal(brain(some).mean, before.mean)
    assert not torch.allclose(brain(some).value, before.value, atol=1e-3)
    before = brain(some)
    with torch.no_grad():
        brain.action_head.token.copy_(brain.action_head.token.flip(-1))
    assert torch.equal(brain(some).value, before.value)
    assert not torch.allclose(brain(some).mean, before.mean, atol=1e-3)


def test_the_value_loss_gives_nothing_of_what_acts_a_gradient(brain, some):
    brain(some).value.sum().backward()
    moved = {name.split(".")[0] for name, weight in brain.named_parameters() if weight.grad is not None}
    assert moved == {"value_head"}
    assert all(weight.grad.abs().sum() > 0 for weight in brain.value_head.parameters())


@pytest.mark.parametrize("modality", ["proprioception", "command", "instruction", "image"])
def test_every_modality_that_is_present_moves_the_action_and_body_and_command_the_value(brain, inputs, modality):
    before = brain(inputs)
    value = getattr(inputs, modality)
    other = (value + 1) % 100 if value.dtype == torch.int64 else value * 0.5 + 0.1
    after = brain(replace(inputs, **{modality: other}))
    assert not torch.allclose(before.mean, after.mean, atol=1e-4)
    felt = modality in ("proprioception", "command")
    assert torch.allclose(before.value, after.value, atol=1e-4) != felt


def test_the_truth_moves_values_and_no_bit_of_an_action(brain, some):
    before = brain(some)
    after = brain(replace(some, truth=torch.full((len(some.proprioception), 8), 0.3)))
    assert torch.equal(after.mean, before.mean)
    assert not torch.allclose(after.value, before.value, atol=1e-3)


def test_no_truth_is_as_good_as_none_that_differs_from_zero(brain, some):
    known = brain(replace(some, truth=torch.zeros(len(some.proprioception), 8)))
    torch.testing.assert_close(brain(some).value, known.value)


def test_what_the_action_tells_of_the_truth_is_held_against_it(brain, some):
    truth = torch.randn(len(some.proprioception), 8, generator=torch.Generator().manual_seed(3))
    gait = brain.contract.observation.slices()["gait"]
    some.proprioception[:, -1, gait] = 0.5  # left swings: nothing is mirrored
    with torch.no_grad():
        brain.action_head.estimate.weight.zero_()
        brain.action_head.estimate.bias.copy_(torch.arange(8.0))
    expected = ((torch.arange(8.0) - 4.0 * truth) ** 2).mean(dim=-1, keepdim=True)
    torch.testing.assert_close(brain(replace(some, truth=truth)).estimate_error, expected)
    assert brain(some).estimate_error is None  # nobody told it


class Nothing(nn.Module):
    """An encoder that a brain never had."""

    def forward(self, *_):
        raise AssertionError("An absent modality was computed.")


def flops(brain: Brain, inputs: Inputs, **options) -> int:
    with FlopCounterMode(display=False) as counter:
        brain(inputs, **options)
    return counter.get_total_flops()


@pytest.mark.parametrize("absent", ABSENT[:-1], ids=absent_id)
def test_an_absent_modality_costs_nothing(brain, inputs, absent):
    some = replace(inputs, **absent)
    whole, expected = flops(brain, inputs), flops(brain, some)
    for name in absent:
        setattr(brain, name, Nothing())
    assert flops(brain, some) == expected < whole


def test_a_dropped_value_readout_costs_nothing(brain, some):
    without = flops(brain, some, value=False)
    assert without < flops(brain, some)
    brain.value_head = Nothing()
    assert flops(brain, some, value=False) == without


def test_walking_costs_what_two_tokens_and_two_perceptrons_cost(brain, contract, inputs):
    """Multiplications counted by hand: what no readout needs is not there."""
    walking = replace(inputs, instruction=None, image=None)
    w, ff, batch = brain.size.width, brain.size.feedforward, 5
    observation = contract.observation
    layer = 3 * w * w + w * w + 2 * w * ff  # query, key, value; attention out; feed-forward
    means = 4 * 8 * observation.frame_size  # over the newest 1, 2, 4 and 8 frames of 8
    encoders = means + 4 * observation.frame_size * w + 3 * w
    value = (4 * observation.frame_size + 3 + 8) * ff + ff * ff + ff  # of body, command and truth
    context = 2 * layer + 2 * 2 * w * w  # two tokens through the first layer, their keys and values in the second
    first = 3 * w * w / batch + w * w + 2 * w * ff  # a readout's token is the same for the whole batch
    action = (w + 4 * observation.frame_size + 3) * ff + ff * ff + ff * contract.robot.count
    readout = first + layer + action
    assert flops(brain, walking) == 2 * batch * (encoders + context + readout + value)


def test_a_cached_prefix_gives_the_same_bits_as_a_computed_one(brain, inputs):
    past = brain.prefix(inputs.instruction, inputs.image)
    cached = brain(Inputs(inputs.proprioception, inputs.command), past=past)
    computed = brain(inputs)
    assert torch.equal(cached.mean, computed.mean)
    assert torch.equal(cached.value, computed.value)


def test_one_sentence_serves_a_batch_of_robots(brain, inputs):
    sentence = inputs.instruction[:1]
    past = brain.prefix(sentence)
    shared = brain(Inputs(inputs.proprioception, inputs.command), past=past)
    repeated = brain(Inputs(inputs.proprioception, inputs.command, sentence.expand(5, -1)))
    torch.testing.assert_close(shared.mean, repeated.mean, rtol=1e-5, atol=1e-5)


def test_a_prefix_and_a_sentence_together_are_refused(brain, inputs):
    past = brain.prefix(inputs.instruction)
    with pytest.raises(JackError, match="not both"):
        brain(inputs, past=past)


def test_robots_of_a_batch_do_not_see_each_other(brain, inputs):
    changed = replace(inputs, proprioception=inputs.proprioception.clone())
    changed.proprioception[0] *= 0.5
    before, after = brain(inputs).mean, brain(changed).mean
    assert not torch.allclose(before[0], after[0], atol=1e-3)
    assert torch.equal(before[1:], after[1:])


def test_wrong_shapes_are_named(brain, inputs):
    with pytest.raises(ShapeError, match=r"Input of the normaliser has shape \(5, 8, 64\); expected \(..., 65\)"):
        brain(replace(inputs, proprioception=inputs.proprioception[:, :, 1:]))
    with pytest.raises(ShapeError, match="Proprioception"):
        brain(replace(inputs, proprioception=inputs.proprioception[:, 1:]))
    with pytest.raises(ShapeError, match="Image"):
        brain(replace(inputs, image=inputs.image[..., 1:]))
    with pytest.raises(ShapeError, match="Instruction"):
        brain(replace(inputs, instruction=inputs.instruction.repeat(1, 2)))


def test_the_history_is_read_as_means_over_its_newest_frames():
    expected = [
        [0, 0, 0, 0, 0, 0, 0, 1],
        [0, 0, 0, 0, 0, 0, 1 / 2, 1 / 2],
        [0, 0, 0, 0, 1 / 4, 1 / 4, 1 / 4, 1 / 4],
        [1 / 8] * 8,
    ]
    torch.testing.assert_close(means_of_newest(8), torch.tensor(expected))
    torch.testing.assert_close(means_of_newest(3), torch.tensor([[0, 0, 1.0], [0, 0.5, 0.5]]))
    assert means_of_newest(1).tolist() == [[1.0]]


def test_bytes_and_fractions_are_the_same_picture(brain, inputs):
    picture = torch.randint(0, 256, inputs.image.shape, dtype=torch.uint8)
    as_bytes, as_float = (brain(replace(inputs, image=i)).mean for i in (picture, picture / 255.0))
    torch.testing.assert_close(as_bytes, as_float)


def test_a_new_brain_acts_near_the_default_pose_with_the_given_spread(contract, inputs):
    brain = Brain(contract, std=0.7)
    assert brain(inputs).mean.abs().max() < 0.2
    torch.testing.assert_close(brain.log_std.exp(), torch.full((contract.robot.count,), 0.7))
