import hashlib
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import onnx
import pytest

pytest.importorskip("rclpy", reason="needs ROS 2")
pytest.importorskip("jack_msgs", reason="needs the built workspace: . .jack/env.sh")

from jack_msgs.srv import LoadPolicy
from lifecycle_msgs.msg import Transition
from lifecycle_msgs.srv import ChangeState, GetState
from std_srvs.srv import Trigger

from jack_brain.network.export import PolicyExporter
from jack_brain.pilot import Pilot, PilotConfig
from jack_brain.policy import Policy
from jack_brain.policy_file import SEAL_SIZE, seal
from jack_contract.contract import default_contract
from jack_contract.testing import mutations, ros_domain, sample_state

sys.path.insert(0, str(Path(__file__).parent))
from robot_on_topics import RobotOnTopics, end, last_words, start_brain, wait

pytestmark = [pytest.mark.ros, pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")]

HOLD, RUN, DAMP = 0, 1, 2
CONTRACT = default_contract()
#: A machine that does other things too may be late by this [s]; the exact times are those of test_safety.py.
LATE = 0.5
STALE = 0.8


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
    process = start_brain(domain, autostart=True, stale_time=STALE)
    robot = RobotOnTopics(CONTRACT, domain)
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
    graph.disturb = lambda joint_state, imu: None
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
        wait(lambda: robot.mode() == RUN)
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
    wait(lambda: robot.mode() == RUN)
    wait(lambda: robot.status.policy == hashlib.sha256(files[0]).hexdigest())
    assert (robot.status.phase, robot.status.step, robot.status.mode, robot.status.swaps) == ("stand", 1, RUN, 1)
    robot.offer(files[1])
    wait(lambda: robot.status.step == 2)
    assert robot.status.swaps == 2
    assert np.isfinite(robot.status.value)
    assert 0 < robot.status.latency <= robot.status.latency_max < 0.02 + LATE


def test_each_reading_is_answered_once_with_its_own_stamp(running):
    time.sleep(0.5)
    stamps = [(m.header.stamp.sec, m.header.stamp.nanosec) for _, m in running.commands[-20:]]
    assert len(set(stamps)) == 20
    assert stamps == sorted(stamps)


@pytest.mark.parametrize("field", ["position", "velocity", "effort"])
def test_a_joint_that_reads_nan_damps_at_once_and_for_good(running, field):
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


def test_no_command_ever_carries_a_number_that_is_none(running):
    def broken(joint_state, imu):
        imu.angular_velocity.x = float("inf")

    running.disturb = broken
    wait(lambda: running.mode() == DAMP)
    for _, message in running.commands:
        assert np.isfinite([*message.position, *message.stiffness, *message.damping]).all()


def test_readings_that_stop_damp_in_time(running):
    running.sending.clear()
    begun = time.monotonic()
    wait(lambda: running.mode() == DAMP)
    took = time.monotonic() - begun
    assert STALE - 2 * CONTRACT.robot.control_period < took < STALE + CONTRACT.robot.control_period + LATE
    wait(lambda: "No new sensor readings" in running.status.fault)


def test_an_imu_that_stops_alone_damps(running):
    def late(joint_state, imu):
        imu.header.stamp.sec -= 100

    running.disturb = late
    wait(lambda: running.mode() == DAMP)


def test_frozen_stamps_damp(running):
    stamp = time.time()

    def frozen(joint_state, imu):
        for message in (joint_state, imu):
            message.header.stamp.sec, message.header.stamp.nanosec = int(stamp), 0

    running.disturb = frozen
    wait(lambda: running.mode() == DAMP)


def test_joint_states_of_another_robot_are_as_if_they_had_not_come(running):
    def stranger(joint_state, imu):
        joint_state.name = [f"{name}_x" for name in joint_state.name]

    running.disturb = stranger
    wait(lambda: running.mode() == DAMP)
    wait(lambda: "No new sensor readings" in running.status.fault)


def test_stop_damps_and_only_reset_goes_on(running):
    assert running.call(Trigger, "brain/stop").success
    wait(lambda: running.mode() == DAMP)
    wait(lambda: "service stop" in running.status.fault)
    assert "Stopped" in running.call(Trigger, "brain/reset_fault").message
    wait(lambda: running.mode() == RUN)


def test_a_policy_for_another_contract_is_refused_in_words_and_the_old_one_goes_on(running, files, tmp_path):
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


def test_damaged_files_are_refused_and_the_old_one_goes_on(running, files, tmp_path):
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


def test_fifty_hot_reloads_leave_no_gap(running, files, tmp_path):
    paths = [tmp_path / "a.onnx", tmp_path / "b.onnx"]
    for path, file in zip(paths, files, strict=True):
        path.write_bytes(file)
    begun = time.monotonic()
    for index in range(50):
        assert load(running, paths[index % 2]).success
    assert set(running.modes(begun)) == {RUN}
    times = np.array([at for at, _ in running.commands if at >= begun])
    assert np.median(np.diff(times)) < 2 * CONTRACT.robot.control_period
    assert np.diff(times).max() < 0.1 + LATE


def test_over_topics_the_brain_does_what_the_pilot_does(files, tmp_path, domain):
    """Simulated time, one pair of readings for one command: the commands of node and pilot agree to 1e-9."""
    path = tmp_path / "policy.onnx"
    path.write_bytes(files[0])
    process = start_brain(domain, autostart=True, use_sim_time=True, policy=path, blend=0.1, tilt_limit=4.0)
    robot = RobotOnTopics(CONTRACT, domain)
    try:
        wait(lambda: robot.status is not None, 20.0)
        time.sleep(0.5)  # the policy is examined
        pilot, policy = Pilot(CONTRACT, config=PilotConfig(blend=0.1)), Policy.load(path, CONTRACT)
        pilot.safety._upright = -np.inf
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
    process = start_brain(domain, policy=path, stale_time=STALE)
    robot = RobotOnTopics(CONTRACT, domain)
    try:
        robot.sending.set()
        for _ in range(2):
            assert robot.call(GetState, "brain/get_state").current_state.label == "unconfigured"
            assert change(robot, Transition.TRANSITION_CONFIGURE)
            time.sleep(0.3)
            assert robot.commands == []
            assert change(robot, Transition.TRANSITION_ACTIVATE)
            wait(lambda: robot.mode() == RUN)
            assert change(robot, Transition.TRANSITION_DEACTIVATE)
            wait(lambda: robot.mode() == DAMP)
            count = len(robot.commands)
            time.sleep(0.2)
            assert len(robot.commands) == count
            assert change(robot, Transition.TRANSITION_ACTIVATE)
            wait(lambda: robot.mode() == RUN)
            assert change(robot, Transition.TRANSITION_DEACTIVATE)
            assert change(robot, Transition.TRANSITION_CLEANUP)
            robot.commands.clear()
    finally:
        robot.close()
        assert "Traceback" not in end(process)
    assert process.returncode == 0


@pytest.mark.parametrize("trigger", ["timer", "sensor"])
@pytest.mark.parametrize("executor", ["single", "events"])
def test_every_trigger_and_executor_commands_at_the_control_period(trigger, executor, domain):
    process = start_brain(domain, autostart=True, trigger=trigger, executor=executor, stale_time=STALE)
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
        ("trigger", "sometimes", "sensor, timer"),
        ("robot", "jacky", "Did you mean 'jack'"),
        ("command_end", 0.01, "command_end"),
    ],
)
def test_bad_parameters_end_it_with_the_reason(parameter, value, words, domain):
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
