"""Pictures a second, in random order, as a policy is trained with them: batches of float tensors, 64 x 64 pixels.

Jack decodes each picture of a bag once and maps the pixels into memory; LeRobot decodes its films each time. The
plain way is that OpenCV decodes the JPEG and scales it. LeRobot needs another torch than Jack: give the Python that
has it with --lerobot. What the first look costs, which fills Jack's file, is measured too, against the plain way,
which begins anew each time.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import count
from pathlib import Path

import cv2
import numpy as np
import torch
import tyro
from pairing import QUICK, Comparison, Protocol, Side, compare, report, write_json

from jack_contract.contract import CameraSpec, default_contract
from jack_contract.errors import JackError
from jack_trainer.imitation import lerobot
from jack_trainer.imitation.bag import Bag
from jack_trainer.imitation.bag_of_moments import Moments, write_bag
from jack_trainer.imitation.pictures import Jpeg, pictures_of, read_jpegs

#: As Jack's camera sends them.
WIDTH, HEIGHT = 320, 240
BATCH = 64


@dataclass(frozen=True)
class Options:
    """What is looked at, and how."""

    #: a few seconds, to see that it runs; the figures mean nothing, nothing is written
    quick: bool = False
    #: windows of each side
    pairs: int = 10
    #: length of a window [s]
    window: float = 5.0
    #: pictures in the bag, one a control period
    pictures: int = 2_000
    #: processes of LeRobot's loader besides its own; 0: none
    workers: int = 0
    #: Python that has LeRobot
    lerobot: str = sys.executable
    #: where the figures go
    output: Path = Path(__file__).with_suffix(".json")


def record(folder: Path, count: int) -> Path:
    """A bag of a walk through a room of soft colours."""
    robot, random = default_contract().robot, np.random.default_rng(0)
    room = random.integers(0, 255, (HEIGHT + 80, 4 * WIDTH, 3), np.uint8)
    room = cv2.normalize(cv2.GaussianBlur(room, (0, 0), 6), np.zeros_like(room), 0, 255, cv2.NORM_MINMAX)

    def look(step: int) -> np.ndarray:
        left, top = step * 3 % (3 * WIDTH), int(40 + 30 * np.sin(step / 9))
        return room[top : top + HEIGHT, left : left + WIDTH]

    state = np.zeros((count, 2 * robot.count + 10))
    state[:, 2 * robot.count + 3] = 1.0  # upright
    still, pose = np.zeros((count, 3)), np.tile(robot.default_position, (count, 1))
    pictures = (look(step) for step in range(count))
    write_bag(folder, "room", Moments(1 / robot.control_period, "", "", state, still, pose, pictures), robot)
    return folder


# -- the sides


def mapped(bag: Bag, camera: CameraSpec, folder: Path) -> Side:
    """Jack's: from pixels in memory."""
    pictures, random = pictures_of(bag, camera, folder), np.random.default_rng(0)

    def batch() -> torch.Tensor:
        rows = random.integers(0, len(pictures.times), BATCH)
        return torch.from_numpy(pictures.batch(rows)).float() / 255.0

    return _batches(batch)


def decoded(bag: Bag, camera: CameraSpec) -> Side:
    """The plain way: OpenCV decodes each, and scales it."""
    jpegs, random = list(read_jpegs(bag)), np.random.default_rng(0)

    def batch() -> torch.Tensor:
        rows = random.integers(0, len(jpegs), BATCH)
        return torch.from_numpy(np.stack([_plainly(jpegs[row], camera) for row in rows])).float() / 255.0

    return _batches(batch)


def _plainly(jpeg: Jpeg, camera: CameraSpec) -> np.ndarray:
    picture = cv2.imdecode(np.frombuffer(jpeg.data, np.uint8), cv2.IMREAD_COLOR)
    size = camera.width, camera.height
    return cv2.resize(picture, size, interpolation=cv2.INTER_AREA)[..., ::-1].transpose(2, 0, 1)  # type: ignore[arg-type]


def _batches(batch: Callable[[], torch.Tensor]) -> Side:
    def measure(seconds: float) -> float:
        begun, done = time.perf_counter(), 0
        while time.perf_counter() - begun < seconds:
            done += len(batch())
        return done / (time.perf_counter() - begun)

    return measure


def first_look(bag: Bag, camera: CameraSpec, folder: Path) -> Side:
    """Jack's file of pixels, made again and again."""
    number = count()

    def measure(seconds: float) -> float:
        begun, done = time.perf_counter(), 0
        while time.perf_counter() - begun < seconds:
            place = folder / f"first{next(number)}"
            done += len(pictures_of(bag, camera, place).times)
            for file in place.iterdir():
                file.unlink()
        return done / (time.perf_counter() - begun)

    return measure


def every_look(bag: Bag, camera: CameraSpec) -> Side:
    """The plain way from the bag on."""

    def measure(seconds: float) -> float:
        begun, done = time.perf_counter(), 0
        while time.perf_counter() - begun < seconds:
            done += len([_plainly(jpeg, camera) for jpeg in read_jpegs(bag)])
        return done / (time.perf_counter() - begun)

    return measure


@contextmanager
def lerobots(python: str, root: Path, camera: CameraSpec, workers: int) -> Iterator[Side]:
    """LeRobot's own loader, in a process of its own; it works only while it is asked."""
    command = [python, __file__.replace(".py", "_lerobot.py"), str(root)]
    command += [str(number) for number in (BATCH, camera.height, camera.width, workers)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as child:
        assert child.stdin is not None and child.stdout is not None
        pipe, answers = child.stdin, child.stdout
        if answers.readline().strip() != "ready":
            raise SystemExit("LeRobot's loader does not start.")

        def measure(seconds: float) -> float:
            print(seconds, file=pipe, flush=True)
            return float(answers.readline())

        try:
            yield measure
        finally:
            pipe.close()


def has_lerobot(python: str) -> bool:
    """Whether that Python has LeRobot."""
    return subprocess.run([python, "-c", "import lerobot"], capture_output=True, check=False).returncode == 0


def main(options: Options) -> None:
    """Measure and report."""
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    camera = default_contract().camera
    protocol = QUICK if options.quick else Protocol(options.pairs, options.window)
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        bag = Bag(record(folder / "room", 100 if options.quick else options.pictures))
        ours, packages = mapped(bag, camera, folder / "pixels"), ["opencv-python-headless", "numpy", "torch"]
        plain = "OpenCV", decoded(bag, camera)
        rows = [compare("Jack", ours, plain, "1/s", protocol, at_least=5.0)]
        looks = first_look(bag, camera, folder), every_look(bag, camera)
        rows += [compare("first look", looks[0], ("OpenCV", looks[1]), "1/s", protocol, at_least=1.0)]
        rows += against_lerobot(options, bag, camera, folder, ours, protocol)
    data = report(f"pictures of {WIDTH}x{HEIGHT} as {camera.width}x{camera.height} tensors", rows, {}, packages)
    if not options.quick:
        write_json(options.output, data)


def against_lerobot(
    options: Options, bag: Bag, camera: CameraSpec, folder: Path, ours: Side, protocol: Protocol
) -> list[Comparison]:
    """The same bag as LeRobot's data set, if that can be had."""
    if not has_lerobot(options.lerobot):
        print("LeRobot is left out: pip install lerobot into an environment, and name its Python: --lerobot PYTHON")
        return []
    try:
        lerobot.export([(bag, "")], default_contract(), folder / "set")
    except JackError as error:
        print(f"LeRobot is left out: {error}")
        return []
    with lerobots(options.lerobot, folder / "set", camera, options.workers) as theirs:
        return [compare("Jack", ours, ("LeRobot", theirs), "1/s", protocol, at_least=5.0)]


if __name__ == "__main__":
    main(tyro.cli(Options, description=__doc__))
