"""First divergence: where, in a bag, what the brain read parts from what the simulator would have read, and why."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from jack_contract.contract import Contract, default_contract
from jack_trainer.divergence.causes import find_cause
from jack_trainer.divergence.comparison import RESPONSE, Comparer, Comparison, Parting, first_parting
from jack_trainer.divergence.recording import COMMAND, ODOM, Reading, Recording, read
from jack_trainer.divergence.stamps import StampFault, find_stamp_fault
from jack_trainer.imitation.bag import Bag, BagError

#: Joints that never moved faster than this give nothing away [rad/s].
_STILL = 0.2
#: What begins no longer before it shows need not be told apart [s].
_SOON = 0.05
_UNKNOWN = "the cause is none of those that are known"


@dataclass(frozen=True)
class Finding:
    """Where the paths part first."""

    #: name of a term of the observation, or of what is compared besides; or a topic whose stamps are wrong
    term: str
    #: joint or axis; empty for a topic
    label: str
    #: from the first joint states on [s]
    time: float
    #: in words; empty if it is none that is known
    cause: str
    #: None for a topic
    parting: Parting | None = None
    #: when the cause began, which may be before it shows [s]; None if that is not known
    since: float | None = None

    def __str__(self) -> str:
        cause = self.cause or _UNKNOWN
        if self.since is not None and self.since < self.time - _SOON:
            cause += f", since about {self.since:.2f} s"
        if self.parting is None:
            return f"{self.term} parts at {self.time:.2f} s: {cause}."
        comparison, row, column = self.parting.comparison, self.parting.index, self.parting.column
        kind, values = comparison.kind, (comparison.recorded[row, column], comparison.expected[row, column])
        recorded, expected = (f"{value:+.2f} {kind.unit}".strip() for value in values)
        return (
            f"{self.term} of {self.label} parts at {self.time:.2f} s: recorded {recorded}, "
            f"{kind.source} {expected}: {cause}."
        )


@dataclass(frozen=True)
class Diff:
    """What came of a bag."""

    bag: Bag
    #: of every group of numbers; empty where no readings belong together
    comparisons: Sequence[Comparison]
    #: times of the samples from the first joint states on [s]
    times: np.ndarray
    finding: Finding | None
    #: what else there is to know, in sentences
    notes: Sequence[str]

    def __str__(self) -> str:
        if self.finding:
            return str(self.finding)
        seconds = float(np.ptp(self.times))
        return f"Nothing parts: {len(self.times)} pairs of readings, {seconds:.1f} s, agree on both paths."


def diff(path: Path, namespace: str = "", contract: Contract | None = None) -> Diff:
    """Compare the two paths of a bag.

    Args:
        path: of the bag, a file or a folder.
        namespace: of the robot's topics.
        contract: of the robot; by itself Jack's.

    Raises:
        BagError: it is no bag, or lacks what is needed.
    """
    contract = contract or default_contract()
    bag = Bag(path)
    reading = read(bag, contract.robot, namespace)
    stamps = find_stamp_fault(reading.messages, contract.robot.control_period)
    if reading.recording is None:
        if stamps is None:
            why = reading.refused.first or "their stamps are too far apart."
            raise BagError(f"In {path} no joint states and imu data belong together: {why}")
        return Diff(bag, (), np.zeros(0), _of_stamps(stamps), _notes(bag, reading))
    comparer = Comparer(contract)
    comparisons = list(comparer.compare(reading.recording))
    finding = _finding(comparer, reading, reading.recording, comparisons, stamps)
    times = reading.recording.state.time - reading.start
    return Diff(bag, comparisons, times, finding, _notes(bag, reading, comparisons))


def _finding(
    comparer: Comparer,
    reading: Reading,
    recording: Recording,
    comparisons: Sequence[Comparison],
    stamps: StampFault | None,
) -> Finding | None:
    parting = first_parting(comparisons)
    if parting is None:
        return _of_stamps(stamps) if stamps else None
    time = float(recording.state.time[parting.index]) - reading.start
    if stamps and stamps.time <= time:
        return _of_stamps(stamps)
    cause = find_cause(comparer, recording, parting, comparisons)
    name, words = parting.comparison.kind.name, cause.words if cause else ""
    since = float(recording.state.time[cause.since]) - reading.start if cause else None
    return Finding(name, parting.label, time, words, parting, since)


def _of_stamps(fault: StampFault) -> Finding:
    return Finding(fault.topic, "", fault.time, fault.cause)


def _notes(bag: Bag, reading: Reading, comparisons: Sequence[Comparison] = ()) -> list[str]:
    notes, recording = [], reading.recording
    if recording is not None and recording.base is None:
        notes.append(
            f"Without {ODOM} all along, an imu that is turned, or late, as a whole is not seen, and the response "
            "to commands is judged less strictly."
        )
    if recording is not None and not recording.commanded.any():
        notes.append(f"Without {COMMAND} nothing can be said of the response to commands.")
    if recording is not None and recording.late.any():
        notes.append(f"{int(recording.late.sum())} of {len(recording)} commands came after the next readings.")
    still = _still(comparisons)
    if still:
        who = "all joints" if comparisons and len(still) == len(comparisons[-1].labels) else ", ".join(still)
        notes.append(f"Hardly moved, so that little can be said of them: {who}.")
    if reading.refused.count:
        notes.append(f"The brain would have refused {reading.refused.count} messages: {reading.refused.first}")
    if bag.complaints:
        notes.append(f"{bag.complaints} times something could not be read, first: {bag.spoilt[0]}")
    return notes


def _still(comparisons: Sequence[Comparison]) -> list[str]:
    """Joints that moved too little to be judged."""
    response = next((comparison for comparison in comparisons if comparison.kind.name == RESPONSE), None)
    if response is None:
        return []
    fastest = np.abs(response.recorded).max(axis=0, initial=0.0)
    return [label for label, speed in zip(response.labels, fastest, strict=True) if speed < _STILL]
