"""What is learnt from at the table is made in advance: an expert before thousands of tables, on all cores.

A folder of scenes has `taught/000`, `taught/001` and so on, to be learnt from, and `kept/000` and so on, with
layouts and phrasings that are only looked at (`Scenes`). Each part has chance of its own, from the seed and its
number: parts that are there already are left alone, so that a making that was stopped goes on. `scenes.json` says
what they are.
"""

from __future__ import annotations

import hashlib
import multiprocessing
import os
import signal
from collections.abc import Callable, Iterable
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from jack_contract.contract import Contract, default_contract
from jack_contract.errors import JackError
from jack_contract.instruction import default_tokenizer
from jack_sim.render import BatchCamera
from jack_trainer.checkpoint import policy_of
from jack_trainer.files import write_json
from jack_trainer.imitation.scenes import ROWS, Scenes, map_scenes
from jack_trainer.tasks.apprentice import Apprentice
from jack_trainer.tasks.beginner import Interrupted
from jack_trainer.tasks.demonstrations import DISTURBANCE, Demonstration, Demonstrator, as_scenes, draw_situation
from jack_trainer.tasks.instructions import Skill
from jack_trainer.tasks.legs import Legs
from jack_trainer.tasks.tabletop import Situation, Tabletop

#: Names of the folders of parts, and of the file that says what they are.
TAUGHT, KEPT, MANIFEST = "taught", "kept", "scenes.json"
#: Robots that show side by side, and parts to be learnt from for each that is kept.
ROBOTS, KEPT_EVERY = 16, 16
#: What the expert fails at is left out; where he fails at more than this share, something is wrong with him.
_MAY_FAIL = 0.5
#: A folder has no more parts than this.
_MOST = 100_000


class Manifest(BaseModel):
    """What a folder of scenes is."""

    model_config = ConfigDict(extra="forbid")

    contract: str
    words: str
    #: SHA-256 of the policy that had the legs
    policy: str
    seed: int
    #: SHA-256 of the policy that begins what the expert goes on with; empty: the expert does all of it
    apprentice: str = ""
    #: SHA-256 of the bags that they are from; empty: they were simulated
    bags: list[str] = []
    skills: list[str]
    #: parts to be learnt from, and kept
    taught: int = Field(ge=0, le=_MOST)
    kept: int = Field(ge=0, le=_MOST)


@dataclass(frozen=True)
class Making:
    """What is to be made."""

    #: where it goes
    folder: Path
    #: file of the policy that has the legs
    policy: Path
    #: demonstrations to be learnt from, less what he fails at
    count: int = 2400
    skills: tuple[Skill, ...] = tuple(Skill)
    seed: int = 0
    #: file of a policy that follows sentences and begins what the expert goes on with; None: he does all of it
    apprentice: Path | None = None
    #: demonstrations of a part
    part: int = 48

    def __post_init__(self) -> None:
        if not 1 <= self.count <= _MOST or self.part < 1 or not self.skills:
            raise JackError(f"Scenes need a count of 1 to {_MOST:,} and a skill at least, given: {self.count}.")

    @property
    def taught(self) -> int:
        """Parts to be learnt from."""
        return -(-self.count // self.part)

    @property
    def kept(self) -> int:
        """Parts that are only looked at."""
        return -(-self.taught // KEPT_EVERY)


def make_scenes(making: Making, on_part: Callable[[int, int], None] = lambda _done, _all: None) -> Manifest:
    """Make what is not there yet; where a folder was begun with more, all of that.

    Args:
        making: what.
        on_part: told how many parts are there, and of how many.

    Raises:
        JackError: the folder has scenes of another policy, seed or contract; nothing can be drawn here; or the
            disk does not take them.
    """
    wanted = Manifest(
        contract=default_contract().digest,
        words=default_tokenizer().digest,
        policy=sha256(making.policy),
        apprentice=sha256(making.apprentice) if making.apprentice else "",
        seed=making.seed,
        skills=[skill.value for skill in making.skills],
        taught=making.taught,
        kept=making.kept,
    )
    manifest = _grown(making.folder, wanted)
    parts = [(kind, number) for kind in (TAUGHT, KEPT) for number in range(getattr(manifest, kind))]
    write_json(making.folder / MANIFEST, manifest)
    missing = [part for part in parts if not (part_folder(making.folder, *part) / ROWS).is_file()]
    on_part(len(parts) - len(missing), len(parts))
    workers = min(len(os.sched_getaffinity(0)), len(missing))
    if workers:
        spawn = multiprocessing.get_context("spawn")
        with ProcessPoolExecutor(workers, spawn, signal.signal, (signal.SIGINT, signal.SIG_IGN)) as pool:
            works = [pool.submit(_make_part, making, kind, number) for kind, number in missing]
            try:
                for done, work in enumerate(as_completed(works), len(parts) - len(missing) + 1):
                    work.result()
                    on_part(done, len(parts))
            except BaseException:
                pool.shutdown(cancel_futures=True)
                raise
    return manifest


def read_manifest(folder: Path) -> Manifest:
    """What a folder of scenes is.

    Raises:
        JackError: it is none, or not whole.
    """
    path = folder / MANIFEST
    try:
        with path.open("rb") as file:
            return Manifest.model_validate_json(file.read(65536))
    except FileNotFoundError as error:
        raise JackError(f"{folder} has no {MANIFEST}: ./jack scenes {folder} makes scenes.") from error
    except (OSError, ValidationError) as error:
        raise JackError(f"{path} cannot be read. Delete {folder}, then: ./jack scenes {folder}") from error


def read_scenes(folder: Path, contract: Contract, kind: str = TAUGHT) -> list[Scenes]:
    """The scenes of a folder, mapped.

    Args:
        folder: that `make_scenes` made.
        contract: of who learns.
        kind: TAUGHT or KEPT.

    Raises:
        JackError: it is not whole, or made for another contract or vocabulary.
    """
    manifest = read_manifest(folder)
    for what, theirs, own in (
        ("contract", manifest.contract, contract.digest),
        ("vocabulary", manifest.words, default_tokenizer().digest),
    ):
        if theirs != own:
            raise JackError(f"{folder} was made for the {what} {theirs[:8]}, this Jack has {own[:8]}.")
    count = manifest.taught if kind == TAUGHT else manifest.kept
    places = [part_folder(folder, kind, number) for number in range(count)]
    if missing := sum(not (place / ROWS).is_file() for place in places):
        raise JackError(f"{missing} of {count} parts are missing: ./jack scenes {folder} goes on with them.")
    return [map_scenes(place, contract) for place in places]


def shown_by_others(folders: Iterable[Path], place: Path) -> list[Path]:
    """Those folders in which not this policy, a file or that of a checkpoint, had the legs.

    How he holds himself decides how he sees the table: on legs that leaned by 7 degrees more than those of the
    scenes most things were missed.
    """
    own = sha256(policy_of(place) if place.is_dir() else place)
    return [folder for folder in folders if read_manifest(folder).policy != own]


def digest(folder: Path) -> str:
    """SHA-256 over the manifest and the seals of all rows that are learnt from, hexadecimal."""
    manifest, found = read_manifest(folder), hashlib.sha256((folder / MANIFEST).read_bytes())
    for number in range(manifest.taught):
        with (part_folder(folder, TAUGHT, number) / ROWS).open("rb") as file:
            file.seek(-hashlib.sha256().digest_size, os.SEEK_END)
            found.update(file.read())
    return found.hexdigest()


def sha256(path: Path) -> str:
    """Of a file, hexadecimal."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


def part_folder(folder: Path, kind: str, number: int) -> Path:
    """Where a part of a folder of scenes is."""
    return folder / kind / f"{number:03d}"


def _grown(folder: Path, wanted: Manifest) -> Manifest:
    """What is wanted, and what the folder was begun with besides.

    Raises:
        JackError: it was begun for something else.
    """
    if not (folder / MANIFEST).exists():
        return wanted
    there = read_manifest(folder)
    for name in ("contract", "words", "policy", "apprentice", "seed", "skills"):
        found, asked = (getattr(manifest, name) or "none" for manifest in (there, wanted))
        if found != asked:
            raise JackError(f"{folder} has scenes of another {name}: {found}, not {asked}. Name another folder.")
    most = {kind: max(getattr(there, kind), getattr(wanted, kind)) for kind in (TAUGHT, KEPT)}
    return wanted.model_copy(update=most)


def _make_part(making: Making, kind: str, number: int) -> None:
    """Make one part, in a process of its own.

    Raises:
        JackError: it cannot be; says why. Of no other kind: not all can be handed from process to process.
    """
    place, exam = part_folder(making.folder, kind, number), kind == KEPT
    try:
        shown = _shown(making, exam, np.random.default_rng((making.seed, int(exam), number)))
        as_scenes(shown, default_contract(), default_tokenizer(), exam).save(place)
    except OSError as error:
        raise JackError(f"{place} could not be written ({error.strerror}). Make room, then go on.") from error
    except JackError as error:
        raise JackError(str(error)) from error


def _shown(making: Making, exam: bool, random: np.random.Generator) -> list[Demonstration]:
    """What the expert does of a part's demonstrations."""
    contract, skills = default_contract(), making.skills
    task = Tabletop(min(ROBOTS, making.part), contract)
    with BatchCamera(task.world.batch, contract.camera) as camera:
        legs = Legs(making.policy, contract, task.count)
        apprentice = making.apprentice
        begins = Apprentice(apprentice, contract, task.count) if apprentice else Interrupted(task, random)
        gives = Demonstrator(task, legs, camera, random, DISTURBANCE, begins)

        def draw() -> Situation:
            return draw_situation(random, gives.expert.planner, exam, skills[int(random.integers(len(skills)))])

        good = [shown for shown in gives.run(draw, making.part) if shown.success]
    if len(good) < (1 - _MAY_FAIL) * making.part:
        raise JackError(
            f"The expert did {len(good)} of {making.part} things: does his policy, {making.policy}, walk?"
        )
    return good
