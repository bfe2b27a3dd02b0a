import math
from dataclasses import fields, replace

import pytest

from jack_brain.parameters import BrainParameters
from jack_brain.pilot import ROBOT_BLEND, PilotConfig
from jack_brain.policy import PolicyLimits
from jack_brain.safety import SafetyLimits
from jack_brain.shadow import AUTO, TrialConfig
from jack_contract.errors import JackError


def test_the_defaults_are_those_of_what_they_configure():
    parameters = BrainParameters()
    assert parameters.pilot(simulated=True) == PilotConfig()
    assert parameters.safety() == SafetyLimits()
    assert parameters.succession() == TrialConfig()
    assert parameters.limits() == PolicyLimits()


def test_every_value_arrives_where_it_belongs():
    given = BrainParameters(
        blend=1.0, hold_speed=2.0, command_timeout=3.0, command_end=4.0, stale_periods=5.0, stale_time=0.6,
        tilt_limit=0.7, action_limit=8.0, step_limit=9.0, policy_bytes=10_000, policy_share=0.11, speed_limit=1.2,
        missed_limit=13, camera_timeout=0.14, promote=AUTO, trial=15.0, trial_rms=0.16, trial_largest=0.17,
        probation=18.0,
    )  # fmt: skip
    assert given.pilot() == PilotConfig(1.0, 2.0, 3.0, 4.0)
    assert given.safety() == SafetyLimits(5.0, 0.6, 0.7, 8.0, 9.0, 1.2, 13, 0.14)
    assert given.succession() == TrialConfig(AUTO, 15.0, 18.0, 0.16, 0.17, 8.0, 0.11)
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
        {"realtime": "soon"},
        {"promote": "never"},
        {"command_timeout": 0.5, "command_end": 0.25},
    ],
)
def test_bad_values_are_refused_by_name(wrong):
    with pytest.raises(JackError, match=next(iter(wrong))):
        BrainParameters(**wrong)


NUMBERS = [f.name for f in fields(BrainParameters) if type(f.default) in (int, float)]


@pytest.mark.parametrize("name", NUMBERS)
def test_fault_31_no_number_a_negative_one_and_one_a_thousand_times_too_large_are_refused(name):
    default = getattr(BrainParameters(), name)
    largest = {"blend": 10.0, "policy_bytes": 2_000_000_000, "missed_limit": 1000}.get(name, abs(default))
    for wrong in (math.nan, -1e-6 - 2 * abs(default), math.inf, -math.inf, 1000 * largest + 1):
        with pytest.raises(JackError, match=name) as error:
            BrainParameters(**{name: wrong})
        assert "allowed" in str(error.value)


def test_fault_12_a_robot_is_blended_slowly_and_a_simulation_quickly_unless_told():
    assert BrainParameters().pilot().blend == ROBOT_BLEND == 2.0
    assert BrainParameters().pilot(simulated=True).blend == 0.2
    assert {BrainParameters(blend=0.7).pilot(simulated).blend for simulated in (False, True)} == {0.7}


def test_fault_09_in_a_simulation_missed_deadlines_are_only_counted():
    assert BrainParameters().safety(simulated=True) == replace(SafetyLimits(), missed=0)
