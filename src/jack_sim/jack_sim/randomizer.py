"""Draws and applies the table of domain randomisation: N simulations become N different robots."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import mujoco
import numpy as np
from mujoco.batch import Batch
from numpy.typing import NDArray

from jack_contract.arrays import Array, Float64
from jack_contract.errors import JackError
from jack_contract.robot import RobotSpec
from jack_contract.state import RobotState
from jack_sim.randomization import OFF, Randomization, Range
from jack_sim.robot_model import link_ids
from jack_sim.scene import ROOT, SOLE_GROUP

TORSO = "torso"
#: Quantities from which MuJoCo derives constants (inverse weights, subtree masses): they ask for set_const.
_INERTIAL = frozenset({"mass", "payload", "centre_of_mass", "armature"})
#: Quantities that act on readings.
_SENSED = frozenset({"joint_offset", "gyro_bias", "tilt_bias"})
_NOISES = frozenset({"gyro_noise", "tilt_noise", "position_noise", "velocity_noise"})
_ROOT_DOFS = 6
#: Control periods until a push that never comes.
_NEVER = np.iinfo(np.int64).max // 2

Ids = NDArray[np.integer]


class Randomizer:
    """Gives each simulation of a batch a robot of its own, and each robot its own faulty sensors.

    Only what the table changes is stored, drawn and written; with the table OFF nothing is. Until the first `draw`
    all are as modelled.

    Attributes:
        share: how far the table's ranges reach from the model as it is, 0 (not at all) to 1, for a curriculum.
    """

    def __init__(
        self, batch: Batch, robot: RobotSpec, randomization: Randomization, random: np.random.Generator
    ) -> None:
        """Prepare the batch.

        Args:
            batch: of worlds with this robot.
            robot: whose joints the batch's actuators drive, in order.
            randomization: the table to draw from.
            random: where all draws come from; whoever resumes restores its state as well.

        Raises:
            JackError: if the latency exceeds a control period, or the torso's mass could vanish.
        """
        self.randomization, self.share = randomization, 1.0
        self._batch, self._model, self._random = batch, batch.model, random
        self._period = robot.control_period
        self._links = np.array(link_ids(self._model))
        self._torso = int(np.flatnonzero(self._links == self._model.body(TORSO).id)[0])
        self._require(randomization)
        self._active = randomization.active
        self._values = self._as_modelled(robot.count)

    def _require(self, table: Randomization) -> None:
        if table.latency[1] > self._period:
            raise JackError(
                f"latency is up to {table.latency[1]} s; allowed: up to one control period, {self._period} s."
            )
        mass = self._model.body_mass[self._links[self._torso]] * table.mass[0]
        if mass + table.payload[0] < 0.1 * mass:
            raise JackError(
                f"payload is {table.payload[0]} kg at least; that takes all of the torso's {mass:.1f} kg."
            )

    def _as_modelled(self, n: int) -> dict[str, Float64]:
        """What is drawn once an episode and stored, by name in the order of drawing, (N, ...)."""
        shapes: dict[str, tuple[int, ...]] = {
            "mass": (len(self._links),),
            "payload": (),
            "centre_of_mass": (2, 3),
            "friction": (),
            "strength": (n,),
            "stiffness": (n,),
            "damping": (n,),
            "armature": (n,),
            "joint_offset": (n,),
            "latency": (),
            "gyro_bias": (3,),
            "tilt_bias": (2,),
        }
        return {
            name: np.full((self._batch.nsim, *shape), getattr(OFF, name)[0])
            for name, shape in shapes.items()
            if name in self._active
        }

    @property
    def values(self) -> Mapping[str, Float64]:
        """What each robot has got of the quantities in use, (N, ...), in the table's units."""
        return self._values

    @property
    def delay(self) -> NDArray[np.int64] | None:
        """Physics steps until a command reaches the motors, (N,), for `BatchWorld.step`; None: none anywhere."""
        if "latency" not in self._active:
            return None
        return np.rint(self._values["latency"] / self._model.opt.timestep).astype(np.int64)

    def draw(self, ids: Ids) -> None:
        """Give the robots `ids` (k,) new bodies and new sensors; do so before their worlds are reset."""
        if not len(ids):
            return
        for name, value in self._values.items():
            value[ids] = self._random.uniform(*self._range(name), (len(ids), *value.shape[1:]))
        self._apply(np.asarray(ids))

    def _range(self, name: str) -> Range:
        """Least and greatest value of a quantity by now."""
        return self.randomization.reach(name, self.share)

    def targets(self, targets: Array) -> Array:
        """Joint targets (N, n) [rad] in the frames of the encoders as true joint angles, (N, n) [rad]."""
        return targets - self._values["joint_offset"] if "joint_offset" in self._active else targets

    def sense(self, state: RobotState, ids: Ids | None = None) -> RobotState:
        """What the sensors tell of the true state; each call is a new reading.

        The accelerometer and the torques, which no policy sees, stay true.

        Args:
            state: true readings of all robots (N, ...), or of the robots `ids` (k, ...); not written to.
            ids: whose readings they are; None: all robots'.

        Returns:
            The faulty readings; what is not affected is shared with `state`.
        """
        if not self._active & (_SENSED | _NOISES):
            return state
        rows = slice(None) if ids is None else ids
        position, velocity = state.joint_position, state.joint_velocity
        position = self._disturbed(position, rows, "joint_offset", "position_noise")
        gyro = self._disturbed(state.angular_velocity, rows, "gyro_bias", "gyro_noise")
        tilt = self._disturbed(np.zeros((len(position), 2)), rows, "tilt_bias", "tilt_noise")
        return replace(
            state,
            joint_position=position,
            joint_velocity=self._disturbed(velocity, rows, None, "velocity_noise"),
            angular_velocity=gyro,
            orientation=tilted(state.orientation, tilt) if tilt.any() else state.orientation,
        )

    def _disturbed(self, true: Array, rows: slice | Ids, bias: str | None, noise: str) -> Array:
        if bias in self._active:
            true = true + self._values[bias][rows]
        if noise in self._active:
            true = true + self._random.uniform(*self._range(noise), true.shape)
        return true

    def next_push(self, count: int) -> NDArray[np.int64]:
        """Control periods until `count` robots' next pushes, (count,); without pushes, more than ever pass."""
        if "push_speed" not in self._active:
            return np.full(count, _NEVER)
        seconds = self._random.uniform(*self.randomization.push_interval, count)
        return np.maximum(1, np.rint(seconds / self._period)).astype(np.int64)

    def pushes(self, count: int) -> Float64:
        """Velocities for `BatchWorld.push` of `count` robots, in random directions, (count, 2) [m/s, world]."""
        angle = self._random.uniform(-np.pi, np.pi, count)
        speed = self._random.uniform(*self._range("push_speed"), count)
        return speed[:, None] * np.stack((np.cos(angle), np.sin(angle)), axis=-1)

    def state_dict(self) -> dict[str, NDArray[np.float64]]:
        """What each robot has got, as copies; the random numbers' state is their owner's to keep."""
        return {name: value.copy() for name, value in self._values.items()}

    def load_state_dict(self, state: Mapping[str, NDArray[np.float64]]) -> None:
        """Make the robots those of a `state_dict` of a batch of the same size.

        Raises:
            JackError: if it is of another table's quantities, or of another number of robots.
        """
        given = {name: value.shape for name, value in state.items()}
        ours = {name: value.shape for name, value in self._values.items()}
        if given != ours:
            raise JackError(
                f"The saved randomization has {given}, this one needs {ours}. Resume with the table and the number "
                "of environments that it began with."
            )
        for name, value in self._values.items():
            value[...] = state[name]
        self._apply(np.arange(self._batch.nsim))

    def _apply(self, ids: Ids) -> None:
        """Write the models of the robots `ids`, always from the nominal one: a robot's past leaves no trace."""
        if self._active & {"mass", "payload"}:
            self._write_masses(ids)
        if "centre_of_mass" in self._active:
            bodies = [self._model.body(name).id for name in (TORSO, ROOT)]
            shifted = self._model.body_ipos[bodies] + self._values["centre_of_mass"][ids]
            self._batch.expand("body_ipos")[ids[:, None], bodies] = shifted
        if "friction" in self._active:
            scale = self._values["friction"][ids] / sole_friction(self._model)
            self._batch.expand("geom_friction")[ids, :, 0] = scale[:, None] * self._model.geom_friction[:, 0]
        self._write_motors(ids)
        if self._active & _INERTIAL:
            self._batch.set_const(ids)

    def _write_masses(self, ids: Ids) -> None:
        nominal = self._model.body_mass[self._links]
        factor = np.ones((len(ids), len(self._links)))
        if "mass" in self._active:
            factor *= self._values["mass"][ids]
        if "payload" in self._active:
            factor[:, self._torso] += self._values["payload"][ids] / nominal[self._torso]
        rows = ids[:, None]
        self._batch.expand("body_mass")[rows, self._links] = factor * nominal
        inertia = factor[..., None] * self._model.body_inertia[self._links]
        self._batch.expand("body_inertia")[rows, self._links] = inertia

    def _write_motors(self, ids: Ids) -> None:
        """Scale what belongs to joints; both limits of the torque, the actuator's and the joint's."""
        model, batch, values = self._model, self._batch, self._values
        if "strength" in self._active:
            strength = values["strength"][ids][..., None]
            batch.expand("actuator_forcerange")[ids] = strength * model.actuator_forcerange
            batch.expand("jnt_actfrcrange")[ids, 1:] = strength * model.jnt_actfrcrange[1:]
        if "stiffness" in self._active:
            gain = values["stiffness"][ids] * model.actuator_gainprm[:, 0]
            batch.expand("actuator_gainprm")[ids, :, 0] = gain
            batch.expand("actuator_biasprm")[ids, :, 1] = -gain
        if "damping" in self._active:
            batch.expand("actuator_biasprm")[ids, :, 2] = values["damping"][ids] * model.actuator_biasprm[:, 2]
        if "armature" in self._active:
            armature = values["armature"][ids] * model.dof_armature[_ROOT_DOFS:]
            batch.expand("dof_armature")[ids, _ROOT_DOFS:] = armature


def sole_friction(model: mujoco.MjModel) -> float:
    """Coefficient of friction between soles and ground: MuJoCo takes the greater of the two geoms' [1].

    So one alone cannot make the ground slippery; `Randomizer` scales all geoms by one factor.
    """
    touching = (model.geom_group == SOLE_GROUP) | (model.geom_bodyid == 0)
    return float(model.geom_friction[touching, 0].max())


def tilted(orientation: Array, tilt: Array) -> Float64:
    """Orientations turned by small angles about the body's own axes.

    q' = q * (x/2, y/2, 0, 1), normalised: to first order the rotation vector (x, y, 0), 1e-5 rad off at 0.05 rad.

    Args:
        orientation: body in world, unit quaternions x y z w, (..., 4).
        tilt: about the body's x and y axes, (..., 2) [rad].

    Returns:
        Unit quaternions x y z w, (..., 4).
    """
    x, y, z, w = (orientation[..., i] for i in range(4))
    a, b = 0.5 * tilt[..., 0], 0.5 * tilt[..., 1]
    turned = np.stack((x + w * a - z * b, y + w * b + z * a, z + x * b - y * a, w - x * a - y * b), axis=-1)
    return turned / np.linalg.norm(turned, axis=-1, keepdims=True)
