"""The one network: every modality in, an action and a value out. What is absent is not computed."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from jack_brain.chunk import ChunkSpec, chunk_width, unread_columns
from jack_brain.network.chunk_heads import ChunkHead, chunk_head
from jack_brain.network.habit import Habit
from jack_brain.network.heads import GaussianHead, ValueHead
from jack_brain.network.normaliser import RunningNormaliser
from jack_brain.network.presets import PRESETS, BrainSize
from jack_brain.network.symmetry import Symmetry
from jack_brain.network.tokens import (
    CommandTokens,
    ImageTokens,
    InstructionTokens,
    PointerTokens,
    ProprioceptionTokens,
)
from jack_brain.network.trunk import Memory, Trunk
from jack_contract.contract import Contract
from jack_contract.errors import JackError
from jack_contract.observation import COMMAND_SIZE


@dataclass
class Inputs:
    """What one tick of a batch of robots sees. None is absent."""

    #: observation history in raw units, oldest first, (B, H, D) float32
    proprioception: Tensor
    #: vx, vy [m/s], yaw rate [rad/s], (B, 3) float32
    command: Tensor | None = None
    #: token ids, (B, L) int64
    instruction: Tensor | None = None
    #: RGB, (B, 3, h, w), uint8 or float32 in 0..1
    image: Tensor | None = None
    #: what only a simulator knows, (B, 8), see `TRUTH_SIZE`; no action depends on it
    truth: Tensor | None = None


@dataclass
class Output:
    """What the brain says."""

    #: mean of the action distribution, (B, n)
    mean: Tensor
    #: expected return in units of `Brain.value_normaliser` (its `restore` gives the return itself), (B, 1)
    value: Tensor | None
    #: squared error of what the action's answer tells of the truth, (B, 1); None where nobody told it
    estimate_error: Tensor | None = None


class Brain(nn.Module):
    """Jack's brain.

    Attributes:
        normaliser: of observation frames, (D,), shared by all H frames of the history.
        value_normaliser: of returns, (1,).
        habit: what is done without thinking.
        chunk_head: what makes chunks of what is seen and said; None where nobody taught it to.
    """

    def __init__(
        self,
        contract: Contract,
        size: BrainSize = PRESETS["nano"],
        std: float = 1.0,
        symmetric: bool = True,
        chunk: ChunkSpec | None = None,
    ) -> None:
        """A brain for a contract.

        Args:
            contract: says how many numbers each modality and the action have.
            size: of the transformer.
            std: the action distribution's standard deviation at the start, in units of action.
            symmetric: whether left and right are one to it, where the contract has a gait.
            chunk: which action chunks it makes; None: none, and no weights for them.
        """
        super().__init__()
        self.contract, self.size = contract, size
        observation, camera, words = contract.observation, contract.camera, contract.instruction
        self.symmetry = Symmetry.of(contract) if symmetric else None
        self.normaliser = RunningNormaliser(observation.frame_size)
        self.value_normaliser = RunningNormaliser(1)
        self.proprioception = ProprioceptionTokens(observation.history, observation.frame_size, size.width)
        self.command = CommandTokens(COMMAND_SIZE, size.width)
        self.instruction = InstructionTokens(words.vocabulary, words.length, size.width)
        self.image = ImageTokens(camera.height, camera.width, size.width)
        self.trunk = Trunk(size)
        felt = self.proprioception.linear.in_features
        self.action_head = GaussianHead(size.width, felt, size.feedforward, contract.robot.count, std)
        self.value_head = ValueHead(felt, size.feedforward)
        self.habit = Habit(contract)
        _initialise(self)
        self.pointer: PointerTokens | None = None
        self.chunk_head: ChunkHead | None = None
        if chunk is not None:  # last, so that all else begins as it does without
            self.image = ImageTokens(camera.height, camera.width, size.width, fine=True)
            self.pointer = PointerTokens(size.width, self.image.grid, self.image.channels)
            self.chunk_head = _chunk_head(contract, size.width, felt, chunk)

    @property
    def log_std(self) -> Tensor:
        """Logarithm of the action distribution's standard deviation, (n,)."""
        return self.action_head.log_std

    def prefix(self, instruction: Tensor | None = None, image: Tensor | None = None) -> Memory | None:
        """What language and vision leave for later ticks to read; None if both are absent."""
        return self.look(instruction, image)[0]

    def look(
        self, instruction: Tensor | None = None, image: Tensor | None = None
    ) -> tuple[Memory | None, Tensor | None]:
        """As `prefix`, and where the sentence points: scores of the cells of `pointer.grid`, (B, POINTERS, cells).

        There are none where one of the two is absent, or nobody taught it to point.
        """
        words = self.instruction(instruction) if instruction is not None else None
        patches, detail = self.image(image) if image is not None else (None, None)
        blocks, scores = [tokens for tokens in (words, patches) if tokens is not None], None
        if self.pointer is not None and words is not None and patches is not None:
            pointed, scores = self.pointer(words, patches, detail)
            blocks.append(pointed)
        return self.trunk.absorb(torch.cat(blocks, dim=1)) if blocks else None, scores

    def forward(self, inputs: Inputs, *, value: bool = True, past: Memory | None = None) -> Output:
        """One tick.

        Args:
            inputs: of a batch of B robots.
            value: whether to read out the value; the mean is the same, bit for bit, either way.
            past: what `prefix` gave for the current sentence and picture; then `inputs` carries neither.

        Returns:
            The mean action, and the value if it was asked for.
        """
        if past is None:
            past = self.prefix(inputs.instruction, inputs.image)
        elif inputs.instruction is not None or inputs.image is not None:
            raise JackError("Give the brain a computed prefix or a sentence and picture, not both.")
        output = self._thought(inputs, value, past)
        if inputs.command is not None and self.habit.taught:
            output.mean = self.habit(output.mean, inputs.proprioception, inputs.command)
        return output

    def reach(self, proprioception: Tensor, past: Memory) -> Tensor:
        """What a chunk is made of, (B, features), to be given to `chunk_head`: the trunk's answer, and the body.

        It reads what is seen, what was said and the body, but for `unread_columns`.

        Args:
            proprioception: as in `Inputs`, (B, H, D).
            past: of `prefix`.
        """
        if self.chunk_head is None:
            raise JackError("This brain makes no action chunks: give it a ChunkSpec.")
        felt = self.proprioception.felt(self.normaliser(proprioception) * self.chunk_head.reads)
        memory = self.trunk.absorb(self.proprioception(felt), past)
        answer, _ = self.trunk.extend(self.chunk_head.token, memory)
        return self.chunk_head.features(answer, felt)

    def _thought(self, inputs: Inputs, value: bool, past: Memory | None) -> Output:
        """What it says but for habit."""
        if self.symmetry is None or past is not None:
            return self._tick(inputs, value, past)
        right = self.symmetry.right(inputs.proprioception)
        output = self._tick(self.symmetry.inputs(inputs, right), value, None)
        return replace(output, mean=self.symmetry.action(output.mean, right))

    def _tick(self, inputs: Inputs, value: bool, past: Memory | None) -> Output:
        felt = self.proprioception.felt(self.normaliser(inputs.proprioception))
        tokens = self.proprioception(felt)
        if inputs.command is not None:
            tokens = torch.cat((tokens, self.command(inputs.command)), dim=1)
        answer, _ = self.trunk.extend(self.action_head.token, self.trunk.absorb(tokens, past))
        features = self.action_head.features(answer, felt, inputs.command)
        mean = self.action_head(features)
        if not value:
            return Output(mean, None)
        told = self.value_head(felt, inputs.command, inputs.truth)
        return Output(mean, told, self.action_head.estimate_error(features, inputs.truth))


def _chunk_head(contract: Contract, width: int, felt: int, spec: ChunkSpec) -> ChunkHead:
    observation = contract.observation
    reads = torch.ones(observation.frame_size)
    reads[unread_columns(contract)] = 0.0
    return chunk_head(width, felt, spec, chunk_width(contract.robot), reads)


def _initialise(brain: Brain) -> None:
    """Orthogonal weights; what is added to the residual stream starts small, so that depth does not amplify."""
    residual = 1.0 / math.sqrt(2 * brain.size.layers)
    for name, module in brain.named_modules():
        if isinstance(module, nn.Linear) and "head" not in name:
            small = name.endswith(("attention_out", "down"))
            nn.init.orthogonal_(module.weight, residual if small else 1.0)
            nn.init.zeros_(module.bias)
    # A token's norm is normalised away: beside a constant part its length still tells how much was asked or felt.
    for linear in (brain.proprioception.linear, brain.command.linear):
        nn.init.normal_(linear.bias)
