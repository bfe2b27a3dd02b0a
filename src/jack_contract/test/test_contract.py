import json
import math
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jack_contract.action import ActionSpec
from jack_contract.contract import (
    MAX_JSON_BYTES,
    VERSION,
    CameraSpec,
    Contract,
    InstructionSpec,
    contract_for,
    default_contract,
)
from jack_contract.errors import ContractError, ContractMismatchError
from jack_contract.gait import GaitSpec
from jack_contract.observation import ENCODERS, ObservationSpec, Term
from jack_contract.robot import JointSpec, RobotSpec
from jack_contract.testing import mutations, sample_contract, sample_robot

POSITIVE = st.floats(1e-6, 1e6)


@st.composite
def joints(draw, name: str) -> JointSpec:
    lower, default, upper = sorted(draw(st.lists(st.floats(-10, 10), min_size=3, max_size=3, unique=True)))
    numbers = [draw(POSITIVE) for _ in range(4)]
    return JointSpec(name, lower, upper, numbers[0], numbers[1], default, numbers[2], numbers[3])


@st.composite
def contracts(draw) -> Contract:
    names = draw(st.lists(st.text(min_size=1, max_size=12), min_size=1, max_size=4, unique=True))
    robot = RobotSpec(draw(st.text(max_size=8)), tuple(draw(joints(n)) for n in names), draw(st.floats(1e-3, 1.0)))
    terms = tuple(
        Term(name, draw(st.integers(1, 50)), draw(POSITIVE)) for name in draw(st.permutations(sorted(ENCODERS)))
    )
    observation = ObservationSpec(terms, draw(st.integers(1, 100)), draw(POSITIVE))
    scale = tuple(draw(POSITIVE) for _ in names)
    swing = tuple(draw(st.floats(-3, 3)) for _ in names)
    stride = tuple(draw(st.tuples(*[st.floats(-3, 3)] * 3)) for _ in names)
    gait = GaitSpec(draw(st.floats(0.1, 10)), swing, stride, draw(POSITIVE), draw(st.floats(0, 1)))
    sizes = [draw(st.integers(1, 1000)) for _ in range(4)]
    camera, instruction = CameraSpec(*sizes[:2]), InstructionSpec(*sizes[2:])
    return Contract(robot, observation, ActionSpec(scale), gait, camera, instruction)


@settings(max_examples=50, deadline=None)
@given(contracts())
def test_json_keeps_every_bit(contract):
    copy = Contract.from_json(contract.to_json())
    assert copy == contract
    assert copy.to_json() == contract.to_json()
    assert copy.digest == contract.digest
    assert contract.diff(copy) == []
    contract.require_same(copy)


def test_json_is_canonical():
    text = sample_contract().to_json()
    assert text == json.dumps(json.loads(text), sort_keys=True, separators=(",", ":"))


MUTATIONS = mutations(sample_contract())


def test_there_are_at_least_twenty_mutations():
    assert len(MUTATIONS) >= 20
    assert len({mutated.digest for mutated in MUTATIONS.values()}) == len(MUTATIONS)


@pytest.mark.parametrize("path", MUTATIONS)
def test_a_mutation_changes_the_digest_and_is_named(path):
    contract, mutated = sample_contract(), MUTATIONS[path]
    assert mutated.digest != contract.digest
    assert any(difference.startswith(path) for difference in contract.diff(mutated)), contract.diff(mutated)
    with pytest.raises(ContractMismatchError) as error:
        contract.require_same(mutated)
    assert path.strip() in str(error.value)
    assert Contract.from_json(mutated.to_json()) == mutated


def test_a_difference_says_both_values():
    contract = sample_contract()
    other = replace(contract, robot=replace(contract.robot, control_period=0.01))
    assert contract.diff(other) == ["robot.control_period: 0.02 != 0.01"]


def test_a_whole_number_for_a_fraction_is_a_difference_too():
    contract = sample_contract()
    other = replace(contract, observation=replace(contract.observation, clip=100))
    assert contract.diff(other) == ["observation.clip: 100.0 != 100"]


def test_a_negative_nothing_is_a_difference_too():
    contract, other = (
        replace(sample_contract(), gait=replace(sample_contract().gait, still=still)) for still in (0.0, -0.0)
    )
    assert contract.digest != other.digest
    assert contract.diff(other) == ["gait.still: 0.0 != -0.0"]


def test_robots_of_different_size_differ():
    robot = sample_robot()
    fewer = contract_for(replace(robot, joints=robot.joints[:-1]))
    assert "robot.joints: 19 entries != 18 entries" in sample_contract().diff(fewer)


EMPTY, HOLLOW = (json.dumps({"version": VERSION} | content) for content in ({}, {"robot": {"joints": 3}}))
NO_CONTRACTS = ["", "null", "[]", "{}", "3", '"x"', "{", EMPTY, HOLLOW]


@pytest.mark.parametrize("text", [*NO_CONTRACTS, "[" * 99_999], ids=range(len(NO_CONTRACTS) + 1))
def test_what_is_no_contract_is_refused_in_words(text):
    with pytest.raises(ContractError):
        Contract.from_json(text)


def test_an_endless_text_is_refused_unread():
    with pytest.raises(ContractError, match="at most"):
        Contract.from_json(" " * (MAX_JSON_BYTES + 1))


def test_another_version_is_refused():
    data = sample_contract().to_dict() | {"version": VERSION - 1}
    with pytest.raises(ContractError, match=f"version {VERSION - 1}; this Jack reads version {VERSION}"):
        Contract.from_json(json.dumps(data))


@pytest.mark.parametrize("entry", [[0.1], [], None, "0.1", math.nan, {}])
def test_a_gait_offset_that_is_no_number_is_refused(entry):
    for field in ("swing", "stride"):
        data = json.loads(sample_contract().to_json())
        data["gait"][field][0] = entry
        with pytest.raises(ContractError):
            Contract.from_json(json.dumps(data))
    data = json.loads(sample_contract().to_json())
    data["gait"]["stride"][0][1] = entry
    with pytest.raises(ContractError):
        Contract.from_json(json.dumps(data))


def test_an_observation_of_unknown_terms_is_no_contract():
    tree = json.loads(sample_contract().to_json())
    tree["observation"]["terms"][0]["name"] = "smell"
    with pytest.raises(ContractError, match="no observation term 'smell'"):
        Contract.from_json(json.dumps(tree))


@pytest.mark.parametrize("number", ["Infinity", "-Infinity", "NaN", "1e999"])
def test_a_number_that_is_none_is_no_contract(number):
    tree = json.loads(sample_contract().to_json())
    tree["camera"]["height"] = "here"
    with pytest.raises(ContractError):
        Contract.from_json(json.dumps(tree).replace('"here"', number))


@given(st.data())
@settings(max_examples=150, deadline=None)
def test_a_damaged_contract_is_refused_or_differs(data):
    """Any JSON value put in any place of a contract: never another exception, never taken for the same."""
    contract = sample_contract()
    tree = json.loads(contract.to_json())
    node, key = tree, data.draw(st.sampled_from(sorted(tree)))
    while isinstance(node[key], dict | list) and len(node[key]) and data.draw(st.booleans()):
        node = node[key]
        key = data.draw(st.sampled_from(sorted(node) if isinstance(node, dict) else range(len(node))))
    before = node[key]
    node[key] = data.draw(
        st.one_of(st.none(), st.text(max_size=3), st.integers(), st.floats(), st.lists(st.integers(), max_size=2))
    )
    try:
        other = Contract.from_json(json.dumps(tree))
    except ContractError:
        return
    assert (other.digest == contract.digest) == (not contract.diff(other))
    assert node[key] == before or contract.diff(other)


def test_joints_scales_and_offsets_must_be_as_many():
    contract = sample_contract()
    with pytest.raises(ContractError, match="18 gait offsets for the 19 joints"):
        replace(
            contract, gait=replace(contract.gait, swing=contract.gait.swing[1:], stride=contract.gait.stride[1:])
        )
    with pytest.raises(ContractError, match="18 action scales for the 19 joints"):
        replace(contract, action=ActionSpec(contract.action.scale[1:]))


def test_nothing_that_is_no_number_is_written():
    contract = sample_contract()
    odd = replace(contract, observation=replace(contract.observation, clip=math.inf))
    with pytest.raises(ValueError, match="not JSON compliant"):
        odd.to_json()


def test_jack_ships_with_a_contract():
    contract = default_contract()
    assert contract.robot.name == "jack"
    assert contract.robot.count >= 21
    assert contract.observation.frame_size == 6 + 3 * contract.robot.count + 2
