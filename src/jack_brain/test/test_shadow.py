import time
from dataclasses import replace

import numpy as np
import pytest

from jack_brain.shadow import AUTO, MANUAL, Succession, Trial, TrialConfig
from jack_contract.errors import JackError
from jack_contract.testing import sample_contract

CONTRACT = sample_contract()
ROBOT, T = CONTRACT.robot, CONTRACT.robot.control_period
HISTORY = np.zeros((CONTRACT.observation.history, CONTRACT.observation.frame_size), np.float32)
STAND, DRIVING = np.zeros(3, np.float32), np.zeros(ROBOT.count)
#: An action of 1 is 0.3 rad on every joint.
CONFIG = TrialConfig(seconds=0.2, rms=0.1, largest=0.3)


class Says:
    """A policy that says something."""

    stumble_steps, beat = False, None

    def __init__(self, action=0.0, value=1.0, sha256="a", takes=0.0, estimates=True) -> None:
        self.action = np.broadcast_to(np.asarray(action, np.float32), ROBOT.count).copy()
        self.expected, self.sha256, self.takes, self.estimates = value, sha256, takes, estimates

    def act(self, history, command=None):
        return self.action

    def infer(self, history, command=None):
        time.sleep(self.takes)
        return self.action, self.expected


def try_out(policy, ticks=20, config=CONFIG) -> Trial:
    trial = Trial(policy, CONTRACT, config)
    for k in range(ticks):
        trial.observe(HISTORY, STAND, DRIVING, k * T)
    return trial


def single(joint: int, action: float) -> np.ndarray:
    actions = np.zeros(ROBOT.count)
    actions[joint] = action
    return actions


def test_a_policy_that_says_nearly_the_same_is_ready_after_its_time():
    trial = Trial(Says(0.1), CONTRACT, CONFIG)
    for k in range(10):
        assert (trial.report, trial.ready) == ("on trial", False)
        trial.observe(HISTORY, STAND, DRIVING, 5.0 + k * T)
        assert trial.seconds == pytest.approx(k * T)
    trial.observe(HISTORY, STAND, DRIVING, 5.0 + 10.01 * T)
    assert (trial.report, trial.ready) == ("ready", True)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf, 1e6, -101.0])
def test_fault_02_an_action_beyond_reason_fails_the_trial(bad):
    trial = try_out(Says(single(3, bad)))
    assert "not finite or beyond 100" in trial.report and not trial.ready


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_a_value_that_is_no_number_fails_unless_there_is_none(value):
    assert try_out(Says(value=value)).report == "Its value is not finite"
    assert try_out(Says(value=value, estimates=False)).ready


def test_one_joint_far_off_fails_and_is_named():
    assert try_out(Says(single(7, 0.99))).ready  # 0.297 rad, and 0.068 rad root mean square
    trial = try_out(Says(single(7, -1.01)))
    assert ROBOT.joint_names[7] in trial.report and "-0.30 rad" in trial.report and "allowed: 0.3" in trial.report


def test_all_joints_a_little_off_fail_by_their_root_mean_square():
    assert try_out(Says(0.33)).ready
    assert "0.102 rad (root mean square)" in try_out(Says(0.34)).report


def test_what_failed_stays_failed():
    policy = Says(np.nan)
    trial = try_out(policy, 1)
    policy.action[:] = 0.0
    for k in range(20):
        trial.observe(HISTORY, STAND, DRIVING, k * T)
    assert "finite" in trial.report


def test_fault_18_a_policy_that_is_too_slow_in_the_loop_fails():
    assert (
        "ms to decide; allowed: 2.00 ms" in try_out(Says(takes=0.003), 25, replace(CONFIG, period_share=0.1)).report
    )
    slow_once = Says(takes=0.003)
    trial = try_out(slow_once, 1, replace(CONFIG, period_share=0.1))
    slow_once.takes = 0.0
    for k in range(1, 40):
        trial.observe(HISTORY, STAND, DRIVING, k * T)
    assert trial.ready


def test_a_policy_that_cannot_decide_fails_and_nothing_else():
    policy = Says()
    policy.infer = lambda *_: 1 / 0
    assert "ZeroDivisionError" in try_out(policy).report


def test_no_time_passes_in_a_pause_nor_while_a_clock_runs_back():
    trial = try_out(Says(), 5)
    trial.pause()
    trial.observe(HISTORY, STAND, DRIVING, 100.0)
    assert trial.seconds == pytest.approx(4 * T)
    trial.observe(HISTORY, STAND, DRIVING, 3.0)
    trial.observe(HISTORY, STAND, DRIVING, 3.0 + T)
    assert trial.seconds == pytest.approx(5 * T)


def test_the_first_policy_drives_untried_and_the_second_waits():
    succession = Succession(CONTRACT, CONFIG)
    first, second = Says(sha256="1"), Says(sha256="2")
    assert not succession.next(0.0)
    succession.offer(first)
    assert succession.next(0.0) and succession.driving is first and succession.trial is None
    succession.offer(second)
    assert not succession.next(1.0) and succession.driving is first
    assert succession.trial.policy is second and succession.swaps == 1


def test_only_what_is_ready_is_promoted():
    succession = Succession(CONTRACT, CONFIG)
    with pytest.raises(JackError, match="No policy is on trial"):
        succession.promote()
    for sha256 in "12":
        succession.offer(Says(sha256=sha256))
        succession.next(0.0)
    with pytest.raises(JackError, match=r"on trial, for 0\.0 s of 0\.2 s"):
        succession.promote()
    for k in range(12):
        succession.observe(HISTORY, STAND, DRIVING, k * T)
        assert not succession.next(k * T)  # it waits to be told
    assert succession.promote() == "2"
    assert succession.next(1.0) and succession.driving.sha256 == "2"


def test_a_policy_that_fails_after_it_was_promoted_and_before_it_drives_does_not():
    succession = Succession(CONTRACT, CONFIG)
    for sha256 in "12":
        succession.offer(Says(sha256=sha256))
        succession.next(0.0)
    for k in range(12):
        succession.observe(HISTORY, STAND, DRIVING, k * T)
    succession.promote()
    succession.trial.policy.action[:] = np.nan
    succession.observe(HISTORY, STAND, DRIVING, 1.0)
    assert not succession.next(1.0) and succession.driving.sha256 == "1"


def test_the_newest_offer_is_the_one_on_trial():
    succession = Succession(CONTRACT, CONFIG)
    for sha256 in "123":
        succession.offer(Says(sha256=sha256))
        succession.next(0.0)
    assert succession.trial.policy.sha256 == "3" and succession.driving.sha256 == "1"


@pytest.mark.parametrize(("seconds", "promote", "swaps"), [(0.0, AUTO, 3), (0.0, MANUAL, 1), (1.0, AUTO, 1)])
def test_untried_only_where_that_is_asked_for(seconds, promote, swaps):
    succession = Succession(CONTRACT, TrialConfig(promote, seconds))
    for sha256 in "123":
        succession.offer(Says(sha256=sha256))
        succession.next(0.0)
    assert succession.swaps == swaps


def test_the_same_file_offered_again_is_not_taken_back_for_itself():
    succession = Succession(CONTRACT, TrialConfig(AUTO, 0.0, probation=5.0))
    for _ in range(2):
        succession.offer(Says(sha256="1"))
        succession.next(0.0)
    assert succession.failed("he fell", 1.0) is None and not succession.refused


@pytest.mark.parametrize(
    "wrong",
    [
        {"promote": "perhaps"},
        {"seconds": -1.0},
        {"probation": np.nan},
        {"rms": 0.0},
        {"largest": np.inf},
        {"period_share": -1.0},
    ],
)
def test_impossible_trials_are_refused(wrong):
    with pytest.raises(JackError):
        TrialConfig(**wrong)
