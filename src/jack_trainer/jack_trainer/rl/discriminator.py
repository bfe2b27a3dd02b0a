"""A judge of style: a small network that learns to tell how a clip moves from how a policy does.

Least squares (for motions: "AMP", Peng et al. 2021, arXiv 2104.02180): D is to be 1 for the clip and -1 for the
policy, and 1 - (D - 1)^2 / 4 is paid. Or Wasserstein's distance with a bounded critic ("HumanMimic", Tang et al.
2023, arXiv 2309.14225): tanh D is to be as far apart as it can, and (1 + tanh D) / 2 is paid. In both a penalty on
the gradient at the samples of both (Mescheder et al. 2018, arXiv 1801.04406) keeps the judge from being sure of
trifles: from where a policy is, he has to say which way is better.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from jack_brain.network.normaliser import RunningNormaliser
from jack_contract.arrays import Float32
from jack_contract.errors import JackError, UnknownNameError
from jack_trainer import checkpoint as storage
from jack_trainer.learner import LearningError

LEAST_SQUARES, WASSERSTEIN = "least-squares", "wasserstein"
#: Normalised numbers beyond this are as good as this.
_CLIP = 5.0


@dataclass(frozen=True)
class JudgeConfig:
    """How a judge learns."""

    #: LEAST_SQUARES or WASSERSTEIN
    form: str = LEAST_SQUARES
    #: units of its hidden layers
    hidden: tuple[int, ...] = (128, 64)
    #: step size
    rate: float = 3e-4
    #: weight of the penalty on the squared length of the gradient at the samples
    penalty: float = 5.0
    #: weights shrink by this share of the step size, for none of them is needed much
    decay: float = 1e-2
    #: minibatches for each rollout, and the samples of policy and clip in one, so many of each
    minibatches: int = 6
    batch: int = 384
    #: samples of former policies that are kept: who only knew the newest would forget what was wrong before
    memory: int = 12_288
    #: samples of the newest policy that are added to them after each rollout
    kept: int = 1024
    #: noise on all that it sees while it learns, in standard deviations: an exploring policy trembles, a clip does
    #: not, and nothing else would be learnt
    blur: float = 0.2

    def __post_init__(self) -> None:
        if self.form not in (LEAST_SQUARES, WASSERSTEIN):
            raise UnknownNameError("form of a judge", self.form, (LEAST_SQUARES, WASSERSTEIN))
        counts = (self.minibatches, self.batch, self.memory, self.kept, *self.hidden)
        if not all(count >= 1 for count in counts) or not 0 < self.rate < 1 or min(self.penalty, self.blur) < 0:
            raise JackError(f"A judge needs counts of 1 and more and no negative weights, given: {self}.")


class Judge:
    """Says how much a movement is like a clip's, and learns to."""

    def __init__(self, example: Float32, config: JudgeConfig, seed: int) -> None:
        """Know the clip, and nothing yet of any policy.

        Args:
            example: movements of the clip, (K, D).
            config: how to learn.
            seed: decides its first weights and what it looks at.
        """
        self.config = config
        self.random = torch.Generator().manual_seed(seed)
        self._example = torch.from_numpy(example)
        size = example.shape[-1]
        self.normaliser = RunningNormaliser(size, _CLIP)
        self.normaliser.update(self._example)
        self.network = _network((size, *config.hidden), self.random)
        self.optimiser = torch.optim.AdamW(
            self.network.parameters(), lr=config.rate, weight_decay=config.decay, fused=True
        )
        self._memory = torch.zeros(config.memory, size)
        self._written = torch.zeros((), dtype=torch.int64)

    @torch.no_grad()
    def like(self, movements: Float32) -> Float32:
        """How much movements (N, D) are like the clip's, from 0 to 1, (N,)."""
        said = self.network(self.normaliser(torch.from_numpy(movements))).squeeze(-1)
        if self.config.form == WASSERSTEIN:
            return (0.5 + 0.5 * said.tanh()).numpy()
        return (1.0 - 0.25 * (said - 1.0).square()).clamp(min=0.0).numpy()

    def learn(self, movements: Float32, weights: Float32) -> dict[str, float]:
        """Look at a rollout.

        Args:
            movements: of the policy, (B, D).
            weights: how much each counts; those that count nothing are never looked at, (B,).

        Returns:
            Means, by name; empty if none counted.

        Raises:
            LearningError: a loss that is no number; no weight has changed.
        """
        chances = torch.from_numpy(weights)
        if not float(chances.sum()) > 0.0:
            return {}
        chosen = torch.multinomial(chances, self.config.kept, replacement=True, generator=self.random)
        newest = torch.from_numpy(movements)[chosen]
        self._remember(newest)
        rows = [self._descend(newest) for _ in range(self.config.minibatches)]
        with torch.no_grad():
            self.normaliser.update(torch.cat((newest, self._some(self._example, len(newest)))))
        return {name: float(np.mean([row[name] for row in rows])) for name in rows[0]}

    def tensors(self) -> dict[str, Tensor]:
        """All that decides what it says and learns."""
        parts = {
            "network": self.network.state_dict(),
            "normaliser": self.normaliser.state_dict(),
            "optimiser": storage.flatten_optimiser(self.optimiser),
            "memory": {"rows": self._memory, "written": self._written},
            "chance": {"random": self.random.get_state()},
        }
        return storage.joined(parts)

    def restore(self, tensors: Mapping[str, Tensor]) -> None:
        """Go on from `tensors` of a judge of the same size.

        Raises:
            JackError: of another one.
        """
        try:
            self.network.load_state_dict(storage.part(tensors, "network"))
            self.normaliser.load_state_dict(storage.part(tensors, "normaliser"))
            self._memory.copy_(tensors["memory.rows"])
        except (RuntimeError, KeyError) as error:
            raise JackError("It holds a judge of style of another size, or none; start the phase anew.") from error
        storage.restore_optimiser(self.optimiser, storage.part(tensors, "optimiser"), self.config.rate)
        self._written.copy_(tensors["memory.written"])
        self.random.set_state(tensors["chance.random"])

    def _remember(self, newest: Tensor) -> None:
        """Write over the oldest."""
        size = self.config.memory
        places = (int(self._written) + torch.arange(len(newest))) % size
        self._memory[places] = newest
        self._written += len(newest)

    def _some(self, rows: Tensor, count: int) -> Tensor:
        return rows[torch.randint(len(rows), (count,), generator=self.random)]

    def _blurred(self, rows: Tensor) -> Tensor:
        seen = self.normaliser(rows)
        return seen + self.config.blur * torch.randn(seen.shape, generator=self.random)

    def _descend(self, newest: Tensor) -> dict[str, float]:
        """One step of the optimiser: half of the policy's samples are new, half remembered."""
        half = max(1, self.config.batch // 2)
        remembered = self._memory[: min(int(self._written), self.config.memory)]
        with torch.no_grad():
            policy = self._blurred(torch.cat((self._some(newest, half), self._some(remembered, half))))
            clip = self._blurred(self._some(self._example, self.config.batch))
        both = torch.cat((policy, clip)).requires_grad_(True)
        said = self.network(both)
        of_policy, of_clip = said.split((len(policy), len(clip)))
        (slope,) = torch.autograd.grad(said.sum(), both, create_graph=True)
        steep = slope.square().sum(-1).mean()
        loss = self._apart(of_policy, of_clip) + self.config.penalty * steep
        if not math.isfinite(float(loss.detach())):
            raise LearningError({"style_loss": float(loss.detach()), "style_penalty": float(steep.detach())})
        self.optimiser.zero_grad()
        loss.backward()
        self.optimiser.step()
        told = {"loss": loss, "penalty": steep, "policy": of_policy.mean(), "clip": of_clip.mean()}
        right = (of_policy < 0).float().mean() + (of_clip > 0).float().mean()
        return {name: float(value.detach()) for name, value in told.items()} | {"right": 0.5 * float(right)}

    def _apart(self, policy: Tensor, clip: Tensor) -> Tensor:
        """What is to be small: how badly the two are told apart."""
        if self.config.form == WASSERSTEIN:
            return policy.tanh().mean() - clip.tanh().mean()
        return 0.5 * ((policy + 1.0).square().mean() + (clip - 1.0).square().mean())


def _network(sizes: tuple[int, ...], random: torch.Generator) -> nn.Sequential:
    """A perceptron with one output, at first nearly undecided."""
    layers: list[nn.Module] = []
    for before, after in zip((*sizes,), (*sizes[1:], 1), strict=True):
        linear = nn.Linear(before, after)
        nn.init.orthogonal_(linear.weight, 2**0.5 if after > 1 else 0.1, generator=random)
        nn.init.zeros_(linear.bias)
        layers += [linear, nn.ReLU()]
    return nn.Sequential(*layers[:-1])
