"""The page of a report: HTML that is all there is to it, with no request to anybody.

Whatever comes out of a file is escaped on its way into the page, and the page forbids itself scripts and requests.
"""

from __future__ import annotations

import base64
import json
import shlex
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from html import escape
from importlib import resources
from typing import Any

from pydantic import BaseModel

from jack_trainer import __version__
from jack_trainer.charts import Curve, chart
from jack_trainer.film import MEDIA_TYPE, Film
from jack_trainer.style import Style
from jack_trainer.transcript import Entry, Transcript

#: Families of curves, by what stands before the "/" of a name, in the order of the page; others follow.
_FAMILIES = {
    "episode": "Episodes while learning",
    "evaluation": "Exams",
    "exam": "Exams",
    "curriculum": "Curriculum",
    "reward": "Reward terms",
    "kept": "Exams of what he could before",
    "ppo": "PPO",
    "amp": "PPO and style",
    "cloning": "Cloning",
    "seeing": "Seeing and following",
    "time": "Speed",
}
#: The figures on top: words, name of the curve, pattern.
_FIGURES = (
    ("return", "episode/return", "{:.1f}"),
    ("episode length", "episode/length_s", "{:.1f} s"),
    ("exam survival", "evaluation/survival", "{:.0%}"),
    ("steps/s", "time/steps_per_second", "{:,.0f}"),
)

#: A cell of a table.
Cell = str | int | float | bool | None


class EvaluationTable(BaseModel):
    """`evaluation.json`."""

    columns: list[str]
    #: in the order of the columns, or by their names
    rows: list[list[Cell] | dict[str, Cell]]
    caption: str = ""
    notes: list[str] = []

    def cells(self) -> list[list[Cell]]:
        """The rows in the order of the columns."""
        return [[row.get(c) for c in self.columns] if isinstance(row, dict) else row for row in self.rows]


@dataclass(frozen=True)
class StyleShown:
    """A gait beside a clip and what it was before, and the film of it."""

    style: Style
    film: bytes


@dataclass(frozen=True)
class Facts:
    """What a page is made of."""

    name: str
    #: options, phase, contract, ... as the run was started
    configuration: Mapping[str, Any]
    curves: Mapping[str, Curve]
    #: what the policy file says of itself
    provenance: Mapping[str, Any]
    #: or why there is none
    film: Film | str
    evaluation: EvaluationTable | str
    #: what he was taught, or why that is not known
    transcript: Transcript | str = field(default_factory=Transcript)
    #: how like the clips he moves, or why that is not known; None: he learnt from none
    style: StyleShown | str | None = None

    @property
    def boundaries(self) -> list[int]:
        """Where phases begin, but for the first [environment steps]."""
        entries = [] if isinstance(self.transcript, str) else self.transcript.entries
        return [entry.begun for entry in entries[1:]]

    @property
    def options(self) -> Mapping[str, Any]:
        """What the training was asked for."""
        options = self.configuration.get("options")
        return options if isinstance(options, dict) else {}


def page(facts: Facts) -> str:
    """The page as HTML."""
    style = resources.files("jack_trainer").joinpath("report.css").read_text()
    sections = (
        _header(facts),
        _section("Film", _film_html(facts.film)),
        *_taught_section(facts.transcript),
        *_style_section(facts.style),
        *_curve_sections(facts.curves, facts.boundaries),
        _section("Evaluation", _evaluation_html(facts.evaluation)),
        _section("How to reproduce it", _reproduction(facts)),
        _section("Configuration", _configuration(facts.configuration)),
    )
    return f"""<!DOCTYPE html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'; media-src data:">
<title>{escape(facts.name)}</title><style>{style}</style></head>
<body><main>{"".join(sections)}</main></body></html>
"""


def _header(facts: Facts) -> str:
    known = [(words, facts.curves[name].last, pattern) for words, name, pattern in _FIGURES if name in facts.curves]
    figures = [("phase", str(facts.provenance.get("phase", facts.options.get("phase", "?"))))]
    if isinstance(step := facts.provenance.get("step"), int):
        figures.append(("steps", f"{step:,}"))
    figures += [(words, pattern.format(value)) for words, value, pattern in known]
    cells = "".join(f"<div><b>{escape(value)}</b><span>{escape(words)}</span></div>" for words, value in figures)
    return f'<header><h1>{escape(facts.name)}</h1><div class="figures">{cells}</div></header>'


def _section(title: str, content: str) -> str:
    return f"<section><h2>{escape(title)}</h2>{content}</section>"


def _film_html(film: Film | str) -> str:
    if isinstance(film, str):
        return f'<p class="absent">There is no film. {escape(film)}</p>'
    data = base64.b64encode(film.data).decode()
    falls = {0: "He does not fall.", 1: "He falls once."}.get(film.falls, f"He falls {film.falls} times.")
    return (
        f'<video controls autoplay loop muted playsinline src="data:{MEDIA_TYPE};base64,{data}"></video>'
        f"<p>{film.seconds:.0f} s, in real time, on the newest policy file of this run. {falls}</p>"
    )


def _style_section(shown: StyleShown | str | None) -> list[str]:
    """The clip, before and now side by side, and in figures."""
    if shown is None:
        return []
    if isinstance(shown, str):
        return [_section("Style", f'<p class="absent">{escape(shown)}</p>')]
    style, data = shown.style, base64.b64encode(shown.film).decode()
    names = list(next(iter(style.figures.values()), {}))
    rows: list[list[Cell]] = [[words, *figures.values()] for words, figures in style.figures.items()]
    nearer = ", ".join(f"{name} {share:.0%}" for name, share in style.nearer.items())
    return [
        _section(
            "Style",
            f'<video controls autoplay loop muted playsinline src="data:{MEDIA_TYPE};base64,{data}"></video>'
            f"<p>The clip {escape(style.clip)}, he before this phase, and now; all at {style.speed:g} m/s.</p>"
            f"{_table(['', *names], rows)}<p>Nearer to the clip than before: {escape(nearer)}.</p>",
        )
    ]


def _taught_section(transcript: Transcript | str) -> list[str]:
    """Phases by skills: what he could after each phase; nothing, of a run that is older than transcripts."""
    title = "What he was taught, and what he kept"
    if isinstance(transcript, str):
        return [_section(title, f'<p class="absent">{escape(transcript)}</p>')]
    if not transcript.entries:
        return []
    skills = [entry.phase for entry in transcript.entries]
    heads = "".join(f"<th>{escape(name)}</th>" for name in ("after", *skills, "", "from", "learnt from"))
    rows = "".join(_taught_row(entry, skills) for entry in transcript.entries)
    lost = "".join(
        f'<p class="lost">The policy of {escape(entry.phase)} is kept, not published. {escape(line)}</p>'
        for entry in transcript.entries
        for line in entry.forgot
    )
    table = f'<div class="wide"><table><thead><tr>{heads}</tr></thead><tbody>{rows}</tbody></table></div>'
    note = (
        "<p>Each cell: episodes that ended on his feet, and errors of velocity and yaw rate, or how much he did of "
        "what he was told; by the same exams.</p>"
    )
    return [_section(title, table + lost + note)]


def _taught_row(entry: Entry, skills: Iterable[str]) -> str:
    cells = [f"<td>{escape(entry.phase)}</td>"]
    for skill in skills:
        lost = any(line.startswith(f"{skill}: ") for line in entry.forgot)
        cells.append(f'<td class="{"lost" if lost else "kept"}">{escape(str(entry.scores.get(skill, "")))}</td>')
    words = (entry.state, entry.origin, entry.materials)
    return f"<tr>{''.join(cells)}{''.join(f'<td>{escape(text)}</td>' for text in words)}</tr>"


def _curve_sections(curves: Mapping[str, Curve], boundaries: Sequence[int]) -> Iterable[str]:
    if not curves:
        return [_section("Curves", '<p class="absent">Nothing was logged.</p>')]
    families: dict[str, list[str]] = {title: [] for title in _FAMILIES.values()}
    for name, curve in curves.items():
        family, slash, rest = name.partition("/")
        if not slash:
            family, rest = "", name
        elif rest.startswith("curriculum"):
            family = "curriculum"
        picture = chart(curve, boundaries)
        figure = f"<figure><figcaption>{escape(rest)}<b>{curve.last:.4g}</b></figcaption>{picture}</figure>"
        families.setdefault(_FAMILIES.get(family, family or "Other"), []).append(figure)
    return [_section(t, f'<div class="charts">{"".join(shown)}</div>') for t, shown in families.items() if shown]


def _evaluation_html(table: EvaluationTable | str) -> str:
    if isinstance(table, str):
        return f'<p class="absent">{escape(table)}</p>'
    notes = "".join(f"<p>{escape(note)}</p>" for note in table.notes)
    caption = f"<p>{escape(table.caption)}</p>" if table.caption else ""
    return caption + _table(table.columns, table.cells()) + notes


def _table(columns: Iterable[str], rows: Iterable[Iterable[Cell]]) -> str:
    head = "".join(f"<th>{escape(column)}</th>" for column in columns)
    body = "".join(f"<tr>{''.join(map(_cell, row))}</tr>" for row in rows)
    return f'<div class="wide"><table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>'


def _cell(value: Cell) -> str:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return f"<td>{escape('' if value is None else str(value))}</td>"
    return f'<td class="number">{f"{value:,}" if isinstance(value, int) else f"{value:.4g}"}</td>'


def _reproduction(facts: Facts) -> str:
    told = {**facts.provenance, "report made by": f"jack_trainer {__version__}"}
    rows = "".join(f"<tr><td>{escape(str(k))}</td><td>{escape(str(v))}</td></tr>" for k, v in told.items())
    return (
        f"<pre>{escape(command_line(facts.options))}</pre><table><tbody>{rows}</tbody></table>"
        "<p>A training is examined, and thereby ended, by the clock: elsewhere it ends at another step.</p>"
    )


def command_line(options: Mapping[str, Any]) -> str:
    """The command that starts a training like this one again, from the options in its `run.json`."""
    from jack_trainer.commands.train import Train

    words = ["./jack", "train", str(options.get("phase", ""))]
    for asked in fields(Train):
        value = options.get(asked.name)
        if asked.name in ("phase", "resume", "runs", "live", "keep") or value in (None, []):  # keep: another
            continue
        if value == asked.default and asked.name != "seed":
            continue
        name = "from" if asked.name == "parent" else asked.name.replace("_", "-")
        if isinstance(value, bool):
            words.append(f"--{name}" if value else f"--no-{name}")
        elif isinstance(value, list | tuple):
            words += [f"--{name}", *map(str, value)]
        else:
            words += [f"--{name}", str(value)]
    return shlex.join(word for word in words if word)


def _configuration(configuration: Mapping[str, Any]) -> str:
    if not configuration:
        return '<p class="absent">run.json is not there, or is no JSON.</p>'
    return "".join(
        f"<details><summary>{escape(str(name))}</summary><pre>{escape(json.dumps(value, indent=1))}</pre></details>"
        for name, value in configuration.items()
    )
