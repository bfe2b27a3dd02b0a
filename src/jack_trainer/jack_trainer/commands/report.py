"""`./jack report`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro
from tyro.conf import Positional

from jack_launch.graphs import NEWEST, runs_folder
from jack_trainer.live_graph import OK


@dataclass(frozen=True)
class Report:
    """Make a training's page, report.html in its folder: curves, film, evaluation, configuration."""

    # name or folder; newest: the one that was written to last
    run_name: Annotated[Positional[str], tyro.conf.arg(metavar="RUN")] = NEWEST
    # with a film of the newest policy, which takes some 20 s
    film: bool = True
    # folder of the trainings
    runs: Path = runs_folder()

    def run(self) -> int:
        """Do it; returns the exit code."""
        from jack_trainer import progress_file, report

        found = progress_file.find_run(self.run_name, self.runs)
        print(report.write_report(found, self.film).absolute())
        return OK
