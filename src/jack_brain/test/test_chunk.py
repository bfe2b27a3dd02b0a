import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from jack_brain.chunk import (
    KINDS,
    ChunkSpec,
    arm_columns,
    arm_joints,
    blend,
    chunk_width,
    led_joints,
    to_rows,
    waist_joints,
)
from jack_contract.contract import default_contract
from jack_contract.errors import JackError, ShapeError
from jack_contract.testing import sample_contract

JACK, SAMPLE = default_contract(), sample_contract()
NUMBERS = st.floats(-10, 10)


def chunks(rows: int):
    return arrays(float, (rows, 3), elements=NUMBERS)


def test_jacks_arms_are_his_shoulders_and_elbows():
    names = [JACK.robot.joint_names[i] for i in arm_joints(JACK.robot)]
    sides = [f"{side}_{joint}" for side in ("left", "right") for joint in ("shoulder_pitch", "shoulder_roll")]
    assert len(names) == 8 and set(sides) < set(names)
    assert not any(part in name for name in names for part in ("hip", "knee", "ankle", "waist"))


def test_a_chunk_has_arms_and_waist():
    led = {JACK.robot.joint_names[i] for i in led_joints(JACK.robot)}
    assert led == {JACK.robot.joint_names[i] for i in arm_joints(JACK.robot)} | {"waist_yaw"}
    assert [JACK.robot.joint_names[i] for i in waist_joints(JACK.robot)] == ["waist_yaw"]
    assert chunk_width(JACK.robot) == 13


def test_what_tells_of_the_arms_is_their_position_speed_and_last_action():
    columns, slices = arm_columns(JACK), JACK.observation.slices()
    assert len(columns) == 3 * 8 == len(set(columns.tolist()))
    for term in ("joint_position", "joint_velocity", "previous_action"):
        assert set(slices[term].start + arm_joints(JACK.robot)) < set(columns.tolist())


def test_a_row_says_where_joints_are_to_be_in_units_of_action_and_where_the_legs_go():
    LED = led_joints(SAMPLE.robot).tolist()
    targets = np.tile(SAMPLE.robot.default_position, (2, 1))
    targets[1] += 0.3 * np.arange(SAMPLE.robot.count)  # an action of 1 is 0.3 rad
    rows = to_rows(SAMPLE, targets, np.array([[0.1, 0.2, 0.3], [0.4, 0.5, 0.6]]))
    np.testing.assert_allclose(rows[0], [0, 0, 0, 0, 0, 0, 0, 0.1, 0.2, 0.3, 1], atol=1e-12)
    np.testing.assert_allclose(rows[1], [*LED, 0.4, 0.5, 0.6, 1])
    free = to_rows(SAMPLE, targets, np.zeros((2, 3)), np.array([False, True]))
    assert free[:, -1].tolist() == [0.0, 1.0]
    with pytest.raises(ShapeError, match="Velocity"):
        to_rows(SAMPLE, targets, np.zeros((2, 2)))


def test_a_seam_by_hand():
    """Three rows of 0 give way to five of 8, over three rows: a quarter, a half, three quarters, all."""
    blended = blend(np.zeros((3, 1)), np.full((5, 1), 8.0), seam=3)
    assert blended[:, 0].tolist() == [2.0, 4.0, 6.0, 8.0, 8.0]


@given(chunks(6), chunks(9), st.integers(1, 12))
def test_no_seam_is_a_jump(before, new, seam):
    """From what was done last on: no more than either chunk changes, and a part of what parts them."""
    last, rest = before[0], before[1:]
    blended = blend(rest, new, seam)
    rest = rest[np.minimum(np.arange(len(new)), len(rest) - 1)]
    seam = min(seam, len(new))
    parts = np.abs(new - rest).max()
    steps = max(np.abs(np.diff(np.vstack((last, rest)), axis=0)).max(), np.abs(np.diff(new, axis=0)).max())
    assert np.abs(np.diff(np.vstack((last, blended)), axis=0)).max() <= steps + parts / (seam + 1) + 1e-9


@given(chunks(4), chunks(9), st.integers(1, 8))
def test_behind_the_seam_the_new_chunk_is_itself(rest, new, seam):
    assert np.array_equal(blend(rest, new, seam)[seam:], new[seam:])


@given(chunks(7))
def test_a_chunk_that_says_the_same_changes_nothing(chunk):
    np.testing.assert_allclose(blend(chunk, chunk), chunk, atol=1e-12)


@pytest.mark.parametrize("wrong", [{"kind": "guess"}, {"length": 1}, {"length": 251}])
def test_impossible_chunks_are_refused(wrong):
    with pytest.raises(JackError):
        ChunkSpec(**wrong)
    assert {ChunkSpec(kind).kind for kind in KINDS} == {"squared", "flow", "tokens"}
