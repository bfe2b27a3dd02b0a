"""What a run has learnt of a clip: the clip, his gait before and now, in figures and side by side on a film.

    python -m jack_trainer.style RUN

writes `style.json` and `style.webm` into the run's folder.
"""

from __future__ import annotations

import hashlib
import subprocess
import sys
from dataclasses import asdict
from pathlib import Path

from pydantic import BaseModel, ConfigDict

from jack_brain.policy import Policy, PolicyLimits
from jack_contract.contract import default_contract
from jack_contract.errors import JackError
from jack_trainer import checkpoint as storage
from jack_trainer import progress_file, transcript
from jack_trainer.exam import find_policy
from jack_trainer.files import write_json
from jack_trainer.film import PATIENCE
from jack_trainer.imitation.mocap.motion import MotionClip, load_motion
from jack_trainer.imitation.side_by_side import write_side_by_side
from jack_trainer.imitation.similarity import courses_at, gait_in, gait_of
from jack_trainer.policy_actor import PolicyActor
from jack_trainer.tasks.reference import Reference
from jack_trainer.transcript import Entry

FIGURES, FILM = "style.json", "style.webm"
#: Of the film [s].
_LONG = 6.0
_WORDS = ("clip", "before", "now")


class Style(BaseModel):
    """What is in `style.json`."""

    model_config = ConfigDict(ser_json_inf_nan="strings")

    #: name of the clip
    clip: str
    #: that he was asked to walk at, as fast as the clip does [m/s]
    speed: float
    #: see `Figures`, of the clip, of him before and of him now
    figures: dict[str, dict[str, float]]
    #: by which share he is nearer to the clip than before, see `Difference`
    nearer: dict[str, float]


def write_style(run: Path) -> Style:
    """Compare a run's newest policy, and what its last phase with clips began from, with a clip; write and film it.

    Raises:
        JackError: the run has learnt from no clip, something is not there any more, or he cannot walk.
    """
    contract = default_contract()
    robot, period = contract.robot, contract.robot.control_period
    entry = last_with_clips(run)
    if entry is None:
        raise JackError(f"{run} has learnt from no clip.")
    motion = _clip(run, entry)
    clip, asked = gait_of(motion, robot), round(gait_of(motion, robot).figures.speed, 2)
    courses = {"clip": Reference(motion, contract, round(_LONG / period)).qpos}
    gaits = {"clip": clip}
    for words, path in (("before", policy_before(run, entry)), ("now", find_policy(run, run.parent))):
        policy = Policy.load(path, contract, PolicyLimits(period_share=100.0))
        walked = courses_at(PolicyActor(path), contract, asked, policy.beat)
        courses[words] = walked[0]
        gaits[words] = gait_in(walked, contract)
    nearer = gaits["now"].difference(clip).improvement(gaits["before"].difference(clip))
    figures = {words: asdict(gait.figures) for words, gait in gaits.items()}
    style = Style(clip=motion.info.name, speed=asked, figures=figures, nearer=nearer)
    write_json(run / FIGURES, style)
    rows = round(_LONG / period)
    write_side_by_side(run / FILM, {words: courses[words][:rows] for words in _WORDS}, period)
    return style


def last_with_clips(run: Path) -> Entry | None:
    """The last phase of a run that was learnt from clips, if there is one."""
    return next((entry for entry in transcript.read(run).entries[::-1] if entry.clips and entry.parent), None)


def _clip(run: Path, entry: Entry) -> MotionClip:
    """The first clip of a phase; it may have been moved since, but not changed."""
    paths = [Path(str(path)) for path in progress_file.options(run).get("clips", ())]
    for path in paths:
        if path.is_file() and hashlib.sha256(path.read_bytes()).hexdigest() in entry.clips:
            return load_motion(path, default_contract().robot)
    raise JackError(f"The clips of {run.name} are not there any more: {', '.join(entry.clips.values())}.")


def policy_before(run: Path, entry: Entry) -> Path:
    """The policy that a phase began from, in this run or where the run began from."""
    inside = run / "checkpoints" / f"{entry.begun:012d}"
    outside = Path(str(progress_file.options(run).get("parent") or ""))
    for place in (inside, outside):
        path = storage.policy_of(place) if place.is_dir() else place
        if path.is_file():
            return path
    raise JackError(f"What {entry.phase} began from is not there any more: neither {inside} nor {outside}.")


def style_aside(run: Path) -> None:
    """`write_style` in a process of its own: a graphics driver that crashes costs a film, no report.

    Raises:
        JackError: it is not written, or not all of it; says why.
    """
    command = [sys.executable, "-m", "jack_trainer.style", str(run)]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE)
    except subprocess.TimeoutExpired as error:
        raise JackError(f"The film of his style was not finished after {PATIENCE:.0f} s.") from error
    if done.returncode:
        said = done.stderr.strip().splitlines() or [f"it ended with code {done.returncode} and said nothing"]
        raise JackError(said[-1])


def main() -> None:
    """Write about the run that is named."""
    try:
        write_style(Path(sys.argv[1]))
    except JackError as error:
        sys.exit(str(error))


if __name__ == "__main__":
    main()
