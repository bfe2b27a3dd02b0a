"""From a sentence to the numbers that a policy reads: a small tokenizer of word pieces. No text breaks it.

Letters and digits make words, whatever else is there ends them; case and accents do not count. A word is cut, from
the front, into the longest pieces that the vocabulary has (as WordPiece does: Schuster and Nakajima 2012); words of
the trade are one piece each, other words several, so that a slip of the pen is still near the word that was meant.
"""

from __future__ import annotations

import hashlib
import json
import unicodedata
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from importlib import resources
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from jack_contract.contract import InstructionSpec
from jack_contract.errors import ContractError

#: Ids that are no pieces: what fills a sentence up to its length, and a word that cannot be spelled.
PADDING, UNKNOWN = 0, 1
_SPECIAL = ("[padding]", "[unknown]")
#: Before a piece that does not begin a word.
_INSIDE = "##"
_LETTERS = "abcdefghijklmnopqrstuvwxyz0123456789"
#: So much of a text is read [characters]; the rest is as good as not said.
MAX_CHARACTERS = 500
#: A longer word is none [characters].
MAX_WORD = 30
#: A vocabulary's file is some kilobytes; a larger one is refused unread.
MAX_FILE_BYTES = 200_000
_FILE = "words.json"


@dataclass(frozen=True)
class Sentence:
    """What is read of a text."""

    #: (length,), PADDING after the last piece
    ids: NDArray[np.int64]
    #: its words that are not in the vocabulary as a whole, and so mean little
    strange: tuple[str, ...] = ()
    #: whether more was said than is read
    cut: bool = False

    @property
    def empty(self) -> bool:
        """Whether nothing is said: all is padding, as for a policy that is not instructed."""
        return not self.ids.any()


@dataclass(frozen=True)
class Tokenizer:
    """A vocabulary, each piece's id its index."""

    pieces: tuple[str, ...]
    #: numbers in a sentence
    length: int

    def __post_init__(self) -> None:
        if self.pieces[:2] != _SPECIAL or len(set(self.pieces)) != len(self.pieces) or self.length < 1:
            raise ContractError(
                f"A vocabulary is a list of different pieces that begins with {', '.join(_SPECIAL)}, and a "
                f"sentence has at least one; given: {len(self.pieces)} pieces, sentences of {self.length}."
            )

    @cached_property
    def digest(self) -> str:
        """SHA-256 of the vocabulary, hexadecimal: a policy reads only what is written with its own."""
        return hashlib.sha256("\n".join(self.pieces).encode()).hexdigest()

    @cached_property
    def _ids(self) -> dict[str, int]:
        return {piece: index for index, piece in enumerate(self.pieces) if index >= len(_SPECIAL)}

    def read(self, text: str | bytes) -> Sentence:
        """The numbers of a sentence. Whatever the text is, there is an answer.

        Args:
            text: any; bytes are read as UTF-8, and what is none ends a word, as do characters that print nothing.

        Returns:
            `ids` are all PADDING where nothing is said. What is beyond MAX_CHARACTERS or beyond the sentence's
            length is left out, and `cut` tells. A word in no alphabet of ours, or longer than MAX_WORD, is UNKNOWN.
        """
        if isinstance(text, bytes):
            text = text[: 4 * MAX_CHARACTERS + 4].decode("utf-8", errors="replace")
        ids: list[int] = []
        strange: list[str] = []
        for word in words(text[:MAX_CHARACTERS]):
            pieces = self._spell(word)
            ids += pieces
            strange += [word] if pieces != [self._ids.get(word)] else []
        numbers = np.full(self.length, PADDING, np.int64)
        numbers[: len(ids)] = ids[: self.length]
        return Sentence(numbers, tuple(strange), len(ids) > self.length or len(text) > MAX_CHARACTERS)

    def _spell(self, word: str) -> list[int]:
        """The longest pieces that make up a word; [UNKNOWN] where none do."""
        if len(word) > MAX_WORD:
            return [UNKNOWN]
        ids, start = [], 0
        while start < len(word):
            before = _INSIDE if start else ""
            ends = range(len(word), start, -1)
            end = next((end for end in ends if before + word[start:end] in self._ids), None)
            if end is None:
                return [UNKNOWN]
            ids.append(self._ids[before + word[start:end]])
            start = end
        return ids

    def to_json(self) -> str:
        """Its file: a line for each piece."""
        return json.dumps({"length": self.length, "pieces": list(self.pieces)}, indent=0, ensure_ascii=True) + "\n"

    @classmethod
    def from_json(cls, text: str) -> Tokenizer:
        """The tokenizer of a file that `to_json` wrote; a ContractError says why another text is none."""
        if len(text) > MAX_FILE_BYTES:
            raise ContractError(f"A vocabulary has at most {MAX_FILE_BYTES} characters, given: {len(text)}.")
        try:
            data = json.loads(text)
            pieces, length = data["pieces"], data["length"]
        except (KeyError, TypeError, ValueError, RecursionError) as error:
            raise ContractError(f"Not a vocabulary: {type(error).__name__} {error}.") from error
        whole = isinstance(pieces, list) and all(isinstance(piece, str) for piece in pieces)
        if not whole or type(length) is not int:
            raise ContractError("Not a vocabulary: 'pieces' must be a list of texts, and 'length' a whole number.")
        return cls(tuple(pieces), length)

    def require_fits(self, spec: InstructionSpec) -> None:
        """Raise a ContractError unless a policy of this contract can read what this tokenizer writes."""
        if len(self.pieces) > spec.vocabulary or self.length != spec.length:
            raise ContractError(
                f"A vocabulary of {len(self.pieces)} pieces and sentences of {self.length} do not fit a contract "
                f"of {spec.vocabulary} pieces and sentences of {spec.length}."
            )


def words(text: str) -> list[str]:
    """The words of a text: its letters and digits, small, without accents."""
    # Compatible forms first, so that full-width letters are letters; marks then stand alone and are dropped.
    plain = "".join(c for c in unicodedata.normalize("NFKD", text).casefold() if not unicodedata.combining(c))
    return "".join(c if c.isalnum() else " " for c in plain).split()


def learn(sentences: Iterable[str], spec: InstructionSpec) -> Tokenizer:
    """A vocabulary from sentences: letters, and then the most frequent pair of pieces, joined, again and again.

    This is byte pair encoding (Sennrich et al. 2016) within words. It ends when every word is one piece, or the
    contract's vocabulary is full. The same sentences give the same vocabulary, in whatever order they come.

    Args:
        sentences: what people say.
        spec: how many pieces there may be, and how long a sentence is.

    Raises:
        ContractError: not even the letters find room.
    """
    pieces = [*_SPECIAL, *_LETTERS, *(_INSIDE + letter for letter in _LETTERS)]
    if len(pieces) > spec.vocabulary:
        raise ContractError(f"A vocabulary has {len(pieces)} pieces at least, given: {spec.vocabulary}.")
    counts = Counter(word for sentence in sentences for word in words(sentence))
    spelled = {
        word: [word[0], *(_INSIDE + letter for letter in word[1:])]
        for word in sorted(counts)
        if set(word) <= set(_LETTERS)
    }
    while len(pieces) < spec.vocabulary and (pair := _most_frequent(spelled, counts)):
        joined = pair[0] + pair[1].removeprefix(_INSIDE)
        pieces += [joined] if joined not in pieces else []
        for word, parts in spelled.items():
            spelled[word] = _join(parts, pair, joined)
    return Tokenizer(tuple(pieces), spec.length)


def _most_frequent(spelled: dict[str, list[str]], counts: Counter[str]) -> tuple[str, str] | None:
    pairs: Counter[tuple[str, str]] = Counter()
    for word, parts in spelled.items():
        for pair in pairwise(parts):
            pairs[pair] += counts[word]
    return min(pairs, key=lambda pair: (-pairs[pair], pair)) if pairs else None


def _join(parts: Sequence[str], pair: tuple[str, str], joined: str) -> list[str]:
    result: list[str] = []
    for part in parts:
        if result and (result[-1], part) == pair:
            result[-1] = joined
        else:
            result.append(part)
    return result


@lru_cache(maxsize=1)
def default_tokenizer() -> Tokenizer:
    """The one that ships with Jack. `python -m jack_trainer.tasks.instructions` learns it from all he is told."""
    return Tokenizer.from_json((resources.files("jack_contract") / _FILE).read_text(encoding="utf-8"))
