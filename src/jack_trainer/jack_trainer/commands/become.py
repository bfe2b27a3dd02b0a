"""Commands that are a node: this process, on this terminal, goes on as one."""

from __future__ import annotations

import os
import sys
from typing import NoReturn

from jack_launch.description import NodeSpec
from jack_trainer.supervisor import command


def become(spec: NodeSpec) -> NoReturn:
    """Go on as a node, in this process and on this terminal."""
    argv = command(spec)
    sys.stdout.flush()
    os.execv(argv[0], argv)  # noqa: S606 - no shell is wanted
