"""LeRobot's data sets, version 3: their layout, and bags written as one.

A frame is a moment at which a policy commanded: what joints and IMU said then, what was asked of him, the newest
picture, and the targets that he gave his joints. Numbers are Parquet, pictures one film. The layout:
https://huggingface.co/docs/lerobot/lerobot-dataset-v3. It takes `pyarrow` and `av`, which nothing else here needs.
"""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from jack_contract.arrays import Array
from jack_contract.contract import Contract
from jack_contract.errors import JackError
from jack_contract.robot import RobotSpec
from jack_trainer.imitation.bag import Bag
from jack_trainer.imitation.frames import Frames, newest, read_frames
from jack_trainer.imitation.pictures import TOPIC, Jpeg, read_jpegs

#: Of an episode that says nothing of what he was asked to do.
NO_TASK = "follow the velocity command"
STATE, COMMAND, ACTION, PICTURE = "observation.state", "observation.command", "action", "observation.images.camera"
VERSION = "v3.0"
PLACE = "chunk-{chunk_index:03d}/file-{file_index:03d}"
VELOCITIES = ("vx", "vy", "yaw_rate")
IMU = [f"orientation_{axis}" for axis in "xyzw"] + [
    f"{kind}_{axis}" for kind in ("angular_velocity", "linear_acceleration") for axis in "xyz"
]
_INDEX = ("frame_index", "episode_index", "index", "task_index")
#: So many pictures, evenly spread, are looked at for their mean and spread.
_SAMPLED = 200

Picture = NDArray[np.uint8]


@dataclass(frozen=True)
class Pictured:
    """An episode, and what was seen in it."""

    frames: Frames
    task: str
    #: all pictures as they were sent, and which of them each frame saw, (t,); none where there are none
    jpegs: Sequence[Jpeg]
    seen: NDArray[np.intp]

    def __len__(self) -> int:
        return len(self.frames)

    def columns(self) -> dict[str, Array]:
        """What was felt, asked and done, by LeRobot's names; float32, as he has it."""
        state = self.frames.state
        body = (state.orientation, state.angular_velocity, state.linear_acceleration)
        felt = np.concatenate((state.joint_position, state.joint_velocity, *body), axis=1)
        columns = {STATE: felt, COMMAND: self.frames.command, ACTION: self.frames.target}
        return {name: values.astype(np.float32) for name, values in columns.items()}

    def pictures(self) -> Iterator[Picture]:
        """What each frame saw, RGB (height, width, 3); a JackError if that is no picture."""
        last, picture = -1, None
        for index in self.seen.tolist():
            if picture is None or index != last:
                picture = _decoded(self.jpegs[index].data)
            last = index
            yield picture


def state_names(robot: RobotSpec) -> list[str]:
    """What stands in `observation.state`, in this order."""
    return [f"{joint}_{kind}" for kind in ("position", "velocity") for joint in robot.joint_names] + IMU


def pictured(bag: Bag, robot: RobotSpec, task: str, pictures: bool) -> Pictured:
    """What of a bag is exported. Frames before the first picture are left out, if it has any.

    Raises:
        JackError: there is nothing, or messages that are not of this robot.
    """
    frames = read_frames(bag, robot)
    jpegs = sorted(read_jpegs(bag), key=lambda jpeg: jpeg.time) if pictures else []
    seen = newest(np.array([jpeg.time for jpeg in jpegs], dtype=np.int64), frames.received)
    if jpegs:
        keep = seen >= 0
        if not keep.any():
            raise JackError(f"{bag.path} has no picture before its last command: leave it out, or --no-pictures.")
        frames, seen = frames.rows(keep), seen[keep]
    return Pictured(frames, task or NO_TASK, jpegs, seen)


def export(bags: Sequence[tuple[Bag, str]], contract: Contract, output: Path, pictures: bool = True) -> int:
    """Write bags, each with what he was asked to do in it, as one data set; returns how many frames it has.

    Args:
        bags: with instructions.
        contract: of the robot.
        output: folder, which is made.
        pictures: with pictures, if the bags have any.

    Raises:
        JackError: `pyarrow` or `av` is not installed, the folder is there already, or a bag has nothing to export.
    """
    arrow, parquet = library("pyarrow"), library("pyarrow.parquet")
    if output.exists():
        raise JackError(f"{output} is there already; choose another folder: --output.")
    episodes = [pictured(bag, contract.robot, task, pictures) for bag, task in bags]
    blind = [str(bag.path) for (bag, _), episode in zip(bags, episodes, strict=True) if not episode.jpegs]
    if blind and len(blind) < len(episodes):
        raise JackError(f"{', '.join(blind[:3])} has no pictures ({TOPIC}), others have. Add --no-pictures.")
    aside = output.with_name(f".{output.name}.unfinished")
    shutil.rmtree(aside, ignore_errors=True)
    try:
        _Writer(aside, episodes, contract.robot, arrow, parquet).write()
        aside.rename(output)
    except OSError as error:
        words = error.strerror or str(error)
        raise JackError(f"{output} cannot be written ({words}). Make room, or choose --output.") from error
    finally:
        shutil.rmtree(aside, ignore_errors=True)
    return sum(map(len, episodes))


def library(name: str) -> Any:  # noqa: ANN401
    """A library that only LeRobot's data sets need.

    Raises:
        JackError: it is not installed; says what to type.
    """
    try:
        return import_module(name)
    except ImportError as error:
        package = name.split(".")[0]
        words = f"LeRobot's data sets need {package}: type {sys.executable} -m pip install {package}"
        raise JackError(words) from error


def _decoded(data: bytes) -> Picture:
    picture = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
    if picture is None:
        raise JackError("A picture cannot be decoded. Leave its bag out, or pictures: --no-pictures.")
    return np.asarray(picture[..., ::-1], dtype=np.uint8)


class _Writer:
    """Writes one data set, all of it in the first file of each kind."""

    def __init__(
        self,
        root: Path,
        episodes: Sequence[Pictured],
        robot: RobotSpec,
        arrow: Any,  # noqa: ANN401
        parquet: Any,  # noqa: ANN401
    ) -> None:
        self._root, self._episodes, self._robot = root, episodes, robot
        self._arrow, self._parquet = arrow, parquet
        self._tasks = list(dict.fromkeys(episode.task for episode in episodes))
        self._rate = round(1.0 / robot.control_period)
        self._lengths = np.array([len(episode) for episode in episodes])
        self._ends = np.cumsum(self._lengths)
        self._place = PLACE.format(chunk_index=0, file_index=0)
        self._film: dict[str, Any] | None = None

    def write(self) -> None:
        for folder in ("meta/episodes/chunk-000", "data/chunk-000"):
            (self._root / folder).mkdir(parents=True)
        stats = self._write_data()
        if self._episodes[0].jpegs:
            stats |= self._write_film()
        self._write_episodes()
        self._parquet.write_table(_task_table(self._tasks, self._arrow), self._root / "meta/tasks.parquet")
        for name, data in (("stats", stats), ("info", self._info())):
            (self._root / f"meta/{name}.json").write_text(json.dumps(data, indent=1))

    def _write_data(self) -> dict[str, Any]:
        """Everything that is a number; returns what is known of its distribution."""
        parts = [episode.columns() for episode in self._episodes]
        columns = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
        lengths = self._lengths.tolist()
        counted = np.concatenate([np.arange(length) for length in lengths])
        index = {
            "timestamp": (counted / self._rate).astype(np.float32),
            "frame_index": counted,
            "episode_index": np.repeat(np.arange(len(lengths)), lengths),
            "index": np.arange(self._ends[-1]),
            "task_index": np.repeat([self._tasks.index(episode.task) for episode in self._episodes], lengths),
        }
        lists = {
            name: self._arrow.FixedSizeListArray.from_arrays(self._arrow.array(values.ravel()), values.shape[1])
            for name, values in columns.items()
        }
        table = self._arrow.table(lists | index)
        self._parquet.write_table(table, self._root / f"data/{self._place}.parquet")
        everything = columns | {name: values[:, None] for name, values in index.items()}
        return {name: _statistics(values.astype(np.float64)) for name, values in everything.items()}

    def _write_film(self) -> dict[str, Any]:
        """What was seen, one picture a frame; returns what is known of its colours."""
        from jack_trainer.imitation.lerobot_film import write_film

        path = self._root / f"videos/{PICTURE}/{self._place}.mp4"
        path.parent.mkdir(parents=True)
        every, sample = max(1, int(self._ends[-1]) // _SAMPLED), []

        def pictures() -> Iterator[Picture]:
            number = 0
            for episode in self._episodes:
                for picture in episode.pictures():
                    if number % every == 0:
                        sample.append(picture)
                    number += 1
                    yield picture

        self._film = write_film(path, pictures(), self._rate)
        return {PICTURE: _colours(sample)}

    def _write_episodes(self) -> None:
        count, starts = len(self._lengths), self._ends - self._lengths
        zeros = [0] * count
        meta = {
            "episode_index": list(range(count)),
            "tasks": [[episode.task] for episode in self._episodes],
            "length": self._lengths.tolist(),
            "data/chunk_index": zeros,
            "data/file_index": zeros,
            "dataset_from_index": starts.tolist(),
            "dataset_to_index": self._ends.tolist(),
            "meta/episodes/chunk_index": zeros,
            "meta/episodes/file_index": zeros,
        }
        if self._film is not None:
            meta |= {
                f"videos/{PICTURE}/chunk_index": zeros,
                f"videos/{PICTURE}/file_index": zeros,
                f"videos/{PICTURE}/from_timestamp": (starts / self._rate).tolist(),
                f"videos/{PICTURE}/to_timestamp": (self._ends / self._rate).tolist(),
            }
        self._parquet.write_table(self._arrow.table(meta), self._root / f"meta/episodes/{self._place}.parquet")

    def _info(self) -> dict[str, Any]:
        robot, film = self._robot, self._film
        named = {STATE: state_names(robot), COMMAND: list(VELOCITIES), ACTION: list(robot.joint_names)}
        features: dict[str, Any] = {
            name: {"dtype": "float32", "shape": [len(names)], "names": names} for name, names in named.items()
        }
        if film is not None:
            shape, names = [film["video.height"], film["video.width"], 3], ["height", "width", "channels"]
            features[PICTURE] = {"dtype": "video", "shape": shape, "names": names, "info": film}
        features["timestamp"] = {"dtype": "float32", "shape": [1], "names": None}
        features |= {name: {"dtype": "int64", "shape": [1], "names": None} for name in _INDEX}
        return {
            "codebase_version": VERSION,
            "robot_type": robot.name,
            "total_episodes": len(self._lengths),
            "total_frames": int(self._ends[-1]),
            "total_tasks": len(self._tasks),
            "chunks_size": 1000,
            "data_files_size_in_mb": 100,
            "video_files_size_in_mb": 200,
            "fps": self._rate,
            "splits": {"train": f"0:{len(self._lengths)}"},
            "data_path": f"data/{PLACE}.parquet",
            "video_path": None if film is None else f"videos/{{video_key}}/{PLACE}.mp4",
            "features": features,
        }


def _task_table(tasks: Sequence[str], arrow: Any) -> Any:  # noqa: ANN401
    """Tasks as pandas would write them, which is what LeRobot reads them with: the words are the index."""
    column = {"pandas_type": "int64", "numpy_type": "int64", "metadata": None}
    words = {"pandas_type": "unicode", "numpy_type": "object", "metadata": None}
    pandas = {
        "index_columns": ["task"],
        "column_indexes": [],
        "columns": [
            {"name": "task_index", "field_name": "task_index", **column},
            {"name": "task", "field_name": "task", **words},
        ],
        "pandas_version": "2.0.0",
    }
    table = arrow.table({"task_index": list(range(len(tasks))), "task": list(tasks)})
    return table.replace_schema_metadata({"pandas": json.dumps(pandas)})


def _statistics(values: Array) -> dict[str, list[float]]:
    return {
        "min": values.min(0).tolist(),
        "max": values.max(0).tolist(),
        "mean": values.mean(0).tolist(),
        "std": values.std(0).tolist(),
        "count": [len(values)],
    }


def _colours(pictures: Sequence[Picture]) -> dict[str, Any]:
    """Of each of three colours in 0..1, as (3, 1, 1)."""
    told = _statistics(np.concatenate([picture.reshape(-1, 3) for picture in pictures]) / 255.0)
    spread = {name: [[[number]] for number in numbers] for name, numbers in told.items()}
    return spread | {"count": [len(pictures)]}
