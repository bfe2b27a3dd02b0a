"""Many simulated Jacks in one process: the same physics as the live world, stepped by MuJoCo's own thread pool."""

from __future__ import annotations

from dataclasses import dataclass

import mujoco
import numpy as np
from mujoco.batch import Batch
from numpy.typing import NDArray

from jack_contract.arrays import Array, Float64, Index
from jack_contract.errors import JackError
from jack_contract.robot import RobotSpec
from jack_contract.rotation import wxyz_to_xyzw, yaw
from jack_contract.state import RobotState
from jack_sim.scene import FLOOR

FEET = ("left_foot", "right_foot")
_IMU = "imu"
_ROOT_POSITIONS = 7
_ROOT_VELOCITIES = 6
#: Warnings after which MuJoCo puts a simulation back to its defaults by itself.
_DIVERGED = slice(mujoco.mjtWarning.mjWARN_BADQPOS.value, mujoco.mjtWarning.mjWARN_BADQACC.value + 1)


@dataclass
class Truth:
    """What only a simulator knows; rewards and terminations may read it, policies never do."""

    #: pelvis in world, (N, 3) [m]
    position: Array
    #: of the pelvis about the world's z axis, (N,) [rad]
    heading: Array
    #: velocity of the pelvis in its heading frame (x forward, z up), (N, 3) [m/s]
    velocity: Array
    #: velocity of the pelvis in world, (N, 3) [m/s]
    world_velocity: Array
    #: of the whole body, in world, at the start of the last substep, (N, 3) [m]
    centre_of_mass: Array
    #: sole centres in world at the start of the last substep, (N, 2, 3) [m]
    feet: Array
    #: of the sole centres over the ground below them, (N, 2) [m]
    sole_height: Array
    #: motor torques, (N, n) [N m]
    torque: Array
    #: how much the ground rises ahead of him and to his left, (N, 2) [1]
    slope: Array


class BatchWorld:
    """N copies of one model, advanced one control period at a time.

    Sensors are read from positions and velocities as they are after the step; foot positions, torques and
    accelerations are those of the last substep's start, as MuJoCo leaves them, which spares a second pass.
    """

    def __init__(self, model: mujoco.MjModel, robot: RobotSpec, count: int, threads: int = 0) -> None:
        """Make `count` copies on `threads` threads (0: all cores)."""
        _require_layout(model, robot)
        self.robot = robot
        self.count = count
        self.substeps = round(robot.control_period / model.opt.timestep)
        self._positions = slice(_ROOT_POSITIONS, _ROOT_POSITIONS + robot.count)
        self._velocities = slice(_ROOT_VELOCITIES, _ROOT_VELOCITIES + robot.count)
        self.batch = Batch(model, count, threads)
        self._qpos: Float64 = self.batch.bind("qpos")
        self._qvel: Float64 = self.batch.bind("qvel")
        self._ctrl: Float64 = self.batch.bind("ctrl")
        self._time: Float64 = self.batch.bind("time")
        self._sites: Float64 = self.batch.bind("site_xpos")
        self._centres: Float64 = self.batch.bind("subtree_com")
        self._torque: Float64 = self.batch.bind("actuator_force")
        self._sensors: Float64 = self.batch.bind("sensordata")
        self._tilts = False
        self._warnings = self.batch.warning[:, _DIVERGED, 1]  # last index: where it was, how often
        self._feet = [model.site(name).id for name in FEET]
        self._acceleration = model.sensor("imu_linear_acceleration").adr[0]
        self._home = model.key("home").qpos.copy()
        self._floor = model.geom(FLOOR).id
        x, y, z = _normal(model.geom_quat[self._floor])
        #: how far the ground rises along x and y, (N, 2) [1]; `incline` changes it
        self.slope: Float64 = np.tile((-x / z, -y / z), (count, 1))
        self.reset()

    def reset(self, ids: Index | None = None, qpos: Float64 | None = None, qvel: Float64 | None = None) -> None:
        """Put robots back to the home pose, or to given positions (k, nq) and velocities (k, nv)."""
        self.batch.reset(ids, stage=mujoco.mjtStage.mjSTAGE_NONE.value)
        rows = np.arange(self.count) if ids is None else ids
        self._qpos[rows] = self._home if qpos is None else qpos
        self._qvel[rows] = 0.0 if qvel is None else qvel
        self._ctrl[rows] = self._qpos[rows, self._positions]
        self.batch.forward(ids, stage=mujoco.mjtStage.mjSTAGE_VEL.value)

    @property
    def home(self) -> Float64:
        """Generalised position of the home keyframe, (nq,)."""
        return self._home

    def step(self, targets: Array, delay: NDArray[np.integer] | None = None) -> None:
        """Advance every robot by one control period.

        Args:
            targets: joint targets, (N, n) [rad].
            delay: physics steps, 0 to `substeps`, for which each robot still follows the targets of the step before
                (after a reset: the pose it began with), (N,); None: no delay.
        """
        if delay is None or not delay.any():
            self._ctrl[:] = targets
            self.batch.step(nstep=self.substeps)
            return
        late = np.arange(self.substeps) < delay[:, None]
        controls = np.where(late[..., None], self._ctrl[:, None], targets[:, None])
        self.batch.rollout(self.substeps, controls, record=())  # as fast as one step, and as exact
        self._ctrl[:] = targets  # what holds when the next period begins; part of the batch's state

    def incline(self, ids: Index, slope: Array) -> None:
        """Let the ground of the robots `ids` rise by `slope` (k, 2) [1] along x and y, about the world's origin."""
        if not self._tilts:  # a floor that was compiled level is taken for level, whatever its orientation
            self.batch.expand("geom_sameframe")[:, self._floor] = mujoco.mjtSameFrame.mjSAMEFRAME_NONE.value
            self._tilts = True
        self.slope[ids] = slope
        normal = np.concatenate((-slope, np.ones((len(slope), 1))), axis=-1)
        normal /= np.linalg.norm(normal, axis=-1, keepdims=True)
        # The shortest turn from z to the normal: half way between them lies its quaternion.
        half = np.stack((1.0 + normal[:, 2], -normal[:, 1], normal[:, 0], np.zeros(len(slope))), axis=-1)
        self.batch.expand("geom_quat")[ids, self._floor] = half / np.linalg.norm(half, axis=-1, keepdims=True)

    def diverged(self) -> NDArray[np.bool_]:
        """Robots whose physics broke down since their last reset, (N,); MuJoCo has teleported them."""
        return (self._warnings > 0).any(axis=1)

    def push(self, ids: Index, velocity: Array) -> None:
        """Add a horizontal velocity (k, 2) [m/s, world] to the pelvis of the robots `ids`."""
        self._qvel[ids, :2] += velocity

    def positions(self) -> Float64:
        """Generalised positions, (N, nq), a copy."""
        return self._qpos.copy()

    def state(self) -> RobotState:
        """Sensor readings of all robots, float64, (N, ...); views where MuJoCo's order is ours."""
        adr = self._acceleration
        return RobotState(
            time=self._time,
            joint_position=self._qpos[:, self._positions],
            joint_velocity=self._qvel[:, self._velocities],
            joint_effort=self._torque,
            orientation=wxyz_to_xyzw(self._qpos[:, 3:7]),
            angular_velocity=self._qvel[:, 3:6],
            linear_acceleration=self._sensors[:, adr : adr + 3],
        )

    def truth(self) -> Truth:
        """Ground truth of all robots."""
        heading = yaw(wxyz_to_xyzw(self._qpos[:, 3:7]))
        c, s = np.cos(heading), np.sin(heading)

        def turned(x: Array, y: Array) -> tuple[Array, Array]:
            """From world to the heading frame."""
            return c * x + s * y, c * y - s * x

        vx, vy, vz = self._qvel[:, 0], self._qvel[:, 1], self._qvel[:, 2]
        feet = self._sites[:, self._feet]
        return Truth(
            self._qpos[:, :3],
            heading,
            np.stack((*turned(vx, vy), vz), axis=-1),
            self._qvel[:, :3],
            self._centres[:, 1],
            feet,
            feet[..., 2] - np.einsum("nfi,ni->nf", feet[..., :2], self.slope),
            self._torque,
            np.stack(turned(*self.slope.T), axis=-1),
        )


def _normal(quaternion: Array) -> Array:
    """The z axis of a frame in world, (3,), of its orientation, w x y z."""
    turned = np.zeros(3)
    mujoco.mju_rotVecQuat(turned, np.array([0.0, 0.0, 1.0]), quaternion)
    return turned


def _require_layout(model: mujoco.MjModel, robot: RobotSpec) -> None:
    """Check once what `state` relies on: a free root first, then the robot's joints, driven in order."""
    joints = tuple(model.joint(i).name for i in range(min(model.njnt, 1 + robot.count)))
    driven = tuple(model.joint(model.actuator_trnid[i, 0]).name for i in range(model.nu))
    if joints[1:] != robot.joint_names or driven != robot.joint_names:
        raise JackError(
            f"The model's joints {joints[1:]} and actuators {driven} are not those of '{robot.name}': "
            f"{robot.joint_names}. Regenerate the robot's description with python -m jack_sim.generate."
        )
    site = model.site(_IMU)
    if site.bodyid[0] != 1 or not np.allclose(site.quat, (1, 0, 0, 0)):
        raise JackError("The IMU must sit on the root body, turned as the body is.")
    ratio = robot.control_period / model.opt.timestep
    if abs(ratio - round(ratio)) > 1e-9:
        raise JackError(f"A control period of {robot.control_period} s is no multiple of {model.opt.timestep} s.")
