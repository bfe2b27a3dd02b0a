import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest

from jack_brain.gaze import Gaze
from jack_brain.policy import Seen
from jack_contract.contract import default_contract
from jack_contract.instruction import Tokenizer, learn

sys.path.insert(0, str(Path(__file__).parent))
from sample_pictures import image, noise

CONTRACT = default_contract()
WORDS: Tokenizer = learn(["touch the red cube", "wave"], CONTRACT.instruction)


class Follower:
    """A policy that notes what it is shown."""

    follows, words = True, WORDS.digest

    def __init__(self, sha256: str = "one") -> None:
        self.sha256 = sha256
        self.shown: list[tuple[np.ndarray, np.ndarray]] = []
        self.go_on = threading.Event()
        self.go_on.set()

    def look(self, instruction, image):
        self.go_on.wait(5.0)
        self.shown.append((instruction, image))
        return Seen(np.full(3, float(len(self.shown)), np.float32), np.ones((1, 1), np.float32))

    def reach(self, history, prefix):
        return prefix, 0.5


class Eyes:
    """A gaze, and what came of it."""

    def __init__(self) -> None:
        self.policy: Follower | None = Follower()
        self.saw: list[tuple[float, float]] = []
        self.intents: list = []
        self.gaze = Gaze(CONTRACT, WORDS, lambda: self.policy, lambda *s: self.saw.append(s), self.intents.append)

    def show(self, pixels=None, now: float = 1.0, data: bytes | None = None) -> None:
        """A picture, until it was looked at."""
        before = self.gaze.sight.seen + self.gaze.sight.refused
        self.gaze.see(data if data is not None else image(noise(64, 64) if pixels is None else pixels), now)
        deadline = time.monotonic() + 5.0
        while self.gaze.sight.seen + self.gaze.sight.refused == before:
            assert time.monotonic() < deadline
            time.sleep(0.001)


@pytest.fixture
def eyes():
    eyes = Eyes()
    yield eyes
    eyes.gaze.close()
    assert not eyes.gaze._thread.is_alive()


def test_a_sentence_and_a_picture_become_an_intent_of_the_policy_that_drives(eyes):
    assert eyes.gaze.hear(b"touch the red cube") == ""
    eyes.show(now=7.0)
    (intent,) = eyes.intents
    assert (intent.policy, intent.at, intent.prefix.tolist()) == (eyes.policy, 7.0, [1.0, 1.0, 1.0])
    instruction, picture = eyes.policy.shown[0]
    assert np.array_equal(instruction, WORDS.read("touch the red cube").ids)
    assert np.array_equal(picture, noise(64, 64))
    assert eyes.saw == [(17.25, 7.0)]
    assert eyes.gaze.sight.sentence == "touch the red cube"
    assert eyes.gaze.sight.attention.tolist() == [[1.0]]


def test_without_a_sentence_pictures_are_seen_and_nothing_is_intended(eyes):
    eyes.show()
    assert eyes.saw and not eyes.intents and not eyes.policy.shown


def test_an_empty_sentence_ends_it(eyes):
    eyes.gaze.hear("wave")
    eyes.show()
    assert eyes.gaze.hear("  ?! ") == ""
    assert eyes.intents[-1] is None
    eyes.show()
    assert len(eyes.policy.shown) == 1 and eyes.gaze.sight.sentence == ""
    assert eyes.gaze.sight.attention is None


@pytest.mark.parametrize(
    ("said", "odd"),
    [
        ("wave " * 2000, "too long"),
        ("xylophone quartz", "knows no word"),
        (b"\xff\xfe\xfd touche", "knows no word"),
    ],
)
def test_what_is_not_understood_is_not_followed_and_neither_is_what_was_before(eyes, said, odd):
    eyes.gaze.hear("wave")
    assert odd in eyes.gaze.hear(said)
    assert eyes.intents[-1] is None
    eyes.show()
    assert not eyes.policy.shown and odd in eyes.gaze.sight.misheard


def test_a_word_that_he_does_not_know_is_told_and_the_rest_is_followed(eyes):
    assert "'quartz'" in eyes.gaze.hear("touch the quartz cube")
    eyes.show()
    assert len(eyes.intents) == 1


@pytest.mark.parametrize(
    ("data", "trouble"),
    [
        (image(np.zeros((64, 64, 3), np.uint8)), "shows nothing"),
        (image(noise(48, 64)), "too small"),
        (image(noise(64, 64), "mono8"), "encoding 'mono8'"),
        (b"\0\1\0\0", "ends after"),
    ],
)
def test_a_picture_that_is_none_is_told_and_counts_as_none(eyes, data, trouble):
    eyes.gaze.hear("wave")
    eyes.show(data=data)
    assert not eyes.saw and not eyes.intents
    assert trouble in eyes.gaze.sight.trouble and eyes.gaze.sight.refused == 1
    eyes.show()
    assert eyes.saw and eyes.intents and eyes.gaze.sight.trouble == ""


def test_pictures_that_never_change_are_told(eyes):
    for now in (1.0, 2.0, 3.5):
        eyes.show(now=now)
    assert "same for 2 s" in eyes.gaze.sight.trouble
    eyes.show(255 - noise(64, 64), now=4.0)
    assert eyes.gaze.sight.trouble == ""


def test_a_policy_that_was_taught_with_other_words_follows_none(eyes):
    eyes.policy.words = "other"
    eyes.gaze.hear("wave")
    eyes.show()
    assert not eyes.intents and "another vocabulary" in eyes.gaze.sight.trouble


def test_a_policy_that_follows_nothing_is_left_alone(eyes):
    eyes.policy.follows = False
    eyes.show()
    assert eyes.gaze.sight.trouble == ""  # nobody has told him anything
    eyes.gaze.hear("wave")
    eyes.show()
    assert "follows no sentences" in eyes.gaze.sight.trouble and eyes.gaze.sight.heard == 1
    eyes.policy = None
    eyes.show()
    assert not eyes.intents and eyes.gaze.sight.seen == 3


def test_who_looks_slowly_sees_the_newest_picture_and_nobody_waits(eyes):
    eyes.gaze.hear("wave")
    eyes.policy.go_on.clear()
    begun = time.perf_counter()
    for now in range(20):
        eyes.gaze.see(image(noise(64, 64)), float(now))
        time.sleep(0.001)
    assert time.perf_counter() - begun < 1.0
    eyes.policy.go_on.set()
    deadline = time.monotonic() + 5.0
    while len(eyes.intents) < 2 and time.monotonic() < deadline:
        time.sleep(0.001)
    assert eyes.intents[-1].at == 19.0 and len(eyes.intents) <= 3


def test_a_sentence_that_was_taken_back_while_he_looked_is_not_followed(eyes):
    eyes.gaze.hear("wave")
    eyes.policy.go_on.clear()
    eyes.gaze.see(image(noise(64, 64)), 1.0)
    time.sleep(0.05)
    eyes.gaze.hear("")
    eyes.policy.go_on.set()
    eyes.show(now=2.0)
    assert eyes.intents == [None]


def test_a_policy_that_breaks_down_is_told_and_the_next_picture_is_another_chance(eyes):
    eyes.gaze.hear("wave")
    look, eyes.policy.look = eyes.policy.look, lambda *_: 1 / 0
    eyes.show()
    assert "ZeroDivisionError" in eyes.gaze.sight.trouble
    eyes.policy.look = look
    eyes.show()
    assert len(eyes.intents) == 1
