"""The transformer, as blocks of tokens that are appended to a memory of keys and values.

A block sees the memory and itself; the memory never sees the block. What may read what is therefore a matter of the
order of calls, and nothing is computed only to be masked: prefix (language, vision), then state (proprioception,
command), then each readout on its own (block-causal attention as in Octo, arXiv 2405.12213).
"""

from __future__ import annotations

from typing import cast

from torch import Tensor, cat, nn, softmax, stack
from torch.nn import functional

from jack_brain.network.presets import BrainSize
from jack_contract.errors import JackError

#: Keys and values of one layer, each (B, tokens, heads, head size).
KeysValues = tuple[Tensor, Tensor]
#: Keys and values of every layer.
Memory = tuple[KeysValues, ...]

#: Up to this many keys, attention written as multiply-and-sum beats the fused kernel on a CPU.
FEW_KEYS = 8


def pack(memory: Memory) -> Tensor:
    """A memory as one tensor, (B, 2 layers, tokens, width): keys and values of each layer in turn."""
    return stack([part.flatten(2) for layer in memory for part in layer], dim=1)


def unpack(packed: Tensor, heads: int) -> Memory:
    """The memory that `pack` made a tensor of."""
    parts = [part.unflatten(-1, (heads, -1)) for part in packed.unbind(1)]
    return tuple(zip(parts[::2], parts[1::2], strict=True))


def attend(query: Tensor, keys: Tensor, values: Tensor) -> Tensor:
    """Multi-head attention, softmax(q k^T / sqrt(e)) v.

    Args:
        query: (B or 1, Q, heads, e).
        keys: (B, K, heads, e).
        values: (B, K, heads, e).

    Returns:
        (B, Q, heads, e).
    """
    if keys.shape[1] == 1:  # one key has all the weight, whatever is asked
        return values if query.shape[1] == 1 else values.expand(-1, query.shape[1], -1, -1)
    if keys.shape[1] > FEW_KEYS:
        return _attend_fused(query, keys, values)
    scale = query.shape[-1] ** -0.5
    if query.shape[1] == 1:
        scores = (query * keys).sum(-1, keepdim=True) * scale  # (B, K, heads, 1)
        return (softmax(scores, 1) * values).sum(1, keepdim=True)
    scores = (query.unsqueeze(2) * keys.unsqueeze(1)).sum(-1, keepdim=True) * scale  # (B, Q, K, heads, 1)
    return (softmax(scores, 2) * values.unsqueeze(1)).sum(2)


def _attend_fused(query: Tensor, keys: Tensor, values: Tensor) -> Tensor:
    query = query.expand(keys.shape[0], -1, -1, -1).transpose(1, 2)
    keys, values = keys.transpose(1, 2), values.transpose(1, 2)
    return functional.scaled_dot_product_attention(query, keys, values).transpose(1, 2)


def join(past: KeysValues | None, new: KeysValues) -> KeysValues:
    """Append tokens to the memory of a layer; a batch of one is repeated for the other's batch."""
    if past is None:
        return new
    return _append(past[0], new[0]), _append(past[1], new[1])


def _append(past: Tensor, new: Tensor) -> Tensor:
    if new.shape[0] != past.shape[0]:
        batch = past.shape[0] if new.shape[0] == 1 else new.shape[0]
        past, new = past.expand(batch, -1, -1, -1), new.expand(batch, -1, -1, -1)
    return cat((past, new), dim=1)


class Layer(nn.Module):
    """Pre-norm attention and feed-forward, each added to its input."""

    def __init__(self, size: BrainSize) -> None:
        super().__init__()
        self.heads, self.width = size.heads, size.width
        width = size.width
        self.attention_norm = nn.LayerNorm(width, bias=False)
        self.query_key_value = nn.Linear(width, 3 * width)
        self.attention_out = nn.Linear(width, width)
        self.feedforward_norm = nn.LayerNorm(width, bias=False)
        self.up = nn.Linear(width, size.feedforward)
        self.down = nn.Linear(size.feedforward, width)

    def forward(self, rows: Tensor, count: int, past: KeysValues | None) -> tuple[Tensor, KeysValues]:
        """Run `count` tokens of each robot through the layer.

        Args:
            rows: the tokens of all robots, (B * count, width); of one robot if they are the same for all.
            count: tokens of each robot.
            past: the layer's memory of earlier blocks.

        Returns:
            Rows, (B * count, width), and the memory with these tokens in it.
        """
        query, key, value = self._heads(self.query_key_value(self.attention_norm(rows)), count, 3)
        memory = join(past, (key, value))
        answer = attend(query, *memory).reshape(-1, self.width)
        rows = rows + self.attention_out(answer)
        return rows + self.down(functional.gelu(self.up(self.feedforward_norm(rows)))), memory

    def absorb(self, rows: Tensor, count: int, past: KeysValues | None) -> KeysValues:
        """Only the memory that `forward` would give, at a quarter of the cost."""
        weight, bias = self.query_key_value.weight[self.width :], self.query_key_value.bias[self.width :]
        key, value = self._heads(functional.linear(self.attention_norm(rows), weight, bias), count, 2)
        return join(past, (key, value))

    def _heads(self, rows: Tensor, count: int, parts: int) -> list[Tensor]:
        """Cut (B * T, parts * width) into parts of (B, T, heads, e)."""
        heads = rows.view(-1, count, parts * self.heads, self.width // self.heads)
        return [heads[:, :, i * self.heads : (i + 1) * self.heads] for i in range(parts)]


class Trunk(nn.Module):
    """A stack of layers."""

    def __init__(self, size: BrainSize) -> None:
        super().__init__()
        self.layers = nn.ModuleList(Layer(size) for _ in range(size.layers))

    def extend(self, tokens: Tensor, past: Memory | None = None) -> tuple[Tensor, Memory]:
        """Run a block of tokens after the blocks that `past` remembers.

        Args:
            tokens: (B, T, width); a batch of one is repeated for the batch of `past`.
            past: what earlier blocks left behind; None if there were none.

        Returns:
            The block's outputs, (B, T, width), and the memory with the block in it.
        """
        layers, count, width = self._with_memory(past), *tokens.shape[1:]
        rows, memory = _run(layers, tokens.reshape(-1, width), count)
        return rows.view(-1, count, width), memory

    def absorb(self, tokens: Tensor, past: Memory | None = None) -> Memory:
        """As `extend` for a block whose outputs nobody reads: the last layer computes keys and values only."""
        *body, (last, before) = self._with_memory(past)
        count, width = tokens.shape[1:]
        rows, memory = _run(body, tokens.reshape(-1, width), count)
        return (*memory, last.absorb(rows, count, before))

    def _with_memory(self, past: Memory | None) -> list[tuple[Layer, KeysValues | None]]:
        memory = past if past is not None else (None,) * len(self.layers)
        if len(memory) != len(self.layers):
            raise JackError(
                f"This memory has {len(memory)} layers, the brain {len(self.layers)}: compute it again."
            )
        return list(zip(cast(list[Layer], list(self.layers)), memory, strict=True))


def _run(layers: list[tuple[Layer, KeysValues | None]], rows: Tensor, count: int) -> tuple[Tensor, Memory]:
    memory = []
    for layer, before in layers:
        rows, after = layer(rows, count, before)
        memory.append(after)
    return rows, tuple(memory)
