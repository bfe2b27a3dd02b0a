import math
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import jack_brain
from jack_brain.policy import Policy
from jack_contract.contract import default_contract
from jack_contract.errors import JackError
from jack_trainer.imitation.similarity import (
    Difference,
    Gait,
    Walk,
    courses_at,
    gait_in,
    gait_of,
    phases,
    steady_cycles,
    steady_rows,
    warped_distance,
)
from jack_trainer.policy_actor import PolicyActor

sys.path.insert(0, str(Path(__file__).parent))
from walking_clip import PERIOD, ROBOT, ROWS, walking_clip

PRETRAINED = Path(jack_brain.__file__).parent / "pretrained" / "nano.onnx"


def column(*values: float) -> np.ndarray:
    return np.array(values)[:, None]


# -- dynamic time warping


@pytest.mark.parametrize(
    ("one", "other", "expected"),
    [
        ((0.0, 1.0, 2.0), (0.0, 1.0, 2.0), 0.0),
        ((0.0, 1.0, 2.0), (0.0, 1.0, 1.0, 1.0, 2.0), 0.0),  # slower in the middle, and the same
        ((0.0, 0.0), (1.0, 1.0), 1.0),
        ((0.0,), (0.0, 3.0), 1.5),  # one meets both: 0 and 3
        # 1 meets 0 (1), 2 meets 2 (0), 3 meets 2 (1): two of three pairs are 1 apart
        ((1.0, 2.0, 3.0), (0.0, 2.0), 2 / 3),
    ],
)
def test_the_warped_distance_by_hand(one, other, expected):
    assert warped_distance(column(*one), column(*other)) == pytest.approx(expected)


def test_joints_count_as_the_root_of_their_mean_square():
    # 3 and 4 rad off: sqrt((9 + 16) / 2)
    assert warped_distance(np.zeros((1, 2)), np.array([[3.0, -4.0]])) == pytest.approx(math.sqrt(12.5))


courses = st.lists(st.floats(-3, 3), min_size=1, max_size=8).map(lambda values: column(*values))


@settings(max_examples=60, deadline=None)
@given(courses, courses)
def test_the_warped_distance_lies_between_nothing_and_the_farthest_pair(one, other):
    assert 0.0 <= warped_distance(one, other) <= np.abs(one - other.T).max() + 1e-12
    assert warped_distance(one, one) == 0.0
    assert warped_distance(np.repeat(one, 3, axis=0), one) == 0.0


# -- cycles and figures


def test_a_gait_in_numbers_by_hand():
    figures = gait_of(walking_clip(hip=0.8, knee=1.0, arm=0.4, speed=0.8), ROBOT).figures
    assert figures.cadence == pytest.approx(120.0 / (ROWS * PERIOD))  # two steps in 1.04 s: 115.4 a minute
    # the extremes lie half a row beside the rows: cos(pi / 52) = 0.998
    assert figures.hip_range == pytest.approx(0.8, rel=3e-3)
    assert figures.knee_range == pytest.approx(1.0, rel=3e-3)
    assert figures.arm_swing == pytest.approx(0.4, rel=3e-3)
    assert figures.speed == pytest.approx(0.8, rel=1e-3)


def test_a_loop_and_the_same_walk_written_out_are_one_gait():
    loop, written = (gait_of(walking_clip(cycles=n, loop=n == 1), ROBOT) for n in (1, 4))
    assert vars(loop.figures) == pytest.approx(vars(written.figures), rel=1e-3)
    difference = loop.difference(written)
    assert difference.angles < 0.01 and difference.cadence < 0.5


def test_setting_out_and_stopping_are_left_out():
    count = 6 * ROWS + 1
    swing = np.clip(np.minimum(np.arange(count), np.arange(count)[::-1]) / (2 * ROWS), 0.0, 1.0)
    motion = walking_clip(cycles=6, loop=False, swing=swing)
    cycles = steady_cycles(Walk.of(motion), ROBOT)
    assert [end - begin for begin, end in cycles] == [ROWS] * len(cycles) and 2 <= len(cycles) < 5
    assert swing[cycles[0][0] : cycles[-1][1]].min() > 0.6
    rows = steady_rows(motion, ROBOT)
    assert rows[0] == cycles[0][0] and rows[-1] == cycles[-1][1] - 1


@pytest.mark.parametrize(
    "motion", [walking_clip(), walking_clip(cycles=4, loop=False)], ids=["loop", "written out"]
)
def test_the_left_foot_swings_in_the_first_half_of_a_cycle(motion):
    """In the clip the left leg passes the right one, its knee bent most, when the angle is a quarter turn."""
    rows = steady_rows(motion, ROBOT)
    phase = phases(motion, ROBOT, rows)
    np.testing.assert_allclose((phase - (rows + 0.5) / ROWS + 0.5) % 1.0, 0.5, atol=1.01 / ROWS)
    bent = motion.joint_position[rows, ROBOT.index("left_knee")]
    assert abs(phase[bent.argmax()] - 0.25) < 2 / ROWS


def test_every_row_of_a_loop_is_steady():
    np.testing.assert_array_equal(steady_rows(walking_clip(), ROBOT), np.arange(ROWS))


def test_who_trembles_at_the_turn_has_not_passed_again():
    motion = walking_clip(cycles=4, loop=False)
    still = gait_of(motion, ROBOT)
    noise = 0.05 * np.random.default_rng(0).standard_normal(motion.joint_position.shape)
    trembling = replace(motion, joint_position=(motion.joint_position + noise).astype(np.float32))
    assert len(gait_of(trembling, ROBOT).cycles) == len(still.cycles)


def test_one_stumble_is_not_the_measure_of_all_steps():
    motion = walking_clip(cycles=8, loop=False)
    joints = motion.joint_position.copy()
    joints[100:120, ROBOT.index("left_hip_pitch")] -= 1.5
    found = gait_of(replace(motion, joint_position=joints), ROBOT)
    assert len(found.cycles) >= 6
    assert found.figures.cadence == pytest.approx(gait_of(motion, ROBOT).figures.cadence, rel=0.05)


@pytest.mark.parametrize(
    "motion",
    [walking_clip(hip=0.0), walking_clip(hip=0.04), walking_clip(loop=False)],
    ids=["stands", "sways", "a step"],
)
def test_who_does_not_walk_has_no_gait(motion):
    with pytest.raises(JackError, match=r"'walking' \(walking\.bvh\) is no walk"):
        gait_of(motion, ROBOT)


# -- differences


def test_a_gait_is_like_itself_and_a_slower_one_differs_in_cadence_only():
    gait, slower = gait_of(walking_clip(), ROBOT), gait_of(walking_clip(rows=2 * ROWS), ROBOT)
    assert max(vars(gait.difference(gait)).values()) == 0.0
    difference = gait.difference(slower)
    assert difference.cadence == pytest.approx(60.0 / (ROWS * PERIOD))
    assert difference.angles < 0.02 and difference.knee_range < 0.01


def test_the_difference_of_angles_by_hand():
    motion = walking_clip()
    bent = motion.joint_position.copy()
    bent[:, ROBOT.index("waist_yaw")] += 0.21  # one joint of 21, always: 0.21 / sqrt(21)
    difference = gait_of(replace(motion, joint_position=bent), ROBOT).difference(gait_of(motion, ROBOT))
    assert difference.angles == pytest.approx(0.21 / math.sqrt(21), rel=1e-3)
    assert difference.hip_range == 0.0


def test_improvement_by_hand():
    before = Difference(angles=0.2, cadence=100.0, knee_range=0.4, hip_range=0.0, arm_swing=0.5)
    now = Difference(angles=0.05, cadence=50.0, knee_range=0.4, hip_range=0.1, arm_swing=0.75)
    found = now.improvement(before)
    assert found == pytest.approx(
        {"angles": 0.75, "cadence": 0.5, "knee_range": 0.0, "hip_range": -math.inf, "arm_swing": -0.5}
    )


# -- policies


def test_the_gait_of_the_policy_that_ships_has_its_own_beat_and_speed():
    contract = default_contract()
    policy = Policy.load(PRETRAINED, contract)
    gait = gait_in(courses_at(PolicyActor(PRETRAINED), contract, 0.6, policy.beat), contract)
    assert isinstance(gait, Gait) and len(gait.cycles) > 20
    assert gait.figures.cadence == pytest.approx(120.0 / contract.gait.period, rel=0.02)
    assert gait.figures.speed == pytest.approx(0.6, abs=0.12)
    assert 0.3 < gait.figures.knee_range < 1.5  # not the degrees, and not the stiff leg of who does not walk


def test_whoever_falls_has_no_gait():
    contract = default_contract()
    with pytest.raises(JackError, match="All 2 robots fell"):
        courses_at(lambda seen: np.full((2, contract.robot.count), 20.0, np.float32), contract, 0.6, robots=2)
