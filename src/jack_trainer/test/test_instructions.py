import numpy as np
import pytest

from jack_contract.contract import InstructionSpec
from jack_contract.errors import JackError, UnknownNameError
from jack_contract.instruction import default_tokenizer, words
from jack_trainer.tasks.instructions import Goal, Skill, goals, held_out, phrasings, say, sentences, vocabulary

RED_CUBE = Goal(Skill.TOUCH, "red", "cube")
WAYS = [
    (skill, shape) for skill in Skill for shape in (("cube", "ball", "cylinder") if skill.names_thing else ("",))
]


def test_there_is_what_people_say():
    assert "touch the red cube" in sentences(RED_CUBE, exam=None)
    assert "push the blue ball to the left" in sentences(Goal(Skill.PUSH_LEFT, "blue", "ball"), exam=None)
    assert "point at the green cylinder" in sentences(Goal(Skill.POINT, "green", "cylinder"), exam=None)
    assert "wave" in sentences(Goal(Skill.WAVE), exam=None)
    assert "walk to the table" in sentences(Goal(Skill.WALK), exam=None)
    assert "please tap the violet block" in sentences(Goal(Skill.TOUCH, "purple", "cube"), exam=None)


@pytest.mark.parametrize(("skill", "shape"), WAYS)
def test_one_of_five_phrasings_is_kept_for_examinations(skill, shape):
    ways = phrasings(skill, shape)
    kept = [way for way in ways if held_out(way)]
    assert len(set(ways)) == len(ways) >= 40
    assert 0.05 < len(kept) / len(ways) < 0.4


def test_the_rule_is_the_crc_32_of_the_phrasing():
    assert not held_out("123456789")  # CRC-32's check value is 0xCBF43926, which leaves 2
    assert held_out("please touch the {colour} cube") and not held_out("touch the {colour} cube")


def test_taught_and_examined_sentences_are_all_and_share_none():
    for goal in goals():
        taught, examined = set(sentences(goal, False)), set(sentences(goal, True))
        assert taught and examined and not taught & examined
        assert taught | examined == set(sentences(goal, None))


def test_no_sentence_means_two_things():
    meaning: dict[str, Goal] = {}
    for goal in goals():
        for sentence in sentences(goal, None):
            assert meaning.setdefault(sentence, goal) == goal
    assert len(meaning) > 5_000


def test_who_is_examined_was_taught_every_word():
    taught = {word for goal in goals() for sentence in sentences(goal, False) for word in words(sentence)}
    asked = {word for goal in goals() for sentence in sentences(goal, True) for word in words(sentence)}
    assert asked <= taught


def test_the_vocabulary_that_ships_is_what_is_learnt_from_the_grammar():
    assert vocabulary(InstructionSpec()) == default_tokenizer()  # else: python -m jack_trainer.tasks.instructions


def test_every_sentence_fits_and_has_no_strange_word():
    tokenizer = default_tokenizer()
    for goal in goals():
        for sentence in sentences(goal, None):
            read = tokenizer.read(sentence)
            assert read.strange == () and not read.cut


def test_what_is_said_is_drawn_from_the_right_half():
    random = np.random.default_rng(0)
    assert {say(random, RED_CUBE, exam=True) for _ in range(200)} <= set(sentences(RED_CUBE, True))
    taught = [say(random, RED_CUBE) for _ in range(200)]
    assert set(taught) <= set(sentences(RED_CUBE, False)) and len(set(taught)) > 50
    assert say(np.random.default_rng(3), RED_CUBE) == say(np.random.default_rng(3), RED_CUBE)


def test_goals_that_make_no_sense_are_refused():
    with pytest.raises(UnknownNameError, match="There is no colour 'pink'"):
        Goal(Skill.TOUCH, "pink", "cube")
    with pytest.raises(UnknownNameError, match="There is no shape ''"):
        Goal(Skill.PUSH_LEFT, "red")
    with pytest.raises(JackError, match="'wave' is done to nothing"):
        Goal(Skill.WAVE, "red", "cube")
