from collections.abc import Callable

import pytest
import torch

from jack_brain.chunk import ChunkSpec
from jack_brain.network.brain import Brain, Inputs
from jack_brain.network.export import PolicyExporter
from jack_contract.contract import Contract
from jack_contract.testing import sample_contract


@pytest.fixture(scope="session")
def contract() -> Contract:
    return sample_contract()


@pytest.fixture
def brain(make_brain, contract: Contract) -> Brain:
    return make_brain(contract)


@pytest.fixture
def inputs(make_inputs, contract: Contract) -> Inputs:
    return make_inputs(contract, 5)


@pytest.fixture(scope="session")
def make_brain() -> Callable[..., Brain]:
    return _brain


@pytest.fixture(scope="session")
def make_inputs() -> Callable[[Contract, int], Inputs]:
    return _inputs


def _brain(contract: Contract, seed: int = 0, chunk: ChunkSpec | None = None) -> Brain:
    """A brain whose every parameter and statistic matters: nothing is zero, nothing is one."""
    torch.manual_seed(seed)
    brain = Brain(contract, chunk=chunk)
    with torch.no_grad():
        for parameter in brain.parameters():
            parameter.add_(0.05 * torch.randn_like(parameter))
        brain.action_head.linear.weight.mul_(5.0)
    brain.normaliser.update(2.0 * torch.randn(500, brain.normaliser.mean.shape[0]) + 0.5)
    brain.value_normaliser.update(5.0 * torch.randn(500, 1) + 20.0)
    if brain.chunk_head is not None:
        brain.chunk_head.normaliser.update(2.0 * torch.randn(500, brain.chunk_head.shape[1]) + 0.5)
    return brain


def _inputs(contract: Contract, batch: int) -> Inputs:
    """Every modality present."""
    generator = torch.Generator().manual_seed(1)
    observation, words, camera = contract.observation, contract.instruction, contract.camera
    return Inputs(
        proprioception=torch.randn(batch, observation.history, observation.frame_size, generator=generator),
        command=torch.randn(batch, 3, generator=generator),
        instruction=torch.randint(0, words.vocabulary, (batch, words.length), generator=generator),
        image=torch.rand(batch, 3, camera.height, camera.width, generator=generator),
    )


PROVENANCE = {"phase": "walk", "step": 7, "seed": 3}


@pytest.fixture(scope="session")
def policy_file(contract: Contract) -> bytes:
    """One sound policy file; tracing takes seconds, so it is made once."""
    return PolicyExporter(_brain(contract), command=True).export(PROVENANCE)


@pytest.fixture(scope="session")
def seeing_file(contract: Contract) -> bytes:
    """One of a policy that follows sentences."""
    return PolicyExporter(_brain(contract, chunk=ChunkSpec()), command=True).export(PROVENANCE)
