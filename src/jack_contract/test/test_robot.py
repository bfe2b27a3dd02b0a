import math
from dataclasses import replace

import numpy as np
import pytest

from jack_contract.errors import ContractError, UnknownNameError
from jack_contract.robot import JointSpec, RobotSpec, load_robot, robot_names
from jack_contract.testing import sample_robot

JOINT = JointSpec("knee", -0.1, 2.0, 20.0, 60.0, 0.5, 100.0, 5.0)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        *[
            (name, bad)
            for name in ("lower", "upper", "default", "stiffness", "damping")
            for bad in (math.nan, math.inf)
        ],
        ("velocity_limit", 0.0),
        ("effort_limit", -1.0),
        ("stiffness", -1.0),
        ("damping", -1.0),
        ("default", 2.1),
        ("default", -0.2),
        ("mirror_sign", 0),
        ("mirror_sign", 2),
    ],
)
def test_an_impossible_joint_is_refused_by_name(field, value):
    with pytest.raises(ContractError, match=f"'knee'.*{field}|'knee'.*default"):
        replace(JOINT, **{field: value})


def test_a_joint_that_cannot_move_is_refused():
    with pytest.raises(ContractError, match="lower <= default <= upper"):
        replace(JOINT, lower=0.5, upper=0.5)


def test_names_must_be_distinct_and_there():
    with pytest.raises(ContractError, match="distinct"):
        RobotSpec("twins", (JOINT, JOINT), 0.02)
    with pytest.raises(ContractError, match="needs joints"):
        RobotSpec("nobody", (), 0.02)


@pytest.mark.parametrize("period", [0.0, -0.02, 5.0, math.nan])
def test_an_impossible_period_is_refused(period):
    with pytest.raises(ContractError, match="control_period"):
        RobotSpec("x", (JOINT,), period)


def test_columns_follow_the_joint_order_and_cannot_be_written():
    robot = sample_robot()
    for field in ("lower", "upper", "velocity_limit", "effort_limit", "stiffness", "damping"):
        column = getattr(robot, field)
        assert column.tolist() == [getattr(joint, field) for joint in robot.joints]
        with pytest.raises(ValueError, match="read-only"):
            column[0] = 1.0
    assert robot.default_position.tolist() == [joint.default for joint in robot.joints]


def test_a_joint_is_found_by_name_and_a_near_miss_is_told():
    robot = sample_robot()
    assert robot.joint_names[robot.index("left_knee")] == "left_knee"
    with pytest.raises(UnknownNameError, match="Did you mean 'left_knee'"):
        robot.index("left_kne")


def test_mirror_partners_are_the_other_side():
    robot = sample_robot()
    for index, partner in enumerate(robot.mirror_index):
        here, there = robot.joint_names[index], robot.joint_names[partner]
        assert robot.mirror_index[partner] == index
        assert there == here.replace("left", "L").replace("right", "left").replace("L", "right")


def test_plain_data_and_back():
    robot = sample_robot()
    assert RobotSpec.from_dict(robot.to_dict()) == robot


@pytest.mark.parametrize("key", ["name", "joints", "control_period"])
def test_missing_data_is_named(key):
    data = {k: v for k, v in sample_robot().to_dict().items() if k != key}
    with pytest.raises(ContractError, match=key):
        RobotSpec.from_dict(data)


def test_robots_that_ship_load():
    assert "jack" in robot_names()
    robot = load_robot("jack")
    assert np.all(robot.lower < robot.upper)
    with pytest.raises(UnknownNameError, match="Did you mean 'jack'"):
        load_robot("jacky")
