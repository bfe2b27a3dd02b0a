"""The raw messages of a bag file, MCAP or sqlite3, up to where it is torn. Nothing in it is believed unbounded.

The stream reader of `mcap` is used because it needs no index, which a recorder writes last: readers that look for
it first cannot open what a power cut left. What is in a chunk is taken apart here, in a fraction of the time that
`mcap` takes. Of an sqlite3 file three tables are needed, and no library but Python's.
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
from mcap.records import Chunk, McapRecord, Message, Schema
from mcap.stream_reader import StreamReader

#: A record, or a chunk once it is unpacked, is no larger [bytes].
MAX_BYTES = 256 << 20
#: Of a record in a chunk: its kind and length, and of a message what comes before its data (MCAP, appendix A).
_RECORD, _MESSAGE = struct.Struct("<BQ"), struct.Struct("<BQHIQQ")
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


def read_file(path: Path, complain: Complain) -> Iterator[Raw]:
    """The messages of one file, in the order in which they were written."""
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


class _Records(StreamReader):
    """The records of a file, without those that say where in a chunk each message is: nobody needs them here."""

    def _read_record(self, opcode: int, length: int) -> McapRecord | None:
        if opcode == Opcode.MESSAGE_INDEX:
            self._stream.read(length)
            return None
        return super()._read_record(opcode, length)


def _read_mcap(path: Path, complain: Complain) -> Iterator[Raw]:
    contents = _Contents()
    with path.open("rb") as file:
        bounded = _Bounded(file, path.stat().st_size)
        reader = _Records(bounded, emit_chunks=True, record_size_limit=MAX_BYTES)  # type: ignore[arg-type]
        for record in reader.records:
            if isinstance(record, Chunk):
                yield from _unpacked(record, contents, path, complain)
            elif isinstance(record, Message):
                yield from contents.message(record.channel_id, record.log_time, record.data)
            elif isinstance(record, Schema | McapChannel):
                contents.learn(record)


def _unpacked(chunk: Chunk, contents: _Contents, path: Path, complain: Complain) -> list[Raw]:
    """The messages in a chunk. One that is spoilt costs no other one."""
    try:
        return list(contents.unpack(_inflated(chunk)))
    except _BROKEN as error:
        complain(f"{path.name}: a chunk is spoilt ({_words(error)})")
        return []


class _Contents:
    """What a file has said of its messages so far."""

    def __init__(self) -> None:
        self._schemas: dict[int, Schema] = {}
        self._channels: dict[int, Channel] = {}

    def learn(self, record: Schema | McapChannel) -> None:
        """One more type, or topic."""
        if isinstance(record, Schema):
            self._schemas[record.id] = record
        elif record.message_encoding == _SERIALIZATION:
            self._channels[record.id] = _channel(record, self._schemas.get(record.schema_id))

    def message(self, channel: int, time: int, data: bytes) -> Iterator[Raw]:
        """A message, if its topic is known."""
        if channel in self._channels:
            yield Raw(self._channels[channel], time, data)

    def unpack(self, data: bytes) -> Iterator[Raw]:
        """The messages in a chunk's data."""
        at, end, channels = 0, len(data), self._channels
        while at < end:
            kind, length = _RECORD.unpack_from(data, at)
            start, stop = at + _RECORD.size, at + _RECORD.size + length
            if stop > end:
                raise EOFError(f"a record of {length} bytes in {end - start}")
            if kind == Opcode.MESSAGE:
                _, _, channel, _, time, _ = _MESSAGE.unpack_from(data, at)
                if stop < at + _MESSAGE.size:
                    raise EOFError(f"a message of {length} bytes")
                if channel in channels:
                    yield Raw(channels[channel], time, data[at + _MESSAGE.size : stop])
            elif kind in (Opcode.SCHEMA, Opcode.CHANNEL):
                read = Schema.read if kind == Opcode.SCHEMA else McapChannel.read
                self.learn(read(ReadDataStream(BytesIO(data[start:stop]))))
            at = stop


def _inflated(chunk: Chunk) -> bytes:
    """What is in a chunk; a few bytes that would become gigabytes are refused."""
    if chunk.compression == "zstd":
        data = zstandard.ZstdDecompressor().stream_reader(BytesIO(chunk.data)).read(MAX_BYTES + 1)
    elif chunk.compression == "lz4":
        data = lz4.frame.LZ4FrameDecompressor().decompress(chunk.data, max_length=MAX_BYTES + 1)
    elif chunk.compression:
        raise ValueError(f"compressed with '{chunk.compression[:20]}'; known: lz4, zstd")
    else:
        data = chunk.data
    if len(data) > MAX_BYTES or len(data) != chunk.uncompressed_size:
        raise ValueError(f"{len(data)} bytes instead of {chunk.uncompressed_size}, at most {MAX_BYTES}")
    if chunk.uncompressed_crc not in (0, zlib.crc32(data)):
        raise ValueError("its checksum is another")
    return data


def _channel(record: McapChannel, schema: Schema | None) -> Channel:
    if schema is None:
        return Channel(record.topic, "", "")
    known = schema.encoding == _DEFINITION
    return Channel(record.topic, schema.name, schema.data.decode(errors="replace") if known else "")


def _read_sqlite(path: Path, complain: Complain) -> Iterator[Raw]:
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


def _rows(path: Path, complain: Complain) -> Iterator[Raw]:
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
                yield Raw(channels[topic], time, data)
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
