"""Biovision hierarchy (BVH): a skeleton, then a line of numbers for each frame.

The format has no unit and no fixed axes: the length of a leg tells the one, the rest pose the other. The meaning of
its words follows Meredith and Maddock, "Motion capture file formats explained" (2001).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.spatial.transform import Rotation

from jack_contract.arrays import Float64
from jack_trainer.imitation.mocap.clip import metres_per_unit
from jack_trainer.imitation.mocap.skeleton import Skeleton, Take
from jack_trainer.imitation.mocap.source import (
    MAX_FRAMES,
    MAX_JOINTS,
    MAX_RATE,
    MIN_RATE,
    Source,
    Words,
)

_POSITIONS = ("Xposition", "Yposition", "Zposition")
_ROTATIONS = ("Xrotation", "Yrotation", "Zrotation")
#: A joint that turns further than this between the first two frames [rad], and so much more than later, was put
#: into a pose for calibration first.
_JUMP, _TIMES = 0.35, 4.0


@dataclass(frozen=True)
class _Joint:
    name: str
    parent: int
    offset: list[float]
    channels: tuple[str, ...]


def read_bvh(source: Source) -> Take:
    """What a BVH file says.

    Raises:
        MocapError: it is no such file, or damaged; says on which line.
    """
    words = Words(source)
    words.expect("HIERARCHY")
    joints = _hierarchy(words)
    frames, rate = _header(words)
    values = _frames(words, frames, sum(len(joint.channels) for joint in joints))
    skeleton = Skeleton(
        tuple(joint.name for joint in joints),
        tuple(joint.parent for joint in joints),
        np.array([joint.offset for joint in joints]),
    )
    unit = metres_per_unit(source, skeleton)
    skeleton = Skeleton(skeleton.names, skeleton.parents, skeleton.offsets * unit)
    root, turns = _motion(joints, values)
    first = _first(turns)
    notes = (f"one unit is {unit:.4g} m, after the length of the legs",)
    if first:
        notes += ("the first frame is a pose for calibration and was left out",)
    return Take(skeleton, (root * unit)[first:], turns[first:], rate, notes=notes)


def _hierarchy(words: Words) -> list[_Joint]:
    joints: list[_Joint] = []
    open_joints: list[int] = []
    words.expect("ROOT")
    _open(words, joints, open_joints)
    while open_joints:
        word = words.expect("JOINT", "End", "}")
        if word == "}":
            open_joints.pop()
        elif word == "JOINT":
            _open(words, joints, open_joints)
        else:
            words.expect("Site")
            words.expect("{")
            parent = open_joints[-1]
            joints.append(_Joint(f"{joints[parent].name}_end", parent, _offset(words), ()))
            words.expect("}")
        if len(joints) > MAX_JOINTS:
            raise words.wrong(f"{len(joints)} joints", f"at most {MAX_JOINTS} joints")
    return joints


def _open(words: Words, joints: list[_Joint], open_joints: list[int]) -> None:
    """Read the beginning of a joint, up to its channels."""
    # Some programs put a name space in front: mixamorig:Hips.
    name = words.next("the name of a joint")[:200].rpartition(":")[2]
    if any(joint.name == name for joint in joints):
        raise words.wrong(name, "a name that no other joint has")
    words.expect("{")
    parent = open_joints[-1] if open_joints else -1
    joint = _Joint(name, parent, _offset(words), _channels(words, parent < 0))
    open_joints.append(len(joints))
    joints.append(joint)


def _offset(words: Words) -> list[float]:
    words.expect("OFFSET")
    return [words.number("an offset") for _ in range(3)]


def _channels(words: Words, root: bool) -> tuple[str, ...]:
    words.expect("CHANNELS")
    count = words.count("the number of channels", 0, 6)
    # Positions of other joints would stretch the bones.
    allowed = (*_POSITIONS, *_ROTATIONS) if root else _ROTATIONS
    channels = tuple(words.expect(*allowed) for _ in range(count))
    if len(set(channels)) != count:
        raise words.wrong(" ".join(channels), "each channel at most once")
    return channels


def _header(words: Words) -> tuple[int, float]:
    words.expect("MOTION")
    words.expect("Frames:")
    frames = words.count("the number of frames", 1, MAX_FRAMES)
    words.expect("Frame")
    words.expect("Time:")
    time = words.number("the time of a frame [s]")
    if not 1 / MAX_RATE <= time <= 1 / MIN_RATE:
        raise words.wrong(f"{time:g}", f"a time of a frame between {1 / MAX_RATE:g} and {1 / MIN_RATE:g} s")
    return frames, 1 / time


def _frames(words: Words, frames: int, channels: int) -> Float64:
    values = np.empty((frames, channels))
    read = 0
    for row in words.rows():
        if read == frames:
            raise words.wrong(row[0], f"the end of the file after {frames} frames, as its header says")
        if len(row) != channels:
            raise words.wrong(f"{len(row)} numbers", f"{channels} numbers, one for each channel")
        values[read] = words.numbers(row, "a channel's value")
        read += 1
    if read < frames:
        raise words.source.wrong(f"{read} frames", f"{frames} frames, as its header says")
    return values


def _motion(joints: list[_Joint], values: Float64) -> tuple[Float64, Float64]:
    """Places of the root (T, 3) in the file's unit, and turns (T, J, 4)."""
    root = np.tile(np.array(joints[0].offset), (len(values), 1))
    turns = np.zeros((len(values), len(joints), 4))
    turns[..., 3] = 1.0
    column = 0
    for index, joint in enumerate(joints):
        given = values[:, column : column + len(joint.channels)]
        column += len(joint.channels)
        rotations = [c for c in joint.channels if c in _ROTATIONS]
        for name in set(joint.channels) - set(rotations):
            root[:, _POSITIONS.index(name)] += given[:, joint.channels.index(name)]
        if rotations:
            angles = given[:, [joint.channels.index(name) for name in rotations]]
            axes = "".join(name[0] for name in rotations)  # capitals: each about the axes as turned so far
            turns[:, index] = Rotation.from_euler(axes, angles, degrees=True).as_quat()
    return root, turns


def _first(turns: Float64) -> int:
    """1 where the first frame is a pose for calibration, otherwise 0."""
    if len(turns) < 4:
        return 0
    near = np.abs(np.einsum("tjk,tjk->tj", turns[1:12], turns[:11][: len(turns[1:12])])).clip(max=1.0)
    step = 2 * np.arccos(near).max(axis=1)
    return int(step[0] > _JUMP and step[0] > _TIMES * step[1:].max())
