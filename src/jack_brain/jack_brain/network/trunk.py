"""The transformer, as blocks of tokens that are appended to a memory of keys and values.

A block sees the memory and itself; the memory never sees the block. What may read what is therefore a matter of the
order of calls, and nothing is computed only to be masked: prefix (language, vision), then state (proprioception,
command), then each readout on its own (block-causal attention as in Octo, arXiv 2405.12213).
"""

from __future__ import annotations

from torch import Tensor, cat, nn, softmax
from torch.nn import functional

from jack_brain.network.presets import BrainSize
from jack_contract.errors import JackError

#: Keys and values of one layer, each (B, tokens, heads, head size).
KeysValues = tuple[Tensor, Tensor]
#: Keys and values of every layer.
Memory = tuple[KeysValues, ...]

#: Up to this many keys, attention written as multiply-and-sum beats the fused kernel on a CPU.
FEW_KEYS = 8


def attend(query: Tensor, keys: Tensor, values: Tensor) -> Tensor:
    """Multi-head attention, softmax(q k^T) v, of queries that are already scaled.

    Args:
        query: (B or 1, Q, heads, e).
        keys: (B, K, heads, e).
        values: (B, K, heads, e).

    Returns:
        (B, Q, heads, e).
    """
    if keys.shape[1] == 1:  # one key has all the weight, whatever is asked
        return values.expand(-1, query.shape[1], -1, -1)
    if keys.shape[1] <= FEW_KEYS:
        scores = (query.unsqueeze(2) * keys.unsqueeze(1)).sum(-1)  # (B, Q, K, heads)
        return (softmax(scores, 2).unsqueeze(-1) * values.unsqueeze(1)).sum(2)
    query = query.expand(keys.shape[0], -1, -1, -1)
    query, keys, values = query.transpose(1, 2), keys.transpose(1, 2), values.transpose(1, 2)
    return functional.scaled_dot_product_attention(query, keys, values, scale=1.0).transpose(1, 2)


def join(past: KeysValues | None, new: KeysValues) -> KeysValues:
    """Append tokens to the memory of a layer; a batch of one is repeated for the other's batch."""
    if past is None:
        return new
    return _append(past[0], new[0]), _append(past[1], new[1])


def _append(past: Tensor, new: Tensor) -> Tensor:
    batch = past.shape[0] if new.shape[0] == 1 else new.shape[0]
    return cat((past.expand(batch, -1, -1, -1), new.expand(batch, -1, -1, -1)), dim=1)


class Layer(nn.Module):
    """Pre-norm attention and feed-forward, each added to its input."""

    def __init__(self, size: BrainSize) -> None:
        super().__init__()
        width = size.width
        self.heads, self.scale = size.heads, (width // size.heads) ** -0.5
        self.attention_norm = nn.LayerNorm(width, bias=False)
        self.query_key_value = nn.Linear(width, 3 * width)
        self.attention_out = nn.Linear(width, width)
        self.feedforward_norm = nn.LayerNorm(width, bias=False)
        self.up = nn.Linear(width, size.feedforward)
        self.down = nn.Linear(size.feedforward, width)

    def forward(self, x: Tensor, past: KeysValues | None) -> tuple[Tensor, KeysValues]:
        """Tokens (B or 1, T, width) and the layer's memory -> tokens (B, T, width) and the memory with them."""
        parts = self.query_key_value(self.attention_norm(x)).unflatten(-1, (3, self.heads, -1))
        query, key, value = parts.unbind(-3)
        memory = join(past, (key, value))
        x = x + self.attention_out(attend(query * self.scale, *memory).flatten(-2))
        return x + self.down(functional.gelu(self.up(self.feedforward_norm(x)))), memory

    def absorb(self, x: Tensor, past: KeysValues | None) -> KeysValues:
        """Only the memory that `forward` would give, at a quarter of the cost."""
        width = x.shape[-1]
        weight, bias = self.query_key_value.weight[width:], self.query_key_value.bias[width:]
        parts = functional.linear(self.attention_norm(x), weight, bias).unflatten(-1, (2, self.heads, -1))
        key, value = parts.unbind(-3)
        return join(past, (key, value))


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
        memory = []
        for layer, before in zip(self.layers, self._past(past), strict=True):
            tokens, after = layer(tokens, before)
            memory.append(after)
        return tokens, tuple(memory)

    def absorb(self, tokens: Tensor, past: Memory | None = None) -> Memory:
        """As `extend` for a block whose outputs nobody reads: the last layer computes keys and values only."""
        *body, last = zip(self.layers, self._past(past), strict=True)
        memory = []
        for layer, before in body:
            tokens, after = layer(tokens, before)
            memory.append(after)
        layer, before = last
        assert isinstance(layer, Layer)
        return (*memory, layer.absorb(tokens, before))

    def _past(self, past: Memory | None) -> tuple[KeysValues | None, ...]:
        if past is None:
            return (None,) * len(self.layers)
        if len(past) != len(self.layers):
            raise JackError(f"This memory has {len(past)} layers, the brain {len(self.layers)}: compute it again.")
        return past
