import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from jack_contract.errors import JackError
from jack_sim.batch import BatchWorld
from jack_trainer.imitation.movement import (
    Example,
    frame_size,
    frames,
    frames_of,
    mirrored,
    pose,
    positions,
    velocities,
)

sys.path.insert(0, str(Path(__file__).parent))
from walking_clip import PERIOD, ROBOT, ROWS, walking_clip

N = ROBOT.count
SIGNAL = np.tile([0.6, -0.8], (8, 1))


def somehow(count: int = 5, seed: int = 0):
    """A clip in which he is bent, tilted and turned at random."""
    random, motion = np.random.default_rng(seed), walking_clip(cycles=1)
    rows = motion.periods
    turns = Rotation.from_euler("zyx", random.uniform(-1, 1, (rows, 3)) * [3.0, 0.3, 0.3])
    joints = ROBOT.default_position + random.uniform(-0.2, 0.2, (rows, N))
    return replace(
        motion,
        joint_position=joints.clip(ROBOT.lower, ROBOT.upper).astype(np.float32),
        joint_velocity=random.normal(size=(rows, N)).astype(np.float32),
        base_position=random.normal(size=(rows, 3)).astype(np.float32),
        base_orientation=turns.as_quat().astype(np.float32),
        base_linear_velocity=random.normal(size=(rows, 3)).astype(np.float32),
        base_angular_velocity=random.normal(size=(rows, 3)).astype(np.float32),
    )


@pytest.fixture
def world(model) -> BatchWorld:
    return BatchWorld(model, ROBOT, 8)


def test_a_frame_by_hand(world):
    frame = frames(world, SIGNAL)[0]
    assert frame.shape == (frame_size(ROBOT),) and frame.dtype == np.float32
    np.testing.assert_allclose(frame[:N], ROBOT.default_position, atol=1e-3)
    np.testing.assert_array_equal(frame[N : 2 * N], 0.0)
    np.testing.assert_allclose(frame[2 * N : 2 * N + 6], [0, 0, -1, 0, 0, 0], atol=1e-6)
    left, right = frame[2 * N + 6 : 2 * N + 12].reshape(2, 3)
    assert left[1] == pytest.approx(0.1, abs=0.01) and right[1] == pytest.approx(-0.1, abs=0.01)
    np.testing.assert_allclose(frame[2 * N + 12 :], [0.6, -0.8], rtol=1e-6)
    assert left[2] == right[2] == pytest.approx(-0.6521, abs=0.01)  # the soles, seen from the pelvis


def test_where_he_is_and_whither_he_looks_does_not_show(world):
    motion = somehow()
    away = Rotation.from_euler("z", 2.0)
    turns = away * Rotation.from_quat(motion.base_orientation)
    other = replace(
        motion,
        base_position=(motion.base_position + np.array([3.0, -2.0, 0.5])).astype(np.float32),
        base_orientation=turns.as_quat().astype(np.float32),
    )
    rows = np.arange(8)
    pose(world, rows, motion, rows)
    here = frames(world, SIGNAL)
    pose(world, rows, other, rows)
    np.testing.assert_allclose(frames(world, SIGNAL), here, atol=1e-5)
    assert np.ptp(here[:, :-2], axis=0).min() > 1e-3  # every number says something


def test_a_posed_robot_is_where_the_clip_is_and_as_fast(world):
    motion, rows = somehow(), np.array([3, 20, 7])
    pose(world, np.array([0, 2, 5]), motion, rows)
    state, truth = world.state(), world.truth()
    for robot, row in zip((0, 2, 5), rows, strict=True):
        turn = Rotation.from_quat(motion.base_orientation[row])
        np.testing.assert_allclose(state.joint_position[robot], motion.joint_position[row])
        np.testing.assert_allclose(state.joint_velocity[robot], motion.joint_velocity[row])
        np.testing.assert_allclose(state.angular_velocity[robot], motion.base_angular_velocity[row])
        assert (Rotation.from_quat(state.orientation[robot]).inv() * turn).magnitude() < 1e-5
        np.testing.assert_allclose(truth.position[robot], motion.base_position[row])
        moved = turn.apply(motion.base_linear_velocity[row])
        np.testing.assert_allclose(truth.world_velocity[robot], moved, atol=1e-6)


def test_the_velocities_are_the_differences_of_the_positions(world):
    motion = walking_clip(speed=0.8)
    rows = np.arange(1, 40)
    ahead, behind = positions(motion, rows + 1), positions(motion, rows - 1)
    speeds = velocities(motion, rows)
    np.testing.assert_allclose((ahead - behind)[:, :3] / (2 * PERIOD), speeds[:, :3], atol=1e-4)
    np.testing.assert_allclose((ahead - behind)[:, 7:] / (2 * PERIOD), speeds[:, 6:], atol=1e-3)


def test_the_mirror_image_of_a_frame_is_the_frame_of_the_mirror_image(world):
    motion, rows = somehow(), np.arange(8)
    flip, spin = np.array([1.0, -1.0, 1.0]), np.array([-1.0, 1.0, -1.0])
    index, sign = np.array(ROBOT.mirror_index), ROBOT.mirror_sign
    other = replace(
        motion,
        joint_position=(motion.joint_position[:, index] * sign).astype(np.float32),
        joint_velocity=(motion.joint_velocity[:, index] * sign).astype(np.float32),
        base_position=(motion.base_position * flip).astype(np.float32),
        base_orientation=(motion.base_orientation * [-1, 1, -1, 1]).astype(np.float32),
        base_linear_velocity=(motion.base_linear_velocity * flip).astype(np.float32),
        base_angular_velocity=(motion.base_angular_velocity * spin).astype(np.float32),
    )
    pose(world, rows, motion, rows)
    here = frames(world, SIGNAL)
    pose(world, rows, other, rows)
    np.testing.assert_allclose(mirrored(here, ROBOT), frames(world, -SIGNAL), atol=1e-5)  # half a cycle later
    np.testing.assert_array_equal(mirrored(mirrored(here, ROBOT), ROBOT), here)


def test_the_frames_of_a_long_clip_are_those_of_its_rows(contract, world, monkeypatch):
    monkeypatch.setattr("jack_trainer.imitation.movement._AT_ONCE", 8)
    motion = walking_clip()
    seen = frames_of(motion, contract)  # 53 rows, 8 at once, 5 at last
    assert seen.shape == (ROWS + 1, frame_size(ROBOT))
    pose(world, np.arange(2), motion, np.array([0, ROWS]))
    np.testing.assert_array_equal(seen[[0, -1], :-2], frames(world, SIGNAL)[:2, :-2])
    angle = 2 * np.pi * (np.arange(ROWS + 1) + 0.5) / ROWS  # where the left foot swings in the first half
    np.testing.assert_allclose(seen[:, -2:], np.stack((np.sin(angle), np.cos(angle)), -1), atol=0.1)


def test_an_example_is_steady_walking_and_its_mirror_image(contract):
    motion = walking_clip(speed=0.8)
    example = Example.of(motion, contract)
    size = frame_size(ROBOT)
    assert example.pairs.shape == (2 * ROWS, 2 * size)
    np.testing.assert_array_equal(example.pairs[:-1, size:][: ROWS - 1], example.pairs[1:ROWS, :size])
    np.testing.assert_array_equal(example.pairs[ROWS:, :size], mirrored(example.pairs[:ROWS, :size], ROBOT))
    assert example.cycle.shape == (90, N) and example.speed == pytest.approx(0.8, rel=1e-3)
    assert example.period == pytest.approx(ROWS * PERIOD)


@pytest.mark.parametrize("phase", [0.0, 0.25, 0.6, 0.99])
def test_an_example_says_where_the_joints_are_at_each_moment_of_a_step(contract, phase):
    """By the clip's formulas: knees 0.1 + 0.5 (1 + sin), hips -0.2 + 0.4 cos, the right side half a cycle later."""
    example, angle = Example.of(walking_clip(hip=0.8, knee=1.0), contract), 2 * np.pi * phase
    joints = example.joints(np.array([[np.sin(angle), np.cos(angle)]]))[0]
    for side, sign in (("left", 1.0), ("right", -1.0)):
        assert joints[ROBOT.index(f"{side}_knee")] == pytest.approx(0.6 + 0.5 * sign * np.sin(angle), abs=0.06)
        assert joints[ROBOT.index(f"{side}_hip_pitch")] == pytest.approx(
            -0.2 + 0.4 * sign * np.cos(angle), abs=0.06
        )


def test_who_does_not_get_on_is_no_example(contract):
    with pytest.raises(JackError, match=r"0\.05 m/s: it is no walk"):
        Example.of(walking_clip(speed=0.05), contract)
