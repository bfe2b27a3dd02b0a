"""Checkpoints: all that a training needs to go on as if nothing had happened, or nothing at all.

A checkpoint is a folder `<step>/`: tensors (safetensors), numbers (JSON), the policy file, and a manifest with the
SHA-256 of each, written last. It is made aside, forced to disk and renamed, so that a folder of that name
is whole, or was damaged from outside, and damage is seen.

The policy file of a checkpoint that is not published has another name, so that nobody takes it for one that is; to
publish it is to rename it.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from pydantic import BaseModel, ConfigDict, TypeAdapter, ValidationError
from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor, nn

from jack_contract.errors import JackError
from jack_trainer.files import sync, write_through
from jack_trainer.training import PolicyFile

POLICY, TENSORS, NUMBERS, MANIFEST = "policy.onnx", "tensors.safetensors", "numbers.json", "manifest.json"
#: The policy file of a checkpoint that is not published.
HELD = "held.onnx"
#: Beside a run's checkpoints: those that came after the one which was taken.
WORSE = "worse"

#: A larger file is refused before it is read [bytes].
MAX_FILE_BYTES = 8 << 30

_DIGESTS = TypeAdapter(dict[str, str])


class CheckpointError(JackError):
    """A checkpoint that is not there, not whole, or not of this kind."""


class LearnerNumbers(BaseModel):
    """What a learner keeps besides its tensors. Who has no such thing leaves it as it is."""

    #: a bare NaN is no JSON; as null, which is pydantic's default, it could not be read again
    model_config = ConfigDict(extra="forbid", ser_json_inf_nan="strings")

    #: the step size of the optimiser
    rate: float
    #: state of the environment's or the data's random numbers (numpy's PCG64)
    random: dict[str, str | int | dict[str, int]]
    #: returns and lengths of the last episodes
    episode_returns: list[float] = []
    episode_lengths: list[int] = []
    #: running means of the reward terms
    terms: dict[str, float] = {}
    #: see `Progress.broken`
    broken: int = 0


class Numbers(LearnerNumbers):
    """What a checkpoint says besides its tensors."""

    #: 1 for this layout
    version: int = 1
    phase: str
    contract_digest: str
    #: environment steps
    step: int
    #: updates
    update: int
    #: seconds of training so far
    seconds: float


@dataclass(frozen=True)
class Checkpoint:
    """A whole checkpoint, read and verified."""

    path: Path
    numbers: Numbers
    #: by name, the part and a dot before it, as "brain."; see `Learner.tensors`
    tensors: dict[str, Tensor]

    def part(self, name: str) -> dict[str, Tensor]:
        """The tensors of one part, without its prefix."""
        return part(self.tensors, name)

    @property
    def policy(self) -> Path:
        """Its policy file, published or not."""
        return policy_of(self.path)

    @property
    def digest(self) -> str:
        """SHA-256 of its manifest, hexadecimal, and so of all that it holds."""
        return hashlib.sha256((self.path / MANIFEST).read_bytes()).hexdigest()


def part(tensors: Mapping[str, Tensor], name: str) -> dict[str, Tensor]:
    """The tensors of one part, without its prefix."""
    prefix = f"{name}."
    return {key.removeprefix(prefix): value for key, value in tensors.items() if key.startswith(prefix)}


def joined(parts: Mapping[str, Mapping[str, Tensor]]) -> dict[str, Tensor]:
    """The inverse of `part`, for all parts."""
    return {f"{name}.{key}": tensor for name, tensors in parts.items() for key, tensor in tensors.items()}


def load_brains(tensors: Mapping[str, Tensor], **brains: nn.Module) -> None:
    """Give brains the weights of the parts of their names.

    Raises:
        JackError: they are of another size.
    """
    try:
        for name, brain in brains.items():
            brain.load_state_dict(part(tensors, name))
    except RuntimeError as error:  # torch's own message has a line for every tensor
        raise JackError("It holds a brain of another size; add --brain to match.") from error


def write_checkpoint(
    folder: Path, numbers: Numbers, tensors: Mapping[str, Tensor], policy: bytes, *, held: bool = False
) -> Path:
    """Write a checkpoint into `folder` under its step, published or `held` back; returns its path.

    One of that step that is whole stays as it is: folders cannot be replaced without a moment in which neither is
    there, and a training that ends right after a checkpoint writes the same again.

    Raises:
        CheckpointError: the disk does not take it; earlier checkpoints are untouched.
    """
    final = folder / f"{numbers.step:012d}"
    aside = folder / f".{final.name}.{os.getpid()}"
    if _is_whole(final):
        return final
    files = {
        POLICY: policy,
        TENSORS: save({name: tensor.contiguous() for name, tensor in tensors.items()}),
        NUMBERS: numbers.model_dump_json(indent=1).encode(),
    }
    digests = {name: hashlib.sha256(data).hexdigest() for name, data in files.items()}
    files[MANIFEST] = json.dumps(digests, indent=1).encode()
    try:
        shutil.rmtree(
            aside, ignore_errors=True
        )  # of a process that was killed and had our number: so in containers
        aside.mkdir(parents=True)
        for name, data in files.items():
            write_through(aside / (HELD if held and name == POLICY else name), data)
        shutil.rmtree(final, ignore_errors=True)
        aside.rename(final)
        sync(folder)
    except OSError as error:
        shutil.rmtree(aside, ignore_errors=True)
        raise CheckpointError(
            f"The checkpoint {final} could not be written ({error.strerror}); the one before it is untouched. "
            f"Make room, then go on with ./jack train --resume."
        ) from error
    return final


def read_checkpoint(path: Path) -> Checkpoint:
    """Read and verify one checkpoint.

    Raises:
        CheckpointError: not a whole checkpoint; says which file is wrong and how.
    """
    try:
        digests = _DIGESTS.validate_json(_bounded(path / MANIFEST))
        places = {POLICY: policy_of(path), TENSORS: path / TENSORS, NUMBERS: path / NUMBERS}
        files = {name: _bounded(place) for name, place in places.items()}
        for name, data in files.items():
            if hashlib.sha256(data).hexdigest() != digests.get(name):
                raise CheckpointError(f"{places[name]} is not what was written: its SHA-256 differs.")
        return Checkpoint(path, Numbers.model_validate_json(files[NUMBERS]), load(files[TENSORS]))
    except (OSError, ValidationError, SafetensorError) as error:
        raise CheckpointError(f"{path} is no whole checkpoint: {error}.") from error


def _is_whole(path: Path) -> bool:
    try:
        return bool(read_checkpoint(path))
    except CheckpointError:
        return False


def policy_of(path: Path) -> Path:
    """The policy file of a checkpoint, published or not."""
    held = path / HELD
    return held if held.is_file() else path / POLICY


def publish(path: Path) -> None:
    """Give the policy file of a checkpoint the name that published ones have, if it has not.

    Raises:
        CheckpointError: the disk does not take it.
    """
    try:
        if (path / HELD).is_file():
            (path / HELD).rename(path / POLICY)
            sync(path)
    except OSError as error:
        raise CheckpointError(f"{path} could not be published ({error.strerror}).") from error


def set_aside(folder: Path, step: int) -> None:
    """Move all checkpoints after a step out of a run's way, into a folder `worse` beside its others.

    Raises:
        CheckpointError: the disk does not take it.
    """
    place = folder.with_name(WORSE)
    try:
        place.mkdir(exist_ok=True)
        for path in checkpoints(folder):
            if int(path.name) > step:
                shutil.rmtree(place / path.name, ignore_errors=True)  # of the same run, which went on from there
                path.rename(place / path.name)
        sync(folder)
    except OSError as error:
        raise CheckpointError(f"Checkpoints of {folder} could not be moved ({error.strerror}).") from error


def newest_published(folder: Path) -> Path | None:
    """The newest checkpoint of a folder whose policy is published, if there is one."""
    return next((path for path in checkpoints(folder)[::-1] if (path / POLICY).is_file()), None)


def policy_file(path: Path) -> PolicyFile:
    """The policy of a checkpoint, as it is told."""
    numbers, file = Numbers.model_validate_json(_bounded(path / NUMBERS)), policy_of(path)
    digest = hashlib.sha256(_bounded(file)).hexdigest()
    return PolicyFile(file, digest, numbers.phase, numbers.step, numbers.contract_digest)


def newest_checkpoint(folder: Path) -> Checkpoint:
    """The newest whole checkpoint of a folder; damaged ones are passed over.

    Raises:
        CheckpointError: there is none; names the damaged ones.
    """
    passed_over: list[str] = []
    for path in checkpoints(folder)[::-1]:
        try:
            return read_checkpoint(path)
        except CheckpointError as error:
            passed_over.append(str(error))
    raise CheckpointError(f"No checkpoint in {folder}. {' '.join(passed_over)}".strip())


def checkpoints(folder: Path) -> list[Path]:
    """The checkpoints of a folder, oldest first."""
    return sorted(path for path in folder.glob("[0-9]*") if path.name.isdigit())


def prune(folder: Path, keep: int, spared: Collection[int] = ()) -> None:
    """Remove all checkpoints but the newest `keep` and those of `spared` steps, and what killed writes left."""
    left_aside = [path for path in folder.glob(".[0-9]*") if path.is_dir()]
    old = [path for path in checkpoints(folder)[:-keep] if int(path.name) not in spared]
    for path in [*old, *left_aside]:
        shutil.rmtree(path, ignore_errors=True)


def _bounded(path: Path) -> bytes:
    size = path.stat().st_size
    if size > MAX_FILE_BYTES:
        raise CheckpointError(f"{path} has {size} bytes; at most {MAX_FILE_BYTES} are read.")
    return path.read_bytes()


def flatten_optimiser(optimiser: torch.optim.Optimizer) -> dict[str, Tensor]:
    """Adam's moments and step counts as named tensors."""
    state = optimiser.state_dict()["state"]
    return {f"{index}.{name}": value for index, entry in state.items() for name, value in entry.items()}


def restore_optimiser(optimiser: torch.optim.Optimizer, tensors: Mapping[str, Tensor], rate: float) -> None:
    """The inverse of `flatten_optimiser`, on an optimiser of the same parameters."""
    state: dict[int, dict[str, Tensor]] = {}
    for key, value in tensors.items():
        index, name = key.split(".")
        state.setdefault(int(index), {})[name] = value
    groups = optimiser.state_dict()["param_groups"]
    groups[0]["lr"] = rate
    optimiser.load_state_dict({"state": state, "param_groups": groups})
