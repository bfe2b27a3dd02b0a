"""Legs that already know how to stand and walk: a policy of phase 1 on N robots, whatever their arms do."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from jack_brain.chunk import arm_joints
from jack_brain.policy import Policy
from jack_contract.arrays import Array, Float32, Float64
from jack_contract.contract import Contract
from jack_contract.gait import Rhythm
from jack_contract.observation import History, encode_command
from jack_contract.state import RobotState
from jack_trainer.policy_actor import PolicyActor
from jack_trainer.tasks.environment import Observation


class Legs:
    """A policy file that has the legs and the waist of N robots.

    It was taught with arms that swing at the sides. Those that reach for something are not shown to it: it reads
    them as in the default pose, at rest, where it left them.
    """

    def __init__(self, path: Path, contract: Contract, count: int, masked: bool = True) -> None:
        """Load the policy.

        Args:
            path: of its file.
            contract: which it must be for.
            count: of robots.
            masked: whether arms are not shown to it.

        Raises:
            PolicyError: it must not drive this robot.
        """
        policy = Policy.load(path, contract)
        self._actor, self._stumbles = PolicyActor(path, threads=1), policy.stumble_steps
        self._gait = contract.gait.paced(policy.beat)
        self._contract, self._masked = contract, masked
        self._arms = arm_joints(contract.robot)
        self._history = History(contract.observation, (count,))
        self._rhythm = Rhythm.at_rest((count,))
        self._action = np.zeros((count, contract.robot.count), np.float32)
        self._fresh = np.ones(count, bool)

    @property
    def signal(self) -> Float64:
        """What a policy sees of the robots' rhythms, (N, 2)."""
        return self._gait.signal(self._rhythm)

    @property
    def pace(self) -> Float32:
        """The command as a policy sees it, (N, 3) [m/s, m/s, rad/s]."""
        return encode_command(self._rhythm.pace)

    @property
    def offsets(self) -> Float64:
        """What the gait adds to the joint targets, (N, n) [rad]."""
        return self._gait.offsets(self._contract.robot, self._rhythm)

    def begin(self, ids: NDArray[np.integer], phase: Array | float = 0.0) -> None:
        """Robots `ids` (k,) stand where they are, nothing was before, and they are to begin with that foot (k,)."""
        self._history.reset(ids)
        self._rhythm.begin(ids, phase)
        self._fresh[ids] = True

    def decide(self, state: RobotState, velocity: Array, free: NDArray[np.bool_]) -> Float64:
        """What the policy says the joints are to do.

        Args:
            state: of the robots, (N, ...).
            velocity: that they are to follow, (N, 3) [m/s, m/s, rad/s].
            free: who has his arms for himself, so that they swing as he was taught, (N,).

        Returns:
            Joint targets, (N, n) [rad].
        """
        contract, robot = self._contract, self._contract.robot
        if self._fresh.any():  # as a pilot begins: what was done before is what holds the pose that is measured
            held = contract.action.action(robot, np.clip(state.joint_position, robot.lower, robot.upper))
            self._action = np.where(self._fresh[:, None], held, self._action).astype(np.float32)
            self._fresh[:] = False
        seen, action = self._shown(state, free)
        frames = self._history.push(contract.observation.encode(robot, seen, action, self.signal))
        self._action = self._actor(Observation(frames, self.pace))
        targets = contract.action.targets(robot, self._action, self.offsets)
        tipping = contract.observation.tipping(frames) if self._stumbles else 0.0
        self._rhythm = self._gait.advance(self._rhythm, velocity, robot.control_period, tipping)
        return np.asarray(targets, np.float64)

    def _shown(self, state: RobotState, free: NDArray[np.bool_]) -> tuple[RobotState, Float32]:
        if not self._masked:
            return state, self._action
        held = ~free[:, None]
        position, velocity, action = state.joint_position.copy(), state.joint_velocity.copy(), self._action.copy()
        rest = self._contract.robot.default_position[self._arms]
        position[:, self._arms] = np.where(held, rest, position[:, self._arms])
        velocity[:, self._arms] = np.where(held, 0.0, velocity[:, self._arms])
        action[:, self._arms] = np.where(held, 0.0, action[:, self._arms])
        return replace(state, joint_position=position, joint_velocity=velocity), action
