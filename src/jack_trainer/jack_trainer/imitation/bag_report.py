"""What is in a bag, for people, and whether he can be taught with it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

from rich import box
from rich.console import Console, Group
from rich.table import Table
from rich.text import Text

from jack_contract.contract import Contract, default_contract
from jack_contract.errors import JackError
from jack_contract.wire import NANOSECONDS
from jack_trainer.imitation.bag import SUFFIXES, Bag
from jack_trainer.imitation.definitions import is_stamped
from jack_trainer.imitation.facts import METADATA, NEEDED, Facts, TopicFacts, complaints, read_facts
from jack_trainer.imitation.heard import Heard, Tally
from jack_trainer.imitation.storage import read_file
from jack_trainer.live_graph import FAILED, OK

#: So many names are told at most.
_TOLD = 6


@dataclass
class _Seen:
    """One topic, as the bag has it."""

    type: str
    tally: Tally
    first: int
    last: int

    @property
    def rate(self) -> float:
        """Messages per second; 0 for one."""
        span = (self.last - self.first) / NANOSECONDS
        return (self.tally.received - 1) / span if span > 0 else 0.0


@dataclass
class Look:
    """A bag that was read from end to end."""

    bag: Bag
    #: by full name
    topics: dict[str, _Seen] = field(default_factory=dict)
    #: what could not be read
    spoilt: list[str] = field(default_factory=list)
    #: as its recorder wrote them; else, of a bag of somebody else or a torn one, as far as they can be seen
    facts: Facts = field(default_factory=lambda: Facts(name=""))
    #: whether its recorder wrote them
    known: bool = False


def look_at(path: Path) -> Look:
    """Read a bag from end to end: a folder, or one file.

    Raises:
        JackError: it is none.
    """
    look = Look(Bag(path))
    for file in look.bag.files:
        for raw in read_file(file, look.spoilt.append):
            seen = look.topics.get(raw.channel.topic)
            if seen is None:
                tally = Tally(is_stamped(raw.channel.type, raw.channel.definition))
                seen = look.topics[raw.channel.topic] = _Seen(raw.channel.type, tally, raw.time, raw.time)
            seen.tally.received += 1
            seen.tally.accept(Heard(0, raw.data, raw.time))
            seen.first, seen.last = min(seen.first, raw.time), max(seen.last, raw.time)
    folder = path if path.is_dir() else path.parent
    look.known = (folder / METADATA).is_file() and not look.spoilt
    look.facts = _facts(look, folder)
    return look


def _facts(look: Look, folder: Path) -> Facts:
    if look.known:
        try:
            return read_facts(folder)
        except JackError:
            look.known = False
    topics = {name: seen.tally.facts(seen.type, _period(name)) for name, seen in look.topics.items()}
    times = [time for seen in look.topics.values() for time in (seen.first, seen.last)] or [0]
    return Facts(
        name=folder.name,
        started=max(0, min(times)),
        duration=(max(times) - min(times)) / NANOSECONDS,
        ended="" if look.spoilt else "read to its end",
        topics=topics,
    )


def _period(name: str) -> float:
    """Of a topic that must be steady, in a bag whose robot nobody knows: 50 times a second, as Jack."""
    return 0.02 if any(name.endswith(f"/{needed}") for needed in NEEDED) else 0.0


# -- info


def info(look: Look) -> Group:
    """All that there is to know, as a picture."""
    facts = look.facts
    head = Table.grid(padding=(0, 2))
    started = datetime.fromtimestamp(facts.started / NANOSECONDS).astimezone().isoformat(" ", "seconds")
    rows = {
        "bag": str(look.bag.path),
        "SHA-256": look.bag.sha256,
        "robot": facts.robot or "not said",
        "contract": facts.contract_digest or "not said",
        "instruction": facts.instruction or "none",
        "mark": f"{facts.mark}{f' ({facts.note})' if facts.note else ''}",
        "started": started,
        "duration": f"{facts.duration:.1f} s",
        "ended": facts.ended or "never: the recorder died",
        **({"spoilt": "; ".join(look.spoilt[:_TOLD])} if look.spoilt else {}),
    }
    for name, text in rows.items():
        head.add_row(Text(name, "bold"), Text(text))
    shown = Table(box=box.SIMPLE_HEAD)
    shown.add_column("topic", no_wrap=True)
    shown.add_column("type", no_wrap=True)
    for column in ("messages", "1/s", "dropped", "longest [s]", "gap"):
        shown.add_column(column, justify="right")
    for name, seen in sorted(look.topics.items()):
        shown.add_row(Text(name), Text(seen.type.replace("/msg/", "/")), *_numbers(seen, facts.topics.get(name)))
    return Group(head, shown)


def _numbers(seen: _Seen, facts: TopicFacts | None) -> list[str]:
    dropped, longest = (str(facts.dropped), f"{facts.longest:.3f}") if facts else ("?", "?")
    return [f"{seen.tally.received:,}", f"{seen.rate:.1f}", dropped, longest, "yes" if facts and facts.gap else ""]


# -- check


def faults(look: Look, contract: Contract, gaps_allowed: bool = False) -> list[str]:
    """Why a bag is not to be trained on, each in words that say what is there and what was expected; empty if fit.

    Args:
        look: the bag.
        contract: of the robot that is to be taught.
        gaps_allowed: whether a bag with gaps is fit all the same.
    """
    facts = look.facts
    said = complaints(facts, gaps_allowed)
    said += [f"it is spoilt: {words}" for words in look.spoilt[:1]]
    if facts.contract_digest not in ("", contract.digest):
        said.append(
            f"it was recorded under another contract: robot '{facts.robot}', {facts.contract_digest[:12]}; "
            f"expected: robot '{contract.robot.name}', {contract.digest[:12]}"
        )
    return said + _joint_faults(look, contract)


def _joint_faults(look: Look, contract: Contract) -> list[str]:
    """Whether the joints that are in it are those of the robot."""
    own, said = set(contract.robot.joint_names), []
    for topic in look.topics:
        if not topic.endswith(("/joint_states", "/joint_command")):
            continue
        first = next(look.bag.read({topic}), None)
        if first is None:
            said.append(f"no message of {topic} can be read: {'; '.join(look.bag.spoilt[:1])}")
        elif missing := own - set(first.message.name):
            there = _some(first.message.name)
            said.append(f"{topic} lacks {_some(missing)}, joints of '{contract.robot.name}'; it has: {there}")
    return said


def _some(names: Sequence[str] | set[str]) -> str:
    ordered = sorted(str(name)[:40] for name in names)
    more = [f"and {len(ordered) - _TOLD} more"] if len(ordered) > _TOLD else []
    return ", ".join([*ordered[:_TOLD], *more]) or "none"


# -- which


def newest_bag(folder: Path) -> Path:
    """The episode that was recorded last, torn or whole; a JackError if there is none."""
    found = [path for path in folder.glob("*") if path.is_dir() and any(path.glob(f"*{SUFFIXES[0]}"))]
    if not found:
        raise JackError(f"There is no bag in {folder.absolute()}. Record one: ./jack record")
    return max(found, key=lambda path: path.stat().st_mtime_ns)


# -- what ./jack bag does


def show(paths: Sequence[Path]) -> int:
    """Print what is in each bag; returns the exit code."""
    console = Console(highlight=False)
    for path in paths:
        console.print(info(look_at(path)))
    return OK


def check(paths: Sequence[Path], robot: str, gaps_allowed: bool) -> int:
    """Print of each bag whether a robot can be taught with it; returns the exit code, 0 if it can with all."""
    contract, code = default_contract(robot), OK
    for path in paths:
        said = faults(look_at(path), contract, gaps_allowed)
        print(f"{path}: " + (f"not fit for training: {'; '.join(said)}." if said else "fit for training"))
        code = FAILED if said else code
    return code


def export(paths: Sequence[Path], robot: str, gaps_allowed: bool, output: Path, pictures: bool = True) -> int:
    """Write bags as one LeRobot data set (v3); returns the exit code.

    Raises:
        JackError: a bag is not fit for training, or the data set cannot be written; says why.
    """
    contract, looks = default_contract(robot), [look_at(path) for path in paths]
    for look in looks:
        if said := faults(look, contract, gaps_allowed):
            raise JackError(f"{look.bag.path} is not fit for training: {'; '.join(said)}. Leave it out.")
    from jack_trainer.imitation import lerobot  # OpenCV takes long to load

    bags = [(look.bag, look.facts.instruction) for look in looks]
    count = lerobot.export(bags, contract, output, pictures)
    print(f"{output}: {len(looks)} episodes, {count:,} frames")
    return OK


def take_in(folders: Sequence[Path], robot: str, bags: Path) -> int:
    """Write the episodes of LeRobot data sets (v3) as bags into a folder; returns the exit code.

    Raises:
        JackError: one is none, or of another robot; says what is there and what was expected.
    """
    from jack_trainer.imitation.lerobot_import import import_dataset  # as above

    for folder in folders:
        paths = import_dataset(folder, default_contract(robot).robot, bags)
        print(f"{folder}: {len(paths)} episodes in {bags}, from {paths[0].name} on")
    return OK
