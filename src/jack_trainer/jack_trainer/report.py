"""The report of a training: what its folder holds, read and made into one page, with a film of its policy."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter, ValidationError

from jack_brain import policy_file
from jack_contract.errors import JackError
from jack_trainer import progress_file, scorecard, transcript
from jack_trainer.charts import read_curves
from jack_trainer.exam import find_policy
from jack_trainer.files import replace_file
from jack_trainer.film import Film, film_aside
from jack_trainer.page import EvaluationTable, Facts, StyleShown, page
from jack_trainer.status import REPORT
from jack_trainer.style import FIGURES, FILM, Style, last_with_clips, style_aside
from jack_trainer.transcript import Transcript

_JSON = TypeAdapter(dict[str, Any])


def write_report(run: Path, filmed: bool = True, make: Callable[[Path], Film] = film_aside) -> Path:
    """Make the report of a run anew, `report.html` in its folder.

    What cannot be had (a film where nothing can be drawn, an evaluation that was not made) is named in the page.

    Args:
        run: its folder.
        filmed: whether to make a film, which takes some 20 s on two cores.
        make: makes the film of a policy file, or raises a JackError.

    Returns:
        The page.

    Raises:
        JackError: the page cannot be written.
    """
    configuration = _read(run / progress_file.RUN)
    facts = Facts(
        name=run.absolute().name,
        configuration=configuration,
        curves=read_curves(run / "tensorboard"),
        provenance=_provenance(run),
        film=_film(run, make) if filmed else "It was not asked for: ./jack report makes it.",
        evaluation=_evaluation(run / scorecard.FILE),
        transcript=_transcript(run),
        style=_style(run, filmed),
    )
    path, html = run / REPORT, page(facts)
    try:
        replace_file(path, html.encode())
    except OSError as error:
        raise JackError(f"{path} could not be written: {error.strerror}.") from error
    return path


def _read(path: Path) -> dict[str, Any]:
    try:
        return _JSON.validate_json(path.read_bytes())
    except (OSError, ValidationError):
        return {}


def _provenance(run: Path) -> dict[str, Any]:
    """What the newest policy file says of itself; nothing if there is none that is whole."""
    try:
        file = find_policy(run, run.parent).read_bytes()
        policy_file.require_sealed(file)
        return _JSON.validate_json(policy_file.read_metadata(file).get(policy_file.PROVENANCE, "{}"))
    except (JackError, OSError, ValidationError):
        return {}


def _transcript(run: Path) -> Transcript | str:
    try:
        return transcript.read(run)
    except transcript.TranscriptError as error:
        return str(error)


def _style(run: Path, filmed: bool) -> StyleShown | str | None:
    """How like the clips he moves, made anew if films are asked for; nothing, of a run without clips."""
    try:
        if last_with_clips(run) is None:
            return None
        if filmed:
            style_aside(run)
        style, film = Style.model_validate_json((run / FIGURES).read_bytes()), run / FILM
        return StyleShown(style, film.read_bytes())
    except (JackError, OSError, ValidationError) as error:
        return f"His style is not compared: {error}"


def _film(run: Path, make: Callable[[Path], Film]) -> Film | str:
    try:
        return make(find_policy(run, run.parent))
    except (JackError, OSError) as error:
        return str(error)


def _evaluation(path: Path) -> EvaluationTable | str:
    try:
        return EvaluationTable.model_validate_json(path.read_bytes())
    except FileNotFoundError:
        return "It was not evaluated yet: ./jack evaluate, then ./jack report."
    except OSError as error:
        return f"{path.name} cannot be read: {error.strerror}."
    except ValidationError as error:
        wrong = error.errors(include_url=False)[0]
        return f"{path.name} is no evaluation: {'.'.join(map(str, wrong['loc']))} {wrong['msg']}."
