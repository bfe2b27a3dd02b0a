from types import SimpleNamespace

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from jack_contract.rotation import wxyz_to_xyzw
from jack_sim.camera import Intrinsics
from jack_sim.messages import MovingTransforms, fill_camera_info, fill_odometry, fixed_transforms
from jack_sim.physics import World
from jack_sim.robot_model import JointFrames, fixed_frames


def vector():
    return SimpleNamespace(x=0.0, y=0.0, z=0.0)


def quaternion():
    return SimpleNamespace(x=0.0, y=0.0, z=0.0, w=1.0)


def transform():
    header = SimpleNamespace(frame_id="", stamp=None)
    inner = SimpleNamespace(translation=vector(), rotation=quaternion())
    return SimpleNamespace(header=header, child_frame_id="", transform=inner)


def pose_of(message):
    t, q = message.transform.translation, message.transform.rotation
    return np.array([t.x, t.y, t.z]), Rotation.from_quat([q.x, q.y, q.z, q.w])


@pytest.fixture(scope="module")
def world():
    world = World()
    world.reset(seed=5)
    rng = np.random.default_rng(1)
    joints = rng.uniform(world.robot.lower, world.robot.upper)
    world.command(joints)
    for _ in range(30):
        world.step()
    return world


def test_the_tree_of_transforms_puts_every_link_where_physics_has_it(world):
    import mujoco

    model, data = world.model, world.data
    mujoco.mj_forward(model, data)
    moving = MovingTransforms(JointFrames(model), transform)
    state = world.state()
    tree = [
        *moving.filled("now", world.odometry(), state.joint_position),
        *fixed_transforms(fixed_frames(model), transform),
    ]
    placed = {"odom": (np.zeros(3), Rotation.identity())}
    left = list(tree)
    while left:
        ready = [message for message in left if message.header.frame_id in placed]
        assert ready, f"no way to {[m.child_frame_id for m in left]}"
        for message in ready:
            position, turn = placed[message.header.frame_id]
            translation, rotation = pose_of(message)
            placed[message.child_frame_id] = position + turn.apply(translation), turn * rotation
        left = [message for message in left if message not in ready]
    for body in range(1, model.nbody):
        name = model.body(body).name
        if name in placed:
            position, turn = placed[name]
            np.testing.assert_allclose(position, data.xpos[body], atol=1e-6, err_msg=name)
            expected = Rotation.from_quat(wxyz_to_xyzw(data.xquat[body]))
            assert (turn * expected.inv()).magnitude() < 1e-6, name
    assert {"base_link", "pelvis", "head", "imu_frame", "head_camera_optical", "left_foot_link"} <= set(placed)


def test_every_moving_transform_has_the_stamp(world):
    moving = MovingTransforms(JointFrames(world.model), transform)
    messages = moving.filled("now", world.odometry(), world.state().joint_position)
    assert len(messages) == 1 + world.robot.count
    assert all(message.header.stamp == "now" for message in messages)


def test_odometry_is_the_pose_in_odom_and_the_twist_in_the_base(world):
    message = SimpleNamespace(
        header=SimpleNamespace(frame_id=""),
        child_frame_id="",
        pose=SimpleNamespace(pose=SimpleNamespace(position=vector(), orientation=quaternion())),
        twist=SimpleNamespace(twist=SimpleNamespace(linear=vector(), angular=vector())),
    )
    fill_odometry(message, world.odometry())
    assert (message.header.frame_id, message.child_frame_id) == ("odom", "base_link")
    assert message.pose.pose.position.z == world.data.qpos[2]
    assert message.pose.pose.orientation.w == world.data.qpos[3]
    turn = Rotation.from_quat(wxyz_to_xyzw(world.data.qpos[3:7]))
    linear = message.twist.twist.linear
    np.testing.assert_allclose(turn.apply([linear.x, linear.y, linear.z]), world.data.qvel[:3], atol=1e-12)


def test_camera_info_projects_the_optical_axis_to_the_middle(world):
    message = SimpleNamespace()
    fill_camera_info(message, Intrinsics.of(world.model, "head", 320, 240))
    k, p = np.reshape(message.k, (3, 3)), np.reshape(message.p, (3, 4))
    np.testing.assert_array_equal(k @ [0, 0, 1], [159.5, 119.5, 1])
    np.testing.assert_array_equal(p[:, :3], k)
    # 65 degrees from the top edge to the bottom: a ray at half of that meets the border of the last row
    edge = np.array([0, np.tan(np.radians(32.5)), 1])
    assert (k @ edge)[1] == pytest.approx(239.5)
    assert (message.width, message.height, message.distortion_model) == (320, 240, "plumb_bob")
