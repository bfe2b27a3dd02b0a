import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from jack_contract.contract import InstructionSpec, default_contract
from jack_contract.errors import ContractError
from jack_contract.instruction import (
    MAX_CHARACTERS,
    MAX_FILE_BYTES,
    PADDING,
    UNKNOWN,
    Tokenizer,
    default_tokenizer,
    learn,
    words,
)

SMALL = InstructionSpec(length=6, vocabulary=100)
#: Two special pieces, 36 letters and digits, and these within a word, come first.
FIRST = 2 + 2 * 36


@pytest.fixture(scope="module")
def tokenizer() -> Tokenizer:
    return learn(["push the ball", "push the push"], SMALL)


def pieces(tokenizer: Tokenizer, text: str | bytes) -> list[str]:
    return [tokenizer.pieces[index] for index in tokenizer.read(text).ids if index != PADDING]


def test_pairs_are_joined_in_the_order_of_how_often_they_come(tokenizer):
    # push 3, the 2, ball 1: p-u, u-s and s-h come three times and go by the alphabet, ##s ##h first.
    assert tokenizer.pieces[FIRST:] == ("##sh", "##ush", "push", "##he", "the", "##al", "##all", "ball")


def test_words_of_the_trade_are_one_piece_and_others_are_spelled(tokenizer):
    assert pieces(tokenizer, "push the ball") == ["push", "the", "ball"]
    assert pieces(tokenizer, "pushall") == ["push", "##all"]
    assert pieces(tokenizer, "fall") == ["f", "##all"]
    assert tokenizer.read("push the fall").strange == ("fall",)
    assert tokenizer.read("push the ball").strange == ()


def test_numbers_are_the_indices_of_pieces_filled_up_with_padding(tokenizer):
    ids = tokenizer.read("the ball").ids
    assert ids.dtype == np.int64
    np.testing.assert_array_equal(ids, [tokenizer.pieces.index("the"), tokenizer.pieces.index("ball"), 0, 0, 0, 0])


@pytest.mark.parametrize(
    "text",
    [
        "Push the BALL!",
        "  push\tthe\n\nball ",
        "push, the ball?",
        "püsh thé ball",
        "\uff50\uff55\uff53\uff48 the ball",
        b"push the ball",
    ],
)
def test_case_accents_and_punctuation_do_not_count(tokenizer, text):
    assert pieces(tokenizer, text) == ["push", "the", "ball"]


@pytest.mark.parametrize("text", ["", "   ", "?!...", "\x00\x01\x7f", b"", b"\xff\xfe", "\ud800", "🤖"])
def test_nothing_said_is_all_padding(tokenizer, text):
    read = tokenizer.read(text)
    assert read.empty and not read.cut and read.strange == ()
    np.testing.assert_array_equal(read.ids, np.zeros(6))


def test_what_is_no_utf8_ends_a_word(tokenizer):
    assert pieces(tokenizer, b"push\xffthe\x00ball") == ["push", "the", "ball"]


def test_a_word_in_another_alphabet_or_too_long_is_unknown(tokenizer):
    read = tokenizer.read(f"push мяч {'x' * 31}")
    np.testing.assert_array_equal(read.ids[1:4], [UNKNOWN, UNKNOWN, PADDING])
    assert read.strange == ("мяч", "x" * 31)


def test_what_is_too_long_is_cut_and_said_to_be(tokenizer):
    assert not tokenizer.read("push " * 6).cut
    read = tokenizer.read("push " * 7)
    assert read.cut and (read.ids == tokenizer.pieces.index("push")).all()
    long = tokenizer.read("push " + " " * MAX_CHARACTERS + "ball")
    assert long.cut and (long.ids != PADDING).sum() == 1
    assert tokenizer.read(b"push " * 2_000).cut and tokenizer.read("\ufdfa" * 10_000).cut


@given(st.one_of(st.text(), st.binary(), st.text(alphabet=st.characters(categories=["Cs", "Cc", "Cn", "Mn"]))))
def test_whatever_is_said_there_is_an_answer(text):
    tokenizer = default_tokenizer()
    read = tokenizer.read(text)
    assert read.ids.shape == (16,) and read.ids.dtype == np.int64
    assert ((read.ids >= 0) & (read.ids < len(tokenizer.pieces))).all()
    said = np.flatnonzero(read.ids != PADDING)
    assert list(said) == list(range(len(said)))  # padding only behind


@given(st.lists(st.text("abcdefghij ", max_size=30), max_size=8))
def test_whatever_is_learnt_from_spells_its_own_words(sentences):
    learnt = learn(sentences, InstructionSpec(length=64, vocabulary=120))
    assert len(learnt.pieces) <= 120
    for word in {word for sentence in sentences for word in words(sentence) if len(word) <= 30}:
        spelled = [learnt.pieces[index] for index in learnt.read(word).ids if index != PADDING]
        assert "".join(piece.removeprefix("##") for piece in spelled) == word
    assert learn(reversed(sentences), InstructionSpec(64, 120)) == learnt


def test_a_vocabulary_survives_its_file(tokenizer):
    again = Tokenizer.from_json(tokenizer.to_json())
    assert again == tokenizer and again.digest == tokenizer.digest


def test_the_digest_is_of_every_piece_and_its_place(tokenizer):
    other = list(tokenizer.pieces)
    other[-1], other[-2] = other[-2], other[-1]
    assert Tokenizer(tuple(other), 6).digest != tokenizer.digest


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "{}",
        "null",
        '{"length": 6, "pieces": "abc"}',
        '{"length": 6, "pieces": [1, 2]}',
        '{"length": "6", "pieces": ["[padding]", "[unknown]"]}',
        '{"length": true, "pieces": ["[padding]", "[unknown]"]}',
        '{"length": 0, "pieces": ["[padding]", "[unknown]"]}',
        '{"length": 6, "pieces": ["[unknown]", "[padding]"]}',
        '{"length": 6, "pieces": ["[padding]", "[unknown]", "a", "a"]}',
        "[" * 100_000,
        " " * (MAX_FILE_BYTES + 1),
    ],
)
def test_another_file_is_refused_with_a_reason(text):
    with pytest.raises(ContractError, match=r"ocabulary"):
        Tokenizer.from_json(text)


def test_a_vocabulary_without_room_for_letters_is_refused():
    with pytest.raises(ContractError, match="74 pieces at least, given: 73"):
        learn(["push"], InstructionSpec(length=6, vocabulary=73))


def test_what_a_policy_cannot_read_is_refused(tokenizer):
    tokenizer.require_fits(SMALL)
    for spec in (InstructionSpec(5, 100), InstructionSpec(7, 100), InstructionSpec(6, len(tokenizer.pieces) - 1)):
        with pytest.raises(ContractError, match="do not fit"):
            tokenizer.require_fits(spec)


def test_the_one_that_ships_fits_the_contract_and_is_plain_json():
    tokenizer = default_tokenizer()
    tokenizer.require_fits(default_contract().instruction)
    assert json.loads(tokenizer.to_json())["pieces"][:2] == ["[padding]", "[unknown]"]
    assert tokenizer.read("touch the red cube").strange == ()
