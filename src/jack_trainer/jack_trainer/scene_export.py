"""Bags of what was told and done at a table as a folder of scenes, in the format of `scene_making`.

A bag does not tell where the named thing is in a picture, and only a simulation's where it is at all: what is not
known is NaN, which the learner ignores.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from jack_brain.chunk import to_rows
from jack_brain.policy import Policy
from jack_contract.arrays import Float64
from jack_contract.contract import Contract
from jack_contract.errors import JackError
from jack_contract.instruction import default_tokenizer
from jack_sim.layout import Layout, read_description
from jack_trainer.files import write_json
from jack_trainer.imitation.bag import Bag, Recorded
from jack_trainer.imitation.dataset import (
    Demonstrations,
    Episode,
    Reading,
    folder_of_samples,
    read_demonstrations,
)
from jack_trainer.imitation.facts import Mark, read_facts
from jack_trainer.imitation.frames import Times, read_frames
from jack_trainer.imitation.pictures import pictures_of
from jack_trainer.imitation.scenes import scene_layout
from jack_trainer.scene_making import MANIFEST, TAUGHT, Manifest, part_folder, sha256
from jack_trainer.tasks.demonstrations import GOALS, Demonstration, as_scenes
from jack_trainer.tasks.instructions import Goal, Skill
from jack_trainer.tasks.live_expert import meaning, says_done
from jack_trainer.tasks.tabletop import Situation, turned_back

#: Episodes of a part.
_PART = 48


def export(paths: Sequence[Path], contract: Contract, policy: Path, output: Path) -> Demonstrations:
    """Write what was done at tables as a folder of scenes; returns which bags those are, and why not others.

    Args:
        paths: of bags, or of folders full of them.
        contract: of who is taught.
        policy: file of the policy that had the legs: the gait is its.
        output: folder, which is made.

    Raises:
        JackError: no bag is fit, the folder is there already, or the disk does not take it.
    """
    if output.exists():
        raise JackError(f"{output} is there already; choose another folder: --output.")
    legs = Policy.load(policy, contract)
    found = read_demonstrations(paths, contract, Reading(legs.beat, legs.stumble_steps))
    fit: list[tuple[Episode, Demonstration]] = []
    left_out = list(found.left_out)
    for episode in found.episodes:
        try:
            fit.append((episode, shown(episode, contract)))
        except JackError as error:
            left_out.append((episode.path, str(error)))
    if not fit:
        reasons = " ".join(f"{path.name}: {why}" for path, why in left_out)
        raise JackError(f"Nothing can be learnt at a table. {reasons} Record some: ./jack record --operator expert")
    chosen = Demonstrations([episode for episode, _ in fit], left_out)
    try:
        _write(output, contract, policy, [demonstration for _, demonstration in fit], chosen.digests)
    except OSError as error:
        raise JackError(f"{output} cannot be written ({error.strerror}). Make room, or choose --output.") from error
    return chosen


def shown(episode: Episode, contract: Contract) -> Demonstration:
    """A bag as a demonstration; the layout is left open.

    Raises:
        JackError: it is not marked as a success, its instruction is of no grammar, it has no pictures, or a table
            without the named thing.
    """
    bag, path = Bag(episode.path), episode.path
    facts = read_facts(path if path.is_dir() else path.parent)
    goal = meaning(facts.instruction)
    if goal is None:
        raise JackError(f"its instruction '{facts.instruction[:80]}' is no sentence of the grammar.")
    if facts.mark is not Mark.SUCCESS:
        raise JackError(f"it is not marked as a success, but: {facts.mark}.")
    pictures = pictures_of(bag, contract.camera, folder_of_samples())
    frames = read_frames(bag, contract.robot)
    ids = np.searchsorted(frames.state.time, episode.rows["time"])
    received, steps = frames.received[ids], np.arange(len(ids))
    rows = np.zeros(len(ids), scene_layout(contract))
    for name in episode.rows.dtype.names or ():
        rows[name] = episode.rows[name]
    held = float(goal.skill is not Skill.WALK)  # who walks swings his arms
    rows["row"] = to_rows(contract, frames.target[ids], frames.command[ids], held)
    rows["ahead"] = steps[::-1]
    seen = pictures.rows(received)
    rows["picture"], rows["goal"] = np.maximum(seen, 0), GOALS[goal]
    rows["place"], rows["pixel"] = _place(bag, goal, received), np.nan
    told, done = np.searchsorted(received, _told_and_done(bag, goal))
    rows["done"] = ((steps - told) / max(1, min(done, len(ids) - 1) - told)).clip(0.0, 1.0)
    rows["use"] &= (steps >= told) & (seen >= 0)
    if not rows["use"].any():
        raise JackError("it has no moment with a picture after he was told.")
    return Demonstration(
        Situation(Layout(()), goal, facts.instruction), True, False, rows, pictures.pixels.transpose(0, 2, 3, 1)
    )


def _place(bag: Bag, goal: Goal, moments: Times) -> Float64:
    """Where the named thing is, in the frame of the pelvis, at moments [ns] (T,), (T, 3) [m]; NaN if nobody knows.

    Raises:
        JackError: the bag has a table without it.
    """
    table, odometry = (_of(bag, name) for name in ("/sim/table", "/odom"))
    if not (goal.skill.names_thing and table and odometry):
        return np.full((len(moments), 3), np.nan)
    laid = [read_description(recorded.message.data) for recorded in table]
    things = [poses[layout.slot(goal.kind), :3] for layout, poses in laid]
    seen = [recorded.message.pose.pose for recorded in odometry]
    pelvis = [[getattr(pose.position, axis) for axis in "xyz"] for pose in seen]
    turns = [[getattr(pose.orientation, axis) for axis in "wxyz"] for pose in seen]
    thing, at, turn = (
        np.stack([np.interp(moments, [one.time for one in source], column) for column in np.transpose(values)], -1)
        for source, values in ((table, things), (odometry, pelvis), (odometry, turns))
    )
    return turned_back(turn, thing - at)


def _of(bag: Bag, *names: str) -> list[Recorded]:
    """The messages of topics that end so."""
    return list(bag.read([topic for topic in bag.topics if topic.endswith(names)]))


def _told_and_done(bag: Bag, goal: Goal) -> Float64:
    """When he was told and when he was done, (2,) [ns]; where a bag does not say, the beginning and the end."""
    times = [-np.inf, np.inf]
    for recorded in _of(bag, "/instruction", "/expert/status"):
        if recorded.message.data == says_done(goal):
            times[1] = recorded.time
        elif meaning(recorded.message.data) == goal:
            times[0] = recorded.time
    return np.array(times)


def _write(
    output: Path, contract: Contract, policy: Path, demonstrations: Sequence[Demonstration], bags: list[str]
) -> None:
    tokenizer = default_tokenizer()
    parts = [demonstrations[first : first + _PART] for first in range(0, len(demonstrations), _PART)]
    for number, part in enumerate(parts):
        as_scenes(part, contract, tokenizer).save(part_folder(output, TAUGHT, number))
    skills = {demonstration.situation.goal.skill for demonstration in demonstrations}
    manifest = Manifest(
        contract=contract.digest,
        words=tokenizer.digest,
        policy=sha256(policy),
        seed=0,
        bags=bags,
        skills=[skill.value for skill in Skill if skill in skills],
        taught=len(parts),
        kept=0,
    )
    write_json(output / MANIFEST, manifest)  # last: with it, all is there
