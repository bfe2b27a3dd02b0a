"""A policy on the robot: loaded only if it is whole, made for this robot, right and fast enough. No torch."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import onnxruntime

from jack_brain import policy_file
from jack_brain.golden import Golden
from jack_brain.policy_file import ACTION, COMMAND, PROPRIOCEPTION, VALUE
from jack_contract.arrays import Float32
from jack_contract.contract import Contract
from jack_contract.errors import ContractError, PolicyError
from jack_contract.observation import COMMAND_SIZE

#: Names with shapes, without the batch.
Shapes = dict[str, tuple[int, ...]]


@dataclass(frozen=True)
class PolicyLimits:
    """What a policy file must keep to."""

    #: largest file [bytes]
    max_bytes: int = 64_000_000
    #: greatest difference between a golden vector and what the file computes here, absolute and relative [1]
    tolerance: float = 1e-4
    #: greatest share of the control period that one decision may take, median
    period_share: float = 0.5
    #: decisions that are timed
    timed_runs: int = 25
    #: memory that a file may take when it is first run, aside [bytes]
    memory: int = 1_000_000_000
    #: time that this may take, of a processor, and three times as much on the clock [s]
    seconds: float = 10.0

    def __post_init__(self) -> None:
        if not all(getattr(self, f.name) > 0 for f in fields(self)):
            raise PolicyError(f"Limits of policies must be positive, given: {self}.")


class Policy:
    """One checkpoint, ready to decide. Not for two threads at once.

    Attributes:
        contract: what it was trained for.
        provenance: phase, steps, seed and so on, as the trainer wrote them.
        sha256: of the whole file, hexadecimal.
        latency: median time of a decision when it was loaded [s].
    """

    def __init__(self, file: bytes, contract: Contract, provenance: dict[str, Any], has_seen: Golden) -> None:
        """Use `load`, which checks. This makes a session of what is known to be sound."""
        self.contract, self.provenance = contract, provenance
        self.sha256 = hashlib.sha256(file).hexdigest()
        self.latency = 0.0
        inputs, outputs = _shapes(contract, has_seen)
        self._whole = self._lean = _Graph(file, inputs, outputs)
        if VALUE in outputs:  # most ticks need no value: half of the work is left to those that ask for it
            del outputs[VALUE]
            self._lean = _Graph(policy_file.without_output(file, VALUE), inputs, outputs)

    @classmethod
    def load(cls, source: bytes | Path, contract: Contract, limits: PolicyLimits = PolicyLimits()) -> Policy:
        """Check a policy file from its seal to its speed, and make it ready.

        Args:
            source: the file, or its path.
            contract: the robot's own.
            limits: what the file must keep to.

        Raises:
            PolicyError: it must not drive this robot; says why.
        """
        file, provenance, golden = _read(source, contract, limits)
        policy = cls(file, contract, provenance, golden)
        policy._replay(golden, limits)
        policy._time(limits)
        return policy

    @property
    def phase(self) -> str:
        """What it was last trained on."""
        return self.provenance["phase"]

    @property
    def step(self) -> int:
        """Environment steps it has learnt from."""
        return self.provenance["step"]

    @property
    def stumble_steps(self) -> bool:
        """Whether it has learnt to take a step when he stumbles."""
        return self.provenance.get("stumble_steps") is True

    @property
    def estimates(self) -> bool:
        """Whether it says what return is to be expected."""
        return self._whole.has(VALUE)

    def act(self, history: Float32, command: Float32 | None = None) -> Float32:
        """Decide.

        Args:
            history: observation frames, oldest first, raw units, (H, D) float32.
            command: vx, vy [m/s], yaw rate [rad/s], (3,) float32; a policy trained without commands ignores it.

        Returns:
            The action, (n,) float32, valid until the next call.
        """
        return self._lean.run(history, command)[ACTION][0]

    def value(self, history: Float32, command: Float32 | None = None) -> float:
        """The return that is to be expected, for the inputs of `act`; NaN where the file has no value readout."""
        return self.infer(history, command)[1]

    def infer(self, history: Float32, command: Float32 | None = None) -> tuple[Float32, float]:
        """Action and value at once, as `act` and `value` give them."""
        outputs = self._whole.run(history, command)
        return outputs[ACTION][0], float(outputs[VALUE][0, 0]) if VALUE in outputs else float("nan")

    def _replay(self, golden: Golden, limits: PolicyLimits) -> None:
        for index in range(len(golden.action)):
            command = golden.command[index] if golden.command is not None else None
            action, value = self.infer(golden.proprioception[index], command)
            for computed in (action, self.act(golden.proprioception[index], command)):
                _require_close("action", computed, golden.action[index], limits)
            if golden.value is not None:
                _require_close("value", np.array([value]), golden.value[index], limits)

    def _time(self, limits: PolicyLimits) -> None:
        spec, times = self.contract.observation, []
        history = np.zeros((spec.history, spec.frame_size), np.float32)
        for _ in range(limits.timed_runs):
            begun = time.perf_counter()
            self.act(history)
            times.append(time.perf_counter() - begun)
        self.latency, allowed = median(times), limits.period_share * self.contract.robot.control_period
        if self.latency > allowed:
            raise PolicyError(
                f"The policy takes {1e3 * self.latency:.2f} ms to decide; allowed: {1e3 * allowed:.2f} ms, "
                f"{limits.period_share:.0%} of the control period. Use a smaller brain or a faster machine."
            )


def read(source: bytes | Path, contract: Contract, limits: PolicyLimits = PolicyLimits()) -> bytes:
    """The bytes of a policy file, after all checks of `Policy.load` for which nothing of it is run.

    Raises:
        PolicyError: it must not drive this robot; says why.
    """
    return _read(source, contract, limits)[0]


def _read(source: bytes | Path, contract: Contract, limits: PolicyLimits) -> tuple[bytes, dict[str, Any], Golden]:
    """The file, its provenance and its golden vectors."""
    file = _bounded(source, limits.max_bytes)
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
        return {**provenance, "phase": str(provenance["phase"]), "step": int(provenance["step"])}
    except (KeyError, TypeError, ValueError, RecursionError) as error:
        raise PolicyError(f"The file's provenance needs at least phase and step: {error!r}.") from error


def _session(file: bytes) -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1  # a tick must not wait for a thread pool
    options.log_severity_level = 3
    try:
        return onnxruntime.InferenceSession(file, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # onnxruntime's own errors share no root but Exception
        raise PolicyError(f"ONNX Runtime cannot load the graph: {error}") from error


class _Graph:
    """A session with arrays of its own for a batch of one: nothing is allocated when it runs."""

    def __init__(self, model: bytes, inputs: Shapes, outputs: Shapes) -> None:
        self._session = _session(model)
        _require_ports("inputs", self._session.get_inputs(), inputs)
        _require_ports("outputs", self._session.get_outputs(), outputs)
        self._inputs, self._outputs = _arrays(inputs), _arrays(outputs)
        self._binding = self._session.io_binding()
        for name, array in self._inputs.items():
            self._binding.bind_input(name, "cpu", 0, np.float32, array.shape, array.ctypes.data)
        for name, array in self._outputs.items():
            self._binding.bind_output(name, "cpu", 0, np.float32, array.shape, array.ctypes.data)

    def has(self, output: str) -> bool:
        """Whether it has an output of that name."""
        return output in self._outputs

    def run(self, history: Float32, command: Float32 | None) -> dict[str, Float32]:
        """The outputs, (1, ...) each, valid until the next run."""
        self._inputs[PROPRIOCEPTION][0] = history
        if command is not None and COMMAND in self._inputs:
            self._inputs[COMMAND][0] = command
        self._session.run_with_iobinding(self._binding)
        return self._outputs


def _shapes(contract: Contract, golden: Golden) -> tuple[Shapes, Shapes]:
    """Inputs and outputs as the contract has them, as far as the golden vectors, of just that shape, name them."""
    spec, joints = contract.observation, contract.robot.count
    inputs = {PROPRIOCEPTION: (spec.history, spec.frame_size), COMMAND: (COMMAND_SIZE,)}
    outputs = {ACTION: (joints,), VALUE: (1,)}
    if golden.command is None:
        del inputs[COMMAND]
    if golden.value is None:
        del outputs[VALUE]
    _require_golden(golden, inputs, outputs)
    return inputs, outputs


def _require_ports(kind: str, given: Sequence[onnxruntime.NodeArg], expected: Shapes) -> None:
    found = {port.name: (port.type, tuple(port.shape[1:])) for port in given}
    wanted = {name: ("tensor(float)", shape) for name, shape in expected.items()}
    if found != wanted or any(isinstance(port.shape[0], int) for port in given):
        raise PolicyError(f"The graph's {kind} are {found}, with any batch size; expected: {wanted}.")


def _require_golden(golden: Golden, *expected: Shapes) -> None:
    for name, shape in (item for ports in expected for item in ports.items()):
        if getattr(golden, name).shape[1:] != shape:
            raise PolicyError(f"Golden {name} has shape {getattr(golden, name).shape}; expected: (N, {shape}).")


def _arrays(shapes: Shapes) -> dict[str, Float32]:
    return {name: np.zeros((1, *shape), np.float32) for name, shape in shapes.items()}


def _require_close(what: str, given: Float32, expected: Float32, limits: PolicyLimits) -> None:
    if not np.allclose(given, expected, rtol=limits.tolerance, atol=limits.tolerance):  # False for NaN
        worst = float(np.max(np.abs(given - expected)))
        raise PolicyError(
            f"Golden vectors: the {what} computed here differs by {worst:.2g} from what the trainer computed; "
            f"allowed: {limits.tolerance:g}."
        )
