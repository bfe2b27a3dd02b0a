"""The left-right reflection of a body: what a robot would see and do if left were right.

A humanoid that is symmetric learns from every sample twice (arXiv 2403.04359). Reflection at the x-z plane keeps
x and z and flips y of vectors; angular velocities, pseudo-vectors, flip x and z instead.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from jack_contract.contract import Contract

_VECTOR = np.array([1.0, -1.0, 1.0])
_PSEUDO_VECTOR = np.array([-1.0, 1.0, -1.0])


@dataclass(frozen=True)
class Reflection:
    """A signed permutation: mirrored[..., i] = sign[i] * original[..., index[i]]."""

    index: NDArray[np.int64]
    sign: NDArray[np.float32]

    @classmethod
    def signs(cls, sign: NDArray[np.floating]) -> Reflection:
        """A reflection that moves nothing."""
        return cls(np.arange(len(sign)), sign.astype(np.float32))

    def __call__(self, array: NDArray[np.float32]) -> NDArray[np.float32]:
        """Mirror (..., D) -> (..., D)."""
        return array[..., self.index] * self.sign


@dataclass(frozen=True)
class Mirror:
    """Reflections of everything that goes into a policy or comes out of it."""

    frame: Reflection
    command: Reflection
    action: Reflection

    @classmethod
    def of(cls, contract: Contract) -> Mirror:
        """The reflections of a contract's observation frame, command and action."""
        robot = contract.robot
        joints = Reflection(np.array(robot.mirror_index), robot.mirror_sign.astype(np.float32))
        by_term = {
            "angular_velocity": Reflection.signs(_PSEUDO_VECTOR),
            "projected_gravity": Reflection.signs(_VECTOR),
            "gait": Reflection.signs(-np.ones(2)),  # half a cycle later
        }
        parts = [(by_term.get(term.name, joints), part) for term, part in _placed(contract)]
        frame = Reflection(
            np.concatenate([reflection.index + part.start for reflection, part in parts]),
            np.concatenate([reflection.sign for reflection, _ in parts]),
        )
        return cls(frame, Reflection.signs(np.array([1.0, -1.0, -1.0])), joints)


def _placed(contract: Contract) -> list[tuple]:
    slices = contract.observation.slices()
    return [(term, slices[term.name]) for term in contract.observation.terms]
