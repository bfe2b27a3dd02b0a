import hashlib
import io
import sqlite3
import time
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
import zstandard
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from mcap.writer import CompressionType
from mcap.writer import Writer as McapWriter
from rosbags.rosbag2 import StoragePlugin, Writer
from rosbags.typesys import Stores, get_types_from_msg, get_typestore

from jack_contract.testing import sample_robot
from jack_contract.wire import CommandReader, StateReader
from jack_trainer.imitation import decoding, storage
from jack_trainer.imitation.bag import Bag, BagError
from jack_trainer.imitation.decoding import UndecodableError, decode
from jack_trainer.imitation.storage import Channel

OURS = Path(__file__).resolve().parents[2] / "jack_msgs" / "msg" / "JointCommand.msg"
STRING = "std_msgs/msg/String"
DEFINITION = "string data"
FIELD = r"(string|int32|A|b/C)(\[\d{0,9}\])? [a-z=]{1,9}\n"


@pytest.fixture(scope="session")
def types():
    store = get_typestore(Stores.ROS2_JAZZY)
    store.register(get_types_from_msg(OURS.read_text(), "jack_msgs/msg/JointCommand"))
    return store


@pytest.fixture(scope="session")
def readings(types):
    """A joint state, an imu and a command of the sample robot, at 12.5 s, with their topics."""
    robot, make = sample_robot(), types.types
    header = make["std_msgs/msg/Header"](make["builtin_interfaces/msg/Time"](12, 500_000_000), "")
    vector, nothing = make["geometry_msgs/msg/Vector3"], np.zeros(9)
    turn = make["geometry_msgs/msg/Quaternion"](0.0, 0.6, 0.0, 0.8)
    n = robot.count
    names, numbers = list(robot.joint_names), np.arange(n) / 10
    imu = make["sensor_msgs/msg/Imu"](
        header, turn, nothing, vector(0.1, 0.2, 0.3), nothing, vector(1.0, 2.0, 9.0), nothing
    )
    return [
        ("/joint_states", make["sensor_msgs/msg/JointState"](header, names, numbers, -numbers, np.zeros(n))),
        ("/imu/data", imu),
        (
            "/joint_command",
            make["jack_msgs/msg/JointCommand"](header, 2**63 + 5, 1, names, numbers, numbers + 1, numbers + 2),
        ),
    ]


def write(path, types, messages, plugin=StoragePlugin.MCAP):
    """A bag folder with messages (topic, message), a second apart, by another library's writer."""
    with Writer(path, version=9, storage_plugin=plugin) as writer:
        topics = {topic: message.__msgtype__ for topic, message in messages}
        connections = {topic: writer.add_connection(topic, kind, typestore=types) for topic, kind in topics.items()}
        for second, (topic, message) in enumerate(messages, start=1):
            data = types.serialize_cdr(message, message.__msgtype__)
            writer.write(connections[topic], second * 1_000_000_000, data)
    return path


def sentences(path, count, chunk=200, compression=CompressionType.NONE, text=DEFINITION, padding=""):
    """An MCAP file with the strings 's0', 's1' ... on /words, in chunks of so many bytes."""
    with path.open("wb") as file:
        writer = McapWriter(file, chunk_size=chunk, compression=compression)
        writer.start("ros2")
        schema = writer.register_schema(STRING, "ros2msg", text.encode())
        channel = writer.register_channel("/words", "cdr", schema)
        for index in range(count):
            writer.add_message(channel, index, spoken(f"s{index}{padding}"), index)
        writer.finish()
    return path


def spoken(word):
    data = word.encode() + b"\0"
    return b"\0\1\0\0" + len(data).to_bytes(4, "little") + data


def heard(path):
    return [recorded.message.data for recorded in Bag(path).read()]


@pytest.mark.parametrize("plugin", [StoragePlugin.MCAP, StoragePlugin.SQLITE3])
def test_readings_and_commands_come_out_as_the_brain_reads_them(tmp_path, types, readings, plugin):
    folder = write(tmp_path / "bag", types, readings, plugin)
    for path in (folder, next(file for file in folder.iterdir() if file.suffix in (".mcap", ".db3"))):
        bag = Bag(path)
        found = bag.collect([topic for topic, _ in readings])
        assert [messages[0].time for messages in found.values()] == [1_000_000_000, 2_000_000_000, 3_000_000_000]
        joints, imu, command = (messages[0].message for messages in found.values())
        state = StateReader(sample_robot()).read(joints, imu)
        assert state.time == 12.5 and state.joint_position[3] == 0.3 and state.joint_velocity[3] == -0.3
        assert state.orientation.tolist() == [0.0, 0.6, 0.0, 0.8] and state.angular_velocity[2] == 0.3
        assert CommandReader(sample_robot()).read(command).damping[1] == 2.1
        assert command.session == 2**63 + 5 and command.mode == 1
        assert bag.topics["/imu/data"] == "sensor_msgs/msg/Imu" and not bag.complaints


def test_other_topics_are_seen_but_not_decoded(tmp_path, types, readings):
    bag = Bag(write(tmp_path / "bag", types, readings))
    assert [recorded.topic for recorded in bag.read(["/imu/data"])] == ["/imu/data"]
    assert set(bag.topics) == {"/joint_states", "/imu/data", "/joint_command"}


def test_a_database_without_definitions_is_read_by_those_that_are_installed(tmp_path, types, readings, monkeypatch):
    monkeypatch.setenv("AMENT_PREFIX_PATH", "")  # as built, they may be older than the source
    decoding._installed.cache_clear()
    folder = write(tmp_path / "bag", types, readings, StoragePlugin.SQLITE3)
    with sqlite3.connect(next(folder.glob("*.db3"))) as base:
        base.execute("DROP TABLE message_definitions")
    found = Bag(folder).collect(["/joint_command", "/imu/data"])
    assert found["/joint_command"][0].message.session == 2**63 + 5
    assert found["/imu/data"][0].message.angular_velocity.z == 0.3


def test_the_definition_in_the_bag_counts_and_not_ours(tmp_path):
    path = sentences(tmp_path / "old.mcap", 2, text="# as it was once\nstring words")
    assert [recorded.message.words for recorded in Bag(path).read()] == ["s0", "s1"]


@pytest.mark.parametrize("compression", [CompressionType.NONE, CompressionType.LZ4, CompressionType.ZSTD])
def test_fault_24_a_bag_cut_at_every_byte_is_read_up_to_there(tmp_path, compression):
    whole = sentences(tmp_path / "whole.mcap", 12, chunk=110, compression=compression).read_bytes()
    ends = chunk_ends(whole)
    assert len(ends) >= 4
    torn = tmp_path / "torn.mcap"
    for size in range(len(whole) + 1):
        torn.write_bytes(whole[:size])
        bag = Bag(torn)
        words = [recorded.message.data for recorded in bag.read()]
        complete = [count for end, count in ends if end <= size]
        assert words == [f"s{index}" for index in range(sum(complete))], size
        assert bool(bag.complaints) == (size < len(whole)), size


def chunk_ends(data):
    """Where each chunk of an MCAP file ends, and how many messages are in it; by the layout of the format."""
    ends, at = [], 8
    while at < len(data) - 8:
        opcode, length = data[at], int.from_bytes(data[at + 1 : at + 9], "little")
        at += 9 + length
        if opcode == 6:
            ends.append([at, 0])
        elif opcode == 7 and ends:  # an index of messages, 16 bytes each, follows its chunk
            ends[-1][1] = int.from_bytes(data[at - length + 2 : at - length + 6], "little") // 16
    return ends


def test_fault_24_a_database_cut_anywhere_is_read_up_to_there(tmp_path, types):
    word = types.types[STRING]
    folder = write(
        tmp_path / "bag", types, [("/words", word(f"s{i}" * 60)) for i in range(300)], StoragePlugin.SQLITE3
    )
    whole = next(folder.glob("*.db3")).read_bytes()
    torn, counts = tmp_path / "torn.db3", []
    for size in [*range(0, len(whole), 509), len(whole)]:
        torn.write_bytes(whole[:size])
        words = heard(torn)
        assert words == [f"s{i}" * 60 for i in range(len(words))]
        counts.append(len(words))
    assert counts[0] == 0 and counts[-1] == 300 and any(0 < count < 300 for count in counts)


@pytest.mark.parametrize("step", [9_973, pytest.param(1, marks=pytest.mark.soak)])
def test_fault_24_a_bag_of_a_megabyte_cut_at_every_byte(tmp_path, step):
    whole = sentences(tmp_path / "whole.mcap", 40, chunk=100_000, padding="." * 26_000).read_bytes()
    assert len(whole) > 1_000_000
    torn, ends = tmp_path / "torn.mcap", chunk_ends(whole)
    torn.write_bytes(whole)
    for size in range(len(whole), -1, -step):
        with torn.open("r+b") as file:
            file.truncate(size)
        count = sum(1 for _ in storage.read_file(torn, lambda words: None))
        assert count == sum(count for end, count in ends if end <= size), size


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_whatever_is_flipped_nothing_is_raised(tmp_path_factory, data):
    folder = tmp_path_factory.getbasetemp() / "flipped"
    folder.mkdir(exist_ok=True)
    path = folder / "bag.mcap"
    if not path.exists():
        sentences(path, 24)
    whole = bytearray(path.read_bytes())
    for _ in range(data.draw(st.integers(1, 8))):
        whole[data.draw(st.integers(0, len(whole) - 1))] = data.draw(st.integers(0, 255))
    broken = folder / "broken.mcap"
    broken.write_bytes(whole)
    bag = Bag(broken)
    assert len(list(bag.read())) <= 24 + 8 and bag.complaints <= 50


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_whatever_is_flipped_in_a_database_nothing_is_raised(tmp_path_factory, types, data):
    folder = tmp_path_factory.getbasetemp() / "flipped_base"
    if not folder.exists():
        words = [("/words", types.types[STRING](f"s{i}" * 20)) for i in range(60)]
        write(folder, types, words, StoragePlugin.SQLITE3)
    whole = bytearray(next(folder.glob("flipped_base*.db3")).read_bytes())
    for _ in range(data.draw(st.integers(1, 30))):
        whole[data.draw(st.integers(0, len(whole) - 1))] = data.draw(st.integers(0, 255))
    broken = tmp_path_factory.getbasetemp() / "broken.db3"
    broken.write_bytes(whole[: data.draw(st.integers(0, len(whole)))])
    bag = Bag(broken)
    begun = time.monotonic()
    assert len(list(bag.read())) <= len(whole) / 8
    assert time.monotonic() - begun < 5.0


def test_a_database_has_no_more_rows_than_it_has_room_for(tmp_path, types, monkeypatch):
    folder = write(tmp_path / "bag", types, [("/words", types.types[STRING]("a"))] * 40, StoragePlugin.SQLITE3)
    (file,) = folder.glob("*.db3")
    assert len(heard(file)) == 40
    monkeypatch.setattr(storage, "_SMALLEST_ROW", file.stat().st_size // 9)
    assert len(heard(file)) == 9


def test_a_database_that_computes_its_messages_is_not_asked(tmp_path, types):
    folder = write(tmp_path / "bag", types, [("/words", types.types[STRING]("a"))], StoragePlugin.SQLITE3)
    (file,) = folder.glob("*.db3")
    with sqlite3.connect(file) as base:
        base.execute("ALTER TABLE messages RENAME TO m")
        endless = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT"
        base.execute(
            f"CREATE VIEW messages AS {endless} i AS id, 1 AS topic_id, i AS timestamp, x'00' AS data FROM n"
        )
    bag = Bag(file)
    assert list(bag.read()) == [] and "no table messages" in bag.spoilt[0]


@settings(max_examples=200, deadline=None)
@given(
    definition=st.text(max_size=80)
    | st.from_regex(r"(string|int32|A|b/C)(\[\d{0,9}\])? [a-z=]{1,9}\n", fullmatch=True)
)
def test_no_definition_breaks_the_decoder(definition):
    with suppress(UndecodableError):
        decode(Channel("/t", "p/msg/A", definition), spoken("word"))


def test_a_definition_that_would_unroll_for_ever_is_refused_at_once():
    begun = time.monotonic()
    with pytest.raises(UndecodableError, match="Nobody knows"):
        decode(Channel("/t", "p/msg/A", "string[999999999] words"), spoken("word"))
    assert time.monotonic() - begun < 1.0


@pytest.mark.parametrize(
    ("claimed", "limit", "said"),
    [
        (10_000_000, 100_000, "it unpacks to 10000000 bytes"),
        (500, 1 << 30, "it unpacks to more than the 500 bytes"),
    ],
)
def test_a_few_bytes_do_not_become_gigabytes(tmp_path, monkeypatch, claimed, limit, said):
    monkeypatch.setattr(storage, "MAX_BYTES", limit)
    path = sentences(tmp_path / "bag.mcap", 24, compression=CompressionType.ZSTD)
    whole = path.read_bytes()
    bomb = zstandard.compress(bytes(10_000_000))
    assert len(bomb) < 2_000
    record = io.BytesIO()
    record.write(bytes(16) + claimed.to_bytes(8, "little") + bytes(4))
    record.write((4).to_bytes(4, "little") + b"zstd" + len(bomb).to_bytes(8, "little") + bomb)
    first = chunk_ends(whole)[0][0]
    chunk = b"\x06" + len(record.getvalue()).to_bytes(8, "little") + record.getvalue()
    path.write_bytes(whole[:first] + chunk + whole[first:])
    bag = Bag(path)
    assert len(list(bag.read())) == 24 and bag.complaints == 1 and said in bag.spoilt[0]


def test_a_spoilt_chunk_costs_only_its_own_messages(tmp_path):
    path = sentences(tmp_path / "bag.mcap", 24)
    whole = bytearray(path.read_bytes())
    (_, lost), (second, spoilt) = chunk_ends(whole)[:2]
    whole[second - 3] ^= 1  # in the last message of the second chunk: its checksum tells
    path.write_bytes(whole)
    bag = Bag(path)
    words = [recorded.message.data for recorded in bag.read()]
    assert words == [f"s{i}" for i in range(24) if not lost <= i < lost + spoilt] and bag.complaints == 1


def test_messages_that_are_not_what_they_say_are_counted(tmp_path, types, readings):
    folder = tmp_path / "bag"
    with Writer(folder, version=9, storage_plugin=StoragePlugin.MCAP) as writer:
        connection = writer.add_connection("/imu/data", "sensor_msgs/msg/Imu", typestore=types)
        good = bytes(types.serialize_cdr(readings[1][1], "sensor_msgs/msg/Imu"))
        for data in (good, good[:40], b"", bytes(400), good):
            writer.write(connection, 0, data)
    bag = Bag(folder)
    assert len(list(bag.read())) == 2
    assert bag.undecodable == {"/imu/data": 3} and bag.complaints == 3 and "/imu/data" in bag.spoilt[0]


def test_files_of_a_folder_are_read_in_their_order_with_or_without_metadata(tmp_path):
    for index in (10, 2, 0):
        sentences(tmp_path / f"walk_{index}.mcap", index + 1)
    (tmp_path / "metadata.yaml").write_text("!!python/object: {")
    assert [file.name for file in Bag(tmp_path).files] == ["walk_0.mcap", "walk_2.mcap", "walk_10.mcap"]
    assert len(heard(tmp_path)) == 1 + 3 + 11


def test_the_digest_is_that_of_sha256sum(tmp_path):
    one = sentences(tmp_path / "a_0.mcap", 1)
    digest = hashlib.sha256(one.read_bytes()).hexdigest()
    assert Bag(one).sha256 == Bag(tmp_path).sha256 == digest
    other = hashlib.sha256(sentences(tmp_path / "a_1.mcap", 2).read_bytes()).hexdigest()
    lines = f"{digest}  a_0.mcap\n{other}  a_1.mcap\n"
    assert Bag(tmp_path).sha256 == hashlib.sha256(lines.encode()).hexdigest()


def test_what_is_no_bag_is_told(tmp_path):
    (tmp_path / "notes.txt").write_text("")
    for path in (tmp_path, tmp_path / "notes.txt", tmp_path / "nowhere.mcap"):
        with pytest.raises(BagError, match=r"is no bag: expected a file that ends in \.mcap or \.db3"):
            Bag(path)
