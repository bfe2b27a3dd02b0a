"""`./jack bag`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import tyro
from tyro.conf import Positional

from jack_contract.errors import JackError
from jack_launch.graphs import runs_folder


@dataclass(frozen=True)
class Bags:
    """Look at a bag (info), or whether he can be taught with it (check); write or take in LeRobot data."""

    # info, check, export or import
    do: Positional[Literal["info", "check", "export", "import"]] = "info"
    # folders or files; by default the episode that was recorded last; import: folders of LeRobot data sets (v3)
    paths: Annotated[Positional[tuple[Path, ...]], tyro.conf.arg(metavar="BAG ...")] = ()
    # let a bag pass although messages are missing in it
    gaps: bool = False
    # whom it is to teach: a robot that ships with Jack, or the path of a .yaml file
    robot: str = "jack"
    # export: folder of the LeRobot data set (v3)
    output: Path = Path("dataset")
    # export: with what the camera saw
    pictures: bool = True
    # folder of the episodes
    bags: Path = runs_folder().parent / "bags"

    def run(self) -> int:
        """Do it; returns the exit code."""
        from jack_trainer.imitation import bag_report

        if self.do == "import":
            if not self.paths:
                raise JackError("Name a LeRobot data set: ./jack bag import FOLDER ...")
            return bag_report.take_in(self.paths, self.robot, self.bags)
        paths = self.paths or (bag_report.newest_bag(self.bags),)
        if self.do == "export":
            return bag_report.export(paths, self.robot, self.gaps, self.output, self.pictures)
        return bag_report.check(paths, self.robot, self.gaps) if self.do == "check" else bag_report.show(paths)
