import math

import mujoco
import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from jack_contract.errors import JackError
from jack_contract.rotation import wxyz_to_xyzw
from jack_sim.robot_model import BASE, JointFrames, fixed_frames, robot_spec
from jack_sim.scene import TRAINING, SceneOptions, load_model, load_spec


@pytest.fixture(scope="module")
def model():
    return load_model(SceneOptions())


#: Of the motors' position control, as the model's comment gives them [1], [Hz].
DAMPING_RATIO, FREQUENCY = 1.4, 9.0
FREQUENCIES = {"ankle": 11.0, "shoulder": 14.0, "elbow": 14.0}


def test_every_compiled_gain_follows_from_its_motor(model):
    """With J the armature and w = 2 pi f: k_p = J w^2 and k_d = 2 zeta J w."""
    for actuator in range(model.nu):
        joint = model.joint(model.actuator_trnid[actuator, 0])
        w = 2 * np.pi * next((f for part, f in FREQUENCIES.items() if part in joint.name), FREQUENCY)
        armature = model.dof_armature[joint.dofadr[0]]
        stiffness, damping = armature * w**2, 2 * DAMPING_RATIO * armature * w
        np.testing.assert_allclose(model.actuator_gainprm[actuator, 0], stiffness, rtol=1e-8)
        np.testing.assert_allclose(-model.actuator_biasprm[actuator, 1:3], (stiffness, damping), rtol=1e-8)


def test_torque_limits_of_motors_and_joints_agree(model):
    np.testing.assert_array_equal(model.actuator_forcerange, model.jnt_actfrcrange[1:])


def test_the_description_of_a_known_joint(model):
    robot = robot_spec(model)
    knee = robot.joints[robot.index("left_knee")]
    assert (knee.lower, knee.upper, knee.default) == (0.0, 2.3, 0.6)
    assert (knee.effort_limit, knee.velocity_limit) == (120.0, 18.0)
    assert knee.stiffness == pytest.approx(0.06 * (18 * math.pi) ** 2)
    assert robot.control_period == 0.02


def test_left_and_right_mirror_each_other(model):
    robot = robot_spec(model)
    index, sign = list(robot.mirror_index), robot.mirror_sign
    np.testing.assert_allclose(robot.default_position, sign * robot.default_position[index])
    np.testing.assert_allclose(robot.lower, np.where(sign > 0, robot.lower[index], -robot.upper[index]))
    np.testing.assert_array_equal(robot.stiffness, robot.stiffness[index])


def test_a_torque_motor_is_refused():
    spec = load_spec(TRAINING)
    spec.actuator("left_knee").biastype = mujoco.mjtBias.mjBIAS_NONE
    spec.actuator("left_knee").biasprm[1] = 0
    with pytest.raises(JackError, match="left_knee"):
        robot_spec(spec.compile())


def test_joint_frames_are_mujocos_kinematics(model):
    frames, data, rng = JointFrames(model), mujoco.MjData(model), np.random.default_rng(3)
    data.qpos[7:] = rng.uniform(model.jnt_range[1:, 0], model.jnt_range[1:, 1])
    mujoco.mj_kinematics(model, data)
    orientations = frames.orientations(data.qpos[7:])
    for i, (name, parent) in enumerate(zip(frames.names, frames.parents, strict=True)):
        origin, turn = data.body(parent).xpos, Rotation.from_quat(wxyz_to_xyzw(data.body(parent).xquat))
        np.testing.assert_allclose(origin + turn.apply(frames.positions[i]), data.body(name).xpos, atol=1e-12)
        expected = Rotation.from_quat(wxyz_to_xyzw(data.body(name).xquat))
        assert (turn * Rotation.from_quat(orientations[i]) * expected.inv()).magnitude() < 1e-7


def test_fixed_frames_form_one_tree_with_the_joints(model):
    frames, joints = fixed_frames(model), JointFrames(model)
    parents = {frame.name: frame.parent for frame in frames} | dict(zip(joints.names, joints.parents, strict=True))
    assert len(parents) == len(frames) + len(joints.names)
    for name in parents:
        steps = 0
        while name != BASE:
            name, steps = parents[name], steps + 1
            assert steps < 30


def test_the_head_camera_looks_forward_and_down(model):
    frames = {frame.name: frame for frame in fixed_frames(model)}
    camera = Rotation.from_quat(frames["head_camera"].orientation)
    optical = camera * Rotation.from_quat(frames["head_camera_optical"].orientation)
    ahead = [math.cos(math.radians(15)), 0, -math.sin(math.radians(15))]
    np.testing.assert_allclose(camera.apply([1, 0, 0]), ahead, atol=1e-9)
    np.testing.assert_allclose(optical.apply([0, 0, 1]), ahead, atol=1e-9)
    np.testing.assert_allclose(optical.apply([1, 0, 0]), [0, -1, 0], atol=1e-9)
