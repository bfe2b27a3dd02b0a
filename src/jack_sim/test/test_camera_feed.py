import threading
import time

import numpy as np
import pytest

from jack_sim import camera_feed
from jack_sim.camera_feed import CameraFeed, Shot, jpeg
from jack_sim.errors import CameraError

SHOT = Shot(np.zeros(3), 1.5)


class Eye:
    def __init__(self, broken=False):
        self.broken, self.closed, self.thread = broken, False, threading.current_thread()

    def render(self, position):
        assert threading.current_thread() is self.thread
        if self.broken:
            raise CameraError("no light")
        return np.full((2, 2, 3), int(position[0]), np.uint8)

    def close(self):
        self.closed = True


class Inbox:
    def __init__(self):
        self.got, self.arrived = [], threading.Event()

    def __call__(self, shot, image):
        self.got.append((shot, image))
        self.arrived.set()


@pytest.fixture
def feeds(monkeypatch):
    monkeypatch.setattr(camera_feed, "RETRY_FIRST", 0.1)
    made = []

    def make(open_eye, deliver):
        made.append(CameraFeed(open_eye, deliver))
        return made[-1]

    yield make
    for feed in made:
        feed.close()


def until(condition, seconds=5.0):
    deadline = time.monotonic() + seconds
    while not condition() and time.monotonic() < deadline:
        time.sleep(0.01)
    return condition()


def test_nothing_is_opened_before_somebody_asks(feeds):
    opened = []
    feeds(lambda: opened.append(1), lambda shot, image: None)
    time.sleep(0.1)
    assert opened == []


def test_a_picture_comes_with_its_shot_and_the_eye_stays_open(feeds):
    eyes, inbox = [], Inbox()
    feed = feeds(lambda: eyes.append(Eye()) or eyes[-1], inbox)
    for value in (3, 4):
        inbox.arrived.clear()
        feed.ask(Shot(np.full(3, value), 0.02 * value))
        assert inbox.arrived.wait(5.0)
    assert [(shot.time, image[0, 0, 0]) for shot, image in inbox.got] == [(0.06, 3), (0.08, 4)]
    assert len(eyes) == 1 and feed.trouble == ""
    feed.close()
    assert eyes[0].closed


def test_a_slow_eye_draws_the_newest_shot_and_nobody_waits(feeds):
    gate, inbox = threading.Event(), Inbox()

    class Slow(Eye):
        def render(self, position):
            gate.wait(5.0)
            return super().render(position)

    feed = feeds(Slow, inbox)
    feed.ask(Shot(np.full(3, 0), 0.0))
    time.sleep(0.1)
    begun = time.monotonic()
    for value in range(1, 100):
        feed.ask(Shot(np.full(3, value), 0.0))
    assert time.monotonic() - begun < 0.1
    gate.set()
    assert until(lambda: len(inbox.got) == 2)
    assert inbox.got[1][1][0, 0, 0] == 99


def test_a_broken_eye_is_told_closed_and_tried_again_ever_more_rarely(feeds):
    eyes = []
    feed = feeds(lambda: eyes.append(Eye(broken=True)) or eyes[-1], Inbox())
    begun = time.monotonic()
    while time.monotonic() - begun < 1.0:
        feed.ask(SHOT)
        time.sleep(0.005)
    assert "no light" in feed.trouble
    assert 2 <= len(eyes) <= 5  # after 0, 0.1, 0.3 and 0.7 s
    assert all(eye.closed for eye in eyes)


def test_an_eye_that_gets_well_is_used_again(feeds):
    inbox, eyes = Inbox(), iter([Eye, lambda: Eye(broken=True), Eye])
    feed = feeds(lambda: next(eyes)(), inbox)

    def ask():
        feed.ask(SHOT)
        return bool(inbox.got) and feed.trouble == ""

    assert until(ask)


def test_an_eye_that_cannot_even_be_opened_is_told(feeds):
    def refuse():
        raise OSError("libEGL.so.1 is not there")

    feed = feeds(refuse, Inbox())
    feed.ask(SHOT)
    assert until(lambda: "libEGL" in feed.trouble)


def test_after_the_end_nothing_is_drawn(feeds):
    inbox = Inbox()
    feed = feeds(Eye, inbox)
    feed.close()
    feed.ask(SHOT)
    assert not inbox.arrived.wait(0.1)


def test_a_jpeg_has_the_colours_in_order():
    cv2 = pytest.importorskip("cv2")
    image = np.zeros((16, 16, 3), np.uint8)
    image[..., 0] = 255  # red
    data = jpeg(image, 90)
    assert data[:2] == b"\xff\xd8"
    blue, green, red = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)[8, 8]
    assert red > 240 and green < 15 and blue < 15
