"""What happens to him who learns to stand and walk, and what he is examined on."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from jack_contract.arrays import Array
from jack_contract.gait import Beat
from jack_sim.randomization import OFF, ON, Randomization
from jack_trainer.tasks.instructions import Skill
from jack_trainer.tasks.rewards import RewardWeights


@dataclass(frozen=True)
class LocomotionConfig:
    """What happens to him, and what counts."""

    #: length of an episode [s]
    episode: float = 20.0
    #: least and greatest forward and leftward speed [m/s] and yaw rate [rad/s] that he is asked for
    command: tuple[tuple[float, float], ...] = ((0.0, 0.0), (0.0, 0.0), (0.0, 0.0))
    #: share of the commands that only ask for some way straight ahead
    straight: float = 0.0
    #: how fast then, least and greatest [m/s]; None: up to the greatest forward speed
    straight_speed: tuple[float, float] | None = None
    #: share of the commands that are zero
    still: float = 0.1
    #: share of the episodes in which all of them are
    standing: float = 0.0
    #: for up to this long after a push he takes a step when he stumbles, also when told to stand [s]; 0: never; as
    #: long as an episode: always. Who explores stumbles all the time: where that always made him step, he would
    #: never learn to stand quietly
    alarm: float = 0.0
    #: share of the pushes that felled him last and come again, see `Pushes`
    again: float = 0.0
    #: share of the episodes in which somebody else has his arms, see `BusyArms`
    busy: float = 0.0
    #: time between two commands [s]
    command_interval: float = 4.0
    #: bodies, sensors, latencies and pushes that he has to cope with
    randomization: Randomization = Randomization()
    #: how far bodies and sensors may be from the model, as a share of the table that a training asks for
    bodies: float = 1.0
    #: that he walks at; None: the contract's
    beat: Beat | None = None
    #: episodes start up to this far from the default pose, each joint [rad]
    start_joint_noise: float = 0.1
    #: episodes start with up to this pelvis velocity, each axis [m/s]
    start_velocity: float = 0.3
    #: a pelvis lower than this over the lower foot has fallen [m]
    fall_height: float = 0.42
    #: a body tilted further than this has fallen [rad]
    fall_tilt: float = 0.8
    #: a sole lower than this touches the ground [m]
    contact_height: float = 0.02
    #: the ground is inclined by up to this, in any direction [rad]
    incline: float = 0.0
    #: the first episodes start at random ages, so that they do not end together
    staggered: bool = True
    #: how high a foot is lifted in the middle of a step [m]
    clearance: float = 0.09
    #: commands, pushes and randomised bodies grow from this share to the whole as he follows; 1: the whole at once
    curriculum: float = 1.0
    weights: RewardWeights = RewardWeights()


#: Soles reach 12 cm to each side of their middle, and a push of 0.5 m/s takes his capture point 13 cm away: who
#: rests half a cm ahead of it falls over his toes, half a cm behind it over his heels, one time of three. Where his
#: weight is somewhere else than he can feel nobody rests as well as that, and such falls teach nothing.
#: Nor do pushes that nobody survives, which would come again and again.
STAND = LocomotionConfig(
    curriculum=0.3,
    again=0.5,
    bodies=0.1,
    randomization=replace(ON, push_speed=(0.3, 0.52)),
    weights=RewardWeights(rest=4.0),
)
_EXAM_PUSHES = {"push_interval": (4.0, 4.0), "push_speed": (0.5, 0.5)}
#: What he is examined on: a push of 0.5 m/s every 4 s, from a quiet start.
EXAM = LocomotionConfig(
    randomization=replace(OFF, **_EXAM_PUSHES), start_velocity=0.2, fall_tilt=1.0, staggered=False
)

_VELOCITIES = ((-0.3, 1.0), (-0.3, 0.3), (-0.8, 0.8))
WALK = LocomotionConfig(
    command=_VELOCITIES, still=0.15, standing=0.15, alarm=0.8, busy=0.25, incline=0.2, curriculum=0.3
)
#: To walk like somebody, at his beat, for who walks already; how it is to look, a judge of style says, and how high
#: feet are lifted and joints are held counts the less for it. He sees the arms, which are therefore nobody else's.
#: Who is told something else every 4 s never learns what adds up over a long way ahead.
NATURAL = replace(
    WALK,
    command_interval=8.0,
    straight=0.5,
    curriculum=0.5,
    busy=0.0,
    weights=RewardWeights(clearance=1.0, pose=-0.1),
)
WALK_EXAM = replace(EXAM, command=_VELOCITIES, alarm=EXAM.episode, randomization=replace(ON, **_EXAM_PUSHES))
#: Half of what he is told is to walk straight ahead as fast as the clip does, see `at_beat`: one passed the exam of
#: walking, where that is hardly ever asked, and fell whenever he walked so for ten seconds.
NATURAL_EXAM = replace(WALK_EXAM, straight=0.5)


def at_beat(exam: LocomotionConfig, beat: Beat | None) -> LocomotionConfig:
    """An exam for who walks at a beat; None: the contract's. Straight ahead is then as fast as the beat's speed."""
    pace = (beat.speed, beat.speed) if beat and exam.straight else exam.straight_speed
    return replace(exam, beat=beat, straight_speed=pace)


@dataclass(frozen=True)
class TableExam:
    """What he who follows sentences is examined on: tables and phrasings that no training sees."""

    #: of each skill
    trials: int = 25
    skills: tuple[Skill, ...] = tuple(Skill)


def random_command(random: np.random.Generator) -> Array:
    """As in the exam of walking: vx, vy [m/s], yaw rate [rad/s], (3,)."""
    low, high = np.array(WALK_EXAM.command).T
    return np.zeros(3) if random.uniform() < WALK_EXAM.still else random.uniform(low, high)
