"""Demonstrations: bags as samples, what a policy would have seen at each moment, and what was done.

Readings go through `wire` and `ObservationSpec.encode`, and the gait is that of the pilot who will follow what is
learnt: an action is what he adds to it. What a bag gives is kept in a file under the bag's SHA-256 and what decides
how it is read, and is mapped from there the next time.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from rich import box
from rich.table import Table
from rich.text import Text

from jack_brain.pilot import PilotConfig
from jack_contract.arrays import Array, Float32
from jack_contract.contract import Contract
from jack_contract.errors import JackError
from jack_contract.gait import SIGNAL_SIZE, Beat
from jack_contract.observation import encode_command
from jack_contract.wire import NANOSECONDS
from jack_trainer.imitation import rhythm
from jack_trainer.imitation.bag import Bag, BagError
from jack_trainer.imitation.bag_report import Look, faults, look_at
from jack_trainer.imitation.columns import Block, read_columns
from jack_trainer.imitation.facts import METADATA, Mark, read_facts
from jack_trainer.imitation.frames import VELOCITY, Frames, newest, read_frames
from jack_trainer.imitation.samples import Rows, Samples, layout, map_rows, save_rows, windows

#: Raised when rows mean something else than before: files that are older are not used any more.
VERSION = 1
#: After a longer silence of the pilot nothing is known of where he was in his gait [s].
_SILENCE = 0.5
#: What the pilot decides on, and what of a Twist he follows.
_READINGS = ("joint_states", "imu/data")
_ASKED = ("linear.x", "linear.y", "angular.z")


@dataclass(frozen=True)
class Reading:
    """How bags are read, and which."""

    #: of the policy that is to be taught; None: the contract's
    beat: Beat | None = None
    #: whether it takes a step when he stumbles
    stumble_steps: bool = True
    #: whether episodes with gaps are learnt from
    gaps: bool = False
    #: whether those are that are marked as failures
    failures: bool = False
    #: whether torn ones are
    torn: bool = False
    #: whether those are that were recorded under another contract, of the same joints
    contracts: bool = False


@dataclass(frozen=True)
class Episode:
    """A bag that is learnt from."""

    path: Path
    #: of the bag, hexadecimal
    sha256: str
    rows: Rows

    @property
    def seconds(self) -> float:
        """How long it is."""
        return float(np.ptp(self.rows["time"]))

    @property
    def count(self) -> int:
        """Samples in it."""
        return int(np.count_nonzero(self.rows["use"]))


def folder_of_samples() -> Path:
    """Where what bags gave is kept."""
    base = os.environ.get("XDG_CACHE_HOME", "")
    return (Path(base) if base else Path.home() / ".cache") / "jack" / "samples"


def read_episode(path: Path, contract: Contract, how: Reading = Reading(), folder: Path | None = None) -> Episode:
    """The samples of a bag.

    Args:
        path: of the bag.
        contract: of the policy that is to be taught.
        how: which bags are fit.
        folder: where what they gave is kept; None: `folder_of_samples`.

    Raises:
        BagError: it is none, or not fit; says what is there and what was expected.
    """
    bag = Bag(path)
    file = (folder or folder_of_samples()) / f"{bag.sha256}-{_key(contract, how)}.npy"
    kept = map_rows(file, layout(contract))
    if said := _complaints(path, contract, how, known=kept is not None):
        raise BagError(f"{path} is not fit for training: {'; '.join(said)}.")
    if kept is None:
        rows = _samples(bag, contract, how)
        with suppress(OSError):  # the disk is full: next time it is read once more
            save_rows(file, rows)
            kept = map_rows(file, rows.dtype)
        kept = rows if kept is None else kept
    return Episode(path, bag.sha256, kept)


def _key(contract: Contract, how: Reading) -> str:
    """Of what decides how a bag is read; which bags are fit does not."""
    decides = {"version": VERSION, "contract": contract.digest, "pilot": asdict(PilotConfig())}
    decides |= {"beat": how.beat and asdict(how.beat), "stumble_steps": how.stumble_steps}
    return hashlib.sha256(json.dumps(decides, sort_keys=True).encode()).hexdigest()


def _complaints(path: Path, contract: Contract, how: Reading, known: bool) -> list[str]:
    """Why a bag is not learnt from; of one that is `known` only what may have changed is looked at."""
    folder = path if path.is_dir() else path.parent
    with suppress(JackError):
        if known and (folder / METADATA).is_file():
            return faults(_excused(Look(Bag(path), facts=read_facts(folder), known=True), how), contract, how.gaps)
    return faults(_excused(look_at(path), how), contract, how.gaps)


def _excused(look: Look, how: Reading) -> Look:
    """Without the faults that are put up with."""
    facts = look.facts
    if how.failures:
        facts = facts.model_copy(update={"mark": Mark.NONE})
    if how.contracts:
        facts = facts.model_copy(update={"contract_digest": ""})
    if not how.torn:
        return replace(look, facts=facts)
    return replace(look, facts=facts.model_copy(update={"ended": facts.ended or "torn"}), spoilt=[])


# -- from moments to samples


def _samples(bag: Bag, contract: Contract, how: Reading) -> Rows:
    frames = read_frames(bag, contract.robot)
    asked = _followed(bag, frames)
    period = contract.robot.control_period
    passed = np.rint(np.diff(frames.stamp, prepend=frames.stamp[:1]) / (period * NANOSECONDS)).astype(np.int64)
    passed[0] = 1
    # Readings that were answered twice count once; a clock that runs back, or a long silence, begins anew.
    ids = np.flatnonzero(passed != 0)
    begins = np.flatnonzero((passed[ids] < 0) | (passed[ids] * period > _SILENCE))
    parts = [
        _unbroken(frames.rows(part), asked[part], passed[part], contract, how)
        for part in np.split(ids, begins)
        if len(part)
    ]
    rows = np.concatenate(parts)
    if not rows["use"].any():
        raise BagError(
            f"{bag.path} has no {contract.observation.history + 1} commands in a row, each for the readings of one "
            f"control period ({period:g} s): nothing can be learnt from it."
        )
    return rows


def _unbroken(frames: Frames, asked: Array, passed: NDArray[np.integer], contract: Contract, how: Reading) -> Rows:
    """The rows of moments without a long silence."""
    robot, spec, gait, count = (
        contract.robot,
        contract.observation,
        contract.gait.paced(how.beat),
        len(asked),
    )
    nothing, everything = np.zeros((count, robot.count)), np.arange(count)
    back = np.minimum(everything, spec.history - 1)
    tipping = np.zeros(count)
    if how.stumble_steps:
        felt = spec.encode(robot, frames.state, nothing, np.zeros((count, SIGNAL_SIZE)))
        tipping = spec.tipping(windows(felt, back, everything, spec.history))
    found = rhythm.find(gait, robot, contract.action, frames.target, asked, tipping, passed)
    action = contract.action.action(robot, frames.target - gait.offsets(robot, found))
    before = np.concatenate((nothing[:1], action[:-1]))
    rows = np.zeros(count, layout(contract))
    rows["time"], rows["back"] = frames.state.time, back
    rows["frame"] = spec.encode(robot, frames.state, before, gait.signal(found))
    rows["command"], rows["action"] = encode_command(found.pace), action
    # What he did before the first moment, or in one that is missing, is not known.
    rows["use"] = _run(passed == 1) >= spec.history
    return rows


def _run(joined: NDArray[np.bool_]) -> NDArray[np.int64]:
    """For how many moments each one follows the one before it without a gap, (T,); the first follows none."""
    index = np.arange(len(joined))
    broken = ~joined
    broken[:1] = True
    return index - np.maximum.accumulate(np.where(broken, index, 0))


def _followed(bag: Bag, frames: Frames) -> Float32:
    """What the pilot followed at each moment, (T, 3): what was asked for last, less the older it was."""
    topics = read_columns(bag, (VELOCITY, *_READINGS))
    velocities = [block for topic, found in topics.items() if topic.endswith(f"/{VELOCITY}") for block in found]
    if not velocities:
        return np.zeros((len(frames), 3), np.float32)
    times = np.concatenate([block.times for block in velocities])
    asked = np.concatenate([np.stack([block.numbers(name) for name in _ASKED], axis=-1) for block in velocities])
    order = np.argsort(times, kind="stable")
    times, heard = times[order], _heard(topics, frames)
    which = newest(times, heard)
    age = (heard - times[which]) / NANOSECONDS
    config = PilotConfig()
    span = config.command_end - config.command_timeout
    share = np.where(which < 0, 0.0, np.clip((config.command_end - age) / span, 0.0, 1.0))
    return (share[:, None] * asked[order][which]).astype(np.float32)


def _heard(topics: Mapping[str, Sequence[Block]], frames: Frames) -> NDArray[np.int64]:
    """When the readings of each moment were complete, which is when the pilot decided [ns], (T,)."""
    heard = np.zeros(len(frames), np.int64)
    for name in _READINGS:
        blocks = [block for topic, found in topics.items() if topic.endswith(f"/{name}") for block in found]
        stamps = np.concatenate(
            [
                block.numbers("header.stamp.sec").astype(np.int64) * NANOSECONDS
                + block.numbers("header.stamp.nanosec")
                for block in blocks
            ]
        )
        order = np.argsort(stamps, kind="stable")
        times = np.concatenate([block.times for block in blocks])[order]
        heard = np.maximum(heard, times[newest(stamps[order], frames.stamp)])
    return np.minimum(heard, frames.received)


# -- many


@dataclass(frozen=True)
class Demonstrations:
    """What is learnt from, and what is not."""

    episodes: Sequence[Episode]
    #: bags that are not learnt from, and why
    left_out: Sequence[tuple[Path, str]] = ()

    @property
    def digests(self) -> list[str]:
        """The SHA-256 of every bag that is learnt from."""
        return [episode.sha256 for episode in self.episodes]

    def split(self, share: float) -> tuple[list[Episode], list[Episode]]:
        """To learn from, and held out: whole episodes, about a share of them, at least one where there are two.

        Which ones depends on what is in them alone: the order in which they were named does not matter.
        """
        ordered = sorted(self.episodes, key=lambda episode: episode.sha256)
        count = min(len(ordered) - 1, max(1, round(share * len(ordered)))) if share > 0 else 0
        return ordered[count:], ordered[:count]

    def table(self) -> Table:
        """What was used, and what was not, and why not."""
        shown = Table(title="Demonstrations", box=box.SIMPLE_HEAD)
        shown.add_column("bag", no_wrap=True)
        for column in ("seconds", "samples"):
            shown.add_column(column, justify="right")
        shown.add_column("used")
        for episode in self.episodes:
            shown.add_row(Text(episode.path.name), f"{episode.seconds:.1f}", f"{episode.count:,}", "yes")
        for path, why in self.left_out:
            shown.add_row(Text(path.name), "", "", Text(f"no: {why}"))
        return shown


def samples(episodes: Sequence[Episode], contract: Contract) -> Samples:
    """The samples of some episodes under one numbering."""
    return Samples([episode.rows for episode in episodes], contract.observation.history)


def read_demonstrations(
    paths: Sequence[Path], contract: Contract, how: Reading = Reading(), folder: Path | None = None
) -> Demonstrations:
    """All bags that are fit to be learnt from; the others are told, and left out.

    Args:
        paths: of bags, or of folders full of them.
        contract: of the policy that is to be taught.
        how: which bags are fit.
        folder: as in `read_episode`.

    Raises:
        JackError: none is fit; says of each why.
    """
    episodes: dict[str, Episode] = {}
    left_out: list[tuple[Path, str]] = []
    for path in find_bags(paths):
        try:
            episode = read_episode(path, contract, how, folder)
        except JackError as error:
            left_out.append((path, str(error).removeprefix(f"{path} is not fit for training: ")))
            continue
        if (same := episodes.setdefault(episode.sha256, episode)) is not episode:
            left_out.append((path, f"it is {same.path.name} once more."))
    if not episodes:
        reasons = " ".join(f"{path.name}: {why}" for path, why in left_out)
        raise JackError(f"No demonstration is fit to be learnt from. {reasons} Record some: ./jack record")
    return Demonstrations(list(episodes.values()), left_out)


def find_bags(paths: Sequence[Path]) -> list[Path]:
    """The bags that are meant: each path itself, or what lies in it.

    Raises:
        BagError: a path that is no bag and has none in it.
    """
    found = []
    for path in paths:
        try:
            Bag(path)
            found.append(path)
        except BagError:
            inner = sorted(bag for bag in path.iterdir() if _is_bag(bag)) if path.is_dir() else []
            if not inner:
                raise
            found += inner
    return found


def _is_bag(path: Path) -> bool:
    with suppress(BagError):
        Bag(path)
        return path.is_dir()
    return False
