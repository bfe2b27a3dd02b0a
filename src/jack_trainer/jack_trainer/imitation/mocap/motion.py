"""A motion of Jack: what he is to do in each control period, and where it comes from, in one file.

The file is safetensors, numbers with a JSON header; nothing in it is executed on reading. What it was made from,
for which joints and at which pace, stands in the header with a digest of the numbers, and reading compares it all.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, ValidationError
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from jack_contract.arrays import Float32
from jack_contract.robot import RobotSpec
from jack_trainer.files import replace_file
from jack_trainer.imitation.mocap.source import MocapError

SUFFIX = ".safetensors"
#: A larger file is refused unread [bytes]; half an hour takes some 20 MB.
MAX_FILE_BYTES = 256 << 20
_KEY = "motion"
#: Rounding to 32 bits may put a joint so far over its limit [rad], or a quaternion off its length.
_ROUNDING = 1e-4


class MotionInfo(BaseModel):
    """What a motion file says besides its numbers."""

    model_config = ConfigDict(extra="forbid", ser_json_inf_nan="strings")

    #: 1 for this layout
    version: int = 1
    name: str
    robot: str
    #: in the order of the numbers
    joints: tuple[str, ...]
    #: [s]
    control_period: float
    #: whether the end goes on with the beginning; the last period is then the first of the next round
    loop: bool
    #: the file that was retargeted, its content, its format and its pace [Hz]
    source: str
    source_sha256: str
    source_format: str
    source_rate: float
    #: how many times faster than recorded
    speed: float
    #: Jack's legs in the person's
    scale: float
    #: who may use it, as far as is known
    terms: str
    #: what was done or assumed on reading the source
    notes: tuple[str, ...] = ()
    #: figures of how near it is to the person, see `figures.Figures`
    figures: dict[str, float | str] = {}
    #: of the numbers, see `MotionClip.digest`
    sha256: str = ""


@dataclass(frozen=True)
class MotionClip:
    """A motion of Jack, a row for each control period, from x = y = 0 in a world with x forward, y left, z up."""

    info: MotionInfo
    #: (T, n) [rad]
    joint_position: Float32
    #: (T, n) [rad/s]
    joint_velocity: Float32
    #: of the pelvis in world, (T, 3) [m]
    base_position: Float32
    #: of the pelvis in world, unit quaternions x y z w, (T, 4)
    base_orientation: Float32
    #: body frame, (T, 3) [m/s]
    base_linear_velocity: Float32
    #: body frame, (T, 3) [rad/s]
    base_angular_velocity: Float32
    #: whether the left and the right foot stand, (T, 2)
    contact: NDArray[np.bool_]

    @property
    def periods(self) -> int:
        """Number of control periods T."""
        return len(self.joint_position)

    @property
    def duration(self) -> float:
        """From the first row to the last [s]."""
        return (self.periods - 1) * self.info.control_period

    def arrays(self) -> dict[str, np.ndarray]:
        """The numbers by name."""
        return {name: value for name, value in vars(self).items() if isinstance(value, np.ndarray)}

    def digest(self) -> str:
        """SHA-256 of the numbers, hexadecimal."""
        return _digest(self.arrays())


def save_motion(path: Path, motion: MotionClip) -> None:
    """Write a motion aside and rename it.

    Raises:
        MocapError: the disk does not take it.
    """
    info = motion.info.model_copy(update={"sha256": motion.digest()})
    data = save(
        {name: np.ascontiguousarray(array) for name, array in motion.arrays().items()},
        {_KEY: info.model_dump_json()},
    )
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        replace_file(path, data)
    except OSError as error:
        raise MocapError(f"{path} could not be written ({error.strerror}). Make room, or choose --out.") from error


def load_motion(path: Path, robot: RobotSpec) -> MotionClip:
    """Read a motion and hold it against a robot.

    Args:
        path: a file that `save_motion` wrote.
        robot: who is to do it, from the contract.

    Raises:
        MocapError: not such a file, damaged, or of another robot; says what differs.
    """
    try:
        if path.stat().st_size > MAX_FILE_BYTES:
            raise MocapError(f"{path} has more than {MAX_FILE_BYTES:,} bytes; it is no motion.")
        with safe_open(path, framework="numpy") as file:
            info = MotionInfo.model_validate_json((file.metadata() or {}).get(_KEY, ""))
            arrays = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - it is no dictionary
    except (OSError, ValidationError, SafetensorError, ValueError, TypeError) as error:
        raise MocapError(f"{path} is no motion of Jack, or damaged: {error}") from error
    _check_robot(path, info, robot)
    _check_arrays(path, arrays, robot)
    if _digest(arrays) != info.sha256:
        raise MocapError(f"{path} is not what was written: the SHA-256 of its numbers differs.")
    _check_values(path, arrays, robot)
    return MotionClip(info, **arrays)


def _digest(arrays: dict[str, np.ndarray]) -> str:
    digest = hashlib.sha256()
    for name in sorted(arrays):
        digest.update(name.encode())
        digest.update(np.ascontiguousarray(arrays[name]).tobytes())
    return digest.hexdigest()


def _check_robot(path: Path, info: MotionInfo, robot: RobotSpec) -> None:
    differences = []
    if info.version != 1:
        differences.append(f"version {info.version} where this Jack reads 1")
    if info.joints != robot.joint_names:
        differences.append(f"joints {', '.join(info.joints)} where the robot has {', '.join(robot.joint_names)}")
    if info.control_period != robot.control_period:
        differences.append(f"a period of {info.control_period} s where the robot has {robot.control_period} s")
    if differences:
        raise MocapError(f"{path} is of another robot: {'; '.join(differences)}. Retarget its source anew.")


def _check_arrays(path: Path, arrays: dict[str, np.ndarray], robot: RobotSpec) -> None:
    widths = {"joint_position": robot.count, "joint_velocity": robot.count, "base_position": 3}
    widths |= {"base_orientation": 4, "base_linear_velocity": 3, "base_angular_velocity": 3, "contact": 2}
    if set(arrays) != set(widths):
        raise MocapError(
            f"{path} has the arrays {', '.join(sorted(arrays))}; expected {', '.join(sorted(widths))}."
        )
    periods = len(arrays["contact"]) if arrays["contact"].ndim else 0
    for name, array in arrays.items():
        kind = np.dtype(np.bool_ if name == "contact" else np.float32)
        if array.shape != (periods, widths[name]) or array.dtype != kind or periods < 2:
            expected = f"({max(periods, 2)}, {widths[name]}) and type {kind}"
            raise MocapError(f"{path}: {name} has shape {array.shape} and type {array.dtype}; expected {expected}.")
        if not np.isfinite(array).all():
            raise MocapError(f"{path}: {name} holds numbers that are not finite.")


def _check_values(path: Path, arrays: dict[str, np.ndarray], robot: RobotSpec) -> None:
    """Refuse what the robot could not do."""
    position, speed = arrays["joint_position"], np.abs(arrays["joint_velocity"])
    beyond = (position < robot.lower - _ROUNDING) | (position > robot.upper + _ROUNDING)
    beyond |= speed > robot.velocity_limit * (1 + _ROUNDING)
    if beyond.any():
        names = [robot.joint_names[joint] for joint in np.flatnonzero(beyond.any(axis=0))]
        raise MocapError(f"{path} goes beyond what the robot can do, at {', '.join(names)}.")
    if (np.abs(np.linalg.norm(arrays["base_orientation"], axis=1) - 1) > _ROUNDING).any():
        raise MocapError(f"{path}: base_orientation holds quaternions that are not of length 1.")
