"""Do as the clip does: motion tracking as a skill (after Peng et al. 2018, "DeepMimic", arXiv 1804.02717).

Episodes begin anywhere in the clip, as fast as it is there, and end when he is lost. The clip's joint angles go
into the targets where the gait's offsets go in walking, so that the policy only corrects them. It sees where in the
clip he is in the observation's gait signal, as an angle from 0 to half a turn: that is the half in which the brain
takes nothing for its mirror image, and a clip need not be symmetric. Its command is the clip's own velocity.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from jack_contract.arrays import Array, Float32, Float64
from jack_contract.contract import Contract
from jack_contract.observation import History, encode_command
from jack_contract.state import RobotState
from jack_sim.batch import BatchWorld
from jack_sim.randomization import OFF, Randomization
from jack_sim.randomizer import Randomizer
from jack_trainer.imitation.mocap.motion import MotionClip
from jack_trainer.imitation.movement import Rows
from jack_trainer.tasks.environment import Observation, Transition
from jack_trainer.tasks.memory import put_away, take_up
from jack_trainer.tasks.reference import ENDS, Places, Reference

_BODY = "body."


@dataclass(frozen=True)
class TrackingWeights:
    """Reward per second for being just like the clip in each way; the shares and widths are DeepMimic's."""

    pose: float = 6.5
    speed: float = 1.0
    ends: float = 1.5
    root: float = 1.0


@dataclass(frozen=True)
class TrackingConfig:
    """How a clip is learnt."""

    #: longest episode; shorter where the clip ends and does not go round [s]
    episode: float = 10.0
    #: who is further from the clip than this, in the mean of his parts seen from the pelvis, is lost [m] ...
    lost: float = 0.3
    #: ... and so is he whose pelvis is [m]
    astray: float = 0.5
    #: episodes start up to this far from the clip, each joint [rad]
    start_joint_noise: float = 0.05
    #: bodies, sensors and latencies that he has to cope with; he is not pushed
    randomization: Randomization = OFF
    weights: TrackingWeights = TrackingWeights()


class Tracking:
    """N robots that do as a clip does. An `Environment`."""

    broken: int = 0

    def __init__(
        self, world: BatchWorld, contract: Contract, motion: MotionClip, config: TrackingConfig, seed: int = 0
    ) -> None:
        """Pose the whole clip once.

        Raises:
            JackError: a clip that is shorter than two control periods.
        """
        self.world, self.contract, self.config = world, contract, config
        self.count, self._period = world.count, contract.robot.control_period
        self._random = np.random.default_rng(seed)
        self._randomizer = Randomizer(world.batch, contract.robot, config.randomization, self._random)
        self._limit = round(config.episode / self._period)
        self.clip = Reference(motion, contract, self._limit)
        self._history = History(contract.observation, (self.count,))
        self._action = np.zeros((self.count, contract.robot.count), np.float32)
        self._row, self._age = np.zeros(self.count, np.int64), np.zeros(self.count, np.int64)
        self._return = np.zeros(self.count)
        self._places = Places(world)
        #: how far his parts are from the clip's in the mean, seen from the pelvis, (N,) [m]
        self.error = np.zeros(self.count)

    def reset(self, first: int | None = None) -> Observation:
        """Start all episodes, anywhere in the clip, or at its row `first`."""
        self._start(np.arange(self.count), first)
        return self._seen()

    def step(self, action: Float32) -> Transition:
        """Act (N, n) for one control period; who is lost, or at the end, starts anew."""
        contract, clip, world = self.contract, self.clip, self.world
        offsets = clip.joints[self._row + 1] - contract.robot.default_position
        targets = contract.action.targets(contract.robot, action, offsets)
        world.step(self._randomizer.targets(targets), self._randomizer.delay)
        self._row += 1
        self._age += 1
        reward, terms, lost = self._judge()
        broken = world.diverged() | ~np.isfinite(reward)
        reward[broken] = 0.0
        self.broken += int(broken.sum())
        terminated = lost | broken
        over = terminated | (self._age >= self._limit) | (self._row >= clip.last)
        self._action[:] = action
        self._return += reward
        self._history.push(self._encode(self._randomizer.sense(world.state()), np.arange(self.count)))
        truncated = over & ~terminated
        final = self._seen().rows(truncated) if truncated.any() else None
        done = np.flatnonzero(over)
        ended = self._return[done].astype(np.float32), self._age[done]
        if len(done):
            self._start(done)
        return Transition(self._seen(), reward.astype(np.float32), terminated, truncated, final, *ended, terms)

    def state_dict(self) -> dict[str, NDArray[Any]]:
        """Physics, histories and places in the clip as copies, by name."""
        return put_away(self._randomizer, self._arrays())

    def load_state_dict(self, state: dict[str, NDArray[Any]]) -> Observation:
        """Go on from a `state_dict` of an environment of the same size and clip."""
        take_up(state, self._randomizer, self._history, self._arrays())
        return self._seen()

    @property
    def random(self) -> np.random.Generator:
        """Where bodies, beginnings and readings come from."""
        return self._random

    @property
    def limit(self) -> int:
        """Length of an episode [control periods]."""
        return self._limit

    @property
    def level(self) -> float:
        """All of the clip is asked for from the first."""
        return 1.0

    def _arrays(self) -> dict[str, NDArray[Any]]:
        return {
            "physics": self.world.batch.state,
            "frames": self._history.frames,
            "action": self._action,
            "row": self._row,
            "age": self._age,
            "return": self._return,
        }

    def _judge(self) -> tuple[Float64, dict[str, float], NDArray[np.bool_]]:
        """Reward (N,), its terms per second and who is lost (N,), by where all are now."""
        clip, row, weights = self.clip, self._row, self.config.weights
        state, truth, places = self.world.state(), self.world.truth(), self._places.now()
        apart = places - clip.places[row]
        astray = truth.position - clip.base[row]
        self.error = mean_position_error(apart, astray)
        turned = Rotation.from_quat(clip.orientation[row]).inv() * Rotation.from_quat(state.orientation)
        squares = {
            "pose": 2.0 * np.square(state.joint_position - clip.joints[row]).sum(-1),
            "speed": 0.1 * np.square(state.joint_velocity - clip.speeds[row]).sum(-1),
            "ends": 40.0 * np.square(apart[:, ENDS] - astray[:, None]).sum((-2, -1)),
            "root": 10.0 * np.square(astray).sum(-1) + turned.magnitude() ** 2,
        }
        parts = {f.name: getattr(weights, f.name) * np.exp(-squares[f.name]) for f in fields(weights)}
        lost = (self.error > self.config.lost) | (np.linalg.norm(astray, axis=-1) > self.config.astray)
        terms = {name: float(part.mean()) for name, part in parts.items()} | {"mpjpe": float(self.error.mean())}
        return self._period * np.sum(list(parts.values()), axis=0), terms, lost

    def _encode(self, state: RobotState, ids: Rows) -> Float32:
        """The newest frame of some robots, (k, D), of their readings (k, ...)."""
        contract = self.contract
        return contract.observation.encode(
            contract.robot, state, self._action[ids], self.clip.signal(self._row[ids])
        )

    def _seen(self) -> Observation:
        """What is seen now; valid until the next step."""
        truth, row = self.world.truth(), self._row
        off = np.concatenate((truth.velocity[:, :2], self.world.state().angular_velocity[:, 2:]), -1)
        told = np.concatenate((truth.velocity, off - self.clip.command[row], truth.slope), -1, dtype=np.float32)
        return Observation(self._history.frames, encode_command(self.clip.command[row]), told)

    def _start(self, ids: Rows, first: int | None = None) -> None:
        """Begin new episodes, and their histories with the first frame."""
        config, world, k = self.config, self.world, len(ids)
        rows = self._random.integers(0, self.clip.starts, k) if first is None else np.full(k, first)
        qpos, qvel = self.clip.qpos[rows].copy(), self.clip.qvel[rows]
        joints = qpos[:, -self.contract.robot.count :]
        joints += self._random.uniform(-config.start_joint_noise, config.start_joint_noise, joints.shape)
        self._randomizer.draw(ids)
        world.reset(ids, qpos, qvel)
        self._row[ids], self._age[ids], self._return[ids], self._action[ids] = rows, 0, 0.0, 0.0
        readings = self._randomizer.sense(world.state().rows(ids), ids)
        self._history.fill(ids, self._encode(readings, ids))


def mean_position_error(apart: Array, astray: Array) -> Float64:
    """How far a body's parts are from where they should be, seen from the pelvis (MPJPE).

    Args:
        apart: differences of the parts' positions in world, (N, P, 3) [m].
        astray: of the pelvis', (N, 3) [m].

    Returns:
        Mean distance over the parts, (N,) [m].
    """
    return np.linalg.norm(apart - astray[:, None], axis=-1).mean(axis=-1)


@dataclass(frozen=True)
class TrackingScore:
    """How well a policy does as the clip does, begun at its beginning."""

    #: mean per joint position error while he was not lost [m]
    mpjpe: float
    #: share of the robots that were never lost
    survival: float


def score(actor: Callable[[Observation], Float32], environment: Tracking) -> TrackingScore:
    """Let a policy go through one episode from the clip's beginning, in each of the environment's worlds."""
    on, errors = np.ones(environment.count, bool), []
    for step in _episode(actor, environment):
        on &= ~step.terminated
        errors.append(environment.error[on])
        if not on.any():
            break
    counted = np.concatenate(errors)
    return TrackingScore(float(counted.mean()) if len(counted) else np.inf, float(on.mean()))


def walk_through(actor: Callable[[Observation], Float32], environment: Tracking) -> Float64:
    """What robots do in one episode from the clip's beginning: generalised positions, (N, T, nq), a row a period.

    Whoever is lost begins anew, somewhere in the clip.
    """
    rows = [environment.world.positions() for _ in _episode(actor, environment)]
    return np.stack(rows[:-1], axis=1)  # after the last one all begin anew


def _episode(actor: Callable[[Observation], Float32], environment: Tracking) -> Iterator[Transition]:
    """One episode of all robots, from the clip's beginning."""
    seen = environment.reset(first=0)
    for _ in range(min(environment.limit, environment.clip.last)):
        step = environment.step(actor(seen))
        seen = step.observation
        yield step
