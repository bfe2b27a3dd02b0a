import hashlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest

pytest.importorskip("rclpy", reason="needs ROS 2")
pytest.importorskip("jack_msgs", reason="needs the built workspace: . .jack/env.sh")

import rclpy
from geometry_msgs.msg import Twist
from jack_msgs.msg import BrainStatus
from jack_msgs.srv import LoadPolicy
from lifecycle_msgs.msg import Transition
from lifecycle_msgs.srv import ChangeState, GetState
from rclpy.qos import qos_profile_sensor_data
from rclpy.serialization import serialize_message
from sensor_msgs.msg import Image, Imu, JointState
from std_srvs.srv import Trigger

from jack_brain import brain_node
from jack_brain.network.export import PolicyExporter
from jack_brain.pilot import Pilot, PilotConfig
from jack_brain.policy import Policy
from jack_brain.policy_file import SEAL_SIZE, seal
from jack_brain.safety import SafetyLimits, Trip
from jack_contract.contract import contract_for, default_contract
from jack_contract.robot import robot_to_yaml
from jack_contract.state import RobotState
from jack_contract.testing import mutations, ros_domain, sample_state
from jack_contract.wire import fill_imu, fill_joint_state, fill_stamp

sys.path.insert(0, str(Path(__file__).parent))
from robot_on_topics import RobotOnTopics, end, last_words, start_brain, wait

pytestmark = [pytest.mark.ros, pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")]

HOLD, RUN, DAMP = 0, 1, 2
CONTRACT = default_contract()
#: A machine that does other things too may be late by this [s]; the exact times are those of test_safety.py.
LATE = 0.5
STALE = 0.8
#: For tests of something else: on a machine that is busy a deadline may be missed, and the newest policy drives.
EASY = {"stale_time": STALE, "missed_limit": 100, "blend": 0.2}
#: What a policy's examination may take there, in a process that gives way to others [s].
EXAMINED = 30.0
#: A policy that says something else than those of the tests.
PRETRAINED = Path(brain_node.__file__).parent / "pretrained" / "nano.onnx"
UNTRIED = {"promote": "auto", "trial": 0.0, "probation": 0.0}


@pytest.fixture(scope="module")
def files(make_brain) -> list[bytes]:
    """Two sound policies for Jack."""
    exporter = PolicyExporter(make_brain(CONTRACT), command=True)
    return [exporter.export({"phase": "stand", "step": step}) for step in (1, 2)]


@pytest.fixture
def domain():
    """A ROS domain of one's own."""
    with ros_domain() as number:
        yield number


@pytest.fixture(scope="module")
def graph(files):
    """A brain in its own process and a robot for it, holding still."""
    with ros_domain() as number:
        yield from _graph(number)


def _graph(domain):
    process = start_brain(domain, autostart=True, **EASY, **UNTRIED)
    robot = RobotOnTopics(CONTRACT, domain)
    robot.brain = process.pid
    robot.sending.set()
    wait(lambda: robot.mode() is not None, 20.0)
    yield robot
    robot.close()
    said = end(process)
    assert process.returncode == 0, said
    assert "Traceback" not in said


@pytest.fixture
def robot(graph):
    """The robot, healthy and without a fault."""
    graph.disturb, graph.noise = lambda joint_state, imu: None, 1e-6
    graph.sending.set()
    time.sleep(0.1)
    graph.call(Trigger, "brain/reset_fault")
    wait(lambda: graph.mode() in (HOLD, RUN))
    return graph


@pytest.fixture
def running(robot, files):
    """The robot with a policy that drives."""
    if robot.mode() != RUN:
        robot.offer(files[0])
        wait(lambda: robot.mode() == RUN, EXAMINED)
    return robot


def load(robot, path) -> LoadPolicy.Response:
    return robot.call(LoadPolicy, "brain/load_policy", LoadPolicy.Request(path=str(path)))


def test_without_a_policy_the_default_pose_is_held(robot):
    assert robot.mode() == HOLD
    command = robot.commands[-1][1]
    assert tuple(command.name) == CONTRACT.robot.joint_names
    np.testing.assert_allclose(command.position, CONTRACT.robot.default_position, atol=1e-9)
    np.testing.assert_allclose(command.stiffness, CONTRACT.robot.stiffness)
    assert wait(lambda: robot.status).policy == ""


def test_a_latched_policy_takes_over_and_the_newest_wins(robot, files):
    robot.offer(files[0], hashlib.sha256(files[0]).hexdigest())
    wait(lambda: robot.mode() == RUN, EXAMINED)
    wait(lambda: robot.status.policy == hashlib.sha256(files[0]).hexdigest())
    assert (robot.status.phase, robot.status.step, robot.status.mode, robot.status.swaps) == ("stand", 1, RUN, 1)
    robot.offer(files[1])
    wait(lambda: robot.status.step == 2, EXAMINED)
    assert robot.status.swaps == 2
    assert np.isfinite(robot.status.value)
    assert 0 < robot.status.latency <= robot.status.latency_max < 0.02 + LATE


def test_each_reading_is_answered_once_with_its_own_stamp(running):
    time.sleep(0.5)
    stamps = [(m.header.stamp.sec, m.header.stamp.nanosec) for _, m in running.commands[-20:]]
    assert len(set(stamps)) == 20
    assert stamps == sorted(stamps)


@pytest.mark.parametrize("field", ["position", "velocity", "effort"])
def test_fault_01_a_joint_that_reads_nan_damps_at_once_and_for_good(running, field):
    def broken(joint_state, imu):
        getattr(joint_state, field)[3] = float("nan")

    begun = time.monotonic()
    running.disturb = broken
    wait(lambda: running.mode() == DAMP)
    assert time.monotonic() - begun < 2 * CONTRACT.robot.control_period + LATE
    running.disturb = lambda joint_state, imu: None
    damped = time.monotonic()
    time.sleep(0.3)
    assert set(running.modes(damped)) == {DAMP}
    command = running.commands[-1][1]
    assert not any(command.stiffness) and np.isfinite(command.position).all()
    wait(lambda: CONTRACT.robot.joint_names[3] in running.status.fault)
    assert field in running.status.fault


def test_fault_01_no_command_ever_carries_a_number_that_is_none(running):
    def broken(joint_state, imu):
        imu.angular_velocity.x = float("inf")

    running.disturb = broken
    wait(lambda: running.mode() == DAMP)
    for _, message in running.commands:
        assert np.isfinite([*message.position, *message.stiffness, *message.damping]).all()


def test_fault_04_readings_that_stop_damp_in_time(running):
    running.sending.clear()
    begun = time.monotonic()
    wait(lambda: running.mode() == DAMP)
    took = time.monotonic() - begun
    assert STALE - 2 * CONTRACT.robot.control_period < took < STALE + CONTRACT.robot.control_period + LATE
    wait(lambda: "No new sensor readings" in running.status.fault)


def test_fault_04_an_imu_that_stops_alone_damps(running):
    def late(joint_state, imu):
        imu.header.stamp.sec -= 100

    running.disturb = late
    wait(lambda: running.mode() == DAMP)


def test_fault_05_frozen_stamps_damp(running):
    stamp = time.time()

    def frozen(joint_state, imu):
        for message in (joint_state, imu):
            message.header.stamp.sec, message.header.stamp.nanosec = int(stamp), 0

    running.disturb = frozen
    wait(lambda: running.mode() == DAMP)


def test_fault_05_frozen_values_damp_while_he_is_asked_to_walk(running):
    """Every bit the same, with stamps that move on."""
    velocities = running.node.create_publisher(Twist, "cmd_vel", 10)
    wait(velocities.get_subscription_count)
    running.noise = 0.0
    begun = time.monotonic()
    walk = Twist()
    walk.linear.x = 0.3

    def damped() -> bool:
        velocities.publish(walk)
        time.sleep(0.05)
        return running.mode() == DAMP

    wait(damped)
    assert time.monotonic() - begun < 0.3 + STALE + LATE  # until he moves, and then so long
    wait(lambda: "identical" in running.status.fault)
    running.node.destroy_publisher(velocities)


@pytest.mark.parametrize("hours", [1, -1])
def test_fault_28_a_wall_clock_that_jumps_by_an_hour_trips_nothing(running, hours):
    def jumped(joint_state, imu):
        for message in (joint_state, imu):
            message.header.stamp.sec += 3600 * hours

    running.settled()
    running.disturb, begun = jumped, time.monotonic()
    time.sleep(1.0)
    running.disturb = lambda joint_state, imu: None
    time.sleep(0.5)
    modes = running.modes(begun)
    assert set(modes) == {RUN} and len(modes) > 20
    stamps = {message.header.stamp.sec // 1000 for at, message in running.commands if at >= begun}
    assert len(stamps) >= 2  # it did follow


def test_fault_29_bytes_that_are_no_messages_crash_nothing(running):
    """Corrupt CDR does reach callbacks: what can be read is judged as any reading is."""
    rng, state = np.random.default_rng(0), RobotState.at_rest(CONTRACT.robot)
    good = joint_states(state), imu_of(state)
    senders = [
        running.node.create_publisher(type(message), topic, qos_profile_sensor_data)
        for message, topic in zip(good, ("joint_states", "imu/data"), strict=True)
    ]
    wait(lambda: all(sender.get_subscription_count() for sender in senders))
    for message in good:
        fill_stamp(message.header.stamp, time.time())
    wires = [bytearray(serialize_message(message)) for message in good]
    begun = time.monotonic()
    for index in range(3000):
        which = index % 2
        damaged = bytearray(wires[which])
        for position in rng.integers(4, len(damaged), 1 + index % 5):
            damaged[position] = int(rng.integers(256))
        senders[which].publish(bytes(damaged[: rng.integers(4, len(damaged) + 1)] if index % 3 == 0 else damaged))
        if index % 20 == 0:
            time.sleep(0.005)
    time.sleep(0.3)
    robot = CONTRACT.robot
    for at, command in running.commands:
        if at >= begun:
            position = np.array(command.position)
            assert np.isfinite(position).all() and command.mode in (RUN, DAMP)
            if command.mode == RUN:
                assert (position >= robot.lower).all() and (position <= robot.upper).all()
    running.call(Trigger, "brain/reset_fault")
    wait(lambda: running.mode() == RUN)
    for sender in senders:
        running.node.destroy_publisher(sender)


def test_what_damped_him_is_counted_by_its_kind(running):
    before = int(running.told("safety", "trips: stop") or 0)
    running.call(Trigger, "brain/stop")
    wait(lambda: running.told("safety", "trips: stop") == str(before + 1))
    assert running.told("safety", "last fault") == "Stopped by the service stop"
    wait(lambda: running.status.state == BrainStatus.DAMPING)
    status = running.health["brain: safety"]
    assert status.level == b"\x02" and "service stop" in status.message
    running.disturb = lambda joint_state, imu: setattr(imu.angular_velocity, "x", float("nan"))
    running.call(Trigger, "brain/reset_fault")
    wait(lambda: running.status.state == BrainStatus.FAULT)
    wait(lambda: running.told("safety", "trips: reading not finite") not in ("", "0"))


def test_the_timing_of_the_loop_is_told(running):
    wait(lambda: running.timing is not None)
    timing = running.timing
    assert timing.period == CONTRACT.robot.control_period
    assert len(timing.edges) == len(timing.latency) == len(timing.interval)
    assert sum(timing.latency) == timing.ticks >= sum(timing.interval) > 10
    assert 0 < timing.latency_p50 <= timing.latency_p99 <= timing.latency_p999 <= timing.latency_max
    assert timing.missed_in_a_row <= timing.missed


def test_joint_states_of_another_robot_are_as_if_they_had_not_come(running):
    def stranger(joint_state, imu):
        joint_state.name = [f"{name}_x" for name in joint_state.name]

    running.disturb = stranger
    wait(lambda: running.mode() == DAMP)
    wait(lambda: "No new sensor readings" in running.status.fault)


def test_fault_13_stop_damps_and_only_reset_goes_on(running):
    assert running.call(Trigger, "brain/stop").success
    wait(lambda: running.mode() == DAMP)
    wait(lambda: "service stop" in running.status.fault)
    assert "Stopped" in running.call(Trigger, "brain/reset_fault").message
    wait(lambda: running.mode() == RUN)


def test_fault_15_a_policy_for_another_contract_is_refused_in_words_and_the_old_one_goes_on(
    running, files, tmp_path
):
    before, begun = running.settled().policy, time.monotonic()
    refused = running.status.refused
    others = mutations(CONTRACT)
    assert len(others) >= 20
    for path, other in others.items():
        model = onnx.load_from_string(files[0][:-SEAL_SIZE])
        entries = {entry.key: entry.value for entry in model.metadata_props}
        entries |= {"jack.contract": other.to_json(), "jack.contract_digest": other.digest}
        onnx.helper.set_model_props(model, entries)
        file = tmp_path / "policy.onnx"
        file.write_bytes(seal(model.SerializeToString()))
        answer = load(running, file)
        assert not answer.success
        assert path.strip() in answer.message
    running.offer(file.read_bytes())  # and once over the topic
    wait(lambda: running.status.refused == refused + len(others) + 1)
    assert "not made for this robot" in running.status.refusal
    assert running.status.policy == before
    assert set(running.modes(begun)) == {RUN}


def test_fault_16_damaged_files_are_refused_and_the_old_one_goes_on(running, files, tmp_path):
    rng, size, begun = np.random.default_rng(0), len(files[0]), time.monotonic()
    file = tmp_path / "policy.onnx"
    for index in range(200):
        damaged = bytearray(files[0])
        position = int(rng.integers(0, size * 8))
        damaged[position // 8] ^= 1 << position % 8
        file.write_bytes(damaged if index % 2 else files[0][: position // 8])
        assert not load(running, file).success
    assert set(running.modes(begun)) == {RUN}
    times = np.array([at for at, _ in running.commands if at >= begun])
    assert np.diff(times).max() < 0.1 + LATE
    assert "cannot be read" in load(running, tmp_path / "nothing").message


def test_announcements_are_checked(running, files, tmp_path):
    refused = running.settled().refused
    running.offer(files[0], sha256="0" * 64)
    wait(lambda: running.status.refused == refused + 1)
    assert "announced" in running.status.refusal
    running.offer(b"", uri="https://example.org/policy.onnx")
    wait(lambda: running.status.refused == refused + 2)
    assert "file:///" in running.status.refusal
    (tmp_path / "a policy.onnx").write_bytes(files[1])
    running.offer(b"", uri=(tmp_path / "a policy.onnx").as_uri())
    wait(lambda: running.status.policy == hashlib.sha256(files[1]).hexdigest())


def memory_of(process: int) -> int:
    """What it has of the machine's memory [bytes]."""
    return int(Path(f"/proc/{process}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def reload_often(robot, files, folder, count: int) -> tuple[np.ndarray, list[int]]:
    """Gaps between commands [s], and the brain's memory after each reload."""
    paths, memory = [folder / "a.onnx", folder / "b.onnx"], []
    for path, file in zip(paths, files, strict=True):
        path.write_bytes(file)
    begun, swaps = time.monotonic(), robot.settled().swaps
    for index in range(count):
        assert load(robot, paths[index % 2]).success
        memory.append(memory_of(robot.brain))
    wait(lambda: robot.status.swaps >= swaps + count // 2)  # two within one tick count as one
    assert set(robot.modes(begun)) == {RUN}
    return np.diff([at for at, _ in list(robot.commands) if at >= begun]), memory


def test_fault_14_fifty_hot_reloads_leave_no_gap(running, files, tmp_path):
    gaps, _ = reload_often(running, files, tmp_path, 50)
    assert np.median(gaps) < 2 * CONTRACT.robot.control_period
    assert gaps.max() < 0.1 + LATE


@pytest.mark.soak
def test_fault_14_a_thousand_hot_reloads_leave_no_gap_and_no_memory(running, files, tmp_path):
    gaps, memory = reload_often(running, files, tmp_path, 1000)
    assert np.quantile(gaps, 0.999) < 2 * CONTRACT.robot.control_period
    assert gaps.max() < 0.1 + LATE
    assert max(memory[50:]) - memory[50] < 20e6


def test_over_topics_the_brain_does_what_the_pilot_does(files, tmp_path, domain):
    """Simulated time, one pair of readings for one command: the commands of node and pilot agree to 1e-9."""
    path = tmp_path / "policy.onnx"
    path.write_bytes(files[0])
    process = start_brain(
        domain, autostart=True, use_sim_time=True, policy=path, blend=0.1, tilt_limit=4.0, speed_limit=100.0
    )
    robot = RobotOnTopics(CONTRACT, domain)
    try:
        wait(lambda: robot.status is not None, 20.0)
        wait(lambda: "takes over" in process.said, EXAMINED)
        limits = SafetyLimits(tilt=4.0, speed=100.0)
        pilot, policy = Pilot(CONTRACT, limits, PilotConfig(blend=0.1)), Policy.load(path, CONTRACT)
        pilot.offer(policy)
        rng = np.random.default_rng(0)
        for tick in range(40):
            robot.state = sample_state(CONTRACT.robot, rng)
            robot.state.joint_velocity *= 0.1
            robot.state.time = np.float64(1.0 + 0.02 * tick)
            answered = len(robot.commands)
            robot.send(float(robot.state.time))
            wait(lambda n=answered: len(robot.commands) > n)
            expected = pilot.tick(robot.state, float(robot.state.time))
            assert robot.mode() == expected.mode == RUN
            np.testing.assert_allclose(robot.commands[-1][1].position, expected.targets, atol=1e-9)
        answered = len(robot.commands)
        robot.send(float(robot.state.time))  # the same again: somebody waits for the answer still
        wait(lambda: len(robot.commands) > answered)
        assert list(robot.commands[-1][1].position) == list(robot.commands[answered - 1][1].position)
        time.sleep(1.0)  # simulated time stands still: nothing is stale
        assert robot.status.mode == RUN and robot.status.fault == ""
    finally:
        robot.close()
        end(process)


def change(robot, transition: int) -> bool:
    request = ChangeState.Request(transition=Transition(id=transition))
    return robot.call(ChangeState, "brain/change_state", request).success


def test_the_life_cycle(files, tmp_path, domain):
    """Unconfigured and inactive it sends nothing; its last command damps; and it can begin again."""
    path = tmp_path / "policy.onnx"
    path.write_bytes(files[0])
    process = start_brain(domain, policy=path, **EASY)
    robot = RobotOnTopics(CONTRACT, domain)
    try:
        robot.sending.set()
        sessions = set()
        for _ in range(2):
            assert robot.call(GetState, "brain/get_state").current_state.label == "unconfigured"
            assert change(robot, Transition.TRANSITION_CONFIGURE)
            time.sleep(0.3)
            assert robot.commands == []
            assert change(robot, Transition.TRANSITION_ACTIVATE)
            wait(lambda: robot.mode() == RUN, EXAMINED)
            assert change(robot, Transition.TRANSITION_DEACTIVATE)
            wait(lambda: robot.mode() == DAMP)
            count = len(robot.commands)
            time.sleep(0.2)
            assert len(robot.commands) == count
            sessions |= {message.session for _, message in robot.commands}
            assert change(robot, Transition.TRANSITION_ACTIVATE)
            wait(lambda: robot.mode() == RUN, EXAMINED)
            sessions.add(robot.commands[-1][1].session)
            assert change(robot, Transition.TRANSITION_DEACTIVATE)
            assert change(robot, Transition.TRANSITION_CLEANUP)
            robot.commands.clear()
        assert len(sessions) == 4 and 0 not in sessions  # one for each activation
    finally:
        robot.close()
        assert "Traceback" not in end(process)
    assert process.returncode == 0


def lie(joint_state, imu) -> None:
    """He lies on his side."""
    imu.orientation.x, imu.orientation.y, imu.orientation.z, imu.orientation.w = 0.7071, 0.0, 0.0, 0.7071


def test_a_policy_is_tried_in_the_shadow_promoted_and_taken_back(files, domain):
    first, second = (hashlib.sha256(file).hexdigest() for file in files)
    bounds = {"trial": 0.4, "trial_rms": 0.005, "trial_largest": 0.01, "probation": 30.0}  # promote: manual
    process = start_brain(domain, autostart=True, **bounds, **EASY)
    robot = RobotOnTopics(CONTRACT, domain)
    try:
        robot.sending.set()
        wait(lambda: robot.mode() == HOLD, 20.0)
        robot.offer(files[0])
        wait(lambda: robot.settled().state == BrainStatus.RUNNING, EXAMINED)
        # one that says something else
        robot.offer(PRETRAINED.read_bytes())
        wait(lambda: "allowed" in robot.status.shadow_report, EXAMINED)
        assert not robot.call(Trigger, "brain/promote").success
        # one that says the same
        robot.offer(files[1])
        wait(lambda: robot.status.shadow == second, EXAMINED)
        wait(lambda: robot.status.shadow_report == "ready")
        assert robot.status.shadow_time >= 0.4 and robot.status.policy == first
        begun = time.monotonic()
        assert robot.call(Trigger, "brain/promote").success
        wait(lambda: robot.status.policy == second)
        assert set(robot.modes(begun)) == {RUN} and robot.status.shadow_report == ""
        # he falls within its probation
        robot.disturb = lie
        wait(lambda: robot.status.state == BrainStatus.FAULT)
        wait(lambda: robot.status.rollbacks == 1)
        assert robot.status.policy == first and "tilted" in robot.status.fault
        robot.disturb = lambda joint_state, imu: None
        robot.call(Trigger, "brain/reset_fault")
        wait(lambda: robot.mode() == RUN)
        refused = robot.settled().refused
        robot.offer(files[1])
        wait(lambda: robot.status.refused == refused + 1)
        assert "taken back" in robot.status.refusal and robot.status.policy == first
    finally:
        robot.close()
        assert "Traceback" not in end(process)


def test_fault_09_a_brain_that_is_kept_from_its_work_damps_and_counts(files, tmp_path, domain):
    """For 0.4 s it gets no processor at all: twenty control periods. Nobody else would have noticed."""
    path = tmp_path / "policy.onnx"
    path.write_bytes(files[0])
    given = EASY | {"missed_limit": 15}  # and not 5: this machine may be busy
    process = start_brain(domain, autostart=True, policy=path, **given)
    robot = RobotOnTopics(CONTRACT, domain)
    try:
        robot.sending.set()
        wait(lambda: robot.mode() == RUN, EXAMINED)
        missed = robot.settled().missed
        process.send_signal(signal.SIGSTOP)
        time.sleep(0.4)
        process.send_signal(signal.SIGCONT)
        wait(lambda: robot.mode() == DAMP)
        wait(lambda: "in a row" in robot.status.fault)
        assert robot.status.missed >= missed + 18
        wait(lambda: robot.timing is not None and robot.timing.missed >= missed + 18)
        assert robot.told("safety", "trips: deadlines missed") == "1"
    finally:
        robot.close()
        end(process)


def burn(count: int) -> Iterator[subprocess.Popen[bytes]]:
    """Processes that do nothing but compute."""
    return (subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(count))


@pytest.mark.soak
def test_fault_09_ten_minutes_of_twice_the_load_damp_or_do_no_harm(files, tmp_path, domain):
    """Whatever becomes of the deadlines: they are counted, and five in a row are never driven through."""
    path = tmp_path / "policy.onnx"
    path.write_bytes(files[0])
    process = start_brain(domain, autostart=True, policy=path)
    robot, load_of_others = RobotOnTopics(CONTRACT, domain), list(burn(2 * (os.cpu_count() or 1)))
    try:
        robot.sending.set()
        wait(lambda: robot.mode() is not None, 60.0)
        deadline = time.monotonic() + 600.0
        while time.monotonic() < deadline:
            time.sleep(1.0)
            status = robot.settled()
            if status.state in (BrainStatus.DAMPING, BrainStatus.FAULT):
                assert status.fault
                robot.call(Trigger, "brain/reset_fault")
        assert process.poll() is None
        assert robot.settled().missed > 0
    finally:
        for other in load_of_others:
            other.kill()
            other.wait()
        robot.close()
        end(process)


def test_fault_07_the_camera_goes_and_he_goes_on(files, tmp_path, domain):
    path = tmp_path / "policy.onnx"
    path.write_bytes(files[0])
    process = start_brain(domain, autostart=True, policy=path, camera=True, **(EASY | {"camera_timeout": 0.5}))
    robot = RobotOnTopics(CONTRACT, domain)
    images = robot.node.create_publisher(Image, "camera/image_raw", qos_profile_sensor_data)
    picture = Image(height=64, width=64, encoding="rgb8", step=192, data=list(range(256)) * 48)
    black = Image(height=64, width=64, encoding="rgb8", step=192, data=[0] * 12288)

    def look(shown: Image = picture) -> None:
        fill_stamp(shown.header.stamp, time.time())
        images.publish(shown)
        time.sleep(0.03)

    def seen() -> str:
        return robot.told("safety", "readings and pictures")

    try:
        robot.sending.set()
        wait(lambda: robot.mode() == RUN, EXAMINED)
        wait(lambda: seen() == "no current picture")
        wait(lambda: look(black) or "shows nothing" in robot.health["brain: sight"].message)
        assert seen() == "no current picture"
        wait(lambda: look() or seen() == "everything is current")
        begun = time.monotonic()
        wait(lambda: seen() == "no current picture")
        assert time.monotonic() - begun < 0.5 + 1.0 + LATE  # diagnostics come once a second
        assert set(robot.modes(begun)) == {RUN}
    finally:
        robot.close()
        end(process)


def joint_states(state: RobotState) -> JointState:
    message = JointState()
    fill_joint_state(message, CONTRACT.robot, state)
    return message


def imu_of(state: RobotState) -> Imu:
    message = Imu()
    fill_imu(message, state)
    return message


def malform(rng: np.random.Generator, joint_state: JointState, imu: Imu) -> None:
    """Make a pair of messages that says nothing, in one of many ways."""
    names, way = list(joint_state.name), int(rng.integers(8))
    index = int(rng.integers(len(names)))
    if way == 0:
        joint_state.name = names[:index]
    elif way == 1:
        joint_state.name = [*names[:index], "somebody", *names[index + 1 :]]
    elif way == 2:
        joint_state.name = [*names[:index], names[index - 1], *names[index + 1 :]]  # one twice, one missing
    elif way == 3:
        joint_state.name = [*names, names[index]]
    elif way == 4:
        joint_state.position = joint_state.position[:index]
    elif way == 5:
        joint_state.velocity = [*joint_state.velocity, 0.0]
    elif way == 6:
        joint_state.effort = [0.0] * (index + 1) if index + 1 != len(names) else [0.0]
    else:
        imu.orientation.x, imu.orientation.w = 0.0, float(rng.uniform(-0.9, 0.9))


def test_fault_29_twenty_thousand_malformed_messages_have_no_effect_and_are_counted(files, domain):
    """Between good readings: the commands are those that the good ones alone would have led to."""
    node = here(domain, "blend:=0.2", "use_sim_time:=true")
    try:
        node.pilot.offer(Policy.load(files[0], CONTRACT))
        alone, sent = Pilot(CONTRACT, config=PilotConfig(blend=0.2)), []
        alone.offer(Policy.load(files[0], CONTRACT))
        node._send = lambda decision, now: sent.append(decision)
        rng, state, tick = np.random.default_rng(0), RobotState.at_rest(CONTRACT.robot), 0
        for count in range(20_000):
            broken = joint_states(state), imu_of(state)
            malform(rng, *broken)
            if count % 100 == 0:
                tick += 1
                state = sample_state(CONTRACT.robot, rng)
                state.joint_velocity *= 0.1
                state.orientation, state.time = np.array([0.0, 0.0, 0.0, 1.0]), np.float64(0.02 * tick)
                good = joint_states(state), imu_of(state)
                hear(node, *good, 0.02 * tick)
                expected = alone.tick(state, 0.02 * tick)
                assert np.array_equal(sent[-1].targets, expected.targets) and sent[-1].mode == RUN
            heard = len(sent)
            tick += 1
            hear(node, *broken, 0.02 * tick)
            assert len(sent) == heard
        assert node._malformed == 20_000
        assert not any(node.pilot.safety.trips.values())
        for wrong in (np.nan, np.inf):
            velocity = Twist()
            velocity.linear.x = float(wrong)
            node._on_velocity(velocity)
        assert node._malformed == 20_002
    finally:
        leave(node)


def here(domain: int, *parameters: str):
    """A brain in this process, active, whose callbacks nobody but the test calls."""
    words = [word for given in (*parameters, "realtime:=never") for word in ("-p", given)]
    rclpy.init(domain_id=domain, args=["--ros-args", *words])
    node = brain_node.BrainNode()
    assert node.start()
    return node


def leave(node) -> None:
    node.trigger_deactivate()
    node.close()
    node.destroy_node()
    rclpy.try_shutdown()


def hear(node, joint_state: JointState, imu: Imu, stamp: float) -> None:
    """Hand a node a pair, as its executor would."""
    for message in (joint_state, imu):
        fill_stamp(message.header.stamp, stamp)
    node._on_imu(imu)
    node._on_joint_state(joint_state)


def test_a_robot_of_ones_own_whose_hardware_calls_its_joints_otherwise(domain, tmp_path):
    path, robot = tmp_path / "mine.yaml", replace(CONTRACT.robot, control_period=0.01)
    path.write_text(robot_to_yaml(robot))
    node, sent, state = here(domain, f"robot:={path}", "prefix:=hw/"), [], RobotState.at_rest(robot)
    try:
        assert node.pilot.contract == contract_for(robot)
        node._send = lambda decision, now: sent.append(decision)
        message = joint_states(state)
        hear(node, message, imu_of(state), 1.0)
        assert sent == [] and node._malformed == 1  # these are the joints of somebody else
        message.name = [f"hw/{name}" for name in message.name]
        hear(node, message, imu_of(state), 1.1)
        assert np.array_equal(sent[-1].targets, robot.default_position)
    finally:
        leave(node)


def test_a_loop_that_breaks_damps(files, domain, monkeypatch):
    """Whatever the error, the joints are not left to themselves."""
    node, sent, state = here(domain), [], RobotState.at_rest(CONTRACT.robot)
    try:
        node._send = lambda decision, now: sent.append(decision)
        monkeypatch.setattr(node.pilot, "tick", lambda state, now: 1 / 0)
        hear(node, joint_states(state), imu_of(state), 1.0)
        assert sent[-1].mode == DAMP and node.pilot.safety.trips[Trip.CONTROL] == 1
        assert "ZeroDivisionError" in node.pilot.safety.fault
    finally:
        leave(node)


@pytest.mark.parametrize("trigger", ["timer", "sensor"])
@pytest.mark.parametrize("executor", ["single", "events"])
def test_every_trigger_and_executor_commands_at_the_control_period(trigger, executor, domain):
    process = start_brain(domain, autostart=True, trigger=trigger, executor=executor, **EASY)
    robot = RobotOnTopics(CONTRACT, domain)
    try:
        robot.sending.set()
        wait(lambda: robot.mode() == HOLD, 20.0)
        begun = time.monotonic()
        time.sleep(1.0)
        assert 20 <= len(robot.modes(begun)) <= 55  # a loaded machine sends less
        assert set(robot.modes(begun)) == {HOLD}
    finally:
        robot.close()
        end(process)


@pytest.mark.parametrize(
    ("parameter", "value", "words"),
    [
        ("tilt_limit", -1.0, "tilt_limit"),
        ("blend", 1000.0, "blend"),
        ("trial_rms", ".nan", "trial_rms"),
        ("stale_time", 50.0, "stale_time"),
        ("trigger", "sometimes", "sensor, timer"),
        ("robot", "jacky", "Did you mean 'jack'"),
        ("command_end", 0.01, "command_end"),
    ],
)
def test_fault_31_bad_parameters_end_it_with_the_reason(parameter, value, words, domain):
    process = start_brain(domain, autostart=True, **{parameter: value})
    said = last_words(process, 20.0)
    assert process.returncode == 1
    assert words in said
    assert "Traceback" not in said


def test_nothing_heavy_is_on_its_import_path():
    code = (
        "import sys, jack_brain.brain_node\n"
        "assert not {'torch', 'mujoco', 'onnx', 'scipy', 'jack_sim', 'jack_trainer'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
