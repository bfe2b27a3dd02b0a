from dataclasses import replace

import numpy as np
import pytest
import torch

from jack_brain.network.brain import Brain, Inputs
from jack_brain.network.symmetry import Symmetry
from jack_contract.contract import Contract, default_contract
from jack_contract.mirror import Mirror

CONTRACT = default_contract()
MIRROR = Mirror.of(CONTRACT)


def brain(symmetric: bool = True) -> Brain:
    """A brain whose answers depend on everything."""
    torch.manual_seed(0)
    made = Brain(CONTRACT, symmetric=symmetric)
    with torch.no_grad():
        made.action_head.linear.weight.normal_()
    return made


def inputs(signal: tuple[float, float] | None = None, count: int = 20) -> tuple[torch.Tensor, torch.Tensor]:
    """Random frames and commands, with this gait signal in the newest frame if one is given."""
    random = torch.Generator().manual_seed(1)
    history, size = CONTRACT.observation.history, CONTRACT.observation.frame_size
    frames = torch.randn(count, history, size, generator=random)
    if signal is not None:
        frames[:, -1, CONTRACT.observation.slices()["gait"]] = torch.tensor(signal)
    return frames, torch.randn(count, 3, generator=random)


def mirrored(frames: torch.Tensor, command: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    return torch.from_numpy(MIRROR.frame(frames.numpy())), torch.from_numpy(MIRROR.command(command.numpy()))


@torch.no_grad()
def answers(made: Brain, frames: torch.Tensor, command: torch.Tensor) -> tuple[np.ndarray, np.ndarray]:
    output = made(Inputs(frames, command))
    assert output.value is not None
    return output.mean.numpy(), output.value.numpy()


def test_the_mirror_image_of_a_step_gets_the_mirrored_action_and_the_same_value():
    made, (frames, command) = brain(), inputs()
    action, value = answers(made, frames, command)
    opposite, same = answers(made, *mirrored(frames, command))
    np.testing.assert_array_equal(opposite, MIRROR.action(action))
    np.testing.assert_array_equal(same, value)


@torch.no_grad()
def test_the_truth_is_mirrored_with_the_body():
    made, (frames, command) = brain(), inputs()
    truth = torch.randn(len(frames), 8, generator=torch.Generator().manual_seed(2))
    to_the_left = torch.tensor([False, True, False, False, True, True, False, True])  # vy twice, yaw rate, slope
    opposite = torch.where(to_the_left, -truth, truth)
    value = made(Inputs(frames, command, truth=truth)).value
    assert torch.equal(made(Inputs(*mirrored(frames, command), truth=opposite)).value, value)
    assert not torch.allclose(made(Inputs(*mirrored(frames, command), truth=truth)).value, value, atol=1e-3)
    error = made(Inputs(frames, command, truth=truth)).estimate_error
    assert torch.equal(made(Inputs(*mirrored(frames, command), truth=opposite)).estimate_error, error)


def test_a_brain_without_it_is_not_symmetric():
    made, (frames, command) = brain(symmetric=False), inputs()
    action, _ = answers(made, frames, command)
    opposite, _ = answers(made, *mirrored(frames, command))
    assert np.abs(opposite - MIRROR.action(action)).max() > 0.1


@pytest.mark.parametrize(
    ("signal", "right"),
    [
        ((0.5, 0.8), False),  # the left foot is up
        ((-0.5, 0.8), True),  # the right one is
        ((0.0, 1.0), False),  # the left foot is next
        ((1e-16, -1.0), True),  # the right one is
        ((0.0, 0.0), False),  # at rest nothing is mirrored
    ],
)
def test_the_foot_that_swings_decides(signal, right):
    frames, _ = inputs(signal)
    assert Symmetry(CONTRACT).right(frames).tolist() == [right] * len(frames)


def test_at_rest_no_foot_is_next():
    symmetry = Symmetry(CONTRACT)
    for signal, rests in (((0.0, 0.0), True), ((0.0, 1.0), False), ((1e-16, -1.0), False), ((0.5, 0.8), False)):
        frames, _ = inputs(signal)
        assert symmetry.at_rest(frames).tolist() == [rests] * len(frames)


def test_at_rest_and_on_the_left_foot_it_changes_nothing():
    for signal in ((0.0, 0.0), (0.7, 0.7)):
        given = inputs(signal)
        np.testing.assert_array_equal(answers(brain(), *given)[0], answers(brain(symmetric=False), *given)[0])


def test_what_a_picture_shows_is_not_mirrored():
    made, (frames, command) = brain(), inputs((-0.7, 0.7))
    image = torch.zeros(len(frames), 3, CONTRACT.camera.height, CONTRACT.camera.width, dtype=torch.uint8)
    with torch.no_grad():
        seen = made(Inputs(frames, command, image=image)).mean
        plain = brain(symmetric=False)(Inputs(frames, command, image=image)).mean
    np.testing.assert_array_equal(seen.numpy(), plain.numpy())


def test_who_has_no_gait_has_no_sides(contract_without_gait: Contract):
    assert Symmetry.of(contract_without_gait) is None
    assert Brain(contract_without_gait).symmetry is None


@pytest.fixture
def contract_without_gait() -> Contract:
    terms = tuple(term for term in CONTRACT.observation.terms if term.name != "gait")
    return replace(CONTRACT, observation=replace(CONTRACT.observation, terms=terms))
