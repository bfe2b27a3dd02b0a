"""Teach Jack, and watch him in a live simulation; `--show-args` lists what can be chosen."""

# pyright: reportMissingImports=false, reportAttributeAccessIssue=false
# The ROS 2 of PyPI has no launch: where types are checked, it is usually not there.

from jack_launch.graphs import TRAIN
from jack_launch.ros2 import describe
from launch import LaunchDescription


def generate_launch_description() -> LaunchDescription:
    """Sim, brain and trainer, as jack_launch describes them."""
    return describe(TRAIN)
