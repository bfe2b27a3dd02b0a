"""Parameters of the operator's nodes."""

from __future__ import annotations

from dataclasses import dataclass

from jack_contract.parameters import check, parameter


@dataclass(frozen=True)
class ViewParameters:
    """What can be chosen when the node `view` starts."""

    port: int = parameter(8080, "Of the page, on 127.0.0.1; the next free one if it is taken; 0: any.", 0, 65535)
    control: bool = parameter(False, "Whether the page can stop and steer him; otherwise it only shows.")
    rate: float = parameter(20.0, "Pictures of him, while somebody looks [1/s].", 1.0, 60.0)

    def __post_init__(self) -> None:
        check(self)


@dataclass(frozen=True)
class TeleopParameters:
    """What can be chosen when the node `teleop` starts. Axes and buttons are counted from 0."""

    keyboard: bool = parameter(True, "Whether keys of the terminal steer him, where there is one.")
    acceleration: float = parameter(1.0, "Greatest change of speed [m/s^2].", 0.1, 10.0)
    turn_acceleration: float = parameter(2.0, "Greatest change of the yaw rate [rad/s^2].", 0.1, 20.0)
    timeout: float = parameter(0.3, "Keys and sticks count for so long after they were heard [s].", 0.05, 2.0)
    axis_forward: int = parameter(1, "Axis of `joy` that drives forwards.", 0, 31)
    axis_left: int = parameter(0, "Axis of `joy` that drives to the left.", 0, 31)
    axis_turn: int = parameter(3, "Axis of `joy` that turns left.", 0, 31)
    deadman_button: int = parameter(4, "Button of `joy` to be held while driving.", 0, 31)
    stop_button: int = parameter(1, "Button of `joy` that stops him.", 0, 31)
    deadzone: float = parameter(0.1, "A stick this near its middle [1] is in the middle.", 0.0, 0.9)

    def __post_init__(self) -> None:
        check(self)


@dataclass(frozen=True)
class SayParameters:
    """What can be chosen when the node `say` starts."""

    text: str = parameter("", "What he is told; empty: to follow nothing any more.")
    patience: float = parameter(10.0, "For how long he is waited for [s].", 0.1, 600.0)

    def __post_init__(self) -> None:
        check(self)


@dataclass(frozen=True)
class MarkerParameters:
    """What can be chosen when the node `markers` starts."""

    rate: float = parameter(10.0, "Of the markers, while somebody listens [1/s].", 1.0, 60.0)

    def __post_init__(self) -> None:
        check(self)
