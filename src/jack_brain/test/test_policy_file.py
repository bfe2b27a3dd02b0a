import hashlib
from contextlib import suppress

import onnx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jack_brain.policy_file import SEAL_SIZE, part, ports, read_metadata, require_sealed, seal
from jack_contract.errors import PolicyError


def test_the_seal_is_a_metadata_entry_of_fixed_length():
    model = onnx.ModelProto(ir_version=10).SerializeToString()
    file = seal(model)
    assert len(file) == len(model) + SEAL_SIZE
    (entry,) = onnx.load_from_string(file).metadata_props
    assert (entry.key, entry.value) == ("jack.sha256", hashlib.sha256(model).hexdigest())
    require_sealed(file)


@given(st.binary(min_size=1, max_size=200), st.data())
def test_fault_16_any_single_flipped_bit_breaks_the_seal(model, data):
    file = bytearray(seal(model))
    position = data.draw(st.integers(0, len(file) * 8 - 1))
    file[position // 8] ^= 1 << position % 8
    with pytest.raises(PolicyError):
        require_sealed(bytes(file))


@pytest.mark.parametrize("file", [b"", b"x" * 500, seal(b"")])
def test_what_is_not_sealed_is_refused(file):
    with pytest.raises(PolicyError, match="cut off"):
        require_sealed(file)


@given(st.binary(max_size=300))
@settings(max_examples=500)
def test_fault_16_any_bytes_are_read_or_refused_and_nothing_else(data):
    with suppress(PolicyError):
        read_metadata(data)


@given(st.data())
@settings(max_examples=200)
def test_fault_16_a_damaged_model_is_read_or_refused_and_nothing_else(data):
    graph = onnx.helper.make_graph([onnx.helper.make_node("Relu", ["x"], ["y"], name="n", axis=3)], "g", [], [])
    model = onnx.helper.make_model(graph)
    onnx.helper.set_model_props(model, {"a": "b", "c": "d"})
    file = bytearray(model.SerializeToString())
    for _ in range(data.draw(st.integers(1, 3))):
        file[data.draw(st.integers(0, len(file) - 1))] = data.draw(st.integers(0, 255))
    with suppress(PolicyError):
        read_metadata(bytes(file))


def test_metadata_is_read():
    model = onnx.helper.make_model(onnx.helper.make_graph([], "g", [], []))
    onnx.helper.set_model_props(model, {"a": "b", "ü": ""})
    assert read_metadata(model.SerializeToString()) == {"a": "b", "ü": ""}


def test_a_part_has_what_its_outputs_need_and_nothing_else(policy_file):
    model, lean = onnx.load_from_string(policy_file), onnx.load_from_string(part(policy_file, ["action"]))
    assert [port.name for port in model.graph.output] == ["action", "value"]
    assert [port.name for port in lean.graph.output] == ["action"]
    assert ports(policy_file) == (["proprioception", "command"], ["action", "value"])
    onnx.checker.check_model(lean, full_check=True)
    weights = {weight.name for weight in model.graph.initializer}
    values = {name for name in weights if "value_head" in name or "value_normaliser" in name}
    assert values == weights - {weight.name for weight in lean.graph.initializer}
    assert all(node in model.graph.node for node in lean.graph.node)
    assert list(lean.metadata_props) == list(model.metadata_props)


def test_a_part_of_everything_is_everything(policy_file):
    assert onnx.load_from_string(part(policy_file, ["action", "value"])) == onnx.load_from_string(policy_file)
