"""What a policy sees: named terms, in one order, encoded by one function for training, data and robots alike."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from jack_contract.arrays import Array, Float32, Index, require_last
from jack_contract.errors import ContractError, UnknownNameError
from jack_contract.gait import SIGNAL_SIZE
from jack_contract.robot import RobotSpec
from jack_contract.rotation import projected_gravity
from jack_contract.state import RobotState

#: Size of the velocity command: vx, vy, yaw rate.
COMMAND_SIZE = 3
#: Frames that tell how fast he tips over: one is noisy, and many are late.
NEWEST = 3

Encoder = Callable[[RobotSpec, RobotState, Array, Array], Array]

#: Each term's raw value, (..., size): of the robot, its state, the previous action (..., n) and the gait (..., 2).
ENCODERS: dict[str, Encoder] = {
    "angular_velocity": lambda robot, state, action, gait: state.angular_velocity,
    "projected_gravity": lambda robot, state, action, gait: projected_gravity(state.orientation),
    "joint_position": lambda robot, state, action, gait: state.joint_position - robot.default_position,
    "joint_velocity": lambda robot, state, action, gait: state.joint_velocity,
    "previous_action": lambda robot, state, action, gait: action,
    "gait": lambda robot, state, action, gait: gait,
}


@dataclass(frozen=True)
class Term:
    """One named group of numbers in the observation."""

    name: str
    #: count of numbers
    size: int
    #: the raw value (SI units) is multiplied by this
    scale: float

    def __post_init__(self) -> None:
        if self.name not in ENCODERS:
            raise UnknownNameError("observation term", self.name, ENCODERS)
        if self.size < 1 or not np.isfinite(self.scale) or self.scale == 0:
            raise ContractError(f"Term '{self.name}' needs a size of at least 1 and a finite scale other than 0.")


@dataclass(frozen=True)
class ObservationSpec:
    """The proprioceptive observation: one frame a control period, and how many frames a policy sees."""

    terms: tuple[Term, ...]
    #: frames the policy sees, the newest last
    history: int
    #: raw values are clipped to this after scaling, so that one wild reading stays bounded
    clip: float = 100.0

    def __post_init__(self) -> None:
        if not self.terms or not 1 <= self.history <= 100 or not self.clip > 0:
            raise ContractError(f"An observation needs terms, a history of 1 to 100 and a clip > 0, given: {self}.")

    @property
    def frame_size(self) -> int:
        """Numbers in one frame, D."""
        return sum(term.size for term in self.terms)

    def slices(self) -> dict[str, slice]:
        """Where each term lies in a frame."""
        ends = np.cumsum([term.size for term in self.terms])
        return {t.name: slice(int(end) - t.size, int(end)) for t, end in zip(self.terms, ends, strict=True)}

    def encode(self, robot: RobotSpec, state: RobotState, previous_action: Array, gait: Array) -> Float32:
        """One frame of the observation.

        Args:
            robot: whose joints they are.
            state: readings, leading dimensions (...).
            previous_action: the policy's last action, (..., n), zeros at the start.
            gait: the rhythm's signal, (..., 2), see `GaitSpec.signal`.

        Returns:
            (..., D) float32, terms in order.

        Raises:
            ShapeError: a reading that does not have the size its term says.
        """
        parts = []
        for term in self.terms:
            value = ENCODERS[term.name](robot, state, previous_action, gait)
            require_last(f"Observation term '{term.name}'", value, term.size)
            parts.append(value if term.scale == 1.0 else value * term.scale)
        frame = np.concatenate(parts, axis=-1, dtype=np.float32, casting="same_kind")
        return frame.clip(-self.clip, self.clip, out=frame)

    def tipping(self, frames: Array) -> Array:
        """How fast he tips over, to whatever side.

        Args:
            frames: histories, (..., H, D).

        Returns:
            Roll and pitch rate, mean over the newest frames, as one length, (...,) [rad/s]; zero where the angular
            velocity is not observed.
        """
        if self._tipping is None:
            return np.zeros(frames.shape[:-2], frames.dtype)
        indices, scale = self._tipping
        roll, pitch = np.moveaxis(frames[..., -NEWEST:, indices].mean(axis=-2), -1, 0)
        return np.hypot(roll, pitch) / abs(scale)

    @cached_property
    def _tipping(self) -> tuple[slice, float] | None:
        """Where roll and pitch rate lie in a frame, and their scale."""
        term = next((term for term in self.terms if term.name == "angular_velocity"), None)
        if term is None:
            return None
        start = self.slices()[term.name].start
        return slice(start, start + 2), term.scale

    def describe(self) -> str:
        """The resolved table of terms, for people."""
        rows = [f"{t.name:<20} {s.start:>4}..{s.stop - 1:<4} x {t.scale:g}" for t, s in self._rows()]
        return "\n".join([*rows, f"frame {self.frame_size}, history {self.history}"])

    def _rows(self) -> list[tuple[Term, slice]]:
        slices = self.slices()
        return [(term, slices[term.name]) for term in self.terms]


def encode_command(pace: Array) -> Float32:
    """The command as the policy sees it: the gait's pace, vx, vy [m/s], yaw rate [rad/s], (..., 3) float32."""
    require_last("Pace", pace, COMMAND_SIZE)
    return np.asarray(pace, dtype=np.float32)


class History:
    """The last H frames of each robot. A robot's first frame after a reset fills its whole history."""

    def __init__(self, spec: ObservationSpec, shape: tuple[int, ...] = ()) -> None:
        self._frames: Float32 = np.zeros((*shape, spec.history, spec.frame_size), dtype=np.float32)
        self._fresh = np.ones(shape, dtype=bool)

    @property
    def frames(self) -> Float32:
        """All histories as they are, (..., H, D), oldest first; changes with every push."""
        return self._frames

    def reset(self, which: Index | None = None) -> None:
        """Forget: all robots, or those of a boolean mask or index array."""
        self._fresh[... if which is None else which] = True

    def push(self, frame: Float32) -> Float32:
        """Append one frame (..., D); returns the history (..., H, D), oldest first, valid until the next push."""
        frames = self._frames
        frames[..., :-1, :] = frames[..., 1:, :]
        frames[..., -1, :] = frame
        if self._fresh.any():
            frames[self._fresh] = frame[self._fresh][..., None, :]
            self._fresh[...] = False
        return frames

    def fill(self, which: Index, frame: Float32) -> Float32:
        """Begin anew with one frame (k, D) for the robots of an index array (k,); returns all histories."""
        self._frames[which] = frame[:, None, :]
        self._fresh[which] = False
        return self._frames


def default_observation(robot: RobotSpec) -> ObservationSpec:
    """Jack's proprioception: what an IMU and joint encoders give, and what was last done."""
    n = robot.count
    return ObservationSpec(
        terms=(
            Term("angular_velocity", 3, 0.25),
            Term("projected_gravity", 3, 1.0),
            Term("joint_position", n, 1.0),
            Term("joint_velocity", n, 0.05),
            Term("previous_action", n, 1.0),
            Term("gait", SIGNAL_SIZE, 1.0),
        ),
        history=8,
    )
