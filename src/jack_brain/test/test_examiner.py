import hashlib
import os
import threading
import time
from pathlib import Path

import numpy as np
import onnx
import pytest

from jack_brain.examiner import Examiner, Offer, path_of
from jack_brain.policy import Policy, PolicyLimits
from jack_brain.policy_file import SEAL_SIZE, seal
from jack_contract.errors import PolicyError

LIMITS = PolicyLimits()


class Desk:
    """Where the examiner's verdicts go."""

    def __init__(self, contract, limits=LIMITS) -> None:
        self.accepted: list[Policy] = []
        self.refused: list[str] = []
        self.banned: dict[str, str] = {}
        self.examiner = Examiner(contract, limits, self.accepted.append, self.refused.append, self.banned)

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


def test_a_policy_that_was_taken_back_is_refused_for_good(desk, policy_file):
    assert isinstance(desk.examiner.examine(Offer(policy_file)), Policy)
    desk.banned[hashlib.sha256(policy_file).hexdigest()] = "he fell"
    for _ in range(2):
        assert "taken back because of a fault: he fell" in desk.examiner.examine(Offer(policy_file))


def with_nodes(policy_file: bytes, nodes: list[onnx.NodeProto], weights: dict[str, np.ndarray]) -> bytes:
    """A sound file whose action has 0 times one more number added, `more`, that costs something to compute."""
    model = onnx.load_from_string(policy_file[:-SEAL_SIZE])
    for node in model.graph.node:
        node.output[:] = ["said" if name == "action" else name for name in node.output]
        node.input[:] = ["said" if name == "action" else name for name in node.input]
    tail = [("Mul", ["more", "nothing"], ["zero"]), ("Add", ["said", "zero"], ["action"])]
    model.graph.node.extend([*nodes, *(onnx.helper.make_node(*node) for node in tail)])
    for name, value in (weights | {"nothing": np.float32([0.0])}).items():
        model.graph.initializer.append(onnx.numpy_helper.from_array(value, name))
    return seal(model.SerializeToString())


def graph_of(*nodes: tuple) -> list[onnx.NodeProto]:
    return [onnx.helper.make_node(kind, inputs, outputs, **rest) for kind, inputs, outputs, rest in nodes]


def test_a_file_with_one_more_number_is_sound_still(desk, policy_file):
    nodes = graph_of(("ReduceSum", ["small"], ["more"], {"keepdims": 0}))
    assert isinstance(
        desk.examiner.examine(Offer(with_nodes(policy_file, nodes, {"small": np.ones(3, "f4")}))), Policy
    )


def memory_of_this_process() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def test_fault_17_a_small_file_that_grows_beyond_all_memory_is_refused(desk, policy_file):
    """40 GB of ones, from twelve bytes."""
    shape = {"shape": np.array([100_000, 100_000], np.int64)}
    nodes = graph_of(
        ("ConstantOfShape", ["shape"], ["large"], {}), ("ReduceSum", ["large"], ["more"], {"keepdims": 0})
    )
    before = memory_of_this_process()
    said = desk.examiner.examine(Offer(with_nodes(policy_file, nodes, shape)))
    assert "memory" in said or "alloc" in said
    assert desk.accepted == []
    assert memory_of_this_process() - before < 100e6


def test_fault_17_a_graph_that_computes_for_ever_is_refused_in_time(contract, policy_file):
    """Four thousand products of matrices of 2,000 x 2,000: a minute and more."""
    desk = Desk(contract, PolicyLimits(seconds=1.0))
    matrix = {"side": np.array([2000, 2000], np.int64)}
    chain = [("MatMul", [f"m{k}", "m0"], [f"m{k + 1}"], {}) for k in range(4000)]
    nodes = graph_of(
        ("ConstantOfShape", ["side"], ["m0"], {}), *chain, ("ReduceSum", ["m4000"], ["more"], {"keepdims": 0})
    )
    begun = time.monotonic()
    said = desk.examiner.examine(Offer(with_nodes(policy_file, nodes, matrix)))
    assert "time or memory" in said or "not done after" in said
    assert time.monotonic() - begun < 3.0 + 2.0
    desk.examiner.close()


def test_fault_17_a_file_that_crashes_what_runs_it_is_refused(desk, policy_file, monkeypatch, tmp_path):
    monkeypatch.setattr("jack_brain.examiner.sys.executable", "/bin/false")
    assert desk.examiner.examine(Offer(policy_file)) == "The policy could not be run."
    crash = tmp_path / "crash"
    crash.write_text("#!/bin/sh\nkill -SEGV $$\n")
    crash.chmod(0o700)
    monkeypatch.setattr("jack_brain.examiner.sys.executable", str(crash))
    assert "SIGSEGV" in desk.examiner.examine(Offer(policy_file))


def test_what_ran_once_is_not_run_aside_again(desk, policy_file, monkeypatch):
    assert isinstance(desk.examiner.examine(Offer(policy_file)), Policy)
    monkeypatch.setattr("jack_brain.examiner.sys.executable", "/bin/false")
    assert isinstance(desk.examiner.examine(Offer(policy_file)), Policy)


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
