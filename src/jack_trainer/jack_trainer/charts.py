"""What a training logged, as curves, and the curves as pictures: SVG in the colours of the page around it."""

from __future__ import annotations

import io
import logging
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import matplotlib
import numpy as np
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure
from matplotlib.ticker import EngFormatter, MaxNLocator
from tensorboard.backend.event_processing.event_accumulator import SCALARS, EventAccumulator

from jack_contract.arrays import Array

#: Points that are drawn of a curve: means of as many parts of it, in a band from the least to the greatest value.
POINTS = 150
#: Size of a chart [inch], 72 units of the SVG each.
_SIZE = (3.9, 1.75)
#: Stand-ins for colours of the page, put in their places when the picture is done.
_INK, _LINE, _GRID = "#010203", "#040506", "#070809"
_COLOURS = {_INK: "var(--faint)", _LINE: "var(--accent)", _GRID: "var(--rule)"}
#: What matplotlib writes for other programs, and what a page with several pictures does not want.
_NOISE = re.compile(
    r'<metadata>.*?</metadata>|<style.*?</style>| xmlns(:\w+)?="[^"]*"| id="[A-Za-z0-9.]+_\d+"|<!--.*?-->',
    re.DOTALL,
)


@dataclass(frozen=True)
class Curve:
    """What was logged under one name."""

    #: environment steps, (k,)
    steps: Array
    #: (k,)
    values: Array

    @property
    def last(self) -> float:
        """The newest value that is a number; NaN if none is."""
        finite = self.values[np.isfinite(self.values)]
        return float(finite[-1]) if len(finite) else float("nan")


def read_curves(folder: Path) -> dict[str, Curve]:
    """Every scalar in a folder of TensorBoard event files, by name; empty if there is nothing."""
    # A training that was killed leaves half a record, which is no news.
    logging.getLogger("tensorboard").setLevel(logging.ERROR)
    events = EventAccumulator(str(folder), size_guidance={SCALARS: 0})
    if folder.is_dir():
        events.Reload()
    return {name: _curve(events, name) for name in sorted(events.Tags()[SCALARS])}


def _curve(events: EventAccumulator, name: str) -> Curve:
    scalars = events.Scalars(name)
    return Curve(np.array([point.step for point in scalars], float), np.array([point.value for point in scalars]))


def chart(curve: Curve, marks: Iterable[float] = ()) -> str:
    """A curve as an `<svg>` element; no text in it but numbers.

    Steps among the `marks` that lie within it are drawn as lines: there another phase begins.

    The page sets the variables --accent (the line), --faint (numbers) and --rule (the grid).
    """
    steps, mean, low, high = _condensed(curve)
    with matplotlib.rc_context({"svg.fonttype": "none", "path.simplify": False, "font.size": 8.5}):
        figure = Figure(figsize=_SIZE, layout="constrained")
        axes = figure.add_subplot()
        axes.fill_between(steps, low, high, color=_LINE, alpha=0.22, linewidth=0)
        axes.plot(steps, mean, color=_LINE, linewidth=1.6, marker="o" if len(steps) < 12 else "", markersize=3.5)
        for mark in marks:
            if len(steps) and steps[0] < mark < steps[-1]:
                axes.axvline(mark, color=_INK, linewidth=0.8, linestyle=":")
        axes.xaxis.set_major_formatter(EngFormatter(sep=""))
        axes.xaxis.set_major_locator(MaxNLocator(5))
        axes.yaxis.set_major_locator(MaxNLocator(4))
        axes.tick_params(colors=_INK, length=0)
        axes.grid(color=_GRID, linewidth=0.6)
        axes.spines[:].set_visible(False)
        file = io.StringIO()
        FigureCanvasSVG(figure).print_svg(file)
    return _for_a_page(file.getvalue())


def _for_a_page(svg: str) -> str:
    picture = _NOISE.sub("", svg[svg.index("<svg") :]).replace("xlink:href", "href").replace("\n", "")
    for stand_in, colour in _COLOURS.items():
        picture = picture.replace(stand_in, colour)
    # The background of figure and axes, matplotlib's white.
    return picture.replace("fill: #ffffff", "fill: none")


def _condensed(curve: Curve) -> tuple[Array, Array, Array, Array]:
    """Step, mean, least and greatest value of at most POINTS parts of a curve; what is not finite is left out."""
    finite = np.isfinite(curve.values)
    steps, values = curve.steps[finite], curve.values[finite]
    parts = np.array_split(np.arange(len(values)), min(POINTS, len(values))) if len(values) else []
    points = [(steps[part].mean(), values[part].mean(), values[part].min(), values[part].max()) for part in parts]
    columns = np.array(points).reshape(-1, 4).T
    return columns[0], columns[1], columns[2], columns[3]
