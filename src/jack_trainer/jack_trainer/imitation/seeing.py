"""Seeing and understanding: what is seen and said becomes what the arms do, and nothing that was learnt is lost.

What it is to make small is in `seeing_loss.py`. Now and then something is kept from him (`withholding.py`).
"""

from __future__ import annotations

import copy
import math
import os
import time
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import cast

import numpy as np
import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from jack_brain.network.brain import Brain
from jack_contract.errors import JackError
from jack_trainer.checkpoint import LearnerNumbers, flatten_optimiser, joined, load_brains, part, restore_optimiser
from jack_trainer.device import device_named
from jack_trainer.imitation.augment import AugmentConfig, augment
from jack_trainer.imitation.prefetch import Prefetch
from jack_trainer.imitation.samples import Samples
from jack_trainer.imitation.scenes import SceneBatch, Scenes, SceneSamples, opposites
from jack_trainer.imitation.seeing_loss import PARTS, Batch, Objective, answer
from jack_trainer.imitation.thawing import freeze, groups, rates
from jack_trainer.imitation.withholding import withhold
from jack_trainer.learner import LearningError
from jack_trainer.rl.episodes import EpisodeLog
from jack_trainer.tasks.instructions import Skill

#: Of what is held out, so many samples are looked at, evenly spread.
_LOOKED_AT = 512
#: Numbers of the skills that push, as `SceneBatch.deed` has them.
_PUSHES = [index for index, skill in enumerate(Skill) if skill.pushes]


@dataclass(frozen=True)
class SeeingConfig:
    """How a brain learns from demonstrations that are seen and told."""

    #: samples of one step, and steps of one `iterate`
    batch: int = 128
    steps: int = 25
    #: step size at first; it falls to a hundredth along a cosine
    rate: float = 1e-3
    #: the eyes learn from this share of the training on: 0 for new ones; later for some that can see already
    eyes_from: float = 0.0
    #: what walks learns from this share of the training on ...
    body_from: float = 0.05
    #: ... at this part of the step size
    body_rate: float = 0.5
    #: gradients longer than this are shortened to it
    gradient_norm: float = 1.0
    #: how much of the average stays in each step
    memory: float = 0.998
    #: weights of the place's error, of where it is in the picture, of how much is done, of which deed he was told,
    #: and of rehearsal
    place: float = 1.0
    attention: float = 0.3
    done: float = 0.1
    deed: float = 0.1
    rehearsal: float = 1.0
    #: samples of each step that are rehearsed from walking, beside those of the scenes
    rehearsed: int = 64
    #: share of samples whose picture is withheld, and whose sentence is, each on its own
    blind: float = 0.1
    deaf: float = 0.1
    #: share of samples that show a body at rest, of those that name an object
    still: float = 0.5
    #: how pictures are changed; None: not at all
    augment: AugmentConfig | None = AugmentConfig()
    #: iterates between two looks at what is held out
    look: int = 10

    def __post_init__(self) -> None:
        shares = (self.eyes_from, self.body_from, self.blind, self.deaf, self.still)
        if min(self.batch, self.steps, self.look) < 1 or self.rehearsed < 0 or self.rate <= 0:
            raise JackError(f"Seeing needs batch, steps, look and rate above 0, given: {self}.")
        if not all(0 <= share <= 1 for share in shares) or not 0 <= self.memory < 1:
            raise JackError(f"Shares are 0 to 1, given: {self}.")


class Seeing:
    """A `Learner` from scenes.

    Attributes:
        average: what robots get: the weights of late, averaged; on the processor, wherever he learns.
        progress: how much of the training is over, 0 to 1; whoever trains keeps it.
        episodes: none.
    """

    def __init__(
        self,
        brain: Brain,
        scenes: Sequence[Scenes],
        config: SeeingConfig,
        seed: int,
        held_out: Sequence[Scenes] = (),
        walking: Samples | None = None,
        threads: int = 0,
        device: str = "cpu",
    ) -> None:
        """Make ready.

        Args:
            brain: that learns; it makes chunks, and can walk already.
            scenes: to learn from.
            config: how.
            seed: decides the order of the samples, and all else that is chance.
            held_out: scenes that are only looked at.
            walking: what he felt and was asked while he walked, to be rehearsed; None: only what the scenes have.
            threads: that share the work; 0: as many as there are cores, or one beside a graphics card.
            device: where he learns, and the brain is moved to: cpu, cuda, or auto.

        Raises:
            JackError: the brain makes no chunks, there is nothing to learn from, or no such device.
        """
        if brain.chunk_head is None:
            raise JackError("To learn what is seen a brain needs a head for chunks: give it a ChunkSpec.")
        self._device = device_named(device)
        self.brain, self.config, self.progress, self.episodes = brain, config, 0.0, EpisodeLog()
        self._head, self._seed, self._walking = brain.chunk_head, seed, walking
        history, length = brain.contract.observation.history, self._head.shape[0]
        self._scenes = SceneSamples(scenes, history, length)
        self._held = SceneSamples(held_out, history, length)
        if not len(self._scenes):
            raise JackError("There is no sample to learn from in these scenes.")
        if float(self._head.normaliser.count) == 0.0:
            self._head.normaliser.update(torch.from_numpy(self._scenes.chunks()))
        self.average = copy.deepcopy(brain).cpu()
        brain.to(self._device)
        self._before = copy.deepcopy(brain).requires_grad_(False)
        counts = {"chunk": 1.0} | {part: getattr(config, part) for part in PARTS if part != "chunk"}
        self._objective = Objective(brain, self._before, counts)
        self._threads = threads or (len(os.sched_getaffinity(0)) if self._device.type == "cpu" else 1)
        self._makers = 1 if self._device.type == "cpu" else max(1, min(4, len(os.sched_getaffinity(0)) // 2))
        self._pool = ThreadPoolExecutor(self._threads, "gradients")
        kinds = groups(brain).values()
        self._weights = [weight for group in kinds for weight in group]
        self.optimiser = torch.optim.Adam([{"params": group} for group in kinds], lr=config.rate, fused=True)
        self._averaged = AveragedModel(brain, multi_avg_fn=get_ema_multi_avg_fn(config.memory))
        self._count, self._prefetch = 0, cast("Prefetch[Batch] | None", None)

    @property
    def samples(self) -> int:
        """Samples that one `iterate` learns from."""
        return self.config.batch * self.config.steps

    @property
    def ready(self) -> bool:
        """Whether an exam is worth its time: the step size is small."""
        return self.progress > 0.8

    @property
    def broken(self) -> int:
        """Nobody acts, so nobody breaks down."""
        return 0

    def iterate(self) -> Mapping[str, float]:
        """Learn once, and look at what is held out now and then."""
        self._prefetch = self._prefetch or Prefetch(self._make, self._count, self._makers)
        waited = self._prefetch.waited
        rows, begun = [], time.perf_counter()
        for _ in range(self.config.steps):
            rows.append(self._descend(self._prefetch.take()))
            self._count += 1
        self.average.load_state_dict(self._averaged.module.state_dict())
        took = time.perf_counter() - begun
        means = np.mean(rows, axis=0).tolist()
        measured: dict[str, float] = dict(zip((*PARTS, "gradient_norm"), means, strict=True))
        measured["waited_share"] = (self._prefetch.waited - waited) / took
        measured |= {"rate": self._rates()["new"], "samples_per_second": self.samples / took}
        if len(self._held) and (self._count // self.config.steps) % self.config.look == 1:
            measured |= self.look()
        return measured

    def close(self) -> None:
        """Make no more batches ahead."""
        if self._prefetch is not None:
            self._prefetch.close()
            self._prefetch = None

    def tensors(self) -> dict[str, Tensor]:
        """See `Learner.tensors`."""
        parts = {
            "brain": self.brain.state_dict(),
            "average": self.average.state_dict(),
            "before": self._before.state_dict(),
            "optimiser": flatten_optimiser(self.optimiser),
            "seeing": {"count": torch.tensor(self._count), "averaged": self._averaged.n_averaged},
        }
        return joined(parts)

    def numbers(self) -> LearnerNumbers:
        """See `Learner.numbers`; each batch has its own chance, from the seed and its number."""
        state = np.random.default_rng(self._seed).bit_generator.state
        return LearnerNumbers(rate=self._rates()["new"], random=dict(state))

    def restore(self, tensors: Mapping[str, Tensor], numbers: LearnerNumbers) -> None:
        """See `Learner.restore`."""
        own = part(tensors, "seeing")
        if not own or dict(numbers.random) != dict(self.numbers().random):
            raise JackError("It learnt otherwise, or from another seed. Start anew, without --resume.")
        load_brains(tensors, brain=self.brain, average=self.average, before=self._before)
        self._averaged.module.load_state_dict(self.average.state_dict())
        restore_optimiser(self.optimiser, part(tensors, "optimiser"), numbers.rate)
        self._averaged.n_averaged.copy_(own["averaged"])
        self._count = int(own["count"])
        self.close()

    @torch.no_grad()
    def look(self, instruction: bool = True, image: bool = True) -> dict[str, float]:
        """What the average makes of what is held out, with both, or without what is said or seen.

        Returns:
            The chunk's root mean square error in standard deviations, the median error of the place [m], and, where
            something is pushed, the share in which the chunk would be further off if he were told the other side:
            who does not listen has 0.5.
        """
        ids = np.linspace(0, len(self._held) - 1, min(_LOOKED_AT, len(self._held))).astype(np.int64)
        error, miss = self._errors(self._held.take(ids, np.random.default_rng(0)), instruction, image)
        found = {"held_out_chunk": float(error.mean().sqrt()), "held_out_place": float(miss.nanmedian())}
        other = self._held.take(ids, np.random.default_rng(0), opposites())
        pushed = torch.from_numpy(np.isin(other.deed, _PUSHES)).to(self._device)
        if pushed.any():
            misled, _ = self._errors(other, instruction, image)
            found["held_out_listens"] = float((error < misled)[pushed].float().mean())
        return found

    def _errors(self, batch: SceneBatch, instruction: bool, image: bool) -> tuple[Tensor, Tensor]:
        """Of the average's chunks, mean square in variances, (B,), and of the places that it tells, (B,) [m]."""
        seen = self._tensors(batch)
        whole = torch.ones(len(batch.deed), dtype=torch.bool, device=self._device)
        withhold(seen, whole & (not image), whole & (not instruction))
        average = cast(Brain, self._averaged.module)
        head = average.chunk_head
        assert head is not None
        features, _ = answer(average, seen)
        error = (head.normaliser(head(features)[0]) - head.normaliser(seen["chunk"])).square().mean(dim=(1, 2))
        _, place, _, _ = head.errors(features, seen["chunk"], self._generator(0))
        return error, (place - seen["place"]).norm(dim=-1)

    # -- batches

    def _make(self, number: int) -> Batch:
        """Batch `number`, whoever asks, whenever."""
        config, random = self.config, np.random.default_rng((self._seed, number))
        chance = self._generator(int(random.integers(2**62)))
        ids = random.integers(len(self._scenes), size=config.batch)
        seen = self._tensors(self._scenes.take(ids, random))
        if config.augment is not None:
            seen["image"] = augment(seen["image"], config.augment, chance)
        drawn = torch.rand(3, config.batch, generator=chance, device=self._device)
        blind, deaf, still = drawn[0] < config.blind, drawn[1] < config.deaf, drawn[2] < config.still
        withhold(seen, blind, deaf)
        still &= seen["place"].isfinite().all(dim=-1)
        return Batch(seen, ~(blind | deaf), ~deaf, still, self._walked(random), int(random.integers(2**62)))

    def _walked(self, random: np.random.Generator) -> tuple[Tensor, Tensor] | None:
        if self._walking is None or not len(self._walking) or not self.config.rehearsed:
            return None
        ids = np.sort(random.integers(len(self._walking), size=self.config.rehearsed))
        batch = self._walking.take(ids)
        frames, command = torch.from_numpy(batch.proprioception), torch.from_numpy(batch.command)
        return frames.to(self._device), command.to(self._device)

    def _tensors(self, batch: SceneBatch) -> dict[str, Tensor]:
        return {name: torch.from_numpy(array).to(self._device) for name, array in vars(batch).items()}

    def _rates(self) -> dict[str, float]:
        return rates(self.config, self.progress, self._count)

    def _generator(self, seed: int) -> torch.Generator:
        return torch.Generator(self._device).manual_seed(seed)

    # -- learning

    def _descend(self, batch: Batch) -> list[float]:
        """One step of the optimiser; returns what is measured, and the gradient's length."""
        for group, rate in zip(self.optimiser.param_groups, self._rates().values(), strict=True):
            group["lr"] = rate
        pieces = torch.arange(len(batch.whole), device=self._device).chunk(self._threads)
        rehearses = self._rates()["body"] > 0.0

        def learn(piece: int) -> tuple[Tensor, Sequence[Tensor | None]]:
            share = len(pieces[piece]) / len(batch.whole)
            loss, measured = self._objective(batch, pieces[piece], piece, len(pieces), rehearses)
            return share * measured, torch.autograd.grad(share * loss, self._weights, allow_unused=True)

        measured, gradients = zip(*self._pool.map(learn, range(len(pieces))), strict=True)
        for weight, slices in zip(self._weights, zip(*gradients, strict=True), strict=True):
            weight.grad = _sum(slices)
        freeze(self.optimiser)
        norm = float(nn.utils.clip_grad_norm_(self._weights, self.config.gradient_norm))
        found = [*torch.stack(measured).sum(0).tolist(), norm]
        if not all(map(math.isfinite, found)):
            raise LearningError(dict(zip((*PARTS, "gradient_norm"), found, strict=True)))
        self.optimiser.step()
        self._averaged.update_parameters(self.brain)
        return found


def _sum(slices: Iterable[Tensor | None]) -> Tensor | None:
    there = [piece for piece in slices if piece is not None]
    if len(there) < 2:
        return there[0] if there else None
    return torch.stack(there).sum(0)
