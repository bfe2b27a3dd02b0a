import math
from dataclasses import fields

import pytest

from jack_contract.errors import JackError
from jack_sim.parameters import SimParameters


def test_every_parameter_is_described_in_a_sentence():
    for item in fields(SimParameters):
        assert item.metadata["parameter"].description.endswith("."), item.name


def test_the_defaults_are_a_world_in_real_time_with_a_gantry_that_lets_go():
    given = SimParameters()
    assert (given.scene, given.gantry, given.real_time_factor, given.lock_step) == ("flat", "auto", 1.0, False)
    assert given.publish_clock and given.command_timeout == 0.1


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("gantry", "maybe"),
        ("seed", -1),
        ("command_timeout", math.nan),
        ("command_timeout", 0.0),
        ("real_time_factor", -1.0),
        ("real_time_factor", math.inf),
        ("camera_rate", 0.0),
        ("camera_width", 0),
        ("camera_height", 100_000),
        ("camera_quality", 101),
        ("tf_rate", 1e9),
    ],
)
def test_nonsense_is_refused_by_name(name, value):
    with pytest.raises(JackError, match=name):
        SimParameters(**{name: value})


def test_gantry_words_are_no_booleans_of_yaml():
    import yaml

    for choice in ("auto", "always", "never"):
        assert yaml.safe_load(choice) == choice
