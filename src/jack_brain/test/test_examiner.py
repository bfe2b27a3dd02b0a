import hashlib
import threading
import time
from pathlib import Path

import pytest

from jack_brain.examiner import Examiner, Offer, path_of
from jack_brain.policy import Policy, PolicyLimits
from jack_contract.errors import PolicyError


class Desk:
    """Where the examiner's verdicts go."""

    def __init__(self, contract) -> None:
        self.accepted: list[Policy] = []
        self.refused: list[str] = []
        self.examiner = Examiner(contract, PolicyLimits(), self.accepted.append, self.refused.append)

    def wait(self, count: int) -> None:
        deadline = time.monotonic() + 10
        while len(self.accepted) + len(self.refused) < count:
            assert time.monotonic() < deadline
            time.sleep(0.005)


@pytest.fixture
def desk(contract):
    desk = Desk(contract)
    yield desk
    desk.examiner.close()
    assert not desk.examiner._thread.is_alive()


def test_a_sound_policy_is_accepted_in_another_thread(desk, policy_file):
    threads = []
    desk.examiner._accept = lambda policy: (
        threads.append(threading.current_thread().name),
        desk.accepted.append(policy),
    )
    desk.examiner.submit(Offer(policy_file, hashlib.sha256(policy_file).hexdigest()))
    desk.wait(1)
    assert threads == ["examiner"]
    assert desk.accepted[0].phase == "walk"
    assert (desk.examiner.refused, desk.examiner.refusal) == (0, "")


def test_what_is_refused_is_counted_with_its_reason_and_the_next_is_examined(desk, policy_file):
    for count, source in enumerate([policy_file[:-1], b"", "https://example.org/p.onnx", Path("/nowhere.onnx")], 1):
        desk.examiner.submit(Offer(source))
        desk.wait(count)
    assert desk.examiner.refused == 4
    assert desk.examiner.refusal == desk.refused[-1]
    assert [
        word in said
        for word, said in zip(["cut off", "cut off", "file:///", "cannot be read"], desk.refused, strict=True)
    ]
    assert isinstance(desk.examiner.examine(Offer(policy_file)), Policy)


def test_a_file_that_is_not_the_announced_one_is_refused(desk, policy_file):
    assert "announced was 000000000000" in desk.examiner.examine(Offer(policy_file, "0" * 64))


def test_the_newest_offer_wins(desk, policy_file):
    with desk.examiner._examining:  # busy
        desk.examiner.submit(Offer(b"first"))
        time.sleep(0.05)  # it has the first in hand
        for source in (b"second", b"third", policy_file):
            desk.examiner.submit(Offer(source))
    desk.wait(2)
    time.sleep(0.05)
    assert len(desk.refused) == 1 and len(desk.accepted) == 1


@pytest.mark.parametrize(
    ("uri", "path"),
    [
        ("file:///a/b.onnx", "/a/b.onnx"),
        ("file://localhost/a.onnx", "/a.onnx"),
        ("file:///a%20b.onnx", "/a b.onnx"),
    ],
)
def test_a_file_uri_is_a_path(uri, path):
    assert path_of(uri) == Path(path)


@pytest.mark.parametrize("uri", ["", "/a/b.onnx", "http://localhost/a", "file://elsewhere/a", "file:", "ftp:///a"])
def test_any_other_uri_is_refused(uri):
    with pytest.raises(PolicyError, match="file:///"):
        path_of(uri)
