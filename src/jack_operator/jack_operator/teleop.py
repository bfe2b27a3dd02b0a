"""From keys and sticks to a velocity: mapped, bounded, smooth, and zero when they fall silent. No ROS, no clock."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from jack_contract.arrays import Float64
from jack_contract.errors import MessageError
from jack_operator.keys import Key
from jack_operator.limits import LIMITS, approach, limited
from jack_operator.parameters import TeleopParameters

#: For how long zero is sent once nothing is asked for any more [s]; then others may steer.
FAREWELL = 0.5
#: So much quicker than he is sped up he is let stand [1].
BRAKING = 3.0
#: However long nobody looked, this much time has passed between two velocities at most [s].
_LONGEST = 0.1
_FORWARD, _LEFT, _TURN = 0, 1, 2
#: Number of the velocity that a key drives, and its sign.
_KEYS = {
    Key.FORWARD: (_FORWARD, 1),
    Key.BACKWARD: (_FORWARD, -1),
    Key.LEFT: (_LEFT, 1),
    Key.RIGHT: (_LEFT, -1),
    Key.TURN_LEFT: (_TURN, 1),
    Key.TURN_RIGHT: (_TURN, -1),
}


@dataclass(frozen=True)
class Sticks:
    """What a gamepad says."""

    #: forwards, to the left, turn left, -1 to 1 [1], (3,)
    axes: Float64
    #: whether the dead-man button is held
    held: bool
    #: whether the stop button is pressed
    stop: bool


def read_joy(axes: Sequence[float], buttons: Sequence[int], parameters: TeleopParameters) -> Sticks:
    """A sensor_msgs/Joy, by the axes and buttons that the parameters name.

    Raises:
        MessageError: it has too few axes or buttons, or an axis that is no number.
    """
    numbers = parameters.axis_forward, parameters.axis_left, parameters.axis_turn
    if max(numbers) >= len(axes) or max(parameters.deadman_button, parameters.stop_button) >= len(buttons):
        raise MessageError(
            f"The gamepad has {len(axes)} axes and {len(buttons)} buttons, and the parameters name axes {numbers} "
            f"and buttons {parameters.deadman_button}, {parameters.stop_button}. Choose others: "
            "./jack teleop --axes 1 0 2 --buttons 4 1"
        )
    values = [axes[number] for number in numbers]
    if not all(math.isfinite(value) for value in values):
        raise MessageError(f"The gamepad's axes are {values}; expected numbers from -1 to 1.")
    bent = np.array([_bend(value, parameters.deadzone) for value in values])
    return Sticks(bent, bool(buttons[parameters.deadman_button]), bool(buttons[parameters.stop_button]))


class Teleop:
    """Keys and sticks in, a velocity out."""

    def __init__(self, parameters: TeleopParameters) -> None:
        self._timeout = parameters.timeout
        turn = parameters.turn_acceleration
        self._acceleration = np.array([parameters.acceleration, parameters.acceleration, turn])
        #: signs of the keys that were pressed last, and when, by velocity
        self._signs, self._pressed = np.zeros(3), np.full(3, -np.inf)
        self._sticks, self._sticks_at = np.zeros(3), -np.inf
        self._velocity, self._at, self._asked_at = np.zeros(3), -np.inf, -np.inf

    def press(self, key: Key, now: float) -> None:
        """A key, at a time [s]; one that is held comes again and again."""
        if key in _KEYS:
            number, sign = _KEYS[key]
            self._signs[number], self._pressed[number] = sign, now
        elif key is Key.STOP:
            self.halt()

    def move(self, sticks: Sticks, now: float) -> None:
        """The sticks, at a time [s]; without the dead-man button they are in the middle."""
        self._sticks, self._sticks_at = sticks.axes * sticks.held, now
        if sticks.stop:
            self.halt()

    def halt(self) -> None:
        """Forget everything that was asked for, at once and not smoothly."""
        self._pressed[:], self._sticks_at = -np.inf, -np.inf
        self._velocity[:] = 0.0

    def velocity(self, now: float) -> Float64 | None:
        """What to ask for at a time [s]: vx, vy [m/s], yaw rate [rad/s], (3,); None: nothing, others may."""
        wanted = self._wanted(now)
        elapsed = min(now - self._at, _LONGEST)
        most = self._acceleration * np.where(wanted == 0.0, BRAKING, 1.0)
        self._velocity, self._at = limited(approach(self._velocity, wanted, most, elapsed)), now
        if wanted.any() or self._velocity.any():
            self._asked_at = now
        return self._velocity.copy() if now - self._asked_at <= FAREWELL else None

    def _wanted(self, now: float) -> Float64:
        share = np.where(now - self._pressed <= self._timeout, self._signs, 0.0)
        if now - self._sticks_at <= self._timeout and self._sticks.any():
            share = self._sticks
        return np.where(share >= 0.0, share * LIMITS[1], -share * LIMITS[0])


def _bend(value: float, deadzone: float) -> float:
    """A stick's position with its middle flattened, -1 to 1."""
    return math.copysign(max(0.0, min(1.0, abs(value)) - deadzone) / (1.0 - deadzone), value)
