"""The node `markers` in a process of its own, beside a robot on topics."""

import signal
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("rclpy", reason="needs ROS 2 and Jack's messages: ./jack test has them")
pytest.importorskip("jack_msgs", reason="needs ROS 2 and Jack's messages: ./jack test has them")

from geometry_msgs.msg import Twist
from visualization_msgs.msg import Marker, MarkerArray

sys.path.insert(0, str(Path(__file__).parent))
from robot_to_see import RobotToSee, start, wait

pytestmark = pytest.mark.ros


def test_markers_are_published_for_who_listens(ros_domain):
    robot, heard = RobotToSee(), []
    process = start("markers", stderr=subprocess.PIPE)
    try:
        velocity = robot.node.create_publisher(Twist, "cmd_vel", 1)
        message = Twist()
        message.linear.x = 0.5
        robot.node.create_timer(0.1, lambda: velocity.publish(message))
        robot.node.create_subscription(MarkerArray, "markers", heard.append, 1)

        def seen():
            newest = {(m.ns, m.id): m for m in heard[-1].markers} if heard else {}
            whole = len(newest) == 5 and newest["asked", 0].action == Marker.ADD
            return newest if whole and "drives" in newest["status", 0].text else None

        found = wait(seen)
        assert found["asked", 0].points[1].x == pytest.approx(0.5)
        assert found["feet", 0].pose.position.y == pytest.approx(-found["feet", 1].pose.position.y)
        assert found["status", 0].pose.position.z == pytest.approx(0.77 + 0.75)
    finally:
        process.send_signal(signal.SIGINT)
        said = process.communicate(timeout=10)[1]
        robot.close()
    assert process.returncode == 0 and "Traceback" not in said
