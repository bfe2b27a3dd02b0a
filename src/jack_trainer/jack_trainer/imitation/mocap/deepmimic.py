"""The motions of DeepMimic (Peng et al. 2018): JSON, 44 numbers a frame, for a humanoid whose measures are known.

The places of its joints are those of the humanoid that the motions were made for: x forward, y up, z to the right.
"""

from __future__ import annotations

import json
from typing import Any

import numpy as np
from scipy.spatial.transform import Rotation

from jack_contract.arrays import Float64
from jack_contract.rotation import wxyz_to_xyzw
from jack_trainer.imitation.mocap.skeleton import Skeleton, Take
from jack_trainer.imitation.mocap.source import MAX_FRAMES, MAX_RATE, MIN_RATE, Source

#: Joint, parent, offset [m], and what a frame says of it: 4, a quaternion w x y z; 1, an angle about z; 0, nothing.
_JOINTS = (
    ("pelvis", "", (0.0, 0.0, 0.0), 4),
    ("chest", "pelvis", (0.0, 0.236151, 0.0), 4),
    ("neck", "chest", (0.0, 0.223894, 0.0), 4),
    ("right_hip", "pelvis", (0.0, 0.0, 0.084887), 4),
    ("right_knee", "right_hip", (0.0, -0.421546, 0.0), 1),
    ("right_ankle", "right_knee", (0.0, -0.40987, 0.0), 4),
    ("right_shoulder", "chest", (-0.02405, 0.2435, 0.18311), 4),
    ("right_elbow", "right_shoulder", (0.0, -0.274788, 0.0), 1),
    ("left_hip", "pelvis", (0.0, 0.0, -0.084887), 4),
    ("left_knee", "left_hip", (0.0, -0.421546, 0.0), 1),
    ("left_ankle", "left_knee", (0.0, -0.40987, 0.0), 4),
    ("left_shoulder", "chest", (-0.02405, 0.2435, -0.18311), 4),
    ("left_elbow", "left_shoulder", (0.0, -0.274788, 0.0), 1),
    # What no frame says anything of: the middle of the head, the hands, the front ends of the feet (boxes).
    ("head", "neck", (0.0, 0.175, 0.0), 0),
    ("right_wrist", "right_elbow", (0.0, -0.258947, 0.0), 0),
    ("right_toe", "right_ankle", (0.1335, -0.05, 0.0), 0),
    ("left_wrist", "left_elbow", (0.0, -0.258947, 0.0), 0),
    ("left_toe", "left_ankle", (0.1335, -0.05, 0.0), 0),
)
_NUMBERS = 44
_LOOPS = {"wrap": True, "none": False}
#: A quaternion's length may differ from 1 by this: files have six digits.
_UNIT_ERROR = 0.02


def read_deepmimic(source: Source) -> Take:
    """What a motion file of DeepMimic says.

    Raises:
        MocapError: it is no such file, or damaged; says in which frame.
    """
    data = _parse(source)
    frames = _frames(source, data)
    # The time of the last frame is how long it lasts, mostly nothing.
    times = frames[:-1, 0]
    if not len(times) or not (times > 0).all() or times.max() > 1.01 * times.min():
        raise source.wrong(
            f"durations of frames from {times.min(initial=0):.5g} to {times.max(initial=0):.5g} s",
            f"two frames or more, all of the same duration from {1 / MAX_RATE:g} to {1 / MIN_RATE:g} s",
        )
    names = [joint[0] for joint in _JOINTS]
    parents = tuple(names.index(joint[1]) if joint[1] else -1 for joint in _JOINTS)
    skeleton = Skeleton(tuple(names), parents, np.array([joint[2] for joint in _JOINTS]))
    notes = ("the skeleton is that of DeepMimic's humanoid; the file has none",)
    return Take(
        skeleton, frames[:, 1:4], _turns(source, frames), 1 / float(times.mean()), _loop(source, data), notes=notes
    )


def _parse(source: Source) -> dict[str, Any]:
    try:
        data = json.loads(source.data)
    except (ValueError, RecursionError) as error:
        raise source.wrong(f"no JSON ({error})", "a motion of DeepMimic") from error
    if not isinstance(data, dict) or not isinstance(data.get("Frames"), list):
        raise source.wrong("no list 'Frames'", "a motion of DeepMimic, an object with 'Loop' and 'Frames'")
    return data


def _loop(source: Source, data: dict[str, Any]) -> bool:
    loop = data.get("Loop", "none")
    if not isinstance(loop, str) or loop not in _LOOPS:
        raise source.wrong(f"'Loop' {str(loop)[:60]!r}", f"one of {', '.join(_LOOPS)}")
    return _LOOPS[loop]


def _frames(source: Source, data: dict[str, Any]) -> Float64:
    """The frames as an array (T, 44)."""
    frames = data["Frames"]
    if not 2 <= len(frames) <= MAX_FRAMES:
        raise source.wrong(f"{len(frames)} frames", f"2 to {MAX_FRAMES:,}")
    for index, frame in enumerate(frames, 1):
        if not isinstance(frame, list) or len(frame) != _NUMBERS:
            count = len(frame) if isinstance(frame, list) else "no"
            raise source.wrong(f"{count} numbers in frame {index}", f"{_NUMBERS} of DeepMimic's humanoid")
        if not all(type(number) in (int, float) and abs(number) <= 1e6 for number in frame):
            raise source.wrong(f"something in frame {index} that is no number of a motion", "finite numbers")
    return np.array(frames, dtype=np.float64)


def _turns(source: Source, frames: Float64) -> Float64:
    turns = np.zeros((len(frames), len(_JOINTS), 4))
    turns[..., 3] = 1.0
    column = 4
    for index, (name, _, _, count) in enumerate(_JOINTS):
        given = frames[:, column : column + count]
        column += count
        if count == 4:
            wrong = np.abs(np.linalg.norm(given, axis=1) - 1) > _UNIT_ERROR
            if wrong.any():
                frame = int(wrong.argmax()) + 1
                raise source.wrong(f"no unit quaternion for {name} in frame {frame}", "one of length 1, w x y z")
            turns[:, index] = Rotation.from_quat(wxyz_to_xyzw(given)).as_quat()
        elif count == 1:
            turns[:, index] = Rotation.from_euler("z", given).as_quat()
    return turns
