from dataclasses import replace

import pytest
import torch

from jack_brain.chunk import ChunkSpec
from jack_brain.network.brain import Brain, Inputs
from jack_brain.network.merge import merge
from jack_brain.network.presets import preset
from jack_contract.contract import CameraSpec, default_contract
from jack_contract.errors import JackError
from jack_contract.observation import Term


def with_terms(contract, *terms: Term):
    return replace(contract, observation=replace(contract.observation, terms=terms))


def walk(brain: Brain, frames: torch.Tensor) -> torch.Tensor:
    """Action and value where he walks, (B, n + 1)."""
    with torch.no_grad():
        told = brain(Inputs(frames, torch.tensor([[0.3, 0.0, 0.1]]).expand(len(frames), -1)))
    return torch.cat((told.mean, told.value), dim=-1)


def test_a_brain_that_learns_to_see_walks_bit_for_bit_as_before(contract, make_brain, make_inputs):
    before = make_brain(contract)
    after = Brain(contract, chunk=ChunkSpec())
    report = merge(after, before.state_dict())
    frames = make_inputs(contract, 9).proprioception
    assert torch.equal(walk(after, frames), walk(before, frames))
    assert {name.split(".")[0] for name in report.new} >= {"chunk_head"}
    assert not any(name.startswith(("trunk.", "action_head.", "value_head.")) for name in report.new)
    assert {n.split(".")[0] for n in report.kept} >= {
        "trunk",
        "action_head",
        "value_head",
        "instruction",
        "normaliser",
    }
    assert report.changes and "chunk_head" in str(report)


def test_the_same_brain_again_is_kept_whole(contract, make_brain):
    before, after = make_brain(contract), make_brain(contract, seed=3)
    report = merge(after, before.state_dict())
    assert not report.changes and set(report.kept) == set(before.state_dict())
    assert all(torch.equal(after.state_dict()[name], tensor) for name, tensor in before.state_dict().items())


def test_another_camera_begins_anew_and_is_named(contract, make_brain):
    larger = replace(contract, camera=CameraSpec(96, 64))
    after = Brain(larger)
    report = merge(after, make_brain(contract).state_dict(), contract)
    assert "image.positions" in report.new and "image.positions" in report.dropped
    assert not any(name.startswith("trunk.") for name in report.new + report.dropped)


def test_terms_in_another_order_mean_the_same(contract, make_brain, make_inputs):
    before, terms = make_brain(contract), contract.observation.terms
    moved = with_terms(contract, terms[-1], *terms[:-1])
    after = Brain(moved)
    report = merge(after, before.state_dict(), contract)
    assert set(report.fitted) == {
        "normaliser.mean",
        "normaliser.var",
        "proprioception.linear.weight",
        "action_head.hidden.0.weight",
        "value_head.hidden.0.weight",
    }
    frames = make_inputs(contract, 9).proprioception
    size = terms[-1].size
    reordered = torch.cat((frames[..., -size:], frames[..., :-size]), dim=-1)
    torch.testing.assert_close(walk(after, reordered), walk(before, frames), rtol=1e-5, atol=1e-5)


def test_a_term_that_is_new_moves_nothing_and_one_that_is_gone_is_told(contract, make_brain, make_inputs):
    terms = contract.observation.terms
    without = with_terms(contract, *terms[:3], *terms[4:])
    blunt = make_brain(without)
    after = Brain(contract)
    report = merge(after, blunt.state_dict(), without)
    assert report.terms_new == ["joint_velocity"] and report.terms_dropped == []
    frames = make_inputs(contract, 9).proprioception
    there = contract.observation.slices()["joint_velocity"]
    others = torch.cat((frames[..., : there.start], frames[..., there.stop :]), dim=-1)
    expected = walk(blunt, others)
    torch.testing.assert_close(walk(after, frames), expected, rtol=1e-5, atol=1e-5)
    frames[..., there] *= -3.0
    torch.testing.assert_close(walk(after, frames), expected, rtol=1e-5, atol=1e-5)
    assert "new joint_velocity" in str(report)
    assert merge(Brain(without), after.state_dict(), contract).terms_dropped == ["joint_velocity"]


def test_a_term_that_is_new_moves_no_chunk(contract, make_inputs):
    terms, there = contract.observation.terms, contract.observation.slices()["joint_velocity"]
    blunt, after = (
        Brain(with_terms(contract, *terms[:3], *terms[4:]), chunk=ChunkSpec()),
        Brain(contract, chunk=ChunkSpec()),
    )
    report = merge(after, blunt.state_dict(), blunt.contract)
    assert {name for name in report.fitted if "chunk" in name} == {
        f"chunk_head.{layer}.weight" for layer in ("hidden", "place", "progress")
    }
    given = make_inputs(contract, 4)
    frames = given.proprioception
    others = torch.cat((frames[..., : there.start], frames[..., there.stop :]), dim=-1)

    def chunk(brain: Brain, felt: torch.Tensor) -> torch.Tensor:
        with torch.no_grad():
            return brain.chunk_head(brain.reach(felt, brain.prefix(given.instruction, given.image)))[0]

    torch.testing.assert_close(chunk(after, frames), chunk(blunt, others), rtol=1e-4, atol=1e-4)


def test_a_term_of_another_scale_is_another_term(contract, make_brain):
    terms = contract.observation.terms
    scaled = with_terms(contract, replace(terms[0], scale=0.5), *terms[1:])
    report = merge(Brain(scaled), make_brain(contract).state_dict(), contract)
    assert report.terms_new == report.terms_dropped == ["angular_velocity"]


def test_a_brain_of_another_size_robot_or_history_is_refused(contract, make_brain):
    given = make_brain(contract).state_dict()
    with pytest.raises(JackError, match="another size; add --brain"):
        merge(Brain(contract, preset("small")), given)
    with pytest.raises(JackError, match="'sample' cannot become one of 'jack'"):
        merge(Brain(default_contract()), given, contract)
    shorter = replace(contract, observation=replace(contract.observation, history=4))
    with pytest.raises(JackError, match="reads 8 frames, this one 4"):
        merge(Brain(shorter), given, contract)
