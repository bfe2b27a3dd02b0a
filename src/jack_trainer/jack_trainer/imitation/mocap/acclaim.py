"""Acclaim's pair of files: ASF, a skeleton, and AMC, its motion; the Carnegie Mellon database comes in them.

A bone has an axis frame of its own, C; with R the rotation that a frame gives it, it is turned by C R C^-1 in its
parent. Angles of both are about fixed axes, in the order they are named.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from scipy.spatial.transform import Rotation

from jack_contract.arrays import Float64
from jack_trainer.imitation.mocap.skeleton import Skeleton, Take
from jack_trainer.imitation.mocap.source import MAX_FRAMES, MAX_JOINTS, MocapError, Source, Words

#: Frames a second; neither file says it, and the database's recordings have 120 (mocap.cs.cmu.edu).
RATE = 120.0
_INCH = 0.0254
_ROTATIONS, _PLACES = ("rx", "ry", "rz"), ("tx", "ty", "tz")
_IGNORED = frozenset({":version", ":name", ":documentation", ":skin"})


@dataclass
class _Bone:
    """What an ASF file says of a bone, or of the root."""

    name: str
    direction: list[float] = field(default_factory=lambda: [0.0, 0.0, 0.0])
    length: float = 0.0
    axis: list[float] = field(default_factory=lambda: [0.0, 0.0, 0.0])
    axis_order: str = "XYZ"
    freedom: tuple[str, ...] = ()
    parent: str = ""


@dataclass
class _Skeleton:
    """What an ASF file says."""

    bones: dict[str, _Bone] = field(default_factory=lambda: {"root": _Bone("root")})
    #: the one that is being read
    open_bone: _Bone | None = None
    #: one unit of length [m]
    unit: float = 1.0
    degrees: bool = True
    position: list[float] = field(default_factory=lambda: [0.0, 0.0, 0.0])


def find_skeleton(motion: Path) -> Path:
    """The ASF file that belongs to an AMC file: SUBJECT.asf beside SUBJECT_TRIAL.amc, or the only one there.

    Raises:
        MocapError: there is none, or several.
    """
    subject = motion.with_name(motion.stem.rpartition("_")[0] + ".asf")
    beside = sorted(motion.parent.glob("*.asf"))
    if subject in beside:
        return subject
    if len(beside) != 1:
        raise MocapError(
            f"{motion} needs its skeleton. Put {subject.name} beside it, or name one with --skeleton FILE.asf; "
            f"there are {', '.join(path.name for path in beside) or 'none'}."
        )
    return beside[0]


def read_acclaim(source: Source, skeleton: Source) -> Take:
    """What an AMC file says of the skeleton of an ASF file.

    Raises:
        MocapError: one of them is no such file, or damaged; says on which line.
    """
    asf = _read_asf(skeleton)
    bones = list(asf.bones.values())
    frames = list(_frames(Words(source, "#"), asf))
    if not frames:
        raise source.wrong("no frame", "frames, each a number on a line and then a line for each bone")
    values = {bone.name: np.array([frame[bone.name] for frame in frames]) for bone in bones if bone.freedom}
    turns = np.stack([_turns(asf, bone, values.get(bone.name), len(frames)) for bone in bones], axis=1)
    names = [bone.name for bone in bones]
    ends = [np.array(bone.direction) * bone.length * asf.unit for bone in bones]
    parents = tuple(names.index(bone.parent) if bone.parent else -1 for bone in bones)
    offsets = [ends[parent] if parent >= 0 else np.zeros(3) for parent in parents]
    places = np.tile(np.array(asf.position), (len(frames), 1))
    for column, name in enumerate(bones[0].freedom):
        if name in _PLACES:
            places[:, _PLACES.index(name)] += values["root"][:, column]
    notes = (f"one unit is {asf.unit:.4g} m, as {skeleton.path.name} says; {RATE:g} Hz assumed",)
    return Take(Skeleton(tuple(names), parents, np.array(offsets)), places * asf.unit, turns, RATE, notes=notes)


def _turns(asf: _Skeleton, bone: _Bone, values: Float64 | None, frames: int) -> Float64:
    """How a bone is turned in its parent, (T, 4)."""
    axes = "".join(name[1] for name in bone.freedom if name in _ROTATIONS)
    if values is None or not axes:
        return np.tile([0.0, 0.0, 0.0, 1.0], (frames, 1))
    columns = [column for column, name in enumerate(bone.freedom) if name in _ROTATIONS]
    frame = Rotation.from_euler(bone.axis_order.lower(), bone.axis, degrees=asf.degrees)
    # Small letters: about axes that stay, in this order.
    turn = Rotation.from_euler(axes, values[:, columns], degrees=asf.degrees)
    return (frame * turn * frame.inv()).as_quat()


def _read_asf(source: Source) -> _Skeleton:
    words, asf = Words(source, "#"), _Skeleton()
    section = ""
    for row in words.rows():
        if row[0].startswith(":"):
            section = row[0]
            if section not in _SECTIONS and section not in _IGNORED:
                raise words.wrong(section, f"a section: {', '.join([*_SECTIONS, *sorted(_IGNORED)])}")
        elif section in _SECTIONS:
            _SECTIONS[section](words, asf, row)
        elif not section:
            raise words.wrong(row[0], "':version'")
    return _checked(source, asf)


def _checked(source: Source, asf: _Skeleton) -> _Skeleton:
    """A whole skeleton, its bones in an order with parents first."""
    lonely = [bone.name for bone in asf.bones.values() if bone.name != "root" and not bone.parent]
    if len(asf.bones) < 2 or lonely or asf.open_bone:
        what = f"bones without a parent: {', '.join(lonely[:8])}" if lonely else "no bone, or one without 'end'"
        raise source.wrong(what, "sections :root, :bonedata and :hierarchy, with every bone in the tree")
    order = ["root"]
    for name in order:
        order += [bone.name for bone in asf.bones.values() if bone.parent == name]
    if len(order) != len(asf.bones):
        raise source.wrong("bones in a circle", "a tree below the root")
    asf.bones = {name: asf.bones[name] for name in order}
    return asf


def _units(words: Words, asf: _Skeleton, row: list[str]) -> None:
    match row:
        case ["length", word]:
            # CMU's FAQ: lengths times 1/0.45 are inches.
            (length,) = words.numbers([word], "the scale of lengths")
            if not 1e-3 <= length <= 1e3:
                raise words.wrong(word, "a scale of lengths from 0.001 to 1000")
            asf.unit = _INCH / length
        case ["angle", "deg" | "rad"]:
            asf.degrees = row[1] == "deg"
        case ["mass", _]:
            pass
        case _:
            raise words.wrong(" ".join(row), "mass, length and a number, or angle and deg or rad")


def _root(words: Words, asf: _Skeleton, row: list[str]) -> None:
    root = asf.bones["root"]
    match row:
        case ["order", *names]:
            root.freedom = _freedom(words, [name.lower() for name in names], (*_PLACES, *_ROTATIONS))
        case ["axis", order]:
            root.axis_order = _order(words, order)
        case ["position", *numbers] if len(numbers) == 3:
            asf.position = words.numbers(numbers, "a place")
        case ["orientation", *numbers] if len(numbers) == 3:
            root.axis = words.numbers(numbers, "an angle")
        case _:
            raise words.wrong(" ".join(row), "order, axis, position or orientation of the root")


def _bonedata(words: Words, asf: _Skeleton, row: list[str]) -> None:
    bone = asf.open_bone
    if bone is None:
        if row != ["begin"]:
            raise words.wrong(row[0], "'begin' or the next section")
        asf.open_bone = _Bone("")
    elif row == ["end"]:
        if not bone.name or bone.length < 0:
            raise words.wrong("end", "a name and a length of the bone before it")
        if bone.name in asf.bones or len(asf.bones) >= MAX_JOINTS:
            raise words.wrong(bone.name, f"a name that no other bone has, and at most {MAX_JOINTS} of them")
        asf.bones[bone.name], asf.open_bone = bone, None
    else:
        _bone(words, bone, row)


def _bone(words: Words, bone: _Bone, row: list[str]) -> None:
    match row:
        case ["id" | "bodymass" | "cofmass" | "limits", *_]:
            pass
        case [word, *_] if word.startswith("("):  # limits of another axis
            pass
        case ["name", name]:
            bone.name = name[:200]
        case ["direction", *numbers] if len(numbers) == 3:
            bone.direction = words.numbers(numbers, "a direction")
        case ["length", length]:
            (bone.length,) = words.numbers([length], "a length")
        case ["axis", *numbers, order] if len(numbers) == 3:
            bone.axis, bone.axis_order = words.numbers(numbers, "an angle"), _order(words, order)
        case ["dof", *names]:
            bone.freedom = _freedom(words, names, _ROTATIONS)
        case _:
            raise words.wrong(" ".join(row), "id, name, direction, length, axis, dof, limits or end")


def _hierarchy(words: Words, asf: _Skeleton, row: list[str]) -> None:
    if row in (["begin"], ["end"]):
        return
    for name in row:
        if name not in asf.bones:
            raise words.wrong(name, f"a bone of :bonedata: {', '.join(list(asf.bones)[:40])}")
    for name in row[1:]:
        if asf.bones[name].parent or name == "root":
            raise words.wrong(name, "each bone below one other")
        asf.bones[name].parent = row[0]


#: What reads a line of a section.
_SECTIONS: dict[str, Callable[[Words, _Skeleton, list[str]], None]] = {
    ":units": _units,
    ":root": _root,
    ":bonedata": _bonedata,
    ":hierarchy": _hierarchy,
}


def _freedom(words: Words, names: list[str], allowed: tuple[str, ...]) -> tuple[str, ...]:
    wrong = [name for name in names if name not in allowed]
    if wrong or len(set(names)) != len(names):
        raise words.wrong(" ".join(names), f"each at most once of {', '.join(allowed)}")
    return tuple(names)


def _order(words: Words, order: str) -> str:
    if sorted(order.upper()) != ["X", "Y", "Z"]:
        raise words.wrong(order, "an order of axes, as XYZ")
    return order.upper()


def _frames(words: Words, asf: _Skeleton) -> Iterator[dict[str, list[float]]]:
    """What each frame says of every bone that can move."""
    moving = {bone.name: len(bone.freedom) for bone in asf.bones.values() if bone.freedom}
    frame: dict[str, list[float]] = {}
    count = 0
    for row in words.rows():
        if len(row) == 1 and row[0].isascii() and row[0].isdigit() and len(row[0]) < 10:
            if count:
                yield _whole(words, frame, moving, count)
            count, frame = count + 1, {}
            if int(row[0]) != count or count > MAX_FRAMES:
                raise words.wrong(row[0], f"frame {count} of at most {MAX_FRAMES:,}")
        elif count:
            _bone_of_frame(words, row, frame, moving)
        elif not row[0].startswith(":"):
            raise words.wrong(row[0], "a line that begins with ':', or the number 1 of the first frame")
    if count:
        yield _whole(words, frame, moving, count)


def _bone_of_frame(words: Words, row: list[str], frame: dict[str, list[float]], moving: dict[str, int]) -> None:
    name, numbers = row[0], row[1:]
    if name not in moving or name in frame:
        known = ", ".join(list(moving)[:40])
        raise words.wrong(name, f"once in a frame, a bone that the skeleton lets move: {known}")
    if len(numbers) != moving[name]:
        raise words.wrong(" ".join(row), f"{moving[name]} numbers for {name}")
    frame[name] = words.numbers(numbers, f"a number for {name}")


def _whole(
    words: Words, frame: dict[str, list[float]], moving: dict[str, int], count: int
) -> dict[str, list[float]]:
    lacks = [name for name in moving if name not in frame]
    if lacks:
        raise words.wrong(f"frame {count} without {', '.join(lacks[:8])}", "every bone that can move")
    return frame
