import math

import pytest
import torch

from jack_brain.chunk import KINDS, ChunkSpec, chunk_width, unread_columns
from jack_brain.network.brain import Brain, Inputs
from jack_brain.network.chunk_heads import BINS, DEEDS, FLOW_STEPS, chunk_head
from jack_contract.contract import default_contract
from jack_contract.errors import JackError, ShapeError

WIDTH, FELT, NUMBERS = 8, 5, 3
SPEC = {kind: ChunkSpec(kind, length=4) for kind in KINDS}


def head(kind: str):
    torch.manual_seed(0)
    made = chunk_head(WIDTH, FELT, SPEC[kind], NUMBERS, torch.ones(5))
    made.normaliser.update(torch.tensor([2.0, 5.0, 1.0]) * torch.randn(4000, 3) + torch.tensor([0.0, 3.0, -1.0]))
    return made


def seeing(brain_contract, kind: str = "squared") -> Brain:
    torch.manual_seed(0)
    return Brain(brain_contract, chunk=ChunkSpec(kind))


@pytest.mark.parametrize("kind", KINDS)
def test_a_head_learns_what_chunk_goes_with_what_answer(kind):
    """Two answers, two chunks: after learning each gets its own, in its own units, and nothing between them."""
    made, generator = head(kind), torch.Generator().manual_seed(1)
    answers = torch.randn(2, WIDTH + FELT, generator=generator)
    chunks = torch.tensor([2.0, 5.0, 1.0]) * torch.randn(2, 4, 3, generator=generator) + torch.tensor(
        [0.0, 3.0, -1]
    )
    optimiser = torch.optim.Adam(made.parameters(), lr=3e-3)
    for _ in range(400):
        rows = torch.arange(32) % 2
        loss = made.errors(answers[rows], chunks[rows], generator)[0].mean()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    found, _ = made(answers)
    apart = made.normaliser(found) - made.normaliser(chunks)
    assert apart.abs().mean() < {"squared": 0.02, "flow": 0.25, "tokens": 0.03}[kind]
    assert (made.normaliser(chunks[0]) - made.normaliser(chunks[1])).abs().mean() > 0.8


def test_flow_takes_one_of_two_ways_and_squared_error_the_middle():
    """The same answer goes with chunks of all -1 and all 1: the mean, 0, is neither."""
    found = {}
    for kind in ("squared", "flow"):
        torch.manual_seed(0)
        made, generator = (
            chunk_head(WIDTH, FELT, SPEC[kind], NUMBERS, torch.ones(5)),
            torch.Generator().manual_seed(1),
        )
        optimiser = torch.optim.Adam(made.parameters(), lr=3e-3)
        sign = torch.tensor([-1.0, 1.0]).repeat(64)[:, None, None]
        answer = torch.ones(128, WIDTH + FELT)
        for _ in range(1000):
            loss = made.errors(answer, sign.expand(-1, 4, NUMBERS), generator)[0].mean()
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
        with torch.no_grad():
            found[kind] = float(made(answer[:1])[0].abs().mean())
    assert found["squared"] < 0.1
    assert 0.7 < found["flow"] < 1.3


def test_the_flow_is_followed_by_eulers_method():
    """A velocity that is the time itself, and nothing else, adds the mean of 0, 1/5, 2/5, 3/5 and 4/5."""
    made = head("flow")
    made.velocity = lambda features, noisy, time: time.expand(len(features), noisy.shape[1])
    assert FLOW_STEPS == 5
    torch.testing.assert_close(made.decode(torch.zeros(2, WIDTH + FELT)), (made.start + 0.4).expand(2, -1))


def test_tokens_share_eight_standard_deviations_evenly():
    made = head("tokens")
    scores = torch.zeros(1, made.size, BINS)
    scores[0, :, 128] = 1.0
    scores[0, 0] = torch.nn.functional.one_hot(torch.tensor(0), BINS)
    made.logits = lambda features: scores
    decoded = made.decode(torch.zeros(1, WIDTH + FELT))
    assert decoded[0, 1] == pytest.approx(4 / BINS)
    assert decoded[0, 0] == pytest.approx(-4 + 4 / BINS)
    made.logits = lambda features: torch.zeros(1, made.size, BINS)
    even = made.error(torch.zeros(1, WIDTH + FELT), torch.zeros(1, made.size), None)
    assert even.item() == pytest.approx(math.log(BINS), abs=1e-5)


@pytest.mark.parametrize("kind", KINDS)
def test_the_body_moves_a_chunk_though_the_answer_is_the_same(kind):
    made, felt = head(kind), 3.0 * torch.eye(FELT)[:2]
    first, second = made(made.features(torch.ones(2, 1, WIDTH), felt))[0]
    assert not torch.allclose(first, second, atol=1e-3)


@pytest.mark.parametrize("kind", KINDS)
def test_a_chunk_of_another_shape_is_named(kind):
    with pytest.raises(ShapeError, match=r"Chunk has shape \(2, 4, 2\); expected \(B, 4, 3\)"):
        head(kind).errors(torch.zeros(2, WIDTH + FELT), torch.zeros(2, 4, 2))


def test_which_deed_he_was_told_is_read_from_the_answer_and_not_from_how_the_arms_move():
    made, chunk = head("squared"), torch.zeros(2, 4, NUMBERS)
    answer, felt = torch.randn(2, 1, WIDTH), torch.randn(2, FELT)
    deed = made.errors(made.features(answer, felt), chunk)[3]
    assert deed.shape == (2, DEEDS) and not torch.equal(deed[0], deed[1])
    assert torch.equal(deed, made.errors(made.features(answer, felt + 1.0), chunk)[3])


# -- in the brain


@pytest.mark.parametrize("kind", KINDS)
def test_with_a_chunk_head_he_begins_and_walks_bit_for_bit_as_without(contract, make_inputs, kind):
    torch.manual_seed(0)
    plain = Brain(contract)
    given = make_inputs(contract, 7)
    walking = Inputs(given.proprioception, given.command)
    seeing_, expected = seeing(contract, kind), plain(walking)
    found = seeing_(walking)
    assert torch.equal(found.mean, expected.mean) and torch.equal(found.value, expected.value)
    names = plain.state_dict()
    assert all(torch.equal(seeing_.state_dict()[n], t) for n, t in names.items() if not n.startswith("image."))


def test_no_learning_of_chunks_gives_the_walking_readouts_a_gradient(contract, make_inputs):
    brain, given = seeing(contract), make_inputs(contract, 3)
    chunk = torch.zeros(3, 16, chunk_width(contract.robot))
    features = brain.reach(given.proprioception, brain.prefix(given.instruction, given.image))
    brain.chunk_head.errors(features, chunk)[0].sum().backward()
    for readout in (brain.action_head, brain.value_head):
        assert all(weight.grad is None for weight in readout.parameters())
    for part in (brain.chunk_head.token, brain.image.positions, brain.instruction.positions):
        assert part.grad.abs().sum() > 0


@pytest.mark.parametrize("sense", ["proprioception", "instruction", "image"])
def test_every_sense_moves_the_chunk(contract, make_inputs, sense):
    brain, given = seeing(contract), make_inputs(contract, 3)

    def chunk() -> torch.Tensor:
        return brain.chunk_head(brain.reach(given.proprioception, brain.prefix(given.instruction, given.image)))[0]

    with torch.no_grad():
        before, value = chunk(), getattr(given, sense)
        setattr(given, sense, (value + 1) % 100 if value.dtype == torch.int64 else value * 0.5 + 0.1)
        assert not torch.allclose(before, chunk(), atol=1e-5)


def test_what_was_done_last_and_the_legs_move_no_bit_of_a_chunk(make_inputs):
    contract = default_contract()
    brain, given = seeing(contract), make_inputs(contract, 3)
    past, parts = brain.prefix(given.instruction, given.image), contract.observation.slices()
    legs = range(12)  # the first of Jack's joints
    unread = [*range(parts["previous_action"].start, parts["gait"].stop)]
    unread += [parts[term].start + joint for term in ("joint_position", "joint_velocity") for joint in legs]
    assert sorted(unread_columns(contract)) == sorted(unread)
    columns = torch.tensor(unread)
    with torch.no_grad():
        before = brain.reach(given.proprioception, past)
        given.proprioception[..., columns] += 1.0
        assert torch.equal(brain.reach(given.proprioception, past), before)


def test_a_brain_without_a_head_says_so(contract, make_inputs, brain):
    given = make_inputs(contract, 2)
    with pytest.raises(JackError, match="makes no action chunks"):
        brain.reach(given.proprioception, brain.prefix(given.instruction, given.image))
