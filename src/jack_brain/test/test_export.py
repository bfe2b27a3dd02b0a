import json

import numpy as np
import onnx
import onnxruntime
import pytest
import torch

from jack_brain import policy_file
from jack_brain.golden import Golden
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
