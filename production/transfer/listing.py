"""What an FTP server's listings say, line by line. Text in, entries out; a line that can't be read is an error."""

from __future__ import annotations

import re
from collections.abc import Iterable

from production.transfer import base

_UNIX = re.compile(
    r"(?P<kind>[-bcdlps])\S{9}\S*\s+(?:\d+\s+)?\S+\s+(?:\S+\s+)??(?P<bytes>\d+)\s+"
    r"(?:\w{3}\s+\d{1,2}\s+(?:\d{4}|\d{1,2}:\d{2})|\d{4}-\d\d-\d\d\s+\d\d:\d\d) (?P<name>.+)"
)


_LARGEST = 1 << 53
"""Bytes; no file has so many, and what counts in floating point still has them all."""


def bytes_of(text: str) -> int | None:
    """A size as a server writes it; None if it is none, or no file's."""
    number = int(text) if re.fullmatch(r"[0-9]{1,16}", text) else _LARGEST
    return number if number < _LARGEST else None


def lines_of(text: str) -> list[str]:
    """The last one needs no line end."""
    lines = text.replace("\r\n", "\n").split("\n")
    return lines if lines[-1] else lines[:-1]


def machine(lines: Iterable[str]) -> list[base.Entry]:
    """Source: RFC 3659, 7.2: ``size=100;type=file; name``. Raises: ValueError."""
    entries = []
    for line in lines:
        facts, space, name = line.partition(" ")
        known = facts_of(facts)
        if not space or not name:
            raise ValueError(line)
        kind = known.get("type", "").lower()
        if kind in {"cdir", "pdir"} or name in {".", ".."}:
            continue
        directory = kind == "dir"
        entries.append(base.Entry(name, None if directory else bytes_of(known.get("size", "")), directory))
    return sorted(entries, key=lambda entry: entry.name)


def facts_of(text: str) -> dict[str, str]:
    """{fact in small letters: value} of ``size=100;type=file;``."""
    return {name.lower(): value for name, _, value in (fact.partition("=") for fact in text.split(";")) if name}


def unix(lines: Iterable[str]) -> list[base.Entry]:
    """Source: ``ls -l`` as vsftpd 3.0.3 and ProFTPD print it. Raises: ValueError."""
    entries = []
    for line in lines:
        if re.fullmatch(r"total \d+|\s*", line):
            continue
        match = _UNIX.fullmatch(line)
        if match is None:
            raise ValueError(line)
        kind, name = match["kind"], match["name"]
        if kind == "l":
            name = name.partition(" -> ")[0]
        if name in {".", ".."}:
            continue
        entries.append(base.Entry(name, bytes_of(match["bytes"]) if kind == "-" else None, kind == "d"))
    return sorted(entries, key=lambda entry: entry.name)
