"""What a walk in the live graph is measured by."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

pytest.importorskip("rclpy", reason="needs ROS 2: ./jack test has it")

PERIOD = 0.02
COMMANDS = [np.array([0.5, 0.0, 0.2]), np.array([-0.1, 0.1, 0.0]), np.zeros(3)]


@pytest.fixture
def module(monkeypatch):
    monkeypatch.syspath_prepend(str(Path(__file__).resolve().parents[1] / "benchmarks"))
    import live_walk

    return live_walk


class Robot:
    """He does what he was asked for, and `off` more, from one second after a command on, and nothing before."""

    def __init__(self, walk, off=(0.0, 0.0, 0.0)):
        self.walk, self.off = walk, np.array(off)
        self.now, self.since, self.position, self.asked = 100.0, 0.0, np.zeros(2), walk.command

    def live(self, seconds, standing=True):
        for _ in range(round(seconds / PERIOD)):
            self.since = 0.0 if self.walk.command is not self.asked else self.since + PERIOD
            self.asked = self.walk.command
            velocity = self.asked + self.off if self.since > 1.0 else np.zeros(3)
            self.now += PERIOD
            self.position = self.position + velocity[:2] * PERIOD * standing
            self.walk.look(self.now, standing, self.position, velocity)


@pytest.fixture
def walk(module):
    commands = iter(COMMANDS * 10)
    return module.Walk(lambda: next(commands).copy(), 4.0)


def test_time_begins_when_he_first_stands(walk):
    robot = Robot(walk)
    robot.live(5.0, standing=False)
    assert walk.elapsed == 0.0 and np.array_equal(walk.command, np.zeros(3)) and not walk.errors
    robot.live(2.0)
    assert walk.elapsed == pytest.approx(2.0, abs=0.03) == walk.on_feet
    assert np.array_equal(walk.command, COMMANDS[0])


def test_every_four_seconds_he_is_asked_for_something_else(walk):
    robot = Robot(walk)
    for command in COMMANDS:
        robot.live(4.0 - PERIOD)
        assert np.array_equal(walk.command, command)
        robot.live(PERIOD)


def test_errors_are_of_whole_seconds_once_the_command_is_two_seconds_old(walk):
    robot = Robot(walk, off=(0.03, -0.04, 0.1))
    robot.live(12.5)
    assert len(walk.errors) == 6  # the third and fourth second of each of three commands
    assert np.allclose(walk.errors, [0.03, -0.04, 0.1])
    assert walk.error() == pytest.approx((0.05, 0.1))


def test_sway_is_no_error(walk):
    robot = Robot(walk)
    robot.live(0.2)
    for k in range(round(3.9 / PERIOD)):
        robot.now += PERIOD
        sway = 0.3 * np.sin(2 * np.pi * k * PERIOD / 0.5)
        walk.look(robot.now, True, np.zeros(2), walk.command + np.array([0.0, sway, sway]))
    assert len(walk.errors) == 2 and walk.error()[0] < 0.02


def test_the_way_is_measured_from_second_to_second(walk):
    robot = Robot(walk)
    robot.live(4.1)  # three seconds at 0.5 m/s
    assert walk.distance == pytest.approx(1.5, abs=0.03)


def test_falls_are_counted_and_what_came_before_them_told(walk):
    robot = Robot(walk)
    robot.live(6.5)
    walk.fall()
    robot.live(10.0, standing=False)
    walk.fall()  # he did not carry himself
    robot.live(3.5, standing=False)
    robot.live(3.5)
    first, second = walk.falls
    assert first.stood == pytest.approx(6.5, abs=0.03) and first.command == COMMANDS[1].tolist()
    assert (second.stood, second.time) == (0.0, pytest.approx(16.5, abs=0.03))
    assert walk.on_feet == pytest.approx(10.0, abs=0.06) and walk.elapsed == pytest.approx(23.5, abs=0.06)
    assert np.array_equal(walk.command, COMMANDS[2])  # a new one, now that he stands again
    assert len(walk.errors) == 2 + 0 + 1


def test_nothing_that_counts_is_no_number(walk):
    assert np.isnan(walk.error()).all()


def test_commands_are_those_of_training(module):
    random = np.random.default_rng(0)
    drawn = np.array([module.random_command(random) for _ in range(4000)])
    low, high = np.array([(-0.3, 1.0), (-0.3, 0.3), (-0.8, 0.8)]).T
    assert (drawn >= low).all() and (drawn <= high).all() and (np.ptp(drawn, axis=0) > 0.95 * (high - low)).all()
    assert 0.08 < (drawn == 0.0).all(axis=1).mean() < 0.12


def test_velocities_are_turned_into_the_heading_frame(module):
    turned = Rotation.from_euler("ZYX", [2.0, 0.3, -0.2])
    ahead = Rotation.from_euler("Z", 2.0).apply([0.7, -0.2, 0.1])
    found = module.to_heading(turned.inv().apply(ahead), turned.as_quat())
    assert np.allclose(found, [0.7, -0.2])


def test_the_brains_own_figures_count_from_when_he_first_stands(walk):
    walk.count(500, 7, 0.5)
    assert (walk.ticks, walk.missed, walk.latency) == (0, 0, 0.0)
    Robot(walk).live(1.0)
    for ticks, missed, latency in ((1000, 8, 0.002), (1050, 8, 0.009), (1100, 11, 0.001)):
        walk.count(ticks, missed, latency)
    assert (walk.ticks, walk.missed, walk.latency) == (100, 3, 0.009)
