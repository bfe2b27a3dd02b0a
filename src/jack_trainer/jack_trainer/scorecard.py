"""How well a policy does what it is told, as a table: one row for each world, and for each kind of command.

Who was taught to walk is scored in standing, too: whole episodes in which he is told nothing else.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from rich import box
from rich.table import Table
from rich.text import Text

from jack_contract.arrays import Array
from jack_contract.contract import Contract
from jack_sim.batch import BatchWorld
from jack_sim.randomization import Randomization
from jack_sim.scene import TRAINING, SceneOptions, load_model
from jack_trainer.evaluate import Actor, Evaluation, Moment, Tally, live
from jack_trainer.files import replace_file
from jack_trainer.tasks.capture import GRAVITY
from jack_trainer.tasks.lessons import EXAM, WALK_EXAM, LocomotionConfig
from jack_trainer.tasks.locomotion import Locomotion
from jack_trainer.tasks.rewards import Motion

#: A table's file in the folder of a run.
FILE = "evaluation.json"
#: Never seen in training: everything touches, and physics steps of 2 ms.
_HARD = SceneOptions(collision="full", visuals=False, timestep=0.002)


@dataclass(frozen=True)
class Surroundings:
    """A world to be scored in."""

    #: for people; two of other names may be the same
    name: str = field(compare=False)
    randomization: Randomization
    scene: SceneOptions = TRAINING


#: So far on its way up a foot is in the middle of a step.
_MIDDLE = 0.9
#: Told to stand, always.
_STILL = LocomotionConfig().command
_NOMINAL, _RANDOMISED = EXAM.randomization, WALK_EXAM.randomization


def _all(value: float) -> tuple[float, float]:
    """The range of one value."""
    return value, value


#: What robots are scored in: the model as it is, what training varies, and what training never saw.
SURROUNDINGS = (
    Surroundings("nominal", _NOMINAL),
    Surroundings("randomised", _RANDOMISED),
    Surroundings("hard, friction 0.4", replace(_NOMINAL, friction=_all(0.4)), _HARD),
    Surroundings("hard, friction 1.2", replace(_NOMINAL, friction=_all(1.2)), _HARD),
    Surroundings("hard, +3 kg", replace(_NOMINAL, payload=_all(3.0)), _HARD),
    Surroundings("hard, 10 deg ramp", _NOMINAL, replace(_HARD, slope=10.0)),
)

#: Kinds of commands: of vx, vy [m/s] and yaw rate [rad/s], each (N,), whether they belong.
BUCKETS: dict[str, Callable[[Array, Array, Array], NDArray[np.bool_]]] = {
    "stand": lambda x, y, turn: (x == 0) & (y == 0) & (turn == 0),
    "back": lambda x, y, turn: x < 0,
    "slow": lambda x, y, turn: (x > 0) & (x <= 0.5),
    "fast": lambda x, y, turn: x > 0.5,
    "sideways": lambda x, y, turn: np.abs(y) > 0.15,
    "turning": lambda x, y, turn: np.abs(turn) > 0.4,
}


@dataclass(frozen=True)
class Score:
    """One row. What does not apply is NaN."""

    #: the world, or the kind of command in the nominal one
    name: str
    #: share of the episodes that ended on his feet; of a kind of command, NaN
    survival: float
    #: root mean square of the velocity's error, averaged over half a gait cycle, [m/s]
    velocity: float
    #: the same at each moment, with the sway of every step in it [m/s]
    velocity_now: float
    #: root mean square of the yaw rate's error, averaged over half a gait cycle [rad/s]
    yaw_rate: float
    #: the same at each moment [rad/s]
    yaw_rate_now: float
    #: cost of transport: power of the motors over weight times speed [1]; NaN where he stands
    transport: float
    #: mean speed of the soles that touch the ground [m/s]
    slip: float
    #: root mean square of an action's change from one control period to the next [1]
    roughness: float
    #: share of the time that he steps although he is told to stand [1]; NaN where he is not
    restless: float
    #: by how much the swinging leg's knee is bent further than the other, in the middle of a step [rad]: the gait
    #: that he corrects asks for 0.8, and who shuffles has little
    knee: float


@dataclass(frozen=True)
class Scorecard:
    """How a policy does everywhere."""

    scores: list[Score]
    #: what came of the world that its exam is held in
    exam: Evaluation


@dataclass
class _Figures:
    """Squares and such of N robots in one control period, by name, and who counts."""

    numbers: dict[str, Array]
    command: Array
    standing: NDArray[np.bool_]


def scorecard(
    actor: Actor, contract: Contract, task: LocomotionConfig, episodes: int = 100, seed: int = 1
) -> Scorecard:
    """Score a policy in every world, and by kind of command in the nominal one.

    Args:
        actor: decides.
        contract: of the policy.
        task: the exam: its commands and episodes are used everywhere; pushes and bodies come from the world.
        episodes: in each world, one in each of so many simulations.
        seed: of everything random.
    """
    rows: list[Score] = []
    evaluations: dict[Surroundings, Evaluation] = {}
    own = Surroundings("exam", task.randomization)
    walks = task.command != _STILL
    for place in SURROUNDINGS if own in SURROUNDINGS else (*SURROUNDINGS, own):
        evaluations[place], moments = _live(actor, contract, task, place, episodes, seed)
        rows.append(_score(place.name, evaluations[place].survival, moments))
        if walks and place is SURROUNDINGS[0]:
            rows += [_score(f"nominal: {name}", np.nan, moments, belongs) for name, belongs in BUCKETS.items()]
    if walks:
        for place in SURROUNDINGS[:2]:
            found, moments = _live(
                actor, contract, replace(task, command=_STILL, straight=0.0), place, episodes, seed
            )
            rows.append(_score(f"{place.name}, idle", found.survival, moments))
    return Scorecard(rows, evaluations[own])


def _live(
    actor: Actor, contract: Contract, task: LocomotionConfig, place: Surroundings, episodes: int, seed: int
) -> tuple[Evaluation, list[_Figures]]:
    """Live through a task in a world: what came of it, and every moment."""
    world = BatchWorld(load_model(place.scene), contract.robot, episodes)
    environment = Locomotion(world, contract, replace(task, randomization=place.randomization), seed)
    tally, moments = Tally(environment), []
    for moment in live(actor, environment):
        tally.add(moment)
        moments.append(_figures(moment))
    return tally.evaluation, moments


def _figures(moment: Moment) -> _Figures:
    environment, command = moment.environment, moment.command
    world, motion, settled = environment.world, environment.motion, environment.settled
    off = np.concatenate((world.truth().velocity[:, :2], motion.angular_velocity[:, 2:]), axis=-1) - command
    speed = np.hypot(command[:, 0], command[:, 1])
    power = np.abs(motion.torque * motion.joint_velocity).sum(-1)
    weight = GRAVITY * float(world.batch.model.body_mass.sum())
    numbers = {
        "velocity": _only(settled, (motion.drift[:, :2] ** 2).sum(-1)),
        "velocity_now": _only(settled, (off[:, :2] ** 2).sum(-1)),
        "yaw_rate": _only(settled, motion.drift[:, 2] ** 2),
        "yaw_rate_now": _only(settled, off[:, 2] ** 2),
        "transport": _only(speed > 0.1, power / (weight * np.maximum(speed, 0.1))),
        "slip": _only(motion.contact.any(-1), (motion.contact * motion.foot_speed).max(-1)),
        "roughness": ((motion.action - motion.previous_action) ** 2).mean(-1),
        "restless": _only(motion.idle & ~command.any(-1), motion.stepping.astype(float)),
        "knee": _bend(motion, motion.foot_target / environment.config.clearance),
    }
    return _Figures(numbers, command, moment.standing)


def _bend(motion: Motion, lift: Array) -> Array:
    """By how much a swinging leg's knee is bent further than the other (N,) [rad]; NaN but in mid-step."""
    left, right = (motion.joint_position[:, motion.robot.index(f"{side}_knee")] for side in ("left", "right"))
    return np.where(lift[:, 0] > _MIDDLE, left - right, _only(lift[:, 1] > _MIDDLE, right - left))


def _only(where: NDArray[np.bool_] | np.bool_, values: Array) -> Array:
    return np.where(where, values, np.nan)


#: Figures that are roots of a mean of squares.
_ROOTS = frozenset({"velocity", "velocity_now", "yaw_rate", "yaw_rate_now", "roughness"})


def _score(
    name: str,
    survival: float,
    moments: list[_Figures],
    belongs: Callable[[Array, Array, Array], NDArray[np.bool_]] = lambda x, y, turn: np.isfinite(x),
) -> Score:
    counts = np.stack([m.standing & belongs(*m.command.T) for m in moments])
    means = {}
    for key in moments[0].numbers:
        values = np.stack([m.numbers[key] for m in moments])[counts]
        values = values[np.isfinite(values)]
        mean = float(values.mean()) if len(values) else np.nan
        means[key] = float(np.sqrt(mean)) if key in _ROOTS else mean
    return Score(name, survival, **means)


#: What stands over each column, and what does where it has to be narrow.
_HEADS = {
    "world": "world",
    "survived": "stood",
    "velocity [m/s]": "speed\n[m/s]",
    "velocity at each moment": "now",
    "yaw rate [rad/s]": "turn\n[rad/s]",
    "yaw rate at each moment": "now",
    "cost of transport": "cost",
    "slip [m/s]": "slip\n[m/s]",
    "roughness": "rough",
    "steps although told to stand": "steps",
    "knee [rad]": "knee\n[rad]",
}
NOTES = (
    "Velocity and yaw rate: root mean square error, averaged over half a gait cycle, from one cycle after a new "
    "command on; at each moment they have the sway of every step in them.",
    "Every world pushes by 0.5 m/s each 4 s. 'hard': physics steps of 2 ms and the full collision set, never seen "
    "in training.",
)


def cells(score: Score) -> list[str]:
    """A row as text."""
    numbers = list(asdict(score).values())[1:]
    texts = ["-" if np.isnan(number) else f"{number:.{3 if number < 10 else 1}f}" for number in numbers]
    texts[0] = "-" if np.isnan(score.survival) else f"{score.survival:.0%}"
    return [score.name, *texts]


def table(scores: list[Score]) -> Table:
    """The scores for a terminal, 80 columns wide at most."""
    words = (
        "Stood: survived. Speed, turn: errors of velocity and yaw rate. Cost: of transport. "
        "Steps: share of the time although told to stand. Knee: how much further the swinging one is bent."
    )
    caption = Text("\n".join((words, *NOTES)))
    shown = Table(box=box.SIMPLE_HEAD, padding=0, show_edge=False, caption=caption, caption_justify="left")
    for head in _HEADS.values():  # as Text: units are no markup
        shown.add_column(Text(head), justify="left" if head == "world" else "right", no_wrap=True)
    for score in scores:
        shown.add_row(*cells(score))
    return shown


def folder_of(policy: Path) -> Path:
    """Where the scores of a policy file belong: its run's folder, or the folder it lies in."""
    run = policy.absolute().parent.parent.parent
    return run if (run / "checkpoints").is_dir() else policy.absolute().parent


def save(scores: list[Score], folder: Path, *notes: str) -> Path:
    """Write the scores, and what else is to be said, beside the run they are about; returns the file."""
    data = {"columns": list(_HEADS), "rows": [cells(score) for score in scores], "notes": [*NOTES, *notes]}
    replace_file(folder / FILE, json.dumps(data, indent=1).encode())
    return folder / FILE
