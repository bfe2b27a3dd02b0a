"""Write what is derived from jack.xml: the contract's robot description, and the URDF.

python -m jack_sim.generate
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from importlib import resources
from pathlib import Path

import tyro

from jack_contract.robot import robot_to_yaml
from jack_sim.robot_model import robot_spec
from jack_sim.scene import SceneOptions, load_model, models_folder
from jack_sim.urdf import urdf


@dataclass(frozen=True)
class Options:
    """Where the generated files go."""

    #: folder for jack.yaml
    robots: Path = Path(str(resources.files("jack_contract") / "robots"))
    #: folder for jack.urdf
    models: Path = models_folder()
    #: time between two commands [s]
    control_period: float = 0.02


#: What a reader of the generated description should know.
HEADER = """\
# Generated from jack.xml: python -m jack_sim.generate
# Angles in rad, speeds in rad/s, torques in N m, stiffness in N m/rad, damping in N m s/rad, control_period in s.
"""


def generated_files(options: Options) -> dict[Path, str]:
    """Every generated file and what it should contain."""
    model = load_model(SceneOptions())
    robot = robot_spec(model, options.control_period)
    return {
        options.robots / f"{robot.name}.yaml": HEADER + robot_to_yaml(robot),
        options.models / f"{robot.name}.urdf": urdf(model),
    }


def main(options: Options) -> None:
    """Write the generated files."""
    for path, text in generated_files(options).items():
        _write(path, text)
        print(f"wrote {path}")


def _write(path: Path, text: str) -> None:
    """Write aside, then rename: a reader never meets half a file."""
    aside = path.with_name(f".{path.name}.{os.getpid()}")
    with aside.open("w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    aside.replace(path)


if __name__ == "__main__":
    main(tyro.cli(Options, description=__doc__))
