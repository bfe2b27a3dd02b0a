"""Reading `requirements.in` and `requirements.lock`: sections of pinned packages."""

from __future__ import annotations

import re


def canonical(name: str) -> str:
    """Spell a distribution's name as PEP 503 does."""
    return re.sub(r"[-_.]+", "-", name).lower()


def sections(text: str) -> dict[str, list[str]]:
    """Split a requirements file into `{section: lines}`, comments and blank lines dropped."""
    found: dict[str, list[str]] = {}
    lines = found.setdefault("base", [])
    for line in (raw.split(" #")[0].strip() for raw in text.splitlines()):
        if header := re.fullmatch(r"\[(\w+)\]", line):
            lines = found.setdefault(header[1], [])
        elif line and not line.startswith("#"):
            lines.append(line)
    return found


def pins(text: str, section: str, python: str) -> dict[str, str]:
    """Give `{name: version}` of one section of the lock for one Python, such as "3.11".

    Raises:
        ValueError: a line is not `name==version`, with or without `; python_version == "X.Y"`.
    """
    found: dict[str, str] = {}
    for line in sections(text).get(section, []):
        match = re.fullmatch(r'([\w.-]+)==(\S+)(?: ; python_version == "([\d.]+)")?', line)
        if match is None:
            raise ValueError(f"requirements.lock: {line!r} is not name==version; write it with bootstrap/lock.py")
        if match[3] in (None, python):
            found[canonical(match[1])] = match[2]
    return found
