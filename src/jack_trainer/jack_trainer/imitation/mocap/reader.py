"""Motion-capture files of every kind that Jack knows, told apart by the ends of their names."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from jack_trainer.imitation.mocap.acclaim import find_skeleton, read_acclaim
from jack_trainer.imitation.mocap.amass import read_amass
from jack_trainer.imitation.mocap.bvh import read_bvh
from jack_trainer.imitation.mocap.clip import Clip, clip_of
from jack_trainer.imitation.mocap.deepmimic import read_deepmimic
from jack_trainer.imitation.mocap.skeleton import Take
from jack_trainer.imitation.mocap.source import MocapError, Source

#: By the end of a file's name: what the format is called, and who reads it. AMC needs a second file.
_READERS: dict[str, tuple[str, Callable[[Source], Take] | None]] = {
    ".bvh": ("BVH", read_bvh),
    ".amc": ("AMC", None),
    ".txt": ("DeepMimic", read_deepmimic),
    ".json": ("DeepMimic", read_deepmimic),
    ".npz": ("AMASS", read_amass),
}
#: What is known of who may use a file of a format.
TERMS = {
    "AMASS": "AMASS' data sets are licensed for research that is not commercial; see amass.is.tue.mpg.de",
}


def read_clip(path: Path, skeleton: Path | None = None) -> Clip:
    """The motion of a file.

    Args:
        path: BVH, AMC, JSON of DeepMimic, or npz of AMASS.
        skeleton: the ASF file of an AMC file; None looks for it beside it.

    Raises:
        MocapError: of another kind, damaged, or no motion of a person; one line says where and what.
    """
    suffix = path.suffix.lower()
    if suffix not in _READERS:
        raise MocapError(f"{path} has an ending that is not known; known are {', '.join(_READERS)}.")
    kind, read = _READERS[suffix]
    source = Source.load(path)
    if read is not None:
        return clip_of(source, read(source), kind)
    take = read_acclaim(source, Source.load(skeleton or find_skeleton(path)))
    return clip_of(source, take, kind)
