"""What becomes of a brain in a policy file: tensors in, tensors out. Each graph is traced on its own, and all have
their weights, by name, from the one brain.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from jack_brain.network.brain import Brain, Inputs
from jack_brain.network.chunk_heads import TokenChunk
from jack_brain.network.trunk import pack, unpack
from jack_brain.policy_file import (
    ACTION,
    ATTENTION,
    CHUNK,
    COMMAND,
    IMAGE,
    INSTRUCTION,
    PAST,
    PREFIX,
    PROGRESS,
    PROPRIOCEPTION,
    VALUE,
)
from jack_contract.observation import COMMAND_SIZE


class Part(nn.Module):
    """One of a file's graphs.

    Attributes:
        inputs: names, in the order of `forward`.
        outputs: names, in the order in which it returns them.
    """

    def __init__(self, brain: Brain, inputs: list[str], outputs: list[str]) -> None:
        super().__init__()
        self.brain, self.inputs, self.outputs = brain, inputs, outputs

    def examples(self, count: int) -> dict[str, Tensor]:
        """So many of each of its inputs, by name; those of all parts belong together."""
        found = examples(self.brain, count)
        return {name: found[name] for name in self.inputs}


class Walking(Part):
    """Body and command to an action and a value: what he does without a picture or a sentence."""

    def __init__(self, brain: Brain, command: bool, value: bool) -> None:
        inputs = [PROPRIOCEPTION, COMMAND] if command else [PROPRIOCEPTION]
        super().__init__(brain, inputs, [ACTION, VALUE] if value else [ACTION])

    def forward(self, proprioception: Tensor, command: Tensor | None = None) -> tuple[Tensor, ...]:
        """(B, H, D) and (B, 3) to (B, n) and, in units of return, (B, 1)."""
        output = self.brain(Inputs(proprioception, command), value=VALUE in self.outputs)
        if output.value is None:
            return (output.mean,)
        return output.mean, self.brain.value_normaliser.restore(output.value)


class Looking(Part):
    """A sentence and a picture to what later ticks read of them, and where in the picture the sentence points."""

    def __init__(self, brain: Brain) -> None:
        super().__init__(brain, [INSTRUCTION, IMAGE], [PREFIX, ATTENTION])

    def forward(self, instruction: Tensor, image: Tensor) -> tuple[Tensor, ...]:
        """(B, L) and (B, 3, h, w) to a packed memory and weights (B, rows, columns)."""
        memory, scores = self.brain.look(instruction, image)
        pointer = self.brain.pointer
        assert memory is not None and scores is not None and pointer is not None
        return pack(memory), scores[:, 0].softmax(-1).unflatten(-1, pointer.grid)


class Reaching(Part):
    """Body and what was seen to an action chunk, and how much is done."""

    def __init__(self, brain: Brain) -> None:
        super().__init__(brain, [PROPRIOCEPTION, PAST], [CHUNK, PROGRESS])

    def forward(self, proprioception: Tensor, past: Tensor) -> tuple[Tensor, ...]:
        """(B, H, D) and a packed memory to (B, K, m) and (B, 1)."""
        head = self.brain.chunk_head
        assert head is not None
        return head(self.brain.reach(proprioception, unpack(past, self.brain.size.heads)))


def parts_of(brain: Brain, command: bool, value: bool) -> list[Part]:
    """The graphs of a brain's file; the first is that of walking."""
    walking = Walking(brain, command, value)
    return [walking] if brain.chunk_head is None else [walking, Looking(brain), Reaching(brain)]


@torch.no_grad()
def examples(brain: Brain, count: int) -> dict[str, Tensor]:
    """Inputs as the brain met them: frames around their running mean, each with its own spread."""
    generator = torch.Generator().manual_seed(0)
    contract, normaliser = brain.contract, brain.normaliser
    observation, words, camera = contract.observation, contract.instruction, contract.camera
    noise = torch.randn(count, observation.history, observation.frame_size, generator=generator)
    command = torch.rand(count, COMMAND_SIZE, generator=generator) * 2 - 1
    found = {PROPRIOCEPTION: normaliser.mean + noise * normaliser.var.sqrt(), COMMAND: command}
    if brain.chunk_head is not None:
        sentence = torch.randint(0, words.vocabulary, (count, words.length), generator=generator)
        shape = (count, 3, camera.height, camera.width)
        picture = torch.randint(0, 256, shape, generator=generator, dtype=torch.uint8)
        found |= {INSTRUCTION: sentence, IMAGE: picture, PAST: Looking(brain)(sentence, picture)[0]}
    return found


@torch.no_grad()
def clear_examples(brain: Brain, count: int) -> dict[str, Tensor]:
    """Examples; of many those whose tokens are least in doubt, for another machine rounds otherwise."""
    head = brain.chunk_head
    if not isinstance(head, TokenChunk):
        return examples(brain, count)
    found = examples(brain, 4 * count)
    features = brain.reach(found[PROPRIOCEPTION], unpack(found[PAST], brain.size.heads))
    best = head.logits(features).topk(2, dim=-1).values
    clear = (best[..., 0] - best[..., 1]).amin(dim=-1).topk(count).indices
    return {name: tensor[clear] for name, tensor in found.items()}
