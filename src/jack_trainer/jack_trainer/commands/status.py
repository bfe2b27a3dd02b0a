"""`./jack status`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro
from tyro.conf import Positional

from jack_launch.graphs import NEWEST, runs_folder
from jack_trainer.live_graph import INTERRUPTED, OK


@dataclass(frozen=True)
class Status:
    """Show where a training is, while it runs or afterwards."""

    # name or folder; newest: the one that was written to last
    run_name: Annotated[Positional[str], tyro.conf.arg(metavar="RUN")] = NEWEST
    # look again and again, until it ends or Ctrl-C
    watch: bool = False
    # folder of the trainings
    runs: Path = runs_folder()

    def run(self) -> int:
        """Do it; returns the exit code."""
        from jack_trainer import progress_file, status

        found = progress_file.find_run(self.run_name, self.runs)
        try:
            (status.watch if self.watch else status.show)(found)
        except KeyboardInterrupt:
            return INTERRUPTED
        return OK
