"""A policy on the robot: loaded only if it is whole, made for this robot, right and fast enough. No torch."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable
from dataclasses import dataclass, fields
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
from numpy.typing import NDArray

from jack_brain import policy_file
from jack_brain.chunk import DARKNESS, SILENCE
from jack_brain.fitness import read_policy, require_ports, shapes_of
from jack_brain.golden import Golden
from jack_brain.graph import Graph
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
from jack_contract.arrays import Float32
from jack_contract.contract import Contract
from jack_contract.errors import PolicyError
from jack_contract.gait import Beat


@dataclass(frozen=True)
class PolicyLimits:
    """What a policy file must keep to."""

    #: largest file [bytes]
    max_bytes: int = 64_000_000
    #: greatest difference between a golden vector and what the file computes here, absolute and relative [1]
    tolerance: float = 1e-4
    #: greatest share of the control period that one decision may take, median
    period_share: float = 0.5
    #: greatest time that it may take to see a picture, median [s]
    look: float = 0.1
    #: decisions that are timed
    timed_runs: int = 25
    #: memory that a file may take when it is first run, aside [bytes]
    memory: int = 1_000_000_000
    #: time that this may take, of a processor, and three times as much on the clock [s]
    seconds: float = 10.0

    def __post_init__(self) -> None:
        if not all(getattr(self, f.name) > 0 for f in fields(self)):
            raise PolicyError(f"Limits of policies must be positive, given: {self}.")


@dataclass(frozen=True)
class Seen:
    """What a policy makes of a sentence and a picture."""

    #: for `Policy.reach`, and of nobody else's shape
    prefix: Float32
    #: where in the picture the sentence points: weights of its patches, whose sum is 1, (rows, columns)
    attention: Float32


class Policy:
    """One checkpoint, ready to decide. Not for two threads at once; but `look` may be called in another one.

    Attributes:
        contract: what it was trained for.
        provenance: phase, steps, seed and so on, as the trainer wrote them.
        sha256: of the whole file, hexadecimal.
        latency: median time of a decision when it was loaded, with a chunk if it makes any [s].
        looking: median time of `look` then [s].
    """

    def __init__(self, file: bytes, contract: Contract, provenance: dict[str, Any], has_seen: Golden) -> None:
        """Use `load`, which checks. This makes a session of what is known to be sound."""
        self.contract, self.provenance = contract, provenance
        self.sha256 = hashlib.sha256(file).hexdigest()
        self.latency = self.looking = 0.0
        inputs, outputs = shapes_of(contract, has_seen)
        require_ports(file, inputs, outputs)
        state, most = (PROPRIOCEPTION, COMMAND), (ACTION, VALUE)

        def graph(reads: tuple[str, ...], says: tuple[str, ...]) -> Graph:
            given = {name: inputs[name] for name in reads if name in inputs}
            told = {name: outputs[name] for name in says if name in outputs}
            whole = len(told) == len(outputs)
            return Graph(file if whole else policy_file.part(file, told), given, told)

        self._whole = graph(state, most)
        # Most ticks need no value: half of the work is left to those that ask for it.
        self._lean = graph(state, (ACTION,)) if VALUE in outputs else self._whole
        self._prefix = graph((INSTRUCTION, IMAGE), (PREFIX, ATTENTION)) if CHUNK in outputs else None
        self._chunk = graph((PROPRIOCEPTION, PAST), (CHUNK, PROGRESS)) if CHUNK in outputs else None
        if self._prefix and self._chunk and self._prefix.shape(PREFIX) != self._chunk.shape(PAST):
            raise PolicyError("The graph's prefix is not of the shape of the past that it reads.")

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
        file, provenance, golden = read_policy(source, contract, limits.max_bytes)
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
    def beat(self) -> Beat | None:
        """That it has learnt to walk at; None: the contract's."""
        return self.provenance["beat"]

    @property
    def estimates(self) -> bool:
        """Whether it says what return is to be expected."""
        return self._whole.has(VALUE)

    @property
    def follows(self) -> bool:
        """Whether it does with its arms what a sentence says."""
        return self._chunk is not None

    @property
    def words(self) -> str:
        """Digest of the vocabulary that it was taught with; empty if it does not say."""
        return str(self.provenance.get("words", ""))

    def act(self, history: Float32, command: Float32 | None = None) -> Float32:
        """Decide.

        Args:
            history: observation frames, oldest first, raw units, (H, D) float32.
            command: vx, vy [m/s], yaw rate [rad/s], (3,) float32; a policy trained without commands ignores it.

        Returns:
            The action, (n,) float32, valid until the next call.
        """
        return self._lean.run({PROPRIOCEPTION: history, COMMAND: command})[ACTION][0]

    def value(self, history: Float32, command: Float32 | None = None) -> float:
        """The return that is to be expected, for the inputs of `act`; NaN where the file has no value readout."""
        return self.infer(history, command)[1]

    def infer(self, history: Float32, command: Float32 | None = None) -> tuple[Float32, float]:
        """Action and value at once, as `act` and `value` give them."""
        outputs = self._whole.run({PROPRIOCEPTION: history, COMMAND: command})
        return outputs[ACTION][0], float(outputs[VALUE][0, 0]) if VALUE in outputs else float("nan")

    def look(self, instruction: NDArray[np.integer] | None, image: NDArray[np.uint8] | None) -> Seen:
        """What a sentence and a picture leave for later ticks to read: to be computed once for both, and reused.

        Args:
            instruction: token ids, (L,), as many as the contract says; None: nobody says anything.
            image: RGB, (h, w, 3), as the contract has it; None: nothing is seen.

        Raises:
            PolicyError: it makes no chunks, or these are no such ids and no such picture.
        """
        if self._prefix is None:
            raise PolicyError("This policy follows no sentences.")
        words = self.contract.instruction
        ids = np.asarray(SILENCE if instruction is None else instruction)
        if ids.shape not in ((), (words.length,)) or not 0 <= int(ids.min()) <= int(ids.max()) < words.vocabulary:
            raise PolicyError(f"A sentence is {words.length} token ids from 0 to {words.vocabulary - 1}.")
        camera, pixels = self.contract.camera, np.asarray(DARKNESS if image is None else image)
        if pixels.shape not in ((), (camera.height, camera.width, 3)):
            raise PolicyError(f"A picture is {camera.height} x {camera.width} x 3, given: {pixels.shape}.")
        seen = np.moveaxis(pixels, -1, 0) if pixels.shape else pixels
        outputs = self._prefix.run({INSTRUCTION: ids, IMAGE: seen})
        return Seen(outputs[PREFIX][0].copy(), outputs[ATTENTION][0].copy())

    def reach(self, history: Float32, prefix: Float32) -> tuple[Float32, float]:
        """An action chunk.

        Args:
            history: as in `act`.
            prefix: of what `look` gave.

        Returns:
            The chunk, (K, m), see jack_brain.chunk, valid until the next call, and how much of what was asked is
            done, 0 to 1.

        Raises:
            PolicyError: it makes no chunks.
        """
        if self._chunk is None:
            raise PolicyError("This policy follows no sentences.")
        outputs = self._chunk.run({PROPRIOCEPTION: history, PAST: prefix})
        return outputs[CHUNK][0], float(outputs[PROGRESS][0, 0])

    def _replay(self, golden: Golden, limits: PolicyLimits) -> None:
        for index in range(len(golden.action)):
            command = golden.command[index] if golden.command is not None else None
            action, value = self.infer(golden.proprioception[index], command)
            for computed in (action, self.act(golden.proprioception[index], command)):
                _require_close("action", computed, golden.action[index], limits)
            if golden.value is not None:
                _require_close("value", np.array([value]), golden.value[index], limits)
            if golden.chunk is not None and golden.instruction is not None and golden.image is not None:
                seen = self.look(golden.instruction[index], np.moveaxis(golden.image[index], 0, -1))
                chunk, _ = self.reach(golden.proprioception[index], seen.prefix)
                _require_close("chunk", chunk, golden.chunk[index], limits)

    def _time(self, limits: PolicyLimits) -> None:
        spec = self.contract.observation
        history = np.zeros((spec.history, spec.frame_size), np.float32)
        self.latency = _median(lambda: self.act(history), limits)
        if self.follows:
            prefix = self.look(None, None).prefix
            self.latency += _median(lambda: self.reach(history, prefix), limits)
            self.looking = _median(lambda: self.look(None, None), limits)
            if self.looking > limits.look:
                raise PolicyError(
                    f"The policy takes {1e3 * self.looking:.0f} ms to see a picture; allowed: "
                    f"{1e3 * limits.look:.0f} ms. Use a smaller brain or a faster machine."
                )
        allowed = limits.period_share * self.contract.robot.control_period
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
    return read_policy(source, contract, limits.max_bytes)[0]


def _median(work: Callable[[], object], limits: PolicyLimits) -> float:
    """Median time that some work takes [s]."""
    times = []
    for _ in range(limits.timed_runs):
        begun = time.perf_counter()
        work()
        times.append(time.perf_counter() - begun)
    return median(times)


def _require_close(what: str, given: Float32, expected: Float32, limits: PolicyLimits) -> None:
    if not np.allclose(given, expected, rtol=limits.tolerance, atol=limits.tolerance):  # False for NaN
        worst = float(np.max(np.abs(given - expected)))
        raise PolicyError(
            f"Golden vectors: the {what} computed here differs by {worst:.2g} from what the trainer computed; "
            f"allowed: {limits.tolerance:g}."
        )
