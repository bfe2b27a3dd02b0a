"""Readings of the same moment, one pair a control period, whatever the sensors' rates; and how old they are."""

from __future__ import annotations

import math
from dataclasses import dataclass

from jack_contract.wire import NANOSECONDS, Message, nanoseconds

#: A stamp that lies further back than this means a clock that was set back, not a late message [ns].
_SET_BACK = NANOSECONDS
#: The same, for the difference of two clocks, either way [s].
_SET = _SET_BACK / NANOSECONDS
#: Two clocks may drift apart by this [s/s]: far more than real ones do, as much as a simulation on a busy machine
#: that is taken for a robot. What is held up more slowly than that is not seen, and no queue is long enough for it.
_DRIFT = 0.05


@dataclass(frozen=True, slots=True)
class Pair:
    """Readings to act on."""

    #: a sensor_msgs/JointState
    joint_state: Message
    #: a sensor_msgs/Imu
    imu: Message
    #: whether they carry the stamp of the pair before: whoever sent them waits for the answer still
    again: bool


class Pairing:
    """Puts messages together."""

    def __init__(self, period: float) -> None:
        """Pair for a control period [s]; messages belong together if their stamps are within half of it."""
        self._period = round(period * NANOSECONDS)
        self._joint_state: Message | None = None
        self._imu: Message | None = None
        self._last = self._due = -1

    def put_joint_state(self, message: Message) -> None:
        """Take in a JointState; the newest counts."""
        self._joint_state = message

    def put_imu(self, message: Message) -> None:
        """Take in an Imu; the newest counts."""
        self._imu = message

    def take(self) -> Pair | None:
        """The pair that is due, once; None if there is none."""
        if self._joint_state is None or self._imu is None:
            return None
        stamp = nanoseconds(self._joint_state.header.stamp)
        if 2 * abs(stamp - nanoseconds(self._imu.header.stamp)) > self._period or not self._is_due(stamp):
            return None
        pair = Pair(self._joint_state, self._imu, again=stamp == self._last)
        self._joint_state = self._imu = None
        if not pair.again:
            self._last = stamp
        return pair

    def _is_due(self, stamp: int) -> bool:
        if stamp == self._last:
            return True
        if self._last < 0 or stamp < self._last - _SET_BACK:
            self._due = stamp
        elif stamp < self._last or stamp < self._due - self._period // 2:
            return False
        self._due += self._period
        if self._due <= stamp:  # some are missing: go on from here
            self._due = stamp + self._period
        return True


class Lag:
    """How much later than usual readings come: their age by their stamps, although no two clocks agree.

    The least difference between arrival and stamp is how far the clocks are apart; what a reading's difference has
    beyond that, it was held up on the way. A difference that jumps means that a clock was set.
    """

    def __init__(self) -> None:
        self._apart = self._now = math.inf

    def of(self, stamp: float, now: float) -> float:
        """For how long a reading was held up [s].

        Args:
            stamp: by its sender's clock [s].
            now: when it came, by a clock that nobody sets [s].
        """
        apart = now - stamp
        drifted = self._apart + _DRIFT * max(0.0, now - self._now)
        self._apart = apart if not abs(apart - drifted) <= _SET else min(apart, drifted)
        self._now = now
        return apart - self._apart
