from itertools import pairwise
from types import SimpleNamespace as Message

import numpy as np
import pytest

from jack_brain.readings import Lag, Pairing

MS = 1_000_000


def message(nanoseconds: int) -> Message:
    return Message(header=Message(stamp=Message(sec=nanoseconds // 10**9, nanosec=nanoseconds % 10**9)))


def stamp_of(pair) -> int:
    return pair.joint_state.header.stamp.sec * 10**9 + pair.joint_state.header.stamp.nanosec


def feed(pairing: Pairing, *stamps: int, imu_lag: int = 0) -> list[int]:
    """Send both messages for each stamp; the stamps of the pairs that came."""
    taken = []
    for stamp in stamps:
        pairing.put_imu(message(stamp - imu_lag))
        taken.append(pairing.take())
        pairing.put_joint_state(message(stamp))
        taken.append(pairing.take())
    return [stamp_of(pair) for pair in taken if pair is not None]


@pytest.fixture
def pairing() -> Pairing:
    return Pairing(0.02)


def test_a_pair_is_there_once_both_messages_are_in_either_order(pairing):
    pairing.put_joint_state(message(0))
    assert pairing.take() is None
    pairing.put_imu(message(0))
    pair = pairing.take()
    assert stamp_of(pair) == 0 and not pair.again
    assert pairing.take() is None


def test_sensors_at_the_control_period_give_a_pair_each(pairing):
    stamps = [k * 20 * MS for k in range(100)]
    assert feed(pairing, *stamps) == stamps


def test_jitter_of_the_stamps_loses_none(pairing):
    stamps = [k * 20 * MS + (k * 7919 % 8000) * 1000 for k in range(200)]
    assert feed(pairing, *stamps) == stamps


@pytest.mark.parametrize("sensor_period", [1, 2, 4, 5, 10])
def test_fast_sensors_give_one_pair_a_control_period(pairing, sensor_period):
    taken = feed(pairing, *[k * sensor_period * MS for k in range(2000 // sensor_period)])
    assert 100 <= len(taken) <= 101
    assert {later - earlier for earlier, later in pairwise(taken[1:])} == {20 * MS}


def test_after_a_gap_it_goes_on_from_there(pairing):
    assert feed(pairing, 0, 20 * MS, 500 * MS, 520 * MS) == [0, 20 * MS, 500 * MS, 520 * MS]


def test_messages_of_different_moments_are_no_pair(pairing):
    assert feed(pairing, 0, imu_lag=11 * MS) == []
    assert feed(pairing, 40 * MS, imu_lag=9 * MS) == [40 * MS]


def test_one_sensor_alone_gives_nothing(pairing):
    feed(pairing, 0)
    for k in range(1, 10):
        pairing.put_joint_state(message(k * 20 * MS))
        assert pairing.take() is None


def test_the_same_stamp_again_is_said_to_be_so(pairing):
    feed(pairing, 20 * MS)
    pairing.put_imu(message(20 * MS))
    pairing.put_joint_state(message(20 * MS))
    assert pairing.take().again


def test_a_late_message_is_left_out(pairing):
    assert feed(pairing, 40 * MS, 20 * MS, 60 * MS) == [40 * MS, 60 * MS]


def test_fault_28_a_clock_that_was_set_back_is_followed(pairing):
    hour = 3600 * 10**9
    assert feed(pairing, hour, hour + 20 * MS, 5 * MS, 25 * MS) == [hour, hour + 20 * MS, 5 * MS, 25 * MS]


def test_a_reading_is_as_old_as_it_is_later_than_the_quickest():
    lag = Lag()
    delays = [0.004, 0.002, 0.012, 0.05, 0.002]
    lags = [lag.of(1e6 + k * 0.02, 7.0 + k * 0.02 + delay) for k, delay in enumerate(delays)]
    # the quickest, 2 ms, may have become 3.5 ms 30 ms later, and 6.4 ms 58 ms after that
    np.testing.assert_allclose(lags, [0.0, 0.0, 0.012 - 0.0035, 0.05 - 0.0064, 0.0], atol=1e-6)


def test_two_clocks_that_drift_apart_make_no_reading_late():
    """Half a millisecond a second, as much as NTP slews; and a simulation that goes at 96 % of its speed."""
    for drift in (5e-4, -5e-4, 0.04):
        lag = Lag()
        assert max(lag.of(k * 0.02 * (1 - drift), 50.0 + k * 0.02) for k in range(50_000)) < 2e-3


@pytest.mark.parametrize("jump", [3600.0, -3600.0])
def test_fault_28_a_clock_that_was_set_makes_no_reading_late(jump):
    lag = Lag()
    lags = [lag.of(1e9 + k * 0.02 + (jump if k >= 100 else 0.0), 5.0 + k * 0.02) for k in range(200)]
    assert max(lags) < 1e-3
