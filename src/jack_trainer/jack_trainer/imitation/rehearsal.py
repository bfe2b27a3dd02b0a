"""What he felt and was asked while he walked, written down to be rehearsed while he learns something else."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np

from jack_brain.network.brain import Brain
from jack_contract.errors import JackError
from jack_trainer.imitation.samples import Rows, Samples, layout, map_rows, save_rows
from jack_trainer.rl.acting import actor
from jack_trainer.tasks.locomotion import Locomotion

#: Control periods that each robot of the environment walks for.
PERIODS = 300


def rehearsal(brain: Brain, place: Callable[[], Locomotion], path: Path, periods: int = PERIODS) -> Samples:
    """What a brain feels where it walks; from the file, if it was written down before.

    Args:
        brain: that can walk, and does.
        place: makes where it does.
        path: of the file.
        periods: control periods.

    Raises:
        JackError: the file is gone, and the brain cannot walk yet; or the disk does not take it.
    """
    history = brain.contract.observation.history
    if (rows := map_rows(path, layout(brain.contract))) is not None:
        return Samples([rows], history)
    if float(brain.normaliser.count) == 0.0:
        raise JackError(f"{path} is gone or spoilt: what he felt while he walked. Begin anew, without --resume.")
    try:
        save_rows(path, walked(brain, place(), periods))
    except OSError as error:
        raise JackError(f"{path} could not be written ({error.strerror}). Make room, or choose --runs.") from error
    rows = map_rows(path, layout(brain.contract))
    assert rows is not None
    return Samples([rows], history)


def walked(brain: Brain, environment: Locomotion, periods: int) -> Rows:
    """Rows of all robots of an environment, one robot's after the other, (N periods,)."""
    history, act = brain.contract.observation.history, actor(brain)
    rows = np.zeros((environment.count, periods), layout(brain.contract))
    observation, age = environment.reset(), np.zeros(environment.count, np.int64)
    for period in range(periods):
        now = rows[:, period]
        assert observation.command is not None
        now["frame"], now["command"] = observation.proprioception[:, -1], observation.command
        now["time"], now["back"], now["use"] = period * brain.contract.robot.control_period, age, True
        now["action"] = action = act(observation)
        step = environment.step(action)
        observation = step.observation
        age = np.where(step.terminated | step.truncated, 0, np.minimum(age + 1, history - 1))
    return rows.ravel()
