"""Files that are whole or not there: written aside, forced to disk, renamed."""

from __future__ import annotations

import os
from pathlib import Path

from pydantic_core import to_json

from jack_contract.errors import JackError


def replace_file(path: Path, data: bytes) -> None:
    """Write a file aside and rename it, so that readers see the old one or the new one."""
    aside = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        write_through(aside, data)
        aside.replace(path)
    except OSError:
        aside.unlink(missing_ok=True)  # half a file would take what room is left
        raise
    sync(path.parent)


def write_json(path: Path, data: object) -> None:
    """As `write_file`, JSON that every reader takes: numbers that are not finite become words, as "NaN"."""
    write_file(path, to_json(data, indent=1, inf_nan_mode="strings", fallback=str))


def write_file(path: Path, data: bytes) -> None:
    """Replace a file, and make its folder.

    Raises:
        JackError: the disk does not take it.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        replace_file(path, data)
    except OSError as error:
        raise JackError(f"{path} could not be written ({error.strerror}). Make room, or choose --runs.") from error


def write_through(path: Path, data: bytes) -> None:
    """Write a file and force it to disk."""
    with path.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


def sync(folder: Path) -> None:
    """Force a folder's entries to disk."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
