import ast
import errno
import hashlib
import json
import os
import pickle
import random
import signal
import time
from importlib.util import find_spec
from pathlib import Path
from typing import NoReturn

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from jack_brain.network.brain import Brain, Inputs
from jack_contract.contract import Contract
from jack_trainer import checkpoint as storage
from jack_trainer.checkpoint import (
    CheckpointError,
    Numbers,
    checkpoints,
    flatten_optimiser,
    newest_checkpoint,
    prune,
    read_checkpoint,
    restore_optimiser,
    write_checkpoint,
)
from jack_trainer.files import replace_file

FILES = (storage.POLICY, storage.TENSORS, storage.NUMBERS, storage.MANIFEST)
TENSORS = {"brain.weight": torch.arange(6.0).reshape(2, 3), "environment.age": torch.tensor([7, 8])}


def numbers(step: int = 5, **changes) -> Numbers:
    given_ = {
        "phase": "stand",
        "contract_digest": "d" * 64,
        "step": step,
        "update": 2,
        "seconds": 1.5,
        "rate": 3e-4,
        "random": np.random.default_rng(step).bit_generator.state,
        "episode_returns": [1.0, -2.5],
        "episode_lengths": [10, 1000],
        "terms": {"alive": 0.5},
    }
    return Numbers(**{**given_, **changes})


def write(folder: Path, step: int = 5, **changes) -> Path:
    return write_checkpoint(folder, numbers(step, **changes), TENSORS, b"the policy")


# -- what is written is what is read


def test_a_checkpoint_comes_back_as_it_was(tmp_path):
    path = write(tmp_path)
    found = read_checkpoint(path)
    assert (found.path, found.numbers) == (path, numbers())
    assert {name: tensor.tolist() for name, tensor in found.tensors.items()} == {
        name: tensor.tolist() for name, tensor in TENSORS.items()
    }
    assert found.tensors["environment.age"].dtype == torch.int64
    assert (path / storage.POLICY).read_bytes() == b"the policy"
    assert sorted(file.name for file in path.iterdir()) == sorted(FILES)


@pytest.mark.parametrize("kind", [torch.float32, torch.float64, torch.int64, torch.uint8, torch.bool])
def test_tensors_of_any_kind_and_layout_come_back(tmp_path, kind):
    tensors = {"a": torch.arange(6).reshape(2, 3).to(kind), "b": torch.zeros(0, 4, dtype=kind)}
    tensors["c"] = torch.arange(6).reshape(2, 3).to(kind).T
    found = read_checkpoint(write_checkpoint(tmp_path, numbers(), tensors, b"")).tensors
    assert set(found) == set(tensors)
    assert all(found[name].dtype == kind and torch.equal(found[name], tensors[name]) for name in tensors)


def test_its_parts_lose_their_prefix(tmp_path):
    found = read_checkpoint(write(tmp_path))
    assert set(found.part("brain")) == {"weight"} and set(found.part("environment")) == {"age"}
    assert found.part("brai") == {}


@settings(max_examples=40, deadline=None)
@given(
    st.builds(
        numbers,
        step=st.integers(0, 10**12 - 1),
        seconds=st.floats(),
        rate=st.floats(),
        episode_returns=st.lists(st.floats()),
        episode_lengths=st.lists(st.integers(0, 2**62)),
        terms=st.dictionaries(st.text(), st.floats(), max_size=3),
    )
)
def test_numbers_come_back_to_the_last_digit_nan_and_all(given_):
    text = given_.model_dump_json(indent=1)
    json.loads(text, parse_constant=pytest.fail)
    again = Numbers.model_validate_json(text)
    assert repr(again) == repr(given_)  # repr: NaN is equal to itself, and -0.0 is not 0.0


def test_chance_goes_on_where_it_was(tmp_path):
    chance = np.random.default_rng(3)
    chance.integers(0, 10, 7, dtype=np.int32)  # half a word is left over
    path = write(tmp_path, random=chance.bit_generator.state)
    again = np.random.default_rng()
    again.bit_generator.state = read_checkpoint(path).numbers.random
    assert (
        again.integers(0, 1000, 20, dtype=np.int32).tolist()
        == chance.integers(0, 1000, 20, dtype=np.int32).tolist()
    )


def test_an_optimiser_goes_on_bit_for_bit(tmp_path):
    def make() -> tuple[torch.nn.Linear, torch.optim.Adam]:
        torch.manual_seed(0)
        layer = torch.nn.Linear(3, 2)
        return layer, torch.optim.Adam(layer.parameters(), lr=0.1, fused=True)

    def learn(layer, optimiser):
        optimiser.zero_grad()
        layer(torch.ones(4, 3)).square().sum().backward()
        optimiser.step()

    layer, optimiser = make()
    for _ in range(3):
        learn(layer, optimiser)
    optimiser.param_groups[0]["lr"] = 0.025
    tensors = {f"optimiser.{name}": t for name, t in flatten_optimiser(optimiser).items()}
    found = read_checkpoint(write_checkpoint(tmp_path, numbers(rate=0.025), tensors, b""))

    other_layer, other = make()
    other_layer.load_state_dict(layer.state_dict())
    restore_optimiser(other, found.part("optimiser"), found.numbers.rate)
    assert other.param_groups[0]["lr"] == 0.025
    for _ in range(2):
        learn(layer, optimiser), learn(other_layer, other)
    assert torch.equal(layer.weight, other_layer.weight) and torch.equal(layer.bias, other_layer.bias)


# -- published or held back


def test_a_checkpoint_that_is_held_back_has_no_policy_that_anybody_would_take(tmp_path):
    path = write_checkpoint(tmp_path, numbers(), TENSORS, b"the policy", held=True)
    assert not (path / storage.POLICY).exists() and storage.newest_published(tmp_path) is None
    found = read_checkpoint(path)
    assert found.policy.read_bytes() == b"the policy" and found.numbers == numbers()
    digest = found.digest
    storage.publish(path)
    assert storage.newest_published(tmp_path) == path and (path / storage.POLICY).read_bytes() == b"the policy"
    assert sorted(file.name for file in path.iterdir()) == sorted(FILES)
    assert (
        read_checkpoint(path).digest == digest == hashlib.sha256((path / storage.MANIFEST).read_bytes()).hexdigest()
    )
    storage.publish(path)  # once more changes nothing
    assert write_checkpoint(tmp_path, numbers(), TENSORS, b"the policy", held=True) == path
    assert (path / storage.POLICY).is_file()  # what is out is out


def test_damage_to_what_is_held_back_is_named(tmp_path):
    path = write_checkpoint(tmp_path, numbers(), TENSORS, b"the policy", held=True)
    (path / storage.HELD).write_bytes(b"another one")
    with pytest.raises(CheckpointError, match=r"held\.onnx is not what was written"):
        read_checkpoint(path)


def test_a_disk_that_refuses_to_publish_is_told(tmp_path, monkeypatch):
    path = write_checkpoint(tmp_path, numbers(), TENSORS, b"the policy", held=True)

    def full(*_):
        raise OSError(errno.EROFS, os.strerror(errno.EROFS))

    monkeypatch.setattr(Path, "rename", full)
    with pytest.raises(CheckpointError, match="could not be published"):
        storage.publish(path)
    assert (path / storage.HELD).is_file()


def test_the_newest_that_is_published_is_found_among_newer_ones_that_are_not(tmp_path):
    for step, held in ((5, False), (6, False), (7, True), (8, True)):
        write_checkpoint(tmp_path, numbers(step), TENSORS, b"the policy", held=held)
    assert storage.newest_published(tmp_path) == tmp_path / f"{6:012d}"
    assert newest_checkpoint(tmp_path).numbers.step == 8
    told = storage.policy_file(tmp_path / f"{6:012d}")
    assert (told.path.name, told.phase, told.step) == (storage.POLICY, "stand", 6)
    assert (told.sha256, told.contract_digest) == (hashlib.sha256(b"the policy").hexdigest(), "d" * 64)


def test_some_are_spared_whatever_their_age(tmp_path):
    for step in range(8):
        write(tmp_path, step)
    prune(tmp_path, 2, {1, 3, 99})
    assert [int(path.name) for path in checkpoints(tmp_path)] == [1, 3, 6, 7]


# -- damage is seen


@pytest.mark.parametrize("file", FILES)
def test_every_flipped_byte_is_noticed(tmp_path, file):
    path = write(tmp_path) / file
    sound, chance = path.read_bytes(), random.Random(0)
    for position in range(len(sound)):
        damaged = bytearray(sound)
        damaged[position] ^= 1 << chance.randrange(8)
        path.write_bytes(damaged)
        with pytest.raises(CheckpointError):
            read_checkpoint(path.parent)
    path.write_bytes(sound)
    read_checkpoint(path.parent)


@pytest.mark.parametrize("file", FILES)
def test_every_truncation_is_noticed(tmp_path, file):
    path = write(tmp_path) / file
    sound = path.read_bytes()
    for length in range(len(sound)):
        path.write_bytes(sound[:length])
        with pytest.raises(CheckpointError):
            read_checkpoint(path.parent)


@pytest.mark.parametrize("file", FILES)
def test_a_missing_file_is_named(tmp_path, file):
    path = write(tmp_path)
    (path / file).unlink()
    with pytest.raises(CheckpointError, match=file):
        read_checkpoint(path)


def test_a_damaged_file_is_named(tmp_path):
    path = write(tmp_path)
    (path / storage.POLICY).write_bytes(b"another one")
    with pytest.raises(CheckpointError, match=r"policy\.onnx is not what was written"):
        read_checkpoint(path)


def sealed(folder: Path, **files: bytes) -> Path:
    """A checkpoint with some files replaced and a manifest that agrees: somebody meant to."""
    path = write(folder)
    names = dict(zip(("policy", "tensors", "numbers"), FILES, strict=False))
    for name, data in files.items():
        (path / names[name]).write_bytes(data)
    digests = {name: hashlib.sha256((path / name).read_bytes()).hexdigest() for name in FILES[:3]}
    (path / storage.MANIFEST).write_text(json.dumps(digests))
    return path


class Bomb:
    """Unpickling it makes a file."""

    def __init__(self, trace: Path) -> None:
        self.trace = trace

    def __reduce__(self):
        return Path.touch, (self.trace,)


def test_fault_19_a_pickle_is_refused_and_not_run(tmp_path):
    trace = tmp_path / "run"
    bomb = pickle.dumps(Bomb(trace))
    torch.save({"brain.weight": torch.zeros(1), "bomb": Bomb(trace)}, tmp_path / "saved.pt")
    for data in (bomb, (tmp_path / "saved.pt").read_bytes()):
        path = sealed(tmp_path / "checkpoints", tensors=data)
        with pytest.raises(CheckpointError):
            read_checkpoint(path)
    assert not trace.exists()


@pytest.mark.parametrize("data", [b"", b"[]", b"null", b'{"version": 1}', b"\xff\xfe", b"[" * 100_000])
def test_numbers_of_another_kind_are_refused(tmp_path, data):
    with pytest.raises(CheckpointError):
        read_checkpoint(sealed(tmp_path, numbers=data))


def test_a_number_that_nobody_knows_is_refused(tmp_path):
    extra = {**json.loads(numbers().model_dump_json()), "surprise": 1}
    with pytest.raises(CheckpointError, match="surprise"):
        read_checkpoint(sealed(tmp_path, numbers=json.dumps(extra).encode()))


def test_a_file_beyond_all_reason_is_not_read(tmp_path, monkeypatch):
    path = write(tmp_path)
    monkeypatch.setattr(storage, "MAX_FILE_BYTES", 100)
    with pytest.raises(CheckpointError, match="at most 100"):
        read_checkpoint(path)


@pytest.mark.parametrize("package", ["jack_contract", "jack_sim", "jack_brain", "jack_trainer", "jack_operator"])
def test_fault_19_nothing_in_the_source_could_run_a_file(package):
    """No pickle under any of its names, and no eval; numpy loads arrays where it is told to refuse pickles."""
    forbidden = {
        "pickle",
        "cPickle",
        "dill",
        "cloudpickle",
        "joblib",
        "shelve",
        "marshal",
        "torch.load",
        "torch.save",
    }
    forbidden |= {"eval", "exec", "np.load", "numpy.load", "torch.jit.load"}
    spec = find_spec(package)
    assert spec is not None and spec.origin is not None
    for path in Path(spec.origin).parent.rglob("*.py"):
        used = set()
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import):
                used |= {alias.name for alias in node.names}
            elif isinstance(node, ast.ImportFrom):
                used |= {node.module or ""} | {f"{node.module}.{alias.name}" for alias in node.names}
            elif isinstance(node, ast.Call) and "allow_pickle=False" not in map(ast.unparse, node.keywords):
                used.add(ast.unparse(node.func))
        assert not used & forbidden, path


# -- the newest that is whole


def test_the_newest_is_the_one_with_the_most_steps(tmp_path):
    for step in (5, 100, 20):
        write(tmp_path, step)
    assert [path.name for path in checkpoints(tmp_path)] == ["000000000005", "000000000020", "000000000100"]
    assert newest_checkpoint(tmp_path).numbers.step == 100


@pytest.mark.parametrize("file", FILES)
def test_a_damaged_one_is_passed_over(tmp_path, file):
    write(tmp_path, 1)
    damaged = write(tmp_path, 2) / file
    damaged.write_bytes(damaged.read_bytes()[:-1])
    assert newest_checkpoint(tmp_path).numbers.step == 1


def test_where_all_are_damaged_each_is_named(tmp_path):
    for step in (1, 2):
        (write(tmp_path, step) / storage.POLICY).write_bytes(b"")
    with pytest.raises(CheckpointError, match=r"(?s)0002/policy.*0001/policy"):
        newest_checkpoint(tmp_path)


def test_nothing_to_go_on_with_is_said(tmp_path):
    for folder in (tmp_path, tmp_path / "never"):
        with pytest.raises(CheckpointError, match="No checkpoint in"):
            newest_checkpoint(folder)


def test_what_was_left_aside_is_no_checkpoint(tmp_path):
    path = write(tmp_path)
    path.rename(tmp_path / f".{path.name}.123")
    assert checkpoints(tmp_path) == []


def test_pruning_keeps_the_newest_and_clears_what_was_left_aside(tmp_path):
    for step in range(1, 7):
        write(tmp_path, step)
    aside = tmp_path / ".000000000009.4242"
    aside.mkdir()
    (aside / "half").write_bytes(b"")
    (tmp_path / "notes").mkdir()
    prune(tmp_path, 2)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["000000000005", "000000000006", "notes"]


# -- writes that fail


def failing(monkeypatch, at: int) -> None:
    """The disk is full at the `at`th time that something is forced to it."""
    calls, fsync = [0], os.fsync

    def full(handle):
        calls[0] += 1
        if calls[0] == at:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        fsync(handle)

    monkeypatch.setattr(os, "fsync", full)


@pytest.mark.parametrize("at", [1, 2, 3, 4, 5])
def test_a_full_disk_spares_the_checkpoint_before_and_says_what_to_do(tmp_path, monkeypatch, at):
    write(tmp_path, 1)
    failing(monkeypatch, at)
    with pytest.raises(CheckpointError, match=r"No space left on device.*\./jack train --resume"):
        write(tmp_path, 2)
    assert newest_checkpoint(tmp_path).numbers.step == (1 if at < 5 else 2)  # the 5th is after the renaming
    assert all(path.name.isdigit() for path in tmp_path.iterdir())
    write(tmp_path, 3)
    assert newest_checkpoint(tmp_path).numbers.step == 3


def test_a_folder_that_cannot_be_made_is_said(tmp_path):
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(CheckpointError, match="could not be written"):
        write(tmp_path / "file")


def test_remains_of_a_process_with_the_same_number_are_no_obstacle(tmp_path):
    """In a container every start may have the same process number."""
    aside = tmp_path / f".{5:012d}.{os.getpid()}"
    aside.mkdir()
    (aside / "leftover").write_bytes(b"?")
    assert sorted(file.name for file in write(tmp_path, 5).iterdir()) == sorted(FILES)


def test_the_same_step_again_leaves_the_whole_one_alone(tmp_path, monkeypatch):
    path = write(tmp_path)
    before = path.stat().st_ino
    failing(monkeypatch, 1)
    assert write(tmp_path) == path
    assert path.stat().st_ino == before


def test_the_same_step_again_replaces_a_damaged_one(tmp_path):
    path = write(tmp_path)
    (path / storage.TENSORS).write_bytes(b"")
    assert write(tmp_path) == path
    read_checkpoint(path)


class Student:
    """A tiny brain, each step decided by its number; it goes on where the newest checkpoint is."""

    def __init__(self, contract: Contract, folder: Path | None = None) -> None:
        torch.manual_seed(0)
        self.brain, self.step = Brain(contract, std=0.5), 0
        self.optimiser = torch.optim.Adam(self.brain.parameters(), lr=1e-3, fused=True)
        if folder is not None and checkpoints(folder):
            found = newest_checkpoint(folder)
            self.brain.load_state_dict(found.part("brain"))
            restore_optimiser(self.optimiser, found.part("optimiser"), found.numbers.rate)
            self.step = found.numbers.step

    def learn(self) -> None:
        self.step += 1
        seen = torch.randn(4, 1, 2, generator=torch.Generator().manual_seed(self.step))
        output = self.brain(Inputs(seen))
        self.optimiser.zero_grad()
        ((output.mean - seen[:, 0]).square().mean() + output.value.square().mean()).backward()
        self.optimiser.step()

    @property
    def tensors(self) -> dict[str, torch.Tensor]:
        parts = {"brain": self.brain.state_dict(), "optimiser": flatten_optimiser(self.optimiser)}
        return {f"{part}.{name}": tensor for part, named in parts.items() for name, tensor in named.items()}

    def work(self, folder: Path, pipe: int) -> NoReturn:
        """Learn for ever; save each step twice, as a training that ends after a checkpoint does, and tell."""
        while True:
            self.learn()
            for _ in range(2):
                write_checkpoint(folder, numbers(self.step, rate=1e-3), self.tensors, bytes(100_000))
                prune(folder, 1)
                os.write(pipe, self.step.to_bytes(8, "little"))


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_fault_20_kill_9_two_hundred_times_and_two_hundred_times_it_goes_on(two_joints, tmp_path):
    """What was told to be whole is there after each kill, and in the end all is as if nobody had killed."""
    chance, student = random.Random(1), Student(two_joints)
    for _ in range(200):
        out, into = os.pipe()
        child = os.fork()
        if child == 0:
            try:
                student.work(tmp_path, into)
            finally:
                os._exit(1)  # whatever went wrong, this is no second pytest
        os.close(into)
        promised = int.from_bytes(os.read(out, 8), "little")
        time.sleep(chance.uniform(0.0, 0.03))
        os.kill(child, signal.SIGKILL)
        assert os.WTERMSIG(os.waitpid(child, 0)[1]) == signal.SIGKILL
        while data := os.read(out, 8):
            promised = int.from_bytes(data, "little")
        os.close(out)
        student = Student(two_joints, tmp_path)
        assert student.step >= promised
    assert student.step >= 200
    spared = Student(two_joints)
    while spared.step < student.step:
        spared.learn()
    assert all(torch.equal(tensor, spared.tensors[name]) for name, tensor in student.tensors.items())


def test_a_file_is_the_old_one_or_the_new_one(tmp_path, monkeypatch):
    path = tmp_path / "run.json"
    replace_file(path, b"old")
    replace_file(path, b"new")
    assert path.read_bytes() == b"new"
    failing(monkeypatch, 1)
    with pytest.raises(OSError, match="No space left"):
        replace_file(path, b"newest")
    assert path.read_bytes() == b"new"
