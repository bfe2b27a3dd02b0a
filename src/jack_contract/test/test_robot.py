import math
from dataclasses import replace

import numpy as np
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from jack_contract.contract import contract_for, default_contract
from jack_contract.errors import ContractError, JackError, UnknownNameError
from jack_contract.robot import (
    MAX_FILE_BYTES,
    JointSpec,
    RobotSpec,
    load_robot,
    robot_from_yaml,
    robot_names,
    robot_to_yaml,
)
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


@pytest.mark.parametrize("name", ["jack", "g1"])
def test_robots_that_ship_load(name):
    assert name in robot_names()
    robot = load_robot(name)
    assert robot.name == name
    assert np.all(robot.lower < robot.upper) and np.all(robot.stiffness > 0)
    assert default_contract(name) == contract_for(robot)


def test_a_robot_that_does_not_ship_is_told_with_the_nearest():
    with pytest.raises(UnknownNameError, match=r"Did you mean 'jack'.*the path of a \.yaml file"):
        load_robot("jacky")


def test_the_g1_has_its_joints_in_the_order_of_its_motors():
    """Twelve of the legs, three of the waist, fourteen of the arms, as the figures of Unitree have them."""
    robot = load_robot("g1")
    assert robot.count == 29
    assert robot.joint_names[:6] == tuple(
        f"left_{part}_joint" for part in ("hip_pitch", "hip_roll", "hip_yaw", "knee", "ankle_pitch", "ankle_roll")
    )
    assert robot.joint_names[12:15] == ("waist_yaw_joint", "waist_roll_joint", "waist_pitch_joint")
    assert robot.joint_names[-1] == "right_wrist_yaw_joint"
    knee = robot.joints[robot.index("right_knee_joint")]
    assert (knee.lower, knee.upper, knee.effort_limit, knee.velocity_limit) == (-0.087267, 2.8798, 139.0, 20.0)
    pitches = [
        robot.joints[robot.index(f"left_{part}_joint")].default for part in ("hip_pitch", "knee", "ankle_pitch")
    ]
    assert abs(sum(pitches)) < 0.01  # the soles are flat


# -- the file

PLAIN = """\
name: toy
control_period: 0.02
joints:
- {name: left_knee, lower: 0, upper: 2, velocity_limit: 9, effort_limit: 60, default: 0.5, stiffness: 9, damping: 5}
"""


@pytest.mark.parametrize(
    "robot", [sample_robot(), load_robot("jack"), load_robot("g1")], ids=lambda robot: robot.name
)
def test_a_robot_survives_its_file_to_the_last_digit(robot, tmp_path):
    path = tmp_path / "robot.yaml"
    path.write_text(robot_to_yaml(robot))
    assert load_robot(str(path)) == robot
    assert default_contract(str(path)).digest == contract_for(robot).digest
    assert len(path.read_text().splitlines()) == 3 + robot.count  # a line for each joint


def test_whole_numbers_in_a_file_have_the_digest_of_floats():
    robot = robot_from_yaml(PLAIN)
    assert robot.joints[0] == JointSpec("left_knee", 0.0, 2.0, 9.0, 60.0, 0.5, 9.0, 5.0, 1)
    with_floats = PLAIN.replace("lower: 0", "lower: 0.0").replace("upper: 2,", "upper: 2.0, mirror_sign: 1.0,")
    assert contract_for(robot).digest == contract_for(robot_from_yaml(with_floats)).digest


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("lower: 0", "lower: zero", r"'left_knee': 'lower' is 'zero'; expected a number"),
        ("lower: 0", "lower: 1e-3", r"'left_knee': 'lower' is '1e-3'.*1\.0e-3"),  # YAML 1.1 reads it as a text
        ("lower: 0", "lower: yes", r"'left_knee': 'lower' is True"),
        ("lower: 0", "lower: [0]", r"'left_knee': 'lower' is a list"),
        ("lower: 0", "lower: .nan", r"'left_knee' is not usable, check: lower"),
        ("lower: 0", f"lower: {10**400}", r"'left_knee': 'lower' is a int"),
        ("lower: 0, ", "", "'left_knee' lacks: lower"),
        ("lower: 0", "lowre: 0", r"no field of joint 'left_knee' 'lowre'. Did you mean 'lower'"),
        ("damping: 5", "damping: 5, mirror_sign: 0", "'left_knee': 'mirror_sign' is 0; allowed: 1 and -1"),
        ("default: 0.5", "default: 3", "'left_knee' is not usable, check: lower <= default <= upper"),
        ("name: left_knee", "name: 7", "Joint 1 of the robot must have a 'name'"),
        ("name: left_knee, ", "", "Joint 1 of the robot must have a 'name'"),
        ("- {name: left_knee, ", "- left_knee\n- {name: other, ", "Joint 1 of the robot must have a 'name'"),
        ("name: toy", "title: toy", r"no field of the robot 'title'"),
        ("name: toy\n", "", "The robot lacks: name"),
        ("name: toy", "name: [toy]", "'name' must be a text"),
        ("control_period: 0.02", "control_period: often", "The robot: 'control_period' is 'often'"),
        ("control_period: 0.02", "control_period: 0", "control_period is 0.0 s; allowed"),
        ("joints:", "joints: {", "Not YAML"),
        ("name: toy", "name: !!python/object/apply:os.getcwd []", "Not YAML"),
    ],
)
def test_what_is_wrong_in_a_file_is_told_by_joint_and_field(old, new, words, tmp_path):
    assert old in PLAIN
    path = tmp_path / "toy.yaml"
    path.write_text(PLAIN.replace(old, new, 1))
    with pytest.raises(ContractError, match=words) as caught:
        load_robot(str(path))
    assert str(path) in str(caught.value) and len(str(caught.value)) < 600


def test_a_file_that_is_not_there_or_too_large_is_refused_unread(tmp_path):
    for path in (tmp_path / "gone.yaml", tmp_path):
        with pytest.raises(ContractError, match="must be a file of at most"):
            load_robot(f"{path}" if path.suffix else f"{path}/.yaml")
    large = tmp_path / "large.yaml"
    large.write_text(PLAIN + "#" * MAX_FILE_BYTES)
    with pytest.raises(ContractError, match="at most 200000 bytes"):
        load_robot(str(large))
    large.write_bytes(b"\xff\xfe\xff")
    with pytest.raises(ContractError, match="cannot be used"):
        load_robot(str(large))


def test_a_file_that_grows_without_end_when_it_is_read_is_refused():
    lines = ["a0: &a0 [x, x]", *(f"a{i + 1}: &a{i + 1} [*a{i}, *a{i}]" for i in range(40))]
    with pytest.raises(JackError, match="no field of the robot 'a0'"):
        robot_from_yaml("\n".join(lines))
    with pytest.raises(ContractError, match="Not YAML"):
        robot_from_yaml("[" * 20_000)


@given(st.text(max_size=60))
def test_any_text_is_refused_in_words(text):
    with pytest.raises(JackError):
        robot_from_yaml(text)


plain = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8) | st.dates(),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8) | st.integers(), inner, max_size=3)
    ),
    max_leaves=8,
)


@given(
    st.sampled_from(["name", "control_period", "joints", "0", "0.name", "0.lower", "0.stiffness", "0.mirror_sign"]),
    plain,
)
def test_any_value_in_any_place_is_taken_or_refused_in_words(place, value):
    data = yaml.safe_load(PLAIN)
    target = data["joints"] if place[0] == "0" else data
    for key in place.split(".")[:-1]:
        target = target[int(key)]
    last = place.split(".")[-1]
    target[int(last) if last == "0" else last] = value
    try:
        robot = robot_from_yaml(yaml.safe_dump(data))
    except JackError:
        return
    assert isinstance(robot.joints[0].lower, float) and robot.count >= 1
