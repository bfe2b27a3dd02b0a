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
from collections.abc import Callable, Iterable
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from pydantic import BaseModel, ConfigDict, ValidationError

from jack_contract.contract import Contract, default_contract
from jack_contract.errors import JackError
from jack_contract.instruction import default_tokenizer
from jack_sim.render import BatchCamera
from jack_trainer.files import write_json
from jack_trainer.imitation.scenes import ROWS, Scenes, map_scenes
from jack_trainer.tasks.demonstrations import DISTURBANCE, Demonstration, Demonstrator, as_scenes, draw_situation
from jack_trainer.tasks.instructions import Skill
from jack_trainer.tasks.legs import Legs
from jack_trainer.tasks.tabletop import Situation, Tabletop

#: Names of the folders of parts, and of the file that says what they are.
TAUGHT, KEPT, MANIFEST = "taught", "kept", "scenes.json"
#: Demonstrations of a part, robots that give them side by side, and parts to be learnt from for each that is kept.
PART, ROBOTS, KEPT_EVERY = 48, 16, 16
#: Expert demonstrations that fail are left out; more than this share of them, and something is wrong with him.
_MAY_FAIL = 0.5


class Manifest(BaseModel):
    """What a folder of scenes is."""

    model_config = ConfigDict(extra="forbid")

    contract: str
    words: str
    #: SHA-256 of the policy that had the legs
    policy: str
    seed: int
    skills: list[str]
    #: parts to be learnt from, and kept
    taught: int
    kept: int


@dataclass(frozen=True)
class Making:
    """What is to be made."""

    #: where it goes
    folder: Path
    #: file of the policy that has the legs
    policy: Path
    #: demonstrations to be learnt from, at least
    count: int = 2400
    skills: tuple[Skill, ...] = tuple(Skill)
    seed: int = 0

    def __post_init__(self) -> None:
        if self.count < 1 or not self.skills:
            raise JackError(f"Scenes need a count above 0 and a skill at least, given: {self}.")

    @property
    def parts(self) -> list[tuple[str, int]]:
        """Folder and number of each part."""
        taught = -(-self.count // PART)
        kept = -(-taught // KEPT_EVERY)
        return [(TAUGHT, number) for number in range(taught)] + [(KEPT, number) for number in range(kept)]


def make_scenes(making: Making, on_part: Callable[[int, int], None] = lambda _done, _all: None) -> Manifest:
    """Make what is not there yet.

    Args:
        making: what.
        on_part: told how many parts are there, and of how many.

    Raises:
        JackError: the folder has scenes of another policy, seed or contract; nothing can be drawn here; or the
            disk does not take them.
    """
    contract, parts = default_contract(), making.parts
    manifest = Manifest(
        contract=contract.digest,
        words=default_tokenizer().digest,
        policy=hashlib.sha256(making.policy.read_bytes()).hexdigest(),
        seed=making.seed,
        skills=[skill.value for skill in making.skills],
        taught=sum(kind == TAUGHT for kind, _ in parts),
        kept=sum(kind == KEPT for kind, _ in parts),
    )
    _require_same(making.folder, manifest)
    write_json(making.folder / MANIFEST, manifest)
    missing = [part for part in parts if not (_place(making.folder, *part) / ROWS).is_file()]
    on_part(len(parts) - len(missing), len(parts))
    workers = min(len(os.sched_getaffinity(0)), len(missing))
    if workers:
        with ProcessPoolExecutor(workers, multiprocessing.get_context("spawn")) as pool:
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
        return Manifest.model_validate_json(path.read_bytes()[:65536])
    except FileNotFoundError as error:
        raise JackError(f"{folder} has no {MANIFEST}: ./jack scenes {folder} makes scenes.") from error
    except (OSError, ValidationError) as error:
        raise JackError(f"{path} cannot be read. Make the scenes anew.") from error


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
    places = [_place(folder, kind, number) for number in range(count)]
    if missing := sum(not (place / ROWS).is_file() for place in places):
        raise JackError(f"{folder} is not whole, {missing} of {count} parts are missing: ./jack scenes goes on.")
    return [map_scenes(place, contract) for place in places]


def digest(folder: Path) -> str:
    """SHA-256 over the manifest and the seals of all rows, hexadecimal."""
    manifest, found = read_manifest(folder), hashlib.sha256((folder / MANIFEST).read_bytes())
    for number in range(manifest.taught):
        with (_place(folder, TAUGHT, number) / ROWS).open("rb") as file:
            file.seek(-hashlib.sha256().digest_size, os.SEEK_END)
            found.update(file.read())
    return found.hexdigest()


def _place(folder: Path, kind: str, number: int) -> Path:
    return folder / kind / f"{number:03d}"


def _require_same(folder: Path, wanted: Manifest) -> None:
    if not (folder / MANIFEST).exists():
        return
    there = read_manifest(folder)
    for name in ("contract", "words", "policy", "seed", "skills"):
        if getattr(there, name) != getattr(wanted, name):
            raise JackError(
                f"{folder} has scenes of another {name}: {getattr(there, name)}, not {getattr(wanted, name)}. "
                "Name another folder."
            )


def _make_part(making: Making, kind: str, number: int) -> None:
    contract, exam = default_contract(), kind == KEPT
    random = np.random.default_rng((making.seed, int(exam), number))
    task = Tabletop(ROBOTS, contract)
    with BatchCamera(task.world.batch, contract.camera) as camera:
        gives = Demonstrator(task, Legs(making.policy, contract, ROBOTS), camera, random, DISTURBANCE)
        skills = making.skills

        def draw() -> Situation:
            return draw_situation(random, gives.expert.planner, exam, skills[int(random.integers(len(skills)))])

        done = _good(gives.run(draw, round(PART / (1 - _MAY_FAIL))), PART)
    as_scenes(done, contract, default_tokenizer(), exam).save(_place(making.folder, kind, number))


def _good(given: Iterable[Demonstration], count: int) -> list[Demonstration]:
    """The first so many that were done.

    Raises:
        JackError: there are not so many.
    """
    good = []
    for demonstration in given:
        if demonstration.success:
            good.append(demonstration)
            if len(good) == count:
                return good
    raise JackError(f"The expert did only {len(good)} of what he was told; {count} were wanted: is it his policy?")
