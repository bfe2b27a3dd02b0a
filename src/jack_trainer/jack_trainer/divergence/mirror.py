"""The simulator's path: recorded poses are put into the model, and read from it as the simulator reads itself."""

from __future__ import annotations

import mujoco
import numpy as np
from numpy.typing import NDArray

from jack_contract.arrays import Array, Float64
from jack_contract.robot import RobotSpec
from jack_contract.rotation import projected_gravity, xyzw_to_wxyz
from jack_contract.state import RobotState
from jack_sim.physics import World
from jack_sim.scene import SOLE_GROUP, SceneOptions
from jack_trainer.divergence.recording import Recording

_ROOT = 6
#: Joints further beyond their range [rad], or faster [rad/s], are no start for a simulation.
_BEYOND, _FASTEST = 0.5, 60.0
#: No pelvis is so far away or so fast [m, m/s, rad/s].
_WILD = 1e5
#: Inertia of a pelvis that is led [kg, kg m^2], and where the feet hang free [m].
_LEAD, _HIGH = 1e6, 2.0
#: Gravity along the body's z axis: 1 rad from upright [1].
_UPRIGHT = -0.54


class Mirror:
    """A model that strikes recorded poses."""

    def __init__(self, control_period: float = 0.02) -> None:
        """Compile the model; `control_period` is the time between two samples [s]."""
        self._world = World(SceneOptions(visuals=False), control_period)
        model = self._world.model
        self._soles = np.flatnonzero(model.geom_group == SOLE_GROUP)
        self._jacobian = np.zeros((3, model.nv))

    @property
    def robot(self) -> RobotSpec:
        """Whose model it is."""
        return self._world.robot

    def states(self, recording: Recording) -> RobotState:
        """What the model's sensors read in the recorded poses, (T, ...).

        Velocities are what leads from the pose before to the pose after; NaN where one of them is missing. Efforts
        and accelerations mean nothing.
        """
        poses, data = self._poses(recording), self._world.data
        velocities = self._velocities(recording, poses)
        states = []
        for pose, velocity in zip(poses, velocities, strict=True):
            data.qpos[:], data.qvel[:] = pose, velocity
            states.append(self._world.state())
        return RobotState(**{name: np.stack([getattr(s, name) for s in states]) for name in vars(states[0])})

    def predict(self, recording: Recording) -> Float64:
        """Joint velocities one control period after the sample before, under its command, (T, n) [rad/s].

        A gantry, or a hand, may hold him. So joints move as they would with nothing but the ground to hold him, or
        as with a pelvis that is led as recorded: whatever comes nearer. NaN where a sample or command is missing.
        """
        free, led = self._predicted(recording, led=False), self._predicted(recording, led=True)
        measured = recording.state.joint_velocity
        return np.where(np.abs(free - measured) <= np.abs(led - measured), free, led)

    def _predicted(self, recording: Recording, led: bool) -> Float64:
        poses, state, command = self._poses(recording), recording.state, recording.command
        model, data = self._world.model, self._world.data
        predicted = np.full(state.joint_velocity.shape, np.nan)
        usable = recording.commanded & self._sane(recording) & self.stands(recording)
        pushes = self._pushes(recording)
        model.dof_armature[:_ROOT] = _LEAD if led else 0.0
        for k in np.flatnonzero(recording.joined[1:] & usable[:-1]).tolist():
            self._put(recording, poses, k, hangs=led)
            data.qfrc_applied[:_ROOT] = pushes[k] if led else 0.0
            self._world.command(command.position[k], command.stiffness[k], command.damping[k])
            for _ in range(self._world.substeps):
                mujoco.mj_step(model, data)
            predicted[k + 1] = data.qvel[_ROOT:]
        data.qfrc_applied[:_ROOT] = 0.0
        return predicted

    def _pushes(self, recording: Recording) -> Float64:
        """What gives a pelvis of great inertia its recorded accelerations, (T, 6) [N, N m]."""
        speeds = np.zeros((len(recording), _ROOT))
        speeds[:, 3:] = recording.state.angular_velocity
        if recording.base is not None:
            speeds[:, :3] = recording.base.velocity
        return _LEAD * np.diff(speeds, axis=0, append=speeds[-1:]) / self._world.robot.control_period

    def stands(self, recording: Recording) -> NDArray[np.bool_]:
        """Where it is known how he touches the ground, (T,): with odom; without it, while he is upright."""
        upright = projected_gravity(recording.state.orientation)[:, 2] < _UPRIGHT
        return upright if recording.base is None else np.ones(len(recording), bool)

    def _poses(self, recording: Recording) -> Array:
        """Generalised positions, (T, nq); without odom turned as the imu says, somewhere."""
        base, state = recording.base, recording.state
        position = np.zeros((len(recording), 3)) if base is None else base.position
        orientation = state.orientation if base is None else base.orientation
        return np.concatenate((position, xyzw_to_wxyz(orientation), state.joint_position), axis=-1)

    def _velocities(self, recording: Recording, poses: Array) -> Float64:
        velocities = np.full((len(poses), self._world.model.nv), np.nan)
        time, joined = recording.state.time, recording.joined
        for k in (1 + np.flatnonzero(joined[1:-1] & joined[2:])).tolist():
            elapsed = float(time[k + 1] - time[k - 1])
            mujoco.mj_differentiatePos(self._world.model, velocities[k], elapsed, poses[k - 1], poses[k + 1])
        return velocities

    def _sane(self, recording: Recording) -> NDArray[np.bool_]:
        """Where a simulation can start, (T,)."""
        robot, state, base = self._world.robot, recording.state, recording.base
        below, above = robot.lower - _BEYOND, robot.upper + _BEYOND
        within = (state.joint_position > below) & (state.joint_position < above)
        slow = (np.abs(state.joint_velocity) < _FASTEST).all(axis=-1)
        moves = (
            state.angular_velocity if base is None else np.hstack((state.angular_velocity, *vars(base).values()))
        )
        return np.asarray(within.all(axis=-1) & slow & (np.abs(moves) < _WILD).all(axis=-1))

    def _put(self, recording: Recording, poses: Array, k: int, hangs: bool) -> None:
        """Put him into a sample; without odom he hangs, or stands on his lowest sole."""
        data, state, base = self._world.data, recording.state, recording.base
        data.qpos[:], data.qacc_warmstart[:] = poses[k], 0.0
        data.qvel[:3] = 0.0 if base is None else base.velocity[k]
        data.qvel[3:_ROOT], data.qvel[_ROOT:] = state.angular_velocity[k], state.joint_velocity[k]
        if base is None and hangs:
            data.qpos[2] = _HIGH
        elif base is None:
            self._stand()

    def _stand(self) -> None:
        """Let the lowest sole touch the ground and rest there, whatever the rest of the body does."""
        model, data = self._world.model, self._world.data
        mujoco.mj_kinematics(model, data)
        mujoco.mj_comPos(model, data)
        heights = data.geom_xpos[self._soles, 2] - model.geom_size[self._soles, 0]
        data.qpos[2] -= heights.min()
        mujoco.mj_jacGeom(model, data, self._jacobian, None, int(self._soles[heights.argmin()]))
        data.qvel[:3] = -self._jacobian @ data.qvel
