"""What a phase can begin from: a checkpoint, or a policy file, which has all weights that decide."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import onnx
import torch
from pydantic import TypeAdapter, ValidationError
from torch import Tensor

from jack_brain import policy_file
from jack_brain.fitness import read_beat
from jack_brain.network.brain import Brain
from jack_brain.network.merge import MergeReport, merge
from jack_contract.errors import JackError
from jack_contract.gait import Beat
from jack_launch.graphs import PRETRAINED, pretrained_policy
from jack_trainer import checkpoint as storage
from jack_trainer import progress_file
from jack_trainer.training import PolicyFile

_GRAPH = "brain."
_JSON = TypeAdapter(dict[str, Any])


@dataclass(frozen=True)
class Parent:
    """A brain that was taught something."""

    #: folder of the checkpoint, or the policy file
    path: Path
    #: what it was taught last, and how much in all [environment steps], [s]
    phase: str
    step: int
    seconds: float
    contract_digest: str
    #: that it walks at; None: the contract's
    beat: Beat | None
    #: SHA-256 of the checkpoint's manifest, or of the policy file, hexadecimal
    digest: str
    #: by their names in a brain; of a checkpoint the average ones, which were examined
    weights: dict[str, Tensor]

    @property
    def run(self) -> Path | None:
        """Folder of the run, of a checkpoint."""
        return self.path.absolute().parents[1] if self.path.is_dir() else None

    def teach(self, brain: Brain) -> MergeReport:
        """Give a brain these weights, normalisers included; returns what was kept, and what begins.

        A policy file has nothing that only a trainer needs: what is not in it stays as it is in the brain.

        Raises:
            JackError: they are of another contract or size, or of a brain that can do what this one could not.
        """
        if self.contract_digest != brain.contract.digest:
            raise JackError(f"{self.path} was trained under another contract; nothing can go on from it.")
        try:
            report = merge(brain, self.weights)
        except JackError as error:
            raise JackError(f"{self.path}: {error}") from error
        if self.path.is_dir() and brain.chunk_head is None and report.new:
            raise JackError(f"{self.path} lacks weights that this brain has: {', '.join(report.new)}.")
        if lost := [name for name in report.dropped if name not in report.new]:
            raise JackError(f"{self.path} holds weights that this brain has no place for: {', '.join(lost)}.")
        return report


def read_parent(place: Path) -> Parent:
    """Read and verify a checkpoint or a policy file.

    Raises:
        JackError: it is neither, or not whole; says why.
    """
    return _policy(place) if place.is_file() else _checkpoint(storage.read_checkpoint(place))


def _checkpoint(found: storage.Checkpoint) -> Parent:
    told, weights = found.numbers, found.part("average")
    beat = read_beat(_provenance(found.policy.read_bytes()))
    return Parent(
        found.path, told.phase, told.step, told.seconds, told.contract_digest, beat, found.digest, weights
    )


def _policy(path: Path) -> Parent:
    file = path.read_bytes()
    policy_file.require_sealed(file)
    metadata, told = policy_file.read_metadata(file), _provenance(file)
    weights = {w.name: w for w in onnx.load_from_string(file).graph.initializer}
    tensors = {
        name.removeprefix(_GRAPH): torch.from_numpy(onnx.numpy_helper.to_array(weight).copy())
        for name, weight in weights.items()
        if name.startswith(_GRAPH)
    }
    step = int(told.get("step", 0))
    for normaliser in ("normaliser", "value_normaliser"):  # how much they saw is not told: about as much as he
        tensors.setdefault(f"{normaliser}.count", torch.tensor(float(step), dtype=torch.float64))
    digest = hashlib.sha256(file).hexdigest()
    contract, phase = metadata.get(policy_file.DIGEST, ""), str(told.get("phase", ""))
    return Parent(path, phase, step, 0.0, contract, read_beat(told), digest, tensors)


def offered(place: Path) -> PolicyFile | None:
    """The policy of a checkpoint, if it is published, or a policy file, as it is told."""
    if place.is_dir():
        return storage.policy_file(place) if (place / storage.POLICY).is_file() else None
    parent = _policy(place)
    return PolicyFile(place, parent.digest, parent.phase, parent.step, parent.contract_digest)


def _provenance(file: bytes) -> dict[str, Any]:
    """What a policy file says of itself; nothing, if it says nothing."""
    try:
        return _JSON.validate_json(policy_file.read_metadata(file).get(policy_file.PROVENANCE, "{}"))
    except (JackError, ValidationError):
        return {}


def find_parent(place: Path, runs: Path) -> Path:
    """The checkpoint or the policy file that is meant.

    Args:
        place: folder of a checkpoint, a policy file, `pretrained` for the one that ships with Jack; or folder or
            name of a run, or `newest`: then the newest checkpoint that is published there.
        runs: folder of the trainings.

    Raises:
        JackError: there is none.
    """
    if place.is_file() or (place / storage.MANIFEST).is_file():
        return place
    if str(place) == PRETRAINED and (shipped := pretrained_policy()):
        return shipped
    run = progress_file.find_run(str(place), runs, resumable=True)
    if (found := storage.newest_published(run / "checkpoints")) is None:
        raise JackError(f"No checkpoint in {run} is published; name one of those in {run / 'checkpoints'}.")
    return found
