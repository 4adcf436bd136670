"""What programs that know about quotas print, read as (bytes used, bytes of the limit or None).

Pure text; next room: ``usage``, which runs the programs. Where a reply shows several quotas, all of them bind: the one
with the least room is the answer. What can't be understood to its end is an error, never a guess.
"""

from __future__ import annotations

import re
import urllib.parse
from collections.abc import Sequence

from production import disk, errors

Usage = tuple[int, int | None]
"""Bytes used, and bytes that may be; None if the reply knows no limit."""

_KB = 1024
_NUMBER = re.compile(r"[0-9]{1,18}")
_WANTED = ("blockUsage", "blockQuota", "blockLimit", "blockInDoubt")

_DF = re.compile(r".*\s[0-9]{1,18}\s+(?P<used>[0-9]{1,18})\s+(?P<free>-?[0-9]{1,18})\s+(?:[0-9]+%|-)\s+(?P<mount>/.*)")
"""A line of df -P: name, kilobytes, used, available, per cent, mount point."""
_COLUMNS = 8
"""After the name: used, soft limit, hard limit and grace of the blocks, then of the files."""
_ENDS_OF_TITLE = (":", ": none", ": no limited resources used")


def parse_mmlsquota(text: str) -> Usage:
    """Read what GPFS says of a user, group or fileset: ``mmlsquota -Y``.

    Rows of colons, percent-encoded, whose columns a HEADER row names; blocks are kilobytes. Blocks in doubt (promised
    to some node, not yet accounted) count as used: used and in doubt together can't exceed the hard limit.

    Raises: QuotaUnread.
    Source: IBM Storage Scale 5.1, mmlsquota command; tests/data/quota/mmlsquota-5.1.txt.
    """
    columns: dict[str, list[str]] = {}
    rows: list[Usage] = []
    for line in text.splitlines():
        fields = line.split(":")
        if fields[0] != "mmlsquota" or len(fields) < 3:
            continue  # a warning of the cluster's; the rows are all marked
        if fields[2] == "HEADER":
            columns[fields[1]] = fields
        else:
            rows.append(_row_of_mmlsquota(line, fields, columns.get(fields[1], [])))
    return _tightest(rows, text)


def _row_of_mmlsquota(line: str, fields: Sequence[str], header: Sequence[str]) -> Usage:
    if len(fields) != len(header):
        raise _not_understood(line)
    named = dict(zip(header, fields, strict=True))
    values = [urllib.parse.unquote(named.get(name, "")).strip() for name in _WANTED]
    if not all(map(_NUMBER.fullmatch, values)):
        raise _not_understood(line)
    used, soft, hard, doubt = (_KB * int(value) for value in values)
    return used + doubt, hard or soft or None


def parse_lfs(text: str) -> Usage:
    """Read what Lustre says of a user, group or project: ``lfs quota -q``.

    Raises: QuotaUnread; also where some of Lustre's servers didn't answer (it prints [ ] around such numbers).
    Source: Lustre Operations Manual 2.x, "Quota Administration", and lfs-quota(1); tests/data/quota/lfs-2.*.txt.
    """
    if "[" in text:
        raise errors.QuotaUnread("some of Lustre's servers don't answer, so its numbers in [ ] are wrong")
    return _rows_of_columns(text)


def parse_quota(text: str) -> Usage:
    """Read what the kernel, or the NFS server, says of a user or group: ``quota -w -p``.

    Raises: QuotaUnread.
    Source: quota(1) of linuxquota 4.06; tests/data/quota/quota-4.06*.txt.
    """
    return _rows_of_columns(text)


def parse_df(text: str) -> tuple[int, int, str]:
    """Read what ``df -Pk`` says of one file system: bytes used, its size without what is kept for root, where it is mounted.

    Raises: QuotaUnread.
    Source: POSIX.1-2017, df, "STDOUT" of -P: after a header one line a file system; its name and its mount point may have blanks.
    """
    lines = text.splitlines()
    found = _DF.fullmatch(lines[-1]) if len(lines) > 1 else None
    if found is None:
        raise _not_understood(text)
    used, free = int(found["used"]), max(0, int(found["free"]))  # below 0: only root may still write
    return _KB * used, _KB * (used + free), found["mount"]


def parse_du(text: str) -> int:
    """Read what ``du -sk`` says of one directory: bytes.

    Raises: QuotaUnread.
    Source: POSIX.1-2017, du, "STDOUT": the number and the path.
    """
    number = text.split(maxsplit=1)[:1]
    if not number or not _NUMBER.fullmatch(number[0]):
        raise _not_understood(text)
    return _KB * int(number[0])


def _rows_of_columns(text: str) -> Usage:
    rows: list[Usage] = []
    name: list[str] = []  # a long one stands on a line of its own, its numbers on the next
    for line in text.splitlines():
        words = line.split()
        row = _row(words[-_COLUMNS:])
        if row:
            if bool(words[:-_COLUMNS]) == bool(name):
                raise _not_understood(line)
            rows.append(row)
            name = []
        elif name:
            break
        elif words and not _title(line.strip()):
            name = words
    if name:
        raise _not_understood(" ".join(name))
    return _tightest(rows, text)


def _row(words: Sequence[str]) -> Usage | None:
    """The blocks of a row's eight columns, None if it isn't one."""
    if len(words) != _COLUMNS:
        return None
    used, soft, hard, _, files, *limits, _ = words
    used, files = used.removesuffix("*"), files.removesuffix("*")  # the mark of an exceeded quota
    if not all(map(_NUMBER.fullmatch, (used, soft, hard, files, *limits))):
        return None
    return _KB * int(used), _KB * (int(hard) or int(soft)) or None


def _title(line: str) -> bool:
    """Whether it is one of the lines around the rows."""
    if line.startswith("Disk quotas for "):
        return line.endswith(_ENDS_OF_TITLE)
    return line.startswith("Filesystem ") or bool(re.match(r"[ugp]id [0-9]+ is using default ", line))


def _tightest(rows: Sequence[Usage], text: str) -> Usage:
    """The row with the least room; without any limit the one with the most in it. Raises: QuotaUnread: no row."""
    if not rows:
        said = next((line for line in reversed(text.splitlines()) if line.strip()), "")
        raise errors.QuotaUnread(f"no quota in what it said{_quoted(said)}")
    limited = [(limit - used, used, limit) for used, limit in rows if limit is not None]
    return min(limited)[1:] if limited else (max(used for used, _ in rows), None)


def _not_understood(line: str) -> errors.QuotaUnread:
    return errors.QuotaUnread(f"not understood{_quoted(line)}")


def _quoted(line: str) -> str:
    short = disk.printable(" ".join(line.split()))[:100]
    return f": {short}" if short else ""
