import math
from dataclasses import dataclass
from types import SimpleNamespace

import pytest

from jack_contract.errors import JackError, UnknownNameError
from jack_contract.parameters import check, declare, parameter

MESSAGES = SimpleNamespace(
    ParameterDescriptor=SimpleNamespace, FloatingPointRange=SimpleNamespace, IntegerRange=SimpleNamespace
)


@dataclass(frozen=True)
class Parameters:
    speed: float = parameter(1.0, "How fast [m/s].", 0.0, 2.0)
    count: int = parameter(3, "How many [1].", 1)
    name: str = parameter("a", "Which.", choices=("a", "b"))
    fast: bool = parameter(False, "Whether.")
    parts: tuple[str, ...] = parameter((), "Of what.")

    def __post_init__(self) -> None:
        check(self)


class Node:
    def __init__(self, **given) -> None:
        self.given, self.declared = given, {}

    def declare_parameter(self, name, value, descriptor):
        self.declared[name] = descriptor
        return SimpleNamespace(value=self.given.get(name, value))


def test_defaults_and_what_was_given():
    assert declare(Node(speed=1.5, name="b"), Parameters, MESSAGES) == Parameters(1.5, 3, "b", False)


def test_descriptions_and_limits_reach_ros():
    node = Node()
    declare(node, Parameters, MESSAGES)
    assert node.declared["speed"].description == "How fast [m/s]."
    limits = node.declared["speed"].floating_point_range[0]
    assert (limits.from_value, limits.to_value) == (0.0, 2.0)
    limits = node.declared["count"].integer_range[0]
    assert (limits.from_value, limits.to_value) == (1, 2**63 - 1)
    assert node.declared["name"].additional_constraints == "One of: a, b."
    assert not hasattr(node.declared["fast"], "integer_range")
    assert all(descriptor.read_only for descriptor in node.declared.values())


@pytest.mark.parametrize("given", [{"speed": math.nan}, {"speed": -0.1}, {"speed": 2000.0}, {"count": 0}])
def test_a_value_outside_the_limits_is_refused_by_name(given):
    with pytest.raises(JackError, match=f"{next(iter(given))} is .*; allowed: "):
        declare(Node(**given), Parameters, MESSAGES)


def test_a_wrong_choice_is_refused():
    with pytest.raises(UnknownNameError, match=r"'c'.*Valid: a, b"):
        declare(Node(name="c"), Parameters, MESSAGES)


def test_a_list_of_texts_may_be_empty_though_ros_has_no_empty_one():
    assert declare(Node(), Parameters, MESSAGES).parts == ()
    assert declare(Node(parts=["a", "b"]), Parameters, MESSAGES).parts == ("a", "b")
