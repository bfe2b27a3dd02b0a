"""Parameters of the node `sim`."""

from __future__ import annotations

from dataclasses import dataclass

from jack_contract.parameters import check, parameter


@dataclass(frozen=True)
class SimParameters:
    """What can be chosen when the node starts."""

    scene: str = parameter("flat", "Which world: the name of a scene of jack_sim.")
    seed: int = parameter(0, "Of the small random differences in the starting pose; 0: none.", 0)
    gantry: str = parameter(
        "auto",
        "When a gantry holds him: `auto`, until a policy drives him, and again when he fell; `always`; `never`.",
        choices=("auto", "always", "never"),
    )
    lock_step: bool = parameter(False, "Advance one control period for each joint command, not by the clock.")
    real_time_factor: float = parameter(
        1.0, "Simulated seconds per second; 0: as fast as possible. Without meaning in lock-step.", 0.0, 1000.0
    )
    command_timeout: float = parameter(
        0.1,
        "A joint command older than this (simulated time) is not obeyed any more: the joints are damped [s].",
        0.01,
        10.0,
    )
    publish_clock: bool = parameter(True, "Publish simulated time on /clock.")
    odom_rate: float = parameter(50.0, "Of odom, per simulated second [1/s].", 0.1, 1000.0)
    tf_rate: float = parameter(50.0, "Of tf, per simulated second; sent while somebody listens [1/s].", 0.1, 1000.0)
    camera_rate: float = parameter(
        15.0, "Of camera images, per simulated second; drawn while somebody looks [1/s].", 0.1, 1000.0
    )
    camera_width: int = parameter(320, "Of camera images [pixel].", 16, 4096)
    camera_height: int = parameter(240, "Of camera images [pixel].", 16, 4096)
    camera_quality: int = parameter(80, "Of compressed camera images (JPEG) [1].", 1, 100)

    def __post_init__(self) -> None:
        check(self)
