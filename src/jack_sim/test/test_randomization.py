from dataclasses import fields, replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from jack_contract.errors import JackError, UnknownNameError
from jack_sim.randomization import OFF, ON, RANDOMIZATIONS, WIDE, Randomization, fixed

NAMES = [row.name for row in fields(Randomization)]


def test_it_is_on_unless_told_otherwise():
    assert Randomization() == ON == Randomization.named("on")
    assert ON.active == WIDE.active == set(NAMES)
    assert OFF.active == frozenset()


def test_wide_is_nowhere_narrower_than_on_and_both_hold_what_is_modelled():
    for name in sorted(set(NAMES) - {"push_interval", "push_speed"}):
        (low, high), (wide_low, wide_high), (off, _) = (getattr(table, name) for table in (ON, WIDE, OFF))
        assert wide_low <= low <= off <= high <= wide_high, name


@given(st.floats(0, 1))
def test_a_narrowed_table_reaches_only_so_far_from_the_model(share):
    table = ON.narrowed(share)
    # a mass of 0.9 to 1.1 times the model's, a payload of -1 to 3 kg
    np.testing.assert_allclose(table.mass, (1 - 0.1 * share, 1 + 0.1 * share))
    np.testing.assert_allclose(table.payload, (-share, 3 * share))
    for one in (0.0, 1.0):
        assert ON.narrowed(one) == {0.0: OFF, 1.0: ON}[one] and OFF.narrowed(one) == OFF


def test_an_unknown_name_lists_those_there_are():
    with pytest.raises(UnknownNameError, match="off, on, wide"):
        Randomization.named("wild")
    with pytest.raises(UnknownNameError, match="Did you mean 'friction'"):
        fixed(fricton=0.4)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("wrong", [(2.0, 1.0), (float("nan"), 1.0), (0.0, float("inf")), (-1e6, 1e6)])
def test_a_range_that_is_none_is_refused(name, wrong):
    with pytest.raises(JackError, match=name):
        replace(ON, **{name: wrong})


@given(st.sampled_from(NAMES), st.floats(0, 1))
def test_a_fixed_quantity_is_the_only_one_in_use(name, share):
    low, high = getattr(WIDE, name)
    value = low + share * (high - low)
    table = fixed(**{name: value})
    assert getattr(table, name) == (value, value)
    assert table.active == (frozenset() if table == OFF else {name})


def test_the_table_can_be_read():
    for table in RANDOMIZATIONS.values():
        head, *lines = table.describe().splitlines()
        assert head.split() == ["quantity", "least", "most", "unit", "source"]
        assert [line.split()[0] for line in lines] == NAMES
    row = next(line for line in ON.describe().splitlines() if line.startswith("payload"))
    assert row.split()[:4] == ["payload", "-1", "3", "kg"] and "legged_gym" in row


def test_the_latency_asked_for_is_in_the_table():
    assert ON.latency == pytest.approx((0.0, 0.02))
    assert np.ptp(OFF.latency) == 0
