"""Golden vectors: inputs of a policy, and what the trainer's own network answered to them."""

from __future__ import annotations

import base64
import json
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

from jack_contract.arrays import Float32
from jack_contract.errors import PolicyError

#: So many are stored at least.
MIN_COUNT = 8
#: How those are stored that are no float32.
_KINDS = {"instruction": "<i8", "image": "|u1"}


@dataclass(frozen=True)
class Golden:
    """N inputs with their outputs; None is absent."""

    #: (N, H, D)
    proprioception: Float32
    #: (N, 3)
    command: Float32 | None
    #: (N, n)
    action: Float32
    #: (N, 1)
    value: Float32 | None
    #: token ids, (N, L) int64
    instruction: NDArray[np.int64] | None = None
    #: RGB, (N, 3, h, w)
    image: NDArray[np.uint8] | None = None
    #: of the three: the frames, the sentence, the picture, (N, K, m)
    chunk: Float32 | None = None

    def to_json(self) -> str:
        """Text for the policy file: shapes, and little-endian numbers in base64.

        Raises:
            PolicyError: a number is not finite; such a policy is not to be published.
        """
        arrays = {f.name: getattr(self, f.name) for f in fields(self) if getattr(self, f.name) is not None}
        if wrong := [name for name, array in arrays.items() if not np.isfinite(array).all()]:
            raise PolicyError(f"A policy whose {' and '.join(wrong)} is not finite is not written.")
        return json.dumps({name: _pack(name, array) for name, array in arrays.items()})

    @classmethod
    def from_json(cls, text: str) -> Golden:
        """The vectors of a text that `to_json` wrote; a PolicyError says what is wrong with it."""
        try:
            data = json.loads(text)
            arrays = {f.name: _unpack(f.name, data[f.name]) if f.name in data else None for f in fields(cls)}
            golden = cls(**arrays)  # type: ignore[arg-type] - presence is checked below
            counts = {len(array) for array in arrays.values() if array is not None}
            if golden.proprioception is None or golden.action is None:
                raise ValueError("proprioception or action is missing")
            if len(counts) != 1 or counts.pop() < MIN_COUNT:
                raise ValueError(f"at least {MIN_COUNT} of each are needed")
        except (KeyError, TypeError, ValueError, RecursionError, AttributeError) as error:
            raise PolicyError(f"The golden vectors cannot be read: {error}.") from error
        return golden


def _pack(name: str, array: NDArray[Any]) -> dict:
    data = np.ascontiguousarray(array, dtype=_KINDS.get(name, "<f4")).tobytes()
    return {"shape": list(array.shape), "data": base64.b64encode(data).decode()}


def _unpack(name: str, packed: dict) -> NDArray[Any]:
    kind = np.dtype(_KINDS.get(name, "<f4"))
    flat = np.frombuffer(base64.b64decode(packed["data"], validate=True), dtype=kind)
    array = flat.reshape([int(size) for size in packed["shape"]]).astype(kind.newbyteorder("="))
    if not np.isfinite(array).all():
        raise ValueError("a number is not finite")
    return array
