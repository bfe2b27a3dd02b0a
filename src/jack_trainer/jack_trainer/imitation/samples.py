"""What is learnt from: rows of what was seen and done, one a control period, on disk or in memory.

A row holds the newest frame only. The history that a policy sees is put together from the rows before it, so that
a recording takes an eighth of the room, and a file can be as large as it likes: it is mapped, not read.
"""

from __future__ import annotations

import hashlib
import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from jack_contract.arrays import Float32
from jack_contract.contract import Contract
from jack_contract.observation import COMMAND_SIZE
from jack_trainer.files import replace_file

#: Rows of `layout`.
Rows = NDArray[np.void]
#: At the end of a file: the SHA-256 of all before it.
_SEAL = hashlib.sha256().digest_size
#: Bytes that are looked at at once.
_BLOCK = 1 << 20


def layout(contract: Contract) -> np.dtype[np.void]:
    """How rows are laid out for a contract."""
    observation = contract.observation
    return np.dtype(
        [
            #: when the readings were taken [s]
            ("time", "<f8"),
            #: one frame of the observation, as a policy sees it
            ("frame", "<f4", (observation.frame_size,)),
            #: the velocity command as a policy sees it: vx, vy [m/s], yaw rate [rad/s]
            ("command", "<f4", (COMMAND_SIZE,)),
            #: what was done, or should have been
            ("action", "<f4", (contract.robot.count,)),
            #: so many rows before it belong to its history; what is missing of it is the first of them again
            ("back", "<u2"),
            #: whether it is to be learnt from; else it is only there for the histories of others
            ("use", "?"),
        ]
    )


def save_rows(path: Path, rows: Rows) -> None:
    """Write rows as a .npy file, sealed; an OSError if the disk does not take it."""
    buffer = io.BytesIO()
    np.lib.format.write_array(buffer, rows, allow_pickle=False)
    data = buffer.getvalue()
    path.parent.mkdir(parents=True, exist_ok=True)
    replace_file(path, data + hashlib.sha256(data).digest())


def map_rows(path: Path, expected: np.dtype[np.void]) -> Rows | None:
    """The rows of a file, mapped; None if it is not there, torn, spoilt, or laid out in another way."""
    try:
        if not _is_sealed(path):
            return None
        rows = np.load(path, mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError):
        return None
    return rows if rows.dtype == expected and rows.ndim == 1 else None


def _is_sealed(path: Path) -> bool:
    digest, left = hashlib.sha256(), path.stat().st_size - _SEAL
    with path.open("rb") as file:
        while left > 0 and (block := file.read(min(left, _BLOCK))):
            digest.update(block)
            left -= len(block)
        return left == 0 and file.read() == digest.digest()


@dataclass(frozen=True)
class Batch:
    """Some samples."""

    #: histories, oldest first, raw units, (B, H, D)
    proprioception: Float32
    #: (B, 3)
    command: Float32
    #: (B, n)
    action: Float32


def windows(frames: Float32, back: NDArray[np.integer], ids: NDArray[np.integer], length: int) -> Float32:
    """Histories: the newest `length` frames at some rows (B,), oldest first, (B, length, D).

    Args:
        frames: (T, D).
        back: how many rows before each belong to its history, (T,).
        ids: of the rows.
        length: of a history.
    """
    age = np.minimum(np.arange(length - 1, -1, -1), back[ids].astype(np.int64)[:, None])
    return frames[ids[:, None] - age]


class Samples:
    """The usable rows of many recordings, under numbers from 0 on."""

    def __init__(self, parts: Sequence[Rows], history: int) -> None:
        """Of these recordings; a policy sees `history` frames."""
        self._parts, self._history = list(parts), history
        self._usable = [np.flatnonzero(part["use"]) for part in parts]
        self._ends = np.cumsum([len(usable) for usable in self._usable], dtype=np.int64)

    def __len__(self) -> int:
        return int(self._ends[-1]) if len(self._ends) else 0

    def take(self, ids: NDArray[np.integer]) -> Batch:
        """Those of some numbers (B,), in their order."""
        which = np.searchsorted(self._ends, ids, side="right")
        kind, count = self._parts[0].dtype, len(ids)
        frames, command, action = (kind[name].shape for name in ("frame", "command", "action"))
        batch = Batch(
            np.empty((count, self._history, *frames), np.float32),
            np.empty((count, *command), np.float32),
            np.empty((count, *action), np.float32),
        )
        for part in np.unique(which).tolist():
            mine, rows = which == part, self._parts[part]
            chosen = self._usable[part][ids[mine] - (self._ends[part] - len(self._usable[part]))]
            batch.proprioception[mine] = windows(rows["frame"], rows["back"], chosen, self._history)
            batch.command[mine], batch.action[mine] = rows["command"][chosen], rows["action"][chosen]
        return batch

    def frames(self) -> Float32:
        """The newest frame of each, (N, D)."""
        return np.concatenate(
            [part["frame"][usable] for part, usable in zip(self._parts, self._usable, strict=True)]
        )
