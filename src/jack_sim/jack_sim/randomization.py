"""What differs from one robot to the next, and by how much: the one table of domain randomisation.

Every quantity is drawn evenly from its range, anew for each episode, or for each reading where its name says noise.
A policy that has met all of these robots in simulation may well meet a real one (Tobin et al. 2017, arXiv
1703.06907; Peng et al. 2018, arXiv 1710.06537). `jack_sim.randomizer` draws and applies what stands here.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any

from jack_contract.errors import JackError, UnknownNameError

#: Least and greatest value.
Range = tuple[float, float]


def _row(on: Range, *, wide: Range, off: float, allowed: Range, unit: str, source: str) -> Range:
    """A row of the table; `on` is the default."""
    return field(
        default=on, metadata={"wide": wide, "off": off, "allowed": allowed, "unit": unit, "source": source}
    )


@dataclass(frozen=True)
class Randomization:
    """The table: ranges (least, greatest) by quantity. The defaults are "on"; RANDOMIZATIONS has the others."""

    #: mass and inertia of every link, each by its own factor [1]
    mass: Range = _row(
        (0.9, 1.1),
        wide=(0.8, 1.2),
        off=1.0,
        allowed=(0.3, 3.0),
        unit="x model",
        source="MuJoCo Playground: 0.9 to 1.1",
    )
    #: what the torso carries at its centre of mass, as wide as the torso [kg]
    payload: Range = _row(
        (-1.0, 3.0),
        wide=(-2.0, 5.0),
        off=0.0,
        allowed=(-5.0, 30.0),
        unit="kg",
        source="legged_gym: -1 to 1; unitree_rl_gym G1 and walk-these-ways: -1 to 3",
    )
    #: shift of the torso's and the pelvis' centres of mass, each along each axis [m]
    centre_of_mass: Range = _row(
        (-0.025, 0.025),
        wide=(-0.05, 0.05),
        off=0.0,
        allowed=(-0.1, 0.1),
        unit="m",
        source="mjlab: 0.025, 0.025, 0.03; BeyondMimic: 0.025, 0.05, 0.05",
    )
    #: coefficient of friction between sole and ground; all others in proportion [1]
    friction: Range = _row(
        (0.4, 1.2),
        wide=(0.2, 1.6),
        off=1.0,
        allowed=(0.01, 5.0),
        unit="1",
        source="Playground: 0.4 to 1.0; mjlab: 0.3 to 1.2; legged_gym: 0.5 to 1.25; BeyondMimic: 0.3 to 1.6",
    )
    #: torque limit of every motor, each by its own factor [1]
    strength: Range = _row(
        (0.9, 1.1),
        wide=(0.8, 1.1),
        off=1.0,
        allowed=(0.0, 3.0),
        unit="x model",
        source="walk-these-ways: 0.9 to 1.1",
    )
    #: proportional gain of every motor, each by its own factor [1]
    stiffness: Range = _row(
        (0.9, 1.1),
        wide=(0.75, 1.25),
        off=1.0,
        allowed=(0.1, 3.0),
        unit="x model",
        source="HumanoidVerse: 0.75 to 1.25",
    )
    #: derivative gain of every motor, each by its own factor [1]
    damping: Range = _row(
        (0.9, 1.1),
        wide=(0.75, 1.25),
        off=1.0,
        allowed=(0.1, 3.0),
        unit="x model",
        source="HumanoidVerse: 0.75 to 1.25",
    )
    #: inertia of every motor's rotor behind its gear, each by its own factor [1]
    armature: Range = _row(
        (0.95, 1.1), wide=(0.8, 1.2), off=1.0, allowed=(0.2, 5.0), unit="x model", source="Playground: 1.0 to 1.05"
    )
    #: what every encoder reads too much; targets are understood in the encoder's frame [rad]
    joint_offset: Range = _row(
        (-0.015, 0.015),
        wide=(-0.03, 0.03),
        off=0.0,
        allowed=(-0.2, 0.2),
        unit="rad",
        source="mjlab: 0.015; BeyondMimic: 0.01; walk-these-ways: 0.02",
    )
    #: time between a command and its reaching the motors, rounded to physics steps [s]
    latency: Range = _row(
        (0.0, 0.02),
        wide=(0.0, 0.02),
        off=0.0,
        allowed=(0.0, 0.1),
        unit="s",
        source="walk-these-ways: up to 6 of its steps; here one control period at most",
    )
    #: what the gyroscope reads too much about each axis [rad/s]
    gyro_bias: Range = _row(
        (-0.02, 0.02),
        wide=(-0.05, 0.05),
        off=0.0,
        allowed=(-1.0, 1.0),
        unit="rad/s",
        source="zero-rate offset of small MEMS gyroscopes, 0.5 to 3 degrees/s uncalibrated",
    )
    #: error of the estimated orientation about the body's x and y axes [rad]
    tilt_bias: Range = _row(
        (-0.02, 0.02),
        wide=(-0.05, 0.05),
        off=0.0,
        allowed=(-0.5, 0.5),
        unit="rad",
        source="mjlab, mounting of the IMU: 0.05",
    )
    #: of each reading of the gyroscope [rad/s]
    gyro_noise: Range = _row(
        (-0.2, 0.2),
        wide=(-0.3, 0.3),
        off=0.0,
        allowed=(-5.0, 5.0),
        unit="rad/s",
        source="legged_gym, Playground, mjlab, BeyondMimic: 0.2",
    )
    #: of each estimate of the orientation about the body's x and y axes [rad]
    tilt_noise: Range = _row(
        (-0.05, 0.05),
        wide=(-0.08, 0.08),
        off=0.0,
        allowed=(-0.5, 0.5),
        unit="rad",
        source="legged_gym, Playground, mjlab: 0.05 of the gravity vector",
    )
    #: of each reading of an encoder's position [rad]
    position_noise: Range = _row(
        (-0.01, 0.01),
        wide=(-0.03, 0.03),
        off=0.0,
        allowed=(-0.5, 0.5),
        unit="rad",
        source="legged_gym, mjlab, BeyondMimic: 0.01; Playground: 0.03",
    )
    #: of each reading of an encoder's speed [rad/s]
    velocity_noise: Range = _row(
        (-0.5, 0.5),
        wide=(-1.5, 1.5),
        off=0.0,
        allowed=(-20.0, 20.0),
        unit="rad/s",
        source="BeyondMimic: 0.5; legged_gym, Playground, mjlab: 1.5",
    )
    #: change of the pelvis' velocity by a push, in a random horizontal direction [m/s]
    push_speed: Range = _row(
        (0.3, 0.6),
        wide=(0.3, 1.0),
        off=0.0,
        allowed=(0.0, 5.0),
        unit="m/s",
        source="mjlab, BeyondMimic: 0.5 along each axis; legged_gym: 1.0; Playground: 0.1 to 2.0",
    )
    #: time between two pushes; of no account while push_speed is zero [s]
    push_interval: Range = _row(
        (1.0, 4.0),
        wide=(1.0, 3.0),
        off=4.0,
        allowed=(0.02, 3600.0),
        unit="s",
        source="mjlab, BeyondMimic: 1 to 3; Playground: 5 to 10; legged_gym: 15",
    )

    def __post_init__(self) -> None:
        for row in fields(self):
            least, most = row.metadata["allowed"]
            low, high = getattr(self, row.name)
            if not (math.isfinite(low) and math.isfinite(high) and least <= low <= high <= most):
                raise JackError(
                    f"{row.name} is {(low, high)} {row.metadata['unit']}; allowed: (least, greatest) in "
                    f"{least:g} to {most:g}, the least first."
                )

    @classmethod
    def named(cls, name: str) -> Randomization:
        """The table "off", "on" or "wide".

        Raises:
            UnknownNameError: for any other name.
        """
        if name not in RANDOMIZATIONS:
            raise UnknownNameError("randomization", name, RANDOMIZATIONS)
        return RANDOMIZATIONS[name]

    def narrowed(self, share: float) -> Randomization:
        """Ranges that reach only this share of the way from the model's own values, 0 to 1."""
        return Randomization(**{row.name: self.reach(row.name, share) for row in fields(self)})

    def reach(self, name: str, share: float) -> Range:
        """Least and greatest value of a quantity that reaches only this share of the way from the model's own."""
        rest = (1.0 - share) * getattr(OFF, name)[0]
        low, high = (rest + share * value for value in getattr(self, name))
        return low, high

    @property
    def active(self) -> frozenset[str]:
        """Names of the quantities that may differ from the model's."""
        return frozenset(row.name for row in fields(self) if getattr(self, row.name) != _off(row.metadata))

    def describe(self) -> str:
        """The table for people: a quantity a line, its range, unit and where the figure is from."""
        lines = [f"{'quantity':<15} {'least':>7} {'most':>7} {'unit':<8} source"]
        for row in fields(self):
            low, high = getattr(self, row.name)
            meta = row.metadata
            lines.append(f"{row.name:<15} {low:>7g} {high:>7g} {meta['unit']:<8} {meta['source']}")
        return "\n".join(lines)


def _off(row: Mapping[str, Any]) -> Range:
    return row["off"], row["off"]


def fixed(**values: float) -> Randomization:
    """No chance, but a world that differs: every quantity as modelled, save those given.

    Example:
        `fixed(friction=0.4, payload=3.0)`: every robot carries 3 kg on slippery ground.

    Raises:
        UnknownNameError: for what is no quantity of the table.
    """
    names = [row.name for row in fields(Randomization)]
    for name in values:
        if name not in names:
            raise UnknownNameError("quantity", name, names)
    off = {row.name: _off(row.metadata) for row in fields(Randomization)}
    return Randomization(**off | {name: (value, value) for name, value in values.items()})


#: As modelled, without noise and pushes.
OFF = fixed()
#: What training uses.
ON = Randomization()
#: For robots of which little is known.
WIDE = Randomization(**{row.name: row.metadata["wide"] for row in fields(Randomization)})
#: By name, for command lines.
RANDOMIZATIONS: dict[str, Randomization] = {"off": OFF, "on": ON, "wide": WIDE}
