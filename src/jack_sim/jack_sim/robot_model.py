"""What the compiled model says about the robot: the RobotSpec, and the frames of its body."""

from __future__ import annotations

import math
from dataclasses import dataclass

import mujoco
import numpy as np
from scipy.spatial.transform import Rotation

from jack_contract.arrays import Array, Float64
from jack_contract.errors import JackError
from jack_contract.robot import JointSpec, RobotSpec
from jack_contract.rotation import wxyz_to_xyzw
from jack_sim.scene import ROOT

#: Root of the frame tree (REP-105), rigidly on the pelvis (REP-120).
BASE = "base_link"
#: From MuJoCo's camera frame (x right, y up, z back) to REP-103's optical frame (x right, y down, z forward).
_OPTICAL = Rotation.from_euler("x", math.pi)
#: The optical frame in a camera body frame (x forward, y left, z up).
_FORWARD = Rotation.from_matrix([[0, 0, 1], [-1, 0, 0], [0, -1, 0]])


def robot_spec(model: mujoco.MjModel, control_period: float = 0.02) -> RobotSpec:
    """Describe the robot of a compiled model.

    Args:
        model: with a free root, position actuators on hinge joints, and a keyframe "home".
        control_period: time between two commands [s].

    Returns:
        Its joints in actuator order.

    Raises:
        JackError: if an actuator is not a position control, or two joints differ in order.
    """
    joints = tuple(_joint_spec(model, actuator) for actuator in range(model.nu))
    ids = model.actuator_trnid[:, 0]
    free = model.jnt_type == mujoco.mjtJoint.mjJNT_FREE  # he, and behind his joints what lies about
    if not np.array_equal(ids, np.flatnonzero(~free)) or not np.array_equal(ids, np.arange(1, model.nu + 1)):
        raise JackError("Actuators must drive all joints behind the free root, in the order of the joints.")
    return RobotSpec("jack", joints, control_period)


def _joint_spec(model: mujoco.MjModel, actuator: int) -> JointSpec:
    joint = model.actuator_trnid[actuator, 0]
    stiffness, bias = model.actuator_gainprm[actuator, 0], model.actuator_biasprm[actuator]
    if bias[1] != -stiffness or model.jnt_type[joint] != mujoco.mjtJoint.mjJNT_HINGE:
        raise JackError(f"Actuator '{model.actuator(actuator).name}' must be <position> on a hinge joint.")
    lower, upper = model.jnt_range[joint]
    return JointSpec(
        name=model.joint(joint).name,
        lower=float(lower),
        upper=float(upper),
        velocity_limit=float(model.jnt_user[joint, 0]),
        effort_limit=float(model.actuator_forcerange[actuator, 1]),
        default=float(model.key("home").qpos[model.jnt_qposadr[joint]]),
        stiffness=float(stiffness),
        damping=float(-bias[2]),
        mirror_sign=1 if abs(model.jnt_axis[joint, 1]) > 0.5 else -1,
    )


@dataclass(frozen=True)
class Frame:
    """A frame and where it is fixed."""

    name: str
    parent: str
    #: origin in the parent frame, (3,) [m]
    position: Array
    #: in the parent frame, unit quaternion x y z w, (4,)
    orientation: Array


class JointFrames:
    """The links behind the joints as they lie in their parents, for tf: a function of joint angles alone."""

    def __init__(self, model: mujoco.MjModel) -> None:
        """Read the kinematics of a model whose joints follow a free root."""
        driven = slice(1, model.nu + 1)  # others' joints may follow
        bodies, self._axis = model.jnt_bodyid[driven], model.jnt_axis[driven].copy()
        if model.jnt_pos[driven].any():
            raise JackError("Every joint must sit at the origin of its link.")
        #: names of the links in joint order
        self.names = tuple(model.body(body).name for body in bodies)
        #: names of their parents
        self.parents = tuple(model.body(model.body_parentid[body]).name for body in bodies)
        #: origins in the parent frames, (n, 3) [m]
        self.positions: Float64 = model.body_pos[bodies].copy()
        self._zero = Rotation.from_quat(wxyz_to_xyzw(model.body_quat[bodies]))

    def orientations(self, joint_position: Array) -> Float64:
        """Orientations in the parent frames, unit quaternions x y z w, of joint angles (n,) [rad]; (n, 4)."""
        turned = Rotation.from_rotvec(self._axis * np.asarray(joint_position)[:, None])
        return (self._zero * turned).as_quat()


def fixed_frames(model: mujoco.MjModel) -> tuple[Frame, ...]:
    """Frames that never move in their parents: base, head, IMU, soles, hands, and the cameras with their optics."""
    frames = [Frame(ROOT, BASE, np.zeros(3), np.array([0.0, 0.0, 0.0, 1.0]))]
    frames += [_body_frame(model, body) for body in link_ids(model) if model.body_jntnum[body] == 0]
    for site in range(model.nsite):
        parent = model.body(model.site_bodyid[site]).name
        name = f"{model.site(site).name}_frame"
        frames.append(Frame(name, parent, model.site_pos[site], wxyz_to_xyzw(model.site_quat[site])))
    for camera in range(model.ncam):
        if model.cam_bodyid[camera] != 0:
            frames += _camera_frames(model, camera)
    return tuple(frames)


def link_ids(model: mujoco.MjModel) -> list[int]:
    """Bodies of the robot, parents first: the root and all behind it."""
    root = model.body(ROOT).id
    return [body for body in range(model.nbody) if model.body_rootid[body] == root]


def _body_frame(model: mujoco.MjModel, body: int) -> Frame:
    parent = model.body(model.body_parentid[body]).name
    return Frame(model.body(body).name, parent, model.body_pos[body], wxyz_to_xyzw(model.body_quat[body]))


def _camera_frames(model: mujoco.MjModel, camera: int) -> list[Frame]:
    """REP-103: `<name>_camera` looks along x, `<name>_camera_optical` along z."""
    name, parent = f"{model.camera(camera).name}_camera", model.body(model.cam_bodyid[camera]).name
    optical = Rotation.from_quat(wxyz_to_xyzw(model.cam_quat[camera])) * _OPTICAL
    body = optical * _FORWARD.inv()
    return [
        Frame(name, parent, model.cam_pos[camera], body.as_quat()),
        Frame(f"{name}_optical", name, np.zeros(3), _FORWARD.as_quat()),
    ]
