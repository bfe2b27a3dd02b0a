"""AMASS (Mahmood et al. 2019): `.npz` with the joint rotations of the SMPL family of bodies.

The bodies' own shapes are licensed and not needed here: bones get the average proportions of a person. Only plain
arrays are read; a file with pickled objects is refused by numpy.
"""

from __future__ import annotations

import io
import tokenize
import zipfile
import zlib

import numpy as np
from scipy.spatial.transform import Rotation

from jack_contract.arrays import Float64
from jack_trainer.imitation.mocap.skeleton import Skeleton, Take
from jack_trainer.imitation.mocap.source import MAX_FILE_BYTES, MAX_FRAMES, Source

#: Height of the person [m] that the file's joints are put on.
HEIGHT = 1.7
#: The 22 joints that SMPL, SMPL+H and SMPL-X have in common, in their order, with parents, and offsets in heights
#: of the person: x to the left, y up, z forward, arms stretched out. Lengths are those of Winter, Biomechanics and
#: Motor Control of Human Movement (2009), figure 4.1, after Drillis and Contini: thigh 0.245, shank 0.246, hips
#: 0.191 wide and their joints half as far apart, hip to shoulder 0.288, shoulders 0.129 from the middle, upper arm
#: 0.186, forearm 0.146, shoulder to chin 0.052; the ankle is 0.039 high, the ball half a foot of 0.152 before it.
_JOINTS = (
    ("pelvis", -1, (0.0, 0.0, 0.0)),
    ("left_hip", 0, (0.05, -0.04, 0.0)),
    ("right_hip", 0, (-0.05, -0.04, 0.0)),
    ("spine1", 0, (0.0, 0.062, 0.0)),
    ("left_knee", 1, (0.0, -0.245, 0.0)),
    ("right_knee", 2, (0.0, -0.245, 0.0)),
    ("spine2", 3, (0.0, 0.062, 0.0)),
    ("left_ankle", 4, (0.0, -0.246, 0.0)),
    ("right_ankle", 5, (0.0, -0.246, 0.0)),
    ("chest", 6, (0.0, 0.062, 0.0)),
    ("left_toe", 7, (0.0, -0.03, 0.075)),
    ("right_toe", 8, (0.0, -0.03, 0.075)),
    ("neck", 9, (0.0, 0.072, 0.0)),
    ("left_collar", 9, (0.04, 0.052, 0.0)),
    ("right_collar", 9, (-0.04, 0.052, 0.0)),
    ("head", 12, (0.0, 0.052, 0.0)),
    ("left_shoulder", 13, (0.089, 0.01, 0.0)),
    ("right_shoulder", 14, (-0.089, 0.01, 0.0)),
    ("left_elbow", 16, (0.186, 0.0, 0.0)),
    ("right_elbow", 17, (-0.186, 0.0, 0.0)),
    ("left_wrist", 18, (0.146, 0.0, 0.0)),
    ("right_wrist", 19, (-0.146, 0.0, 0.0)),
)
_RATES = ("mocap_framerate", "mocap_frame_rate")
#: What zipfile and numpy raise for a damaged archive; MemoryError, where a header promises more than there can be.
_BROKEN = (
    *(ValueError, LookupError, OSError, EOFError, RuntimeError, SyntaxError, MemoryError),
    *(zipfile.BadZipFile, zlib.error, tokenize.TokenError),
)
#: The body's rotations are these columns of `poses`; behind them come hands and face.
_BODY = 3 * len(_JOINTS)


def read_amass(source: Source) -> Take:
    """What a file of AMASS says.

    Raises:
        MocapError: it is no such file, or damaged; says which array.
    """
    arrays = _arrays(source)
    poses, root = arrays["poses"], arrays["trans"]
    turns = Rotation.from_rotvec(poses[:, :_BODY].reshape(-1, 3)).as_quat().reshape(len(poses), -1, 4)
    names, parents, offsets = zip(*_JOINTS, strict=True)
    skeleton = Skeleton(names, parents, np.array(offsets) * HEIGHT)
    notes = (f"bones of an average person of {HEIGHT} m; the file's own shape was not used",)
    # The world of AMASS has z up; where x points says the first frame.
    return Take(skeleton, root, turns, float(arrays["rate"]), world=np.eye(3), notes=notes)


def _arrays(source: Source) -> dict[str, Float64]:
    """The arrays poses (T, 66 or more), trans (T, 3) and rate ()."""
    try:
        with zipfile.ZipFile(io.BytesIO(source.data)) as archive:
            if sum(entry.file_size for entry in archive.infolist()) > MAX_FILE_BYTES:
                raise source.wrong("more than it may hold", f"at most {MAX_FILE_BYTES:,} bytes unpacked")
        with np.load(io.BytesIO(source.data), allow_pickle=False) as file:
            rate = next((name for name in _RATES if name in file.files), _RATES[0])
            lacks = [name for name in ("poses", "trans", rate) if name not in file.files]
            if lacks:
                raise source.wrong(f"no {', '.join(lacks)}", "poses, trans and mocap_framerate, as AMASS has them")
            given = {"poses": file["poses"], "trans": file["trans"], "rate": file[rate]}
    except _BROKEN as error:
        raise source.wrong(f"no archive of plain arrays ({error})", "a file of AMASS, .npz") from error
    arrays = {name: _checked(source, name, array) for name, array in given.items()}
    if len(arrays["poses"]) != len(arrays["trans"]):
        raise source.wrong(f"{len(arrays['poses'])} poses and {len(arrays['trans'])} places", "as many of each")
    return arrays


def _checked(source: Source, name: str, array: np.ndarray) -> Float64:
    frames = array.shape[0] if array.ndim else 1
    fits = {
        "poses": array.ndim == 2 and array.shape[-1] >= _BODY and 2 <= frames <= MAX_FRAMES,
        "trans": array.ndim == 2 and array.shape[-1] == 3 and 2 <= frames <= MAX_FRAMES,
        "rate": array.size == 1,
    }[name]
    if not fits or array.dtype.kind not in "fiu":
        raise source.wrong(
            f"{name} of shape {array.shape} and type {array.dtype}",
            f"numbers, poses (T, {_BODY} or more), trans (T, 3), one rate, T from 2 to {MAX_FRAMES:,}",
        )
    numbers = np.asarray(array, dtype=np.float64)
    if not (np.abs(numbers) <= 1e6).all():
        raise source.wrong(f"numbers in {name} that are not finite", "finite numbers")
    return numbers.reshape(()) if name == "rate" else numbers
