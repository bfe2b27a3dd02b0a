"""Turns of few robots, by hand."""

import numpy as np
import pytest

from jack_trainer.tasks.turns import in_turns


class Clock:
    """Robots whose turns last so many steps as the next of a list says."""

    def __init__(self, robots, lengths):
        self.lengths, self.left, self.begun = iter(lengths), np.zeros(robots, int), []

    def begin(self, ids):
        self.begun.append(ids.tolist())
        for index in ids:
            self.left[index] = next(self.lengths)

    def step(self, active):
        self.seen = active.copy()
        self.left -= 1
        return self.left <= 0


def test_where_a_turn_ends_another_begins_until_there_are_no_more():
    clock = Clock(2, [1, 3, 1, 5])
    assert list(in_turns(2, 4, clock.begin, clock.step)) == [0, 0, 1, 0]
    assert clock.begun == [[0, 1], [0], [0]] and clock.seen.tolist() == [True, False]


def test_who_has_no_turn_is_begun_and_never_ends_one():
    clock = Clock(3, [2, 1, 1])
    assert list(in_turns(3, 1, clock.begin, clock.step)) == [0]
    assert clock.begun == [[0, 1, 2]] and clock.seen.tolist() == [True, False, False]


def test_a_turn_is_looked_at_before_the_next_one_begins():
    clock = Clock(1, [1, 1])
    turns = in_turns(1, 2, clock.begin, clock.step)
    assert next(turns) == 0 and len(clock.begun) == 1
    assert next(turns) == 0 and len(clock.begun) == 2
    with pytest.raises(StopIteration):
        next(turns)
