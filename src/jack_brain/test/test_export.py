import json

import numpy as np
import onnx
import onnxruntime
import pytest
import torch

from jack_brain import policy_file
from jack_brain.chunk import KINDS, ChunkSpec, chunk_width
from jack_brain.golden import Golden
from jack_brain.network.brain import Inputs
from jack_brain.network.export import PolicyExporter
from jack_brain.policy import Policy
from jack_contract.errors import PolicyError

PROVENANCE = {"phase": "walk", "step": 7, "seed": 3}


@pytest.fixture(scope="module")
def brain(make_brain, contract):
    return make_brain(contract)


@pytest.fixture(scope="module")
def exporter(brain):
    return PolicyExporter(brain, command=True)


@pytest.fixture(scope="module")
def file(exporter):
    return exporter.export(PROVENANCE)


def run(file: bytes, inputs) -> dict[str, np.ndarray]:
    session = onnxruntime.InferenceSession(file, providers=["CPUExecutionProvider"])
    feed = {"proprioception": inputs.proprioception.numpy()}
    if len(session.get_inputs()) == 2:
        feed["command"] = inputs.command.numpy()
    names = [port.name for port in session.get_outputs()]
    return dict(zip(names, session.run(names, feed), strict=True))


def walking(inputs):
    inputs.instruction = inputs.image = None
    return inputs


@pytest.mark.parametrize("batch", [1, 2, 17])
def test_the_file_computes_what_torch_computes(make_inputs, contract, brain, file, batch):
    inputs = walking(make_inputs(contract, batch))
    with torch.no_grad():
        output = brain(inputs)
        returns = brain.value_normaliser.restore(output.value)
    answer = run(file, inputs)
    assert set(answer) == {"action", "value"}
    np.testing.assert_allclose(answer["action"], output.mean, rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(answer["value"], returns, rtol=1e-5, atol=1e-5)
    assert np.abs(answer["action"]).max() > 0.1
    assert returns.mean() > 5.0  # in units of return: its statistics are in the graph


def test_a_later_export_has_the_later_weights_and_statistics(make_brain, make_inputs, contract):
    brain = make_brain(contract)
    exporter, inputs = PolicyExporter(brain, command=True), walking(make_inputs(contract, 3))
    before = run(exporter.export(PROVENANCE), inputs)
    brain.load_state_dict(make_brain(contract, seed=5).state_dict())
    brain.normaliser.update(torch.randn(1000, brain.normaliser.mean.shape[0]) * 3)
    brain.value_normaliser.update(torch.randn(1000, 1) * 9)
    after = run(exporter.export(PROVENANCE), inputs)
    with torch.no_grad():
        output = brain(inputs)
    np.testing.assert_allclose(after["action"], output.mean, rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(after["value"], brain.value_normaliser.restore(output.value), rtol=1e-5, atol=1e-5)
    assert np.abs(before["action"] - after["action"]).max() > 0.01


def test_without_the_value_the_action_is_bit_identical(make_inputs, contract, brain, file):
    alone = PolicyExporter(brain, command=True, value=False).export(PROVENANCE)
    for batch in (1, 9):
        inputs = walking(make_inputs(contract, batch))
        answer = run(alone, inputs)
        assert set(answer) == {"action"}
        assert np.array_equal(answer["action"], run(file, inputs)["action"])
    assert len(alone) < len(file)
    assert np.isnan(Policy.load(alone, contract).infer(inputs.proprioception[0].numpy())[1])


def test_a_brain_that_was_taught_without_commands_reads_none(make_inputs, contract, brain):
    file = PolicyExporter(brain).export(PROVENANCE)
    inputs = walking(make_inputs(contract, 4))
    inputs.command = None
    with torch.no_grad():
        np.testing.assert_allclose(run(file, inputs)["action"], brain(inputs).mean, rtol=1e-5, atol=1e-5)
    names = [weight.name for weight in onnx.load_from_string(file).graph.initializer]
    assert not any("command" in name or "instruction" in name or "image" in name for name in names)
    policy, history = Policy.load(file, contract), inputs.proprioception[0].numpy()
    before = policy.infer(history)[0].copy()
    assert np.array_equal(policy.infer(history, np.ones(3, np.float32))[0], before)


def test_the_file_says_everything_about_itself(contract, file):
    model = onnx.load_from_string(file)
    onnx.checker.check_model(model, full_check=True)
    entries = {entry.key: entry.value for entry in model.metadata_props}
    assert entries["jack.contract"] == contract.to_json()
    assert entries["jack.contract_digest"] == contract.digest
    assert json.loads(entries["jack.provenance"]) == PROVENANCE
    assert [entry.key for entry in model.metadata_props][-1] == "jack.sha256"
    assert Golden.from_json(entries["jack.golden"]).action.shape == (8, contract.robot.count)
    assert {port.type.tensor_type.elem_type for port in (*model.graph.input, *model.graph.output)} == {1}


def test_the_file_does_not_tell_where_it_was_made(file):
    assert b"/" + b"home" not in file and b".py" not in file and b"site-packages" not in file


def test_the_same_brain_gives_the_same_bytes(exporter, file):
    assert exporter.export(PROVENANCE) == file


def test_golden_inputs_lie_where_the_brain_lives(brain, file):
    golden = Golden.from_json(policy_file.read_metadata(file)["jack.golden"])
    spread = (golden.proprioception - brain.normaliser.mean.numpy()) / brain.normaliser.var.sqrt().numpy()
    assert np.abs(spread.mean()) < 0.2 and 0.8 < spread.std() < 1.2


def test_a_brain_that_is_no_number_is_not_exported_as_golden(contract, make_brain, exporter):
    broken = make_brain(contract)
    with torch.no_grad():
        broken.action_head.linear.bias[0] = float("nan")
    with pytest.raises(PolicyError, match="not finite"):
        PolicyExporter(broken).export(PROVENANCE)


@pytest.mark.parametrize("missing", ["phase", "step"])
def test_provenance_needs_phase_and_step(exporter, missing):
    with pytest.raises(PolicyError, match=missing):
        exporter.export({key: value for key, value in PROVENANCE.items() if key != missing})


# -- of a brain that follows sentences


@pytest.fixture(scope="module", params=KINDS)
def seeing(request, make_brain, contract):
    """A brain with each kind of head, and its file."""
    brain = make_brain(contract, chunk=ChunkSpec(request.param))
    return brain, PolicyExporter(brain, command=True).export(PROVENANCE)


def pictures(contract, count: int) -> torch.Tensor:
    shape = (count, 3, contract.camera.height, contract.camera.width)
    return torch.randint(0, 256, shape, generator=torch.Generator().manual_seed(2), dtype=torch.uint8)


def test_both_graphs_of_one_file_compute_what_torch_computes(make_inputs, contract, seeing):
    brain, file = seeing
    given, picture = make_inputs(contract, 1), pictures(contract, 1)
    policy = Policy.load(file, contract)
    seen = policy.look(given.instruction[0].numpy(), picture[0].permute(1, 2, 0).numpy())
    history, command = given.proprioception[0].numpy(), given.command[0].numpy()
    chunk, progress = policy.reach(history, seen.prefix)
    with torch.no_grad():
        past, scores = brain.look(given.instruction, picture)
        expected, done = brain.chunk_head(brain.reach(given.proprioception, past))
        walking = brain(Inputs(given.proprioception, given.command))
    assert chunk.shape == (16, chunk_width(contract.robot))
    np.testing.assert_allclose(chunk, expected[0], rtol=1e-4, atol=1e-4)
    assert progress == pytest.approx(float(done), abs=1e-5)
    np.testing.assert_allclose(seen.attention.ravel(), scores[0, 0].softmax(-1), rtol=1e-4, atol=1e-6)
    action, value = policy.infer(history, command)
    np.testing.assert_allclose(action, walking.mean[0], rtol=1e-5, atol=1e-5)
    assert value == pytest.approx(float(brain.value_normaliser.restore(walking.value)), rel=1e-5)
    assert np.array_equal(policy.act(history, command), action)


def test_he_walks_bit_for_bit_as_the_file_without_chunks_does(make_brain, make_inputs, contract, file):
    """The same weights, but for those that see: not one bit of the file's actions differs, whatever was seen."""
    given, plain = make_inputs(contract, 20), make_brain(contract)
    brain = make_brain(contract, seed=4, chunk=ChunkSpec())
    brain.load_state_dict(brain.state_dict() | {n: t for n, t in plain.state_dict().items() if "image." not in n})
    both = Policy.load(PolicyExporter(brain, command=True).export(PROVENANCE), contract)
    alone = Policy.load(file, contract)
    both.look(given.instruction[0].numpy(), np.full((64, 64, 3), 90, np.uint8))
    for frames, command in zip(given.proprioception.numpy(), given.command.numpy(), strict=True):
        assert np.array_equal(both.act(frames, command), alone.act(frames, command))
        assert both.value(frames, command) == alone.value(frames, command)


def test_weights_are_in_the_file_once(seeing):
    brain, file = seeing
    names = [weight.name for weight in onnx.load_from_string(file).graph.initializer]
    assert len(names) == len(set(names))
    assert len(file) < 4 * sum(tensor.numel() for tensor in brain.state_dict().values()) + 400_000


def test_chunks_without_commands_are_refused(make_brain, contract):
    with pytest.raises(PolicyError, match="exported with commands"):
        PolicyExporter(make_brain(contract, chunk=ChunkSpec()))
