import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("rclpy", reason="needs ROS 2")
pytest.importorskip("jack_msgs", reason="needs the built workspace: . .jack/env.sh")

from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus
from jack_msgs.msg import DriverStatus, JointCommand
from lifecycle_msgs.msg import Transition
from lifecycle_msgs.srv import ChangeState
from rclpy.qos import QoSProfile, ReliabilityPolicy
from rclpy.serialization import serialize_message
from rosgraph_msgs.msg import Clock
from std_msgs.msg import Float64MultiArray
from std_srvs.srv import Trigger
from trajectory_msgs.msg import JointTrajectory

from jack_brain.driver_parameters import DriverParameters
from jack_brain.network.export import PolicyExporter
from jack_contract.contract import default_contract
from jack_contract.errors import JackError
from jack_contract.robot import load_robot, robot_to_yaml
from jack_contract.testing import ros_domain
from jack_contract.wire import fill_joint_command, fill_stamp

sys.path.insert(0, str(Path(__file__).parent))
from robot_on_topics import RobotOnTopics, end, last_words, start_brain, wait

pytestmark = [pytest.mark.ros, pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")]

HOLD, RUN, DAMP = 0, 1, 2
WAITING, DRIVING, DAMPING = DriverStatus.WAITING, DriverStatus.DRIVING, DriverStatus.DAMPING
CONTRACT = default_contract()
ROBOT = CONTRACT.robot
#: A machine that does other things too may be late by this [s]; the exact times are those of test_driver.py.
LATE = 0.3
#: Patience with which a driver, and a brain, bear what tests do [s].
TIMEOUT, STALE = 0.5, 0.8
#: Control periods that a brain may miss in a row there: five, as on a robot, are one hiccup of a busy machine.
MISSED = 100
OURS, THEIRS = 2**64 - 1, 7
COMMAND = QoSProfile(depth=1000, reliability=ReliabilityPolicy.RELIABLE)


def start_driver(domain: int, **parameters: object) -> subprocess.Popen[str]:
    """The node in a process of its own, active."""
    given = [f"{name}:={value}" for name, value in {"autostart": "true", **parameters}.items()]
    environment = os.environ | {"ROS_DOMAIN_ID": str(domain), "ROS_AUTOMATIC_DISCOVERY_RANGE": "LOCALHOST"}
    words = [word for rule in given for word in ("-p", rule)]
    command = [sys.executable, "-m", "jack_brain.driver_node", "--ros-args", *words]
    return subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True)


class Bench(RobotOnTopics):
    """A robot's sensors, and what its motors hear of the driver."""

    def __init__(self, contract, domain, kind=JointCommand, topic="hardware/joint_command"):
        super().__init__(contract, domain)
        self.heard: list[tuple[float, object]] = []
        self.driver: DriverStatus | None = None
        self.diagnostics: list[tuple[float, DiagnosticStatus]] = []
        self.node.create_subscription(kind, topic, self._on_motors, COMMAND)
        self.node.create_subscription(DriverStatus, "driver/status", self._on_driver, 10)
        self.node.create_subscription(DiagnosticArray, "/diagnostics", self._on_diagnostics, 10)

    def _on_motors(self, message):
        self.heard.append((time.monotonic(), message))

    def _on_driver(self, message):
        self.driver = message

    def _on_diagnostics(self, message):
        now = time.monotonic()
        self.diagnostics += [(now, status) for status in message.status if status.name.startswith("driver")]

    def motors(self):
        """The newest that the motors heard."""
        return self.heard[-1][1] if self.heard else None

    def is_damped(self) -> bool:
        newest = self.motors()
        return newest is not None and newest.mode == DAMP and not any(newest.stiffness)

    def damped_since(self, begun: float) -> float | None:
        """When damping was heard first, from then on."""
        return next((at for at, message in list(self.heard) if at >= begun and message.mode == DAMP), None)

    def since(self, begun: float) -> list:
        """What the motors heard since then."""
        return [message for at, message in list(self.heard) if at >= begun]

    def reset(self) -> None:
        """Let the driver wait for a brain."""
        wait(lambda: self.driver is not None and self.driver.state == DAMPING)
        assert self.call(Trigger, "driver/reset").success
        wait(lambda: self.driver.state != DAMPING)


class Commander:
    """Somebody who commands at the control period until he is told to stop."""

    def __init__(self, bench: Bench, session: int, offset: float = 0.1) -> None:
        self.robot, self.session, self.offset = bench.robot, session, offset
        self._bench = bench
        self._publisher = bench.node.create_publisher(JointCommand, "joint_command", COMMAND)
        self.sent, self.stamp = 0, time.time()
        self._going, self._closed = threading.Event(), False
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def __enter__(self):
        self._going.set()
        return self

    def __exit__(self, *error):
        self.close()

    def command(self, **changes) -> JointCommand:
        message = JointCommand()
        targets = self.robot.default_position + self.offset
        fill_joint_command(
            message, self.robot, RUN, targets, self.robot.stiffness, self.robot.damping, self.session
        )
        fill_stamp(message.header.stamp, self.stamp)
        for name, value in changes.items():
            setattr(message, name, value)
        return message

    def send(self, message: JointCommand | bytes) -> None:
        self._publisher.publish(message)
        self.sent += 1

    def pause(self) -> None:
        """Be silent."""
        self._going.clear()
        time.sleep(1.5 * self.robot.control_period)

    def _run(self) -> None:
        while not self._closed:
            if self._going.wait(0.05):
                self.send(self.command())
                time.sleep(self.robot.control_period)

    def close(self) -> None:
        if not self._closed:
            self._closed = True
            self._thread.join()
            self._bench.node.destroy_publisher(self._publisher)


@pytest.fixture
def domain():
    """A ROS domain of one's own."""
    with ros_domain() as number:
        yield number


@pytest.fixture(scope="module")
def bench():
    """A driver in its own process, and what is around it."""
    with ros_domain() as number:
        process, bench = start_driver(number, timeout=TIMEOUT), Bench(CONTRACT, number)
        wait(lambda: bench.driver is not None, 20.0)
        yield bench
        bench.close()
        said = end(process)
        assert process.returncode == 0, said
        assert "Traceback" not in said


@pytest.fixture
def waiting(bench):
    """A driver that waits for a brain."""
    bench.sending.set()
    assert bench.call(Trigger, "driver/stop").success
    bench.reset()
    wait(lambda: bench.driver.state == WAITING)
    bench.diagnostics.clear()
    return bench


@pytest.fixture
def commander(waiting):
    """A brain that the driver obeys."""
    with Commander(waiting, OURS) as commander:
        wait(lambda: waiting.driver.state == DRIVING)
        wait(lambda: waiting.motors().mode == RUN)
        yield commander


# -- what is passed on


def test_before_a_brain_commands_the_joints_are_damped_again_and_again(waiting):
    begun = time.monotonic()
    time.sleep(0.3)
    heard = waiting.since(begun)
    assert len(heard) > 5 and {message.mode for message in heard} == {DAMP}
    assert not any(heard[-1].stiffness) and list(heard[-1].damping) == ROBOT.damping.tolist()
    np.testing.assert_allclose(heard[-1].position, waiting.state.joint_position)
    assert (waiting.driver.session, waiting.driver.age, waiting.driver.fault) == (0, -1.0, "")
    wait(lambda: waiting.diagnostics and waiting.diagnostics[-1][1].level == DiagnosticStatus.WARN)


def test_each_command_reaches_the_motors_once_as_it_is(waiting, commander):
    commander.pause()
    begun = time.monotonic()
    for step in range(10):
        commander.send(commander.command(position=ROBOT.default_position + 0.01 * step))
        time.sleep(0.01)
    passed = [message for message in waiting.since(begun) if message.mode == RUN]
    assert [round(message.position[0] - ROBOT.default_position[0], 6) for message in passed] == [
        round(0.01 * step, 6) for step in range(10)
    ]
    last = passed[-1]
    assert (last.session, list(last.stiffness)) == (OURS, ROBOT.stiffness.tolist())
    assert last.header.stamp == commander.command().header.stamp


def test_status_says_who_is_obeyed(waiting, commander):
    wait(lambda: waiting.driver.passed > 20)
    status = waiting.driver
    assert (status.interface, status.session, status.publishers) == ("joint_command", OURS, 1)
    assert (status.ignored, status.refused, status.fault) == (0, 0, "") and 0.0 <= status.age < TIMEOUT
    wait(lambda: waiting.diagnostics and waiting.diagnostics[-1][1].level == DiagnosticStatus.OK)


# -- when nobody commands


def test_silence_damps_and_nothing_resumes_by_itself(waiting, commander):
    commander.pause()
    begun = time.monotonic()
    wait(waiting.is_damped)
    assert TIMEOUT - 0.1 < time.monotonic() - begun < 1.1 * TIMEOUT + LATE
    commander._going.set()
    damped = time.monotonic()
    time.sleep(0.5)
    assert {message.mode for message in waiting.since(damped)} == {DAMP}
    assert waiting.driver.state == DAMPING and "No command that can be believed" in waiting.driver.fault
    wait(lambda: waiting.diagnostics and waiting.diagnostics[-1][1].level == DiagnosticStatus.ERROR)
    assert "No command" in waiting.call(Trigger, "driver/reset").message
    wait(lambda: waiting.motors().mode == RUN)


def test_stop_damps_in_every_state(waiting):
    for state in (WAITING, DRIVING, DAMPING):
        with Commander(waiting, OURS + 0) as commander:
            if state == WAITING:
                commander.pause()
            else:
                wait(lambda state=state: waiting.driver.state == state)
            assert waiting.call(Trigger, "driver/stop").success
            wait(waiting.is_damped)
            begun = time.monotonic()
            time.sleep(0.1)
            assert {message.mode for message in waiting.since(begun)} == {DAMP}
        wait(lambda: "service stop" in waiting.driver.fault)
        if state == WAITING:
            waiting.reset()


def moves(bench: Bench) -> bool:
    """Whether a brain moves the joints."""
    last = [message for _, message in bench.heard[-3:]]
    return {message.mode for message in last} == {HOLD} and len({tuple(message.position) for message in last}) == 3


@pytest.mark.parametrize("times", [3, pytest.param(100, marks=pytest.mark.soak)])
def test_fault_08_a_brain_that_is_killed_in_motion_leaves_damped_joints(domain, times):
    driver, bench, took = start_driver(domain), Bench(CONTRACT, domain), []
    bench.state.joint_position = (ROBOT.default_position + 0.5).clip(ROBOT.lower, ROBOT.upper)
    bench.sending.set()
    try:
        while len(took) < times:
            bench.heard.clear()
            slow = {"stale_time": STALE, "missed_limit": 0, "hold_speed": 0.05}  # moves for ten seconds
            brain = start_brain(domain, autostart=True, **slow)
            try:
                wait(lambda: moves(bench) or (bench.driver is not None and bench.driver.state == DAMPING), 20.0)
                moving, begun = moves(bench), time.monotonic()
            finally:
                brain.kill()
                brain.communicate()
            damped = wait(lambda since=begun: bench.damped_since(since))
            if moving:  # else the machine was too busy for the brain, and it was damped before
                took.append(damped - begun)
            bench.reset()
    finally:
        bench.close()
        end(driver)
    assert np.median(took) < 0.1 and max(took) < 0.1 + LATE, took


# -- clocks


def test_fault_28_stamps_that_jump_by_an_hour_trip_nothing(waiting, commander):
    """A wall clock that is set is seen in the stamps alone: ages are judged by arrival on the monotonic clock."""
    for jump in (3600.0, -7200.0, 3600.0):
        commander.stamp += jump
        passed = waiting.driver.passed
        wait(lambda passed=passed: waiting.driver.passed > passed + 10)
        assert waiting.driver.state == DRIVING


def test_fault_28_a_simulated_clock_that_jumps_or_stands_still_trips_nothing_and_a_silent_brain_does(domain):
    process = start_driver(domain, use_sim_time="true", timeout=TIMEOUT)
    bench = Bench(CONTRACT, domain)
    clock = bench.node.create_publisher(Clock, "/clock", 10)

    def pass_time(start: float, seconds: float) -> None:
        for now in np.arange(start, start + seconds, 0.02).tolist():
            message = Clock()
            fill_stamp(message.clock, now)
            clock.publish(message)
            time.sleep(0.02)

    try:
        wait(lambda: bench.driver is not None, 20.0)
        time.sleep(0.3)
        assert bench.heard == []  # in lock-step damping would move a simulation that nobody commands yet
        with Commander(bench, OURS) as commander:
            for start in (4000.0, 7600.0, 400.0, 0.0, 4000.0, 400.0):
                pass_time(start, 0.1)
            passed = bench.driver.passed
            wait(lambda: bench.driver.passed > passed)
            assert bench.driver.state == DRIVING
            commander.pause()
            time.sleep(2 * TIMEOUT)  # the simulation pauses too
            assert bench.driver.state == DRIVING and not bench.is_damped()
            pass_time(400.1, 1.5 * TIMEOUT)
            wait(bench.is_damped)
        stamp = commander.command().header.stamp
        assert bench.motors().header.stamp == stamp  # answers nothing that is new
    finally:
        bench.close()
        end(process)


# -- what is not believed


def believable(message: JointCommand) -> bool:
    """Whether motors may be told this."""
    position, stiffness, damping = map(np.array, (message.position, message.stiffness, message.damping))
    sound = tuple(message.name) == ROBOT.joint_names and len(position) == ROBOT.count
    sound = sound and message.mode in (HOLD, RUN, DAMP)
    within = (position >= ROBOT.lower - 0.011).all() and (position <= ROBOT.upper + 0.011).all()
    gains = (stiffness >= 0).all() and (stiffness <= 2 * ROBOT.stiffness).all() and (damping >= 0).all()
    return bool(sound and within and gains and (damping <= 2 * ROBOT.damping).all())


def malformed(random: np.random.Generator) -> dict[str, object]:
    """What to change about a sound command so that nobody may believe it."""
    field = str(random.choice(["mode", "session", "name", "position", "stiffness", "damping"]))
    if field in ("mode", "session"):
        return {field: int(random.integers(3, 256)) if field == "mode" else 0}
    count, wrong_length = ROBOT.count, bool(random.integers(2))
    if field == "name":
        names = [str(name) for name in random.choice([*ROBOT.joint_names, "tail", "", "\u2603"], count)]
        return {field: names[: int(random.integers(count))] if wrong_length else [*names[1:], names[1]]}
    values = random.uniform(0.0, 0.5, int(random.integers(3 * count)) if wrong_length else count)
    if len(values) == count:
        values[random.integers(count)] = random.choice([np.nan, np.inf, -np.inf, 1e300, -1e300])
    return {field: values.tolist()}


def test_fault_29_thousands_of_malformed_commands_have_no_effect_and_are_all_counted(waiting, commander):
    commander.pause()
    random, begun, count = np.random.default_rng(0), time.monotonic(), 0
    asked, refused = set(), waiting.driver.refused
    for step in range(200):
        for _ in range(25):
            commander.send(commander.command(**malformed(random)))
            count += 1
        sound = commander.command(position=ROBOT.default_position + 1e-4 * step)  # in between: it drives on
        asked.add(tuple(sound.position))
        commander.send(sound)
        wait(lambda sound=sound: waiting.motors().position == sound.position)
    wait(lambda: waiting.driver.refused >= refused + count)
    assert (waiting.driver.refused - refused, waiting.driver.state) == (count, DRIVING)
    heard = waiting.since(begun)
    assert {tuple(message.position) for message in heard if message.mode == RUN} == asked
    assert all(map(believable, heard))


def test_fault_29_bytes_that_are_no_message_harm_nobody(waiting, commander):
    random, whole = np.random.default_rng(0), bytearray(serialize_message(commander.command()))
    begun = time.monotonic()
    for index in range(2000):
        damaged = bytearray(whole)
        for bit in random.integers(0, 8 * len(whole), 1 + index % 8):
            damaged[bit // 8] ^= 1 << int(bit) % 8
        if index % 4 == 0:
            damaged = damaged[: int(random.integers(4, len(damaged)))]
        commander.send(bytes(damaged))
        if index % 20 == 0:
            time.sleep(0.01)
    time.sleep(0.2)
    assert all(map(believable, waiting.since(begun)))
    assert waiting.driver.refused > 100
    wait(lambda: waiting.motors().mode == RUN)


def test_fault_30_a_second_publisher_is_an_error_within_a_second_and_is_ignored(waiting, commander):
    begun = time.monotonic()
    with Commander(waiting, THEIRS, offset=-0.1):
        wait(lambda: any(status.level == DiagnosticStatus.ERROR for _, status in waiting.diagnostics), 1.0 + LATE)
        wait(lambda: waiting.driver.publishers == 2 and waiting.driver.ignored > 0, 1.0 + LATE)
        assert time.monotonic() - begun < 1.0 + LATE
        time.sleep(0.5)
        assert waiting.driver.state == DRIVING and waiting.driver.session == OURS
    heard = waiting.since(begun)
    assert {message.session for message in heard} == {OURS}
    assert {tuple(message.position) for message in heard} == {tuple(commander.command().position)}
    error = next(status for _, status in waiting.diagnostics if status.level == DiagnosticStatus.ERROR)
    assert "obeyed" in error.message and str(OURS) in error.message
    wait(lambda: waiting.driver.publishers == 1)


# -- other hardware


def test_forward_command_of_efforts_follows_every_reading(domain):
    names = [f"leg/{name}" for name in reversed(ROBOT.joint_names)]
    given = {"interface": "forward_command", "kind": "effort", "prefix": "leg/", "joints": str(names)}
    process = start_driver(domain, timeout=TIMEOUT, **given)
    bench = Bench(CONTRACT, domain, Float64MultiArray, "hardware/commands")

    def in_hardware_names(joint_state, imu):
        joint_state.name = [f"leg/{name}" for name in joint_state.name]

    try:
        bench.disturb = in_hardware_names
        bench.state.joint_velocity = np.full(ROBOT.count, 0.1)
        bench.sending.set()
        wait(lambda: bench.motors() is not None and any(bench.motors().data), 20.0)
        np.testing.assert_allclose(bench.motors().data, (-0.1 * ROBOT.damping)[::-1])  # it waits: only damping
        with Commander(bench, OURS) as commander:
            wait(lambda: bench.driver is not None and bench.driver.state == DRIVING)
            torque = ROBOT.stiffness * 0.1 - ROBOT.damping * 0.1
            expected = torque.clip(-ROBOT.effort_limit, ROBOT.effort_limit)[::-1]
            wait(lambda: np.allclose(bench.motors().data, expected))
            bench.sending.clear()  # nobody knows where the joints are
            wait(lambda: bench.driver.state == DAMPING)
            assert "No sound joint states" in bench.driver.fault
            wait(lambda: not any(bench.motors().data))
            assert commander.sent > 0
    finally:
        bench.close()
        end(process)


def test_joint_trajectory_holds_where_the_joints_were_when_the_brain_fell_silent(domain):
    process = start_driver(domain, interface="joint_trajectory", timeout=TIMEOUT)
    bench = Bench(CONTRACT, domain, JointTrajectory, "hardware/joint_trajectory")
    try:
        bench.sending.set()
        wait(lambda: bench.motors() is not None, 20.0)
        with Commander(bench, OURS) as commander:
            asked = tuple(commander.command().position)
            wait(lambda: tuple(bench.motors().points[0].positions) == asked)
            assert tuple(bench.motors().joint_names) == ROBOT.joint_names
            bench.state.joint_position = ROBOT.default_position + 0.05
            time.sleep(0.1)
        wait(lambda: bench.driver is not None and bench.driver.state == DAMPING)
        np.testing.assert_allclose(bench.motors().points[0].positions, ROBOT.default_position + 0.05)
    finally:
        bench.close()
        end(process)


@pytest.mark.slow
def test_another_robot_needs_a_file_and_no_code(domain, make_brain, tmp_path):
    """The G1: its contract, a brain for it, and its numbers in the order of a controller."""
    path, policy = tmp_path / "mine.yaml", tmp_path / "policy.onnx"
    path.write_text(robot_to_yaml(load_robot("g1")))
    contract = default_contract(str(path))
    policy.write_bytes(PolicyExporter(make_brain(contract), command=True).export({"phase": "stand", "step": 1}))
    names = list(reversed(contract.robot.joint_names))
    driver = start_driver(domain, robot=path, interface="forward_command", joints=str(names), timeout=TIMEOUT)
    brain = start_brain(domain, autostart=True, robot=path, policy=policy, stale_time=STALE, missed_limit=MISSED)
    bench = Bench(contract, domain, Float64MultiArray, "hardware/commands")
    try:
        bench.sending.set()
        wait(lambda: bench.mode() == RUN and bench.driver is not None, 60.0)
        held = bench.driver.passed  # until here the pose was held
        wait(lambda: bench.driver.passed > held + 50, 60.0)
        asked = {tuple(message.position[::-1]) for _, message in list(bench.commands) if message.mode == RUN}
        told = [tuple(message.data) for _, message in list(bench.heard)[-20:]]
        assert {len(numbers) for numbers in told} == {29}
        assert len(set(told)) > 5  # he is driven, by a policy that has learnt nothing
        assert sum(numbers in asked for numbers in told[:-2]) >= 15
    finally:
        bench.close()
        end(brain)
        end(driver)


# -- the node


def test_the_life_cycle(domain):
    """Unconfigured and inactive it sends nothing; its last command damps; and it can begin again."""
    process, bench = start_driver(domain, autostart="false", timeout=TIMEOUT), Bench(CONTRACT, domain)

    def change(transition: int) -> bool:
        request = ChangeState.Request(transition=Transition(id=transition))
        return bench.call(ChangeState, "driver/change_state", request).success

    try:
        with Commander(bench, OURS):
            for _ in range(2):
                assert change(Transition.TRANSITION_CONFIGURE)
                time.sleep(0.1)
                assert bench.heard == []
                assert change(Transition.TRANSITION_ACTIVATE)
                wait(lambda: bench.motors() is not None and bench.motors().mode == RUN)
                assert change(Transition.TRANSITION_DEACTIVATE)
                wait(bench.is_damped)
                count = len(bench.heard)
                time.sleep(0.2)
                assert len(bench.heard) == count
                assert change(Transition.TRANSITION_CLEANUP)
                bench.heard.clear()
    finally:
        bench.close()
        assert "Traceback" not in end(process)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_its_last_word_is_damping(domain, number):
    process, bench = start_driver(domain, timeout=TIMEOUT), Bench(CONTRACT, domain)
    try:
        wait(lambda: bench.driver is not None, 20.0)
        with Commander(bench, OURS):
            wait(lambda: bench.motors() is not None and bench.motors().mode == RUN)
            process.send_signal(number)
            assert "Traceback" not in last_words(process, 5.0)
            wait(bench.is_damped)
    finally:
        bench.close()
    assert process.returncode == 0


def test_hardware_with_other_joints_ends_it_with_the_reason(domain):
    process = start_driver(domain, joints="['left_kne']")
    said = last_words(process, 20.0)
    assert process.returncode == 1
    assert said.startswith("driver: ") and "did you mean 'left_knee'" in said and "Traceback" not in said


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"robot": "jacky"}, "Did you mean 'jack'"),
        ({"timeout": 0.03}, "timeout is 0.03 s"),
        ({"timeout": 0.0}, "timeout above 0"),
        ({"timeout": float("nan")}, "timeout is nan; allowed"),
        ({"interface": "joint_comand"}, "Did you mean 'joint_command'"),
        ({"kind": "velocity"}, "position, effort"),
        ({"gain_factor": 1e5}, "gain_factor is 100000.0; allowed"),
        ({"position_tolerance": -1.0}, "position_tolerance is -1.0; allowed"),
        ({"joints": ("left_knee",)}, "missing: left_hip_pitch"),
        ({"joints": tuple(ROBOT.joint_names), "prefix": "left_"}, "unknown: hip_pitch"),
    ],
)
def test_fault_31_bad_parameters_are_refused_with_the_reason(given, words):
    with pytest.raises(JackError, match=words):
        DriverParameters(**given)


@pytest.mark.parametrize(
    ("timeout", "simulated", "patience"),
    [(-1.0, False, 0.07), (-1.0, True, 0.5), (0.2, False, 0.2), (0.2, True, 0.2)],
)
def test_in_a_simulation_which_damps_by_itself_it_is_more_patient(timeout, simulated, patience):
    driver = DriverParameters(timeout=timeout).driver(simulated=simulated)
    assert driver.watch_period == pytest.approx(patience / 10)


def test_nothing_heavy_is_on_its_import_path():
    code = (
        "import sys, jack_brain.driver_node\n"
        "heavy = {'torch', 'mujoco', 'onnx', 'onnxruntime', 'scipy', 'jack_sim', 'jack_trainer'}\n"
        "assert not heavy & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
