"""What a policy's action means: offsets of the joint targets from the default pose and the gait."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from jack_contract.arrays import Array, Float64, require_last
from jack_contract.errors import ContractError
from jack_contract.robot import RobotSpec


@dataclass(frozen=True)
class ActionSpec:
    """Joint targets = default pose + gait + scale * action, within the joints' position limits."""

    #: radians of target per unit of action, one for each joint [rad]
    scale: tuple[float, ...]

    def __post_init__(self) -> None:
        if not self.scale or not all(np.isfinite(s) and s > 0 for s in self.scale):
            raise ContractError(f"Action scales must be finite and positive, given: {self.scale}.")

    @cached_property
    def _scale(self) -> Float64:
        return np.array(self.scale)

    def targets(self, robot: RobotSpec, action: Array, offsets: Array | float = 0.0) -> Array:
        """Joint targets [rad] for actions (..., n), clipped to the position limits, (..., n).

        Args:
            robot: whose joints they are.
            action: what the policy says, (..., n).
            offsets: what the gait adds, (..., n) [rad], see `GaitSpec.offsets`.
        """
        require_last("Action", action, len(self.scale))
        return (robot.default_position + offsets + self._scale * action).clip(robot.lower, robot.upper)

    def action(self, robot: RobotSpec, targets: Array) -> Array:
        """The action that asks for these joint targets [rad], (..., n) -> (..., n)."""
        require_last("Targets", targets, len(self.scale))
        return (targets - robot.default_position) / self._scale


#: Share of a joint's torque limit that one unit of action calls for at first.
EFFORT_SHARE = 0.25


def default_action(robot: RobotSpec) -> ActionSpec:
    """Scales by strength: one unit of action asks every joint for the same share of its torque limit.

    scale = 0.25 effort limit / stiffness, as BeyondMimic has it (arXiv 2508.08241): noise of one size is then as
    bearable for an ankle as for a hip.
    """
    return ActionSpec(tuple(float(scale) for scale in EFFORT_SHARE * robot.effort_limit / robot.stiffness))
