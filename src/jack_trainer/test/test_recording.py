"""Episodes on disk, without ROS: what others read of them, and what is left when something goes wrong."""

import json
import random
import shutil
import struct
import subprocess
import sys
import threading
import time
from collections import Counter
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from mcap.reader import make_reader
from rosbags.rosbag2 import Reader
from rosbags.typesys import Stores, get_types_from_msg, get_typestore

from jack_contract.contract import default_contract
from jack_contract.errors import JackError
from jack_trainer.imitation import recording
from jack_trainer.imitation.bag import Bag
from jack_trainer.imitation.bag_file import BagFile, Subject
from jack_trainer.imitation.definitions import define
from jack_trainer.imitation.facts import Facts, Mark, TopicFacts, complaints, mark_episode, read_facts, usable
from jack_trainer.imitation.heard import Heard, LookBack
from jack_trainer.imitation.recording import UNFINISHED, Recorder, RecordingConfig, Request
from jack_trainer.imitation.stamps import stamp_of
from jack_trainer.imitation.storage import read_file
from jack_trainer.imitation.topics import TOPICS, Listening, TopicSpec, parse

SECOND = 10**9
JOINTS, WORDS, TURNED = 0, 1, 2
#: A busy machine is no finding.
PATIENT = settings(deadline=None, max_examples=50, suppress_health_check=[HealthCheck.too_slow])


def subjects():
    specs = (
        TOPICS[0],
        TopicSpec("words", "std_msgs/msg/String", Listening.LATCHED),
        TopicSpec("cmd_vel", "a/msg/B"),
    )
    kinds = ("sensor_msgs/msg/JointState", "std_msgs/msg/String", "geometry_msgs/msg/Twist")
    return [Subject(spec, f"/{spec.name}", define(kind)) for spec, kind in zip(specs, kinds, strict=True)]


def recorder(folder, **changes):
    changes = {"reserve_bytes": 0} | changes
    return Recorder(subjects(), RecordingConfig(folder, **changes), default_contract())


def stamped(seconds, number=0, size=100):
    """A serialized message with a header, a number, and filled up to a size."""
    sec, nanosec = divmod(round(seconds * SECOND), SECOND)
    return struct.pack("<4siIII", b"\0\1\0\0", sec, nanosec, number, 0).ljust(size, b"x")


def number_of(data):
    return struct.unpack_from("<I", data, 12)[0]


def ended(recorder, why="asked"):
    """The episode that runs, at its end."""
    recorder.episode.end(why)
    assert recorder.episode.join(20.0)
    return recorder.proceed()


# -- what others read


def test_rosbag2_and_mcap_readers_find_the_same_bytes(tmp_path):
    office, sent = recorder(tmp_path), []
    office.start(Request("one", instruction="walk"))
    for number in range(300):
        sent.append(("/joint_states", stamped(0.02 * number, number, 1_500)))
        office.hear(JOINTS, sent[-1][1], published=7 * SECOND + number, number=number + 1)
        if number % 10 == 0:
            sent.append(("/cmd_vel", bytes([0, 1, 0, 0]) + bytes(48)))
            office.hear(TURNED, sent[-1][1])
    episode = ended(office)
    assert (episode.path, episode.problem) == (tmp_path / "one", "")
    assert sorted(path.name for path in episode.path.iterdir()) == ["metadata.yaml", "one_0.mcap"]
    with (episode.path / "one_0.mcap").open("rb") as file:
        reader = make_reader(file)
        assert reader.get_header().profile == "ros2"
        assert reader.get_summary().statistics.message_count == len(sent) == 330
        found = list(reader.iter_messages())
    assert [(channel.topic, message.data) for _, channel, message in found] == sent
    assert {schema.encoding for schema, *_ in found} == {"ros2msg"}
    assert found[0][2].publish_time == 7 * SECOND and found[-1][2].sequence == 300
    with Reader(episode.path) as bag:
        assert [(connection.topic, data) for connection, _, data in bag.messages()] == sent
        assert {c.topic: c.msgcount for c in bag.connections} == {"/joint_states": 300, "/cmd_vel": 30}
        assert bag.message_count == 330
    raw = list(read_file(episode.path / "one_0.mcap", pytest.fail))
    assert [(entry.channel.topic, entry.data) for entry in raw] == sent


def test_messages_are_decoded_by_the_definitions_in_the_bag(tmp_path):
    store = get_typestore(Stores.ROS2_JAZZY)
    header = store.types["std_msgs/msg/Header"](store.types["builtin_interfaces/msg/Time"](3, 4), "")
    none = np.zeros(0)
    state = store.types["sensor_msgs/msg/JointState"](header, ["a", "b"], np.array([0.1, 0.2]), none, none)
    office = recorder(tmp_path)
    office.start(Request("one"))
    office.hear(JOINTS, bytes(store.serialize_cdr(state, "sensor_msgs/msg/JointState")))
    bag = Bag(ended(office).path)
    (recorded,) = bag.read()
    assert (recorded.topic, list(recorded.message.name), list(recorded.message.position)) == (
        "/joint_states",
        ["a", "b"],
        [0.1, 0.2],
    )
    assert bag.complaints == 0


@pytest.mark.parametrize("topic", TOPICS, ids=lambda topic: topic.name)
def test_definitions_hold_all_that_they_build_on(topic):
    definition = define(topic.type)
    types = get_types_from_msg(definition.text, topic.type)
    parts = {part for fields in types.values() for part in _named(fields)}
    assert parts <= set(types), "a type is named and not defined"
    assert definition.hash.startswith("RIHS01_")
    assert definition.stamped == ("Header header" in definition.text.split("=" * 80)[0])


def _named(fields):
    for _, kind in fields[1]:
        text = repr(kind)
        yield from (word for word in text.replace("'", " ").split() if "/msg/" in word)


def test_a_definition_is_read_with_constants_bounds_and_arrays(tmp_path):
    folder = tmp_path / "share" / "p" / "msg"
    folder.mkdir(parents=True)
    (folder / "A.msg").write_text("uint8 ON = 1  # B b\nstring<=3 s\nB[<=4] many\nq/C[2] two\nfloat64 x 0.5\n")
    (folder / "B.msg").write_text("int32 i\n")
    other = tmp_path / "share" / "q" / "msg"
    other.mkdir(parents=True)
    (other / "C.msg").write_text("p/B b\n")
    definition = define("p/msg/A", [tmp_path])
    blocks = definition.text.split("=" * 80 + "\n")
    assert [block.splitlines()[0] for block in blocks[1:]] == ["MSG: p/B", "MSG: q/C"]
    assert not definition.stamped and definition.hash == ""
    with pytest.raises(JackError, match=r"p/msg/Z is not installed.*env\.sh"):
        define("p/msg/Z", [tmp_path])


def test_what_rosbag2_wants_to_know_is_beside_it(tmp_path):
    office = recorder(tmp_path)
    office.hear(WORDS, b"\0\1\0\0hello")
    office.start(Request("one"))
    office.hear(JOINTS, stamped(1.0))
    path = ended(office).path
    text = (path / "metadata.yaml").read_text()
    told = yaml.safe_load(text)["rosbag2_bagfile_information"]
    assert "*id" not in text, "references are YAML, but not everybody's"
    assert (told["version"], told["storage_identifier"], told["relative_file_paths"]) == (9, "mcap", ["one_0.mcap"])
    assert told["message_count"] == 2 and told["files"][0]["message_count"] == 2
    assert shape(told) == AS_IN_JAZZY
    quality = {
        entry["topic_metadata"]["name"]: entry["topic_metadata"]["offered_qos_profiles"][0]["durability"]
        for entry in told["topics_with_message_count"]
    }
    assert quality == {"/joint_states": "volatile", "/words": "transient_local"}
    now = time.time_ns()
    assert now - 60 * SECOND < told["starting_time"]["nanoseconds_since_epoch"] <= now


def shape(told):
    """The keys of nested data, and of the first entry of lists; data of ours is left out."""
    if isinstance(told, dict):
        return {key: shape(value) if key != "custom_data" else "" for key, value in told.items()}
    return [shape(told[0])] if isinstance(told, list) else ""


_TIME = {"sec": "", "nsec": ""}
_QUALITY = {"history": "", "depth": "", "reliability": "", "durability": "", "deadline": _TIME, "lifespan": _TIME}
_QUALITY |= {"liveliness": "", "liveliness_lease_duration": _TIME, "avoid_ros_namespace_conventions": ""}
_TOPIC = {"name": "", "type": "", "serialization_format": "", "offered_qos_profiles": [_QUALITY]}
_EXTENT = {"duration": {"nanoseconds": ""}, "starting_time": {"nanoseconds_since_epoch": ""}, "message_count": ""}
#: What `ros2 bag record -s mcap` of ROS 2 Jazzy writes into metadata.yaml.
AS_IN_JAZZY = {
    **_EXTENT,
    "version": "",
    "storage_identifier": "",
    "topics_with_message_count": [
        {"topic_metadata": _TOPIC | {"type_description_hash": ""}, "message_count": ""},
    ],
    "compression_format": "",
    "compression_mode": "",
    "relative_file_paths": [""],
    "files": [{"path": "", **_EXTENT}],
    "custom_data": "",
    "ros_distro": "",
}


# -- what belongs to an episode


def test_an_episode_opens_with_what_is_latched_and_what_was_just_heard(tmp_path):
    office = recorder(tmp_path, look_back_seconds=10.0)
    for text in (b"old", b"new"):
        office.hear(WORDS, text)
    office.hear(JOINTS, stamped(1.0, 1))
    time.sleep(0.3)
    office.hear(JOINTS, stamped(2.0, 2))
    office.start(Request("short", look_back=0.2))
    office.hear(JOINTS, stamped(3.0, 3))
    office.hear(JOINTS, stamped(1.5, 9), at=time.monotonic_ns() - SECOND)  # came before, and is told only now
    short = ended(office)
    office.start(Request("none"))
    none = ended(office)
    raw = list(read_file(short.path / "short_0.mcap", pytest.fail))
    assert [entry.data for entry in raw] == [b"new", stamped(2.0, 2), stamped(3.0, 3)]
    assert [entry.time for entry in raw] == sorted(entry.time for entry in raw)
    assert short.facts.duration == pytest.approx(0.2, abs=0.15)
    assert [entry.data for entry in read_file(none.path / "none_0.mcap", pytest.fail)] == [b"new"]
    with pytest.raises(JackError, match=r"look_back is 11\.0 s; allowed: 0 to 10\."):
        office.start(Request("long", look_back=11.0))
    with pytest.raises(JackError, match="look_back is nan"):
        office.start(Request("long", look_back=float("nan")))


def test_transforms_of_several_senders_are_all_kept(tmp_path):
    office = recorder(tmp_path)
    office.subjects[WORDS] = Subject(
        TopicSpec("tf_static", "std_msgs/msg/String", Listening.LATCHED, kept=2),
        "/tf_static",
        define("std_msgs/msg/String"),
    )
    for data in (b"a", b"b", b"c", b"b"):
        office.hear(WORDS, data)
    office.start(Request("one"))
    path = ended(office).path
    assert [entry.data for entry in read_file(path / "one_0.mcap", pytest.fail)] == [b"c", b"b"]


@PATIENT
@given(st.lists(st.tuples(st.integers(0, 2_000), st.integers(0, 500)), max_size=60))
def test_looking_back_is_bounded_in_time_and_size(arrivals):
    memory, at, heard = LookBack(1.0, 2_000), 0, []
    for milliseconds, size in arrivals:
        at += milliseconds * 1_000_000
        heard.append(Heard(0, bytes(size), at))
        memory.keep(heard[-1])
        kept = memory.since(0)
        assert sum(entry.size for entry in kept) <= 2_000
        assert all(entry.at >= at - SECOND for entry in kept)
        # nothing was forgotten that fits
        longer = heard[-len(kept) - 1 :]
        assert len(longer) == len(kept) or longer[0].at < at - SECOND or sum(e.size for e in longer) > 2_000


# -- counts and gaps


def test_gaps_are_seen_in_the_stamps_not_in_the_arrivals(tmp_path):
    office = recorder(tmp_path)
    period = office.contract.robot.control_period
    results = {}
    for name, steps in {
        "even": (0, 1, 2, 3),
        "one": (0, 1, 3, 4),
        "two": (0, 1, 4, 5),
        "back": (0, 1, 0, 1),
    }.items():
        office.start(Request(name))
        for step in steps:
            office.hear(JOINTS, stamped(100.0 + period * step))
        results[name] = ended(office).facts.topics["/joint_states"]
    assert [round(results[name].longest / period) for name in results] == [1, 2, 3, 1]
    assert {name: topic.gap for name, topic in results.items()} == {
        "even": False,
        "one": False,
        "two": True,
        "back": True,
    }
    assert results["back"].backwards == 1


def test_a_sensor_that_falls_silent_leaves_a_gap(tmp_path):
    office = recorder(tmp_path)
    office.start(Request("one"))
    for step in range(3):
        office.hear(JOINTS, stamped(0.02 * step))
    time.sleep(0.7)
    topic = ended(office).facts.topics["/joint_states"]
    assert topic.gap and 0.7 <= topic.longest < 2.0


@pytest.mark.parametrize("data", [b"", b"\0\1\0\0", b"\0\7\0\0" + bytes(20)])
def test_a_message_without_a_stamp_has_none(data):
    assert stamp_of(data) is None


def test_stamps_are_read_in_either_order_of_bytes():
    assert stamp_of(struct.pack("<4siI", b"\0\1\0\0", 5, 6)) == 5 * SECOND + 6
    assert stamp_of(struct.pack(">4siI", b"\0\0\0\0", -5, 6)) == -5 * SECOND + 6


def test_numbers_that_a_lonely_sender_left_out_are_messages_lost(tmp_path):
    office = recorder(tmp_path)
    office.hear(JOINTS, stamped(1.0), number=5, alone=True)
    office.start(Request("one"))
    for number in (6, 7, 10, 11, 1, 2):  # two are lost; then he is started anew
        office.hear(JOINTS, stamped(number), number=number, alone=True)
    for number in (90, 2, 91):  # two senders: nobody knows
        office.hear(JOINTS, stamped(number), number=number)
    topic = ended(office).facts.topics["/joint_states"]
    assert (topic.received, topic.recorded, topic.dropped) == (11, 9, 2)


def test_fault_27_twice_the_load_that_it_can_sustain_is_dropped_and_counted(tmp_path, monkeypatch):
    write = BagFile.write

    def slowly(self, heard, log_time):
        time.sleep(0.002)
        write(self, heard, log_time)

    monkeypatch.setattr(BagFile, "write", slowly)
    office, sent = recorder(tmp_path, queue_bytes=30_000), Counter()
    office.start(Request("one"))
    until, slowest = time.monotonic() + 1.5, 0.0
    while time.monotonic() < until:
        for topic in (JOINTS, TURNED):  # 1,000 a second and more, where 500 can be written
            begun = time.monotonic()
            office.hear(topic, stamped(sent[topic], sent[topic], 1_000))
            slowest = max(slowest, time.monotonic() - begun)
            sent[topic] += 1
        counts = office.episode.counts()
        assert all(topic.received == topic.recorded + topic.dropped for topic in counts.values())
        time.sleep(0.001)
    episode = ended(office)
    read = Counter(entry.channel.topic for entry in read_file(episode.path / "one_0.mcap", pytest.fail))
    for topic, name in ((JOINTS, "/joint_states"), (TURNED, "/cmd_vel")):
        facts = episode.facts.topics[name]
        assert facts.received == sent[topic] and facts.recorded == read[name]
        assert facts.dropped == sent[topic] - read[name] > 0
    assert slowest < 0.1, "whoever hears waits for the disk"


# -- what goes wrong

KILLED = """
import os, struct, sys, time
from pathlib import Path
sys.path.insert(0, sys.argv[2])
from test_recording import JOINTS, recorder, stamped
from jack_trainer.imitation.recording import Request
office = recorder(Path(sys.argv[1]))
office.start(Request("killed"))
number = 0
while True:
    office.hear(JOINTS, stamped(time.monotonic(), number, 300))
    os.write(1, struct.pack("<I", number))
    number += 1
    time.sleep(0.002)
"""


def kill_a_recorder(folder, patience):
    """What is left of a recorder that was killed after so long: numbers and stamps, and the last number heard."""
    folder.mkdir()
    command = [sys.executable, "-c", KILLED, str(folder), str(Path(__file__).parent)]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as child:
        try:
            child.stdout.read(4)
            time.sleep(patience)
        finally:
            child.kill()
        told = child.stdout.read()
    (path,) = folder.iterdir()
    assert path.name == f"killed{UNFINISHED}"
    complaints: list[str] = []
    raw = list(read_file(path / "killed_0.mcap", complaints.append))
    return [entry.data for entry in raw], struct.unpack("<I", told[-4:])[0]


@pytest.mark.parametrize("times", [4, pytest.param(200, marks=pytest.mark.soak)])
def test_fault_25_a_killed_recorder_loses_at_most_64_kib_and_a_second(tmp_path, times):
    chance = random.Random(times)
    for count in range(times):
        found, last = kill_a_recorder(tmp_path / str(count), chance.uniform(0.1, 1.5))
        numbers = [number_of(data) for data in found]
        assert numbers == list(range(len(numbers))), "what is there is whole, from the first message on"
        lost = last - len(numbers) + 1
        assert lost * 300 <= 64 << 10
        assert lost * 0.002 <= 1.0


FULL = """
import json, sys, time
from pathlib import Path
sys.path.insert(0, sys.argv[2])
from test_recording import JOINTS, recorder, stamped
from jack_trainer.imitation.recording import Request, free_bytes
from jack_contract.errors import JackError
import random
disk, reserve = Path(sys.argv[1]), int(sys.argv[3])
office = recorder(disk / "bags", reserve_bytes=reserve, queue_bytes=200_000, chunk_bytes=20_000, chunk_seconds=0.05)
office.start(Request("full"))
chance, heard, slowest = random.Random(0), 0, 0.0
while not office.episode.over:
    begun = time.monotonic()
    office.hear(JOINTS, stamped(heard, heard, 16) + chance.randbytes(2_000))
    slowest = max(slowest, time.monotonic() - begun)
    heard += 1
    time.sleep(0.0002)
episode = office.proceed()
topic = episode.counts()["/joint_states"]
told = {"problem": episode.problem, "ended": episode.ended, "trouble": episode.trouble}
told |= {"path": str(episode.path), "left": free_bytes(disk)}
told |= {"received": topic.received, "recorded": topic.recorded, "slowest": slowest}
try:
    office.start(Request("again"))
except JackError as error:
    told["again"] = str(error)
from jack_trainer.imitation.storage import read_file
said = []
(file,) = episode.path.glob("*.mcap")
told["read"] = [int.from_bytes(entry.data[12:16], "little") for entry in read_file(file, said.append)]
told["said"] = said
print(json.dumps(told))
"""


def on_a_small_disk(folder, reserve):
    """What becomes of an episode on a disk of 4 MB of which so much is kept free."""
    unshare = shutil.which("unshare")
    mount = 'mount -t tmpfs -o size="$2" tmpfs "$1" && shift 2 && exec "$@"'
    words = [unshare or "", "-rm", "sh", "-c", mount, "sh", str(folder), "4m"]
    if unshare is None or subprocess.run([*words, "true"], capture_output=True, check=False).returncode:
        pytest.skip("This user may not mount a file system of his own.")
    command = [*words, sys.executable, "-c", FULL, str(folder), str(Path(__file__).parent), str(reserve)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads(done.stdout.splitlines()[-1])


def test_fault_26_a_disk_that_fills_ends_an_episode_in_order_with_room_to_spare(tmp_path):
    told = on_a_small_disk(tmp_path, 1 << 20)
    assert told["problem"] == "" and told["path"].endswith("/full")
    assert "the disk is nearly full" in told["ended"] == told["trouble"] and told["left"] > 500_000
    assert told["said"] == [] and told["read"] == list(range(told["recorded"]))
    assert told["recorded"] == told["received"] > 500
    assert "The disk is nearly full" in told["again"] and "Make room" in told["again"]
    assert told["slowest"] < 0.1


def test_fault_26_a_disk_that_is_full_at_once_tears_an_episode_that_can_still_be_read(tmp_path):
    told = on_a_small_disk(tmp_path, 0)
    assert "No space left on device" in told["problem"] and "can be read" in told["problem"]
    assert told["path"].endswith(f"/full{UNFINISHED}")
    assert told["read"] == list(range(len(told["read"]))) and len(told["read"]) > 1_000
    # what failed in the middle may be on the disk in part: it is not counted as recorded
    assert told["recorded"] <= len(told["read"]) < told["received"]
    assert told["slowest"] < 0.1


def test_fault_28_a_clock_that_is_set_an_hour_back_moves_no_message(tmp_path, monkeypatch):
    office = recorder(tmp_path)
    before = time.time_ns()
    office.start(Request("one"))
    office.hear(JOINTS, stamped(1.0, 1))
    now = time.time_ns
    monkeypatch.setattr(time, "time_ns", lambda: now() - 3_600 * SECOND)
    office.hear(JOINTS, stamped(1.02, 2))
    raw = list(read_file(ended(office).path / "one_0.mcap", pytest.fail))
    assert [number_of(entry.data) for entry in raw] == [1, 2]
    assert before <= raw[0].time <= raw[1].time <= before + 10 * SECOND


def test_an_error_of_whatever_kind_is_no_whole_episode(tmp_path, monkeypatch):
    def broken(self, heard, log_time):
        raise ValueError("no")

    monkeypatch.setattr(BagFile, "write", broken)
    office = recorder(tmp_path)
    office.start(Request("one"))
    office.hear(JOINTS, stamped(1.0))
    assert office.episode.join(5.0)
    episode = office.proceed()
    assert "torn (no)" in episode.problem and episode.path.name.endswith(UNFINISHED) and office.last is None
    assert episode.counts()["/joint_states"].recorded == 0


# -- names and marks


def test_an_episode_is_unfinished_by_name_until_it_is_whole(tmp_path):
    office = recorder(tmp_path)
    office.start(Request("one"))
    assert [path.name for path in tmp_path.iterdir()] == [f"one{UNFINISHED}"]
    ended(office)
    assert [path.name for path in tmp_path.iterdir()] == ["one"]


@pytest.mark.parametrize("name", ["a/b", "..", "../x", ".hidden", "x" * 101, "a\nb", "~"])
def test_a_name_stays_in_the_folder(tmp_path, name):
    with pytest.raises(JackError, match="cannot be called"):
        recorder(tmp_path).start(Request(name))
    assert list(tmp_path.iterdir()) == []


def test_episodes_do_not_overwrite_each_other(tmp_path, monkeypatch):
    monkeypatch.setattr(recording.time, "strftime", lambda _: "20260101-000000")
    office = recorder(tmp_path)
    office.start(Request("one"))
    with pytest.raises(JackError, match="one is being recorded"):
        office.start(Request("two"))
    ended(office)
    with pytest.raises(JackError, match=r"one already; choose another name"):
        office.start(Request("one"))
    names = []
    for _ in range(3):
        office.start(Request())
        names.append(ended(office).path.name)
    assert names == ["20260101-000000", "20260101-000000-2", "20260101-000000-3"]


def test_a_folder_that_cannot_be_written_is_named(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(JackError, match=r"file/bags cannot be written \(Not a directory\)"):
        recorder(tmp_path / "file" / "bags").start(Request("one"))


def test_marks_are_kept_whether_they_come_before_or_after_the_end(tmp_path):
    office = recorder(tmp_path)
    with pytest.raises(JackError, match="no episode to be marked"):
        office.mark(Mark.SUCCESS, "")
    office.start(Request("one", instruction="walk to the door"))
    assert office.mark(Mark.FAILURE, "fell") == "one will be marked: failure"
    path = ended(office).path
    facts = read_facts(path)
    assert (facts.mark, facts.note, facts.instruction) == (Mark.FAILURE, "fell", "walk to the door")
    assert (facts.robot, facts.contract_digest) == ("jack", default_contract().digest)
    assert office.mark(Mark.SUCCESS, "12") == "one is marked: success"
    assert (read_facts(path).mark, read_facts(path).note) == (Mark.SUCCESS, "12")
    assert read_facts(path).topics == facts.topics
    with Reader(path) as bag:  # it is still a bag
        assert bag.message_count == 0
    with (path / "one_0.mcap").open("rb") as file:
        told = [record.metadata for record in make_reader(file).iter_metadata()]
    assert [Facts.from_texts(texts).ended for texts in told] == ["", "asked"]
    assert told[-1]["mark"] == "failure"  # as it was known then


def test_words_are_bounded(tmp_path):
    office = recorder(tmp_path)
    with pytest.raises(JackError, match=r"The instruction has 2001 characters; allowed: 2000\."):
        office.start(Request("one", instruction="x" * 2_001))
    assert list(tmp_path.iterdir()) == []
    office.start(Request("one", instruction="x" * 2_000))
    with pytest.raises(JackError, match="The note has 3000"):
        office.mark(Mark.SUCCESS, "x" * 3_000)
    assert read_facts(ended(office).path).mark is Mark.NONE


def test_episodes_are_thrown_away_before_or_after_the_end(tmp_path):
    office = recorder(tmp_path)
    with pytest.raises(JackError, match="no episode to be thrown away"):
        office.discard()
    office.start(Request("one"))
    office.hear(JOINTS, stamped(1.0))
    assert office.discard() == "one is thrown away"
    assert office.episode.join(5.0) and "thrown away" in office.proceed().problem
    office.start(Request("two"))
    ended(office)
    assert office.discard() == "two is thrown away"
    assert list(tmp_path.iterdir()) == []


def test_a_bag_of_somebody_else_is_told_from_ours(tmp_path):
    with pytest.raises(JackError, match="is no closed bag"):
        read_facts(tmp_path)
    for text in ("rosbag2_bagfile_information: {version: 9}", "[]", "a: b", "rosbag2_bagfile_information: 3"):
        (tmp_path / "metadata.yaml").write_text(text)
        with pytest.raises(JackError, match="did not record this bag"):
            read_facts(tmp_path)
    (tmp_path / "metadata.yaml").write_text("rosbag2_bagfile_information: {custom_data: {duration: x}}")
    with pytest.raises(JackError, match="Not the facts of an episode"):
        mark_episode(tmp_path, Mark.SUCCESS, "")


@PATIENT
@given(st.binary(max_size=300))
def test_whatever_lies_there_as_metadata_is_refused_in_words(tmp_path_factory, data):
    folder = tmp_path_factory.mktemp("bag")
    (folder / "metadata.yaml").write_bytes(data)
    with pytest.raises(JackError):
        read_facts(folder)


# -- fit for training


def fine(**changes):
    topics = {
        f"/{name}": TopicFacts(type="a/msg/B", recorded=10, dropped=0, period=0.02, longest=0.021)
        for name in ("joint_states", "imu/data", "joint_command")
    }
    return Facts(name="one", ended="asked", topics=topics).model_copy(update=changes)


def test_metadata_of_a_few_lines_cannot_stand_for_gigabytes(tmp_path):
    lines = ["rosbag2_bagfile_information:", "  a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"  a{i}: &a{i} [{', '.join(10 * [f'*a{i - 1}'])}]" for i in range(1, 30)]
    lines += ["  custom_data: {name: one, topics: *a29, joints: *a29}"]
    (tmp_path / "metadata.yaml").write_text("\n".join(lines))
    begun = time.monotonic()
    with pytest.raises(JackError, match="it has references"):
        read_facts(tmp_path)
    assert time.monotonic() - begun < 1.0


def test_an_episode_is_fit_unless_something_is_wrong_with_it():
    assert usable(fine()) and usable(fine(mark=Mark.SUCCESS))
    assert complaints(fine(mark=Mark.FAILURE, note="fell")) == ["it is marked as a failure (fell)"]
    assert complaints(fine(ended="")) == ["it was never closed: the recorder died"]
    (missing,) = complaints(
        fine(
            topics={"/a/joint_states": fine().topics["/joint_states"]}
            | {name: topic for name, topic in fine().topics.items() if name == "/imu/data"}
        )
    )
    assert missing == "nothing of joint_command is in it; what is: /a/joint_states, /imu/data"


def test_gaps_are_left_out_unless_told_otherwise():
    broken = fine().topics | {
        "/imu/data": TopicFacts(type="a/msg/B", recorded=9, dropped=1, period=0.02, longest=0.06)
    }
    facts = fine(topics=broken)
    assert complaints(facts) == ["/imu/data has a gap (0.060 s without a message, one is due every 0.020 s)"]
    assert usable(facts, gaps_allowed=True) and not usable(facts)


def test_facts_survive_being_text():
    facts = fine(instruction="12", note="null", joints=("a", "b"), started=5, duration=0.1)
    assert Facts.from_texts(facts.texts()) == facts
    assert all(isinstance(text, str) for text in facts.texts().values())


# -- topics


def test_topics_are_written_as_they_are_read():
    assert parse([topic.name for topic in TOPICS]) == TOPICS
    assert parse(["tf", "foo/bar:std_msgs/msg/String:sensor", "x:a/msg/B"]) == (
        next(topic for topic in TOPICS if topic.name == "tf"),
        TopicSpec("foo/bar", "std_msgs/msg/String", Listening.SENSOR),
        TopicSpec("x", "a/msg/B", Listening.RELIABLE),
    )


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "1 to 200 topics"),
        ("tf tf", "each once"),
        ("joint_state", "Did you mean 'joint_states'"),
        ("a:b", "is not NAME:TYPE:LISTENING"),
        ("a:std_msgs/msg/String:now", "way of listening 'now'"),
        ("a:std_msgs/msg/String:sensor:x", "is not NAME"),
        ("../a:std_msgs/msg/String", "is not NAME"),
    ],
)
def test_a_text_that_names_no_topics_is_refused(text, words):
    with pytest.raises(JackError, match=words):
        parse(text.split())


@PATIENT
@given(st.text(max_size=50))
def test_no_text_is_too_odd_to_be_refused(text):
    with suppress(JackError):
        assert parse([text])


def test_the_writer_leaves_nothing_running(tmp_path):
    office = recorder(tmp_path)
    office.start(Request("one"))
    assert office.close(5.0) and not office.episode.problem
    assert read_facts(tmp_path / "one").ended == "the recorder was told to end"
    assert office.episode.over and "recording" not in {thread.name for thread in threading.enumerate()}
