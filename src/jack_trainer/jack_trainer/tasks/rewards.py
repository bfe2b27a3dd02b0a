"""Reward terms of locomotion: small pure functions of a batch, one number a robot, each logged under its name.

Weights are per second, so that they mean the same at every control rate.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields

import numpy as np
from numpy.typing import NDArray

from jack_contract.arrays import Array, Float64
from jack_contract.robot import RobotSpec


@dataclass
class Motion:
    """One control period of N robots as the reward terms see it."""

    robot: RobotSpec
    #: unit vector of gravity in the body frame, (N, 3)
    gravity: Array
    #: velocity less the pace of the gait, averaged over half a cycle: vx, vy in the heading frame, yaw rate,
    #: (N, 3) [m/s, m/s, rad/s]
    drift: Array
    #: body frame, (N, 3) [rad/s]
    angular_velocity: Array
    #: pelvis over the lower foot, (N,) [m]
    height: Array
    #: the height to stand at [m]
    target_height: float
    #: horizontal distance of the capture point from where it is at rest, (N,) [m]
    standing_error: Array
    #: how far it has been from the middle between the feet of late, an average over half a second, (N,) [m]
    resting_error: Array
    #: horizontal distance of the swinging foot from where it must land, (N,) [m]
    landing_error: Array
    #: nothing is asked for but to stand, (N,)
    idle: NDArray[np.bool_]
    #: a step is under way or asked for, (N,)
    stepping: NDArray[np.bool_]
    #: a foot is on its way down, (N,)
    landing: NDArray[np.bool_]
    #: soles over the ground, (N, 2) [m]
    foot_height: Array
    #: where the rhythm has them, (N, 2) [m]
    foot_target: Array
    #: (N, n) [rad]
    joint_position: Array
    #: default pose and gait, (N, n) [rad]
    joint_target: Array
    #: (N, n) [rad/s]
    joint_velocity: Array
    #: (N, n) [N m]
    torque: Array
    #: (N, n)
    action: Array
    #: (N, n)
    previous_action: Array
    #: feet on the ground, (N, 2)
    contact: NDArray[np.bool_]
    #: horizontal speed of the feet, (N, 2) [m/s]
    foot_speed: Array
    #: the robot fell in this period, (N,)
    fallen: NDArray[np.bool_]


def _squared(values: Array) -> Float64:
    return np.einsum("...i,...i->...", values, values)


def _closeness(squared_error: Array, width: float) -> Array:
    """1 at no error, falling as a Gaussian of the given width (legged_gym's tracking kernel)."""
    return np.exp(-squared_error / width**2)


def _nearness(squared_error: Array, width: float) -> Array:
    """1 at no error, 1/2 at `width`; unlike a Gaussian it still says which way is better from far away."""
    return 1.0 / (1.0 + squared_error / width**2)


def _pose(m: Motion) -> Array:
    return _squared(m.joint_position - m.joint_target)


Term = Callable[[Motion], Array]

TERMS: dict[str, Term] = {
    "alive": lambda m: 1.0 - m.fallen,
    "fall": lambda m: m.fallen.astype(float),
    "upright": lambda m: _closeness(_squared(m.gravity[:, :2]), 0.3),
    "velocity": lambda m: _nearness(_squared(m.drift[:, :2]), 0.2),
    "yaw_rate": lambda m: _nearness(m.drift[:, 2] ** 2, 0.3),
    "height": lambda m: _closeness((m.height - m.target_height) ** 2, 0.08),
    # With twice the width he is as content a few cm behind, and falls over his heels when he is pushed there.
    "capture": lambda m: _closeness(m.standing_error**2, 0.05) * ~m.stepping,
    # An average tells a cm from the middle, whatever noise does to the single moments. One over longer would pay
    # for leaning the other way after a push.
    "rest": lambda m: _closeness(m.resting_error**2, 0.03) * ~m.stepping,
    "landing": lambda m: _nearness(m.landing_error**2, 0.1) * m.landing,
    "clearance": lambda m: _closeness((m.foot_height - m.foot_target) ** 2, 0.03).mean(axis=-1),
    "pose": _pose,
    "torque": lambda m: _squared(m.torque / m.robot.effort_limit),
    "joint_speed": lambda m: _squared(m.joint_velocity / m.robot.velocity_limit),
    "action_rate": lambda m: _squared(m.action - m.previous_action),
    "slip": lambda m: (m.contact * m.foot_speed**2).sum(axis=-1),
    "sway": lambda m: _squared(m.angular_velocity[:, :2]),
    # He who tips over faster takes a step; so who steps on the spot without need never stops.
    "calm": lambda m: _nearness(_squared(m.angular_velocity[:, :2]), 0.35) * m.idle,
}


@dataclass(frozen=True)
class RewardWeights:
    """Reward per second for one unit of each term; `fall` is paid once."""

    alive: float = 1.0
    fall: float = -100.0
    upright: float = 1.0
    velocity: float = 5.0
    yaw_rate: float = 2.0
    height: float = 0.5
    capture: float = 6.0
    rest: float = 0.0
    landing: float = 8.0
    clearance: float = 3.0
    pose: float = -0.3
    torque: float = -0.5
    joint_speed: float = -0.5
    action_rate: float = -0.01
    slip: float = -0.5
    sway: float = -0.05
    calm: float = 2.0


def total_reward(weights: RewardWeights, motion: Motion, period: float) -> tuple[Array, dict[str, float]]:
    """Weighted sum of the terms over one control period [s].

    Returns:
        Reward (N,) and the mean contribution of each term per second.
    """
    reward = np.zeros(len(motion.height))
    means: dict[str, float] = {}
    for entry in fields(weights):
        weight = getattr(weights, entry.name)
        if weight:
            contribution = weight * TERMS[entry.name](motion)
            reward += contribution
            means[entry.name] = float(contribution.mean())
    return reward * period, means
