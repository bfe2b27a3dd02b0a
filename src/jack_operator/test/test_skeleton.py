from pathlib import Path

import numpy as np
import pytest

from jack_contract.robot import load_robot
from jack_operator.skeleton import Skeleton
from jack_operator.urdf import parse

MODELS = Path(__file__).parents[2] / "jack_sim/jack_sim/models"
TWO = """<robot name="two"><link name="a"/><link name="b"/><link name="c"/>
  <joint name="first" type="continuous"><parent link="a"/><child link="b"/>
    <origin xyz="0 0 1"/><axis xyz="0 1 0"/></joint>
  <joint name="second" type="revolute"><parent link="b"/><child link="c"/>
    <origin xyz="0 0 1" rpy="0 0 1.5707963267948966"/><axis xyz="1 0 0"/></joint></robot>"""


def test_two_links_by_hand():
    two = Skeleton(parse(TWO))
    still = two.poses({})
    assert still["c"][:3, 3] == pytest.approx([0.0, 0.0, 2.0])
    # A quarter turn about y sends what is above to the front: b's z axis is a's x axis.
    bent = two.poses({"first": np.pi / 2})
    assert bent["b"][:3, 3] == pytest.approx([0.0, 0.0, 1.0]) and bent["b"][:3, 2] == pytest.approx([1.0, 0.0, 0.0])
    assert bent["c"][:3, 3] == pytest.approx([1.0, 0.0, 1.0])
    # The second turns about its own x axis, which lies along b's y axis.
    both = two.poses({"first": np.pi / 2, "second": np.pi / 2})
    assert both["c"][:3, 0] == pytest.approx([0.0, 1.0, 0.0])
    assert both["c"][:3, 2] == pytest.approx(both["b"][:3, 0])
    assert two.orientations({"first": np.pi / 2})["b"] == pytest.approx([0.0, 0.5**0.5, 0.0, 0.5**0.5])
    assert two.turning == ("first", "second") and set(two.orientations({})) == {"b", "c"}


def test_a_robot_without_joints_has_its_root():
    alone = Skeleton(parse('<robot name="r"><link name="only"/></robot>'))
    assert alone.poses({}).keys() == {"only"} and alone.orientations({}) == {}


def test_jack_is_where_mujoco_says():
    mujoco = pytest.importorskip("mujoco")
    model = mujoco.MjModel.from_xml_path(str(MODELS / "jack.xml"))
    data, random, robot = mujoco.MjData(model), np.random.default_rng(0), load_robot()
    jack = Skeleton(parse((MODELS / "jack.urdf").read_text()))
    for _ in range(5):
        angles = {name: random.uniform(-1.0, 1.0) for name in robot.joint_names}
        for name, angle in angles.items():
            data.qpos[model.joint(name).qposadr[0]] = angle
        mujoco.mj_kinematics(model, data)
        base = data.body("pelvis")
        turn, poses = base.xmat.reshape(3, 3), jack.poses(angles)
        for name in ("left_foot_link", "right_forearm_link", "torso"):
            body = data.body(name)
            assert poses[name][:3, 3] == pytest.approx(turn.T @ (body.xpos - base.xpos), abs=1e-6)
            np.testing.assert_allclose(poses[name][:3, :3], turn.T @ body.xmat.reshape(3, 3), atol=1e-6)
