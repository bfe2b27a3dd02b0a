"""What a learner knows of any task: batches of observations in, batches of actions out."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from jack_contract.arrays import Float32, Index


@dataclass
class Observation:
    """What the policy sees of N environments."""

    #: (N, H, D)
    proprioception: Float32
    #: vx, vy [m/s], yaw rate [rad/s], (N, 3), or None where the task gives no command
    command: Float32 | None = None
    #: what only a simulator knows, for critic and estimate alone, (N, 8), see `TRUTH_SIZE`; None where none is told
    truth: Float32 | None = None

    def rows(self, ids: Index) -> Observation:
        """A copy of some environments' observations."""
        command = None if self.command is None else self.command[ids]
        return Observation(self.proprioception[ids], command, None if self.truth is None else self.truth[ids])


@dataclass
class Transition:
    """One control period of N environments. Those whose episode is over have been reset."""

    #: after the step and any reset
    observation: Observation
    #: (N,)
    reward: Float32
    #: ended for good: what follows has no value, (N,)
    terminated: NDArray[np.bool_]
    #: cut off from outside, by time: what would have followed has a value, (N,)
    truncated: NDArray[np.bool_]
    #: last observation of the environments that were truncated, in their order
    final: Observation | None
    #: return and length [control periods] of each episode that ended, (k,) each
    episode_returns: Float32
    episode_lengths: NDArray[np.int64]
    #: mean of each reward term over the environments, for the log
    terms: dict[str, float] = field(default_factory=dict)


class Environment(Protocol):
    """N environments that step together and reset themselves.

    Attributes:
        count: how many.
    """

    count: int

    @property
    def broken(self) -> int:
        """How often so far one began anew because its physics, action or reward was no number."""
        ...

    @broken.setter
    def broken(self, count: int) -> None: ...

    def reset(self) -> Observation:
        """Start all episodes anew."""
        ...

    def step(self, action: Float32) -> Transition:
        """Act (N, n) for one control period."""
        ...

    @property
    def random(self) -> np.random.Generator:
        """The only source of chance in it."""
        ...

    @property
    def limit(self) -> int:
        """Length of an episode that nothing ends before its time [control periods]; 0: not known."""
        ...

    @property
    def level(self) -> float:
        """How much of what is taught is asked for by now, up to 1."""
        ...

    def state_dict(self) -> dict[str, NDArray[Any]]:
        """Everything but chance that decides the future, as arrays."""
        ...

    def load_state_dict(self, state: dict[str, NDArray[Any]]) -> Observation:
        """Go on from a `state_dict`; returns the observation it was taken at."""
        ...
