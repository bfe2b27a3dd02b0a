"""Parameters of the node `driver`."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

from jack_brain.driver import Driver, DriverLimits
from jack_brain.interfaces import INTERFACES, KINDS, Wiring
from jack_contract.parameters import check, parameter
from jack_contract.robot import RobotSpec, load_robot

_LIMITS = DriverLimits()
#: A simulation damps a robot whom nobody commands, and lets him go on by itself. The driver, whose fault stays, is
#: more patient there: a person's machine has other things to do, and nobody gets hurt [s].
SIMULATED_TIMEOUT = 0.5


@dataclass(frozen=True)
class DriverParameters:
    """What can be chosen when the node starts."""

    robot: str = parameter("jack", "Which robot: one that ships with Jack, or the path of a .yaml file.")
    interface: str = parameter(
        "joint_command",
        "How the motors are reached: `joint_command`, Jack's own message on hardware/joint_command; "
        "`forward_command`, for ros2_control's forward_command_controller, on hardware/commands; "
        "`joint_trajectory`, for its joint_trajectory_controller, on hardware/joint_trajectory.",
        choices=INTERFACES,
    )
    kind: str = parameter(
        "position",
        "What the forward_command_controller commands: `position`, or `effort`, computed from the newest joint "
        "states at each of them.",
        choices=KINDS,
    )
    joints: tuple[str, ...] = parameter(
        (), "The joints in the order of the hardware's controller, with or without the prefix; empty: the robot's."
    )
    prefix: str = parameter("", "What the hardware puts before each of the robot's joint names.")
    autostart: bool = parameter(False, "Configure and activate without being told to, where nobody manages nodes.")
    timeout: float = parameter(
        -1.0,
        "Without a command that can be believed for so long the joints are damped [s]; below 0: "
        f"{_LIMITS.timeout:g} s on a robot, {SIMULATED_TIMEOUT:g} s in a simulation.",
        -1.0,
        10.0,
    )
    position_tolerance: float = parameter(
        _LIMITS.position_tolerance, "How far beyond a joint's limits a target may lie [rad].", 0.0, 1.0
    )
    gain_factor: float = parameter(
        _LIMITS.gain_factor, "Greatest gain that is passed on, in multiples of the robot's own [1].", 1.0, 100.0
    )

    def __post_init__(self) -> None:
        check(self)
        self.wiring()
        self.driver()

    @cached_property
    def spec(self) -> RobotSpec:
        """The robot."""
        return load_robot(self.robot)

    def wiring(self) -> Wiring:
        """How the hardware names its joints; checked against the robot."""
        return Wiring.of(self.spec, self.joints, self.prefix)

    def driver(self, needs_readings: bool = False, simulated: bool = False) -> Driver:
        """What decides, on a robot or in a simulation; `needs_readings` as there."""
        timeout = SIMULATED_TIMEOUT if simulated else _LIMITS.timeout
        if self.timeout >= 0:
            timeout = self.timeout
        limits = DriverLimits(timeout, self.position_tolerance, self.gain_factor)
        return Driver(self.spec, limits, needs_readings)
