"""What an environment of robots is put away as, and goes on from: its arrays by name, and the robots' bodies."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from jack_contract.errors import JackError
from jack_contract.observation import History
from jack_sim.randomizer import Randomizer

#: What belongs to the randomised bodies.
_BODY = "body."


def put_away(bodies: Randomizer, arrays: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
    """Copies of an environment's arrays, and of its bodies."""
    own = {f"{_BODY}{name}": array for name, array in bodies.state_dict().items()}
    return own | {name: array.copy() for name, array in arrays.items()}


def take_up(
    state: Mapping[str, NDArray[Any]], bodies: Randomizer, history: History, arrays: Mapping[str, NDArray[Any]]
) -> None:
    """Fill an environment's arrays, the history's frames among them, and its bodies, with what was `put_away`.

    Raises:
        JackError: another version of Jack put it away: some of the arrays are missing, or have another shape.
    """
    strange = [name for name, array in arrays.items() if name not in state or state[name].shape != array.shape]
    if strange:
        raise JackError(
            f"This training was begun by another version of Jack: of its environments, {', '.join(strange)} "
            "is missing or has another shape. Begin it anew, or go on from its policy in a training of its own: "
            "./jack train --from CHECKPOINT."
        )
    bodies.load_state_dict(
        {name.removeprefix(_BODY): array for name, array in state.items() if name.startswith(_BODY)}
    )
    history.fill(np.arange(len(history.frames)), history.frames[:, -1])  # they are no first frames
    for name, array in arrays.items():
        array[...] = state[name]
