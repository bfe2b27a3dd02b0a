import numpy as np
import pytest

from jack_brain.golden import Golden
from jack_contract.errors import PolicyError


def golden(**changed) -> Golden:
    rng = np.random.default_rng(0)
    shapes = {"proprioception": (8, 3, 5), "command": (8, 3), "action": (8, 2), "value": (8, 1)}
    arrays = {name: rng.normal(size=shape).astype(np.float32) for name, shape in shapes.items()}
    return Golden(**(arrays | changed))


@pytest.mark.parametrize(
    "text", ["{", "[1]", '{"action": 3}', '{"proprioception": {"shape": [-1], "data": "AAAA"}}', "[" * 9999]
)
def test_fault_18_what_is_no_golden_vector_is_refused(text):
    with pytest.raises(PolicyError, match="cannot be read"):
        Golden.from_json(text)


@pytest.mark.parametrize("absent", [{}, {"command": None}, {"value": None}, {"command": None, "value": None}])
def test_text_keeps_every_bit(absent):
    ours = golden(**absent)
    theirs = Golden.from_json(ours.to_json())
    for name in ("proprioception", "command", "action", "value"):
        assert np.array_equal(getattr(ours, name), getattr(theirs, name)) or name in absent
        if name in absent:
            assert getattr(theirs, name) is None


def test_what_is_not_finite_is_not_written():
    with pytest.raises(PolicyError, match="action"):
        golden(action=np.full((8, 2), np.inf, np.float32)).to_json()


def test_counts_must_agree():
    with pytest.raises(PolicyError, match="at least 8"):
        Golden.from_json(golden(action=np.zeros((9, 2), np.float32)).to_json())
