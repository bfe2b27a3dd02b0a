"""What a policy file must be before anything of it is run: whole, made for this robot, with vectors to replay."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from jack_brain import policy_file
from jack_brain.chunk import chunk_width
from jack_brain.golden import Golden
from jack_brain.graph import Shapes
from jack_brain.policy_file import (
    ACTION,
    ATTENTION,
    CHUNK,
    COMMAND,
    IMAGE,
    INSTRUCTION,
    PAST,
    PREFIX,
    PROGRESS,
    PROPRIOCEPTION,
    VALUE,
)
from jack_contract.contract import Contract
from jack_contract.errors import ContractError, PolicyError
from jack_contract.gait import Beat
from jack_contract.observation import COMMAND_SIZE


def read_policy(source: bytes | Path, contract: Contract, max_bytes: int) -> tuple[bytes, dict[str, Any], Golden]:
    """A policy file, its provenance and its golden vectors.

    Args:
        source: the file, or its path.
        contract: the robot's own.
        max_bytes: a larger file is refused unread.

    Raises:
        PolicyError: it is damaged, not whole, or made for another robot; says what.
    """
    file = _bounded(source, max_bytes)
    policy_file.require_sealed(file)
    metadata = policy_file.read_metadata(file)
    _require_contract(metadata, contract)
    golden = Golden.from_json(_entry(metadata, policy_file.GOLDEN))
    return file, _provenance(metadata), golden


def _bounded(source: bytes | Path, limit: int) -> bytes:
    try:
        size = len(source) if isinstance(source, bytes) else source.stat().st_size
        if size > limit:
            raise PolicyError(f"The policy file has {size} bytes; allowed: {limit}.")
        return source if isinstance(source, bytes) else source.read_bytes()
    except OSError as error:
        raise PolicyError(f"The policy file cannot be read: {error}.") from error


def _entry(metadata: dict[str, str], key: str) -> str:
    if key not in metadata:
        raise PolicyError(f"The file has no metadata entry '{key}'; it was not exported by Jack's trainer.")
    return metadata[key]


def _require_contract(metadata: dict[str, str], contract: Contract) -> None:
    try:
        theirs = Contract.from_json(_entry(metadata, policy_file.CONTRACT))
        if theirs.digest != _entry(metadata, policy_file.DIGEST):
            raise PolicyError("The contract in the file does not have the digest that the file gives for it.")
        contract.require_same(theirs)
    except ContractError as error:
        raise PolicyError(f"The policy was not made for this robot. {error}") from error


def _provenance(metadata: dict[str, str]) -> dict[str, Any]:
    try:
        provenance = json.loads(_entry(metadata, policy_file.PROVENANCE))
        known = {"phase": str(provenance["phase"]), "step": int(provenance["step"])}
        return {**provenance, **known, "beat": read_beat(provenance)}
    except (KeyError, TypeError, ValueError, RecursionError) as error:
        raise PolicyError(f"The file's provenance needs at least phase and step: {error!r}.") from error


def read_beat(provenance: dict[str, Any]) -> Beat | None:
    """The beat that a policy walks at, from what its file says of itself; None: the contract's.

    Raises:
        PolicyError: one that nobody can follow, or that is not whole.
    """
    if provenance.get("gait_period") is not None:  # what came of phase `natural` before beats had a speed
        raise PolicyError("The file has a gait_period, but no beat: train it anew, with this version.")
    try:
        return Beat.read(provenance.get("beat"))
    except ContractError as error:
        raise PolicyError(f"The file's beat is none that he can follow. {error}") from error


def shapes_of(contract: Contract, golden: Golden) -> tuple[Shapes, Shapes]:
    """Inputs and outputs as the contract has them, as far as the golden vectors, of just that shape, name them.

    Raises:
        PolicyError: vectors of other shapes.
    """
    spec, joints = contract.observation, contract.robot.count
    inputs: dict[str, tuple[int, ...] | None] = {
        PROPRIOCEPTION: (spec.history, spec.frame_size),
        COMMAND: (COMMAND_SIZE,),
    }
    outputs: dict[str, tuple[int, ...] | None] = {ACTION: (joints,), VALUE: (1,)}
    if golden.chunk is not None:
        camera = contract.camera
        inputs |= {INSTRUCTION: (contract.instruction.length,), IMAGE: (3, camera.height, camera.width)}
        outputs |= {CHUNK: (*golden.chunk.shape[1:2], chunk_width(contract.robot))}
    if golden.command is None:
        del inputs[COMMAND]
    if golden.value is None:
        del outputs[VALUE]
    _require_golden(golden, inputs, outputs)
    if golden.chunk is not None:  # of whatever shape its makers chose
        inputs[PAST] = outputs[PREFIX] = outputs[ATTENTION] = None
        outputs[PROGRESS] = (1,)
    return inputs, outputs


def require_ports(file: bytes, inputs: Shapes, outputs: Shapes) -> None:
    """Raise a PolicyError unless a file's graph has just these; each is looked at when it is loaded."""
    for kind, found, wanted in zip(("inputs", "outputs"), policy_file.ports(file), (inputs, outputs), strict=True):
        if sorted(found) != sorted(wanted):
            raise PolicyError(f"The graph's {kind} are {found}; expected: {list(wanted)}.")


def _require_golden(golden: Golden, *expected: Shapes) -> None:
    for name, shape in (item for ports in expected for item in ports.items()):
        given = getattr(golden, name)
        if given is None or given.shape[1:] != shape:
            found = "is not there" if given is None else f"has shape {given.shape}"
            raise PolicyError(f"Golden {name} {found}; expected: (N, {shape}).")
