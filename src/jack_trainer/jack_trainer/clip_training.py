"""Training on a clip as a skill: the same brain and learner do as it does (`tasks/tracking.py`), and are scored.

No robot can run what comes of it without the clip, so there is no policy file: weights, a log, a score, and a film
of the clip and him side by side.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from jack_contract.contract import Contract, default_contract
from jack_sim.batch import BatchWorld
from jack_sim.errors import CameraError
from jack_sim.scene import TRAINING, load_model
from jack_trainer.display import Display, Scene
from jack_trainer.files import write_json
from jack_trainer.gymnasium_training import WEIGHTS, GymnasiumOptions, GymnasiumTraining
from jack_trainer.imitation.mocap.motion import MotionClip, load_motion
from jack_trainer.imitation.side_by_side import write_side_by_side
from jack_trainer.live_graph import INTERRUPTED, OK
from jack_trainer.phases import phase
from jack_trainer.rl.acting import actor
from jack_trainer.rl.ppo import PPOConfig
from jack_trainer.session import Interrupts
from jack_trainer.tasks.tracking import Tracking, TrackingConfig, TrackingScore, score, walk_through

#: What such a task's name begins with.
PREFIX = "clip:"
#: What is found, and filmed, in a run's folder.
SCORE, FILM = "tracking.json", "tracking.webm"
#: So many are examined, from poses that differ a little.
_EXAMINED = 32
#: Learning goes on as in walking, but without an end to be polished towards.
USUAL = GymnasiumOptions(
    env=PREFIX,
    steps=3_000_000,
    environments=256,
    learner=replace(phase("walk").ppo, last_divergence=PPOConfig.last_divergence),
)


class ClipTask(Tracking):
    """A clip to be followed, by its name."""

    @property
    def name(self) -> str:
        """The clip's."""
        return self.clip.name

    def close(self) -> None:
        """Nothing goes on beside it."""


@dataclass(frozen=True)
class Found:
    """What came of it."""

    clip: str
    clip_sha256: str
    #: environment steps
    steps: int
    score: TrackingScore


def clip_task(motion: MotionClip, contract: Contract, count: int, seed: int) -> ClipTask:
    """So many robots that do as a clip does."""
    world = BatchWorld(load_model(TRAINING), contract.robot, count)
    return ClipTask(world, contract, motion, TrackingConfig(), seed)


def train_clip(options: GymnasiumOptions) -> int:
    """Train until it is done or Ctrl-C comes, score and film; returns the exit code.

    Args:
        options: how; `env` is PREFIX and a file of `./jack mocap retarget`.

    Raises:
        JackError: no such motion, or it is not for this robot.
    """
    contract = default_contract()
    motion = load_motion(Path(options.env.removeprefix(PREFIX)), contract.robot)
    with Interrupts() as interrupts, Display() as display:
        display.show(Scene(note="loading"))
        task = clip_task(motion, contract, options.environments, options.seed)
        with GymnasiumTraining(options, task) as training:
            result = training.run(lambda: interrupts.came, lambda point: display.show(training.scene(point)))
        display.show(Scene(note="scoring and filming him"))
        act, examined = actor(training.policy), clip_task(motion, contract, _EXAMINED, options.seed + 1)
        found = Found(motion.info.name, motion.info.source_sha256, result.end.step, score(act, examined))
        write_json(result.run / SCORE, found)
        courses = {"clip": examined.clip.qpos, "he": walk_through(act, examined)[0]}
        try:
            write_side_by_side(result.run / FILM, courses, contract.robot.control_period)
        except CameraError as error:
            display.say(f"There is no film. {error}", "yellow")
        _tell(display, result.run, found)
    return INTERRUPTED if interrupts.came else OK


def _tell(display: Display, run: Path, found: Found) -> None:
    told = found.score
    display.say(
        f"{found.steps:,} steps: {told.survival:.0%} of {_EXAMINED} were never lost, "
        f"parts {100 * told.mpjpe:.1f} cm from the clip's (MPJPE, seen from the pelvis)",
        "bold green",
    )
    display.say(f"  weights      {run / WEIGHTS}")
    display.say(f"  score        {run / SCORE}")
    if (run / FILM).is_file():
        display.say(f"  film         {run / FILM}")
