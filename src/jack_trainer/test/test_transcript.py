import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jack_contract.errors import JackError
from jack_contract.gait import Beat
from jack_trainer import transcript
from jack_trainer.transcript import NAME, Entry, Score, Transcript, TranscriptError, read, write

numbers = st.floats(allow_nan=False) | st.just(float("inf"))
scores = st.builds(
    Score,
    episodes=st.integers(1, 1000),
    survived=st.integers(0, 1000),
    velocity_error=numbers,
    yaw_rate_error=numbers,
)
files = st.dictionaries(st.text("0123456789abcdef", min_size=8, max_size=64), st.text())
entries = st.builds(
    Entry,
    phase=st.text(min_size=1),
    begun=st.integers(0, 10**12),
    parent=st.text(),
    parent_phase=st.text(),
    bags=files,
    clips=files,
    beat=st.none() | st.builds(Beat, st.floats(0.3, 2.0), st.floats(0.1, 3.0)),
    scores=st.dictionaries(st.text(), scores),
    forgot=st.lists(st.text()),
    ended=st.sampled_from(["", "passed", "steps"]),
)


@given(st.builds(Transcript, entries=st.lists(entries, max_size=4)))
def test_what_is_written_is_read(tmp_path_factory, told):
    run = tmp_path_factory.mktemp("run")
    write(run, told)
    assert read(run) == told
    json.loads((run / NAME).read_text(), parse_constant=lambda name: pytest.fail(f"{name} is no JSON"))


def test_a_run_without_one_has_an_empty_one(tmp_path):
    assert read(tmp_path) == Transcript()


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"", "no transcript"),
        (b'{"version": 2}', "version"),
        (b'{"version": 1, "entries": [{"step": 3}]}', r"entries\.0\.phase"),
        (b'{"version": 1, "more": 3}', "more"),
        (b" " * (5 << 20), "more than 4,194,304 bytes"),
    ],
)
def test_what_is_none_is_refused_in_words(tmp_path, data, words):
    (tmp_path / NAME).write_bytes(data)
    with pytest.raises(TranscriptError, match=words):
        read(tmp_path)


def test_one_that_cannot_be_read_or_written_is_refused_in_words(tmp_path):
    (tmp_path / NAME).mkdir()
    with pytest.raises(TranscriptError, match="cannot be read"):
        read(tmp_path)
    with pytest.raises(JackError, match="could not be written"):
        write(tmp_path, Transcript())


def told(*phases):
    own = {name: Score(episodes=100, survived=90 + i, velocity_error=0.1, yaw_rate_error=0.1)
           for i, name in enumerate(phases)}  # fmt: skip
    return Transcript(entries=[Entry(phase=name, scores=own) for name in phases])


def test_skills_are_what_came_before_as_it_was_then():
    taught = told("stand", "walk", "natural")
    assert list(taught.skills("natural")) == ["stand", "walk"]
    assert taught.skills("walk")["stand"].survived == 90 and taught.skills("stand") == {}
    assert list(taught.skills("another")) == ["stand", "walk", "natural"]


def test_a_phase_that_begins_anew_voids_what_came_after_it():
    taught = told("stand", "walk", "natural")
    taught.enter(Entry(phase="walk", begun=3))
    assert [entry.phase for entry in taught.entries] == ["stand", "walk"] and taught.entry("walk").begun == 3
    taught.enter(Entry(phase="natural"))
    assert [entry.phase for entry in taught.entries] == ["stand", "walk", "natural"]


def test_an_entry_in_words():
    entry = Entry(phase="natural", parent="0123456789", parent_phase="walk", begun=4_000_000)
    assert (entry.state, entry.origin, entry.materials) == ("is taught", "walk, step 4,000,000 (01234567)", "")
    assert Entry(phase="stand", ended="steps").origin == "a new brain"
    clips = {"ab" * 32: "walk.safetensors"}
    entry = Entry(phase="natural", ended="passed", forgot=["walk: ..."], clips=clips)
    assert (entry.state, entry.materials) == ("passed, forgot", "1 clip: walk.safetensors (abababab)")
    bags = {f"{i:064d}": f"{i}.mcap" for i in range(30)}
    assert Entry(phase="clone", bags=bags).materials.startswith("30 bags: 0.mcap (00000000), 1.mcap")
    assert Entry(phase="clone", bags=bags).materials.endswith("3.mcap (00000000), ...")
    assert (
        str(Score(episodes=100, survived=97, velocity_error=0.12, yaw_rate_error=0.2))
        == "97%, 0.12 m/s, 0.20 rad/s"
    )
    assert transcript.NAME == "transcript.json"
