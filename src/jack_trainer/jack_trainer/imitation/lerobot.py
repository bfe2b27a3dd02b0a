"""Bags as a LeRobot data set, version 3: what is learnt from without pictures, in Parquet.

A frame is a moment at which a policy commanded: what joints and IMU said then, what was asked of him, and the
targets that he gave his joints. The layout: https://huggingface.co/docs/lerobot/lerobot-dataset-v3. It is written
with `pyarrow`, which Jack himself does not need.
"""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np

from jack_contract.arrays import Array
from jack_contract.contract import Contract
from jack_contract.errors import JackError
from jack_contract.robot import RobotSpec
from jack_contract.wire import CommandReader, StateReader, nanoseconds
from jack_trainer.imitation.bag import Bag, Recorded

#: Of an episode that says nothing of what he was asked to do.
NO_TASK = "follow the velocity command"
STATE, COMMAND, ACTION = "observation.state", "observation.command", "action"
_RUN = 1  # as in jack_msgs/JointCommand
_NEEDED = ("joint_states", "imu/data", "joint_command")
_PLACE = "chunk-{chunk_index:03d}/file-{file_index:03d}"
_IMU = [f"orientation_{axis}" for axis in "xyzw"] + [
    f"{kind}_{axis}" for kind in ("angular_velocity", "linear_acceleration") for axis in "xyz"
]


@dataclass(frozen=True)
class Frames:
    """One episode."""

    task: str
    #: positions [rad] and velocities [rad/s] of the joints, then what `_IMU` names, (t, 2 n + 10)
    state: Array
    #: vx, vy [m/s], yaw rate [rad/s], (t, 3)
    command: Array
    #: joint targets, (t, n) [rad]
    action: Array

    def columns(self) -> dict[str, Array]:
        """What was seen and done, by LeRobot's names."""
        return {STATE: self.state, COMMAND: self.command, ACTION: self.action}


def frames(bag: Bag, robot: RobotSpec, task: str) -> Frames:
    """The frames of a bag.

    Raises:
        JackError: there are none, or messages that are not of this robot.
    """
    found = bag.collect(_topics(bag))
    by_name = {name: next((m for topic, m in found.items() if topic.endswith(f"/{name}")), []) for name in _NEEDED}
    joints, imus = (_by_stamp(by_name[name]) for name in _NEEDED[:2])
    velocities = next((m for topic, m in found.items() if topic.endswith("/cmd_vel")), [])
    rows, asked, states, commands = [], _Asked(velocities), StateReader(robot), CommandReader(robot)
    for recorded in by_name["joint_command"]:
        stamp = nanoseconds(recorded.message.header.stamp)
        if recorded.message.mode != _RUN or stamp not in joints or stamp not in imus:
            continue
        state = states.read(joints[stamp], imus[stamp])
        body = (state.orientation, state.angular_velocity, state.linear_acceleration)
        seen = np.concatenate((state.joint_position, state.joint_velocity, *body))
        rows.append((seen, asked.at(recorded.time), commands.read(recorded.message).position))
    if not rows:
        raise JackError(f"{bag.path} has no moment at which a policy commanded '{robot.name}': nothing to export.")
    return Frames(task or NO_TASK, *(np.array(column, dtype=np.float32) for column in zip(*rows, strict=True)))


def export(bags: Sequence[tuple[Bag, str]], contract: Contract, output: Path) -> int:
    """Write bags, each with what he was asked to do in it, as one data set; returns how many frames it has.

    Raises:
        JackError: `pyarrow` is not installed, the folder is there already, or a bag has nothing to export.
    """
    arrow, parquet = _pyarrow()
    if output.exists():
        raise JackError(f"{output} is there already; choose another folder: --output.")
    episodes = [frames(bag, contract.robot, task) for bag, task in bags]
    aside = output.with_name(f".{output.name}.unfinished")
    shutil.rmtree(aside, ignore_errors=True)
    try:
        _write(aside, episodes, contract.robot, arrow, parquet)
        aside.rename(output)
    except OSError as error:
        shutil.rmtree(aside, ignore_errors=True)
        raise JackError(f"{output} cannot be written ({error.strerror}). Make room, or choose --output.") from error
    return sum(len(episode.action) for episode in episodes)


class _Asked:
    """The velocity that was asked for last."""

    def __init__(self, velocities: Sequence[Recorded]) -> None:
        self._times = [recorded.time for recorded in velocities]
        self._values = [(m.linear.x, m.linear.y, m.angular.z) for m in (r.message for r in velocities)]

    def at(self, time: int) -> Array:
        """At a time of the recorder [ns]; zero before the first."""
        index = int(np.searchsorted(self._times, time, side="right")) - 1
        return np.array(self._values[index] if index >= 0 else (0.0, 0.0, 0.0))


def _topics(bag: Bag) -> list[str]:
    """The full names of the topics that frames are made of."""
    wanted = tuple(f"/{name}" for name in (*_NEEDED, "cmd_vel"))
    for _ in bag.read(()):
        pass  # decodes nothing: it only sees what is there
    return [topic for topic in bag.topics if topic.endswith(wanted)]


def _by_stamp(messages: Sequence[Recorded]) -> dict[int, Any]:
    return {nanoseconds(recorded.message.header.stamp): recorded.message for recorded in messages}


def _pyarrow() -> tuple[Any, Any]:
    try:
        return import_module("pyarrow"), import_module("pyarrow.parquet")
    except ImportError as error:
        raise JackError(f"LeRobot's files are Parquet: type {sys.executable} -m pip install pyarrow") from error


def _write(root: Path, episodes: Sequence[Frames], robot: RobotSpec, arrow: Any, parquet: Any) -> None:  # noqa: ANN401
    tasks = list(dict.fromkeys(episode.task for episode in episodes))
    rate = round(1.0 / robot.control_period)
    lengths = [len(episode.action) for episode in episodes]
    ends = np.cumsum(lengths)
    place = _PLACE.format(chunk_index=0, file_index=0)
    for folder in ("meta/episodes/chunk-000", "data/chunk-000"):
        (root / folder).mkdir(parents=True)
    columns = {
        name: np.concatenate([episode.columns()[name] for episode in episodes]) for name in (STATE, COMMAND, ACTION)
    }
    index = {
        "timestamp": np.concatenate([np.arange(length) / rate for length in lengths]).astype(np.float32),
        "frame_index": np.concatenate([np.arange(length) for length in lengths]),
        "episode_index": np.repeat(np.arange(len(lengths)), lengths),
        "index": np.arange(ends[-1]),
        "task_index": np.repeat([tasks.index(episode.task) for episode in episodes], lengths),
    }
    lists = {
        name: arrow.FixedSizeListArray.from_arrays(arrow.array(values.ravel()), values.shape[1])
        for name, values in columns.items()
    }
    parquet.write_table(arrow.table(lists | index), root / f"data/{place}.parquet")
    meta = {
        "episode_index": list(range(len(lengths))),
        "tasks": [[episode.task] for episode in episodes],
        "length": lengths,
        "data/chunk_index": [0] * len(lengths),
        "data/file_index": [0] * len(lengths),
        "dataset_from_index": (ends - lengths).tolist(),
        "dataset_to_index": ends.tolist(),
        "meta/episodes/chunk_index": [0] * len(lengths),
        "meta/episodes/file_index": [0] * len(lengths),
    }
    parquet.write_table(arrow.table(meta), root / f"meta/episodes/{place}.parquet")
    parquet.write_table(_task_table(tasks, arrow), root / "meta/tasks.parquet")
    everything = columns | {name: values[:, None] for name, values in index.items()}
    stats = {name: _statistics(values.astype(np.float64)) for name, values in everything.items()}
    (root / "meta/stats.json").write_text(json.dumps(stats, indent=1))
    (root / "meta/info.json").write_text(json.dumps(_info(robot, rate, lengths, len(tasks)), indent=1))


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


def _info(robot: RobotSpec, rate: int, lengths: Sequence[int], tasks: int) -> dict[str, Any]:
    joints = list(robot.joint_names)
    state = [f"{joint}_{kind}" for kind in ("position", "velocity") for joint in joints] + _IMU
    named = {STATE: state, COMMAND: ["vx", "vy", "yaw_rate"], ACTION: joints}
    features = {name: {"dtype": "float32", "shape": [len(names)], "names": names} for name, names in named.items()}
    features["timestamp"] = {"dtype": "float32", "shape": [1], "names": None}
    for name in ("frame_index", "episode_index", "index", "task_index"):
        features[name] = {"dtype": "int64", "shape": [1], "names": None}
    return {
        "codebase_version": "v3.0",
        "robot_type": robot.name,
        "total_episodes": len(lengths),
        "total_frames": sum(lengths),
        "total_tasks": tasks,
        "chunks_size": 1000,
        "data_files_size_in_mb": 100,
        "video_files_size_in_mb": 200,
        "fps": rate,
        "splits": {"train": f"0:{len(lengths)}"},
        "data_path": f"data/{_PLACE}.parquet",
        "video_path": None,
        "features": features,
    }
