"""Logs on another machine, read with its own commands: one for each look, which brings a few blocks and never a whole log.

In come paths ``sftp://host/path`` and who runs commands there, out go ``reach.File``. What was read stays true as long as the log has
the same inode, size and time, so whoever looks at one that doesn't grow is told so, and nothing else.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Sequence

from production import child, disk, errors
from production.monitor import reach

SECONDS = 20.0
"""That one look may take."""
CELL = 4096
"""Bytes; ranges there are multiples of it."""
MOST = disk.BLOCK // CELL + 1
"""Cells that one look brings: a block begins anywhere."""
KEPT = 2 * MOST
"""Cells that are remembered of a log."""
LOGS = 64
"""That are remembered."""
SPAN = disk.BLOCK
"""Bytes that are searched there at a time, and as many more as a word may reach into the next."""
REST = 1 << 16
TOGETHER = 16
"""Spans that one command searches: then somebody is asked whether to go on."""

# POSIX sh, ls and dd. Of a device or pipe only its kind is told: opening one may hang, or wind a tape.
LOOK = """f=$1 known=$2 at=$3 count=$4
all=$(ls -dniL -- "$f") || exit 3
set -f; set -- $all
found="$1 $2 $6 $7 $8 $9"; echo "$found"
case $2 in -*) ;; *) exit 0;; esac
if [ "$found" = "$known" ] || [ "$count" -eq 0 ]; then exit 0; fi
if [ "$at" -lt 0 ]; then at=$((($6 + 4095) / 4096 + at)); fi
if [ "$at" -lt 0 ]; then at=0; fi
if [ $((at * 4096)) -ge "$6" ]; then exit 0; fi
echo "$at"; exec dd if="$f" bs=4096 skip="$at" count="$count"
"""

# Zero bytes end what some grep looks at. Whoever has no grep that works has everything looked through here.
SIFT = """f=$1 at=$2 left=$3 step=$4 word=$6
while [ "$left" -gt 0 ]; do
    dd if="$f" bs=65536 skip=$((at * 16)) count=17 2>/dev/null | tr '\\000' '\\n' | grep -q $5 -e "$word"
    if [ $? -ne 1 ]; then echo "$at"; exit 0; fi
    at=$((at + step)) left=$((left - 1))
done
echo none
"""

Hear = Callable[[str, Sequence[str], float, Callable[[], bool]], child.End]
"""(host, argv, seconds, whether to give up) -> what a command says there. Raises: ProductionError: it can't be asked."""

_NUMBERS = {os.strerror(number): number for number in errno.errorcode}
"""{what every program says of an error, in English: its number}"""
_KINDS = {"d": "directory", "p": "pipe", "s": "socket", "l": "symbolic link"}


class Afar:
    """All of them, for any thread."""

    def __init__(self, hear: Hear) -> None:
        self._hear = hear
        self._known: dict[str, _Known] = {}

    def open(self, path: str, begin: int, end: int, wanted: Callable[[], bool]) -> reach.File:
        before = self._known.get(path)
        asked = _cells(begin, end)
        unneeded = before is not None and before.has(*_placed(asked, before.size))
        telling = _Telling(path, self._hear, wanted)
        found, first, brought = telling.look(before.words if before and unneeded else "", *asked)
        if before is None or before.words != found.words:
            self._known.pop(path, None)
            self._known[path] = before = found
            while len(self._known) > LOGS:
                self._known.pop(next(iter(list(self._known))), None)
        before.take(first, brought)
        return _There(telling, before)


def _cells(begin: int, end: int) -> tuple[int, int]:
    """The first cell and how many; the first is negative if it is told from the log's end."""
    if begin < 0:
        at = -(-begin // CELL) - 1
        return at, min(MOST, -at)
    return begin // CELL, min(MOST, -(-end // CELL) - begin // CELL)


def _placed(asked: tuple[int, int], size: int) -> tuple[int, int]:
    """The same, of a log of this size."""
    at, count = asked
    every = -(-size // CELL)
    at = max(0, every + at) if at < 0 else at
    return at, max(0, min(count, every - at))


class _Known:
    """A log as it was found, and what was read of it."""

    def __init__(self, words: str, inode: int, size: int) -> None:
        self.words = words
        self.identity = (0, inode)
        self.size = size
        self.cells: dict[int, bytes] = {}

    def has(self, at: int, count: int) -> bool:
        return all(one in self.cells for one in range(at, at + count))

    def take(self, first: int, brought: bytes) -> None:
        """What came from a cell on; what was added since we looked is left to the next look."""
        if len(self.cells) + len(brought) // CELL > KEPT:
            self.cells = {}  # never emptied under another thread that reads
        brought = brought[: max(0, self.size - first * CELL)]
        self.cells |= {first + at // CELL: brought[at : at + CELL] for at in range(0, len(brought), CELL)}


class _Telling:
    """The commands that tell of one log."""

    def __init__(self, path: str, hear: Hear, wanted: Callable[[], bool]) -> None:
        self.path = path
        self._host, self._there = reach.split(path)
        self._hear = hear
        self._wanted = wanted

    def run(self, script: str, *words: str) -> child.End:
        """Raises: Away."""
        argv = ["sh", "-c", script, "sh", self._there, *words]
        try:
            return self._hear(self._host, argv, SECONDS, lambda: not self._wanted())
        except errors.ProductionError as trouble:
            raise reach.Away(self.path, str(trouble), transient=trouble.transient) from trouble

    def look(self, known: str, at: int, count: int) -> tuple[_Known, int, bytes]:
        """How it is found; the first cell that was brought, and what is there from it on. Raises: disk.Trouble."""
        end = self.run(LOOK, known, str(at), str(count))
        if end.status != 0:
            raise self._trouble(end)
        first, _, rest = end.said.partition(b"\n")
        words = first.decode("ascii", "replace").split()
        if len(words) < 3 or not words[0].isdecimal():
            raise reach.Away(self.path, f"ls says there: {disk.printable(' '.join(words))[:80]}")
        if words[1][0] != "-":
            kind = _KINDS.get(words[1][0], "device")
            raise disk.Trouble("read", self.path, OSError(errno.EINVAL, f"not a regular file but a {kind}"))
        cell, _, brought = rest.partition(b"\n")
        return _Known(" ".join(words), int(words[0]), int(words[2])), int(cell or 0), brought

    def _trouble(self, end: child.End) -> disk.Trouble:
        """What ls or dd complained of; dd goes on with what it has copied."""
        lines = end.complained.decode("utf-8", "replace").splitlines()
        for line in lines:
            why = line.rpartition(": ")[2].strip()
            if why in _NUMBERS:
                return disk.Trouble("read", self.path, OSError(_NUMBERS[why], why))
        return reach.Away(self.path, child.last_line(end.complained) or f"exit {end.status}")


class _There:
    """A log there, as it was found; what is read of it later is still of that log, or nothing."""

    def __init__(self, telling: _Telling, known: _Known) -> None:
        self.size = known.size
        self.identity = known.identity
        self._telling = telling
        self._known = known

    def read(self, begin: int, end: int) -> bytes:
        end = min(end, self.size)
        if begin >= end:
            return b""
        first, last = begin // CELL, (end - 1) // CELL
        cells = dict(self._known.cells)
        at = first
        while at <= last:
            if at in cells:
                at += 1
                continue
            found, place, brought = self._telling.look("", at, min(MOST, last + 1 - at))
            if found.identity != self.identity or found.size < self.size or place != at or not brought:
                break  # it was cut off, or is another
            fresh = _Known(found.words, found.identity[1], self.size)
            fresh.take(at, brought)
            cells |= fresh.cells
            if found.words == self._known.words:
                self._known.take(at, brought)
            at += len(fresh.cells)
        return b"".join(cells[one] for one in range(first, at))[begin - first * CELL : end - first * CELL]

    def stretch(self, begin: int, end: int, word: bytes, *, folds: bool, down: bool) -> tuple[int, int]:
        if not word or len(word) > REST or b"\0" in word or b"\n" in word:
            return reach.block(begin, end, down=down)
        first, last = begin // SPAN, (end - 1) // SPAN
        count = min(last + 1 - first, TOGETHER)
        how = "-Fi" if folds else "-F"
        at, step = (first, 1) if down else (last, -1)
        told = self._telling.run(SIFT, str(at), str(count), str(step), how, os.fsdecode(word)).said.strip()
        if told.isdigit():
            place = int(told)
            return max(begin, place * SPAN), min(end, (place + 1) * SPAN)
        if told != b"none":
            return reach.block(begin, end, down=down)
        gone = min(end, (first + count) * SPAN) if down else max(begin, (last + 1 - count) * SPAN)
        return gone, gone
