import sys
from pathlib import Path

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parent))
import sample_messages as messages

pytest.importorskip("visualization_msgs", reason="needs ROS 2")

from geometry_msgs.msg import Point
from visualization_msgs.msg import Marker

from jack_operator.markers import ADD, ARROW, CYLINDER, DELETE, TEXT, Markers
from jack_operator.scene import Scene

LEG = """<robot name="leg"><link name="base"/><link name="left_foot_frame"/>
  <joint name="left" type="revolute"><parent link="base"/><child link="left_foot_frame"/>
    <origin xyz="0 0.1 -0.8"/><axis xyz="0 1 0"/></joint></robot>"""


def test_numbers_are_those_of_the_message():
    assert (Marker.ARROW, Marker.CYLINDER, Marker.TEXT_VIEW_FACING) == (ARROW, CYLINDER, TEXT)
    assert (Marker.ADD, Marker.DELETE) == (ADD, DELETE)


def test_arrows_text_and_feet_are_where_they_belong():
    scene = Scene()
    scene.on_description(LEG)
    scene.on_joint_states(messages.joints(left=0.0), 0.0)
    scene.on_odometry(messages.odometry((1.0, 2.0, 0.8), velocity=(0.4, 0.0, 0.0)), 0.0)
    scene.on_velocity(messages.twist(0.5), 0.0)
    scene.on_brain(messages.brain(state=5, fault="Tilted"), 0.0)
    asked, measured, text, foot = Markers(Marker, Point).of(scene, scene.frame(0.0), 0.0)
    assert {marker.header.frame_id for marker in (asked, measured, text, foot)} == {"odom"}
    ends = [[(point.x, point.y, point.z) for point in marker.points] for marker in (asked, measured)]
    np.testing.assert_allclose(ends, [[(1, 2, 0), (1.5, 2, 0)], [(1, 2, 0), (1.4, 2, 0)]])
    assert text.text == "damped: fault\nTilted" and text.pose.position.z == pytest.approx(1.55)
    assert text.color.r > 0.7 > text.color.g
    assert (foot.pose.position.x, foot.pose.position.y) == pytest.approx((1.0, 2.1)) and foot.color.g > foot.color.r
    assert len({(marker.ns, marker.id) for marker in (asked, measured, text, foot)}) == 4


def test_what_is_not_known_is_taken_away():
    scene = Scene()
    asked, measured, text = Markers(Marker, Point).of(scene, scene.frame(0.0), 0.0)
    assert (asked.action, measured.action, text.action) == (DELETE, DELETE, ADD)
    assert text.text == "no word from the brain"
