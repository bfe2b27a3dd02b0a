"""A picture of Jack in his home pose: `python -m jack_sim.portrait docs/jack.png`."""

from __future__ import annotations

from pathlib import Path

import cv2
import tyro

from jack_sim.camera import Camera
from jack_sim.errors import SimulationError
from jack_sim.physics import World
from jack_sim.scene import LIVE


def portrait(path: Path, width: int = 720, height: int = 720) -> None:
    """Render Jack and write the picture.

    Args:
        path: of the picture; its suffix says which kind.
        width: of the picture [px].
        height: of the picture [px].
    """
    world = World(LIVE)
    with_shadows = Camera(world.model, width, height, "portrait", shadows=True)
    picture = cv2.cvtColor(with_shadows.render(world.position), cv2.COLOR_RGB2BGR)
    path.parent.mkdir(parents=True, exist_ok=True)
    if not cv2.imwrite(str(path), picture):
        raise SimulationError(f"{path} could not be written.")


if __name__ == "__main__":
    tyro.cli(portrait)
