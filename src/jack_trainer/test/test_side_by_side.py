import sys
from itertools import islice
from pathlib import Path

import cv2
import numpy as np
import pytest

from jack_contract.errors import JackError
from jack_sim.errors import CameraError
from jack_trainer import film
from jack_trainer.imitation.movement import positions
from jack_trainer.imitation.side_by_side import pictures, write_side_by_side

sys.path.insert(0, str(Path(__file__).parent))
from walking_clip import PERIOD, walking_clip


@pytest.fixture
def course() -> np.ndarray:
    motion = walking_clip()
    return positions(motion, np.arange(motion.periods))


def shoot(courses, count: int, **changes) -> np.ndarray:
    try:
        return np.stack(list(islice(pictures(courses, PERIOD, **changes), count))).astype(int)
    except CameraError as error:
        pytest.skip(f"nothing can be drawn here: {error}")


def test_everybody_has_a_pane_and_does_what_he_did(course):
    """Twice the same, and one who stands still: the first two panes are alike, and only those change."""
    courses = {"he": course, "he again": course, "stands": np.repeat(course[:1], len(course), axis=0)}
    shown = shoot(courses, 12)
    assert shown.shape == (12, film.HEIGHT, film.WIDTH, 3)
    first, second, third = np.split(shown[:, 40:], 3, axis=2)  # below the words
    np.testing.assert_array_equal(first, second)
    changed = [np.abs(pane[11] - pane[0]).max(axis=-1) > 60 for pane in (first, third)]
    assert changed[0].mean() > 0.01 and not changed[1].any()
    assert np.ptp(first[0], axis=(0, 1)).max() > 100  # somebody is there


def test_the_words_stand_above(course):
    named, nameless = (shoot({words: course}, 1)[0] for words in ("phase 1", ""))
    assert (named[:40] != nameless[:40]).any() and (named[40:] == nameless[40:]).all()


def test_a_film_is_as_long_as_the_shortest_course_and_longer_in_slow_motion(course, tmp_path):
    lengths = []
    for slower in (1.0, 2.0):
        path = tmp_path / f"{slower}" / "film.webm"
        try:
            write_side_by_side(path, {"he": course, "shorter": course[:26]}, PERIOD, slower)
        except CameraError as error:
            pytest.skip(f"nothing can be drawn here: {error}")
        capture, count = cv2.VideoCapture(str(path)), 0
        while capture.read()[0]:
            count += 1
        lengths.append(count)
    assert lengths == [13, 26]  # 25 control periods of 0.02 s at 25 pictures a second, both ends shown


@pytest.mark.parametrize("count", [0, 5])
def test_no_more_than_can_be_seen(course, count):
    with pytest.raises(JackError, match="1 to 4"):
        next(pictures({str(k): course for k in range(count)}, PERIOD))
