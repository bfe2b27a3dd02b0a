import json
import re
import shlex
from dataclasses import asdict
from html.parser import HTMLParser
from pathlib import Path

import cv2
import numpy as np
import pytest
from torch.utils.tensorboard import SummaryWriter

from jack_brain.network.brain import Brain
from jack_brain.network.export import PolicyExporter
from jack_brain.policy import Policy
from jack_contract.errors import JackError
from jack_sim.errors import CameraError
from jack_trainer import charts, film, transcript
from jack_trainer.charts import Curve, read_curves
from jack_trainer.cli import Train, parse
from jack_trainer.film import Act, Film, film_aside, make_film
from jack_trainer.page import Facts, command_line, page
from jack_trainer.report import write_report
from jack_trainer.training import TrainOptions
from jack_trainer.transcript import Entry, Score, Transcript

TERMS = ["velocity", "yaw_rate", "foot_slip"]
EVIL = '<script>alert("x")</script>'
FILM = Film(b"a film", seconds=12.0, falls=2)


@pytest.fixture(scope="session")
def policy(contract):
    """An untrained policy, sealed."""
    told = {"phase": "walk", "step": 1234, "seed": 3, "code": EVIL}
    return PolicyExporter(Brain(contract), command=True).export(told)


@pytest.fixture
def run(tmp_path, policy):
    """A run of two hundred updates, with names that nobody should trust."""
    folder = tmp_path / "20260101-walk"
    newest = folder / "checkpoints" / "000000001234"
    newest.mkdir(parents=True)
    (newest / "policy.onnx").write_bytes(policy)
    with SummaryWriter(folder / "tensorboard") as log:
        for step in range(1, 201):
            log.add_scalar("episode/return", step / 2, step * 1000)
            log.add_scalar("ppo/divergence", float("nan") if step % 2 else 0.01, step * 1000)
            for term in TERMS:
                log.add_scalar(f"reward/{term}", 0.1 * step, step * 1000)
            log.add_scalar("reward/curriculum", 1.0, step * 1000)
    options = {"phase": "walk", "steps": 0, "seed": 3, "brain": EVIL, "environments": 64}
    (folder / "run.json").write_text(json.dumps({"options": options, "phase": {"name": "walk"}}))
    table = {"columns": ["world", "velocity error"], "rows": [["flat", 0.12345], {"world": EVIL}], "notes": ["<b>"]}
    (folder / "evaluation.json").write_text(json.dumps(table))
    return folder


class Page(HTMLParser):
    """Counts elements, remembers what they point to, and complains about what is not closed."""

    VOID = ("meta", "br", "img", "link")

    def __init__(self, text):
        super().__init__()
        self.open, self.tags, self.links, self.text = [], [], [], ""
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.links += [value for name, value in attrs if name in ("src", "href", "data", "poster", "action")]
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.handle_starttag(tag, attrs)
        if tag not in self.VOID:
            self.open.pop()

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if self.open[-1:] != ["style"]:
            self.text += data


def make(run, **changes):
    path = write_report(run, **({"make": lambda policy: FILM} | changes))
    assert path == run / "report.html"
    return path.read_text()


def test_the_page_is_whole_and_asks_nobody(run):
    text = make(run)
    seen = Page(text)
    assert not re.search(r"https?://|url\((?!#)|@import|//cdn", text)
    assert all(link.startswith(("#", "data:video/webm;base64,")) for link in seen.links)
    assert "default-src 'none'" in text
    assert seen.tags.count("svg") == len(TERMS) + 3 and seen.tags.count("video") == 1


def test_everything_that_was_logged_is_there(run):
    text = Page(make(run)).text
    for words in (*TERMS, "return", "divergence", "curriculum", "100.0", "1,234", "0.1235", "He falls 2 times."):
        assert words in text, words


def test_nothing_from_a_file_gets_in_raw(run):
    renamed = run.rename(run.with_name("<script>alert(1)<"))
    text = make(renamed)
    assert "<script" not in text and "<b>&lt;" not in text
    seen = Page(text)
    assert "script" not in seen.tags
    assert EVIL in seen.text and "<b>" in seen.text and "<script>alert(1)<" in seen.text


def test_no_name_of_a_curve_nor_any_words_are_markup():
    """TensorBoard's writer cleans names; whoever else wrote the file need not."""
    curves = {name: Curve(np.ones(1), np.ones(1)) for name in (f"reward/{EVIL}", f"{EVIL}", "<i>/<u>", "alone")}
    text = page(Facts(EVIL, {EVIL: EVIL}, curves, {EVIL: EVIL}, film=EVIL, evaluation=EVIL))
    assert not set(Page(text).tags) & {"script", "i", "u"}
    assert Page(text).text.count("alert(") >= 9


def test_without_a_film_the_page_says_why(run):
    def blind(policy):
        raise CameraError("no EGL <here>")

    seen = Page(make(run, make=blind))
    assert "video" not in seen.tags and "no EGL <here>" in seen.text
    assert "not asked for" in make(run, filmed=False)


def test_a_run_with_nothing_in_it_still_has_a_page(tmp_path):
    text = Page(make(tmp_path)).text
    for words in ("Nothing was logged", "There is no policy", "not evaluated yet", "run.json is not there"):
        assert words in text, words


def score(survived):
    return Score(episodes=100, survived=survived, velocity_error=0.1, yaw_rate_error=0.2)


def test_the_matrix_of_phases_and_skills_says_what_was_kept_and_what_was_not(run):
    entries = [
        Entry(phase="stand", ended="passed", scores={"stand": score(97)}),
        Entry(phase=EVIL, parent="ab" * 32, parent_phase="stand", begun=1000, clips={"cd" * 32: EVIL},
              scores={EVIL: score(99), "stand": score(80)}, forgot=[f"stand: {EVIL}"], ended="passed"),
    ]  # fmt: skip
    transcript.write(run, Transcript(entries=entries))
    text = make(run)
    seen = Page(text)
    assert not set(seen.tags) & {"script"}
    rows = re.findall(r"<tr>(<td>(?:stand|&lt;script).*?)</tr>", text)
    cells = [re.findall(r'<td(?: class="(\w+)")?>(.*?)</td>', row) for row in rows[:2]]
    assert [[mark for mark, _ in row[1:3]] for row in cells] == [["kept", "kept"], ["lost", "kept"]]
    assert [words.split(",")[0] for row in cells for _, words in row[1:3]] == ["97%", "", "80%", "99%"]
    assert "stand, step 1,000 (abababab)" in seen.text and "1 clip:" in seen.text
    assert "is kept, not published. stand: <script>" in seen.text


def test_without_a_transcript_there_is_no_matrix_and_a_torn_one_is_named(run):
    assert "what he kept" not in make(run)
    (run / transcript.NAME).write_text('{"version": "<i>"}')
    text = make(run)
    assert "transcript.json is no transcript: version" in text and "<i>" not in text


def test_an_evaluation_that_is_none_is_named(run):
    (run / "evaluation.json").write_text('{"columns": "<i>"}')
    text = make(run)
    assert "evaluation.json is no evaluation: columns" in text and "<i>" not in text


def test_the_command_line_says_what_is_not_the_default():
    options = {"phase": "walk", "steps": 0, "seed": 0, "brain": "small; rm -rf /", "runs": "/tmp/x", "keep": 5}
    line = command_line(options)
    assert line.startswith("./jack train walk --seed 0") and "--brain 'small; rm -rf /'" in line
    assert "--runs" not in line and "--steps" not in line and "--keep" not in line


def test_the_command_line_of_a_training_can_be_typed():
    words = shlex.split(command_line(asdict(TrainOptions("walk", seed=3, brain="small", randomization="wide"))))
    asked = parse(words[1:])
    assert isinstance(asked, Train) and (asked.phase, asked.seed, asked.brain) == ("walk", 3, "small")
    assert (asked.randomization, asked.environments) == ("wide", TrainOptions.environments)


def test_the_command_line_of_a_course_can_be_typed():
    given = {"parent": Path("runs/a run"), "clips": (Path("a b.safetensors"), Path("c.safetensors"))}
    words = shlex.split(command_line(asdict(TrainOptions("walk,natural", seed=3, **given))))
    asked = parse(words[1:])
    assert isinstance(asked, Train) and (asked.taught, asked.parent) == ("walk,natural", "runs/a run")
    assert (asked.clips, asked.bags) == (given["clips"], ())


def test_a_resumed_run_has_one_curve(tmp_path):
    """What was logged after the checkpoint that the run went on from is not drawn."""
    for first, last, value in ((1, 10, 1.0), (6, 8, 2.0)):
        with SummaryWriter(tmp_path, purge_step=first, filename_suffix=str(first)) as log:
            for step in range(first, last + 1):
                log.add_scalar("episode/return", value, step)
    curve = read_curves(tmp_path)["episode/return"]
    assert curve.steps.tolist() == [1, 2, 3, 4, 5, 6, 7, 8]
    assert curve.values.tolist() == [1, 1, 1, 1, 1, 2, 2, 2]
    assert curve.last == 2.0


def test_a_long_curve_is_drawn_by_means_and_extremes():
    curve = Curve(np.arange(300.0), np.where(np.arange(300) % 2, 3.0, 1.0))
    steps, mean, low, high = charts._condensed(curve)
    assert len(steps) == charts.POINTS and steps[0] == 0.5
    assert set(mean) == {2.0} and set(low) == {1.0} and set(high) == {3.0}


@pytest.mark.parametrize("values", [[], [np.nan, np.inf], [1.0], [2.0, np.nan, 3.0]])
def test_curves_of_hardly_anything_can_be_drawn(values):
    curve = Curve(np.arange(float(len(values))), np.array(values))
    assert charts.chart(curve).startswith("<svg")
    finite = [value for value in values if np.isfinite(value)]
    assert curve.last == finite[-1] if finite else np.isnan(curve.last)


def test_where_a_phase_begins_a_line_is_drawn():
    curve = Curve(np.arange(100.0), np.ones(100))
    lines = [charts.chart(curve, marks).count("stroke-dasharray") for marks in ([], [50.0], [0.0, 20.0, 50.0, 1e6])]
    assert [line - lines[0] for line in lines] == [0, 1, 2]


def test_a_film_shows_what_is_asked_for(tmp_path, policy):
    (tmp_path / "policy.onnx").write_bytes(policy)
    programme = (Act("stand", 0.2), Act("forward", 0.2, (0.5, 0.0, 0.0)))
    try:
        made = make_film(tmp_path / "policy.onnx", programme)
    except CameraError as error:
        pytest.skip(str(error))
    assert made.seconds == pytest.approx(0.4) and made.falls == 0
    (tmp_path / "film.webm").write_bytes(made.data)
    capture = cv2.VideoCapture(str(tmp_path / "film.webm"))
    pictures = [picture for ok, picture in iter(capture.read, (False, None)) if ok]
    assert len(pictures) == 10 and pictures[0].shape == (film.HEIGHT, film.WIDTH, 3)
    words = [picture[: film._STRIP].astype(int) for picture in pictures]
    changed = np.abs(words[0] - words[-1]).max()
    assert words[0].max() > 200 and changed > 100  # white letters, and others later
    assert pictures[0][film._STRIP :].std() > 20  # and a picture below


def test_who_falls_is_counted_once_and_stood_up(policy, contract):
    stage = film._Stage(Policy.load(policy, contract))
    shove = Act("fall", 3.0, push=(3.0, 0.0, 0.0))
    doing = [does for _, does in stage.play([shove])]
    assert stage.falls >= 1 and doing.count("fallen") >= film.RATE * film._LYING - 1
    assert doing.count("fallen") <= stage.falls * (film.RATE * film._LYING + 2)
    assert "ahead" in doing[-1] or stage.falls > 1


def test_a_film_that_cannot_be_made_aside_says_why(tmp_path):
    (tmp_path / "policy.onnx").write_bytes(b"no policy")
    with pytest.raises(JackError, match="cut off, or no policy"):
        film_aside(tmp_path / "policy.onnx")
