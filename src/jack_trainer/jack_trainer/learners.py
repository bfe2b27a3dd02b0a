"""Makes the learner that a phase is learnt with, and knows what only some learners have."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from jack_brain.network.brain import Brain
from jack_brain.policy import Policy
from jack_contract.gait import Beat
from jack_sim.batch import BatchWorld
from jack_sim.randomization import Randomization
from jack_sim.scene import TRAINING, load_model
from jack_trainer.exam import policy_named
from jack_trainer.imitation.cloning import Cloning
from jack_trainer.imitation.dataset import Reading, read_demonstrations
from jack_trainer.imitation.rehearsal import rehearsal
from jack_trainer.imitation.seeing import Seeing, SeeingConfig
from jack_trainer.learner import Learner
from jack_trainer.phases import Phase
from jack_trainer.policy_actor import PolicyActor
from jack_trainer.rl.amp import AMP
from jack_trainer.rl.ppo import PPO
from jack_trainer.sources import Sources
from jack_trainer.tasks.lessons import LocomotionConfig
from jack_trainer.tasks.locomotion import Locomotion
from jack_trainer.training import TrainOptions


@dataclass(frozen=True)
class Start:
    """Who is taught, and with what."""

    #: it has its weights already
    brain: Brain
    #: that it walks at; None: the contract's
    beat: Beat | None
    #: what it learns from besides
    sources: Sources
    #: for what is too much for a checkpoint
    folder: Path


def make_learner(taught: Phase, start: Start, options: TrainOptions) -> Learner:
    """What teaches a brain a phase.

    Args:
        taught: the phase.
        start: the brain, and what it learns from.
        options: of the training: environments, randomization, seed.

    Raises:
        JackError: an unknown randomization, or sources that are not fit.
    """
    brain, beat = start.brain, start.beat
    if taught.style is not None:  # the clips give the beat
        place = _locomotion(taught, brain, options, taught.task.beat)
        return AMP(brain, place, start.sources.motions, taught.style, taught.ppo, options.seed)
    if taught.seeing is not None:
        return _seeing(taught, taught.seeing, start, options)
    if taught.cloning is None:
        return PPO(brain, _locomotion(taught, brain, options, beat), taught.ppo, options.seed)
    how = Reading(beat=beat, stumble_steps=taught.task.alarm > 0)
    shown = read_demonstrations(list(start.sources.bags.values()), brain.contract, how)
    if options.teacher is None:
        return Cloning(brain, shown, taught.cloning, options.seed)
    place = _locomotion(_in_full(taught), brain, options, beat)
    corrects = PolicyActor(_policy(options.teacher, options, brain))
    return Cloning(brain, shown, taught.cloning, options.seed, place, corrects, start.folder)


def _seeing(taught: Phase, config: SeeingConfig, start: Start, options: TrainOptions) -> Seeing:
    brain, sources, beat = start.brain, start.sources, start.beat
    file = start.folder / "walked.npy"
    walking = rehearsal(brain, lambda: _locomotion(_in_full(taught), brain, options, beat), file)
    config = replace(config, batch=options.batch or config.batch)
    return Seeing(brain, sources.shown, config, options.seed, sources.kept, walking, device=options.device)


def _policy(teacher: Path, options: TrainOptions, brain: Brain) -> Path:
    """The file of a teacher's policy; a JackError if there is none, or it is not for this robot."""
    file = policy_named(teacher, options.runs)
    Policy.load(file, brain.contract)
    return file


def beat_of(learner: Learner, start: Start) -> Beat | None:
    """The beat that what a learner has taught is to walk at; None: the contract's."""
    return learner.beat if isinstance(learner, AMP) else start.beat


def has_learnt_all(learner: Learner) -> bool:
    """Whether there is no more to be learnt, so that a training may end before its steps are used up."""
    return isinstance(learner, Cloning) and learner.over


def _locomotion(taught: Phase, brain: Brain, options: TrainOptions, beat: Beat | None) -> Locomotion:
    world = BatchWorld(load_model(TRAINING), brain.contract.robot, options.environments or taught.environments)
    task = replace(_task(taught, options), beat=beat)
    return Locomotion(world, brain.contract, task, options.seed)


def _in_full(taught: Phase) -> Phase:
    """A phase that asks for all of its commands and pushes from the first step on."""
    return replace(taught, task=replace(taught.task, curriculum=1.0))


def _task(taught: Phase, options: TrainOptions) -> LocomotionConfig:
    """The phase's task in the bodies that the options ask for, as far as it takes them; its pushes stay."""
    own = taught.task.randomization
    bodies = Randomization.named(options.randomization).narrowed(taught.task.bodies)
    bodies = replace(bodies, push_speed=own.push_speed, push_interval=own.push_interval)
    return replace(taught.task, randomization=bodies)
