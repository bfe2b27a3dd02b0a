"""Parameters of the node `brain`."""

from __future__ import annotations

from dataclasses import dataclass

from jack_brain.pilot import PilotConfig
from jack_brain.policy import PolicyLimits
from jack_brain.safety import SafetyLimits
from jack_contract.parameters import check, parameter
from jack_contract.robot import robot_names

_PILOT, _SAFETY, _POLICY = PilotConfig(), SafetyLimits(), PolicyLimits()


@dataclass(frozen=True)
class BrainParameters:
    """What can be chosen when the node starts."""

    robot: str = parameter("jack", "Which robot it drives.", choices=tuple(robot_names()))
    policy: str = parameter("", "Policy file (.onnx) to begin with; empty: wait for the topic `policy`.")
    autostart: bool = parameter(False, "Configure and activate without being told to, where nobody manages nodes.")
    trigger: str = parameter(
        "sensor",
        "When to decide: `sensor`, as soon as joint states and IMU data of one moment are there; `timer`, at the "
        "control period, on the newest readings.",
        choices=("sensor", "timer"),
    )
    executor: str = parameter(
        "events",
        "How callbacks are run: `events`, the quicker, or `single`, the older.",
        choices=("events", "single"),
    )
    blend: float = parameter(_PILOT.blend, "Time over which a new policy takes over [s].", 0.0, 10.0)
    hold_speed: float = parameter(
        _PILOT.hold_speed, "Greatest joint speed on the way to the default pose [rad/s].", 0.01, 10.0
    )
    command_timeout: float = parameter(
        _PILOT.command_timeout, "A cmd_vel is followed in full until it is this old [s].", 0.0, 10.0
    )
    command_end: float = parameter(
        _PILOT.command_end, "A cmd_vel counts as zero once it is this old [s].", 0.0, 10.0
    )
    stale_periods: float = parameter(
        _SAFETY.stale_periods,
        "Readings are stale after so many control periods [1], but not before stale_time.",
        2.0,
        50.0,
    )
    stale_time: float = parameter(_SAFETY.stale_time, "Readings are not stale before this [s].", 0.001, 1.0)
    tilt_limit: float = parameter(
        _SAFETY.tilt,
        "Damp the joints when the body is tilted by more than this; pi or more: never [rad].",
        0.05,
        4.0,
    )
    action_limit: float = parameter(
        _SAFETY.action, "Damp the joints when a policy's action is larger than this [1].", 1.0, 1000.0
    )
    step_limit: float = parameter(
        _SAFETY.step, "Greatest change of a joint target per control period, in multiples of the joint's speed "
        "limit [1].", 0.01, 100.0,
    )  # fmt: skip
    policy_bytes: int = parameter(
        _POLICY.max_bytes, "Largest policy file that is read [bytes].", 1000, 2_000_000_000
    )
    policy_share: float = parameter(
        _POLICY.period_share, "Greatest share of the control period that a decision may take [1].", 0.01, 1.0
    )

    def __post_init__(self) -> None:
        check(self)
        self.pilot()

    def pilot(self) -> PilotConfig:
        """How smoothly things change hands."""
        return PilotConfig(self.blend, self.hold_speed, self.command_timeout, self.command_end)

    def safety(self) -> SafetyLimits:
        """What trips a fault."""
        return SafetyLimits(
            self.stale_periods, self.stale_time, self.tilt_limit, self.action_limit, self.step_limit
        )

    def limits(self) -> PolicyLimits:
        """What a policy file must keep to."""
        return PolicyLimits(max_bytes=self.policy_bytes, period_share=self.policy_share)
