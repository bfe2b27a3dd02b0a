"""Episodes on disk: messages as they come off the wire, in MCAP, which rosbag2, Foxglove and PlotJuggler open.

Whoever hears messages never waits for the disk: they go into a bounded queue, and a thread of its own writes them.
What does not fit is dropped, and counted. The file grows in small chunks, each forced to disk: who is killed loses
no more than one. An episode is written into a folder whose name says that it is unfinished, and renamed at its end.
"""

from __future__ import annotations

import re
import shutil
import threading
import time
from collections import Counter, deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from jack_contract.contract import Contract
from jack_contract.errors import JackError
from jack_contract.wire import NANOSECONDS
from jack_trainer.files import sync
from jack_trainer.imitation.bag_file import BagFile, Subject, describe
from jack_trainer.imitation.facts import Facts, Mark, TopicFacts, mark_episode
from jack_trainer.imitation.heard import Heard, LookBack, Queue, Tally
from jack_trainer.imitation.topics import Listening

#: Of the folder of an episode that is being recorded, or whose recorder died.
UNFINISHED = ".unfinished"
#: How an episode that was thrown away ended.
DISCARDED = "discarded"
_NAME = re.compile(r"[A-Za-z0-9][\w.-]{0,99}", re.ASCII)
#: An instruction or a note is no longer [characters].
MAX_WORDS = 2_000
#: How long the writing thread sleeps at most when there is nothing to write [s].
_IDLE = 0.2


@dataclass(frozen=True)
class RecordingConfig:
    """Where episodes go, and how much they may take."""

    #: folder of the episodes
    folder: Path
    #: messages that wait to be written [bytes]
    queue_bytes: int = 16 << 20
    #: what may be lost: a chunk is written when it would be larger [bytes], or its first message is older [s]
    chunk_bytes: int = 64 << 10
    chunk_seconds: float = 0.5
    #: what is kept of the time before an episode [s], and at most [bytes]
    look_back_seconds: float = 5.0
    look_back_bytes: int = 16 << 20
    #: an episode ends when the disk has less room than this [bytes]
    reserve_bytes: int = 256 << 20


@dataclass(frozen=True)
class Request:
    """What an episode is to be."""

    #: of its folder; empty: date and time
    name: str = ""
    #: [s]
    look_back: float = 0.0
    instruction: str = ""


class Episode:
    """One episode: its queue, the thread that writes, and what came of it."""

    def __init__(
        self,
        folder: Path,
        subjects: Sequence[Subject],
        facts: Facts,
        config: RecordingConfig,
        period: float,
        begun: int,
    ) -> None:
        """Begin.

        Args:
            folder: that it will be; it is written beside it.
            subjects: the topics.
            facts: what is known beforehand.
            config: sizes.
            period: time between two messages of a steady topic [s].
            begun: its first moment, look-back included [ns, monotonic].

        Raises:
            OSError: the disk does not take it.
        """
        self.folder, self.path = folder, folder.with_name(folder.name + UNFINISHED)
        self._subjects, self._config, self._period = subjects, config, period
        self._begun, self._last, self._since = begun, begun, time.monotonic()
        started = time.time_ns() - (time.monotonic_ns() - begun)
        #: a clock that is set meanwhile moves no message: all follow one that only goes on
        self._offset = started - begun
        self.facts = facts.model_copy(update={"name": folder.name, "started": started})
        self._tallies = [Tally(subject.definition.stamped) for subject in subjects]
        self._lock = threading.Lock()
        self._ended = ""
        #: why it ended before anybody wanted that; empty if it did not
        self.trouble = ""
        #: why there is no whole bag; empty if there is one
        self.problem = ""
        self.path.mkdir(parents=True)
        self._name = f"{folder.name}_0.mcap"
        self._file = BagFile(self.path / self._name, subjects, self.facts, config.chunk_bytes)
        self._queue = Queue(config.queue_bytes)
        self._writing = deque[Heard]()
        self._thread = threading.Thread(target=self._run, name="recording")
        self._thread.start()

    # -- for those who hear

    def hear(self, heard: Heard) -> None:
        """Take a message; it is dropped and counted if there is no room for it. What came before is none of it."""
        with self._lock:
            if self._ended or heard.at < self._begun:
                return
            tally = self._tallies[heard.topic]
            tally.received += 1
            if self._queue.put(heard):
                self._last = max(self._last, heard.at)
                tally.accept(heard)
            else:
                tally.dropped += 1

    def miss(self, topic: int, count: int) -> None:
        """Count messages that were sent and never came."""
        with self._lock:
            if not self._ended:
                self._tallies[topic].received += count
                self._tallies[topic].dropped += count

    def end(self, why: str) -> None:
        """Take no more; what waits is written, and the bag closed, by its own thread."""
        with self._lock:
            if not self._ended:
                self._ended = why
                for subject, tally in zip(self._subjects, self._tallies, strict=True):
                    if subject.spec.steady:
                        tally.end(time.monotonic_ns())
        self._queue.close()

    def mark(self, mark: Mark, note: str) -> None:
        """Say how it goes."""
        with self._lock:
            self.facts = self.facts.model_copy(update={"mark": mark, "note": note})

    def join(self, patience: float | None = None) -> bool:
        """Wait until everything is on the disk, for so long [s] at most; whether it is."""
        self._thread.join(patience)
        return self.over

    @property
    def over(self) -> bool:
        """Whether nothing more happens to it."""
        return not self._thread.is_alive()

    @property
    def ended(self) -> str:
        """Why it takes no more; empty while it does."""
        return self._ended

    @property
    def elapsed(self) -> float:
        """Time since it began, without look-back [s]."""
        return time.monotonic() - self._since

    @property
    def bytes(self) -> int:
        """Size of the bag so far."""
        return self._file.size

    def counts(self) -> dict[str, TopicFacts]:
        """What came of each topic so far; what waits to be written counts as recorded."""
        with self._lock:
            return {
                subject.name: tally.facts(subject.definition.type, self._period if subject.spec.steady else 0.0)
                for subject, tally in zip(self._subjects, self._tallies, strict=True)
            }

    # -- the thread that writes

    def _run(self) -> None:
        try:
            self._write()
            self._close()
        except Exception as error:  # whatever it is: those who wait must not take the bag for whole
            words = (error.strerror if isinstance(error, OSError) else None) or str(error)
            self.end(f"writing failed: {words}")
            self._drop_the_rest()
            self._file.abandon()
            self.problem = (
                f"The episode is torn ({words}); what was on the disk before can be read: {self.path}. "
                f"Make room, or record elsewhere."
            )

    def _write(self) -> None:
        while not self._queue.over:
            self._writing = self._queue.get(min(_IDLE, self._config.chunk_seconds), self._config.chunk_bytes)
            while self._writing:
                self._file.write(self._writing[0], self._writing[0].at + self._offset)
                self._writing.popleft()
            if self._file.age >= self._config.chunk_seconds:
                self._file.flush()
            self._look_at_the_disk()

    def _look_at_the_disk(self) -> None:
        free = free_bytes(self._config.folder)
        if free < self._config.reserve_bytes:
            kept = _mega(self._config.reserve_bytes)
            self.trouble = f"the disk is nearly full: {_mega(free)} left, {kept} are kept free"
            self.end(self.trouble)

    def _close(self) -> None:
        duration = (self._last - self._begun) / NANOSECONDS
        topics = {name: topic for name, topic in self.counts().items() if topic.received}
        with self._lock:
            self.facts = self.facts.model_copy(
                update={"ended": self._ended, "duration": duration, "topics": topics}
            )
        if self._ended == DISCARDED:
            self._file.abandon()
            shutil.rmtree(self.path, ignore_errors=True)
            self.problem = "The episode was thrown away."
            return
        self._file.finish(self.facts)
        describe(self.path / self._name, self._subjects, self.facts)
        self.path = self.path.rename(self.folder)
        sync(self.folder.parent)

    def _drop_the_rest(self) -> None:
        """What waits, and what was in the chunk that failed, is not in the bag."""
        lost = self._file.unsafe + Counter(heard.topic for heard in (*self._writing, *self._queue.get(0.0)))
        with self._lock:
            for topic, count in lost.items():
                self._tallies[topic].dropped += count


@dataclass
class Recorder:
    """Hears topics all the time, and records episodes of them; all but the writing happens in one thread."""

    subjects: Sequence[Subject]
    config: RecordingConfig
    #: whose robot it is: what a training must agree with
    contract: Contract
    #: the episode that is being recorded
    episode: Episode | None = None
    #: folder of the last one that is whole
    last: Path | None = None
    _latched: dict[int, list[Heard]] = field(default_factory=dict)
    _numbers: dict[int, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._ring = LookBack(self.config.look_back_seconds, self.config.look_back_bytes)

    def hear(
        self, topic: int, data: bytes, published: int = 0, number: int = 0, alone: bool = False, at: int = 0
    ) -> None:
        """A message came.

        Args:
            topic: index of its subject.
            data: as it came off the wire.
            published: when it was sent, by the sender's clock [ns since 1970]; 0: not said.
            number: by which its sender counts; 0: not said.
            alone: whether nobody else sends on this topic, so that a number left out is a message lost.
            at: when it came [ns, monotonic]; 0: now.
        """
        heard = Heard(topic, data, at or time.monotonic_ns(), published, number)
        lost = self._lost(heard) if alone else 0
        if self.subjects[topic].spec.listening is Listening.LATCHED:
            self._latch(heard)
        elif self.config.look_back_seconds:
            self._ring.keep(heard)
        if self.episode is not None:
            if lost:
                self.episode.miss(topic, lost)
            self.episode.hear(heard)

    def start(self, request: Request) -> Episode:
        """Begin an episode, with what is latched, and what was heard of late if that is wanted.

        Raises:
            JackError: one is being recorded, a name that cannot be or is taken, or no room; says what to do.
        """
        if self.episode is not None:
            raise JackError(f"{self.episode.folder.name} is being recorded; end that first.")
        if not 0.0 <= request.look_back <= self.config.look_back_seconds:  # NaN is refused as well
            raise JackError(f"look_back is {request.look_back} s; allowed: 0 to {self.config.look_back_seconds:g}.")
        _require_short("instruction", request.instruction)
        folder = self._new_folder(request.name)
        begun = time.monotonic_ns() - round(request.look_back * NANOSECONDS)
        facts = Facts(
            name=folder.name,
            robot=self.contract.robot.name,
            contract_digest=self.contract.digest,
            joints=self.contract.robot.joint_names,
            instruction=request.instruction,
        )
        period = self.contract.robot.control_period
        try:
            episode = Episode(folder, self.subjects, facts, self.config, period, begun)
        except OSError as error:
            shutil.rmtree(folder.with_name(folder.name + UNFINISHED), ignore_errors=True)
            raise JackError(
                f"{folder} cannot be written ({error.strerror}). Make room, or choose another folder."
            ) from error
        for messages in self._latched.values():
            for heard in messages:
                episode.hear(heard._replace(at=begun))
        for heard in self._ring.since(begun):
            episode.hear(heard)
        self.episode = episode
        return episode

    def proceed(self) -> Episode | None:
        """The episode that is over since the last call, if one is."""
        episode = self.episode
        if episode is None or not episode.over:
            return None
        self.episode = None
        if not episode.problem:
            self.last = episode.path
        return episode

    def mark(self, mark: Mark, note: str) -> str:
        """Say how the episode went that is being recorded, or else the last one; returns what was done.

        Raises:
            JackError: there is none, or a note that is too long.
        """
        _require_short("note", note)
        if self.episode is not None and not self.episode.ended:
            self.episode.mark(mark, note)
            return f"{self.episode.folder.name} will be marked: {mark}"
        if self.last is None:
            raise JackError("There is no episode to be marked: record one.")
        mark_episode(self.last, mark, note)
        return f"{self.last.name} is marked: {mark}"

    def discard(self) -> str:
        """Throw the episode away that is being recorded, or else the last one; returns what was done.

        Raises:
            JackError: there is none.
        """
        if self.episode is not None and not self.episode.ended:
            self.episode.end(DISCARDED)
            return f"{self.episode.folder.name} is thrown away"
        if self.last is None:
            raise JackError("There is no episode to be thrown away.")
        shutil.rmtree(self.last, ignore_errors=True)
        name, self.last = self.last.name, None
        return f"{name} is thrown away"

    def close(self, patience: float) -> bool:
        """End the episode that is being recorded in order, within so long [s]; whether that was possible."""
        if self.episode is None:
            return True
        self.episode.end("the recorder was told to end")
        return self.episode.join(patience)

    def _latch(self, heard: Heard) -> None:
        """Keep the last messages that differ."""
        kept = [old for old in self._latched.get(heard.topic, []) if old.data != heard.data]
        self._latched[heard.topic] = [*kept, heard][-self.subjects[heard.topic].spec.kept :]

    def _lost(self, heard: Heard) -> int:
        """How many messages were sent between the last one that came and this."""
        last, self._numbers[heard.topic] = self._numbers.get(heard.topic, 0), heard.number
        # A sender that was started anew counts from the beginning.
        return heard.number - last - 1 if 0 < last < heard.number else 0

    def _new_folder(self, name: str) -> Path:
        root = self.config.folder.absolute()
        if name and not _NAME.fullmatch(name):
            raise JackError(
                f"An episode cannot be called '{name[:120]}': letters, digits, '.', '-' and '_', at most 100."
            )
        folder = root / name if name else _dated(root)
        if folder.exists() or folder.with_name(folder.name + UNFINISHED).exists():
            raise JackError(f"There is an episode {folder} already; choose another name, or remove it.")
        try:
            root.mkdir(parents=True, exist_ok=True)
            free = free_bytes(root)
        except OSError as error:
            raise JackError(f"{root} cannot be written ({error.strerror}); choose another folder.") from error
        if free < self.config.reserve_bytes:
            raise JackError(
                f"The disk is nearly full: {_mega(free)} left in {root}, {_mega(self.config.reserve_bytes)} are "
                f"kept free. Make room, or choose another folder."
            )
        return folder


def _require_short(what: str, words: str) -> None:
    if len(words) > MAX_WORDS:
        raise JackError(f"The {what} has {len(words)} characters; allowed: {MAX_WORDS}.")


def free_bytes(folder: Path) -> int:
    """Room on the disk that a folder lies on; an OSError if that is gone."""
    return shutil.disk_usage(folder).free


def _dated(root: Path) -> Path:
    """A folder named after date and time that is not there yet."""
    first = root / time.strftime("%Y%m%d-%H%M%S")
    folder, count = first, 1
    while folder.exists() or folder.with_name(folder.name + UNFINISHED).exists():
        count += 1
        folder = first.with_name(f"{first.name}-{count}")
    return folder


def _mega(size: int) -> str:
    return f"{size / 1e6:,.0f} MB"
