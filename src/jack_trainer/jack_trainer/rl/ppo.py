"""Proximal policy optimisation (Schulman et al. 2017, arXiv 1707.06347), to be read from top to bottom.

What is made small is in `ppo_loss`. The step size follows the divergence between the policy before and after
(rsl_rl's adaptive rule): too far, slower; not far enough, faster.
"""

from __future__ import annotations

import math
import os
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from functools import partial
from typing import cast

import numpy as np
import torch
from torch import Tensor
from torch.optim.swa_utils import PARAM_LIST, AveragedModel, get_ema_multi_avg_fn

from jack_brain.network.brain import Brain
from jack_contract.errors import JackError
from jack_trainer import checkpoint as storage
from jack_trainer.checkpoint import LearnerNumbers
from jack_trainer.learner import LearningError
from jack_trainer.rl.acting import inputs
from jack_trainer.rl.anchor import Anchor
from jack_trainer.rl.episodes import EpisodeLog
from jack_trainer.rl.gaussian import log_probability, widen
from jack_trainer.rl.ppo_loss import PARTS, ppo_loss
from jack_trainer.rl.rollout import Rollout, Samples
from jack_trainer.tasks.environment import Environment, Observation


@dataclass(frozen=True)
class PPOConfig:
    """How PPO learns."""

    #: control periods of experience between two updates
    rollout: int = 24
    #: passes over the experience of one update
    epochs: int = 3
    #: parts that a pass is cut into
    minibatches: int = 4
    #: discount
    gamma: float = 0.98
    #: trade between bias (0) and variance (1) of the advantages; small batches want less variance
    lam: float = 0.9
    #: how far the probability ratio may move in one update
    clip: float = 0.2
    #: weight of the entropy bonus; noise falls by itself as it does more harm than good
    entropy: float = 0.0
    #: the exploration noise falls by this share with each update, besides what it falls by itself: who explores
    #: moves differently, and learns to cope with his noise ...
    calming: float = 0.0
    #: ... but never below this, in units of action
    noise: float = 0.5
    #: weight of the value loss; it has weights of its own, so that this counts where gradients are shortened
    value: float = 0.3
    #: weight of the error of what the action's answer tells of the truth, where the task tells any
    estimate: float = 0.1
    #: step size at the start
    rate: float = 1e-3
    #: the step size is kept within these
    rate_bounds: tuple[float, float] = (2e-5, 3e-3)
    #: divergence (KL) between two policies that the step size aims at, at first ...
    divergence: float = 0.02
    #: ... and at the end, towards which it falls from the share `polish_from` of the training on
    last_divergence: float = 0.02
    polish_from: float = 0.6
    #: weight of how far, at rest, left and right are from being one to him. Steps are symmetric by themselves; who
    #: only stands learns one side better, and falls over the other
    mirror: float = 0.0
    #: weight of how far he has left what he did before, where there is an `Anchor`
    keep: float = 0.2
    #: gradients longer than this are shortened to it
    gradient_norm: float = 1.0
    #: the average policy is that of about this share of all updates so far, the newest: a single one makes too much
    #: of the few thousand samples that it learnt from
    memory: float = 0.15


@dataclass
class UpdateStats:
    """Means over one update, for the log."""

    policy_loss: float = 0.0
    value_loss: float = 0.0
    entropy: float = 0.0
    divergence: float = 0.0
    clipped: float = 0.0
    asymmetry: float = 0.0
    departure: float = 0.0
    gradient_norm: float = 0.0
    explained_variance: float = 0.0
    rate: float = 0.0
    noise: float = 0.0


#: What each minibatch is asked for, in this order.
_MEASURED = (*PARTS, "gradient_norm")


class PPO:
    """A `Learner`: one brain, one set of environments, one optimiser.

    Attributes:
        average: the brain of late, averaged over updates: steadier than the newest, and what robots get.
        progress: how much of the training is over, 0 to 1; whoever trains keeps it.
    """

    def __init__(
        self,
        brain: Brain,
        environment: Environment,
        config: PPOConfig,
        seed: int,
        threads: int = 0,
        anchor: Anchor | None = None,
    ) -> None:
        """Start all episodes.

        Args:
            brain: that learns.
            environment: that it learns in.
            config: how.
            seed: decides the exploration noise and the order of the samples.
            threads: that share the work on each minibatch; 0: as many as there are cores.
            anchor: what is to be kept of what he did before; None: nothing.
        """
        self.brain, self.environment, self.config, self._anchor = brain, environment, config, anchor
        self.progress = 0.0
        self._threads = threads or len(os.sched_getaffinity(0))
        self._pool = ThreadPoolExecutor(self._threads, "gradients")
        self._weights = list(brain.parameters())
        self.random = torch.Generator().manual_seed(seed)
        self.optimiser = torch.optim.Adam(self._weights, lr=config.rate, fused=True)
        self._averaged = AveragedModel(brain, multi_avg_fn=partial(_average, config.memory))
        self.average = cast(Brain, self._averaged.module)
        self.observation = environment.reset()
        self.rollout = Rollout(config.rollout, self.observation, brain.contract.robot.count)
        self.episodes = EpisodeLog()

    def iterate(self) -> Mapping[str, float]:
        """One rollout, one update; only then may the normalisers move, so that old and new policy compare.

        Returns:
            The fields of `UpdateStats`.

        Raises:
            BreakdownError: a loss or gradient that is no number; no weight has changed.
        """
        last_value = self.collect()
        samples = self.rollout.finish(last_value, self.config.gamma, self.config.lam)
        stats = self.update(samples)
        self.brain.normaliser.update(self.rollout.proprioception[:, :, -1])
        self._averaged.update_parameters(self.brain)
        return asdict(stats)

    @property
    def samples(self) -> int:
        """Environment steps of one `iterate`."""
        return self.environment.count * self.config.rollout

    @property
    def ready(self) -> bool:
        """Whether an exam is worth its time: nearly all is asked of him, and noise lets him live for a while."""
        lengths, enough = self.episodes.lengths, 0.25 * self.environment.limit
        grown = self.environment.level > 0.9 and len(lengths) == lengths.maxlen
        return grown and float(np.mean(lengths)) > enough

    @property
    def broken(self) -> int:
        """How often so far a robot began anew because its physics, action or reward was no number."""
        return self.environment.broken

    @property
    def averaged(self) -> Tensor:
        """How many updates the average has seen, a number that is changed in place."""
        return self._averaged.n_averaged

    def tensors(self) -> dict[str, Tensor]:
        """All tensors that it needs to go on, by part and name."""
        parts = {
            "brain": self.brain.state_dict(),
            "average": self.average.state_dict(),
            "optimiser": storage.flatten_optimiser(self.optimiser),
            "environment": {name: torch.from_numpy(a) for name, a in self.environment.state_dict().items()},
            "exploration": {"random": self.random.get_state(), "averaged": self.averaged},
        }
        if self._anchor is not None:
            parts["before"] = self._anchor.before.state_dict()
        return storage.joined(parts)

    def numbers(self) -> LearnerNumbers:
        """All it needs besides."""
        return LearnerNumbers(
            rate=self.rate,
            random=dict(self.environment.random.bit_generator.state),
            episode_returns=list(self.episodes.returns),
            episode_lengths=list(self.episodes.lengths),
            terms=self.episodes.terms,
            broken=self.broken,
        )

    def restore(self, tensors: Mapping[str, Tensor], numbers: LearnerNumbers) -> None:
        """Go on from what `tensors` and `numbers` gave.

        Raises:
            JackError: another size of brain, or another number of environments.
        """
        before = {} if self._anchor is None else {"before": self._anchor.before}
        storage.load_brains(tensors, brain=self.brain, average=self.average, **before)
        storage.restore_optimiser(self.optimiser, storage.part(tensors, "optimiser"), numbers.rate)
        exploration = storage.part(tensors, "exploration")
        self.random.set_state(exploration["random"])
        self.averaged.copy_(exploration["averaged"])
        state = {name: tensor.numpy() for name, tensor in storage.part(tensors, "environment").items()}
        if len(state["age"]) != self.environment.count:
            raise JackError(f"It has {len(state['age'])} environments; add --environments to match.")
        self.observation = self.environment.load_state_dict(state)
        self.environment.random.bit_generator.state = numbers.random
        self.environment.broken = numbers.broken
        self.episodes.restore(numbers.episode_returns, numbers.episode_lengths, numbers.terms)

    def close(self) -> None:
        """Nothing goes on beside it."""

    @torch.no_grad()
    def collect(self) -> Tensor:
        """Act for one rollout; returns the values (N,) of the states it ends in."""
        rollout, log_std = self.rollout, self.brain.log_std
        for t in range(self.config.rollout):
            mean, value = self._act(self.observation)
            action = mean + log_std.exp() * torch.randn(mean.shape, generator=self.random)
            rollout.put(t, self.observation, mean, action, log_probability(mean, log_std, action), value)
            step = self.environment.step(action.numpy())
            rollout.reward[t] = torch.from_numpy(step.reward)
            rollout.done[t] = torch.from_numpy(step.terminated | step.truncated)
            if step.final is not None:
                _, beyond = self._act(step.final)
                rollout.bootstrap(t, torch.from_numpy(step.truncated), beyond, self.config.gamma)
            self.episodes.add(step)
            self.observation = step.observation
        return self._act(self.observation)[1]

    def update(self, samples: Samples) -> UpdateStats:
        """Learn from a rollout's samples."""
        brain, old_log_std = self.brain, self.brain.log_std.detach().clone()
        explained = 1.0 - float((samples.returns - samples.value).var() / (samples.returns.var() + 1e-8))
        brain.value_normaliser.update(samples.returns[:, None])
        samples.returns = brain.value_normaliser(samples.returns[:, None]).squeeze(-1)
        samples.advantage = (samples.advantage - samples.advantage.mean()) / (samples.advantage.std() + 1e-8)
        if self._anchor is not None:
            samples.before, samples.keeps = self._anchor(samples)
        rows = [self.descend(samples, ids, old_log_std) for ids in self._minibatches(len(samples.advantage))]
        self._lower_noise(self.config.calming)
        means = {name: float(np.mean([row[name] for row in rows])) for name in _MEASURED}
        noise = float(brain.log_std.detach().exp().mean())
        return UpdateStats(**means, explained_variance=explained, rate=self.rate, noise=noise)

    def descend(self, samples: Samples, ids: Tensor, old_log_std: Tensor) -> dict[str, float]:
        """One step of the optimiser on some of the samples.

        Args:
            samples: with advantages and returns normalised.
            ids: of those to learn from.
            old_log_std: of the policy that made them, (n,).

        Returns:
            What is to be logged, by name.

        Raises:
            BreakdownError: a loss or gradient that is no number; no weight has changed.
        """

        def learn(rows: Tensor) -> tuple[Tensor, list[Tensor | None]]:
            part, share = samples.rows(rows), len(rows) / len(ids)
            loss, measured = ppo_loss(self.brain, part, self.config, old_log_std)
            gradients = torch.autograd.grad(share * loss, self._weights, allow_unused=True)
            return share * measured, list(gradients)

        # Tensors are so small that torch's own threads would wait for each other most of the time.
        measured, gradients = zip(*self._pool.map(learn, ids.chunk(self._threads)), strict=True)
        for weight, slices in zip(self._weights, zip(*gradients, strict=True), strict=True):
            weight.grad = None if slices[0] is None else torch.stack(slices).sum(0)
        norm = torch.nn.utils.clip_grad_norm_(self._weights, self.config.gradient_norm)
        found: dict[str, float] = dict(
            zip(_MEASURED, [*torch.stack(measured).sum(0).tolist(), float(norm)], strict=True)
        )
        if not all(math.isfinite(found[name]) for name in ("policy_loss", "value_loss", "gradient_norm")):
            raise BreakdownError(found, self.brain, self.config, samples.rows(ids), old_log_std)
        self._adapt(found["divergence"])
        self.optimiser.step()
        self._lower_noise()
        return found

    @property
    def rate(self) -> float:
        """The step size now."""
        return self.optimiser.param_groups[0]["lr"]

    @property
    def aim(self) -> float:
        """The divergence that the step size aims at now: great steps to find a gait, small ones to polish it."""
        first, last, begin = self.config.divergence, self.config.last_divergence, self.config.polish_from
        return first * (last / first) ** (max(0.0, self.progress - begin) / (1.0 - begin))

    def _adapt(self, moved: float) -> None:
        """Halve the distance to the divergence aimed at, by factors of 1.5 (rsl_rl)."""
        aim, (low, high) = self.aim, self.config.rate_bounds
        if moved > 2 * aim:
            self.optimiser.param_groups[0]["lr"] = max(low, self.rate / 1.5)
        elif moved < aim / 2:
            self.optimiser.param_groups[0]["lr"] = min(high, self.rate * 1.5)

    @torch.no_grad()
    def _lower_noise(self, share: float = 0.0) -> None:
        """Lower the exploration noise by a share, but not below its floor."""
        widen(self.brain.log_std.add_(math.log1p(-share)), self.config.noise)

    def _act(self, observation: Observation) -> tuple[Tensor, Tensor]:
        """Mean action (N, n) and value in units of return (N,)."""
        output = self.brain(inputs(observation))
        return output.mean, self.brain.value_normaliser.restore(output.value).squeeze(-1)

    def _minibatches(self, count: int) -> Iterator[Tensor]:
        """Every sample's number once an epoch, in random order."""
        for _ in range(self.config.epochs):
            yield from torch.randperm(count, generator=self.random).chunk(self.config.minibatches)


def _average(memory: float, average: PARAM_LIST, newest: PARAM_LIST, count: Tensor | int) -> None:
    """Move the average towards the newest; faster while there were few, for the first ones knew little."""
    remembered = memory * (1 + int(count))
    get_ema_multi_avg_fn(remembered / (1 + remembered))(average, newest, count)


class BreakdownError(LearningError):
    """Where PPO broke down, and what led to it.

    Attributes:
        brain: whose weights are as they were.
        config: how it was to learn.
        samples: that were learnt from.
        old_log_std: of the policy that made them.
    """

    def __init__(
        self,
        measured: Mapping[str, float],
        brain: Brain,
        config: PPOConfig,
        samples: Samples,
        old_log_std: Tensor,
    ) -> None:
        super().__init__(measured)
        self.brain, self.config, self.samples, self.old_log_std = brain, config, samples, old_log_std
