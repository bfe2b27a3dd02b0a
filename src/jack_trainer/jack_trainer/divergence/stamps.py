"""Whether the stamps of the sensors can be believed: without them the brain puts no readings together."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from jack_contract.wire import NANOSECONDS, Message, nanoseconds
from jack_trainer.divergence.recording import IMU, JOINT_STATES, Messages
from jack_trainer.imitation.bag import Recorded

#: So many messages in a row are no accident.
_IN_A_ROW = 3
#: Stamps further apart than this share of a control period do not belong together [1].
_APART = 0.5


@dataclass(frozen=True)
class StampFault:
    """Stamps that are wrong."""

    topic: str
    #: by the stamps, from the first joint states on [s]
    time: float
    cause: str


def find_stamp_fault(messages: Messages, period: float) -> StampFault | None:
    """The first stamps that are wrong, for a control period [s]; None if there are none."""
    frozen = [
        _frozen(JOINT_STATES, messages.joint_states, messages, period),
        _frozen(IMU, messages.imu, messages, period),
    ]
    first = min((fault for fault in frozen if fault), key=lambda fault: fault.time, default=None)
    apart = _apart(messages, period)
    # Who stands still is soon apart from the other, too.
    return apart if apart and (first is None or apart.time < first.time - _IN_A_ROW * period) else first


def _frozen(topic: str, recorded: Sequence[Recorded], messages: Messages, period: float) -> StampFault | None:
    """New readings under old stamps. The same readings under the same stamp were only sent again."""
    stamps, contents = _stamps(recorded), [_content(entry.message) for entry in recorded]
    changed = np.array([mine != theirs for mine, theirs in zip(contents[1:], contents[:-1], strict=True)], bool)
    first = _first_run((np.diff(stamps) == 0) & changed)
    if first is None:
        return None
    time = float(stamps[first] - _start(messages)) / NANOSECONDS + period
    return StampFault(topic, time, "the stamps stand still, while the readings change")


def _apart(messages: Messages, period: float) -> StampFault | None:
    """Stamps of imu/data that are not those of the joint states that came at the same time."""
    joints, imu = messages.joint_states, messages.imu
    arrivals = np.array([entry.time for entry in joints])
    after = np.searchsorted(arrivals, [entry.time for entry in imu]).clip(0, len(joints) - 1)
    before = (after - 1).clip(0)
    times = np.array([entry.time for entry in imu])
    nearest = np.where(np.abs(arrivals[before] - times) < np.abs(arrivals[after] - times), before, after)
    periods = (_stamps(imu) - _stamps(joints)[nearest]) / NANOSECONDS / period
    first = _first_run(np.abs(periods) > _APART)
    if first is None:
        return None
    lag = float(np.median(periods[first : first + 10 * _IN_A_ROW]))
    side = "behind" if lag < 0 else "ahead of"
    time = float(_stamps(joints)[nearest[first]] - _start(messages)) / NANOSECONDS
    words = f"its stamps are {abs(lag):.1f} control periods {side} those of {JOINT_STATES}: the brain pairs nothing"
    return StampFault(IMU, time, words)


def _start(messages: Messages) -> int:
    return nanoseconds(messages.joint_states[0].message.header.stamp)


def _stamps(recorded: Sequence[Recorded]) -> NDArray[np.int64]:
    return np.array([nanoseconds(entry.message.header.stamp) for entry in recorded], dtype=np.int64)


def _content(message: Message) -> tuple[object, ...]:
    if hasattr(message, "position"):
        return tuple(np.asarray(message.position).tolist()), tuple(np.asarray(message.velocity).tolist())
    q, w, a = message.orientation, message.angular_velocity, message.linear_acceleration
    return q.x, q.y, q.z, q.w, w.x, w.y, w.z, a.x, a.y, a.z


def _first_run(wrong: NDArray[np.bool_]) -> int | None:
    """Where the first run of enough begins."""
    if len(wrong) < _IN_A_ROW:
        return None
    runs = np.lib.stride_tricks.sliding_window_view(wrong, _IN_A_ROW).all(axis=1)
    return int(runs.argmax()) if runs.any() else None
