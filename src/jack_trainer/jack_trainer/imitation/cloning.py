"""Behaviour cloning: make likelier what was demonstrated, without forgetting what was practised.

    L(theta) = -(1 - s) E_demonstrated[log pi(a | o)] - s E_practised[log pi(a* | o)]

a* is what a teacher would have done (see `dagger`): who can do it, or the brain itself as it was before, so
that it keeps what it knew. What is demonstrated is learnt until episodes that were held out get no likelier; robots
get the average that they were likeliest under. Where a brain that could do something already learns without
practice, they get weights between those and the ones before, which do what was demonstrated and still what the
brain could (WiSE-FT, Wortsman et al. 2022, arXiv 2109.01903). The value readout is left alone: nobody said what
anything is worth.
"""

from __future__ import annotations

import copy
import hashlib
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from jack_brain.network.brain import Brain, Inputs
from jack_contract.errors import JackError
from jack_trainer.checkpoint import LearnerNumbers, flatten_optimiser, joined, load_brains, part, restore_optimiser
from jack_trainer.evaluate import Actor
from jack_trainer.imitation.dagger import Practice, PracticeConfig
from jack_trainer.imitation.dataset import Demonstrations, samples
from jack_trainer.imitation.samples import Rows, Samples
from jack_trainer.learner import LearningError
from jack_trainer.rl.acting import actor
from jack_trainer.rl.episodes import EpisodeLog
from jack_trainer.rl.gaussian import log_probability, widen
from jack_trainer.tasks.environment import Environment

#: Of what is held out, so many samples are looked at, evenly spread.
_LOOKED_AT = 4096


@dataclass(frozen=True)
class CloningConfig:
    """How a brain learns from demonstrations."""

    #: samples of one step
    batch: int = 1024
    #: steps of one `iterate`
    steps: int = 25
    #: share of each batch that comes from practice, where a teacher says what is to be done there
    practised: float = 0.5
    #: and where it is rehearsal: as much as the demonstrations would hold him where he was
    rehearsed: float = 0.1
    #: step size at first; it falls to a tenth along a cosine
    rate: float = 1e-3
    #: gradients longer than this are shortened to it
    gradient_norm: float = 1.0
    #: the spread of actions never falls below this, in units of action
    noise: float = 0.1
    #: how much of the average stays in each step
    memory: float = 0.995
    #: how much of the weights before stays in what robots get, where a brain that can do something already learns
    #: without practice
    kept: float = 0.2
    #: share of the episodes, and of the practice, that is held out
    held_out: float = 0.1
    #: learning is over when what is held out got no likelier in so many looks, one an `iterate`
    patience: int = 12
    #: what is practised beside the demonstrations; None: nothing
    practice: PracticeConfig | None = PracticeConfig()
    #: times that it learns between two rounds of practice
    between: int = 4


class Cloning:
    """A `Learner` from demonstrations.

    Attributes:
        average: what robots get: of all averages so far the one under which what is held out was likeliest.
        progress: how much of the training is over, 0 to 1; whoever trains keeps it.
        over: whether there is nothing more to be learnt.
        bags: the SHA-256 of every bag that is learnt from.
    """

    def __init__(
        self,
        brain: Brain,
        demonstrations: Demonstrations | None,
        config: CloningConfig,
        seed: int,
        environment: Environment | None = None,
        teacher: Actor | None = None,
        folder: Path = Path(),
    ) -> None:
        """Make ready.

        Args:
            brain: that learns.
            demonstrations: to be learnt from; None: it learns from practice alone.
            config: how.
            seed: decides the order of the samples, and who acts in practice.
            environment: to practise in; None: nothing is practised.
            teacher: says what should be done in practice; None: the brain as it is now, which is rehearsal.
            folder: of what is practised.

        Raises:
            JackError: there is nothing to learn from.
        """
        self.brain, self.config, self.progress = brain, config, 0.0
        self._old = None if teacher else copy.deepcopy(brain).requires_grad_(False)
        self._practice = None
        if config.practice is not None and environment is not None:
            taught = teacher or actor(cast(Brain, self._old))
            self._practice = Practice(environment, taught, brain.contract, config.practice, seed, folder)
        if demonstrations is None and self._practice is None:
            raise JackError("Cloning needs demonstrations, or a place to practise and a teacher.")
        self.bags: Sequence[str] = demonstrations.digests if demonstrations else ()
        learnt, held = demonstrations.split(config.held_out) if demonstrations else ([], [])
        self._demonstrated = samples(learnt, brain.contract), samples(held, brain.contract)
        self._practised = samples([], brain.contract), samples([], brain.contract)
        self.random, self._chance = torch.Generator().manual_seed(seed), np.random.default_rng(seed)
        value = {id(weight) for weight in brain.value_head.parameters()}
        self._weights = [weight for weight in brain.parameters() if id(weight) not in value]
        self.optimiser = torch.optim.Adam(self._weights, lr=config.rate, fused=True)
        self._fits = float(brain.normaliser.count) == 0.0
        if self._fits and demonstrations:
            self._normalise(self._demonstrated[0])
        self._running = AveragedModel(brain, multi_avg_fn=get_ema_multi_avg_fn(config.memory))
        self.average = copy.deepcopy(brain)
        self.over, self._count, self._stale, self._best = False, 0, 0, math.inf

    @property
    def episodes(self) -> EpisodeLog:
        """Of the robots in practice."""
        return self._practice.episodes if self._practice else EpisodeLog()

    @property
    def samples(self) -> int:
        """Samples that one `iterate` learns from."""
        return self.config.batch * self.config.steps

    @property
    def practised(self) -> int:
        """Samples of practice so far, those that are held out included."""
        return sum(map(len, self._practised))

    @property
    def ready(self) -> bool:
        """Whether an exam is worth its time: all was practised, and not much more is learnt."""
        return self._all_practised and 2 * self._stale >= self.config.patience

    @property
    def broken(self) -> int:
        """How often so far a robot began anew because its physics or action was no number."""
        return self._practice.environment.broken if self._practice else 0

    @property
    def rate(self) -> float:
        """The step size now."""
        return self.optimiser.param_groups[0]["lr"]

    def iterate(self) -> Mapping[str, float]:
        """Practise if it is time, learn, and look how likely is what was held out; nothing once it is over."""
        if not self.over and self._count % self.config.between == 0 and not self._all_practised:
            self._go_on_practising()
        found = [self._descend() for _ in range(0 if self.over else self.config.steps)]
        self._count += 1
        loss, norm = np.mean(found, axis=0).tolist() if found else (math.nan, math.nan)
        looked = self._look()
        spread = float(self.brain.log_std.detach().exp().mean())
        measured = {"loss": loss, "gradient_norm": norm, "noise": spread, "rate": self.rate, **looked}
        return measured | {"rounds": float(len(self._practice.rounds) if self._practice else 0)}

    def tensors(self) -> dict[str, Tensor]:
        """See `Learner.tensors`. What was practised lies in files beside; it is too much for a checkpoint."""
        counts = {"count": self._count, "stale": self._stale, "over": self.over, "fits": self._fits}
        counts |= {"rounds": len(self._practice.rounds) if self._practice else 0}
        parts = {
            "brain": self.brain.state_dict(),
            "average": self.average.state_dict(),
            "running": self._running.state_dict(),
            "optimiser": flatten_optimiser(self.optimiser),
            "cloning": {name: torch.tensor(int(number)) for name, number in counts.items()}
            | {"best": torch.tensor(self._best, dtype=torch.float64), "bags": self._mark_of_bags()}
            | {"random": self.random.get_state()},
        }
        if self._old is not None:
            parts["old"] = self._old.state_dict()
        if self._practice is not None:
            state = self._practice.environment.state_dict()
            parts["environment"] = {name: torch.from_numpy(array) for name, array in state.items()}
        return joined(parts)

    def numbers(self) -> LearnerNumbers:
        """See `Learner.numbers`."""
        chance = self._practice.environment.random if self._practice else self._chance
        log = self.episodes
        return LearnerNumbers(
            rate=self.rate,
            random=dict(chance.bit_generator.state),
            episode_returns=list(log.returns),
            episode_lengths=list(log.lengths),
            terms=log.terms,
            broken=self.broken,
        )

    def restore(self, tensors: Mapping[str, Tensor], numbers: LearnerNumbers) -> None:
        """See `Learner.restore`."""
        own = part(tensors, "cloning")
        if not own or not torch.equal(own["bags"], self._mark_of_bags()):
            raise JackError("It learnt from other bags. Name the same ones, or start anew without --resume.")
        old = {} if self._old is None else {"old": self._old}
        load_brains(tensors, brain=self.brain, average=self.average, running=self._running, **old)
        restore_optimiser(self.optimiser, part(tensors, "optimiser"), numbers.rate)
        self.random.set_state(own["random"])
        self._count, self._stale, self._best = int(own["count"]), int(own["stale"]), float(own["best"])
        self.over, self._fits = bool(own["over"]), bool(own["fits"])
        if self._practice is not None:
            self._restore_practice(self._practice, part(tensors, "environment"), int(own["rounds"]), numbers)

    def close(self) -> None:
        """Nothing goes on beside it."""

    def _restore_practice(
        self, practice: Practice, state: Mapping[str, Tensor], rounds: int, numbers: LearnerNumbers
    ) -> None:
        practice.resume({name: tensor.numpy() for name, tensor in state.items()}, numbers.random, rounds)
        practice.episodes.restore(numbers.episode_returns, numbers.episode_lengths, numbers.terms)
        practice.environment.broken = numbers.broken
        self._take_up(practice.rounds)

    # -- what is learnt from

    @property
    def _all_practised(self) -> bool:
        return self._practice is None or self._practice.over

    def _go_on_practising(self) -> None:
        """One more round; what is held out is another thing then, and the best average so far is not."""
        assert self._practice is not None
        self._practice.go_on(actor(self.brain))
        self._take_up(self._practice.rounds)
        if self._fits:
            self._normalise(self._samples_of(self._practice.rounds[-1:])[0])
        self._best, self._stale = math.inf, 0

    def _take_up(self, rounds: Sequence[Rows]) -> None:
        self._practised = self._samples_of(rounds)

    def _samples_of(self, rounds: Sequence[Rows]) -> tuple[Samples, Samples]:
        """Of rounds (N, T): to learn from, and, from the last environments, held out."""
        history = self.brain.contract.observation.history
        held = [round(self.config.held_out * len(rows)) for rows in rounds]
        learnt = [rows[: len(rows) - last].ravel() for rows, last in zip(rounds, held, strict=True)]
        others = [rows[len(rows) - last :].ravel() for rows, last in zip(rounds, held, strict=True)]
        return Samples(learnt, history), Samples(others, history)

    def _normalise(self, learnt: Samples) -> None:
        """Let a brain that has seen nothing yet see how large what it sees is."""
        self.brain.normaliser.update(torch.from_numpy(learnt.frames()))

    def _mark_of_bags(self) -> Tensor:
        """Of which bags these are, as numbers."""
        return torch.tensor(list(hashlib.sha256("\n".join(sorted(self.bags)).encode()).digest()), dtype=torch.uint8)

    # -- learning

    def _descend(self) -> tuple[float, float]:
        """One step of the optimiser; returns the loss and the gradient's length."""
        self.optimiser.param_groups[0]["lr"] = self._rate_now
        loss = torch.zeros(())
        for source, share in self._shares(0):
            ids = torch.randint(len(source), (round(share * self.config.batch),), generator=self.random)
            loss = loss + share * self._surprise(self.brain, source, ids.numpy())
        gradients = torch.autograd.grad(loss, self._weights, allow_unused=True)
        for weight, gradient in zip(self._weights, gradients, strict=True):
            weight.grad = gradient
        norm = torch.nn.utils.clip_grad_norm_(self._weights, self.config.gradient_norm)
        measured = {"loss": float(loss.detach()), "gradient_norm": float(norm)}
        if not all(map(math.isfinite, measured.values())):
            raise LearningError(measured)
        self.optimiser.step()
        widen(self.brain.log_std, self.config.noise)
        self._running.update_parameters(self.brain)
        return measured["loss"], measured["gradient_norm"]

    @property
    def _rate_now(self) -> float:
        return self.config.rate * (0.1 + 0.45 * (1.0 + math.cos(math.pi * min(1.0, self.progress))))

    def _shares(self, which: int) -> list[tuple[Samples, float]]:
        """What is learnt from (0) or held out (1), as far as there is any, and its share."""
        demonstrated, practised = self._demonstrated[which], self._practised[which]
        share = self.config.practised if self._old is None else self.config.rehearsed
        if not len(demonstrated) or not len(practised):
            share = float(not len(demonstrated))
        parts = [(demonstrated, 1.0 - share), (practised, share)]
        return [(source, weight) for source, weight in parts if len(source) and weight > 0.0]

    def _surprise(self, brain: Brain, source: Samples, ids: NDArray[np.int64]) -> Tensor:
        """How unlikely the actions of some samples are: their mean negative log density [nat]."""
        batch = source.take(ids)
        seen = Inputs(torch.from_numpy(batch.proprioception), torch.from_numpy(batch.command))
        mean = brain(seen, value=False).mean
        return -log_probability(mean, brain.log_std, torch.from_numpy(batch.action)).mean()

    @torch.no_grad()
    def _look(self) -> dict[str, float]:
        """How unlikely what was held out is under the average of late; keep that, if it was never likelier."""
        newest = cast(Brain, self._running.module)
        shares = self._shares(1)
        if self.over or not shares:
            if not self.over:
                self._take(newest)
            return {}
        surprise = sum(share * float(self._surprise(newest, source, _spread(source))) for source, share in shares)
        if surprise < self._best:
            self._take(newest)
            self._best, self._stale = surprise, 0
        else:
            self._stale += 1
            self.over = self._all_practised and self._stale >= self.config.patience
        return {"held_out": surprise, "best": self._best}

    def _take(self, newest: Brain) -> None:
        """Robots get this, with as much as is kept of what the brain was before."""
        weights, kept = newest.state_dict(), self.config.kept
        if kept and self._old is not None and not self._fits and self._practice is None:
            before = self._old.state_dict()
            floats = [name for name, tensor in weights.items() if tensor.is_floating_point()]
            weights |= {name: torch.lerp(weights[name], before[name], kept) for name in floats}
        self.average.load_state_dict(weights)


def _spread(source: Samples) -> NDArray[np.int64]:
    """Numbers of samples, evenly spread over all."""
    return np.linspace(0, len(source) - 1, min(_LOOKED_AT, len(source))).astype(np.int64)
