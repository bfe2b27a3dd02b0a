"""One simulated Jack, as the live graph needs him: commanded and read like a robot, pushed, held, reset."""

from __future__ import annotations

from dataclasses import dataclass

import mujoco
import numpy as np

from jack_contract.arrays import Array, Float64, require_last
from jack_contract.errors import JackError
from jack_contract.robot import RobotSpec
from jack_contract.rotation import projected_gravity, wxyz_to_xyzw
from jack_contract.state import RobotState
from jack_sim.errors import SimulationError
from jack_sim.gantry import Gantry
from jack_sim.layout import Layout, describe, layout_of
from jack_sim.robot_model import robot_spec
from jack_sim.scene import LIVE, SOLE_GROUP, SceneOptions, load_model
from jack_sim.tabletop import TABLETOP, Table, has_table

#: A tilt beyond this [rad], or a pelvis below this [m], is a fall.
FALL_TILT, FALL_HEIGHT = 1.0, 0.45
#: Joints of a seeded start differ from the default pose by at most this [rad].
_START_NOISE = 0.05
_DIVERGED = (mujoco.mjtWarning.mjWARN_BADQPOS, mujoco.mjtWarning.mjWARN_BADQVEL, mujoco.mjtWarning.mjWARN_BADQACC)


@dataclass(frozen=True)
class Odometry:
    """Where the pelvis really is, and how it moves."""

    #: in world, (3,) [m]
    position: Array
    #: in world, unit quaternion x y z w, (4,)
    orientation: Array
    #: body frame, (3,) [m/s]
    linear_velocity: Array
    #: body frame, (3,) [rad/s]
    angular_velocity: Array


class World:
    """Jack in a scene. Time only passes in `step`; the same calls give the same states, bit for bit."""

    def __init__(self, options: SceneOptions = LIVE, control_period: float = 0.02) -> None:
        """Compile a scene and put Jack into it, standing in his default pose.

        Args:
            options: what to compile.
            control_period: time between two commands [s], a multiple of the physics step.
        """
        self.model = load_model(options)
        self.data = mujoco.MjData(self.model)
        self.robot: RobotSpec = robot_spec(self.model, control_period)
        self._positions, self._velocities = slice(7, 7 + self.robot.count), slice(6, 6 + self.robot.count)
        self.substeps = round(control_period / options.timestep)
        if abs(self.substeps * options.timestep - control_period) > 1e-9:
            raise JackError(f"A control period of {control_period} s is no multiple of {options.timestep} s.")
        self.gantry = Gantry(self.model, self.data) if options.gantry else None
        self.table = Table(self.model) if has_table(self.model) else None
        #: what is on the table, where there is one
        self.layout = Layout(())
        self._acceleration = self.model.sensor("imu_linear_acceleration").adr[0]
        self.reset()

    @property
    def time(self) -> float:
        """Simulated time [s]."""
        return float(self.data.time)

    @property
    def position(self) -> Float64:
        """Generalised position of everything in the scene, a copy, (nq,); enough to draw it."""
        return self.data.qpos.copy()

    def reset(self, seed: int = 0, held: bool = False, time: float = 0.0) -> None:
        """Start anew: at rest, motors commanded to the default pose with the robot's own gains.

        Args:
            seed: 0 for exactly the default pose; otherwise of small random differences of the joints. On a table it
                decides what is there.
            held: whether to start on the gantry, feet hanging free, rather than on the ground.
            time: what the clock shows afterwards [s]; pass `world.time` for a clock that never runs back.
        """
        mujoco.mj_resetDataKeyframe(self.model, self.data, self.model.key("home").id)
        self.data.time = time
        if self.table is not None:
            self.lay(layout_of(seed))
        if seed:
            self._scatter(np.random.default_rng(seed))
        self.command(self.robot.default_position, self.robot.stiffness, self.robot.damping)
        if self.gantry is not None:
            self.gantry.release()
        if held:
            self._require_gantry().hold()
        mujoco.mj_forward(self.model, self.data)

    def lay(self, layout: Layout) -> None:
        """Lay the table, whatever is on it; a JackError says that there is none."""
        if self.table is None:
            raise JackError(f"There is no table; load the scene with SceneOptions(scene='{TABLETOP}').")
        self.layout = layout
        self.table.lay(layout, lambda field: getattr(self.model, field))
        self.table.place(layout, self.data.qpos)
        for start in self.table.velocities:
            self.data.qvel[start : start + 6] = 0.0

    def describe_table(self) -> str:
        """What is on the table, and where it is by now, as `read_description` reads it."""
        if self.table is None:
            return describe(Layout(()), np.zeros((0, 7)))
        addresses = self.table.addresses[: len(self.layout.things)]
        return describe(self.layout, np.array([self.data.qpos[a : a + 7] for a in addresses]).reshape(-1, 7))

    def command(self, position: Array, stiffness: Array | None = None, damping: Array | None = None) -> None:
        """Set what the motors do from now on: tau = k_p (position - q) - k_d dq, within their torque limits.

        Args:
            position: joint targets, (n,) [rad]; MuJoCo clips them to the joint limits.
            stiffness: k_p, (n,) [N m/rad], zero damps only; None leaves it as it is.
            damping: k_d, (n,) [N m s/rad]; None leaves it as it is.

        Raises:
            ShapeError: if an array has not one entry per joint.
            JackError: if an entry is not finite, or a gain negative; nothing is changed then.
        """
        given = {"position": position, "stiffness": stiffness, "damping": damping}
        values = {
            name: _checked(name, value, self.robot.count) for name, value in given.items() if value is not None
        }
        self.data.ctrl[:] = values["position"]
        if "stiffness" in values:
            self.model.actuator_gainprm[:, 0] = values["stiffness"]
            self.model.actuator_biasprm[:, 1] = -values["stiffness"]
        if "damping" in values:
            self.model.actuator_biasprm[:, 2] = -values["damping"]

    def step(self, substeps: int | None = None) -> None:
        """Advance by physics steps; None: by one control period.

        Raises:
            SimulationError: if the state ceased to be finite; the world was then reset, not its clock.
        """
        begun = self.time
        for _ in range(self.substeps if substeps is None else substeps):
            if self.gantry is not None:
                self.gantry.advance(self.model.opt.timestep)
            mujoco.mj_step(self.model, self.data)
        if any(self.data.warning[kind].number for kind in _DIVERGED):
            self.reset(time=begun)
            raise SimulationError("The simulation diverged and was reset; the last commands were too violent.")

    def state(self) -> RobotState:
        """What Jack's sensors read now. Copies; accelerations are those of the last physics step's start."""
        adr = self._acceleration
        return RobotState(
            time=np.asarray(self.data.time),
            joint_position=self.data.qpos[self._positions].copy(),
            joint_velocity=self.data.qvel[self._velocities].copy(),
            joint_effort=self.data.actuator_force.copy(),
            orientation=wxyz_to_xyzw(self.data.qpos[3:7]),
            angular_velocity=self.data.qvel[3:6].copy(),
            linear_acceleration=self.data.sensordata[adr : adr + 3].copy(),
        )

    def odometry(self) -> Odometry:
        """Ground truth of the pelvis."""
        linear, inverse = np.zeros(3), np.zeros(4)
        mujoco.mju_negQuat(inverse, self.data.qpos[3:7])
        mujoco.mju_rotVecQuat(linear, self.data.qvel[:3], inverse)
        return Odometry(
            position=self.data.qpos[:3].copy(),
            orientation=wxyz_to_xyzw(self.data.qpos[3:7]),
            linear_velocity=linear,
            angular_velocity=self.data.qvel[3:6].copy(),
        )

    def push(self, velocity: Array) -> None:
        """Add a velocity (3,) [m/s, world] to the pelvis, as a shove would."""
        self.data.qvel[:3] += _checked("velocity", velocity, 3)

    @property
    def fallen(self) -> bool:
        """Whether Jack is down: tilted by more than 1 rad, or his pelvis below 0.45 m."""
        upright = -projected_gravity(wxyz_to_xyzw(self.data.qpos[3:7]))[2]
        return bool(upright < np.cos(FALL_TILT) or self.data.qpos[2] < FALL_HEIGHT)

    def _scatter(self, rng: np.random.Generator) -> None:
        """Move the joints a little, and the pelvis so that the lowest sole touches the ground."""
        joints = self.data.qpos[self._positions]
        joints += rng.uniform(-_START_NOISE, _START_NOISE, joints.shape)
        np.clip(joints, self.robot.lower, self.robot.upper, out=joints)
        mujoco.mj_kinematics(self.model, self.data)
        soles = self.model.geom_group == SOLE_GROUP
        lowest = self.data.geom_xpos[soles, 2] - self.model.geom_size[soles, 0]
        self.data.qpos[2] -= lowest.min()

    def _require_gantry(self) -> Gantry:
        if self.gantry is None:
            raise JackError("This scene has no gantry; load it with SceneOptions(gantry=True).")
        return self.gantry


def _checked(name: str, value: Array, size: int) -> Float64:
    """A float64 array (size,) of finite numbers, gains not negative."""
    array = np.asarray(value, dtype=np.float64)
    require_last(name, array, size)
    if not np.isfinite(array).all():
        raise JackError(f"{name} holds numbers that are not finite: {array}.")
    if name in ("stiffness", "damping") and (array < 0).any():
        raise JackError(f"{name} must not be negative, given: {array}.")
    return array
