"""Who has arms and waist, the one who walks or a chunk that follows a sentence; they change hands without a jump.

Pure: no clock, no ROS. Chunks are rows of `jack_brain.chunk`.
"""

from __future__ import annotations

import numpy as np

from jack_brain.chunk import HELD, SEAM, VELOCITY, blend, led_joints
from jack_contract.arrays import Array
from jack_contract.contract import Contract
from jack_contract.observation import COMMAND_SIZE

#: Control periods from one chunk to the next [1]: pictures come at 10 a second.
PERIOD = 5
#: Control periods over which chunks take the arms, and over which they give them back [1]. What is demonstrated
#: begins where the arms are, and is under way at once: who held them back would lead them where nobody ever was.
TAKE, GIVE = 5, 25
#: No chunk asks the legs for more than this, forwards, to a side and around [m/s, m/s, rad/s].
_FASTEST = np.array([0.6, 0.3, 0.8])


class Arms:
    """The arms and the waist of one robot, and where it is to go.

    Attributes:
        share: how much of arms and waist the chunks have, 0 to 1.
        lead: how much of what they ask of the legs is passed on, 0 to 1. Both change by a step each control period.
        progress: how much of what was asked is done, as the policy says, 0 to 1; 0 while it follows nothing.
    """

    def __init__(self, contract: Contract) -> None:
        self._joints = led_joints(contract.robot)
        self._scale = np.array(contract.action.scale)[self._joints]
        self.rest()

    def rest(self) -> None:
        """Forget everything: the next chunk is the first."""
        self._plan: Array | None = None
        self._row = self._age = 0
        self.share = self.lead = self.progress = 0.0

    @property
    def due(self) -> bool:
        """Whether a new chunk is wanted in this control period, if there is something to follow."""
        return self._plan is None or self._age >= PERIOD

    @property
    def velocity(self) -> Array:
        """What the legs are asked for, (3,) [m/s, m/s, rad/s]; zero while nothing is followed."""
        if self._plan is None:
            return np.zeros(COMMAND_SIZE)
        return self.lead * self._plan[self._row, VELOCITY].clip(-_FASTEST, _FASTEST)

    def follow(self, chunk: Array, progress: float) -> None:
        """Go over to a new chunk, whose first row is for this control period."""
        rest = chunk if self._plan is None else self._plan[min(self._row + 1, len(self._plan) - 1) :]
        self._plan, self.progress = blend(rest, chunk, SEAM), progress
        self._row, self._age = -1, 0

    def step(self, action: Array, offsets: Array, following: bool) -> Array:
        """The action of one control period.

        Args:
            action: of the one who walks, (n,).
            offsets: what the gait adds to the joint targets, (n,) [rad]; a chunk says where joints are to be, not
                how far from their swing.
            following: whether there is something to follow; if not, the arms go back.

        Returns:
            (n,); `action` itself where chunks have nothing.
        """
        if self._plan is None:
            return action
        self._row, self._age = min(self._row + 1, len(self._plan) - 1), self._age + 1
        row = self._plan[self._row]
        self.lead = _towards(self.lead, following)
        self.share = _towards(self.share, following and row[HELD] > 0.5)
        if self.share == self.lead == 0.0:
            self.rest()
        if self.share == 0.0:
            return action
        wanted = row[: VELOCITY.start] - offsets[self._joints] / self._scale
        mixed = action.copy()
        mixed[self._joints] += self.share * (wanted - action[self._joints])
        return mixed


def _towards(share: float, wanted: bool) -> float:
    """A share one step nearer to 1 or 0."""
    return min(share + 1 / TAKE, 1.0) if wanted else max(share - 1 / GIVE, 0.0)
