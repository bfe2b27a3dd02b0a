"""The pilot with something to follow: who has the arms, what the legs are told of it, and what ends it."""

import numpy as np
import pytest

from jack_brain.arms import TAKE
from jack_brain.chunk import arm_columns, arm_joints, chunk_width, led_joints
from jack_brain.gaze import Intent
from jack_brain.pilot import Pilot, PilotConfig
from jack_brain.safety import Mode, Trip
from jack_contract.contract import default_contract
from jack_contract.state import RobotState

CONTRACT = default_contract()
ROBOT, T = CONTRACT.robot, CONTRACT.robot.control_period
ARMS, LED, COLUMNS = arm_joints(ROBOT), led_joints(ROBOT), arm_columns(CONTRACT)
AT_ONCE = PilotConfig(blend=0.0)


class Walker:
    """A policy that says 0.1 to every joint and follows sentences with arms at `reaches`; remembers what it saw."""

    stumble_steps, beat, estimates, follows, words = False, None, False, True, ""

    def __init__(self, reaches: float = 1.0, forwards: float = 0.0) -> None:
        self.sha256 = f"{id(self):064x}"
        self.chunk = np.full((16, chunk_width(ROBOT)), reaches, np.float32)
        self.chunk[:, -4:] = [forwards, 0.0, 0.0, 1.0]
        self.seen: list[np.ndarray] = []
        self.paces: list[np.ndarray] = []
        self.felt: list[np.ndarray] = []

    def act(self, history, command=None):
        self.seen.append(history.copy())
        self.paces.append(command.copy())
        return np.full(ROBOT.count, 0.1, np.float32)

    def infer(self, history, command=None):
        return self.act(history, command), float("nan")

    def look(self, instruction, image):
        raise AssertionError("It is the gaze that looks.")

    def reach(self, history, prefix):
        self.felt.append(history.copy())
        return self.chunk, 0.25


def state(time: float) -> RobotState:
    found = RobotState.at_rest(ROBOT)
    found.time = np.float64(time)
    found.joint_position += 0.05 + 1e-3 * np.sin(99.0 * time)
    return found


def drive(
    pilot: Pilot, policy: Walker, ticks: int, start: int = 0, camera=lambda k: True, intends=True
) -> np.ndarray:
    """Targets (ticks, n); a picture ten times a second, where there is a camera."""
    targets = []
    for k in range(start, start + ticks):
        now = k * T
        if k % 5 == 0 and camera(k):
            pilot.safety.saw(now, now)
            if intends:
                pilot.intend(Intent(policy, np.zeros(1, np.float32), now))
        targets.append(pilot.tick(state(now), now).targets)
    return np.array(targets)


def ready(policy: Walker) -> Pilot:
    pilot = Pilot(CONTRACT, config=AT_ONCE, watches_camera=True)
    pilot.offer(policy)
    return pilot


def test_the_arms_follow_and_the_legs_do_bit_for_bit_what_they_did():
    policy, plain = Walker(), Walker()
    alone = drive(ready(plain), plain, 80, intends=False)
    targets = drive(ready(policy), policy, 80)
    others = np.setdiff1d(np.arange(ROBOT.count), LED)
    assert np.array_equal(targets[:, others], alone[:, others])
    reached = ROBOT.default_position[LED] + np.array(CONTRACT.action.scale)[LED]
    np.testing.assert_allclose(targets[-1, LED], reached.clip(ROBOT.lower[LED], ROBOT.upper[LED]), atol=1e-6)
    assert np.abs(np.diff(targets, axis=0)).max() < 0.05  # rad, in a control period


def test_the_legs_are_shown_arms_at_rest_and_the_chunk_what_they_are():
    policy = Walker()
    drive(ready(policy), policy, 40)
    assert not policy.seen[-1][:, COLUMNS].any()
    assert policy.seen[0][:, COLUMNS].any()  # while nobody else has them, as they are
    joints = CONTRACT.observation.slices()["joint_position"].start + ARMS
    np.testing.assert_allclose(policy.felt[-1][-1, joints], 0.05, atol=2e-3)
    assert len(policy.felt) == 8  # ten a second


def test_without_a_picture_the_arms_go_back_and_he_goes_on():
    policy, plain = Walker(), Walker()
    pilot = ready(policy)
    drive(pilot, policy, 60)
    gone = drive(pilot, policy, 60, start=60, camera=lambda k: False)
    alone = drive(ready(plain), plain, 120, intends=False)[60:]
    assert np.abs(np.diff(gone, axis=0)).max() < 0.05
    assert np.array_equal(gone[-1], alone[-1]) and pilot.arms.share == 0.0
    assert pilot.mode is Mode.RUN and not pilot.safety.fault
    back = drive(pilot, policy, 60, start=120)
    assert pilot.arms.share == 1.0 and np.abs(np.diff(back, axis=0)).max() < 0.05


def test_old_pictures_that_keep_coming_are_none():
    """Stamps that stand still: the camera is frozen."""
    policy = Walker()
    pilot = ready(policy)
    for k in range(80):
        now = k * T
        if k % 5 == 0:
            pilot.safety.saw(min(now, 0.5), now)
            pilot.intend(Intent(policy, np.zeros(1, np.float32), now))
        pilot.tick(state(now), now)
    assert pilot.arms.share < 1.0 and pilot.arms.share == pytest.approx(
        max(0.0, 1.0 - (79 * T - 0.72) / 0.5), abs=0.1
    )


def test_what_another_policy_meant_is_not_followed():
    policy = Walker()
    pilot = ready(policy)
    drive(pilot, Walker(), 40)
    assert pilot.arms.share == 0.0 and not policy.felt


def test_nothing_is_followed_before_there_is_a_policy():
    pilot = Pilot(CONTRACT, config=AT_ONCE, watches_camera=True)
    drive(pilot, Walker(), 20)
    assert pilot.arms.share == 0.0 and pilot.mode is Mode.HOLD


@pytest.mark.parametrize(
    ("number", "column"), [(np.nan, 0), (np.inf, 0), (1e6, 0), (np.nan, -2), (-np.inf, -4), (np.nan, -1)]
)
def test_fault_02_a_chunk_that_goes_mad_damps(number, column):
    policy = Walker()
    pilot = ready(policy)
    drive(pilot, policy, 30)
    policy.chunk[3:, column] = number
    targets = drive(pilot, policy, 20, start=30)
    assert pilot.safety.trips[Trip.ACTION] == 1 and pilot.mode is Mode.DAMP
    assert np.isfinite(targets).all()
    pilot.reset(1.0)
    policy.chunk[:] = 0.0
    policy.chunk[:, -1] = 1.0
    drive(pilot, policy, 60, start=60)
    assert pilot.mode is Mode.RUN and pilot.arms.share == 1.0


def test_the_legs_go_where_the_chunk_says_unless_somebody_commands():
    policy = Walker(forwards=0.4)
    pilot = ready(policy)
    drive(pilot, policy, 100)
    assert policy.paces[-1] == pytest.approx([0.4, 0.0, 0.0])
    for k in range(100, 200):
        pilot.command(np.array([0.0, 0.2, 0.0]), k * T)
        drive(pilot, policy, 1, start=k)
    assert policy.paces[-1] == pytest.approx([0.0, 0.2, 0.0])
    drive(pilot, policy, 100, start=200)  # nobody commands any more
    assert policy.paces[-1] == pytest.approx([0.4, 0.0, 0.0])


def test_a_stop_forgets_what_the_arms_did():
    policy = Walker()
    pilot = ready(policy)
    drive(pilot, policy, 60)
    pilot.stop("pressed")
    drive(pilot, policy, 5, start=60)
    pilot.reset(65 * T)
    drive(pilot, policy, 1, start=65)
    assert pilot.arms.share <= 1 / TAKE + 1e-9
