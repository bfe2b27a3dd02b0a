import hashlib
import json
import shutil
import sys
from pathlib import Path

import pytest

from jack_contract.errors import JackError
from jack_launch.graphs import pretrained_policy
from jack_sim.errors import CameraError
from jack_trainer import style, transcript
from jack_trainer.imitation.mocap.motion import save_motion
from jack_trainer.page import StyleShown, _style_section
from jack_trainer.style import FIGURES, FILM, Style, last_with_clips, style_aside, write_style
from jack_trainer.transcript import Entry, Transcript

sys.path.insert(0, str(Path(__file__).parent))
from walking_clip import walking_clip


@pytest.fixture
def run(tmp_path):
    """A run that went on from the policy that ships, with a clip, and came to the same again."""
    folder, clip = tmp_path / "20260101-natural", tmp_path / "walk.safetensors"
    save_motion(clip, walking_clip())
    newest = folder / "checkpoints" / "000005000000"
    newest.mkdir(parents=True)
    shutil.copy(pretrained_policy(), newest / "policy.onnx")
    told = Entry(
        phase="natural",
        begun=4_005_888,
        parent="ab" * 32,
        parent_phase="walk",
        clips={hashlib.sha256(clip.read_bytes()).hexdigest(): clip.name},
    )
    transcript.write(folder, Transcript(entries=[Entry(phase="walk", ended="passed"), told]))
    options = {"phase": "natural", "parent": str(pretrained_policy()), "clips": [str(clip)]}
    (folder / "run.json").write_text(json.dumps({"options": options}))
    return folder


@pytest.mark.slow
def test_the_same_policy_is_no_nearer_to_the_clip_than_before(run, monkeypatch):
    shown = []
    monkeypatch.setattr(style, "write_side_by_side", lambda path, courses, period: shown.append(courses))
    found = write_style(run)
    assert found.clip == "walking" and found.speed == 0.8
    assert list(found.figures) == list(shown[0]) == ["clip", "before", "now"]
    assert found.figures["before"] == found.figures["now"] != found.figures["clip"]
    assert set(found.nearer.values()) == {0.0}
    assert found.figures["now"]["speed"] == pytest.approx(0.8, abs=0.15)
    assert len({len(course) for course in shown[0].values()}) == 1  # they are seen at the same time
    assert Style.model_validate_json((run / FIGURES).read_bytes()) == found


@pytest.mark.slow
def test_a_film_of_it_is_made_aside(run):
    try:
        style_aside(run)
    except (CameraError, JackError) as error:
        pytest.skip(str(error))
    assert (run / FILM).read_bytes()[:4] == b"\x1a\x45\xdf\xa3"  # EBML, as WebM begins


def test_a_clip_that_changed_is_not_there_any_more(run, tmp_path):
    (tmp_path / "walk.safetensors").write_bytes(b"another")
    with pytest.raises(JackError, match=r"The clips of 20260101-natural are not there any more: walk\.safetensors"):
        write_style(run)


def test_a_run_without_clips_has_no_style(tmp_path):
    assert last_with_clips(tmp_path) is None
    with pytest.raises(JackError, match="has learnt from no clip"):
        write_style(tmp_path)


def test_nothing_of_it_is_markup():
    told = Style(clip="<i>", speed=0.8, figures={"<b>": {"<u>": 1.0}}, nearer={"<s>": 0.5})
    (html,) = _style_section(StyleShown(told, b"a film"))
    assert not any(tag in html for tag in ("<i>", "<b>", "<u>", "<s>")) and "&lt;s&gt; 50%" in html
    assert _style_section(None) == [] and "why not" in _style_section("why not")[0]
