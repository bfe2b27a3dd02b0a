import base64
import hashlib
import json
import math
import subprocess
import sys
from dataclasses import asdict, replace

import numpy as np
import onnx
import pytest

from jack_brain.golden import Golden
from jack_brain.policy import Policy, PolicyLimits, read
from jack_brain.policy_file import SEAL_SIZE, seal
from jack_contract.errors import PolicyError
from jack_contract.gait import Beat
from jack_contract.testing import mutations, sample_contract

MUTATIONS = mutations(sample_contract())
assert len(MUTATIONS) >= 20
LIMITS = PolicyLimits()


@pytest.fixture
def model(policy_file) -> onnx.ModelProto:
    """The model of a sound file, to be tampered with."""
    return onnx.load_from_string(policy_file[:-SEAL_SIZE])


def entries(model: onnx.ModelProto) -> dict[str, str]:
    return {entry.key: entry.value for entry in model.metadata_props}


def forged(model: onnx.ModelProto, **changed: str) -> bytes:
    """A file that is sealed as it should be, whatever is in it; `jack_x=...` replaces metadata."""
    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    metadata = entries(model) | {name.replace("jack_", "jack."): value for name, value in changed.items()}
    onnx.helper.set_model_props(copy, {key: value for key, value in metadata.items() if value})
    return seal(copy.SerializeToString())


def refused(file, contract, match, limits=LIMITS):
    with pytest.raises(PolicyError, match=match) as error:
        Policy.load(file, contract, limits)
    return str(error.value)


def test_a_sound_file_is_taken_from_bytes_and_from_disk(policy_file, contract, tmp_path):
    path = tmp_path / "policy.onnx"
    path.write_bytes(policy_file)
    for source in (policy_file, path):
        policy = Policy.load(source, contract)
        assert (policy.phase, policy.step, policy.provenance["seed"]) == ("walk", 7, 3)
        assert policy.stumble_steps is False  # it does not say that it has learnt to
        assert 0 < policy.latency < 0.01
    assert policy.sha256 == hashlib.sha256(policy_file).hexdigest()
    assert policy.estimates
    assert read(policy_file, contract) == policy_file


def test_it_answers_as_its_golden_vectors_say_and_keeps_no_state(policy_file, contract, model):
    golden, policy = Golden.from_json(entries(model)["jack.golden"]), Policy.load(policy_file, contract)
    for _ in range(2):
        for i in range(8):
            action, value = policy.infer(golden.proprioception[i], golden.command[i])
            np.testing.assert_allclose(action, golden.action[i], rtol=1e-5, atol=1e-5)
            assert value == pytest.approx(golden.value[i, 0], rel=1e-5)
            assert action.dtype == np.float32
            seen = golden.proprioception[i], golden.command[i]
            assert np.array_equal(policy.act(*seen), action)
            assert policy.value(*seen) == value


def test_fault_16_a_thousand_flipped_bits_and_truncations_are_all_refused(policy_file, contract):
    rng, size = np.random.default_rng(0), len(policy_file)
    for position in [*rng.integers(0, size * 8, 450), *(8 * (size - 1 - np.arange(SEAL_SIZE)))]:
        damaged = bytearray(policy_file)
        damaged[position // 8] ^= 1 << (position % 8)
        refused(bytes(damaged), contract, "damaged|cut off")
    for length in [0, 1, SEAL_SIZE, size - SEAL_SIZE, size - 1, *rng.integers(0, size, 500)]:
        refused(policy_file[:length], contract, "cut off")
    refused(policy_file + b"\0", contract, "cut off")
    refused(policy_file + policy_file, contract, "damaged")


@pytest.mark.parametrize("path", MUTATIONS)
def test_fault_15_a_policy_for_a_slightly_other_robot_is_refused_with_the_difference(model, contract, path):
    other = MUTATIONS[path]
    file = forged(model, jack_contract=other.to_json(), jack_contract_digest=other.digest)
    assert path.strip() in refused(file, contract, "not made for this robot")


def test_a_file_that_lies_about_its_digest_is_refused(model, contract):
    other = next(iter(MUTATIONS.values()))
    refused(forged(model, jack_contract=other.to_json()), contract, "does not have the digest")
    refused(forged(model, jack_contract_digest=other.digest), contract, "does not have the digest")


@pytest.mark.parametrize("key", ["contract", "contract_digest", "provenance", "golden"])
def test_a_missing_entry_is_named(model, contract, key):
    refused(forged(model, **{f"jack_{key}": ""}), contract, f"jack.{key}")


@pytest.mark.parametrize("text", ["{", "[]", "3", '{"phase":"walk"}', '{"phase":"walk","step":"many"}'])
def test_provenance_that_says_nothing_is_refused(model, contract, text):
    refused(forged(model, jack_provenance=text), contract, "provenance")


def with_beat(model, value: object) -> bytes:
    """The file with that in its provenance."""
    provenance = json.loads(entries(model)["jack.provenance"]) | {"beat": value}
    return forged(model, jack_provenance=json.dumps(provenance))


def test_a_policy_says_at_which_beat_it_walks(model, contract):
    assert Policy.load(forged(model), contract).beat is None  # the contract's
    assert Policy.load(with_beat(model, None), contract).beat is None
    beat = Beat(0.9, 1.03)
    assert Policy.load(with_beat(model, asdict(beat)), contract).beat == beat


@pytest.mark.parametrize("period", [0.29, 2.01, math.nan, math.inf, 10**400, "0.9", True, [0.9], None])
def test_a_beat_that_nobody_can_follow_is_refused(model, contract, period):
    assert "0.3 to 2" in refused(with_beat(model, {"period": period, "speed": 1.0}), contract, "beat")
    refused(with_beat(model, period or 0.9), contract, "a period and a speed")


def test_a_policy_from_before_beats_had_a_speed_is_refused(model, contract):
    provenance = json.loads(entries(model)["jack.provenance"])
    of_its_own, none = (provenance | {"gait_period": given} for given in (0.9, None))
    refused(forged(model, jack_provenance=json.dumps(of_its_own)), contract, "train it anew")
    assert Policy.load(forged(model, jack_provenance=json.dumps(none)), contract).beat is None


def test_an_entry_given_twice_is_refused(model, contract):
    model.metadata_props.append(onnx.StringStringEntryProto(key="jack.contract", value=contract.to_json()))
    refused(seal(model.SerializeToString()), contract, "jack.contract' is there twice")


def golden_of(model) -> Golden:
    return Golden.from_json(entries(model)["jack.golden"])


@pytest.mark.parametrize("output", ["action", "value"])
@pytest.mark.parametrize("index", [0, 7])
def test_fault_18_golden_vectors_off_by_a_little_are_refused(model, contract, output, index):
    golden = golden_of(model)
    array = getattr(golden, output).copy()
    array[index, -1] += 3e-4 * (1 + abs(array[index, -1]))
    refused(forged(model, jack_golden=replace(golden, **{output: array}).to_json()), contract, f"{output}.*differs")


def test_fault_18_weights_that_changed_under_the_golden_vectors_are_refused(model, contract):
    bias = next(w for w in model.graph.initializer if w.name.endswith("action_head.linear.bias"))
    bias.raw_data = (np.frombuffer(bias.raw_data, "<f4") + 1e-3).tobytes()
    refused(forged(model), contract, "action computed here differs by 0.001")


def test_fault_18_weights_that_are_no_numbers_are_refused(model, contract):
    bias = next(w for w in model.graph.initializer if w.name.endswith("action_head.linear.bias"))
    bias.raw_data = np.full(contract.robot.count, np.nan, "<f4").tobytes()
    refused(forged(model), contract, "differs")


def packed(**arrays: np.ndarray) -> str:
    return json.dumps(
        {
            name: {"shape": list(a.shape), "data": base64.b64encode(a.astype("<f4").tobytes()).decode()}
            for name, a in arrays.items()
        }
    )


def test_golden_vectors_must_be_enough_whole_and_finite(model, contract):
    golden = golden_of(model)
    few = Golden(*(getattr(golden, name)[:7] for name in ("proprioception", "command", "action", "value")))
    refused(forged(model, jack_golden=few.to_json()), contract, "at least 8")
    refused(forged(model, jack_golden=packed(action=golden.action)), contract, "missing")
    nan = packed(proprioception=golden.proprioception * np.nan, action=golden.action)
    refused(forged(model, jack_golden=nan), contract, "not finite")
    short = packed(proprioception=golden.proprioception, action=golden.action[:, :-1])
    refused(forged(model, jack_golden=short), contract, "Golden action has shape")
    for text in ("{", "[]", '{"action":3}', '{"proprioception":{"shape":[8],"data":"AAAA"}}'):
        refused(forged(model, jack_golden=text), contract, "golden vectors cannot be read")


def test_ports_of_other_names_shapes_and_types_are_refused(model, contract):
    model.graph.input[0].type.tensor_type.shape.dim[1].dim_value = 4
    refused(forged(model), contract, "inputs are|cannot load")


def test_a_fixed_batch_is_refused(model, contract):
    for port in (*model.graph.input, *model.graph.output):
        port.type.tensor_type.shape.dim[0].ClearField("dim_param")
        port.type.tensor_type.shape.dim[0].dim_value = 1
    refused(forged(model), contract, "any batch size")


def test_a_graph_with_a_further_output_is_refused(model, contract):
    name = model.graph.node[0].output[0]
    model.graph.output.append(onnx.helper.make_tensor_value_info(name, 1, None))
    refused(forged(model), contract, "outputs|cannot load")


@pytest.mark.parametrize("domain", ["com.microsoft", "my.own", "ai.onnx.ml"])
def test_fault_17_operators_of_other_domains_are_refused(model, contract, domain):
    model.opset_import.append(onnx.helper.make_opsetid(domain, 1))
    model.graph.node.append(onnx.helper.make_node("Gelu", ["action"], ["more"], domain=domain))
    refused(forged(model), contract, domain)


def test_fault_17_sub_graphs_are_refused(model, contract):
    body = onnx.helper.make_graph([], "body", [], [])
    model.graph.node.append(onnx.helper.make_node("Loop", [], [], body=body))
    refused(forged(model), contract, "sub-graphs")


def test_fault_17_external_weights_are_refused(model, contract, tmp_path):
    weight = model.graph.initializer[0]
    onnx.external_data_helper.set_external_data(weight, location=str(tmp_path / "weights"))
    refused(forged(model), contract, "outside the file")


def test_fault_17_an_external_constant_is_refused(model, contract):
    tensor = onnx.TensorProto(data_type=1, dims=[1], data_location=onnx.TensorProto.EXTERNAL)
    model.graph.node.append(onnx.helper.make_node("Constant", [], ["c"], value=tensor))
    refused(forged(model), contract, "outside the file")


def test_fault_17_functions_and_two_graphs_are_refused(model, contract):
    model.functions.append(onnx.FunctionProto(name="f", domain="d"))
    refused(forged(model), contract, "functions")
    del model.functions[:]
    second = onnx.ModelProto(graph=model.graph).SerializeToString()
    refused(seal(model.SerializeToString() + second), contract, "2 graphs")


def test_fault_17_an_operator_that_does_not_exist_is_refused(model, contract):
    model.graph.node.append(onnx.helper.make_node("Teleport", ["action"], ["more"]))
    refused(forged(model), contract, "cannot load the graph")


def test_fault_16_sealed_noise_is_refused(contract):
    rng = np.random.default_rng(0)
    for size in (1, 10, 100, 10_000):
        for _ in range(20):
            refused(seal(rng.bytes(size)), contract, "not an ONNX model|graphs|no metadata|has ")


def test_fault_17_an_oversized_file_is_not_even_read(policy_file, contract, tmp_path):
    small = PolicyLimits(max_bytes=1000)
    refused(policy_file, contract, "allowed: 1000", small)
    path = tmp_path / "big.onnx"
    with path.open("wb") as file:
        file.truncate(10**12)  # sparse: reading it would not end well
    refused(path, contract, "1000000000000 bytes; allowed: 64000000")


def test_a_missing_file_is_an_error_in_words(contract, tmp_path):
    refused(tmp_path / "nothing.onnx", contract, "cannot be read")
    refused(tmp_path, contract, "cannot be read")


def test_fault_18_a_policy_that_is_too_slow_is_refused(policy_file, contract):
    refused(policy_file, contract, "takes .* ms to decide", PolicyLimits(period_share=1e-7))


@pytest.mark.parametrize(
    "wrong", [{"max_bytes": 0}, {"tolerance": -1.0}, {"period_share": 0.0}, {"timed_runs": 0}, {"memory": 0}]
)
def test_limits_must_be_positive(wrong):
    with pytest.raises(PolicyError, match="positive"):
        PolicyLimits(**wrong)


def test_the_robot_needs_no_torch(policy_file, tmp_path):
    path = tmp_path / "policy.onnx"
    path.write_bytes(policy_file)
    code = (
        "import sys; from pathlib import Path; from jack_brain.policy import Policy\n"
        "from jack_contract.testing import sample_contract\n"
        f"Policy.load(Path({str(path)!r}), sample_contract())\n"
        "assert not {'torch', 'onnx', 'mujoco', 'scipy'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


# -- of a policy that follows sentences


@pytest.fixture
def seeing_model(seeing_file) -> onnx.ModelProto:
    return onnx.load_from_string(seeing_file[:-SEAL_SIZE])


def picture(seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (64, 64, 3), dtype=np.uint8)


def test_a_policy_that_follows_is_known_and_timed(seeing_file, policy_file, contract):
    policy, plain = Policy.load(seeing_file, contract), Policy.load(policy_file, contract)
    assert policy.follows and not plain.follows
    assert policy.words == "" and 0 < policy.looking < 0.05 and policy.latency > plain.latency > 0
    history = np.zeros((8, 65), np.float32)
    with pytest.raises(PolicyError, match="follows no sentences"):
        plain.look(None, None)
    with pytest.raises(PolicyError, match="follows no sentences"):
        plain.reach(history, np.zeros(1, np.float32))


def test_what_was_seen_stays_when_something_else_is_looked_at(seeing_file, contract):
    policy, history, ids = Policy.load(seeing_file, contract), np.ones((8, 65), np.float32), np.arange(16)
    first = policy.look(ids, picture())
    before = policy.reach(history, first.prefix)[0].copy()
    second = policy.look(ids, picture(1))
    assert not np.allclose(policy.reach(history, second.prefix)[0], before, atol=1e-5)
    assert np.array_equal(policy.reach(history, first.prefix)[0], before)
    assert first.attention.shape == (16, 16) and first.attention.sum() == pytest.approx(1.0, abs=1e-5)


def test_nothing_said_and_nothing_seen_are_padding_and_grey(seeing_file, contract):
    policy = Policy.load(seeing_file, contract)
    nothing = policy.look(None, None)
    same = policy.look(np.zeros(16, np.int64), np.full((64, 64, 3), 128, np.uint8))
    assert np.array_equal(nothing.prefix, same.prefix)
    assert not np.array_equal(nothing.prefix, policy.look(np.arange(16), None).prefix)


@pytest.mark.parametrize(
    ("ids", "pixels", "match"),
    [
        (np.arange(15), None, "16 token ids"),
        (np.full(16, 512), None, "from 0 to 511"),
        (np.full(16, -1), None, "from 0 to 511"),
        (None, np.zeros((64, 63, 3), np.uint8), "64 x 64 x 3"),
        (None, np.zeros((3, 64, 64), np.uint8), "64 x 64 x 3"),
    ],
)
def test_no_sentence_and_no_picture_of_another_shape_is_looked_at(seeing_file, contract, ids, pixels, match):
    with pytest.raises(PolicyError, match=match):
        Policy.load(seeing_file, contract).look(ids, pixels)


@pytest.mark.parametrize("part", ["chunk_head.out.bias", "image.stem.4.bias", "instruction.positions"])
def test_fault_18_weights_of_either_graph_that_changed_are_refused(seeing_model, contract, part):
    weight = next(w for w in seeing_model.graph.initializer if w.name.endswith(part))
    values = np.frombuffer(weight.raw_data, "<f4").copy()
    values[0] += 0.5  # one of them: what is added to all of a token is normalised away
    weight.raw_data = values.tobytes()
    refused(forged(seeing_model), contract, "chunk computed here differs")


def test_a_file_whose_ports_are_not_those_of_its_vectors_is_refused(seeing_model, contract):
    golden = golden_of(seeing_model)
    without = replace(golden, chunk=None, instruction=None, image=None)
    refused(forged(seeing_model, jack_golden=without.to_json()), contract, "inputs are")
    half = replace(golden, image=None)
    refused(forged(seeing_model, jack_golden=half.to_json()), contract, "Golden image is not there")
    short = replace(golden, chunk=golden.chunk[..., 1:])
    refused(forged(seeing_model, jack_golden=short.to_json()), contract, "Golden chunk has shape")


def test_fault_18_a_policy_that_sees_too_slowly_is_refused(seeing_file, contract):
    refused(seeing_file, contract, "to see a picture", PolicyLimits(look=1e-7))
