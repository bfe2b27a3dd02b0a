"""What people are told of a bag, and whether he can be taught with it."""

import io
import json
import sys
from dataclasses import replace

import numpy as np
import pytest
from rich.console import Console
from rosbags.rosbag2 import StoragePlugin, Writer
from rosbags.typesys import Stores, get_types_from_msg, get_typestore

from jack_contract.contract import default_contract
from jack_contract.errors import JackError
from jack_trainer.imitation import bag_report
from jack_trainer.imitation.bag_file import Subject
from jack_trainer.imitation.bag_report import faults, info, look_at, newest_bag
from jack_trainer.imitation.definitions import define
from jack_trainer.imitation.facts import Mark
from jack_trainer.imitation.recording import UNFINISHED, Recorder, RecordingConfig, Request
from jack_trainer.imitation.topics import TOPICS

CONTRACT = default_contract()
STEADY = TOPICS[:3]


@pytest.fixture(scope="module")
def store():
    store = get_typestore(Stores.ROS2_JAZZY)
    store.register(get_types_from_msg(define("jack_msgs/msg/JointCommand").text, "jack_msgs/msg/JointCommand"))
    return store


@pytest.fixture
def messages(store):
    """Of one control period on each steady topic, serialized."""

    def make(step, names=CONTRACT.robot.joint_names):
        kinds = store.types
        time = divmod(round(step * CONTRACT.robot.control_period * 1e9), 10**9)
        header = kinds["std_msgs/msg/Header"](kinds["builtin_interfaces/msg/Time"](*time), "")
        zeros = np.zeros(len(names))
        state = kinds["sensor_msgs/msg/JointState"](header, list(names), zeros, zeros, zeros)
        given = {"header": header, "session": 1, "mode": 1, "name": list(names)}
        given |= {"position": zeros, "stiffness": zeros, "damping": zeros}
        command = kinds["jack_msgs/msg/JointCommand"](**given)
        v, q = kinds["geometry_msgs/msg/Vector3"](0, 0, 0), kinds["geometry_msgs/msg/Quaternion"](0, 0, 0, 1)
        imu = kinds["sensor_msgs/msg/Imu"](header, q, np.zeros(9), v, np.zeros(9), v, np.zeros(9))
        pairs = zip((state, imu, command), STEADY, strict=True)
        return [bytes(store.serialize_cdr(message, topic.type)) for message, topic in pairs]

    return make


@pytest.fixture
def record(tmp_path, messages):
    """Records an episode of so many steps, those of which a message is missing left out; returns its folder."""
    subjects = [Subject(topic, f"/{topic.name}", define(topic.type)) for topic in STEADY]

    def make(name="one", steps=range(10), contract=CONTRACT, close=True, **changes):
        office = Recorder(subjects, RecordingConfig(tmp_path, reserve_bytes=0), contract)
        episode = office.start(Request(name, instruction="walk [red]on"))
        for step in steps:
            for topic, data in enumerate(messages(step, **changes)):
                office.hear(topic, data)
        episode.end("asked")
        assert episode.join(10.0) and office.proceed() is episode and not episode.problem
        return episode.path

    return make


def shown(path):
    console = Console(file=io.StringIO(), width=160)
    console.print(info(look_at(path)))
    return console.file.getvalue()


def test_all_there_is_to_know_is_told(record):
    path = record()
    text = shown(path)
    for words in ("walk [red]on", "jack", CONTRACT.digest, "/joint_states", "sensor_msgs/JointState", "asked"):
        assert words in text, words
    assert look_at(path).bag.sha256 in text and "none" in text
    (row,) = [line for line in text.splitlines() if "/imu/data" in line]
    assert row.split()[2] == "10" and row.split()[-1] == "0.020"


def test_a_whole_episode_is_fit_and_others_are_not(record, capsys):
    good, gap, odd = record(), record("gap", [0, 1, 2, 6, 7]), record("odd", names=("a", "b"))
    assert bag_report.check([good], "jack", False) == 0
    assert "one: fit for training" in capsys.readouterr().out
    assert bag_report.check([good, gap], "jack", False) == 1
    (line,) = [line for line in capsys.readouterr().out.splitlines() if "gap:" in line]
    assert "/joint_states has a gap (0.080 s without a message, one is due every 0.020 s)" in line
    assert faults(look_at(gap), CONTRACT, gaps_allowed=True) == []
    first, second = faults(look_at(odd), CONTRACT)
    assert "/joint_states lacks" in first and "it has: a, b" in first and "joints of 'jack'" in first
    assert "/joint_command lacks" in second


def test_a_bag_of_another_contract_names_both(record):
    other = replace(CONTRACT, camera=replace(CONTRACT.camera, width=32))
    (words,) = faults(look_at(record(contract=other)), CONTRACT)
    assert other.digest[:12] in words and CONTRACT.digest[:12] in words and "another contract" in words


def test_a_torn_bag_is_told_as_one_and_is_not_fit(record):
    path = record()
    file = path / "one_0.mcap"
    file.write_bytes(file.read_bytes()[:-600])
    (path / "metadata.yaml").unlink()
    torn = path.rename(path.with_name(f"one{UNFINISHED}"))
    look = look_at(torn)
    assert not look.known and "never: the recorder died" in shown(torn)
    assert faults(look, CONTRACT)[0] == "it was never closed: the recorder died"


def test_a_bag_that_rosbag2_recorded_is_read_as_well(tmp_path, messages, store):
    with Writer(tmp_path / "theirs", version=9, storage_plugin=StoragePlugin.MCAP) as writer:
        made = [writer.add_connection(f"/{topic.name}", topic.type, typestore=store) for topic in STEADY]
        for step in range(5):
            for connection, data in zip(made, messages(step), strict=True):
                writer.write(connection, step * 20_000_000, data)
    look = look_at(tmp_path / "theirs")
    assert not look.known and faults(look, CONTRACT) == []
    assert look.facts.recorded == 15 and look.facts.duration == pytest.approx(0.08)
    assert look.facts.topics["/imu/data"].longest == pytest.approx(0.02)
    assert "not said" in shown(tmp_path / "theirs")


def test_the_newest_bag_is_meant_where_none_is_named(tmp_path, record):
    with pytest.raises(JackError, match=r"Record one: \./jack record"):
        newest_bag(tmp_path)
    (tmp_path / "log").mkdir()
    record("one")
    two = record("two")
    assert newest_bag(tmp_path) == two


def test_a_mark_is_told(record):
    from jack_trainer.imitation.facts import mark_episode

    path = record()
    mark_episode(path, Mark.FAILURE, "fell")
    assert "failure (fell)" in shown(path)
    assert faults(look_at(path), CONTRACT) == ["it is marked as a failure (fell)"]


def test_an_export_is_what_lerobot_reads(record, tmp_path, capsys, monkeypatch):
    parquet = pytest.importorskip("pyarrow.parquet")
    output = tmp_path / "out"
    assert bag_report.export([record("one"), record("two", range(4))], "jack", False, output) == 0
    assert "2 episodes, 14 frames" in capsys.readouterr().out
    info = json.loads((output / "meta/info.json").read_text())
    table = parquet.read_table(output / info["data_path"].format(chunk_index=0, file_index=0)).to_pydict()
    assert set(table) == set(info["features"])
    assert (info["codebase_version"], info["fps"], info["total_frames"], info["robot_type"]) == (
        "v3.0",
        50,
        14,
        "jack",
    )
    for name, feature in info["features"].items():
        assert all(len(np.atleast_1d(value)) == feature["shape"][0] for value in table[name])
        assert feature["names"] is None or len(feature["names"]) == feature["shape"][0]
    assert table["frame_index"] == [*range(10), *range(4)] and table["episode_index"] == [0] * 10 + [1] * 4
    assert table["index"] == list(range(14)) and table["timestamp"][9] == pytest.approx(0.18)
    assert table["observation.state"][0][-10:-6] == [0, 0, 0, 1]
    (episodes,) = (output / "meta/episodes").rglob("*.parquet")
    rows = parquet.read_table(episodes).to_pydict()
    assert (rows["dataset_from_index"], rows["dataset_to_index"]) == ([0, 10], [10, 14])
    assert rows["tasks"] == [["walk [red]on"]] * 2
    stats = json.loads((output / "meta/stats.json").read_text())
    assert stats["frame_index"]["max"] == [9] and len(stats["action"]["mean"]) == CONTRACT.robot.count
    with pytest.raises(JackError, match="there already"):
        bag_report.export([record("three")], "jack", False, output)


def test_tasks_are_written_as_pandas_would(record, tmp_path):
    pandas = pytest.importorskip("pandas")
    pytest.importorskip("pyarrow")
    bag_report.export([record()], "jack", False, tmp_path / "out")
    tasks = pandas.read_parquet(tmp_path / "out/meta/tasks.parquet")
    assert list(tasks.index) == ["walk [red]on"] and tasks.loc["walk [red]on"].task_index == 0


def test_only_what_is_fit_is_exported(record, tmp_path, monkeypatch):
    with pytest.raises(JackError, match="is not fit for training: /joint_states has a gap"):
        bag_report.export([record("gap", [0, 1, 5])], "jack", False, tmp_path / "out")
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(JackError, match="-m pip install pyarrow"):
        bag_report.export([record("fit")], "jack", False, tmp_path / "out")
    assert not (tmp_path / "out").exists()
