"""Drive Jack with a policy; `sim:=true` simulates the robot, `--show-args` lists what can be chosen."""

# pyright: reportMissingImports=false, reportAttributeAccessIssue=false
# The ROS 2 of PyPI has no launch: where types are checked, it is usually not there.

from jack_launch.graphs import DEPLOY
from jack_launch.ros2 import describe
from launch import LaunchDescription


def generate_launch_description() -> LaunchDescription:
    """The brain, its driver, and the simulation if it is asked for, as jack_launch describes them."""
    return describe(DEPLOY)
