"""A film of a policy at work: the file that a robot would get, the robot's own loop, the command in the picture.

It is made without a screen and kept small (VP8 in WebM, which every browser of today plays), so that it can be part
of a page. `film_aside` makes it in a process of its own, `python -m jack_trainer.film POLICY FILM`: a graphics
driver that crashes then costs a film, not a training.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import cv2
import mujoco
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from jack_brain.pilot import Pilot
from jack_brain.policy import Policy
from jack_contract.arrays import Float64
from jack_contract.contract import default_contract
from jack_contract.errors import JackError
from jack_sim.camera import Camera
from jack_sim.errors import SimulationError
from jack_sim.physics import World
from jack_sim.scene import SceneOptions, load_spec
from jack_trainer.table_film import TableStage

#: Size of the picture [px] and pictures a second; control periods go into the time of a picture without a rest.
WIDTH, HEIGHT, RATE = 480, 360, 25
#: It is drawn so much larger and scaled down: smooth edges for half of what multisampling costs in software.
_LARGER = 1.5
MEDIA_TYPE = "video/webm"
#: A film beyond this is not put into a page [bytes].
MAX_BYTES = 6_000_000
#: Making a film may take so long [s].
PATIENCE = 600.0
_SCENE = SceneOptions("flat", collision="full", visuals=True)
_CAMERAMAN = "cameraman"
#: What he looks at, and where his camera is from there [m].
_LOOK_AT, _OFFSET = (0.0, 0.0, 0.7), (1.75, 2.05, 0.3)
#: The cameraman and the measured speeds follow with these time constants [s].
_FOLLOW, _SMOOTH = 0.4, 0.4
#: For how long one who fell is left lying [s].
_LYING = 1.0
#: Height of the strip with the words, on top: below are a player's buttons [px].
_STRIP = 44


@dataclass(frozen=True)
class Act:
    """A part of the programme."""

    words: str
    seconds: float
    #: vx, vy [m/s], yaw rate [rad/s]
    velocity: tuple[float, float, float] = (0.0, 0.0, 0.0)
    #: a shove at its beginning: what it adds to the pelvis' velocity, x, y, z in world [m/s]
    push: tuple[float, float, float] | None = None


WALKING = (
    Act("stand", 1.5),
    Act("forward 0.5 m/s", 2.5, (0.5, 0.0, 0.0)),
    Act("forward 1.0 m/s", 2.5, (1.0, 0.0, 0.0)),
    Act("turn left 0.8 rad/s", 2.0, (0.0, 0.0, 0.8)),
    Act("to the left 0.3 m/s", 2.0, (0.0, 0.3, 0.0)),
    Act("stand", 1.5),
)
STANDING = (
    Act("stand", 1.5),
    Act("stand: a push of 0.5 m/s from behind", 2.5, push=(0.5, 0.0, 0.0)),
    Act("stand: a push of 0.5 m/s from the right", 2.5, push=(0.0, 0.5, 0.0)),
    Act("stand: a push of 0.5 m/s from the front", 2.5, push=(-0.5, 0.0, 0.0)),
)


@dataclass(frozen=True)
class Film:
    """A finished film."""

    #: a whole file of MEDIA_TYPE
    data: bytes
    #: how long it runs [s]
    seconds: float
    #: how often he fell in it
    falls: int


def make_film(policy: Path, programme: Sequence[Act] = ()) -> Film:
    """Let a policy file drive Jack through a programme, and film it.

    Args:
        policy: the file.
        programme: what he is asked for; by default a walk; for a policy of the phase `stand` some pushes, and for
            one that follows sentences some of these, at a table.

    Raises:
        PolicyError: a file that must not drive this robot.
        CameraError: nothing can be drawn on this machine.
        JackError: no film could be written.
    """
    loaded = Policy.load(policy, default_contract())
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "film.webm"
        if loaded.follows and not programme:
            table = TableStage(loaded, WIDTH, HEIGHT, RATE)
            count, falls = write_film(path, (captioned(*shot) for shot in table.play())), table.falls
        else:
            count, falls = _film_walk(loaded, path, programme or (STANDING if loaded.phase == "stand" else WALKING))
        film = Film(path.read_bytes(), count / RATE, falls)
    if not 0 < len(film.data) <= MAX_BYTES:
        raise JackError(f"The film has {len(film.data):,} bytes; a page takes 1 to {MAX_BYTES:,}.")
    return film


def _film_walk(policy: Policy, path: Path, programme: Sequence[Act]) -> tuple[int, int]:
    """Film a programme; returns how many pictures there are, and how often he fell."""
    stage = _Stage(policy)
    with _Cameraman(stage.world.position) as cameraman:
        shots = (cameraman.shoot(stage.world.position, *words) for words in stage.play(programme))
        return write_film(path, shots), stage.falls


def captioned(picture: NDArray[np.uint8], asked: str, doing: str) -> NDArray[np.uint8]:
    """A picture (HEIGHT, WIDTH, 3) with what is asked for and what he does on its upper edge."""
    picture = picture.copy()
    picture[:_STRIP] //= 3
    image = Image.fromarray(picture)
    draw = ImageDraw.Draw(image)
    draw.text((12, 3), asked, "white", _font(17))
    draw.text((12, 24), doing, (200, 208, 216), _font(13))
    return np.asarray(image)


_font = cache(ImageFont.load_default)


def film_aside(policy: Path) -> Film:
    """`make_film` in a process of its own.

    Raises:
        JackError: there is no film; says why.
    """
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "film.webm"
        command = [sys.executable, "-m", "jack_trainer.film", str(policy), str(path)]
        try:
            done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE)
        except subprocess.TimeoutExpired as error:
            raise JackError(f"The film was not finished after {PATIENCE:.0f} s.") from error
        if done.returncode:
            said = done.stderr.strip().splitlines() or [f"it ended with code {done.returncode} and said nothing"]
            raise JackError(said[-1])
        told = json.loads(done.stdout.splitlines()[-1])
        return Film(path.read_bytes(), told["seconds"], told["falls"])


def write_film(path: Path, pictures: Iterator[NDArray[np.uint8]]) -> int:
    """Encode pictures; returns how many there were."""
    writer = cv2.VideoWriter(str(path), cv2.CAP_FFMPEG, cv2.VideoWriter.fourcc(*"VP80"), RATE, (WIDTH, HEIGHT))
    if not writer.isOpened():
        raise JackError("OpenCV was built without the VP8 encoder here, so no film can be written.")
    count = 0
    try:
        for picture in pictures:
            writer.write(cv2.cvtColor(picture, cv2.COLOR_RGB2BGR))
            count += 1
    finally:
        writer.release()
    return count


class _Stage:
    """Jack with a policy, asked for one act after another. Who falls is stood up again a moment later."""

    def __init__(self, policy: Policy) -> None:
        contract = policy.contract
        self.world = World(_SCENE, contract.robot.control_period)
        self.falls = 0
        self._pilot = Pilot(contract)
        self._pilot.offer(policy)
        self._measured = np.zeros(3)
        self._lying = 0.0
        self._period = contract.robot.control_period

    def play(self, programme: Sequence[Act]) -> Iterator[tuple[str, str]]:
        """Go through the programme; yields what is asked for, and what he does, for every picture."""
        periods = round(1 / (RATE * self._period))
        for act in programme:
            if act.push is not None:
                self.world.push(np.array(act.push))
            for index in range(round(act.seconds / self._period)):
                if index % periods == 0:
                    yield act.words, self._doing()
                self._tick(np.array(act.velocity))

    def _tick(self, velocity: Float64) -> None:
        world, pilot = self.world, self._pilot
        pilot.command(velocity, world.time)
        decision = pilot.tick(world.state(), world.time)
        world.command(decision.targets, decision.stiffness, decision.damping)
        try:
            world.step()
        except SimulationError:  # it was reset
            self._lying = _LYING
        seen = world.odometry()
        now = np.array([*seen.linear_velocity[:2], seen.angular_velocity[2]])
        self._measured += (now - self._measured) * self._period / _SMOOTH
        self._look_after()

    def _look_after(self) -> None:
        """Count a fall once, and end it."""
        if self._lying == 0.0 and not self.world.fallen:
            return
        self.falls += self._lying == 0.0
        self._lying += self._period
        if self._lying > _LYING:
            self.world.reset(time=self.world.time)
            self._pilot.reset(self.world.time)
            self._measured[:] = self._lying = 0.0

    def _doing(self) -> str:
        if self._lying:
            return "fallen"
        ahead, left, turn = self._measured.round(2) + 0.0  # no minus before a zero
        return f"does  {ahead:+.2f} m/s ahead   {left:+.2f} m/s left   {turn:+.2f} rad/s"


class _Cameraman:
    """Films from rails: a body in a scene of his own that slides after Jack, and never up and down with him."""

    def __init__(self, position: Float64) -> None:
        spec = load_spec(_SCENE)
        for key in list(spec.keys):  # they know nothing of the rails
            spec.delete(key)
        spec.visual.quality.shadowsize, spec.visual.quality.offsamples = 1024, 0
        body = spec.worldbody.add_body(
            name=_CAMERAMAN, pos=_LOOK_AT, mass=1.0, inertia=[1.0] * 3, explicitinertial=True
        )
        for axis in ([1, 0, 0], [0, 1, 0]):
            body.add_joint(type=mujoco.mjtJoint.mjJNT_SLIDE, axis=axis)
        mode = mujoco.mjtCamLight.mjCAMLIGHT_TARGETBODY
        body.add_camera(name=_CAMERAMAN, pos=_OFFSET, mode=mode, targetbody=_CAMERAMAN, fovy=35)
        large = round(_LARGER * WIDTH), round(_LARGER * HEIGHT)
        self._camera = Camera(spec.compile(), *large, _CAMERAMAN, shadows=True)
        self._place = position[:2].copy()

    def shoot(self, position: Float64, asked: str, doing: str) -> NDArray[np.uint8]:
        """A picture of a generalised position (nq,), with words; RGB, (HEIGHT, WIDTH, 3)."""
        self._place += (position[:2] - self._place) / (RATE * _FOLLOW)
        drawn = self._camera.render(np.concatenate([position, self._place]))
        picture = cv2.resize(drawn, (WIDTH, HEIGHT), interpolation=cv2.INTER_AREA)
        return captioned(np.asarray(picture, np.uint8), asked, doing)

    def __enter__(self) -> _Cameraman:
        return self

    def __exit__(self, *_: object) -> None:
        self._camera.close()


def main() -> None:
    """Make the film of the file that is named first, and write it to the path that is named second."""
    policy, path = map(Path, sys.argv[1:])
    try:
        film = make_film(policy)
    except JackError as error:
        sys.exit(str(error))
    path.write_bytes(film.data)
    print(json.dumps({"seconds": film.seconds, "falls": film.falls}))


if __name__ == "__main__":
    main()
