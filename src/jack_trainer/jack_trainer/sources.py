"""What he learns from besides experience: bags, clips and scenes, found and named before anything is trained."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from jack_contract.contract import Contract
from jack_contract.errors import JackError
from jack_trainer.imitation.dataset import read_demonstrations
from jack_trainer.imitation.mocap.motion import MotionClip, load_motion
from jack_trainer.imitation.movement import Example
from jack_trainer.imitation.scenes import Scenes
from jack_trainer.phases import Phase
from jack_trainer.rl.amp import beat_of
from jack_trainer.scene_making import KEPT, TAUGHT, digest, read_scenes
from jack_trainer.training import TrainOptions

#: What to type where something is missing.
_MISSING = {
    "bags": "demonstrations: add --bags BAG ... (./jack record --episodes 30 makes some)",
    "clips": "motions: add --clips FILE ... (./jack mocap retarget FILE ... makes them)",
    "scenes": "what an expert shows at the table: add --scenes FOLDER ... (./jack scenes makes one)",
}


@dataclass(frozen=True)
class Sources:
    """What a training learns from; files by their SHA-256, hexadecimal."""

    bags: dict[str, Path] = field(default_factory=dict)
    clips: dict[str, Path] = field(default_factory=dict)
    #: folders
    scenes: dict[str, Path] = field(default_factory=dict)
    #: the clips, read
    motions: Sequence[MotionClip] = ()
    #: the scenes, mapped: to be learnt from, and only looked at
    shown: Sequence[Scenes] = ()
    kept: Sequence[Scenes] = ()
    #: bags that were named and are not learnt from, and why
    left_out: Sequence[tuple[Path, str]] = ()

    def of(self, taught: Phase) -> Sources:
        """Those that one phase learns from."""
        if taught.needs == "bags":
            return Sources(bags=self.bags)
        if taught.needs == "scenes":
            return Sources(scenes=self.scenes, shown=self.shown, kept=self.kept)
        return Sources(clips=self.clips, motions=self.motions) if taught.needs == "clips" else Sources()

    @property
    def files(self) -> dict[str, dict[str, Path]]:
        """All of them, by kind, as a transcript names the kinds."""
        return {"bags": self.bags, "clips": self.clips, "scenes": self.scenes}


def find_sources(options: TrainOptions, phases: Iterable[Phase], contract: Contract) -> Sources:
    """What the phases of a training learn from.

    Args:
        options: of the training.
        phases: that he is to be taught.
        contract: of who is taught.

    Raises:
        JackError: something that a phase needs was not given, is not there or not fit, or was given for nothing.
    """
    wanted = {taught.needs: taught.name for taught in phases}
    for need, words in _MISSING.items():
        given = getattr(options, need)
        if need in wanted and not given:
            raise JackError(f"The phase '{wanted[need]}' learns from {words}.")
        if given and need not in wanted:
            raise JackError(f"No phase of '{options.phase}' learns from {need}: leave out --{need}.")
    motions = [load_motion(path, contract.robot) for path in options.clips]
    if motions:
        beat_of([Example.of(motion, contract) for motion in motions], motions)
    clips = {_sha256(path): path for path in options.clips}
    shown, kept = (
        [scenes for folder in options.scenes for scenes in read_scenes(folder, contract, kind)]
        for kind in (TAUGHT, KEPT)
    )
    scenes = {digest(folder): folder for folder in options.scenes}
    given = Sources(clips=clips, scenes=scenes, motions=motions, shown=shown, kept=kept)
    if not options.bags:
        return given
    found = read_demonstrations(options.bags, contract)
    bags = {episode.sha256: episode.path for episode in found.episodes}
    return replace(given, bags=bags, left_out=found.left_out)


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
