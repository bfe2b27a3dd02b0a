"""What `./jack mocap` does: files in, motions and a table of figures out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from rich import box
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table
from rich.text import Text

from jack_contract.contract import default_contract
from jack_contract.errors import JackError
from jack_contract.robot import RobotSpec
from jack_trainer.imitation.mocap.body import Body, load_body
from jack_trainer.imitation.mocap.clip import SIDES, Clip
from jack_trainer.imitation.mocap.contacts import find_contacts
from jack_trainer.imitation.mocap.figures import Figures
from jack_trainer.imitation.mocap.motion import SUFFIX, load_motion, save_motion
from jack_trainer.imitation.mocap.reader import TERMS, read_clip
from jack_trainer.imitation.mocap.retarget import NO_TERMS, Retargeted, check_speed, retarget
from jack_trainer.imitation.mocap.source import MocapError

NOTE = (
    "Stands: at least one foot on the ground. Skate: mean speed of a standing foot over the ground; a person who "
    "slides takes Jack along. Depth: of a sole in the ground, at worst. Touch: he touches himself. Limit: share of "
    "joints at a limit. "
    "Speed: the fastest joint in its limit. Hands, feet: root mean square distance from the person's at his scale."
)


@dataclass(frozen=True)
class Order:
    """What is to be made of motion-capture files."""

    #: folder of the motions
    out: Path
    #: whether to film each
    preview: bool = False
    #: how many times faster than recorded
    speed: float = 1.0
    #: the ASF file of AMC files; None looks beside each
    skeleton: Path | None = None
    #: who may use the motions; empty: as far as the formats tell
    terms: str = ""


def retarget_files(files: Sequence[Path], order: Order, console: Console | None = None) -> int:
    """Retarget files, one after another; one that fails does not stop the others.

    Returns:
        How many failed.

    Raises:
        JackError: nothing at all can be done.
    """
    console = console or Console()
    check_speed(order.speed)
    body, robot = load_body(), default_contract().robot
    done: dict[str, Figures] = {}
    failed: list[str] = []
    bar = TextColumn("{task.description}", markup=False), BarColumn(), TimeRemainingColumn()
    with Progress(*bar, console=console, transient=True) as progress:
        for path in files:
            task = progress.add_task(path.name, total=None)
            try:
                if path.stem in done:
                    raise MocapError(f"{path} would overwrite the motion of another file called {path.stem}.")
                retargeted = _retarget(path, order, body, robot, progress, task)
                save_motion(order.out / f"{path.stem}{SUFFIX}", retargeted.motion)
                done[path.stem] = retargeted.figures
                if order.preview:
                    _film(order.out / f"{path.stem}.webm", retargeted)
            except JackError as error:
                failed.append(str(error))
            progress.remove_task(task)
    if done:
        console.print(table(done))
        console.print(Text(f"Saved in {order.out.absolute()}"))
    for error in failed:
        console.print(Text(f"jack: {error}", style="red"))
    return len(failed)


def _retarget(
    path: Path, order: Order, body: Body, robot: RobotSpec, progress: Progress, task: object
) -> Retargeted:
    clip = read_clip(path, order.skeleton)
    return retarget(
        clip,
        body,
        robot,
        order.speed,
        order.terms,
        lambda periods, total: progress.update(task, completed=periods, total=total),  # pyright: ignore[reportArgumentType]
    )


def _film(path: Path, retargeted: Retargeted) -> None:
    from jack_trainer.imitation.mocap.preview import write_preview  # OpenGL is looked for only where it is used

    write_preview(path, retargeted)


def table(done: dict[str, Figures]) -> Table:
    """Figures of motions by name, for a terminal of 80 columns."""
    shown = Table(box=box.SIMPLE_HEAD, padding=0, caption=Text(NOTE), caption_justify="left")
    heads = (
        "motion",
        "[s]",
        "stands",
        "skate\n[cm/s]",
        "depth\n[mm]",
        "touch",
        "limit",
        "speed",
        "hands\n[cm]",
        "feet\n[cm]",
    )
    for head in heads:  # as Text: units are no markup
        shown.add_column(Text(head), justify="left" if head == "motion" else "right", overflow="fold")
    for name, f in done.items():
        cells = (f"{f.seconds:.1f}", f"{f.standing:.0%}", f"{100 * f.skate:.1f}", f"{1000 * f.penetration:.1f}")
        cells += (
            f"{f.touching:.0%}",
            f"{f.at_limit:.1%}",
            f"{f.speed:.0%}",
            f"{100 * f.hands:.1f}",
            f"{100 * f.feet:.1f}",
        )
        shown.add_row(Text(name), *cells)
    return shown


def describe(path: Path, skeleton: Path | None = None) -> list[tuple[str, str]]:
    """What a motion-capture file, or a motion of Jack, is; names and values.

    Raises:
        JackError: it is neither.
    """
    if path.suffix == SUFFIX:
        return _describe_motion(path)
    clip = read_clip(path, skeleton)
    return [
        ("file", clip.file),
        ("format", clip.format),
        ("frames", f"{clip.frames} at {clip.rate:.4g} Hz, {clip.duration:.2f} s{', a loop' if clip.loop else ''}"),
        ("legs", f"{clip.leg:.3f} m"),
        ("way of the pelvis", _way(clip)),
        ("feet on the ground", _standing(clip)),
        ("who may use it", TERMS.get(clip.format, NO_TERMS)),
        *(("note", note) for note in clip.notes),
        ("SHA-256", clip.sha256),
    ]


def _describe_motion(path: Path) -> list[tuple[str, str]]:
    motion = load_motion(path, default_contract().robot)
    info = motion.info
    loop = ", a loop" if info.loop else ""
    figures = [
        (f"figure: {name}", value if isinstance(value, str) else f"{value:.4g}")
        for name, value in info.figures.items()
    ]
    return [
        ("motion", info.name),
        ("robot", f"{info.robot}, {len(info.joints)} joints"),
        ("periods", f"{motion.periods} of {info.control_period} s, {motion.duration:.2f} s{loop}"),
        ("from", f"{info.source} ({info.source_format}, {info.source_rate:.4g} Hz), {info.speed:g} times as fast"),
        ("scale", f"{info.scale:.3f}"),
        ("who may use it", info.terms),
        *(("note", note) for note in info.notes),
        *figures,
        ("SHA-256 of the source", info.source_sha256),
    ]


def _way(clip: Clip) -> str:
    steps = np.linalg.norm(np.diff(clip.at("pelvis")[:, :2], axis=0), axis=1)
    return f"{steps.sum():.2f} m, {steps.sum() / clip.duration:.2f} m/s on average"


def _standing(clip: Clip) -> str:
    shares = find_contacts(clip).foot.mean(axis=0)
    return ", ".join(f"{side} {share:.0%}" for side, share in zip(SIDES, shares, strict=True)) + " of the time"


def show(path: Path, skeleton: Path | None = None) -> None:
    """Print what `describe` says."""
    shown = Table.grid(padding=(0, 2))
    shown.add_column(no_wrap=True)
    shown.add_column(overflow="fold")
    for name, value in describe(path, skeleton):
        shown.add_row(Text(name, style="bold"), Text(value))
    Console().print(shown)
