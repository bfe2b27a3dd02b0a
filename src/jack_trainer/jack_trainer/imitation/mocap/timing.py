"""A clip at Jack's own pace: smoothed, sampled anew, and a loop gone through more than once."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from scipy.interpolate import CubicSpline
from scipy.signal import butter, sosfiltfilt
from scipy.spatial.transform import Rotation, Slerp

from jack_contract.arrays import Float64
from jack_contract.rotation import yaw
from jack_trainer.imitation.mocap.clip import Clip
from jack_trainer.imitation.mocap.source import MocapError

#: What trembles faster is noise [Hz]: 99.7 % of the power of gait is below 6 Hz (Winter et al. 1974).
CUTOFF = 6.0
#: The longest motion that is retargeted [s].
MAX_DURATION = 1800.0


def unrolled(clip: Clip, times: int) -> Clip:
    """A looping clip so many times in a row, each time going on where and whereto the last one ended."""
    last = clip.position[-1, 0] - clip.position[0, 0]
    turn = Rotation.from_euler("z", float(yaw(clip.orientation[-1, 0]) - yaw(clip.orientation[0, 0])))
    positions, orientations = [clip.position[:1]], [clip.orientation[:1]]
    start, heading = clip.position[0, 0] * [1, 1, 0], Rotation.identity()
    for _ in range(times):
        # The first frame is the last one of the round before.
        round_position = clip.position[1:] - clip.position[0, 0] * [1, 1, 0]
        positions.append(_turned(heading, round_position) + start)
        rotations = heading * Rotation.from_quat(clip.orientation[1:].reshape(-1, 4))
        orientations.append(rotations.as_quat().reshape(clip.orientation[1:].shape))
        start = start + heading.apply(last * [1, 1, 0])
        heading = turn * heading
    return replace(clip, position=np.concatenate(positions), orientation=np.concatenate(orientations))


def _turned(rotation: Rotation, places: Float64) -> Float64:
    return rotation.apply(places.reshape(-1, 3)).reshape(places.shape)


def resampled(clip: Clip, period: float, speed: float = 1.0) -> Clip:
    """The same motion with a frame every `period`.

    Args:
        clip: as recorded.
        period: time between two frames [s].
        speed: how many times faster than recorded.

    Raises:
        MocapError: it would be too short or too long.
    """
    duration = clip.duration / speed
    count = int(duration / period + 1e-6) + 1
    if count < 4 or duration > MAX_DURATION:
        raise MocapError(
            f"{clip.file} lasts {duration:.3g} s; a motion must last {4 * period:g} to {MAX_DURATION:g} s."
        )
    recorded = np.arange(clip.frames) / clip.rate
    asked = np.minimum(np.arange(count) * period * speed, recorded[-1])
    position = CubicSpline(recorded, _smooth(clip.position, clip.rate))(asked)
    joints = clip.orientation.shape[1]
    orientation = np.empty((count, joints, 4))
    for joint in range(joints):
        turns = Rotation.from_quat(_smooth(_continuous(clip.orientation[:, joint]), clip.rate))
        orientation[:, joint] = Slerp(recorded, turns)(asked).as_quat()
    return replace(clip, rate=1 / period, position=position, orientation=orientation)


def _continuous(quaternions: Float64) -> Float64:
    """The same rotations (T, 4), each quaternion with the sign that is nearer to the one before."""
    signs = np.where(np.einsum("tk,tk->t", quaternions[1:], quaternions[:-1]) < 0, -1.0, 1.0)
    return quaternions * np.cumprod(np.concatenate([[1.0], signs]))[:, None]


def _smooth(values: Float64, rate: float) -> Float64:
    """Values over time (T, ...) without what is faster than CUTOFF; filtered both ways, so that nothing lags."""
    if rate < 4 * CUTOFF or len(values) < 4:
        return values
    filtered = butter(2, CUTOFF, fs=rate, output="sos")
    return sosfiltfilt(filtered, values, axis=0, padlen=min(len(values) - 1, round(rate / CUTOFF)))
