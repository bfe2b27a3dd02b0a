"""Learning that broke down: what led to it, kept, and lived through once more.

    python -m jack_trainer.breakdown FOLDER

Training is decided by its seed: the same samples on the same weights give the same loss that is no number, wherever
somebody wants to look into it.
"""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Mapping
from dataclasses import fields, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, ValidationError
from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor

from jack_brain.network.brain import Brain
from jack_brain.network.presets import BrainSize
from jack_contract.arrays import Float32
from jack_contract.contract import Contract
from jack_contract.errors import JackError
from jack_trainer import __version__
from jack_trainer.files import replace_file
from jack_trainer.learner import LearningError
from jack_trainer.rl.ppo import PPO, BreakdownError, PPOConfig
from jack_trainer.rl.rollout import Samples
from jack_trainer.tasks.environment import Observation, Transition

TENSORS, STORY = "tensors.safetensors", "story.json"


class Story(BaseModel):
    """What is kept besides tensors."""

    model_config = ConfigDict(extra="forbid", ser_json_inf_nan="strings")

    #: 1 for this layout
    version: Literal[1] = 1
    #: of Jack
    code: str = __version__
    phase: str
    seed: int
    #: environment steps and updates before the one that broke down
    step: int
    update: int
    size: BrainSize
    ppo: PPOConfig
    contract: dict[str, Any]
    #: what was measured, see `ppo.py`
    measured: dict[str, float]


def keep(folder: Path, error: BreakdownError, **facts: str | int) -> Path:
    """Write what led to a breakdown.

    Args:
        folder: where to; it is made.
        error: that was raised; its learner did nothing since.
        facts: the phase, seed, step and update for the `Story`.

    Returns:
        The folder.

    Raises:
        OSError: the disk does not take it.
    """
    brain = error.brain
    samples = {name: tensor for name, tensor in vars(error.samples).items() if tensor is not None}
    tensors = {f"samples.{name}": tensor for name, tensor in samples.items()}
    tensors |= {f"brain.{name}": tensor for name, tensor in brain.state_dict().items()}
    tensors["old_log_std"] = error.old_log_std
    story = Story.model_validate(
        facts
        | {"size": brain.size, "ppo": error.config, "measured": error.measured}
        | {"contract": brain.contract.to_dict()}
    )
    folder.mkdir(parents=True, exist_ok=True)
    replace_file(folder / TENSORS, save({name: tensor.contiguous() for name, tensor in tensors.items()}))
    replace_file(folder / STORY, story.model_dump_json(indent=1).encode())
    return folder


def keep_in(run: Path, error: LearningError, **facts: str | int) -> str:
    """Keep what led to a breakdown in the folder of a run, where that can be lived through again.

    Args:
        run: the folder.
        error: that was raised.
        facts: as for `keep`.

    Returns:
        What to do, in words.
    """
    go_on = "Go on from it with ./jack train --resume."
    if not isinstance(error, BreakdownError):
        return go_on
    folder = run / f"breakdown-{facts['step']:012d}"
    try:
        keep(folder, error, **facts)
    except OSError as full:
        return f"{go_on} What led to it could not be kept ({full.strerror})."
    return f"{go_on} What led to it is kept, and shown by python -m jack_trainer.breakdown {folder}"


def read(folder: Path) -> tuple[Story, dict[str, Tensor]]:
    """What `keep` has written.

    Raises:
        JackError: nothing like that is there.
    """
    try:
        return Story.model_validate_json((folder / STORY).read_bytes()), load((folder / TENSORS).read_bytes())
    except (OSError, ValidationError, SafetensorError) as error:
        raise JackError(f"{folder} holds no breakdown: {error}") from error


def live_again(folder: Path) -> dict[str, float]:
    """Take the step that broke down once more.

    Returns:
        What is measured of it now, by name.

    Raises:
        JackError: the folder holds no breakdown, or not of this version's brain.
    """
    story, tensors = read(folder)
    brain = Brain(Contract.from_json(json.dumps(story.contract)), story.size)
    try:
        brain.load_state_dict({name[6:]: value for name, value in tensors.items() if name.startswith("brain.")})
    except RuntimeError as error:  # torch's own message has a line for every tensor
        raise JackError(f"{folder} holds a brain of another version; it is of Jack {story.code}.") from error
    samples = Samples(**{field.name: tensors.get(f"samples.{field.name}") for field in fields(Samples)})  # type: ignore[arg-type]
    learner = PPO(brain, _Remembered(samples), replace(story.ppo, rollout=1), seed=0)
    try:
        return learner.descend(samples, torch.arange(len(samples.action)), tensors["old_log_std"])
    except BreakdownError as error:
        return error.measured


class _Remembered:
    """An environment that shows what was seen, and in which nothing happens any more."""

    def __init__(self, samples: Samples) -> None:
        command, truth = (None if t is None else t.numpy() for t in (samples.command, samples.truth))
        self._seen = Observation(samples.proprioception.numpy(), command, truth)
        self.count, self.broken = len(samples.action), 0
        self.limit, self.level = 0, 1.0
        self.random = np.random.default_rng(0)

    def reset(self) -> Observation:
        """All of it, side by side."""
        return self._seen

    def step(self, action: Float32) -> Transition:
        """Nobody acts here."""
        raise JackError("What was can be looked at, not changed.")

    def state_dict(self) -> dict[str, NDArray[Any]]:
        """Nothing."""
        return {}

    def load_state_dict(self, state: dict[str, NDArray[Any]]) -> Observation:
        """Nothing changes."""
        return self._seen


def told(then: Mapping[str, float], now: Mapping[str, float]) -> str:
    """Both measurements, a line each."""
    return "\n".join(f"{name:<15} {value:>12.6g} {now.get(name, math.nan):>12.6g}" for name, value in then.items())


def main(arguments: list[str]) -> int:
    """Show what was measured then and now; returns 0 if it breaks down again."""
    if len(arguments) != 1:
        print("Usage: python -m jack_trainer.breakdown FOLDER", file=sys.stderr)
        return 2
    try:
        folder = Path(arguments[0])
        story, now = read(folder)[0], live_again(folder)
    except JackError as error:
        print(f"breakdown: {error}", file=sys.stderr)
        return 1
    print(f"{story.phase}, seed {story.seed}, update {story.update + 1}, after {story.step:,} steps")
    print(f"{'':<15} {'then':>12} {'now':>12}\n{told(story.measured, now)}")
    again = not all(map(math.isfinite, now.values()))
    print("It breaks down again." if again else "It does not break down any more.")
    return 0 if again else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
