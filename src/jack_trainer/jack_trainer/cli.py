"""The command line of ./jack: which commands there are about Jack himself; each is in a file of `commands`.

A command's class is its command line.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Annotated, NoReturn

import tyro

from jack_contract.errors import JackError
from jack_launch.description import LaunchError
from jack_launch.graphs import NEWEST
from jack_trainer.commands.bag import Bags
from jack_trainer.commands.deploy import Deploy
from jack_trainer.commands.diff import Diff
from jack_trainer.commands.evaluate import Evaluate
from jack_trainer.commands.mocap import Mocap
from jack_trainer.commands.record import Record
from jack_trainer.commands.report import Report
from jack_trainer.commands.say import Say
from jack_trainer.commands.scenes import Scenes
from jack_trainer.commands.status import Status
from jack_trainer.commands.teleop import Teleop
from jack_trainer.commands.train import Train
from jack_trainer.commands.view import View
from jack_trainer.live_graph import FAILED


def arguments(given: Sequence[str]) -> list[str]:
    """The command line, with `--resume` meaning the newest run where none is named."""
    words = list(given)
    for index, word in enumerate(words):
        if word == "--resume" and (index + 1 == len(words) or words[index + 1].startswith("-")):
            words[index] = f"--resume={NEWEST}"
    return words


def parse(
    given: Sequence[str],
) -> Train | Deploy | Evaluate | Status | Report | Diff | View | Teleop | Record | Bags | Mocap | Scenes | Say:
    """The command that a command line asks for."""
    return tyro.cli(
        Annotated[Train, tyro.conf.subcommand("train")]
        | Annotated[Deploy, tyro.conf.subcommand("deploy")]
        | Annotated[Evaluate, tyro.conf.subcommand("evaluate")]
        | Annotated[Status, tyro.conf.subcommand("status")]
        | Annotated[Report, tyro.conf.subcommand("report")]
        | Annotated[Diff, tyro.conf.subcommand("diff")]
        | Annotated[View, tyro.conf.subcommand("view")]
        | Annotated[Teleop, tyro.conf.subcommand("teleop")]
        | Annotated[Record, tyro.conf.subcommand("record")]
        | Annotated[Bags, tyro.conf.subcommand("bag")]
        | Annotated[Mocap, tyro.conf.subcommand("mocap")]
        | Annotated[Scenes, tyro.conf.subcommand("scenes")]
        | Annotated[Say, tyro.conf.subcommand("say")],
        prog="./jack",
        description="Jack: teach him, set him to work, score him, see how it goes.",
        args=arguments(given),
    )


def main() -> NoReturn:
    """Read the command line, do what it asks for, and end with its exit code."""
    try:
        sys.exit(parse(sys.argv[1:]).run())
    except (JackError, LaunchError) as error:
        print(f"jack: {error}", file=sys.stderr)
        sys.exit(FAILED)


if __name__ == "__main__":
    main()
