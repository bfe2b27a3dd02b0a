"""Jack on his legs: walk as you are told, or stand where you are, whoever pushes."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from jack_contract.arrays import Array, Float32
from jack_contract.contract import Contract
from jack_contract.gait import Beat, GaitSpec, Rhythm
from jack_contract.observation import History, encode_command
from jack_contract.rotation import projected_gravity
from jack_contract.state import Command, RobotState
from jack_sim.batch import BatchWorld, Truth
from jack_sim.randomizer import Randomizer
from jack_sim.scene import REACH
from jack_trainer.tasks.busy_arms import BusyArms
from jack_trainer.tasks.capture import landing_error, standing_point
from jack_trainer.tasks.environment import Observation, Transition
from jack_trainer.tasks.lessons import LocomotionConfig
from jack_trainer.tasks.memory import put_away, take_up
from jack_trainer.tasks.pushes import Pushes
from jack_trainer.tasks.rewards import TERMS, Motion, total_reward

#: Value of the reward term `velocity`, 0 to 1, from which on the curriculum grows.
_FOLLOWING = 0.45
#: How fast the curriculum grows while everybody follows and nobody falls [1/s].
_GROWTH = 0.1
#: How much growth a fall costs him who falls [s].
_FALL = 2.0
#: Time constant of the average of where his capture point is [s].
_REST = 0.5


class Locomotion:
    """N robots on flat ground. An `Environment`.

    Attributes:
        motion: what the last control period was rewarded for. Of a robot that has been reset since, the readings
            among it are already those of the new episode.
        glide: how far the beat has gone from the contract's to the task's own, 0 to 1; who learns to walk slower
            than he is used to needs some time for it, and whoever teaches him changes this as he learns.
        broken: how often so far a robot began anew because its physics, action or reward was no number.
    """

    motion: Motion
    glide: float = 1.0
    broken: int = 0

    def __init__(self, world: BatchWorld, contract: Contract, config: LocomotionConfig, seed: int = 0) -> None:
        self.world, self.contract, self.config = world, contract, config
        self.count = world.count
        self._random = np.random.default_rng(seed)
        self._randomizer = Randomizer(world.batch, contract.robot, config.randomization, self._random)
        period = contract.robot.control_period
        self._period = period
        self._limit = round(config.episode / period)
        n = contract.robot.count
        self._history = History(contract.observation, (self.count,))
        self._action = np.zeros((self.count, n), np.float32)
        self._command = Command.zero((self.count,))
        self._rhythm = Rhythm.at_rest((self.count,))
        self._next_command = np.zeros(self.count, np.int64)
        self._arms = BusyArms(contract, self.count, self._random)
        self._stands, self._alarm = np.zeros(self.count, bool), np.zeros(self.count)
        self._level = np.full(1, config.curriculum)
        self._randomizer.share = config.curriculum
        self._age = np.zeros(self.count, np.int64)
        self._pushes = Pushes(self.count, config.again, self._randomizer, self._random)
        self._return = np.zeros(self.count)
        self._feet = np.zeros((self.count, 2, 3))
        self._drift, self._rest = np.zeros((self.count, 3)), np.zeros((self.count, 2))
        home = world.truth()
        self._height = float(home.position[0, 2] - home.feet[0, :, 2].min())
        self._lean = home.centre_of_mass[0, :2] - home.feet[0, :, :2].mean(axis=0)

    def reset(self) -> Observation:
        """Start all episodes."""
        self._start(np.arange(self.count))
        if self.config.staggered:
            self._age[:] = self._random.integers(0, self._limit, self.count)
        self._observe(self.world.state())
        return self._seen()

    def step(self, action: Float32) -> Transition:
        """Act (N, n) for one control period; a robot that fell or whose time is over starts anew."""
        robot, gait = self.contract.robot, self.gait
        offsets = gait.offsets(robot, self._rhythm)
        told = self._arms.lead(self.contract.action.targets(robot, action, offsets))
        targets = self._randomizer.targets(told)
        self.world.step(targets, self._randomizer.delay)
        self._age += 1
        state, truth = self.world.state(), self.world.truth()
        self.motion = motion = self._motion(self._arms.judged(state), truth, action, offsets)
        reward, terms = total_reward(self.config.weights, motion, self._period)
        # Physics broke down, or the action was no number: no credit, and the robot starts anew.
        broken = self.world.diverged() | ~np.isfinite(reward)
        reward[broken] = 0.0
        self.broken += int(broken.sum())
        terminated = motion.fallen | broken
        over = terminated | (self._age >= self._limit)
        self._pushes.note(motion.fallen)
        self._action[:], self._feet[:] = action, truth.feet
        self._return += reward
        self._rhythm = gait.advance(self._rhythm, self._command.velocity, self._period, self.stumbling)
        self._alarm -= self._period
        self._ask()
        self._observe(state)
        self._push(~over, truth.heading)
        truncated = over & ~terminated
        final = self._seen().rows(truncated) if truncated.any() else None
        if self.config.curriculum < 1.0:
            self._grow(terminated)
        done = np.flatnonzero(over)
        ended = self._return[done].astype(np.float32), self._age[done]
        if len(done):
            self._start(done)
        terms["curriculum"] = float(self._level[0])
        return Transition(self._seen(), reward.astype(np.float32), terminated, truncated, final, *ended, terms)

    def state_dict(self) -> dict[str, NDArray[Any]]:
        """Physics, histories and ages as copies, by name; the random numbers' state is in `random`."""
        return put_away(self._randomizer, self._arrays())

    def load_state_dict(self, state: dict[str, NDArray[Any]]) -> Observation:
        """Go on from a `state_dict` of an environment of the same size; returns the observation it ended with."""
        take_up(state, self._randomizer, self._history, self._arrays())
        self._randomizer.share = self.level
        if self.config.incline:
            self.world.incline(np.arange(self.count), self.world.slope.copy())
        return self._seen()

    @property
    def limit(self) -> int:
        """Length of an episode [control periods]."""
        return self._limit

    @property
    def command(self) -> Array:
        """What is asked of each robot: vx, vy [m/s], yaw rate [rad/s], (N, 3)."""
        return self._command.velocity

    @property
    def since_command(self) -> NDArray[np.int64]:
        """For how long each has been asked for it [control periods], (N,)."""
        return round(self.config.command_interval / self._period) - self._next_command

    @property
    def gait(self) -> GaitSpec:
        """His steps, at the beat that he is asked for now."""
        return self.contract.gait.paced(self.beat)

    @property
    def beat(self) -> Beat | None:
        """That he is asked to walk at now; None: the contract's."""
        own, asked = self.contract.gait.period, self.config.beat
        return asked and replace(asked, period=(1.0 - self.glide) * own + self.glide * asked.period)

    @property
    def stumbling(self) -> Array:
        """How fast those tip over who are to step for it in the next control period, (N,) [rad/s]; others 0."""
        if not self.config.alarm:
            return np.zeros(self.count)
        return self.contract.observation.tipping(self._history.frames) * (self._alarm > self._period)

    @property
    def settled(self) -> NDArray[np.bool_]:
        """Who has been asked for the same for a whole gait cycle, so that he may be judged by it, (N,)."""
        return self.since_command * self._period > self.gait.cycle(self._rhythm.pace)

    @property
    def level(self) -> float:
        """How much of the commands and pushes is asked of him by now, up to 1."""
        return float(self._level[0])

    @property
    def random(self) -> np.random.Generator:
        """Where bodies, starting poses, readings, commands and pushes come from."""
        return self._random

    def _arrays(self) -> dict[str, NDArray[Any]]:
        return {
            "physics": self.world.batch.state,
            "frames": self._history.frames,
            "feet": self._feet,
            "drift": self._drift,
            "rest": self._rest,
            "action": self._action,
            "slope": self.world.slope,
            "command": self._command.velocity,
            "phase": self._rhythm.phase,
            "pace": self._rhythm.pace,
            "settling": self._rhythm.settling,
            "next_command": self._next_command,
            "stands": self._stands,
            "alarm": self._alarm,
            "level": self._level,
            "age": self._age,
            "return": self._return,
            **self._arms.arrays(),
            **self._pushes.arrays(),
        }

    def _motion(self, state: RobotState, truth: Truth, action: Float32, offsets: Array) -> Motion:
        config, gait, feet = self.config, self.gait, truth.feet
        gravity = projected_gravity(state.orientation)
        height = truth.position[:, 2] - feet[:, :, 2].min(axis=-1)
        speed = np.linalg.norm(feet[:, :, :2] - self._feet[:, :, :2], axis=-1) / self._period
        # Hips sway and turn with every step: what counts is where he gets to in half a cycle.
        moved = np.concatenate((truth.velocity[:, :2], state.angular_velocity[:, 2:]), axis=-1)
        pace, lasts = self._rhythm.pace, np.reshape(gait.cycle(self._rhythm.pace), (-1, 1))
        self._drift += 2 * self._period / lasts * (moved - pace - self._drift)
        point = standing_point(truth, height)
        self._rest += self._period / _REST * (point - self._rest)
        stepping = gait.stepping(self._rhythm)
        upright = (height > config.fall_height) & (gravity[:, 2] < -np.cos(config.fall_tilt))
        return Motion(
            robot=self.contract.robot,
            gravity=gravity,
            drift=self._drift.copy(),
            angular_velocity=state.angular_velocity,
            height=height,
            target_height=self._height,
            standing_error=np.linalg.norm(point - self._lean, axis=-1),
            resting_error=np.linalg.norm(self._rest, axis=-1),
            landing_error=landing_error(truth, height, gait, self._rhythm),
            idle=~gait.walks(self._rhythm.pace),
            stepping=stepping,
            landing=stepping & (self._rhythm.phase % 0.5 >= 0.25),
            foot_height=truth.sole_height,
            foot_target=config.clearance * gait.lift(self._rhythm),
            joint_position=state.joint_position,
            joint_target=self.contract.robot.default_position + offsets,
            joint_velocity=state.joint_velocity,
            torque=truth.torque,
            action=action,
            previous_action=self._action.copy(),
            contact=truth.sole_height < config.contact_height,
            foot_speed=speed,
            fallen=~upright,
        )

    def _observe(self, state: RobotState) -> None:
        """Append a frame to every history."""
        frames = self._encode(self._randomizer.sense(state), self._action, self._rhythm)
        self._history.push(self._arms.hidden(frames))

    def _encode(self, state: RobotState, action: Float32, rhythm: Rhythm) -> Float32:
        """The newest frame of some robots, (k, D), of their readings, previous actions and rhythms (k, ...)."""
        contract = self.contract
        return contract.observation.encode(contract.robot, state, action, self.gait.signal(rhythm))

    def _seen(self) -> Observation:
        """What is seen now; valid until the next step."""
        truth = self.world.truth()
        told = np.concatenate((truth.velocity, self._drift, truth.slope), axis=-1, dtype=np.float32)
        return Observation(self._history.frames, encode_command(self._rhythm.pace), told)

    def _start(self, ids: NDArray[np.integer]) -> None:
        """Begin new episodes, and their histories with the first frame."""
        config, world, k = self.config, self.world, len(ids)
        qpos = np.tile(world.home, (k, 1))
        joints = qpos[:, -self.contract.robot.count :]
        joints += self._random.uniform(-config.start_joint_noise, config.start_joint_noise, joints.shape)
        if config.incline:
            qpos[:, 2] += self._incline(ids)
        qvel = np.zeros((k, world.batch.model.nv))
        qvel[:, :3] = self._random.uniform(-config.start_velocity, config.start_velocity, (k, 3))
        self._randomizer.draw(ids)
        world.reset(ids, qpos, qvel)
        self._action[ids], self._age[ids], self._return[ids] = 0.0, 0, 0.0
        self._drift[ids], self._rest[ids] = 0.0, 0.0
        self._pushes.begin(ids)
        self._arms.begin(ids, config.busy)
        self._stands[ids] = self._random.uniform(size=k) < config.standing
        self._alarm[ids] = config.alarm if config.alarm >= config.episode else 0.0
        self._command_anew(ids)
        self._rhythm.begin(ids, 0.5 * self._random.integers(0, 2, k))
        self._feet[ids] = world.truth().feet[ids]
        readings = self._randomizer.sense(world.state().rows(ids), ids)
        frames = self._encode(readings, self._action[ids], self._rhythm.rows(ids))
        self._history.fill(ids, self._arms.hidden(frames, ids))

    def _incline(self, ids: NDArray[np.integer]) -> Array:
        """Incline the ground in new episodes; returns how much higher he starts, his soles over it, (k,) [m]."""
        rise = np.tan(self._random.uniform(0.0, self.level * self.config.incline, len(ids)))
        uphill = self._random.uniform(-np.pi, np.pi, len(ids))
        self.world.incline(ids, rise[:, None] * np.stack((np.cos(uphill), np.sin(uphill)), axis=-1))
        return REACH * rise

    def _ask(self) -> None:
        """Ask those whose time has come for something else."""
        self._next_command -= 1
        self._command_anew(np.flatnonzero(self._next_command <= 0))

    def _command_anew(self, ids: NDArray[np.integer]) -> None:
        low, high = self._level[0] * np.array(self.config.command).T
        asked = self._random.uniform(low, high, (len(ids), len(low)))
        if self.config.straight:
            straight = self._random.uniform(size=len(ids)) < self.config.straight
            asked[straight] = 0.0
            slowest, fastest = self.config.straight_speed or (0.0, self.config.command[0][1])
            ahead = self._random.uniform(slowest, fastest, straight.sum())
            asked[straight, 0] = self._level[0] * ahead
        asked[self._stands[ids] | (self._random.uniform(size=len(ids)) < self.config.still)] = 0.0
        self._command.velocity[ids] = asked
        self._next_command[ids] = round(self.config.command_interval / self._period)

    def _grow(self, terminated: NDArray[np.bool_]) -> None:
        """Ask for more the better he follows, for less the more he falls."""
        follow = np.nan_to_num(TERMS["velocity"](self.motion))  # one broken robot must not end the curriculum
        following = float(follow.mean()) / _FOLLOWING - 1.0
        change = _GROWTH * (following * self._period - _FALL * float(terminated.mean()))
        self._level[:] = np.clip(self._level + change, self.config.curriculum, 1.0)
        self._randomizer.share = self.level

    def _push(self, may: NDArray[np.bool_], heading: Array) -> None:
        """Push the robots whose time has come, if they may (N,) be pushed; they look to `heading` (N,) [rad]."""
        ids = self._pushes.due(may)
        self.world.push(ids, self._pushes.draw(ids, heading))
        alarm = self._random.uniform(0.0, self.config.alarm, len(ids))
        self._alarm[ids] = np.maximum(self._alarm[ids], alarm)
