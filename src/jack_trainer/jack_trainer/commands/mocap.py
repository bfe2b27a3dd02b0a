"""`./jack mocap`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro
from tyro.conf import Positional

from jack_contract.errors import JackError
from jack_launch.graphs import runs_folder
from jack_trainer.live_graph import FAILED, OK


@dataclass(frozen=True)
class Retarget:
    """Have Jack move as recorded people do. Ends with 1 if a file failed; the others are made all the same."""

    # recordings: .bvh, .amc with .asf, DeepMimic's .txt or .json, .npz of AMASS
    files: Annotated[Positional[tuple[Path, ...]], tyro.conf.arg(metavar="FILE ...")]
    # folder of the motions, which are named after the files
    out: Path = runs_folder().parent / "motions"
    # film each: Jack, and the person as sticks
    preview: bool = False
    # how many times faster than recorded
    speed: float = 1.0
    # skeleton (.asf) of the .amc files; by default the one that lies beside each
    skeleton: Path | None = None
    # who may use the motions, to be kept with them; by default as far as the format tells
    terms: str = ""

    def run(self) -> int:
        """Do it; returns the exit code."""
        from jack_trainer.imitation.mocap.command import Order, retarget_files

        if not self.files:
            raise JackError("Name a recording: ./jack mocap retarget FILE ...")
        order = Order(self.out, self.preview, self.speed, self.skeleton, self.terms)
        return FAILED if retarget_files(self.files, order) else OK


@dataclass(frozen=True)
class MocapInfo:
    """Say what a recording is, or a motion that was made of one."""

    # recording, or .safetensors
    file: Positional[Path]
    # skeleton (.asf) of an .amc file; by default the one that lies beside it
    skeleton: Path | None = None

    def run(self) -> int:
        """Do it; returns the exit code."""
        from jack_trainer.imitation.mocap.command import show

        show(self.file, self.skeleton)
        return OK


@dataclass(frozen=True)
class Mocap:
    """Recorded motions of people: have Jack move like them (retarget), or look at one (info)."""

    do: Annotated[
        Annotated[Retarget, tyro.conf.subcommand("retarget", prefix_name=False)]
        | Annotated[MocapInfo, tyro.conf.subcommand("info", prefix_name=False)],
        tyro.conf.arg(name=""),
    ]

    def run(self) -> int:
        """Do it; returns the exit code."""
        return self.do.run()
