"""What he is told, and in how many ways: a grammar of sentences, some of which are kept for examinations.

`python -m jack_trainer.tasks.instructions` writes the vocabulary that ships with Jack, which is learnt from all of
them: who is examined knows each word, but not the sentence.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from functools import cache
from importlib import resources
from pathlib import Path

import numpy as np

from jack_contract.contract import InstructionSpec
from jack_contract.errors import JackError, UnknownNameError
from jack_contract.instruction import Tokenizer, learn
from jack_sim.layout import COLOURS, SHAPES
from jack_trainer.files import replace_file

#: One of so many phrasings is kept for examinations.
HELD_OUT_SHARE = 5


class Skill(StrEnum):
    """What he can be told to do."""

    TOUCH = "touch"
    POINT = "point"
    PUSH_LEFT = "push left"
    PUSH_RIGHT = "push right"
    WAVE = "wave"
    WALK = "walk"

    @property
    def names_thing(self) -> bool:
        """Whether it is done to a thing on the table."""
        return self not in (Skill.WAVE, Skill.WALK)

    @property
    def other_side(self) -> Skill:
        """Of a push that to the other side; of anything else itself."""
        return {Skill.PUSH_LEFT: Skill.PUSH_RIGHT, Skill.PUSH_RIGHT: Skill.PUSH_LEFT}.get(self, self)

    @property
    def pushes(self) -> bool:
        """Whether something is pushed to a side."""
        return self.other_side is not self


def skill_named(name: str) -> Skill:
    """A skill by its name; an UnknownNameError lists the valid ones."""
    if name not in list(Skill):
        raise UnknownNameError("skill", name, [skill.value for skill in Skill])
    return Skill(name)


#: What is done, `{}` being what it is done to, and before and after it what people say besides.
_DEEDS: dict[Skill, tuple[str, ...]] = {
    Skill.TOUCH: (
        "touch {}",
        "tap {}",
        "put your hand on {}",
        "lay a hand on {}",
        "reach for {}",
        "feel {} with your hand",
    ),
    Skill.POINT: ("point at {}", "point to {}", "show me {}", "aim your arm at {}", "show me where {} is"),
    Skill.PUSH_LEFT: (
        "push {} to the left",
        "push {} to your left",
        "move {} to the left",
        "slide {} left",
        "shove {} leftwards",
        "give {} a push to the left",
    ),
    Skill.PUSH_RIGHT: (
        "push {} to the right",
        "push {} to your right",
        "move {} to the right",
        "slide {} right",
        "shove {} rightwards",
        "give {} a push to the right",
    ),
    Skill.WAVE: (
        "wave",
        "wave your hand",
        "wave at me",
        "wave hello",
        "say hello with your hand",
        "give me a wave",
    ),
    Skill.WALK: (
        "walk to the table",
        "go to the table",
        "walk over to the table",
        "come up to the table",
        "step up to the table",
        "approach the table",
    ),
}
_FRAMES = (
    "{}",
    "please {}",
    "{} please",
    "can you {}",
    "could you please {}",
    "now {}",
    "jack {}",
    "i want you to {}",
)
_COLOURS: dict[str, tuple[str, ...]] = {"purple": ("purple", "violet")}
_SHAPES: dict[str, tuple[str, ...]] = {
    "cube": ("cube", "block", "box"),
    "ball": ("ball", "sphere"),
    "cylinder": ("cylinder", "can", "tin"),
}
_COLOUR = "{colour}"


@dataclass(frozen=True)
class Goal:
    """Something he is told to do."""

    skill: Skill
    #: of the thing it is done to; empty where there is none
    colour: str = ""
    shape: str = ""

    def __post_init__(self) -> None:
        if not self.skill.names_thing:
            if self.colour or self.shape:
                raise JackError(f"'{self.skill}' is done to nothing; given: {self.kind}.")
            return
        if self.colour not in COLOURS:
            raise UnknownNameError("colour", self.colour, COLOURS)
        if self.shape not in SHAPES:
            raise UnknownNameError("shape", self.shape, SHAPES)

    @property
    def kind(self) -> str:
        """What it is done to, as `Thing.kind` has it."""
        return f"{self.colour} {self.shape}".strip()

    def __str__(self) -> str:
        return f"{self.skill} {self.kind}".strip()


def held_out(phrasing: str) -> bool:
    """Whether a phrasing, with the colour left open as `{colour}`, is kept for examinations: one of five.

    The rule: its CRC-32 is divisible by five.
    """
    return zlib.crc32(phrasing.encode()) % HELD_OUT_SHARE == 0


@cache
def phrasings(skill: Skill, shape: str = "") -> tuple[str, ...]:
    """All ways to tell him so, in the order of the grammar; the colour is left open as `{colour}`."""
    nouns = [f"the {_COLOUR} {noun}" for noun in _SHAPES[shape]] if skill.names_thing else [""]
    return tuple(
        frame.replace("{}", deed.replace("{}", noun))
        for frame in _FRAMES
        for deed in _DEEDS[skill]
        for noun in nouns
    )


def sentences(goal: Goal, exam: bool | None = False) -> list[str]:
    """All sentences for a goal.

    Args:
        goal: what he is told.
        exam: whether those that are kept for examinations; None: all.
    """
    chosen = [p for p in phrasings(goal.skill, goal.shape) if exam is None or held_out(p) is exam]
    return [phrasing.replace(_COLOUR, colour) for phrasing in chosen for colour in colour_names(goal) or ("",)]


def plain_sentences(goal: Goal) -> list[str]:
    """Those that only say what is to be done, without please and the like."""
    nouns = [f"the {colour} {noun}" for colour in colour_names(goal) for noun in shape_names(goal)] or [""]
    return [deed.replace("{}", noun) for deed in _DEEDS[goal.skill] for noun in nouns]


def colour_names(goal: Goal) -> tuple[str, ...]:
    """What people call the colour of its thing; none where there is no thing."""
    return _COLOURS.get(goal.colour, (goal.colour,)) if goal.skill.names_thing else ()


def shape_names(goal: Goal) -> tuple[str, ...]:
    """What people call the shape of its thing; none where there is no thing."""
    return _SHAPES[goal.shape] if goal.skill.names_thing else ()


def say(random: np.random.Generator, goal: Goal, exam: bool | None = False) -> str:
    """One of the sentences for a goal."""
    chosen = sentences(goal, exam)
    return chosen[int(random.integers(len(chosen)))]


def goals() -> Iterator[Goal]:
    """Everything that he can be told to do."""
    for skill in Skill:
        kinds = [(colour, shape) for colour in COLOURS for shape in SHAPES] if skill.names_thing else [("", "")]
        yield from (Goal(skill, *kind) for kind in kinds)


def vocabulary(spec: InstructionSpec) -> Tokenizer:
    """What is learnt from all that he can be told."""
    return learn((sentence for goal in goals() for sentence in sentences(goal, exam=None)), spec)


def main() -> None:
    """Write the vocabulary that ships with Jack."""
    path = Path(str(resources.files("jack_contract") / "words.json"))
    replace_file(path, vocabulary(InstructionSpec()).to_json().encode())
    print(f"wrote {path}")


if __name__ == "__main__":
    main()
