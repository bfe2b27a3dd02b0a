import pytest

from jack_brain.parameters import BrainParameters
from jack_brain.pilot import PilotConfig
from jack_brain.policy import PolicyLimits
from jack_brain.safety import SafetyLimits
from jack_contract.errors import JackError


def test_the_defaults_are_those_of_what_they_configure():
    parameters = BrainParameters()
    assert parameters.pilot() == PilotConfig()
    assert parameters.safety() == SafetyLimits()
    assert parameters.limits() == PolicyLimits()


def test_every_value_arrives_where_it_belongs():
    given = BrainParameters(
        blend=1.0, hold_speed=2.0, command_timeout=3.0, command_end=4.0, stale_periods=5.0, stale_time=0.6,
        tilt_limit=0.7, action_limit=8.0, step_limit=9.0, policy_bytes=10_000, policy_share=0.11,
    )  # fmt: skip
    assert given.pilot() == PilotConfig(1.0, 2.0, 3.0, 4.0)
    assert given.safety() == SafetyLimits(5.0, 0.6, 0.7, 8.0, 9.0)
    assert given.limits() == PolicyLimits(max_bytes=10_000, period_share=0.11)


@pytest.mark.parametrize(
    "wrong",
    [
        {"tilt_limit": float("nan")},
        {"tilt_limit": -1.0},
        {"stale_time": 50.0},
        {"stale_periods": 1.0},
        {"blend": 200.0},
        {"policy_bytes": -1},
        {"trigger": "now"},
        {"executor": "none"},
        {"robot": "jill"},
        {"command_timeout": 0.5, "command_end": 0.25},
    ],
)
def test_bad_values_are_refused_by_name(wrong):
    with pytest.raises(JackError, match=next(iter(wrong))):
        BrainParameters(**wrong)
