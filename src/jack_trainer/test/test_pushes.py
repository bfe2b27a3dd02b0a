"""Pushes that felled a robot come again, from where he looks to then."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import pytest

from jack_trainer.tasks.pushes import Pushes

ALL = np.arange(3)
EAST, NORTH = np.zeros(3), np.full(3, math.pi / 2)


@dataclass
class Given:
    """What a `Randomizer` says of pushes: one after each period, each time faster, to the east."""

    speed: float = 0.0

    def next_push(self, count: int) -> np.ndarray:
        return np.full(count, 1)

    def pushes(self, count: int) -> np.ndarray:
        self.speed += 0.1
        return np.tile((self.speed, 0.0), (count, 1))


def make(again: float) -> Pushes:
    pushes = Pushes(3, again, Given(), np.random.default_rng(0))
    pushes.begin(ALL)
    return pushes


def test_the_push_that_felled_him_comes_again_as_seen_from_him():
    """Pushed to the east while he looks east, from behind; looking north he is pushed to the north."""
    pushes = make(again=1.0)
    np.testing.assert_allclose(pushes.draw(ALL, EAST), [[0.1, 0.0]] * 3)
    pushes.note(np.array([True, False, False]))
    np.testing.assert_allclose(pushes.draw(ALL, NORTH), [[0.0, 0.1], [0.2, 0.0], [0.2, 0.0]], atol=1e-12)


def test_only_what_came_in_the_same_episode_felled_him():
    pushes = make(again=1.0)
    pushes.draw(ALL, EAST)
    pushes.begin(ALL)
    pushes.note(np.full(3, True))
    np.testing.assert_allclose(pushes.draw(ALL, EAST), [[0.2, 0.0]] * 3)


def test_what_felled_him_is_remembered_in_the_next_episode():
    pushes = make(again=1.0)
    pushes.draw(ALL, EAST)
    pushes.note(np.full(3, True))
    pushes.begin(ALL)
    np.testing.assert_allclose(pushes.draw(ALL, EAST), [[0.1, 0.0]] * 3)


@pytest.mark.parametrize("again", [0.0, 0.3])
def test_so_many_come_again(again):
    pushes = make(again)
    pushes.draw(ALL, EAST)
    pushes.note(np.full(3, True))
    drawn = np.stack([pushes.draw(ALL, EAST) for _ in range(1000)])
    assert (drawn[..., 0] < 0.15).mean() == pytest.approx(again, abs=0.05)


def test_who_may_not_be_pushed_is_pushed_as_soon_as_he_may():
    pushes = make(again=0.0)
    assert pushes.due(np.array([True, False, True])).tolist() == [0, 2]
    pushes.draw(np.array([0, 2]), EAST)
    assert pushes.due(np.full(3, True)).tolist() == [0, 1, 2]
