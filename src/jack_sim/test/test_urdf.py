import math
import xml.etree.ElementTree as ET

import mujoco
import numpy as np
import pytest

from jack_sim.robot_model import BASE
from jack_sim.scene import SceneOptions, load_model, models_folder
from jack_sim.urdf import urdf


@pytest.fixture(scope="module")
def model():
    return load_model(SceneOptions())


@pytest.fixture(scope="module")
def robot():
    return ET.parse(models_folder() / "jack.urdf").getroot()


def _vector(text):
    return np.array([float(number) for number in text.split()])


def _origin(element):
    """Homogeneous transform of <origin>: R = Rz(yaw) Ry(pitch) Rx(roll), as the URDF specification says."""
    origin = element.find("origin")
    (cr, cp, cy), (sr, sp, sy) = (f(_vector(origin.get("rpy"))) for f in (np.cos, np.sin))
    pose = np.eye(4)
    pose[:3, :3] = [
        [cy * cp, cy * sp * sr - sy * cr, cy * sp * cr + sy * sr],
        [sy * cp, sy * sp * sr + cy * cr, sy * sp * cr - cy * sr],
        [-sp, cp * sr, cp * cr],
    ]
    pose[:3, 3] = _vector(origin.get("xyz"))
    return pose


def _turn(axis, angle):
    """Rodrigues: R = I + sin(a) K + (1 - cos(a)) K^2."""
    x, y, z = axis
    k = np.array([[0, -z, y], [z, 0, -x], [-y, x, 0]])
    pose = np.eye(4)
    pose[:3, :3] += math.sin(angle) * k + (1 - math.cos(angle)) * k @ k
    return pose


def _forward_kinematics(robot, angles, root):
    """Poses of all links in world from the URDF alone."""
    poses, joints = {BASE: root}, robot.findall("joint")
    while len(poses) <= len(joints):
        for joint in joints:
            parent, child = joint.find("parent").get("link"), joint.find("child").get("link")
            if parent in poses and child not in poses:
                turn = np.eye(4)
                if joint.get("type") == "revolute":
                    turn = _turn(_vector(joint.find("axis").get("xyz")), angles[joint.get("name")])
                poses[child] = poses[parent] @ _origin(joint) @ turn
    return poses


def _mujoco_poses(model, data):
    """Poses of all bodies, sites and the head camera in world from MuJoCo."""
    poses = {model.body(i).name: (data.xpos[i], data.xmat[i]) for i in range(1, model.nbody)}
    poses |= {f"{model.site(i).name}_frame": (data.site_xpos[i], data.site_xmat[i]) for i in range(model.nsite)}
    camera = model.camera("head").id
    # From MuJoCo's camera (x right, y up, z back) to the optical frame (x right, y down, z forward).
    optical = data.cam_xmat[camera].reshape(3, 3) @ np.diag([1, -1, -1])
    poses["head_camera_optical"] = (data.cam_xpos[camera], optical)
    return poses


def test_forward_kinematics_agree_with_mujoco(model, robot):
    rng, data = np.random.default_rng(0), mujoco.MjData(model)
    names = [model.joint(i).name for i in range(1, model.njnt)]
    worst = 0.0
    for _ in range(200):
        data.qpos[:3] = rng.normal(size=3)
        data.qpos[3:7] = rng.normal(size=4)
        data.qpos[7:] = rng.uniform(model.jnt_range[1:, 0], model.jnt_range[1:, 1])
        mujoco.mj_kinematics(model, data)
        mujoco.mj_camlight(model, data)
        root = np.eye(4)
        root[:3, :3], root[:3, 3] = data.body("pelvis").xmat.reshape(3, 3), data.body("pelvis").xpos
        poses = _forward_kinematics(robot, dict(zip(names, data.qpos[7:], strict=True)), root)
        expected = _mujoco_poses(model, data)
        assert set(poses) == set(expected) | {BASE, "head_camera"}
        for name, (position, rotation) in expected.items():
            worst = max(worst, np.abs(poses[name][:3, 3] - position).max())
            worst = max(worst, np.abs(poses[name][:3, :3] - np.reshape(rotation, (3, 3))).max())
    assert worst < 1e-6


def test_masses_and_limits_are_the_models(model, robot):
    masses = [float(mass.get("value")) for mass in robot.iter("mass")]
    assert sum(masses) == pytest.approx(model.body_mass.sum())
    knee = next(joint for joint in robot.findall("joint") if joint.get("name") == "left_knee")
    assert knee.find("limit").attrib == {"lower": "0", "upper": "2.3", "effort": "120", "velocity": "18"}


def test_inertias_are_physical(robot):
    for inertia in robot.iter("inertia"):
        a, b, c = sorted(float(inertia.get(axis)) for axis in ("ixx", "iyy", "izz"))
        assert a > 0 and a + b >= c


def test_every_link_that_shows_uses_a_declared_material(robot):
    declared = {material.get("name") for material in robot.findall("material")}
    used = {material.get("name") for visual in robot.iter("visual") for material in visual.findall("material")}
    assert used and used <= declared


def test_visuals_are_urdf_primitives_of_positive_size(robot):
    for geometry in robot.iter("geometry"):
        (shape,) = geometry
        assert shape.tag in ("box", "cylinder", "sphere")
        assert all((_vector(value) > 0).all() for value in shape.attrib.values())


def test_a_capsule_becomes_a_cylinder_between_two_spheres():
    text = """<mujoco><size nuser_jnt="1"/><worldbody><body name="pelvis" pos="0 0 1"><freejoint/>
      <inertial pos="0 0 0" mass="1" diaginertia="1 1 1"/>
      <geom type="capsule" fromto="0 0 0 0 0 0.4" size="0.1" group="4"/></body></worldbody></mujoco>"""
    robot = ET.fromstring(urdf(mujoco.MjModel.from_xml_string(text)))
    shapes = [(shape.find("geometry")[0], _origin(shape)[:3, 3]) for shape in robot.iter("collision")]
    assert [shape.tag for shape, _ in shapes] == ["cylinder", "sphere", "sphere"]
    assert shapes[0][0].attrib == {"radius": "0.1", "length": "0.4"}
    assert sorted(round(position[2], 9) for _, position in shapes) == [0.0, 0.2, 0.4]


def test_mujocos_own_urdf_reader_takes_it(model):
    robot = mujoco.MjModel.from_xml_path(str(models_folder() / "jack.urdf"))
    assert [robot.joint(i).name for i in range(robot.njnt)] == [model.joint(i).name for i in range(1, model.njnt)]
    np.testing.assert_allclose(robot.jnt_range, model.jnt_range[1:])
