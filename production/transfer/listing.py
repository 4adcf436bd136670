"""What an FTP server's listings say, line by line. Text in, entries out; a line that can't be read is an error."""

from __future__ import annotations

import re
from collections.abc import Iterable

from production.transfer import base

_UNIX = re.compile(
    r"(?P<kind>[-bcdlps])\S{9}\S*\s+(?:\d+\s+)?\S+\s+(?:\S+\s+)??(?P<bytes>\d+)\s+"
    r"(?:\w{3}\s+\d{1,2}\s+(?:\d{4}|\d{1,2}:\d{2})|\d{4}-\d\d-\d\d\s+\d\d:\d\d) (?P<name>.+)"
)


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
        size = known.get("size", "")
        directory = kind == "dir"
        entries.append(base.Entry(name, int(size) if size.isdecimal() and not directory else None, directory))
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
        entries.append(base.Entry(name, int(match["bytes"]) if kind == "-" else None, kind == "d"))
    return sorted(entries, key=lambda entry: entry.name)
