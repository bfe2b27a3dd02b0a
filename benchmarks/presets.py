"""What each size of the brain costs on this machine: parameters, and the time of a decision, walking and following.

Policies are run as on a robot, from their files, on one thread. A prefix is what a picture and a sentence become,
ten times a second and beside the control loop; ticks between two pictures reuse it. Absolute figures are an
orientation only; `latency.py`, which publishes these too, says how the node as a whole compares with a peer.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import asdict, dataclass

import numpy as np
import torch
from rich import box
from rich.console import Console
from rich.table import Table

from jack_brain.arms import PERIOD
from jack_brain.chunk import ChunkSpec
from jack_brain.network.brain import Brain
from jack_brain.network.export import PolicyExporter
from jack_brain.network.presets import PRESETS, preset
from jack_brain.policy import Policy, PolicyLimits
from jack_contract.contract import Contract, default_contract

#: Nothing is too slow to be measured.
_ANY = PolicyLimits(period_share=1e3, look=1e3, timed_runs=1)


@dataclass(frozen=True)
class Times:
    """Of one kind of decision [ms]; decisions a second."""

    p50: float
    p99: float
    rate: float

    @classmethod
    def of(cls, work: Callable[[int], object], count: int) -> Times:
        """Of so many, one after the other; `work` is given its number."""
        seconds = np.empty(count)
        for number in range(count):
            begun = time.perf_counter()
            work(number)
            seconds[number] = time.perf_counter() - begun
        p50, p99 = (1e3 * float(np.percentile(seconds, percent)) for percent in (50, 99))
        return cls(p50, p99, count / float(seconds.sum()))


@dataclass(frozen=True)
class Cost:
    """What one size costs."""

    brain: str
    #: of all weights, and of what walks
    parameters: int
    walking_parameters: int
    #: a tick without a prefix; with one, a chunk in every fifth; making the prefix
    walking: Times
    following: Times
    looking: Times


def cost(name: str, contract: Contract, count: int) -> Cost:
    """Of a size by name; weights that nobody trained cost the same."""
    torch.manual_seed(0)
    brain = Brain(contract, preset(name), chunk=ChunkSpec())
    policy = Policy.load(
        PolicyExporter(brain, command=True).export({"phase": "benchmark", "step": 0}), contract, _ANY
    )
    random, spec, camera = np.random.default_rng(0), contract.observation, contract.camera
    history = random.normal(size=(spec.history, spec.frame_size)).astype(np.float32)
    command = np.array([0.3, 0.0, 0.1], np.float32)
    ids = random.integers(contract.instruction.vocabulary, size=contract.instruction.length)
    picture = random.integers(0, 256, (camera.height, camera.width, 3), dtype=np.uint8)
    prefix = policy.look(ids, picture).prefix

    def follow(number: int) -> None:
        policy.act(history, command)
        if number % PERIOD == 0:
            policy.reach(history, prefix)

    sees = ("image.", "instruction.", "pointer.", "chunk_head.")
    walks = sum(p.numel() for name, p in brain.named_parameters() if not name.startswith(sees))
    return Cost(
        name,
        sum(p.numel() for p in brain.parameters()),
        walks,
        Times.of(lambda number: policy.act(history, command), count),
        Times.of(follow, count),
        Times.of(lambda number: policy.look(ids, picture), max(10, count // 20)),
    )


def costs(count: int = 2000) -> list[dict]:
    """Of all sizes, as plain data for JSON; prints a table."""
    contract = default_contract()
    table = Table(title="sizes of the brain, one thread", box=box.SIMPLE_HEAD)
    for heading in ("brain", "parameters", "walking", "tick, walking", "tick, following", "picture to prefix"):
        table.add_column(heading, justify="left" if heading == "brain" else "right")
    rows = []
    for name in PRESETS:
        row = cost(name, contract, count)
        rows.append(asdict(row))
        cells = [
            f"{t.p50:.2f} / {t.p99:.2f} ms\n{t.rate:,.0f} /s" for t in (row.walking, row.following, row.looking)
        ]
        table.add_row(name, f"{row.parameters:,}", f"{row.walking_parameters:,}", *cells)
    Console().print(table)
    return rows


if __name__ == "__main__":
    costs()
