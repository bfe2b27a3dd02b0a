"""Parameters of the node `brain`."""

from __future__ import annotations

from dataclasses import dataclass

from jack_brain.pilot import ROBOT_BLEND, PilotConfig
from jack_brain.policy import PolicyLimits
from jack_brain.safety import SafetyLimits
from jack_brain.shadow import AUTO, MANUAL, TrialConfig
from jack_contract.parameters import check, parameter

_PILOT, _SAFETY, _POLICY, _TRIAL = PilotConfig(), SafetyLimits(), PolicyLimits(), TrialConfig()


@dataclass(frozen=True)
class BrainParameters:
    """What can be chosen when the node starts."""

    robot: str = parameter("jack", "Which robot it drives: a name, or the path of a description (.yaml).")
    prefix: str = parameter("", "What the hardware puts before each of the robot's joint names.")
    policy: str = parameter("", "Policy file (.onnx) to begin with; empty: wait for the topic `policy`.")
    autostart: bool = parameter(False, "Configure and activate without being told to, where nobody manages nodes.")
    trigger: str = parameter(
        "sensor",
        "When to decide: `sensor`, as soon as joint states and IMU data of one moment are there; `timer`, at the "
        "control period of a clock that nobody sets, on the newest readings.",
        choices=("sensor", "timer"),
    )
    executor: str = parameter(
        "events",
        "How callbacks are run: `events`, the quicker, or `single`, the older.",
        choices=("events", "single"),
    )
    realtime: str = parameter(
        "auto",
        "Whether the control loop asks for SCHED_FIFO and locked memory: `auto`, on a robot, not in a simulation; "
        "`always`; `never`. Where it is not permitted, the log says what to type.",
        choices=("auto", "always", "never"),
    )
    camera: bool = parameter(
        False,
        "Watch camera/image_raw: without it a policy follows no sentence, and nothing tells whether it is there.",
    )
    camera_timeout: float = parameter(
        _SAFETY.camera, "A picture older than this is not used as current [s].", 0.01, 10.0
    )
    promote: str = parameter(
        _TRIAL.promote,
        "When a policy takes over from another one, once it passed its trial: `manual`, when the service ~/promote "
        "is called; `auto`, at once.",
        choices=(AUTO, MANUAL),
    )
    trial: float = parameter(
        _TRIAL.seconds,
        "For how long a policy first decides beside the one that drives, without authority; 0 with `auto`: it "
        "takes over untried [s].",
        0.0,
        3600.0,
    )
    trial_rms: float = parameter(
        _TRIAL.rms,
        "A policy on trial may have joint targets that differ by so much, root mean square [rad] ...",
        0.001,
        3.0,
    )
    trial_largest: float = parameter(_TRIAL.largest, "... and by so much at most [rad].", 0.001, 6.0)
    probation: float = parameter(
        _TRIAL.probation,
        "For how long after a policy took over from another one a fault takes it back, for good; 0: never [s].",
        0.0,
        3600.0,
    )
    blend: float = parameter(
        -1.0,
        f"Time over which a new policy takes over [s]; below 0: {ROBOT_BLEND:g} s on a robot, {_PILOT.blend:g} s "
        "in a simulation.",
        -1.0,
        10.0,
    )
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
    speed_limit: float = parameter(
        _SAFETY.speed,
        "Damp the joints when one moves faster than so many times its speed limit [1].",
        0.1,
        100.0,
    )
    missed_limit: int = parameter(
        _SAFETY.missed,
        "Damp the joints after so many control periods in a row without a decision in time; 0: never. In a "
        "simulation they are only counted [1].",
        0,
        1000,
    )
    policy_bytes: int = parameter(
        _POLICY.max_bytes, "Largest policy file that is read [bytes].", 1000, 2_000_000_000
    )
    policy_share: float = parameter(
        _POLICY.period_share, "Greatest share of the control period that a decision may take [1].", 0.01, 1.0
    )

    def __post_init__(self) -> None:
        check(self)
        self.pilot()

    def pilot(self, simulated: bool = False) -> PilotConfig:
        """How smoothly things change hands, on a robot or in a simulation."""
        blend = self.blend if self.blend >= 0 else _PILOT.blend if simulated else ROBOT_BLEND
        return PilotConfig(blend, self.hold_speed, self.command_timeout, self.command_end)

    def safety(self, simulated: bool = False) -> SafetyLimits:
        """What trips a fault; a simulation goes at any speed, and no deadline of its clock is one of ours."""
        return SafetyLimits(
            self.stale_periods,
            self.stale_time,
            self.tilt_limit,
            self.action_limit,
            self.step_limit,
            self.speed_limit,
            0 if simulated else self.missed_limit,
            self.camera_timeout,
        )

    def succession(self) -> TrialConfig:
        """How a policy comes to drive after another one."""
        return TrialConfig(
            self.promote,
            self.trial,
            self.probation,
            self.trial_rms,
            self.trial_largest,
            self.action_limit,
            self.policy_share,
        )

    def limits(self) -> PolicyLimits:
        """What a policy file must keep to."""
        return PolicyLimits(max_bytes=self.policy_bytes, period_share=self.policy_share)
