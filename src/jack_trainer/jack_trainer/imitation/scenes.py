"""Demonstrations that are seen and told: rows of a control period each, pictures, and what was said to them.

All of it is mapped from files, not read. Rows are as in `samples`, with a few numbers more; pictures lie in a file
of their own, once each, for a picture serves several rows. What was asked for is kept as all the sentences that ask
for it: each time a row is learnt from, another one may be said.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from jack_brain.chunk import chunk_width
from jack_contract.arrays import Float32
from jack_contract.contract import Contract
from jack_contract.errors import JackError
from jack_trainer.imitation.samples import Rows, layout, map_rows, save_rows, windows
from jack_trainer.tasks.instructions import Goal, Skill, goals

#: Files of a folder of scenes.
ROWS, PICTURES, SENTENCES = "rows.npy", "pictures.npy", "sentences.npy"


def scene_layout(contract: Contract) -> np.dtype[np.void]:
    """How rows are laid out: as in `samples.layout`, and what follows."""
    more = [
        #: what an expert did with the arms, and asked of the legs: a row of a chunk, see `jack_brain.chunk.to_rows`
        ("row", "<f4", (chunk_width(contract.robot),)),
        #: so many rows after it belong to the same episode
        ("ahead", "<u2"),
        #: the newest picture
        ("picture", "<i4"),
        #: what was asked for
        ("goal", "<i4"),
        #: where the named object is, in the frame of the pelvis; NaN if none is named [m] ...
        ("place", "<f4", (3,)),
        #: ... and in the picture: from left to right, from top to bottom, 0 to 1; NaN if it is not in it
        ("pixel", "<f4", (2,)),
        #: how much of what was asked for is done, 0 to 1
        ("done", "<f4"),
    ]
    return np.dtype([*layout(contract).descr, *more])


@dataclass(frozen=True)
class Scenes:
    """Demonstrations of one folder."""

    #: (T,), see `scene_layout`
    rows: Rows
    #: RGB, (M, 3, h, w)
    pictures: NDArray[np.uint8]
    #: by goal: sentences that ask for it, token ids, (G, S, L); a goal with fewer than S has some of them again
    sentences: NDArray[np.int64]

    def save(self, folder: Path) -> None:
        """Write the three files; an OSError if the disk does not take them."""
        folder.mkdir(parents=True, exist_ok=True)
        save_rows(folder / PICTURES, self.pictures)  # type: ignore[arg-type] - any array
        save_rows(folder / SENTENCES, self.sentences)  # type: ignore[arg-type] - any array
        save_rows(folder / ROWS, self.rows)  # last: with it, all are there


def map_scenes(folder: Path, contract: Contract) -> Scenes:
    """The scenes of a folder, mapped.

    Raises:
        JackError: a file is not there, spoilt, or made for another contract; says which.
    """
    camera, words = contract.camera, contract.instruction
    rows = map_rows(folder / ROWS, scene_layout(contract))
    pictures = _mapped(folder / PICTURES, np.uint8, (3, camera.height, camera.width))
    sentences = _mapped(folder / SENTENCES, np.int64, (words.length,))
    if rows is None:
        raise JackError(
            f"{folder / ROWS} is not there, spoilt, or of another contract. Delete it, then: ./jack scenes"
        )
    scenes = Scenes(rows, pictures, sentences)
    for field, count in (("picture", len(pictures)), ("goal", len(sentences))):
        if not ((rows[field] >= 0) & (rows[field] < count)).all():
            raise JackError(f"{folder / ROWS} names a {field} beyond the {count} that are there.")
    if not (sentences.min() >= 0 and sentences.max() < words.vocabulary):
        raise JackError(f"{folder / SENTENCES} has token ids beyond 0 to {words.vocabulary - 1}.")
    return scenes


def _mapped(path: Path, kind: type, shape: tuple[int, ...]) -> NDArray:
    try:
        array = np.load(path, mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise JackError(f"{path} cannot be read ({error}). Delete {path.parent}, then: ./jack scenes") from error
    if array.dtype != kind or array.shape[-len(shape) :] != shape or not array.size:
        raise JackError(
            f"{path} has {array.dtype} of shape {array.shape}; expected: {kind.__name__} (..., {shape})."
        )
    return array


@dataclass(frozen=True)
class SceneBatch:
    """Some samples."""

    #: histories, oldest first, raw units, (B, H, D)
    proprioception: Float32
    #: token ids, (B, L)
    instruction: NDArray[np.int64]
    #: (B, 3, h, w)
    image: NDArray[np.uint8]
    #: (B, K, m)
    chunk: Float32
    #: (B, 3), NaN where no object is named [m]
    place: Float32
    #: (B, 2), NaN where none is in the picture
    pixel: Float32
    #: (B, 1)
    done: Float32
    #: which kind of deed it is, its number among the skills, (B,)
    deed: NDArray[np.int64]


class SceneSamples:
    """The usable rows of some folders, under numbers from 0 on."""

    def __init__(self, parts: Sequence[Scenes], history: int, length: int) -> None:
        """Of these; a policy sees `history` frames, and a chunk covers `length` control periods."""
        self._parts, self._history, self._length = list(parts), history, length
        self._usable = [np.flatnonzero(part.rows["use"]) for part in parts]
        self._ends = np.cumsum([len(usable) for usable in self._usable], dtype=np.int64)

    def __len__(self) -> int:
        return int(self._ends[-1]) if len(self._ends) else 0

    def take(
        self, ids: NDArray[np.integer], random: np.random.Generator, told: NDArray[np.int64] | None = None
    ) -> SceneBatch:
        """Some samples, ordered by folder and row, each with one of the sentences for its goal.

        Args:
            ids: their numbers, (B,).
            random: chooses the sentences.
            told: for each goal, whose sentences are said instead, (G,); None: its own.
        """
        which = np.searchsorted(self._ends, ids, side="right")
        batches = []
        for part in np.unique(which).tolist():
            first = self._ends[part] - len(self._usable[part])
            chosen = np.sort(self._usable[part][ids[which == part] - first])  # the disk likes it in order
            batches.append(self._of(self._parts[part], chosen, random, told))
        joined = {name: np.concatenate([getattr(batch, name) for batch in batches]) for name in vars(batches[0])}
        return SceneBatch(**joined)

    def chunks(self, most: int = 20_000) -> Float32:
        """Chunk rows of usable rows, evenly spread, at most so many of each folder, (N, m)."""
        return np.concatenate(
            [
                part.rows["row"][usable[:: max(1, len(usable) // most)]]
                for part, usable in zip(self._parts, self._usable, strict=True)
            ]
        )

    def _of(
        self,
        part: Scenes,
        chosen: NDArray[np.integer],
        random: np.random.Generator,
        told: NDArray[np.int64] | None,
    ) -> SceneBatch:
        rows, sentences, goal = part.rows, part.sentences, part.rows["goal"][chosen]
        steps = np.minimum(np.arange(self._length), rows["ahead"][chosen].astype(np.int64)[:, None])
        said = random.integers(sentences.shape[1], size=len(chosen))
        return SceneBatch(
            windows(rows["frame"], rows["back"], chosen, self._history),
            sentences[goal if told is None else told[goal], said],
            part.pictures[rows["picture"][chosen]],
            rows["row"][chosen[:, None] + steps],
            rows["place"][chosen],
            rows["pixel"][chosen],
            rows["done"][chosen][:, None],
            _deeds()[goal],
        )


@cache
def opposites() -> NDArray[np.int64]:
    """For each goal, (G,), the push of the same thing to the other side; where it is no push, itself."""
    every = list(goals())
    return np.array([every.index(Goal(goal.skill.other_side, goal.colour, goal.shape)) for goal in every])


@cache
def _deeds() -> NDArray[np.int64]:
    """Which kind of deed each goal is, (G,)."""
    return np.array([list(Skill).index(goal.skill) for goal in goals()])
