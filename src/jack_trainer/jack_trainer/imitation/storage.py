"""The raw messages of a bag file, MCAP or sqlite3, up to where it is torn. Nothing in it is believed unbounded.

MCAP is read from the front, record by record: readers that look for the index, which is written last, cannot open
what a power cut left. And it is read here, with nothing of `mcap` but the rarer records: to read all with it takes
several times as long. Of an sqlite3 file two tables are needed, and no library but Python's.
"""

from __future__ import annotations

import shutil
import sqlite3
import struct
import zlib
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from io import BytesIO
from itertools import islice
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import IO, NamedTuple

import lz4.frame
import zstandard
from mcap.data_stream import ReadDataStream
from mcap.exceptions import McapError
from mcap.opcode import Opcode
from mcap.records import Channel as McapChannel
from mcap.records import Chunk, Schema

#: A record, or a chunk once it is unpacked, is no larger [bytes].
MAX_BYTES = 256 << 20
#: Of a record: its kind and length; and of a message all that comes before its data: channel, number, when it was
#: received, and when it was sent (https://mcap.dev/spec). No time is as late as to need 64 bits without a sign.
_MAGIC, _RECORD, _MESSAGE = b"\x89MCAP0\r\n", struct.Struct("<BQ"), struct.Struct("<BQHIqQ")
_SERIALIZATION = "cdr"
_DEFINITION = "ros2msg"
#: A message in a database takes at least so much of its file [bytes].
_SMALLEST_ROW = 8
#: Where a database says how large its pages are; 1 stands for the largest.
_PAGE_SIZE, _SMALLEST_PAGE, _LARGEST_PAGE = slice(16, 18), 512, 65536
#: What broken bytes make the libraries raise.
_BROKEN = (
    *(McapError, struct.error, ValueError, KeyError, OverflowError, MemoryError, EOFError),
    *(RuntimeError, zstandard.ZstdError, sqlite3.Error, OSError),
)

#: Is told in words what could not be read.
Complain = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Channel:
    """Where messages come from."""

    topic: str
    #: as in sensor_msgs/msg/Imu
    type: str
    #: the type's definition and those that it needs, as rosbag2 writes them; empty if the file has none
    definition: str


class Raw(NamedTuple):
    """A message as it was sent."""

    channel: Channel
    #: when it was received [ns]
    time: int
    data: bytes


class Batch(NamedTuple):
    """Messages in the order in which they were written, as columns."""

    channels: list[Channel]
    #: when each was received [ns]
    times: list[int]
    data: list[bytes]


def read_file(path: Path, complain: Complain) -> Iterator[Raw]:
    """The messages of one file, in the order in which they were written."""
    for batch in read_batches(path, complain):
        yield from map(Raw, *batch)


def read_batches(path: Path, complain: Complain) -> Iterator[Batch]:
    """As `read_file`, many messages at a time."""
    read = _read_sqlite if path.suffix == ".db3" else _read_mcap
    try:
        yield from read(path, complain)
    except _BROKEN as error:
        complain(f"{path.name} is torn or spoilt, and was read up to there ({_words(error)})")


class _Bounded:
    """A file that never makes room for more than is left of it, whatever length a torn record claims."""

    def __init__(self, file: IO[bytes], size: int) -> None:
        self._file, self._left = file, size

    def read(self, length: int) -> bytes:
        data = self._file.read(min(length, self._left))
        self._left -= len(data)
        return data

    def whole(self, length: int) -> bytes:
        """So many bytes; an EOFError if there are fewer."""
        data = self.read(length)
        if len(data) < length:
            raise EOFError(f"{len(data)} bytes instead of {length}")
        return data


def _read_mcap(path: Path, complain: Complain) -> Iterator[Batch]:
    contents = _Contents()
    with path.open("rb") as opened:
        file = _Bounded(opened, path.stat().st_size)
        if file.whole(len(_MAGIC)) != _MAGIC:
            raise ValueError("it does not begin as MCAP does")
        kind = 0
        while kind != Opcode.FOOTER:
            head = file.whole(_RECORD.size)
            kind, length = _RECORD.unpack(head)
            if length > MAX_BYTES:
                raise ValueError(f"a record of {length} bytes; at most {MAX_BYTES}")
            data = file.whole(length)
            if kind == Opcode.CHUNK:
                yield _unpacked(data, contents, path, complain)
            elif kind in (Opcode.SCHEMA, Opcode.CHANNEL, Opcode.MESSAGE):
                yield contents.unpack(head + data)
        file.whole(len(_MAGIC))


def _unpacked(data: bytes, contents: _Contents, path: Path, complain: Complain) -> Batch:
    """The messages in a chunk. One that is spoilt costs no other one."""
    try:
        return contents.unpack(_inflated(Chunk.read(ReadDataStream(BytesIO(data)))))
    except _BROKEN as error:
        complain(f"{path.name}: a chunk is spoilt ({_words(error)})")
        return Batch([], [], [])


class _Contents:
    """What a file has said of its messages so far."""

    def __init__(self) -> None:
        self._schemas: dict[int, Schema] = {}
        self._channels: dict[int, Channel] = {}

    def unpack(self, data: bytes) -> Batch:
        """The messages among records; types and topics are remembered."""
        at, end, channels, found = 0, len(data), self._channels, Batch([], [], [])
        padded, unpack, size = data + bytes(_MESSAGE.size), _MESSAGE.unpack_from, _MESSAGE.size
        while at < end:
            # As if it were a message: most are. What is read too much of others is not looked at.
            kind, length, channel, _, time, _ = unpack(padded, at)
            stop = at + _RECORD.size + length
            if stop > end or (kind == Opcode.MESSAGE and stop < at + size):
                raise EOFError(f"a record of {length} bytes among {end}")
            if kind == Opcode.MESSAGE:
                if channel in channels:
                    found.channels.append(channels[channel])
                    found.times.append(time)
                    found.data.append(data[at + size : stop])
            elif kind in (Opcode.SCHEMA, Opcode.CHANNEL):
                self._learn(kind, ReadDataStream(BytesIO(data[at + _RECORD.size : stop])))
            at = stop
        return found

    def _learn(self, kind: int, data: ReadDataStream) -> None:
        if kind == Opcode.SCHEMA:
            schema = Schema.read(data)
            self._schemas[schema.id] = schema
            return
        record = McapChannel.read(data)
        if record.message_encoding == _SERIALIZATION:
            self._channels[record.id] = _channel(record, self._schemas.get(record.schema_id))


def _inflated(chunk: Chunk) -> bytes:
    """What is in a chunk; a few bytes that would become gigabytes are refused."""
    size = chunk.uncompressed_size
    if size > MAX_BYTES:
        raise ValueError(f"it unpacks to {size} bytes; at most {MAX_BYTES}")
    if chunk.compression == "zstd":
        if zstandard.frame_content_size(chunk.data) > size:  # the library would believe it
            raise ValueError(f"it unpacks to more than the {size} bytes that it says")
        data = zstandard.ZstdDecompressor().decompress(chunk.data, max_output_size=max(1, size))
    elif chunk.compression == "lz4":
        data = lz4.frame.LZ4FrameDecompressor().decompress(chunk.data, max_length=size + 1)
    elif chunk.compression:
        raise ValueError(f"compressed with '{chunk.compression[:20]}'; known: lz4, zstd")
    else:
        data = chunk.data
    if len(data) != size:
        raise ValueError(f"it unpacks to {len(data)} bytes, not to the {size} that it says")
    if chunk.uncompressed_crc not in (0, zlib.crc32(data)):
        raise ValueError("its checksum is another")
    return data


def _channel(record: McapChannel, schema: Schema | None) -> Channel:
    if schema is None:
        return Channel(record.topic, "", "")
    known = schema.encoding == _DEFINITION
    return Channel(record.topic, schema.name, schema.data.decode(errors="replace") if known else "")


def _read_sqlite(path: Path, complain: Complain) -> Iterator[Batch]:
    """SQLite takes what is missing of a torn page for zeros, and has no checksums: it is shown whole pages only."""
    with path.open("rb") as file, TemporaryDirectory() as folder:
        header = file.read(_PAGE_SIZE.stop)
        page = int.from_bytes(header[_PAGE_SIZE], "big")
        page = _LARGEST_PAGE if page == 1 else page
        size = path.stat().st_size
        if page < _SMALLEST_PAGE or size % page == 0:
            yield from _rows(path, complain)
            return
        complain(f"{path.name} is torn within a page, and is read up to there")
        whole = Path(folder) / path.name
        with whole.open("wb") as copy:
            file.seek(0)
            shutil.copyfileobj(_Bounded(file, size - size % page), copy)  # type: ignore[arg-type]
        yield from _rows(whole, complain)


def _rows(path: Path, complain: Complain) -> Iterator[Batch]:
    # As a URI: an odd name in a path must not become an option of the connection.
    with closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True)) as base:
        base.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, MAX_BYTES)
        base.execute("PRAGMA trusted_schema = OFF")
        # Nothing is written; without this a file that is shorter than its first page says is refused as a whole.
        base.execute("PRAGMA writable_schema = ON")
        _require_tables(base)
        channels = _sqlite_channels(base)
        rows = base.execute("SELECT topic_id, timestamp, data FROM messages ORDER BY id")
        # Pages that point at each other can stand for rows without end.
        for topic, time, data in islice(rows, path.stat().st_size // _SMALLEST_ROW):
            if topic in channels and isinstance(time, int) and isinstance(data, bytes):
                yield Batch([channels[topic]], [time], [data])
            elif topic in channels:
                complain(f"{path.name}: a row of messages is no message")


def _require_tables(base: sqlite3.Connection) -> None:
    """A view could compute for ever."""
    own = "SELECT name FROM sqlite_master WHERE type = 'table' AND rootpage > 0"
    lacks = {"messages", "topics"} - {name for (name,) in base.execute(own)}
    if lacks:
        raise ValueError(f"no table {', '.join(sorted(lacks))}")


def _sqlite_channels(base: sqlite3.Connection) -> dict[int, Channel]:
    """By their number in the file. The table of definitions came with ROS 2 Iron."""
    definitions: dict[str, str] = {}
    if base.execute("SELECT 1 FROM sqlite_master WHERE name = 'message_definitions'").fetchone():
        rows = base.execute("SELECT topic_type, encoding, encoded_message_definition FROM message_definitions")
        definitions = {str(kind): str(text) for kind, encoding, text in rows if encoding == _DEFINITION}
    rows = base.execute("SELECT id, name, type, serialization_format FROM topics")
    return {
        number: Channel(str(topic), str(kind), definitions.get(str(kind), ""))
        for number, topic, kind, serialization in rows
        if serialization == _SERIALIZATION
    }


def _words(error: Exception) -> str:
    return str(error)[:100] or type(error).__name__
