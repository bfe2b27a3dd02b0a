"""The node `teleop` in a process of its own, on a terminal of its own, beside a robot on topics."""

import os
import pty
import re
import select
import signal
import subprocess
import sys
import termios
import threading
import time
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("rclpy", reason="needs ROS 2 and Jack's messages: ./jack test has them")
pytest.importorskip("jack_msgs", reason="needs ROS 2 and Jack's messages: ./jack test has them")

from rclpy.qos import qos_profile_sensor_data
from sensor_msgs.msg import Joy

sys.path.insert(0, str(Path(__file__).parent))
from robot_to_see import RobotToSee, start, wait

from jack_operator.limits import LIMITS

pytestmark = pytest.mark.ros

#: Scheduling on a machine that does other things too [s].
LATE = 0.4
#: Until a service has met its client too [s]: before, it does what it is asked for and answers to nobody.
SETTLING = 1.0


class Person:
    """Somebody at a terminal."""

    def __init__(self) -> None:
        self.screen, self._closed = "", False
        self._keyboard, terminal = pty.openpty()
        self.before = termios.tcgetattr(terminal)
        self._terminal = terminal
        self.process = start("teleop", stdin=terminal, stdout=terminal, stderr=subprocess.PIPE)
        threading.Thread(target=self._read, daemon=True).start()
        wait(lambda: "Ctrl-C" in self.screen and "a policy drives" in self.screen)
        time.sleep(SETTLING)

    def _read(self) -> None:
        while not self._closed:
            if select.select([self._keyboard], [], [], 0.1)[0]:
                self.screen += os.read(self._keyboard, 4096).decode(errors="replace")

    def type(self, keys: bytes) -> None:
        os.write(self._keyboard, keys)

    def hold(self, keys: bytes, seconds: float) -> float:
        """Keys repeat, as a terminal repeats them; returns when the last came."""
        for _ in range(round(seconds / 0.04)):
            self.type(keys)
            time.sleep(0.04)
        return time.monotonic()

    def leave(self) -> str:
        """Ctrl-C; what was said on the error stream."""
        self.process.send_signal(signal.SIGINT)
        said = self.process.communicate(timeout=10)[1]
        after = termios.tcgetattr(self._terminal)
        self._closed = True
        assert after == self.before  # the terminal is as it was
        return said


@pytest.fixture(scope="module")
def robot(shared_ros_domain):
    found = RobotToSee()
    yield found
    found.close()


@pytest.fixture
def person(robot):
    found = Person()
    robot.velocities.clear()
    robot.asked.clear()
    yield found
    said = found.leave()
    assert found.process.returncode == 0 and "Traceback" not in said, said


def numbers(robot):
    return np.array([(at, m.linear.x, m.linear.y, m.angular.z) for at, m in list(robot.velocities)]).reshape(-1, 4)


def test_keys_drive_smoothly_within_limits_and_silence_is_zero(robot, person):
    assert not robot.velocities
    let_go = person.hold(b"w\x1b[D", 1.6)
    wait(lambda: robot.velocities[-1][1].linear.x == 0.0)
    stood = time.monotonic()
    # 0.3 s until keys count as let go, then 3 m/s^2 from 1 m/s down.
    assert 0.3 <= stood - let_go + 0.04 < 0.3 + 1 / 3 + LATE
    found = numbers(robot)
    assert found[:, 1:].max(axis=0) == pytest.approx([1.0, 0.0, 0.8])
    assert (found[:, 1:] >= LIMITS[0]).all() and (found[:, 1:] <= LIMITS[1]).all()
    speeding = found[: found[:, 1].argmax() + 1, 1]
    assert (np.diff(speeding) <= 0.1 + 1e-9).all() and len(speeding) > 9
    time.sleep(1.0)
    before = len(robot.velocities)
    time.sleep(0.5)
    assert len(robot.velocities) == before  # others may steer now


def test_fault_13_space_stops_and_the_outcome_is_shown(robot, person):
    person.hold(b"w", 0.6)
    pressed = time.monotonic()
    person.type(b" ")
    wait(lambda: robot.asked == ["brain/stop"])
    assert time.monotonic() - pressed < 0.1 + LATE
    wait(lambda: robot.velocities[-1][1].linear.x == 0.0)
    assert time.monotonic() - pressed < 0.1 + LATE
    wait(lambda: "brain/stop was heard" in person.screen)
    person.type(b"r")
    wait(lambda: robot.asked == ["brain/stop", "brain/reset_fault"])
    assert re.search(r"\+0\.\d\d, \+0\.00 m/s", person.screen)


def test_a_gamepad_drives_while_its_dead_man_button_is_held_and_its_stop_button_stops_once(robot, person):
    sticks = robot.node.create_publisher(Joy, "joy", qos_profile_sensor_data)
    wait(sticks.get_subscription_count)

    def send(seconds, forward=1.0, held=1, stop=0, axes=4):
        for _ in range(round(seconds / 0.05)):
            sticks.publish(Joy(axes=[0.0, forward, 0.0, 0.0][:axes], buttons=[0, stop, 0, 0, held]))
            time.sleep(0.05)

    send(0.3, held=0)
    assert not robot.velocities
    send(1.5)
    assert robot.velocities[-1][1].linear.x > 0.8
    send(0.8, held=0)
    assert robot.velocities[-1][1].linear.x == 0.0
    send(0.5)
    send(0.3, stop=1)
    assert robot.asked == ["brain/stop"] and robot.velocities[-1][1].linear.x == 0.0
    send(0.2, axes=2)
    wait(lambda: "2 axes and 5 buttons" in person.screen)
    send(0.5)
    wait(lambda: robot.velocities[-1][1].linear.x == 0.0)  # it falls silent
    robot.node.destroy_publisher(sticks)


def test_without_a_terminal_only_a_gamepad_steers(robot):
    process = start("teleop", stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert "only a gamepad" in process.stdout.readline()
    process.send_signal(signal.SIGINT)
    said = process.communicate(timeout=10)[1]
    assert process.returncode == 0 and "Traceback" not in said


def test_fault_31_bad_parameters_are_refused(ros_domain):
    process = start("teleop", {"timeout": "nan"}, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    said = process.communicate(timeout=20)[1]
    assert process.returncode == 1 and "timeout" in said and "Traceback" not in said
