"""A job's log, however long, from any place in it: lines, known by the byte that they begin at.

What comes in is a path, and who reaches it. What is there may grow, be cut off, be replaced, vanish and come back, so each call opens
it anew, and reads only what is near the place that was asked for; on another machine, too (``reach``). What leaves is harmless to a terminal, and goes to the
dashboard; a call may take as long as a file server does, so it is for a thread that draws nothing.

**Where a line begins.** After each line feed. A log may have none for a gigabyte, so a longer line is cut in pieces,
each shown as a line: at those multiples of ``LONGEST`` (of bytes in the file, not in the line) that have no line feed
among the ``LONGEST`` bytes before them. Whoever wants to know looks back so far and no farther; whether he came from
above, from below or by a jump he finds the same, and what is added later changes nothing. A line of up to ``LONGEST``
bytes is never cut, and a piece is hardly longer than two of them.
"""

from __future__ import annotations

import dataclasses
import itertools
import re
import sys
from collections.abc import Callable, Iterator, Sequence
from typing import IO

from production import disk
from production.monitor import reach as reaching

LONGEST = 4096
"""Bytes of a line that is never cut."""
BLOCK = 16 * LONGEST
"""Bytes that lines are looked for in at a time."""
_ROUND = 3 * LONGEST
"""Bytes that are looked at around a place, to find its line."""
_TAB = 8
"""Columns."""

_FEED = re.compile(rb"\n(?=.)", re.DOTALL)
_CUT = re.compile(rb"[\x80-\xbf]{0,3}+\r?+(?=[^\n])")
"""It is made after the rest of a UTF-8 character and the first half of CR LF, and not where the line ends anyway."""


@dataclasses.dataclass(frozen=True, slots=True)
class Line:
    """A line, or a piece of a long one."""

    begin: int
    """Its first byte in the file."""
    end: int
    """After its last byte, line feed and all: where the next one begins."""
    text: str
    """Printable, whatever the job wrote; without the line's end."""
    redrawn: bool
    """Whether it went back to its beginning and wrote over itself, as progress bars do. ``text`` is what it wrote
    last: a thousand steps of a bar would bury what else was said, and the terminal they were meant for has shown no
    more. ``search`` finds what was written over, too."""


@dataclasses.dataclass(frozen=True, slots=True)
class Page:
    """Lines that follow each other, and how the file was found."""

    lines: tuple[Line, ...]
    size: int
    """Bytes of the whole file. Less than before: it was cut off, and what was shown is no longer there."""
    identity: tuple[int, int]
    """Device and inode. Others than before: it is another file."""


def after(path: str, offset: int, number: int, reach: reaching.Reach = reaching.HERE) -> Page:
    """So many lines, from the one that the byte at ``offset`` is in.

    A last line without a line feed ends with the file. When the file has grown, asking for what is after its ``end``
    gives it once more, from its ``begin``, with what it has become.
    Raises: disk.Trouble.
    """
    with reach.open(path, max(0, offset - _ROUND), offset + BLOCK + _ROUND) as file:
        log = _Log(file)
        return log.page(list(itertools.islice(log.down(offset), number + 1)))


def before(path: str, offset: int, number: int, reach: reaching.Reach = reaching.HERE) -> Page:
    """So many lines that end where the one begins that the byte at ``offset`` is in; in the file's order.

    Raises: disk.Trouble.
    """
    begin, after_ = (
        (-BLOCK - _ROUND, 0) if offset == sys.maxsize else (max(0, offset - BLOCK - _ROUND), offset + _ROUND)
    )
    with reach.open(path, begin, after_) as file:
        log = _Log(file)
        end = log.begin(offset) if offset < log.size else log.size
        begins = list(itertools.islice(log.up(end), number))
        return log.page([*reversed(begins), end])


def last(path: str, number: int, reach: reaching.Reach = reaching.HERE) -> Page:
    """So many last lines, also one that isn't ended yet. Raises: disk.Trouble."""
    return before(path, sys.maxsize, number, reach)


def near(path: str, offset: int) -> int:
    """Where the line begins that the byte at ``offset`` is in; beyond the end, the last line. Raises: disk.Trouble."""
    with reaching.HERE.open(path) as file:
        return _Log(file).begin(min(offset, file.size - 1))


def search(
    path: str,
    text: str,
    offset: int,
    *,
    down: bool,
    going_on: Callable[[int], bool],
    reach: reaching.Reach = reaching.HERE,
) -> int | None:
    """Where the next line begins that has the text; None: there is none, or we were told to end.

    ``text``: plain; if all of it is in small letters, capitals are found, too. What is looked at are the bytes of the
    file, so a text may also begin in one piece of a long line and end in the next: the first one counts.
    ``offset``: going down, what begins there or later is found, so the next one is after the ``end`` of a line; going
    up, what begins earlier, so the next one is before its ``begin``.
    ``going_on``: asked before each block, with the bytes looked at so far; False ends it.
    Raises: disk.Trouble.
    """
    sought = _Sought.of(text)
    with reach.open(path) as file:
        begin, end = (max(0, offset), file.size) if down else (0, min(offset, file.size))
        total = end - begin
        while text and begin < end and going_on(total - (end - begin)):
            low, high = file.stretch(begin, end, sought.surest, folds=sought.folds, down=down)
            places = sought.places(file.read(low, high + sought.overlap), high - low) if low < high else iter(())
            if (place := next(places, None) if down else max(places, default=None)) is not None:
                return _Log(file).begin(low + place)
            begin, end = (high, end) if down else (begin, low)
    return None


def copy(path: str, to: IO[bytes], most: int, going_on: Callable[[int], bool], reach: reaching.Reach) -> int:
    """Write the log, or so many of its last bytes, into a file; how many bytes were left out.

    ``going_on``: as in ``search``. Raises: disk.Trouble.
    """
    with reach.open(path) as file:
        at = begin = max(0, file.size - most)
        while at < file.size and going_on(at - begin) and (block := file.read(at, at + disk.BLOCK)):
            with disk.trying("write", str(to.name)):
                to.write(block)
            at += len(block)
    with disk.trying("write", str(to.name)):
        to.flush()
    return begin


def harmless(text: str) -> str:
    """What of a line would steer a terminal is written out; tabs stay."""
    return "\t".join(map(disk.printable, text.split("\t")))


def _line(raw: bytes, begin: int, end: int) -> Line:
    states = raw.removesuffix(b"\n").rstrip(b"\r").split(b"\r")
    # a bar that wiped itself away with blanks has said more before
    left = next(filter(bytes.strip, reversed(states)), b"") if len(states) > 1 else states[0]
    text = harmless(left.decode("utf-8", "backslashreplace")).expandtabs(_TAB)
    return Line(begin, end, text, redrawn=len(states) > 1)


class _Log:
    """A log for the time of one call, as lines."""

    def __init__(self, file: reaching.File) -> None:
        self._file = file
        self.size = file.size

    def page(self, begins: Sequence[int]) -> Page:
        """The lines between these places."""
        first, end = (begins[0], begins[-1]) if begins else (0, 0)
        raw = self._file.read(first, end)
        lines = (_line(raw[one - first : next_ - first], one, next_) for one, next_ in itertools.pairwise(begins))
        return Page(tuple(lines), self.size, self._file.identity)

    def begin(self, offset: int) -> int:
        """Where the line begins that this byte is in."""
        cell = max(0, offset) // LONGEST
        low = max(0, cell - 2) * LONGEST  # had it begun earlier, it would have been cut in the cell before this one
        return max((one for one in self._begins(low, (cell + 1) * LONGEST) if one <= offset), default=low)

    def down(self, offset: int) -> Iterator[int]:
        """The begins of the line that this byte is in and of all that follow it, and the end of the last one."""
        if offset >= self.size:
            return
        first = self.begin(offset)
        yield first
        for low in range(first // LONGEST * LONGEST, self.size, BLOCK):
            yield from (one for one in self._begins(low, low + BLOCK) if one > first)
        yield self.size

    def up(self, end: int) -> Iterator[int]:
        """The begins of all lines before this place, the nearest first."""
        for high in range(-(-end // LONGEST) * LONGEST, 0, -BLOCK):
            yield from (one for one in reversed(self._begins(max(0, high - BLOCK), high)) if one < end)

    def _begins(self, low: int, high: int) -> list[int]:
        """All begins from ``low`` to before ``high``, both multiples of ``LONGEST``."""
        origin = max(0, low - LONGEST)
        raw = self._file.read(origin, high)
        begins = [0] if low == 0 and raw else []
        begins += [origin + feed.end() for feed in _FEED.finditer(raw)]
        for at in range(max(LONGEST, low - origin), len(raw), LONGEST):
            if raw.find(b"\n", at - LONGEST, at) < 0 and (cut := _CUT.match(raw, at)):
                begins.append(origin + cut.end())
        return sorted(one for one in begins if one >= low)


@dataclasses.dataclass(frozen=True, slots=True)
class _Sought:
    """A text that is looked for in bytes."""

    folds: bool
    """Whether capitals are taken for small letters."""
    surest: bytes
    """The longest part that is written in one way only. Looking for that first is what makes it fast."""
    pattern: re.Pattern[bytes]
    overlap: int
    """Bytes that it may reach into the next block."""

    @classmethod
    def of(cls, text: str) -> _Sought:
        folds = text == text.lower()
        ways = [_ways(sign) if folds else [_encoded(sign)] for sign in text]
        runs = (list(run) for _, run in itertools.groupby(ways, key=len))
        surest = max((b"".join(way for [way] in run) for run in runs if len(run[0]) == 1), key=len, default=b"")
        pattern = b"".join(b"(?:" + b"|".join(map(re.escape, some)) + b")" for some in ways)
        return cls(folds, surest, re.compile(b"(?=" + pattern + b")"), sum(max(map(len, some)) for some in ways))

    def places(self, block: bytes, end: int) -> Iterator[int]:
        """Where it begins, before ``end``."""
        if self.folds:
            block = block.lower()  # of bytes: that is ASCII only; the pattern knows the capitals of the others
        if self.surest in block:
            places = (match.start() for match in self.pattern.finditer(block))
            yield from itertools.takewhile(lambda place: place < end, places)


def _ways(sign: str) -> list[bytes]:
    """How a small letter is written, and its capital, where those of ASCII are small."""
    return sorted({_encoded(way).lower() for way in (sign, sign.upper())})


def _encoded(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")  # half a character from a keyboard is in no log
