"""What was experienced between two updates, and how good it turned out to be."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from jack_trainer.tasks.environment import Observation


def generalised_advantages(
    reward: Tensor, value: Tensor, last_value: Tensor, done: Tensor, gamma: float, lam: float
) -> Tensor:
    """Generalised advantage estimation (Schulman et al. 2016, arXiv 1506.02438).

    delta_t = r_t + gamma V(s_{t+1}) (1 - d_t) - V(s_t);  A_t = delta_t + gamma lambda (1 - d_t) A_{t+1}.
    An episode cut off by time has its bootstrap already in its last reward (see `Rollout.bootstrap`), so that
    here an end is an end.

    Args:
        reward: (T, N).
        value: V(s_t) under the policy that acted, (T, N).
        last_value: V(s_T), (N,).
        done: 1 where the episode ended with step t, (T, N).
        gamma: discount.
        lam: lambda, the trade between bias and variance.

    Returns:
        Advantages, (T, N).
    """
    advantage = torch.zeros_like(reward)
    following, value_after = torch.zeros_like(last_value), last_value
    for t in reversed(range(len(reward))):
        going_on = 1.0 - done[t]
        delta = reward[t] + gamma * going_on * value_after - value[t]
        following = delta + gamma * lam * going_on * following
        advantage[t], value_after = following, value[t]
    return advantage


@dataclass
class Samples:
    """Some steps of a rollout, flattened, (B, ...)."""

    proprioception: Tensor
    command: Tensor | None
    action: Tensor
    log_probability: Tensor
    mean: Tensor
    value: Tensor
    advantage: Tensor
    returns: Tensor
    truth: Tensor | None = None
    #: what he would have done before he was taught this, (B, n), and how much of that he is to keep, 0 to 1, (B,)
    before: Tensor | None = None
    keeps: Tensor | None = None

    def rows(self, ids: Tensor) -> Samples:
        """A copy of some of them."""
        chosen = {k: None if v is None else v.index_select(0, ids) for k, v in vars(self).items()}
        return Samples(**chosen)  # type: ignore[arg-type]  # only what may be None ever is


class Rollout:
    """T steps of N environments, filled step by step; storage is made once and reused."""

    def __init__(self, length: int, seen: Observation, action: int) -> None:
        """Room for `length` steps of environments that see such things and take actions of so many numbers."""
        count = len(seen.proprioception)
        shape = (length, count)
        self.length = length
        self.proprioception = torch.zeros(*shape, *seen.proprioception.shape[1:])
        self.command = None if seen.command is None else torch.zeros(*shape, seen.command.shape[-1])
        self.truth = None if seen.truth is None else torch.zeros(*shape, seen.truth.shape[-1])
        self.action = torch.zeros(*shape, action)
        self.mean = torch.zeros(*shape, action)
        self.log_probability = torch.zeros(shape)
        self.value = torch.zeros(shape)
        self.reward = torch.zeros(shape)
        self.done = torch.zeros(shape)

    def put(
        self, t: int, seen: Observation, mean: Tensor, action: Tensor, log_probability: Tensor, value: Tensor
    ) -> None:
        """Keep what was seen and done at step t; the observation is copied."""
        self.proprioception[t] = torch.from_numpy(seen.proprioception)
        if self.command is not None and seen.command is not None:
            self.command[t] = torch.from_numpy(seen.command)
        if self.truth is not None and seen.truth is not None:
            self.truth[t] = torch.from_numpy(seen.truth)
        self.mean[t], self.action[t], self.value[t] = mean, action, value
        self.log_probability[t] = log_probability

    def bootstrap(self, t: int, truncated: Tensor, value: Tensor, gamma: float) -> None:
        """Credit step t of the environments `truncated` (k,) with the value (k,) of where time cut them off."""
        self.reward[t, truncated] += gamma * value

    def finish(self, last_value: Tensor, gamma: float, lam: float) -> Samples:
        """All samples with their advantages (not yet normalised) and returns."""
        advantage = generalised_advantages(self.reward, self.value, last_value, self.done, gamma, lam)
        return Samples(
            proprioception=self.proprioception.flatten(0, 1),
            command=None if self.command is None else self.command.flatten(0, 1),
            action=self.action.flatten(0, 1),
            log_probability=self.log_probability.flatten(),
            mean=self.mean.flatten(0, 1),
            value=self.value.flatten(),
            advantage=advantage.flatten(),
            returns=(advantage + self.value).flatten(),
            truth=None if self.truth is None else self.truth.flatten(0, 1),
        )
