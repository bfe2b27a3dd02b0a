"""Episodes of a LeRobot data set, version 3, as bags: what others recorded of a robot, in Jack's own form.

What a frame says of joints and IMU becomes the messages that a robot would have sent, so that everything that reads
bags reads it. Numbers are found by the names that `meta/info.json` gives them: an order is never assumed.
"""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from pydantic import BaseModel, Field, ValidationError

from jack_contract.arrays import Float64
from jack_contract.errors import JackError
from jack_contract.robot import RobotSpec
from jack_trainer.files import sync
from jack_trainer.imitation.bag_of_moments import Moments, write_bag
from jack_trainer.imitation.lerobot import (
    ACTION,
    COMMAND,
    NO_TASK,
    PLACE,
    STATE,
    VELOCITIES,
    VERSION,
    Picture,
    library,
    state_names,
)
from jack_trainer.imitation.lerobot_film import read_film

#: A larger info.json is none [bytes].
MAX_INFO = 4 << 20
#: An episode has no more frames, and a data set no more episodes.
MAX_FRAMES, MAX_EPISODES = 1_000_000, 100_000
_CAMERA = re.compile(r"\w[\w.-]{0,199}", re.ASCII)
_TOLD = 6


class _Feature(BaseModel):
    dtype: str
    shape: tuple[int, ...] = ()
    names: Any = None


class _Info(BaseModel):
    """What is needed of `meta/info.json`."""

    codebase_version: str
    fps: float = Field(gt=0.0, le=10_000.0)
    robot_type: str | None = None
    features: dict[str, _Feature]


def import_dataset(folder: Path, robot: RobotSpec, output: Path) -> list[Path]:
    """Write every episode of a data set as a bag; returns their folders.

    Args:
        folder: of the data set.
        robot: whose joints it must have.
        output: folder of the bags, which are named after the data set and the episode.

    Raises:
        JackError: no data set of version 3, or one of another robot, a library that is missing, or a disk that is
            full; says what is there and what was expected. Bags that were written before are whole.
    """
    data = _DataSet(folder, robot)
    paths = [output / f"{folder.resolve().name}-{index:06d}" for index in range(data.count)]
    if taken := [path for path in paths if path.exists()]:
        raise JackError(f"{taken[0]} is there already; choose another folder: --bags.")
    for path, episode in zip(paths, data.episodes(), strict=True):
        aside = path.with_name(f".{path.name}.unfinished")
        shutil.rmtree(aside, ignore_errors=True)
        try:
            write_bag(aside, path.name, episode, robot)
            aside.rename(path)
            sync(output)
        except OSError as error:
            words = error.strerror or str(error)
            raise JackError(f"{path} cannot be written ({words}). Make room, or choose another folder.") from error
        finally:
            shutil.rmtree(aside, ignore_errors=True)
    return paths


class _DataSet:
    """A data set that is read."""

    def __init__(self, folder: Path, robot: RobotSpec) -> None:
        self.folder, self.robot = folder, robot
        self._parquet = library("pyarrow.parquet")
        self.info = _read_info(folder)
        self._columns = {
            STATE: self._order(STATE, state_names(robot)),
            ACTION: self._order(ACTION, list(robot.joint_names)),
        }
        if COMMAND in self.info.features:
            self._columns[COMMAND] = self._order(COMMAND, list(VELOCITIES))
        seen = [name for name, feature in self.info.features.items() if feature.dtype in ("video", "image")]
        #: what is seen, the first of several cameras; empty: nothing
        self.camera = seen[0] if seen else ""
        if self.camera and not _CAMERA.fullmatch(self.camera):  # it is the name of a folder
            raise self._odd("meta/info.json", f"a camera called {self.camera}")
        self._rows = [row for path in self._files("meta/episodes") for row in self._read(path)]
        self._rows.sort(key=lambda row: int(row["episode_index"]))
        self.count = len(self._rows)
        if not 0 < self.count <= MAX_EPISODES:
            raise JackError(f"{folder} has {self.count} episodes; expected 1 to {MAX_EPISODES:,}.")

    def episodes(self) -> Iterator[Moments]:
        """One after another."""
        for row in self._rows:
            yield self._episode(row)

    def _episode(self, row: dict[str, Any]) -> Moments:
        try:
            index, tasks = int(row["episode_index"]), [str(task) for task in row["tasks"]]
            place = PLACE.format(chunk_index=int(row["data/chunk_index"]), file_index=int(row["data/file_index"]))
        except (KeyError, TypeError, ValueError) as error:
            raise self._odd("meta/episodes", f"{error!r}") from error
        image = self.camera if self.camera and self.info.features[self.camera].dtype == "image" else ""
        wanted = [*self._columns, *([image] if image else [])]
        rows = self._read(self.folder / f"data/{place}.parquet", wanted, index)
        values = {name: self._numbers(name, rows) for name in self._columns}
        command = values.get(COMMAND, np.zeros((len(rows), len(VELOCITIES))))
        pictures = iter(_unpacked(entry[image]) for entry in rows) if image else self._film(row)
        task = "" if tasks[:1] == [NO_TASK] else "; ".join(tasks)
        note = f"imported from {self.folder.resolve().name}, a data set of LeRobot"
        return Moments(self.info.fps, task, note, values[STATE], command, values[ACTION], pictures)

    def _numbers(self, name: str, rows: list[dict[str, Any]]) -> Float64:
        """A feature in our order, (t, n)."""
        try:
            values = np.array([entry[name] for entry in rows], dtype=np.float64)
            values = values[:, self._columns[name]]
        except (ValueError, IndexError, TypeError) as error:
            raise self._odd(name, f"rows of other lengths ({error})") from error
        if not np.isfinite(values).all():
            raise self._odd(name, "numbers that are not finite")
        return values

    def _film(self, row: dict[str, Any]) -> Iterator[Picture]:
        if not self.camera:
            return iter(())
        try:
            found = {name: row[f"videos/{self.camera}/{name}"] for name in ("chunk_index", "file_index")}
            place = PLACE.format(**{name: int(number) for name, number in found.items()})
            begin, end = (float(row[f"videos/{self.camera}/{name}_timestamp"]) for name in ("from", "to"))
        except (KeyError, TypeError, ValueError) as error:
            raise self._odd("meta/episodes", f"{error!r}") from error
        return read_film(self.folder / f"videos/{self.camera}/{place}.mp4", begin, end)

    def _order(self, name: str, wanted: list[str]) -> list[int]:
        """Where in a feature each number that is wanted stands."""
        feature = self.info.features.get(name)
        if feature is None:
            raise JackError(
                f"{self.folder} has no feature '{name}'; it has: {_some(self.info.features)}; "
                f"expected: {STATE} and {ACTION} of '{self.robot.name}'."
            )
        names = _flat(feature.names)
        if lacks := [entry for entry in wanted if entry not in names]:
            raise JackError(
                f"{self.folder}: '{name}' lacks {_some(lacks)}; it has: {_some(names)}; "
                f"expected the names of robot '{self.robot.name}'."
            )
        return [names.index(entry) for entry in wanted]

    def _files(self, place: str) -> list[Path]:
        found = sorted((self.folder / place).glob("chunk-*/file-*.parquet"))
        if not found:
            raise JackError(
                f"{self.folder} has no {place}/chunk-000/file-000.parquet: it is no data set of LeRobot."
            )
        return found

    def _read(self, path: Path, columns: list[str] | None = None, episode: int = -1) -> list[dict[str, Any]]:
        """Rows of a file; of those of one episode, the columns that are wanted."""
        parquet = self._parquet
        try:
            if parquet.read_metadata(path).num_rows > MAX_FRAMES * 100:
                raise self._odd(path.name, "too many rows")
            given = {"columns": columns, "filters": [("episode_index", "=", episode)]} if columns else {}
            table = parquet.read_table(path, partitioning=None, **given)
            if columns is None:
                table = table.select([name for name in table.column_names if not name.startswith("stats/")])
            if not 0 < table.num_rows <= MAX_FRAMES:
                raise self._odd(path.name, f"{table.num_rows} rows of episode {episode}")
            return table.to_pylist()
        except (OSError, ValueError, KeyError, MemoryError, RuntimeError) as error:  # arrow's are some of these
            raise self._odd(str(path), str(error).splitlines()[0] if str(error) else repr(error)) from error

    def _odd(self, where: str, found: str) -> JackError:
        return JackError(
            f"{self.folder}, {where[:200]}: found {found[:300]}; expected LeRobot's layout, {VERSION}."
        )


def _read_info(folder: Path) -> _Info:
    path = folder / "meta/info.json"
    try:
        if path.stat().st_size > MAX_INFO:
            raise JackError(f"{path} has more than {MAX_INFO} bytes: it is none of LeRobot.")
        info = _Info.model_validate(json.loads(path.read_bytes()))
    except OSError as error:
        raise JackError(f"{folder} is no data set of LeRobot: {path} cannot be read ({error.strerror}).") from error
    except (ValidationError, ValueError, RecursionError) as error:
        raise JackError(f"{path} is not what LeRobot writes: {str(error)[:500]}") from error
    if info.codebase_version != VERSION:
        raise JackError(
            f"{folder} has version {info.codebase_version[:20]} of LeRobot's layout; known: {VERSION}. "
            f"LeRobot converts older ones."
        )
    return info


def _flat(names: object) -> list[str]:
    """Names of numbers: a list, or, as some data sets have it, a list under a word."""
    if isinstance(names, dict) and len(names) == 1:
        names = next(iter(names.values()))
    return [str(name) for name in names] if isinstance(names, list) else []


def _some(names: object) -> str:
    ordered = [str(name)[:60] for name in names]  # type: ignore[attr-defined] - a list or a dict
    more = [f"and {len(ordered) - _TOLD} more"] if len(ordered) > _TOLD else []
    return ", ".join([*ordered[:_TOLD], *more]) or "nothing"


def _unpacked(entry: object) -> Picture:
    """A picture that stands in a table: a file, JPEG or PNG."""
    data = entry.get("bytes") if isinstance(entry, dict) else None
    if not isinstance(data, bytes):
        raise JackError("A picture of the data set is not in its table.")
    picture = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
    if picture is None:
        raise JackError("A picture of the data set is no JPEG and no PNG.")
    return np.asarray(picture[..., ::-1], dtype=np.uint8)
