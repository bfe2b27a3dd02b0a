import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

sys.path.insert(0, str(Path(__file__).parent))
import sample_messages as messages

from jack_operator.scene import COMMAND_AGE, MAX_POINTS, SPAN, STALE, Curve, Scene

LEGS = """<robot name="legs"><link name="base"/><link name="left_foot_frame"/><link name="right_foot_frame"/>
  <joint name="left" type="revolute"><parent link="base"/><child link="left_foot_frame"/>
    <origin xyz="0 0.1 -0.8"/><axis xyz="0 1 0"/></joint>
  <joint name="right" type="revolute"><parent link="base"/><child link="right_foot_frame"/>
    <origin xyz="0 -0.1 -0.75"/><axis xyz="0 1 0"/></joint></robot>"""
QUARTER = {"z": 0.5**0.5, "w": 0.5**0.5}


@pytest.fixture
def scene():
    found = Scene()
    assert found.on_description(LEGS)
    found.on_joint_states(messages.joints(left=0.1, right=-0.2, finger=1.0), 0.0)
    return found


def test_a_description_is_drawn_anew_only_when_it_is_another(scene):
    assert not scene.on_description(LEGS)
    assert scene.on_description(LEGS.replace("0.75", "0.7"))
    assert not scene.on_description("no robot") and scene.malformed == 1 and "no URDF" in scene.complaint


def test_odometry_says_where_he_is_and_which_foot_stands(scene):
    scene.on_odometry(messages.odometry((3.0, 4.0, 0.805)), 0.0)
    frame = scene.frame(0.5)
    assert frame.source == "odometry" and frame.position == pytest.approx([3.0, 4.0, 0.805])
    left, right = frame.feet
    assert left.position == pytest.approx([3.0, 4.1, 0.005]) and left.contact is True
    assert right.position == pytest.approx([3.0, 3.9, 0.055]) and right.contact is False
    assert frame.angles == {"left": 0.1, "right": -0.2, "finger": 1.0}


def test_without_odometry_he_stands_on_his_lower_foot_and_nobody_knows_of_contacts(scene):
    scene.on_imu(messages.imu(**QUARTER), 0.0)
    frame = scene.frame(0.5)
    assert frame.source == "the imu" and frame.heading == pytest.approx(np.pi / 2)
    assert frame.position == pytest.approx([0.0, 0.0, 0.8])
    left, right = frame.feet
    assert left.position == pytest.approx([-0.1, 0.0, 0.0]) and left.contact is None
    assert right.position == pytest.approx([0.1, 0.0, 0.05])


def test_odometry_that_stops_makes_way_for_the_imu_and_the_imu_for_nobody(scene):
    scene.on_odometry(messages.odometry((3.0, 4.0, 0.8)), 0.0)
    scene.on_imu(messages.imu(), 2.0)
    assert scene.frame(STALE).source == "odometry" and scene.frame(2.0).source == "the imu"
    assert scene.frame(2.0 + STALE + 0.01).source == "nobody now"


def test_joints_stay_as_they_were_last_heard_and_their_age_is_told(scene):
    assert scene.frame(7.0).angles["left"] == 0.1 and scene.frame(7.0).age == pytest.approx(7.0)
    assert Scene().frame(0.0).age == np.inf


def test_velocities_are_in_the_heading_frame(scene):
    # He looks along y, pitched forwards by 90 degrees: his z axis points ahead, his x axis down.
    pitched = {"x": -0.5, "y": 0.5, "z": 0.5, "w": 0.5}
    scene.on_odometry(
        messages.odometry((0.0, 0.0, 0.8), messages.quaternion(**QUARTER), (0.5, -0.2, 0.0), (0.0, 0.0, 0.3)), 0.0
    )
    assert scene.frame(0.0).velocity == pytest.approx([0.5, -0.2, 0.3])
    scene.on_odometry(
        messages.odometry((0.0, 0.0, 0.8), messages.quaternion(**pitched), (0.0, 0.1, 0.7), (-0.4, 0.0, 0.0)), 0.0
    )
    # The heading of a body that looks straight down is of no use; its speed over ground and its turn are.
    velocity = scene.frame(0.0).velocity
    assert np.hypot(velocity[0], velocity[1]) == pytest.approx(np.hypot(0.1, 0.7)) and velocity[2] == pytest.approx(
        0.4
    )


def test_arrows_point_where_he_will_be_in_a_second(scene):
    scene.on_odometry(messages.odometry((3.0, 4.0, 0.8), messages.quaternion(**QUARTER)), 0.0)
    start, end = scene.frame(0.0).arrow(np.array([0.5, 0.2, 0.8]))
    assert start == pytest.approx([3.0, 4.0, 0.0]) and end == pytest.approx([2.8, 4.5, 0.0])


def test_a_command_is_forgotten_with_its_age(scene):
    scene.on_velocity(messages.twist(0.5, 0.1, -0.2), 1.0)
    assert scene.frame(1.0 + COMMAND_AGE).command == pytest.approx([0.5, 0.1, -0.2])
    assert scene.frame(1.01 + COMMAND_AGE).command is None


@pytest.mark.parametrize("bad", [np.nan, np.inf, -1e9])
def test_no_number_that_is_none_is_drawn(scene, bad):
    for hear, message in (
        (scene.on_joint_states, messages.joints(left=bad)),
        (scene.on_joint_command, messages.joints(left=bad)),
        (scene.on_imu, messages.imu(x=bad)),
        (scene.on_velocity, messages.twist(bad)),
        (scene.on_odometry, messages.odometry((bad, 0.0, 0.0))),
        (scene.on_odometry, messages.odometry(velocity=(0.0, bad, 0.0))),
    ):
        before = scene.malformed
        hear(message, 0.0)
        assert scene.malformed == before + 1, hear
    frame = scene.frame(0.0)
    assert frame.source == "nobody now" and frame.angles["left"] == 0.1
    assert frame.command is None and frame.velocity is None


def test_joints_that_do_not_fit_are_not_believed(scene):
    wrong = messages.joints(left=0.3)
    wrong.position.append(0.4)
    scene.on_joint_states(wrong, 0.0)
    scene.on_joint_states(messages.joints(**{f"j{i}": 0.0 for i in range(301)}), 0.0)
    scene.on_imu(messages.imu(w=0.0), 0.0)
    assert scene.malformed == 3 and scene.frame(0.0).angles["left"] == 0.1


def test_curves_of_a_joint_hold_what_was_and_what_was_asked_for(scene):
    scene.record(0.0)
    scene.on_joint_command(messages.joints(right=0.5, left=0.4), 0.1)
    scene.record(0.1)
    times, position, target = scene.joint_curves("left", 1.1)
    assert times == pytest.approx([-1.1, -1.0])
    assert position == pytest.approx([0.1, 0.1]) and target[1] == 0.4 and np.isnan(target[0])
    assert np.isnan(scene.joint_curves("nose", 1.1)[1]).all()


def test_a_value_counts_while_a_policy_has_one(scene):
    scene.on_brain(messages.brain(value=3.0), 0.0)
    scene.on_brain(messages.brain(value=0.0, policy=""), 0.2)
    _, (values,) = scene.values.columns(0.2)
    assert values[0] == 3.0 and np.isnan(values[1])


@given(st.lists(st.tuples(st.floats(0.0, 100.0), st.integers(1, 3)), max_size=50))
def test_curves_are_bounded_and_of_one_width(points):
    curve, now = Curve(), 0.0
    for step, width in points:
        now += step
        curve.add(now, np.zeros(width))
    times, rows = curve.columns(now)
    assert 1 <= times.size == rows.shape[1] and (times >= -SPAN).all()


def test_a_curve_does_not_grow_for_ever():
    curve = Curve()
    for k in range(3 * MAX_POINTS):
        curve.add(1e-3 * k, [float(k)])
    assert curve.columns(1e-3 * 3 * MAX_POINTS)[0].size == MAX_POINTS
