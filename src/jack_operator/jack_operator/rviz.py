"""Start RViz with Jack's view of himself. RViz comes with ROS 2 from apt; the wheels of PyPI have none."""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path
from typing import NoReturn

SHARE = Path("share") / "jack_operator" / "rviz" / "jack.rviz"


def view() -> Path | None:
    """Jack's view, in the first workspace that has it."""
    for prefix in filter(None, os.environ.get("AMENT_PREFIX_PATH", "").split(os.pathsep)):
        if (path := Path(prefix) / SHARE).is_file():
            return path
    return None


def main() -> NoReturn:
    """Become RViz, with the same ROS arguments; say what is missing where that cannot be."""
    program, config = shutil.which("rviz2"), view()
    if program is None:
        sys.exit("rviz: there is no rviz2; with ROS 2 from apt type: sudo apt-get install ros-jazzy-rviz2")
    if config is None:
        sys.exit("rviz: jack.rviz is not installed; type: ./jack setup")
    os.execv(program, [program, "-d", str(config), *sys.argv[1:]])  # noqa: S606 - no shell is wanted


if __name__ == "__main__":
    main()
