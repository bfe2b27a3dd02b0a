"""Bags as samples: by hand, and against a pilot who knows what he saw and did."""

import functools
import shutil
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rosbags.rosbag2 import StoragePlugin, Writer
from rosbags.typesys import Stores, get_types_from_msg, get_typestore

from jack_brain.pilot import Pilot
from jack_brain.policy import Policy
from jack_contract.contract import default_contract
from jack_contract.errors import JackError
from jack_contract.gait import Beat, Rhythm
from jack_contract.observation import History
from jack_contract.state import RobotState
from jack_launch.graphs import pretrained_folder
from jack_sim.physics import World
from jack_sim.scene import SceneOptions
from jack_trainer.imitation import dataset, rhythm
from jack_trainer.imitation.bag import BagError
from jack_trainer.imitation.dataset import Reading, find_bags, read_demonstrations, read_episode
from jack_trainer.imitation.samples import Samples, layout, map_rows, save_rows, windows

OURS = Path(__file__).resolve().parents[2] / "jack_msgs" / "msg" / "JointCommand.msg"
CONTRACT = default_contract()
ROBOT, GAIT, SPEC = CONTRACT.robot, CONTRACT.gait, CONTRACT.observation
PERIOD, N, H = ROBOT.control_period, ROBOT.count, SPEC.history
#: Shipped once; how exactly a rhythm is found depends on the policy.
WALKER = Path(__file__).with_name("walker.onnx")
REST = RobotState.at_rest(ROBOT)
HOLD, RUN = 0, 1
PLAIN = Reading()


@functools.cache
def types():
    store = get_typestore(Stores.ROS2_JAZZY)
    store.register(get_types_from_msg(OURS.read_text(), "jack_msgs/msg/JointCommand"))
    return store


@dataclass
class Moment:
    """What the topics carry in one control period."""

    target: np.ndarray
    state: RobotState = field(default_factory=lambda: REST)
    #: asked for just before the readings; None: nothing
    asked: tuple = None
    mode: int = RUN
    lost: tuple = ()


def write(path, moments, names=ROBOT.joint_names, stamps=None, leave_out=()):
    """A bag of moments, as ros2 bag would have recorded it."""
    make, names = types().types, list(names)
    vector, turn, unknown = make["geometry_msgs/msg/Vector3"], make["geometry_msgs/msg/Quaternion"], np.zeros(9)
    kinds = {
        "/imu/data": "sensor_msgs/msg/Imu",
        "/joint_states": "sensor_msgs/msg/JointState",
        "/joint_command": "jack_msgs/msg/JointCommand",
        "/cmd_vel": "geometry_msgs/msg/Twist",
    }
    with Writer(path, version=9, storage_plugin=StoragePlugin.MCAP) as writer:
        connections = {
            topic: writer.add_connection(topic, kind, typestore=types())
            for topic, kind in kinds.items()
            if topic not in leave_out
        }
        for index, moment in enumerate(moments):
            s = moment.state
            time = round((index if stamps is None else stamps[index]) * PERIOD * 1e9)
            stamp = make["builtin_interfaces/msg/Time"](*divmod(time, 10**9))
            header, joints = make["std_msgs/msg/Header"](stamp, ""), (s.joint_position, s.joint_velocity)
            body = (turn(*s.orientation.tolist()), unknown, vector(*s.angular_velocity.tolist()), unknown)
            gains = np.array(ROBOT.stiffness), np.array(ROBOT.damping)
            messages = {
                "/imu/data": (0, (header, *body, vector(*s.linear_acceleration.tolist()), unknown)),
                "/joint_states": (10_000, (header, names, *joints, np.zeros(len(names)))),
                "/joint_command": (1_000_000, (header, 1, moment.mode, names, moment.target, *gains)),
            }
            if moment.asked is not None:
                x, y, yaw = map(float, moment.asked)
                messages["/cmd_vel"] = (-1_000_000, (vector(x, y, 0.0), vector(0.0, 0.0, yaw)))
            for topic, (after, fields) in sorted(messages.items(), key=lambda entry: entry[1][0]):
                if topic in connections and topic not in moment.lost:
                    data = types().serialize_cdr(make[kinds[topic]](*fields), kinds[topic])
                    writer.write(connections[topic], 10**9 + time + after, data)
    return path


def standing(count, **changes):
    """Moments in which action k is k hundredths for every joint."""
    return [
        replace(Moment(ROBOT.default_position + 0.01 * k * np.array(CONTRACT.action.scale)), **changes)
        for k in range(count)
    ]


@pytest.fixture
def read(tmp_path):
    """Writes moments as a bag and reads them."""

    def make(moments, how=PLAIN, contract=CONTRACT, **given):
        return read_episode(write(tmp_path / "bag", moments, **given), contract, how, tmp_path / "kept")

    return make


# -- by hand


def test_actions_and_the_moments_they_belong_to_by_hand(read):
    rows = read(standing(12)).rows
    assert rows.shape == (12,) and rows["use"].tolist() == [False] * 8 + [True] * 4
    np.testing.assert_allclose(rows["time"], PERIOD * np.arange(12))
    np.testing.assert_allclose(rows["action"], np.tile(0.01 * np.arange(12)[:, None], N), atol=1e-6)
    before = rows["frame"][:, SPEC.slices()["previous_action"]]
    np.testing.assert_allclose(before[1:], rows["action"][:-1], atol=1e-6)
    assert not rows["frame"][:, SPEC.slices()["joint_position"]].any() and not rows["command"].any()
    assert rows["back"].tolist() == [0, 1, 2, 3, 4, 5, 6, 7, 7, 7, 7, 7]
    batch = Samples([rows], H).take(np.array([1]))
    assert batch.proprioception.shape == (1, H, SPEC.frame_size)
    np.testing.assert_array_equal(batch.proprioception[0], rows["frame"][2:10])
    np.testing.assert_allclose(batch.action, 0.09)


def test_the_gait_is_no_part_of_an_action_by_hand(read):
    """Asked for 0.5 m/s, the pace grows by 0.02 m/s a period; at 0.06, in the third, the left foot begins to swing.

    The phase then grows by 0.02 / 0.52 a period; hip, knee and ankle of that foot go by -0.4, 0.8 and -0.4 rad
    times its sine, and the hip by 0.19 rad times the pace times its cosine.
    """
    count = 16
    pace = np.minimum(0.02 * np.arange(count), 0.5)
    phase = np.maximum(np.arange(count) - 2, 0) * PERIOD / 0.52
    lift = np.sin(2 * np.pi * phase)
    assert phase[-1] > 0.5 > phase[-2] or phase[-1] == pytest.approx(0.5)
    targets = np.tile(ROBOT.default_position, (count, 1))
    beat = np.where(pace > 0.05, np.cos(2 * np.pi * phase), 0.0)
    targets[:, ROBOT.index("left_knee")] += 0.8 * np.clip(lift, 0, None)
    targets[:, ROBOT.index("left_hip_pitch")] += -0.4 * np.clip(lift, 0, None) + 0.19 * pace * beat
    rows = read([Moment(target, asked=(0.5, 0, 0)) for target in targets]).rows
    for joint in ("left_knee", "left_hip_pitch"):
        assert np.abs(rows["action"][:, ROBOT.index(joint)]).max() < 1e-5, joint
    np.testing.assert_allclose(rows["command"][:, 0], pace, atol=1e-6)
    signal = rows["frame"][:, SPEC.slices()["gait"]]
    assert not signal[:3].any()
    np.testing.assert_allclose(signal[3:, 0], lift[3:], atol=1e-6)


def test_a_command_that_is_repeated_no_more_ends(read):
    """Followed for 0.25 s, gone after 0.5 s, as by the pilot; the pace follows by 0.02 m/s a period."""
    moments = standing(40)
    moments[0].asked = (0.4, 0, 0)
    rows = read(moments).rows
    age = PERIOD * np.arange(40) + 0.00101  # readings are heard so long after the command
    share = np.clip((0.5 - age) / 0.25, 0, 1)
    pace = [0.0]
    for followed in 0.4 * share[:-1]:
        pace.append(pace[-1] + np.clip(followed - pace[-1], -0.02, 0.02))
    np.testing.assert_allclose(rows["command"][:, 0], pace, atol=1e-6)
    assert rows["command"][-1, 0] == 0.0 and rows["command"][:, 0].max() > 0.2


def test_what_is_missing_costs_the_histories_that_need_it(read):
    moments = standing(40)
    moments[15].lost = ("/joint_command",)
    rows = read(moments, Reading(gaps=True)).rows
    assert len(rows) == 39
    assert np.flatnonzero(rows["use"]).tolist() == [*range(8, 15), *range(23, 39)]


def test_what_no_policy_commanded_is_not_learnt(read):
    moments = standing(40)
    for moment in moments[:12]:
        moment.mode = HOLD
    rows = read(moments).rows
    assert len(rows) == 28 and np.flatnonzero(rows["use"]).tolist() == list(range(8, 28))


@pytest.mark.parametrize("jump", [-500, 500])
def test_a_clock_that_is_set_begins_anew(read, jump):
    stamps = np.concatenate((np.arange(600, 620), np.arange(620, 640) + jump))
    rows = read(standing(40), Reading(gaps=True), stamps=stamps).rows
    assert rows["back"].tolist() == [min(k, 7) for k in range(20)] * 2
    assert np.flatnonzero(rows["use"]).tolist() == [*range(8, 20), *range(28, 40)]


# -- against the pilot


class Witness:
    """A policy that remembers what it saw and said."""

    stumble_steps, estimates, sha256 = True, False, "witness"

    def __init__(self, path, beat=None):
        self.policy = Policy.load(path, CONTRACT)
        self.beat, self.seen = beat, []

    def act(self, history, command=None):
        action = self.policy.act(history, command)
        self.seen.append((history.copy(), command.copy(), action.copy()))
        return action

    def infer(self, history, command=None):
        return self.act(history, command), float("nan")


def fly(count, asked, beat=None, push=None, path=WALKER):
    """Moments of Jack, who walks in a simulation under a pilot; and what his policy saw and said in each."""
    world, pilot, witness = World(SceneOptions(visuals=False), PERIOD), Pilot(CONTRACT), Witness(path, beat)
    pilot.offer(witness)
    moments = []
    for index in range(count):
        if index == push:
            world.push(np.array([0.0, 0.6, 0.0]))
        state, command = world.state(), asked(index) if index % 3 == 0 else None
        if command is not None:
            pilot.command(np.array(command, float), float(state.time) - 1e-3)
        decision = pilot.tick(state, float(state.time))
        world.command(decision.targets, decision.stiffness, decision.damping)
        world.step()
        moments.append(Moment(decision.targets, state, command, int(decision.mode)))
    assert not pilot.safety.fault and not world.fallen
    return moments, witness.seen, pilot.safety.cut


def errors(rows, seen):
    """How far what was read is from what the policy saw and said: histories, paces, actions within joint limits."""
    used = np.flatnonzero(rows["use"])
    histories, paces, actions = (np.stack(column)[used] for column in zip(*seen, strict=True))
    found = windows(rows["frame"], rows["back"], used, H)
    told = rhythm.done(CONTRACT, actions, histories[:, -1], paces)
    return found - histories, rows["command"][used] - paces, rows["action"][used] - told


@functools.cache
def walk():
    return fly(420, lambda k: (0.6, 0.1, 0.3) if 60 < k < 300 else (0.0, 0.0, 0.0), push=360)


@functools.cache
def walk_that_ships():
    shipped = next(pretrained_folder().glob("*.onnx"))
    return fly(300, lambda k: (0.6, 0.1, 0.3) if k > 60 else (0.0, 0.0, 0.0), path=shipped)


@pytest.mark.parametrize("first", [30, 61, 100, 137, 145])
def test_whatever_ships_is_found_within_a_control_period(read, first):
    """No recording carries the rhythm; by how little actions change a beginning is told from the next but one."""
    moments, seen, _ = walk_that_ships()
    histories, _, _ = errors(read(moments[first:]).rows, seen[first:])
    signal = histories[20:, :, SPEC.slices()["gait"]]
    assert np.abs(signal).max() <= 2 * np.pi * PERIOD / GAIT.period + 1e-6


@pytest.mark.parametrize("first", [0, 30, 61, 137, 145])
def test_a_bag_tells_what_the_pilot_saw_and_said(read, first):
    """Whether he stands when it begins, starts, or walks already; and he takes steps when he is pushed."""
    moments, seen, cut = walk()
    rows = read(moments[first:]).rows
    histories, paces, actions = errors(rows, seen[first:])
    assert len(paces) == 420 - first - 8
    # Where a target was cut back, by its step or its torque, what was done is not what was said.
    assert 0 < cut < 20 and (np.abs(actions) > 1e-4).any(-1).sum() <= cut + 2  # and two are blended
    assert np.abs(histories[..., SPEC.slices()["gait"]]).max() < 1e-6
    assert np.abs(paces[20:]).max() < 1e-6


def test_another_beat_is_read_at_that_beat(read):
    beat = Beat(0.6, 0.5)
    moments, seen, _ = fly(200, lambda k: (0.3, 0.0, 0.0) if k > 30 else (0.0, 0.0, 0.0), beat=beat)
    histories, _, _ = errors(read(moments, Reading(beat=beat)).rows, seen)
    assert np.abs(histories[..., SPEC.slices()["gait"]]).max() < 1e-6


@settings(max_examples=40, deadline=None)
@given(
    phase=st.integers(0, 25),
    pace=st.sampled_from([(0.5, 0.0, 0.0), (0.0, 0.2, 0.4), (-0.3, 0.0, 0.0), (0.9, 0.2, -0.5)]),
    seed=st.integers(0, 99),
)
def test_where_in_a_step_he_was_is_seen_by_what_he_did(phase, pace, seed):
    random, count = np.random.default_rng(seed), 200
    asked, passed = np.tile(np.array(pace), (count, 1)), np.ones(count, int)
    start = Rhythm(np.array([phase / 26]), asked[:1].copy())
    told = rhythm.follow(GAIT, start, asked, np.zeros(count), passed, PERIOD)
    offsets = np.stack(
        [GAIT.offsets(ROBOT, Rhythm(p[0], v[0])) for p, v in zip(told.phase, told.pace, strict=True)]
    )
    wobble = random.normal(0.0, 1.0, (1, N)) + random.normal(0.0, 0.5, (count, N))
    targets = ROBOT.default_position + offsets + np.array(CONTRACT.action.scale) * wobble
    found = rhythm.find(GAIT, ROBOT, CONTRACT.action, targets, asked, np.zeros(count), passed)
    apart = np.abs((found.phase - told.phase[:, 0] + 0.5) % 1.0 - 0.5)
    assert apart[13:].max() < 1.5 / 26  # from the end of the first step on


# -- which bags


def test_the_table_says_what_was_used_and_why_not(tmp_path):
    write(tmp_path / "a", standing(12))
    shutil.copytree(tmp_path / "a", tmp_path / "again")
    write(
        tmp_path / "gap",
        [m for k, m in enumerate(standing(30)) if k not in (10, 11, 12)],
        stamps=[*range(10), *range(13, 30)],
    )
    write(tmp_path / "odd", standing(12), names=[f"j{k}" for k in range(N)])
    write(tmp_path / "deaf", standing(12), leave_out=("/joint_command",))
    found = read_demonstrations([tmp_path], CONTRACT, folder=tmp_path / "kept")
    assert [episode.path.name for episode in found.episodes] == ["a"] and len(found.digests[0]) == 64
    reasons = {path.name: why for path, why in found.left_out}
    assert "is a once more" in reasons["again"] and "has a gap" in reasons["gap"]
    assert "lacks" in reasons["odd"] and "it has: j0, j1" in reasons["odd"]
    assert "nothing of joint_command is in it; what is: /imu/data, /joint_states" in reasons["deaf"]
    assert found.table().row_count == 5
    more = read_demonstrations([tmp_path], CONTRACT, Reading(gaps=True), tmp_path / "kept")
    assert {episode.path.name for episode in more.episodes} == {"a", "gap"}


def test_none_that_is_fit_is_an_error_that_says_why(tmp_path):
    path = write(tmp_path / "deaf", standing(12), leave_out=("/joint_states", "/imu/data"))
    with pytest.raises(JackError, match="nothing of joint_states is in it; what is: /joint_command"):
        read_demonstrations([path], CONTRACT, folder=tmp_path / "kept")
    with pytest.raises(BagError, match="is no bag"):
        find_bags([tmp_path / "nowhere"])
    short = write(tmp_path / "short", standing(8))
    with pytest.raises(BagError, match="no 9 commands in a row"):
        read_episode(short, CONTRACT, folder=tmp_path / "kept")
    assert not list((tmp_path / "kept").glob("*")) if (tmp_path / "kept").exists() else True


def test_held_out_are_whole_episodes_whatever_their_order(tmp_path):
    for count in range(12, 22):
        write(tmp_path / f"b{count}", standing(count))
    paths = find_bags([tmp_path])
    one = read_demonstrations(paths, CONTRACT, folder=tmp_path / "kept").split(0.2)
    other = read_demonstrations(paths[::-1], CONTRACT, folder=tmp_path / "kept").split(0.2)
    names = [[episode.path.name for episode in part] for part in one]
    assert names == [[episode.path.name for episode in part] for part in other]
    assert [len(part) for part in one] == [8, 2] and not set(names[0]) & set(names[1])


# -- what is kept


def test_the_second_time_a_bag_is_not_read(tmp_path, monkeypatch):
    path, kept = write(tmp_path / "bag", standing(12)), tmp_path / "kept"
    first = read_episode(path, CONTRACT, folder=kept)
    monkeypatch.setattr(dataset, "read_frames", lambda *given: pytest.fail("it was read once more"))
    again = read_episode(path, CONTRACT, folder=kept)
    assert isinstance(again.rows, np.memmap)
    np.testing.assert_array_equal(first.rows, again.rows)
    with pytest.raises(pytest.fail.Exception):  # another pilot sees another gait
        read_episode(path, CONTRACT, Reading(stumble_steps=False), kept)
    with pytest.raises(pytest.fail.Exception):
        other = replace(CONTRACT, observation=replace(SPEC, history=4))
        read_episode(path, other, folder=kept)


def test_what_is_kept_and_torn_at_any_byte_is_noticed(tmp_path):
    rows = np.zeros(3, layout(CONTRACT))
    rows["action"], rows["use"] = 0.5, True
    path = tmp_path / "rows.npy"
    save_rows(path, rows)
    whole = path.read_bytes()
    np.testing.assert_array_equal(map_rows(path, rows.dtype), rows)
    np.testing.assert_array_equal(np.load(path), rows)
    for size in range(len(whole)):
        path.write_bytes(whole[:size])
        assert map_rows(path, rows.dtype) is None, size
    for place in range(0, len(whole), 7):
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1 :])
        assert map_rows(path, rows.dtype) is None, place
    path.write_bytes(whole)
    assert map_rows(path, np.dtype("f4")) is None


def test_what_was_torn_is_made_again(tmp_path):
    path, kept = write(tmp_path / "bag", standing(12)), tmp_path / "kept"
    rows = read_episode(path, CONTRACT, folder=kept).rows.copy()
    (file,) = kept.iterdir()
    whole = file.read_bytes()
    for size in (0, 60, len(whole) // 2, len(whole) - 1):
        file.write_bytes(whole[:size])
        np.testing.assert_array_equal(read_episode(path, CONTRACT, folder=kept).rows, rows)
        assert file.read_bytes() == whole


def test_a_full_disk_costs_nothing_but_time(tmp_path, monkeypatch):
    def full(*given):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(dataset, "save_rows", full)
    assert read_episode(write(tmp_path / "bag", standing(12)), CONTRACT, folder=tmp_path / "kept").count == 4


# -- histories


@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_histories_are_those_that_a_pilot_would_have_kept(data):
    length = data.draw(st.integers(1, 40))
    fresh = np.array([True, *data.draw(st.lists(st.booleans(), min_size=length - 1, max_size=length - 1))])
    frames = np.random.default_rng(0).normal(size=(length, SPEC.frame_size)).astype(np.float32)
    history, kept = History(SPEC), []
    for frame, new in zip(frames, fresh, strict=True):
        if new:
            history.reset()
        kept.append(history.push(frame).copy())
    begins = np.maximum.accumulate(np.where(fresh, np.arange(length), 0))
    back = np.minimum(np.arange(length) - begins, H - 1)
    np.testing.assert_array_equal(windows(frames, back, np.arange(length), H), kept)


@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_samples_are_found_under_their_numbers(data):
    parts, told = [], []
    for part in range(data.draw(st.integers(1, 4))):
        rows = np.zeros(data.draw(st.integers(1, 12)), layout(CONTRACT))
        rows["use"] = data.draw(st.lists(st.booleans(), min_size=len(rows), max_size=len(rows)))
        rows["action"] = 100 * part + np.arange(len(rows))[:, None]
        parts.append(rows)
        told += rows["action"][rows["use"], 0].tolist()
    found = Samples(parts, H)
    assert len(found) == len(told)
    if told:
        ids = np.array(data.draw(st.lists(st.integers(0, len(told) - 1), min_size=1, max_size=20)))
        assert found.take(ids).action[:, 0].tolist() == [told[index] for index in ids]
