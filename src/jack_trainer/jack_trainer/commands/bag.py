"""`./jack bag`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import tyro
from tyro.conf import Positional

from jack_contract.contract import default_contract
from jack_contract.errors import JackError
from jack_launch.graphs import NEWEST, named_policy, runs_folder
from jack_trainer.live_graph import OK


@dataclass(frozen=True)
class Bags:
    """Look at a bag (info), or whether he can be taught with it (check); export it, or import LeRobot data."""

    # info, check, export or import
    do: Positional[Literal["info", "check", "export", "import"]] = "info"
    # folders or files; by default the episode that was recorded last; import: folders of LeRobot data sets (v3)
    paths: Annotated[Positional[tuple[Path, ...]], tyro.conf.arg(metavar="BAG ...")] = ()
    # let a bag pass although messages are missing in it
    gaps: bool = False
    # whom it is to teach: a robot that ships with Jack, or the path of a .yaml file
    robot: str = "jack"
    # export: a LeRobot data set (v3), or scenes, for the phase `manipulation`: of bags, or folders of them, what is
    # marked as a success and told in words of the grammar
    to: Literal["lerobot", "scenes"] = "lerobot"
    # export to scenes: the policy that had his legs (.onnx), as ./jack record was told
    policy: str = NEWEST
    # export: folder of the data set or the scenes
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
        if self.do == "export" and self.to == "scenes":
            return self._scenes(paths)
        if self.do == "export":
            return bag_report.export(paths, self.robot, self.gaps, self.output, self.pictures)
        return bag_report.check(paths, self.robot, self.gaps) if self.do == "check" else bag_report.show(paths)

    def _scenes(self, paths: tuple[Path, ...]) -> int:
        from rich.console import Console

        from jack_trainer.scene_export import export

        if self.gaps:
            raise JackError(
                "What is done next must be in the bag: leave out --gaps, and scenes are made of the others."
            )
        policy = named_policy(self.policy, runs_folder())
        if policy is None:
            raise JackError("Name the policy that had his legs: --policy FILE, or pretrained.")
        made = export(paths, default_contract(self.robot), policy, self.output)
        Console(highlight=False).print(made.table())
        print(f"Scenes of {len(made.episodes)} episodes are in {self.output}.")
        return OK
