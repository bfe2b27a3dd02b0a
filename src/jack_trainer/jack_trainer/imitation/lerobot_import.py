"""Episodes of a LeRobot data set, version 3, as bags: what others recorded of a robot, in Jack's own form.

What a frame says of joints and IMU becomes the messages that a robot would have sent, so that everything that reads
bags reads it. Numbers are found by the names that `meta/info.json` gives them: an order is never assumed.
"""

from __future__ import annotations

import json
import re
import shutil
import time
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import zip_longest
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from pydantic import BaseModel, Field, ValidationError

from jack_contract.arrays import Float64
from jack_contract.errors import JackError
from jack_contract.robot import RobotSpec
from jack_contract.wire import NANOSECONDS
from jack_trainer.files import sync
from jack_trainer.imitation.bag_file import BagFile, Subject, describe
from jack_trainer.imitation.decoding import encode, part
from jack_trainer.imitation.definitions import define
from jack_trainer.imitation.facts import Facts, TopicFacts
from jack_trainer.imitation.heard import Heard
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
from jack_trainer.imitation.pictures import TOPIC as PICTURES
from jack_trainer.imitation.topics import TOPICS

#: A larger info.json is none [bytes].
MAX_INFO = 4 << 20
#: An episode has no more frames, and a data set no more episodes.
MAX_FRAMES, MAX_EPISODES = 1_000_000, 100_000
_TOPICS = ("joint_states", "imu/data", "cmd_vel", "joint_command", PICTURES)
_CAMERA = re.compile(r"\w[\w.-]{0,199}", re.ASCII)
_CHUNK_BYTES = 64 << 10
_QUALITY = 95
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


@dataclass(frozen=True)
class _Episode:
    """One episode, as the data set has it."""

    index: int
    task: str
    state: Float64
    command: Float64
    action: Float64
    pictures: Iterator[Picture]


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
            aside.mkdir(parents=True)
            _write(aside, path.name, episode, robot, data)
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

    def episodes(self) -> Iterator[_Episode]:
        """One after another."""
        for row in self._rows:
            yield self._episode(row)

    def _episode(self, row: dict[str, Any]) -> _Episode:
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
        return _Episode(index, task, values[STATE], command, values[ACTION], pictures)

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


# -- an episode as a bag


def _write(folder: Path, name: str, episode: _Episode, robot: RobotSpec, data: _DataSet) -> None:
    specs = {topic.name: topic for topic in TOPICS}
    subjects = [Subject(specs[topic], f"/{topic}", define(specs[topic].type)) for topic in _TOPICS]
    started = time.time_ns()
    facts = Facts(
        name=name,
        robot=robot.name,
        joints=robot.joint_names,
        instruction=episode.task,
        started=started,
        note=f"imported from {data.folder.resolve().name}, a data set of LeRobot",
    )
    path = folder / f"{name}_0.mcap"
    file = BagFile(path, subjects, facts, _CHUNK_BYTES)
    counts = dict.fromkeys(range(len(subjects)), 0)
    try:
        for step, topic, message in _messages(episode, robot, data.info.fps):
            at = round(step / data.info.fps * NANOSECONDS)
            file.write(Heard(topic, message, at), started + at)
            counts[topic] += 1
        facts = facts.model_copy(
            update={
                "ended": "imported",
                "duration": (len(episode.state) - 1) / data.info.fps,
                "topics": {
                    subject.name: TopicFacts(
                        type=subject.definition.type,
                        recorded=counts[topic],
                        dropped=0,
                        period=robot.control_period if subject.spec.steady else 0.0,
                        longest=1.0 / data.info.fps,
                    )
                    for topic, subject in enumerate(subjects)
                    if counts[topic]
                },
            }
        )
        file.finish(facts)
    except BaseException:
        file.abandon()
        raise
    describe(path, subjects, facts)


def _messages(episode: _Episode, robot: RobotSpec, rate: float) -> Iterator[tuple[int, int, bytes]]:
    """Frame, topic and message, in the order in which a robot would have sent them."""
    for step, picture in zip_longest(range(len(episode.state)), episode.pictures):
        if step is None:
            return  # a film may be longer
        stamp = divmod(round(step / rate * NANOSECONDS), NANOSECONDS)
        time_ = part("builtin_interfaces/msg/Time", sec=stamp[0], nanosec=stamp[1])
        header = part("std_msgs/msg/Header", stamp=time_, frame_id="")
        yield step, _TOPICS.index("cmd_vel"), _velocity(episode.command[step])
        if picture is not None:
            yield step, _TOPICS.index(PICTURES), _compressed(header, picture)
        yield step, _TOPICS.index("imu/data"), _imu(header, episode.state[step, 2 * robot.count :])
        yield step, _TOPICS.index("joint_states"), _joints(header, robot, episode.state[step])
        yield step, _TOPICS.index("joint_command"), _command(header, robot, episode.action[step])


def _velocity(command: Float64) -> bytes:
    vector = "geometry_msgs/msg/Vector3"
    x, y, turn = command.tolist()
    linear, angular = part(vector, x=x, y=y, z=0.0), part(vector, x=0.0, y=0.0, z=turn)
    return encode("geometry_msgs/msg/Twist", linear=linear, angular=angular)


def _joints(header: object, robot: RobotSpec, state: Float64) -> bytes:
    n = robot.count
    return encode(
        "sensor_msgs/msg/JointState",
        header=header,
        name=list(robot.joint_names),
        position=state[:n],
        velocity=state[n : 2 * n],
        effort=np.zeros(0),
    )


def _imu(header: object, body: Float64) -> bytes:
    unknown, numbers = np.zeros(9), body.tolist()
    turned, turning, pushed = (
        part(f"geometry_msgs/msg/{kind}", **dict(zip(axes, numbers[start:], strict=False)))
        for kind, axes, start in (("Quaternion", "xyzw", 0), ("Vector3", "xyz", 4), ("Vector3", "xyz", 7))
    )
    return encode(
        "sensor_msgs/msg/Imu",
        header=header,
        orientation=turned,
        orientation_covariance=unknown,
        angular_velocity=turning,
        angular_velocity_covariance=unknown,
        linear_acceleration=pushed,
        linear_acceleration_covariance=unknown,
    )


def _command(header: object, robot: RobotSpec, targets: Float64) -> bytes:
    return encode(
        "jack_msgs/msg/JointCommand",
        header=header,
        session=0,
        mode=1,
        name=list(robot.joint_names),
        position=targets,
        stiffness=robot.stiffness.astype(np.float64),
        damping=robot.damping.astype(np.float64),
    )


def _compressed(header: object, picture: Picture) -> bytes:
    done, data = cv2.imencode(".jpg", picture[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, _QUALITY])
    if not done:
        raise JackError("A picture of the data set cannot be compressed.")
    return encode("sensor_msgs/msg/CompressedImage", header=header, format="rgb8; jpeg compressed bgr8", data=data)
