"""REINFORCE (Williams 1992), the oldest policy gradient: kept to be measured against.

    grad J = E[sum_t grad log pi(a_t|s_t) (G_t - b)],   G_t = r_t + gamma r_{t+1} + ... to the episode's end

Whole episodes are acted out, each step is made likelier by what was earned after it, and all of it is thrown away.
No value is learnt, nothing is used twice. What PPO adds to this is what PPO is worth.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass

import numpy as np
import torch
from torch import Tensor

from jack_brain.network.brain import Brain, Inputs
from jack_contract.errors import JackError
from jack_trainer.rl.acting import inputs
from jack_trainer.rl.episodes import EpisodeLog
from jack_trainer.rl.gaussian import log_probability
from jack_trainer.tasks.environment import Environment, Observation


@dataclass(frozen=True)
class ReinforceConfig:
    """How REINFORCE learns."""

    #: discount
    gamma: float = 0.99
    #: step size
    rate: float = 1e-3
    #: subtract the mean return of the batch, which changes no expectation and spares much noise
    baseline: bool = True
    #: gradients longer than this are shortened to it
    gradient_norm: float = 1.0
    #: an episode that is still going on after so many control periods is cut off there
    longest: int = 1000


@dataclass
class ReinforceStats:
    """One update, for the log."""

    loss: float
    gradient_norm: float
    #: mean discounted return of the episodes' first steps
    discounted_return: float
    noise: float
    #: environment steps that were learnt from
    steps: int


@dataclass
class Episodes:
    """One whole episode of each of N environments, side by side; they end at different times, (T, N, ...)."""

    proprioception: Tensor
    command: Tensor | None
    action: Tensor
    reward: Tensor
    #: whether the episode was still going on
    alive: Tensor


class Reinforce:
    """A learner: one brain, one set of environments, one optimiser; an episode of each environment an update.

    Attributes:
        samples: environment steps of the last `iterate`.
    """

    def __init__(self, brain: Brain, environment: Environment, config: ReinforceConfig, seed: int) -> None:
        """Nothing happens yet; `seed` decides the exploration noise."""
        self.brain, self.environment, self.config = brain, environment, config
        self.random = torch.Generator().manual_seed(seed)
        self.episodes, self.samples = EpisodeLog(), 0
        value = {id(weight) for weight in brain.value_head.parameters()}
        self._weights = [weight for weight in brain.parameters() if id(weight) not in value]
        self.optimiser = torch.optim.Adam(self._weights, lr=config.rate, fused=True)

    def iterate(self) -> Mapping[str, float]:
        """Whole episodes, one step uphill; only then may the normaliser move. Returns the `ReinforceStats`."""
        episodes = self.collect()
        stats = self.update(episodes)
        self.brain.normaliser.update(episodes.proprioception[:, :, -1][episodes.alive])
        self.samples = stats.steps
        return asdict(stats)

    @torch.no_grad()
    def collect(self) -> Episodes:
        """One episode of each environment, begun anew; what happens beyond its end is neither kept nor counted."""
        seen, alive = self.environment.reset(), np.ones(self.environment.count, bool)
        rows: list[tuple[Observation, Tensor, Tensor, Tensor]] = []
        earned, lasted = np.zeros(alive.shape), np.zeros(alive.shape, np.int64)
        while alive.any() and len(rows) < self.config.longest:
            before = seen.rows(np.arange(len(alive)))  # a copy: environments reuse their arrays
            mean = self.brain(inputs(before), value=False).mean
            action = mean + self.brain.log_std.exp() * torch.randn(mean.shape, generator=self.random)
            step = self.environment.step(action.numpy())
            reward = np.where(alive, step.reward, 0.0).astype(np.float32)
            rows.append((before, action, torch.from_numpy(reward), torch.from_numpy(alive.copy())))
            earned += reward
            lasted += alive
            alive &= ~(step.terminated | step.truncated)
            seen = step.observation
        self.episodes.returns.extend(earned.tolist())
        self.episodes.lengths.extend(lasted.tolist())
        return _stack(rows)

    def update(self, episodes: Episodes) -> ReinforceStats:
        """One step of the optimiser on whole episodes."""
        alive = episodes.alive
        returns = returns_to_go(episodes.reward, self.config.gamma)
        credit = returns[alive] - (returns[alive].mean() if self.config.baseline else 0.0)
        command = None if episodes.command is None else episodes.command[alive]
        mean = self.brain(Inputs(episodes.proprioception[alive], command), value=False).mean
        loss = -(log_probability(mean, self.brain.log_std, episodes.action[alive]) * credit).mean()
        self.optimiser.zero_grad()
        loss.backward()
        norm = torch.nn.utils.clip_grad_norm_(self._weights, self.config.gradient_norm)
        if not norm.isfinite():
            raise JackError(f"Learning broke down: its gradient is not finite (loss {float(loss.detach()):.3g}).")
        self.optimiser.step()
        noise = float(self.brain.log_std.detach().exp().mean())
        return ReinforceStats(float(loss.detach()), float(norm), float(returns[0].mean()), noise, int(alive.sum()))


def returns_to_go(reward: Tensor, gamma: float) -> Tensor:
    """What was earned from each step on, G_t = r_t + gamma G_{t+1}, (T, N) -> (T, N); 0 after an end."""
    returns, following = torch.zeros_like(reward), torch.zeros_like(reward[0])
    for t in reversed(range(len(reward))):
        following = reward[t] + gamma * following
        returns[t] = following
    return returns


def _stack(rows: list[tuple[Observation, Tensor, Tensor, Tensor]]) -> Episodes:
    seen, action, reward, alive = zip(*rows, strict=True)
    commands = [torch.from_numpy(one.command) for one in seen if one.command is not None]
    return Episodes(
        proprioception=torch.stack([torch.from_numpy(one.proprioception) for one in seen]),
        command=torch.stack(commands) if commands else None,
        action=torch.stack(action),
        reward=torch.stack(reward),
        alive=torch.stack(alive),
    )
