"""Sees and hears for a pilot, in a thread of its own: what a policy makes of a picture and a sentence takes longer
than a tick may wait. It is computed once for each picture, and every tick until the next one reuses it. No ROS.
"""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Protocol

import numpy as np
from numpy.typing import NDArray

from jack_brain.pictures import read_picture
from jack_contract.arrays import Float32
from jack_contract.contract import Contract
from jack_contract.errors import JackError
from jack_contract.instruction import Sentence, Tokenizer, words

if TYPE_CHECKING:
    from jack_brain.policy import Seen

#: Pictures that are the same to the last bit for longer than this are told [s]. Where nothing moves they may be.
_FROZEN = 2.0
#: So much of a sentence is shown [characters].
_SHOWN = 80


class Follower(Protocol):
    """A policy that may be able to do what a sentence says."""

    sha256: str

    @property
    def follows(self) -> bool:
        """Whether it is."""
        ...

    @property
    def words(self) -> str:
        """Digest of the vocabulary that it was taught with; empty if it does not say."""
        ...

    def look(self, instruction: NDArray[np.integer] | None, image: NDArray[np.uint8] | None) -> Seen:
        """See `Policy.look`."""
        ...

    def reach(self, history: Float32, prefix: Float32) -> tuple[Float32, float]:
        """See `Policy.reach`."""
        ...


@dataclass(frozen=True)
class Intent:
    """What the arms are to follow, until the next picture."""

    policy: Follower
    prefix: Float32
    #: when the picture came, on the pilot's clock [s]
    at: float

    def reach(self, history: Float32) -> tuple[Float32, float]:
        """A chunk (K, m) from here, and how much of what was asked is done."""
        return self.policy.reach(history, self.prefix)


@dataclass(frozen=True)
class Sight:
    """How seeing and hearing go."""

    #: the sentence that is followed; empty: none
    sentence: str = ""
    #: what was odd about the last sentence that came; empty: nothing
    misheard: str = ""
    #: sentences that came so far
    heard: int = 0
    #: why the last picture could not be used, or was not; empty: nothing is wrong
    trouble: str = ""
    #: when that picture came, on the pilot's clock [s]
    at: float = -math.inf
    #: pictures that were seen, and those that could not be used
    seen: int = 0
    refused: int = 0
    #: for how long pictures have been the same to the last bit [s]
    same: float = 0.0
    #: from picture to intent [s]
    took: float = 0.0
    #: where in the last picture the sentence points: weights of its patches, (rows, columns); None: nowhere
    attention: Float32 | None = field(default=None, compare=False)


def understands(policy: Follower, tokenizer: Tokenizer) -> bool:
    """Whether a policy was taught with the vocabulary that a tokenizer has, or does not say with which."""
    return policy.words in ("", tokenizer.digest)


class Gaze:
    """The eyes and ears of one robot.

    Attributes:
        sight: how it goes; replaced as a whole, may be read in any thread.
    """

    def __init__(
        self,
        contract: Contract,
        tokenizer: Tokenizer,
        driving: Callable[[], Follower | None],
        saw: Callable[[float, float], None],
        intend: Callable[[Intent | None], None],
    ) -> None:
        """Start the thread.

        Args:
            contract: what a policy's pictures and sentences are.
            tokenizer: reads sentences.
            driving: the policy that has the body, if it is one that may follow sentences.
            saw: is told the stamp of each picture that is one, and when it came [s]; in the thread.
            intend: is given what the arms are to follow, in the thread; None: nothing any more, from `hear`.
        """
        tokenizer.require_fits(contract.instruction)
        self._contract, self._tokenizer = contract, tokenizer
        self._driving, self._saw, self._intend = driving, saw, intend
        self.sight = Sight()
        self._sentence: Sentence | None = None
        self._before: NDArray[np.uint8] | None = None
        self._before_at = 0.0
        self._news = threading.Condition()
        self._picture: tuple[bytes, float] | None = None
        self._closed = False
        self._thread = threading.Thread(target=self._work, name="gaze", daemon=True)
        self._thread.start()

    def hear(self, text: bytes | str) -> str:
        """Follow a sentence from the next picture on; one without words: follow none.

        Returns:
            What is odd about it, in words; empty if nothing is. One that was not heard to its end, or none of whose
            words is known, is not followed, and neither is the one before it.
        """
        sentence = self._tokenizer.read(text)
        said = text.decode(errors="replace") if isinstance(text, bytes) else text
        shown = said[:_SHOWN].strip()
        odd, understood = _judge(sentence, said)
        with self._news:
            self._sentence = sentence if understood else None
            heard = self.sight.heard + 1
            shown = shown if understood else ""
            self.sight = replace(self.sight, sentence=shown, misheard=odd, heard=heard, attention=None)
            if not understood:
                self._intend(None)
        return odd

    def see(self, data: bytes, now: float) -> None:
        """A serialised sensor_msgs/Image came at `now` [s]; returns at once. Only the newest is looked at."""
        with self._news:
            self._picture = data, now
            self._news.notify()

    def close(self) -> None:
        """End the thread; a picture that is being looked at is waited for, for a second."""
        with self._news:
            self._closed = True
            self._news.notify()
        self._thread.join(timeout=1.0)

    def _work(self) -> None:
        while True:
            with self._news:
                self._news.wait_for(lambda: self._closed or self._picture is not None)
                if self._closed or self._picture is None:
                    return
                (data, now), self._picture = self._picture, None
            try:
                self._look(data, now)
            except Exception as error:  # whatever it is, the next picture is another chance
                words = str(error) if isinstance(error, JackError) else f"{type(error).__name__}: {error}"
                self._tell(trouble=words, at=now, refused=self.sight.refused + 1)

    def _look(self, data: bytes, now: float) -> None:
        begun = time.perf_counter()
        picture = read_picture(data)
        pixels = picture.seen(self._contract.camera)
        self._saw(picture.stamp, now)
        if self._before is None or now < self._before_at or not np.array_equal(pixels, self._before):
            self._before, self._before_at = pixels, now
        same = now - self._before_at
        trouble = f"Pictures have been the same for {same:.0f} s." if same > _FROZEN else ""
        policy, sentence, attention = self._driving(), self._sentence, None
        if sentence is None:
            pass
        elif policy is None or not policy.follows:
            trouble = "The policy that drives follows no sentences."
        elif not understands(policy, self._tokenizer):
            trouble = "The policy was taught with another vocabulary: it follows no sentence."
        else:
            seen = policy.look(sentence.ids, pixels)
            attention = seen.attention
            with self._news:
                if self._sentence is sentence:
                    self._intend(Intent(policy, seen.prefix, now))
        took, count = time.perf_counter() - begun, self.sight.seen + 1
        self._tell(trouble=trouble, at=now, seen=count, same=same, took=took, attention=attention)

    def _tell(self, **changes: object) -> None:
        with self._news:
            self.sight = replace(self.sight, **changes)  # type: ignore[arg-type] - fields of it


def _judge(sentence: Sentence, said: str) -> tuple[str, bool]:
    """What is odd about a sentence, and whether it is followed."""
    if sentence.empty:
        return "", False
    if sentence.cut:
        return f"'{said[:_SHOWN]}' is too long: it is not followed. Say it in fewer words.", False
    strange = ", ".join(f"'{word[:20]}'" for word in sentence.strange[:4])
    if len(sentence.strange) == len(words(said)):
        return f"'{said[:_SHOWN]}' is not followed: he knows no word of it.", False
    return f"He does not know {strange}." if strange else "", True
