"""`./jack diff`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from tyro.conf import Positional

from jack_trainer.live_graph import FAILED, OK


@dataclass(frozen=True)
class Diff:
    """Find where a bag's readings part from what the simulator would have read. Ends with 0 if they never do."""

    # bag of the robot, or of ./jack deploy --sim: an .mcap or .db3 file, or a folder
    bag: Positional[Path]
    # namespace of the robot's topics
    namespace: str = ""
    # save a picture of both curves beside the bag
    picture: bool = True

    def run(self) -> int:
        """Do it; returns the exit code."""
        from jack_trainer.divergence import report
        from jack_trainer.divergence.diff import diff

        result = diff(self.bag, self.namespace)
        report.show(result, report.save_picture(result) if self.picture else None)
        return FAILED if result.finding else OK
