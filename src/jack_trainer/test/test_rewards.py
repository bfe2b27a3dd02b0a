from dataclasses import fields, replace

import numpy as np
import pytest

from jack_contract.robot import load_robot
from jack_contract.testing import sample_robot
from jack_trainer.tasks.rewards import TERMS, Motion, RewardWeights, total_reward

ROBOT = sample_robot()
NOTHING = RewardWeights(**{field.name: 0.0 for field in fields(RewardWeights)})


def at_rest(count: int = 2) -> Motion:
    """Standing still in the default pose, at the right height, feet under the body; nothing to complain of."""
    joints = np.zeros((count, ROBOT.count))
    return Motion(
        robot=ROBOT,
        gravity=np.tile([0.0, 0.0, -1.0], (count, 1)),
        drift=np.zeros((count, 3)),
        angular_velocity=np.zeros((count, 3)),
        height=np.full(count, 0.7),
        target_height=0.7,
        standing_error=np.zeros(count),
        resting_error=np.zeros(count),
        landing_error=np.zeros(count),
        idle=np.ones(count, bool),
        stepping=np.zeros(count, bool),
        landing=np.ones(count, bool),
        foot_height=np.zeros((count, 2)),
        foot_target=np.zeros((count, 2)),
        joint_position=joints + ROBOT.default_position,
        joint_target=joints + ROBOT.default_position,
        joint_velocity=joints.copy(),
        torque=joints.copy(),
        action=joints.copy(),
        previous_action=joints.copy(),
        contact=np.ones((count, 2), bool),
        foot_speed=np.zeros((count, 2)),
        fallen=np.zeros(count, bool),
    )


def second(motion: Motion, name: str, *numbers: float) -> Motion:
    """The same, but for the first entries of one field of the second robot."""
    given = getattr(motion, name)
    value = given.astype(float)
    if value.ndim == 1:
        value[1] = numbers[0]
    else:
        value[1, : len(numbers)] = numbers
    return replace(motion, **{name: value.astype(given.dtype)})


def test_every_weight_has_a_term_and_every_term_a_weight():
    assert {field.name for field in fields(RewardWeights)} == set(TERMS)


@pytest.mark.parametrize(
    "name", ["upright", "velocity", "yaw_rate", "height", "capture", "clearance", "alive", "calm"]
)
def test_standing_still_earns_all_there_is(name):
    np.testing.assert_array_equal(TERMS[name](at_rest()), [1.0, 1.0])


@pytest.mark.parametrize("name", ["fall", "pose", "torque", "joint_speed", "action_rate", "slip", "sway"])
def test_standing_still_costs_nothing(name):
    np.testing.assert_array_equal(TERMS[name](at_rest()), [0.0, 0.0])


@pytest.mark.parametrize(
    ("name", "field", "values", "expected"),
    [
        ("upright", "gravity", (0.3, 0.0), np.exp(-1.0)),  # one width (0.3) of tilt
        ("upright", "gravity", (0.18, 0.24), np.exp(-1.0)),  # sqrt(0.18^2 + 0.24^2) = 0.3
        ("velocity", "drift", (0.12, 0.16), 0.5),  # 0.2 m/s off, one width
        ("velocity", "drift", (-0.4,), 0.2),  # two widths: 1 / (1 + 4)
        ("velocity", "drift", (0.0, 0.0, 9.0), 1.0),  # turning is none of its business
        ("yaw_rate", "drift", (0.0, 0.0, 0.3), 0.5),
        ("yaw_rate", "drift", (0.0, 0.0, -0.6), 0.2),
        ("yaw_rate", "drift", (9.0, 9.0), 1.0),
        ("height", "height", (0.62,), np.exp(-1.0)),  # 8 cm too low, one width
        ("capture", "standing_error", (0.05,), np.exp(-1.0)),
        ("rest", "resting_error", (0.03,), np.exp(-1.0)),  # 3 cm from the middle of his feet, one width
        ("rest", "stepping", (1.0,), 0.0),
        ("landing", "landing_error", (0.2,), 0.2),  # two widths: 1 / (1 + 4)
        ("landing", "landing", (0.0,), 0.0),  # a foot on its way up need not be anywhere
        ("capture", "stepping", (1.0,), 0.0),  # who steps is to leave the ground he stands on
        ("clearance", "foot_height", (0.03,), (np.exp(-1.0) + 1.0) / 2),  # one foot by 3 cm too high, one width
        ("clearance", "foot_target", (0.03, 0.06), (np.exp(-1.0) + np.exp(-4.0)) / 2),
        ("pose", "joint_target", tuple(ROBOT.default_position[:2] - [0.3, -0.4]), 0.25),
        ("pose", "joint_position", tuple(ROBOT.default_position[:2] - [0.3, -0.4]), 0.25),  # 0.09 + 0.16
        ("torque", "torque", tuple(ROBOT.effort_limit[:2] * [0.5, -1.0]), 1.25),  # 1/4 + 1
        ("joint_speed", "joint_velocity", tuple(ROBOT.velocity_limit[:2] * [0.5, 1.0]), 1.25),
        ("action_rate", "action", (1.0, 2.0), 5.0),
        ("action_rate", "previous_action", (3.0,), 9.0),
        ("slip", "foot_speed", (1.0, 2.0), 5.0),  # both feet on the ground
        ("sway", "angular_velocity", (3.0, 4.0, 100.0), 25.0),  # yaw does not count
        ("calm", "angular_velocity", (0.21, 0.28, 9.0), 0.5),  # one width (0.35 rad/s), whatever the yaw
        ("calm", "idle", (0.0,), 0.0),  # who walks sways
        ("alive", "fallen", (1.0,), 0.0),
        ("fall", "fallen", (1.0,), 1.0),
    ],
)
def test_by_hand(name, field, values, expected):
    term = TERMS[name]
    first, other = term(second(at_rest(), field, *values))
    assert other == pytest.approx(expected)
    assert first == term(at_rest())[0]  # the first robot has nothing to do with it


def test_a_foot_in_the_air_does_not_slip():
    motion = second(second(at_rest(), "foot_speed", 1.0, 2.0), "contact", 1.0, 0.0)
    assert TERMS["slip"](motion).tolist() == [0.0, 1.0]


def test_a_reward_is_the_weighted_sum_over_the_period():
    motion = second(second(at_rest(), "action", 2.0), "fallen", 1.0)
    weights = replace(NOTHING, alive=3.0, action_rate=-0.5, fall=-100.0)
    reward, means = total_reward(weights, motion, 0.02)
    # standing: 3 * 0.02; fallen: (-0.5 * 4 - 100) * 0.02
    np.testing.assert_allclose(reward, [0.06, -2.04])
    assert means == pytest.approx({"alive": 1.5, "action_rate": -1.0, "fall": -50.0})


def test_what_has_no_weight_is_not_computed():
    broken = replace(at_rest(), torque=None)
    reward, means = total_reward(NOTHING, broken, 0.02)
    assert reward.tolist() == [0.0, 0.0] and means == {}


def reflected(motion: Motion) -> Motion:
    """What a mirror at the x-z plane shows."""
    robot, index = motion.robot, np.array(motion.robot.mirror_index)
    joint_fields = ("joint_position", "joint_target", "joint_velocity", "torque", "action", "previous_action")
    return replace(
        motion,
        gravity=motion.gravity * [1, -1, 1],
        drift=motion.drift * [1, -1, -1],
        angular_velocity=motion.angular_velocity * [-1, 1, -1],
        contact=motion.contact[:, ::-1],
        foot_speed=motion.foot_speed[:, ::-1],
        foot_height=motion.foot_height[:, ::-1],
        foot_target=motion.foot_target[:, ::-1],
        **{name: getattr(motion, name)[:, index] * robot.mirror_sign for name in joint_fields},
    )


def test_the_mirror_image_earns_the_same():
    """He has two equal sides: no term may tell left from right."""
    random, robot, count = np.random.default_rng(0), load_robot("jack"), 8
    joints = random.normal(size=(6, count, robot.count))
    body = random.normal(size=(3, count, 3))
    motion = Motion(
        robot=robot,
        gravity=body[0],
        drift=body[1],
        angular_velocity=body[2],
        height=random.random(count),
        target_height=0.7,
        standing_error=random.random(count),
        resting_error=0.05 * random.random(count),
        landing_error=random.random(count),
        idle=random.random(count) < 0.5,
        stepping=random.random(count) < 0.5,
        landing=random.random(count) < 0.5,
        foot_height=0.1 * random.random((count, 2)),
        foot_target=0.1 * random.random((count, 2)),
        joint_position=joints[0],
        joint_target=joints[5],
        joint_velocity=joints[1],
        torque=joints[2],
        action=joints[3],
        previous_action=joints[4],
        contact=random.random((count, 2)) < 0.5,
        foot_speed=random.random((count, 2)),
        fallen=random.random(count) < 0.5,
    )
    for name, term in TERMS.items():
        np.testing.assert_allclose(term(reflected(motion)), term(motion), err_msg=name)
