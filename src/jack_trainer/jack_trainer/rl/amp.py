"""Adversarial motion priors (Peng et al. 2021, arXiv 2104.02180): PPO, and a judge whom it pays to please.

The task stays what it was. Beside it, movement is paid for that a judge cannot tell from a person's, and the judge
learns after each rollout to tell them apart. A clip is an example for walking as fast as it does: the further from
that he is asked to walk, the less style counts, and who is asked to stand, or hurries because he tips over, is left
alone. Where to begin, no judge need tell him: the clip's joint angles through a step become a habit, brought in
slowly, and what he learns corrects the legs until they keep him up. Waist and arms are left to it: who may choose
swings them for balance, far more than any person.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from jack_brain.chunk import leg_joints
from jack_brain.network.brain import Brain
from jack_contract.arrays import Array, Float32, Float64
from jack_contract.contract import Contract
from jack_contract.errors import JackError
from jack_contract.gait import Beat, Rhythm, nearness
from jack_contract.observation import SIGNAL_SIZE
from jack_contract.robot import RobotSpec
from jack_trainer import checkpoint as storage
from jack_trainer.checkpoint import LearnerNumbers
from jack_trainer.imitation.mocap.motion import MotionClip
from jack_trainer.imitation.movement import Example, frame_size, frames
from jack_trainer.rl.anchor import Anchor
from jack_trainer.rl.discriminator import Judge, JudgeConfig
from jack_trainer.rl.episodes import EpisodeLog
from jack_trainer.rl.ppo import PPO, PPOConfig
from jack_trainer.tasks.environment import Observation, Transition
from jack_trainer.tasks.locomotion import Locomotion

_FRAMES = "style.frames"
#: Greater squared errors of all joints together cost no more [rad^2]: he is about to fall, and that has its price.
_ASTRAY = 4.0
#: He is asked to walk straight ahead from so much of a clip's pace to so much.
_AROUND = (0.5, 1.1)
#: Beats that he can be taught to walk at [s]: the slower the steps, the further one falls from one to the next.
_BEATS = (0.6, 1.2)


@dataclass(frozen=True)
class AmpConfig:
    """How style is learnt beside a task."""

    #: reward per second of movement that the judge cannot tell from the clip's
    weight: float = 8.0
    #: price per second of joints that are not where the clip has them at this moment of a step, for each rad^2 that
    #: they are off: a judge says little to him who is still far away, and this the more
    guide: float = 6.0
    #: the beat goes from the contract's to the task's own, and the habit comes in, in this share of the training
    glide: float = 0.45
    #: whether he begins from the clip's joint angles
    habit: bool = True
    judge: JudgeConfig = field(default_factory=JudgeConfig)

    def __post_init__(self) -> None:
        positive = all(0 <= number < math.inf for number in (self.weight, self.guide))
        if not positive or not 0 <= self.glide <= 1:
            raise JackError(f"Style needs weights of 0 and more and a glide of 0 to 1, given: {self}.")


class Styled:
    """Locomotion in which it also pays to move like the examples. An `Environment`.

    Attributes:
        pairs: what has been done since it was taken, two frames each, (N, 2F) for each control period.
        applies: how much style counted for it, (N,) for each control period.
    """

    def __init__(
        self, locomotion: Locomotion, examples: Sequence[Example], judge: Judge, config: AmpConfig
    ) -> None:
        self.locomotion, self.count = locomotion, locomotion.count
        self._judge, self._config = judge, config
        self._examples, self._speeds = examples, np.array([example.speed for example in examples])
        # What he cannot choose costs nothing: it would only make walking near the clip's pace dear.
        self._counts = 1.0 - config.habit * _upper_body(locomotion.contract.robot)
        self._gait = locomotion.contract.observation.slices()["gait"]
        self._period = locomotion.contract.robot.control_period
        self._frames: Float32 = np.zeros((self.count, frame_size(locomotion.contract.robot)), np.float32)
        self._asked: Array = np.zeros((self.count, 3))
        self._calm: Array = np.ones(self.count)
        self.pairs: list[Float32] = []
        self.applies: list[Float32] = []

    def reset(self) -> Observation:
        """Start all episodes."""
        return self._remember(self.locomotion.reset())

    def step(self, action: Float32) -> Transition:
        """As the task has it; the reward grows by the style's, the returns of episodes do not."""
        before, asked = self._frames, self._asked
        applies = self.nearness(asked) * self._calm.astype(np.float32)
        step = self.locomotion.step(action)
        self._remember(step.observation)
        applies *= ~(step.terminated | step.truncated)  # what follows is another episode
        pairs = np.concatenate((before, self._frames), axis=-1)
        style, guide = applies * self._judge.like(pairs), -applies * self._astray(asked)
        self.pairs.append(pairs)
        self.applies.append(applies)
        counted = float(applies.sum())
        paid = self._config.weight * style + self._config.guide * guide
        terms = {"style": self._config.weight * float(style.mean())}
        terms |= {"guide": self._config.guide * float(guide.mean())}
        if counted:
            terms["likeness"] = float(style.sum()) / counted
        return replace(step, reward=step.reward + np.float32(self._period) * paid, terms=step.terms | terms)

    def nearness(self, pace: Array) -> Float32:
        """How much style counts at a pace (N, 3), from 0 to 1, (N,)."""
        near = [nearness(pace, speed) for speed in self._speeds]
        return np.max(near, axis=0).astype(np.float32)

    def _astray(self, pace: Array) -> Float32:
        """How far the joints are from where the nearest example has them at this moment of a step, (N,) [rad^2]."""
        signal = self._frames[:, -SIGNAL_SIZE:]
        shown = np.stack([example.joints(signal) for example in self._examples])
        nearest = np.abs(pace[:, :1] - self._speeds).argmin(axis=-1)
        off = self._frames[:, : shown.shape[-1]] - shown[nearest, np.arange(self.count)]
        return np.minimum(np.square(off) @ self._counts, _ASTRAY)

    def take(self) -> tuple[Float32, Float32]:
        """What was done since the last time, (B, 2F), and how much style counted, (B,); then it is forgotten."""
        taken = np.concatenate(self.pairs), np.concatenate(self.applies)
        self.pairs, self.applies = [], []
        return taken

    def state_dict(self) -> dict[str, NDArray[Any]]:
        """The task's, and what was last seen of the bodies."""
        return self.locomotion.state_dict() | {_FRAMES: self._frames.copy()}

    def load_state_dict(self, state: dict[str, NDArray[Any]]) -> Observation:
        """Go on from a `state_dict` of an environment of the same size."""
        if _FRAMES not in state:
            raise JackError("It is of a phase without style; start this phase anew.")
        seen = self._remember(self.locomotion.load_state_dict(state))
        self._frames = np.array(state[_FRAMES])
        return seen

    @property
    def random(self) -> np.random.Generator:
        """The task's."""
        return self.locomotion.random

    @property
    def limit(self) -> int:
        """Length of an episode [control periods]."""
        return self.locomotion.limit

    @property
    def level(self) -> float:
        """How much is asked of him by now, up to 1."""
        return self.locomotion.level

    @property
    def broken(self) -> int:
        """How often a robot began anew because its physics, action or reward was no number."""
        return self.locomotion.broken

    @broken.setter
    def broken(self, count: int) -> None:
        self.locomotion.broken = count

    def _remember(self, seen: Observation) -> Observation:
        self._frames = frames(self.locomotion.world, seen.proprioception[:, -1, self._gait])
        assert seen.command is not None  # locomotion always tells
        self._asked = seen.command.astype(np.float64)
        # By the reflex and not by how he moves: else he would learn to tip over all the time.
        self._calm = 1.0 - self.locomotion.contract.gait.hurry(self.locomotion.stumbling)
        return seen


class AMP:
    """A `Learner`: PPO in an environment that pays for style, and the judge of it.

    Attributes:
        ppo: who learns the task and the style.
        judge: who learns to tell him from the clips.
    """

    def __init__(
        self,
        brain: Brain,
        environment: Locomotion,
        motions: Sequence[MotionClip],
        config: AmpConfig,
        ppo: PPOConfig,
        seed: int,
        threads: int = 0,
    ) -> None:
        """Start all episodes.

        Args:
            brain: that learns; it should know how to walk.
            environment: that it walks in; if its task has no beat of its own, it gets the clips'.
            motions: clips of walking, one and more.
            config: of the style.
            ppo: of the task.
            seed: decides all chance of learner and judge.
            threads: as in `PPO`.

        Raises:
            JackError: no clip, one in which nobody walks, or one with a beat that he cannot walk at.
        """
        if not motions:
            raise JackError("Style is learnt from clips, and none was given: add --clips FILE.")
        self._locomotion, self.config = environment, config
        self.examples = [Example.of(motion, environment.contract) for motion in motions]
        speeds = [example.speed for example in self.examples]
        around = _AROUND[0] * min(speeds), _AROUND[1] * max(speeds)
        beat = environment.config.beat or beat_of(self.examples, motions)
        environment.config = replace(environment.config, beat=beat, straight_speed=around)
        anchor = None
        if config.habit:
            anchor = Anchor(brain)
            rules = _upper_body(environment.contract.robot)
            brain.habit.learn(*habit_of(self.examples, environment.contract), rules)
        self.judge = Judge(np.concatenate([example.pairs for example in self.examples]), config.judge, seed)
        self._styled = Styled(environment, self.examples, self.judge, config)
        self.ppo = PPO(brain, self._styled, ppo, seed, threads, anchor)
        self.average, self.brain = self.ppo.average, brain

    def iterate(self) -> Mapping[str, float]:
        """One rollout, one update of the brain, a few of the judge."""
        self._locomotion.glide = min(1.0, self.progress / self.config.glide) if self.config.glide else 1.0
        self.brain.habit.share.fill_(self._locomotion.glide)
        told = self.ppo.iterate()
        judged = self.judge.learn(*self._styled.take())
        return {**told, **{f"style_{name}": value for name, value in judged.items()}}

    def tensors(self) -> dict[str, Tensor]:
        """All tensors that it needs to go on, by part and name."""
        return self.ppo.tensors() | {f"judge.{name}": tensor for name, tensor in self.judge.tensors().items()}

    def numbers(self) -> LearnerNumbers:
        """All it needs besides."""
        return self.ppo.numbers()

    def restore(self, tensors: Mapping[str, Tensor], numbers: LearnerNumbers) -> None:
        """Go on from what `tensors` and `numbers` gave.

        Raises:
            JackError: another size of brain or judge, or another number of environments.
        """
        self.judge.restore(storage.part(tensors, "judge"))
        self.ppo.restore(tensors, numbers)

    def close(self) -> None:
        """Nothing goes on beside it."""

    @property
    def beat(self) -> Beat | None:
        """That he walks at now."""
        return self._locomotion.beat

    @property
    def progress(self) -> float:
        """How much of the training is over, 0 to 1."""
        return self.ppo.progress

    @progress.setter
    def progress(self, share: float) -> None:
        self.ppo.progress = share

    @property
    def episodes(self) -> EpisodeLog:
        """The episodes and reward terms of late."""
        return self.ppo.episodes

    @property
    def samples(self) -> int:
        """Environment steps of one `iterate`."""
        return self.ppo.samples

    @property
    def ready(self) -> bool:
        """Whether an exam is worth its time; not before he walks at his own beat."""
        return self._locomotion.glide == 1.0 and self.ppo.ready

    @property
    def broken(self) -> int:
        """How often so far a robot began anew because its physics, action or reward was no number."""
        return self.ppo.broken


def _upper_body(robot: RobotSpec) -> Float64:
    """1 for each joint that is none of the legs', which keep him on his feet, else 0, (n,): left to a habit."""
    upper = np.ones(robot.count)
    upper[leg_joints(robot)] = 0.0
    return upper


def habit_of(examples: Sequence[Example], contract: Contract) -> tuple[Array, float]:
    """What some clips add to a policy's action, beyond the contract's gait.

    Returns:
        In units of action, through a cycle in equal steps, mean of the clips, (P, n); at their mean speed [m/s].
    """
    speed = float(np.mean([example.speed for example in examples]))
    joints = np.mean([example.cycle for example in examples], axis=0)
    phase = np.arange(len(joints)) / len(joints)
    ahead = np.tile([speed, 0.0, 0.0], (len(phase), 1))
    gait = contract.gait.offsets(contract.robot, Rhythm(phase, ahead))
    return contract.action.action(contract.robot, joints - gait), speed


def beat_of(examples: Sequence[Example], motions: Sequence[MotionClip]) -> Beat:
    """Mean of some clips.

    Raises:
        JackError: he cannot walk at it; says how to get another one.
    """
    low, high = _BEATS
    for example, motion in zip(examples, motions, strict=True):
        if not low <= example.period <= high:
            speed = motion.info.speed * example.period / 0.9
            raise JackError(
                f"In '{motion.info.name}' two steps take {example.period:.2f} s; allowed: {low} to {high} s. "
                f"Change its pace: ./jack mocap retarget --speed {speed:.2f} {motion.info.source}"
            )
    period, speed = np.mean([(example.period, example.speed) for example in examples], axis=0).tolist()
    return Beat(period, speed)
