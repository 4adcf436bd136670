"""Lines that are longer than the screen: which of them are shown, which is under the cursor, where a text is. Pure."""

from __future__ import annotations

import bisect
import dataclasses
from collections.abc import Sequence

from production.monitor.dashboard import line as lines


@dataclasses.dataclass(frozen=True, slots=True)
class Entry:
    """A sentence, which may take several lines."""

    text: str
    role: str = ""
    target: object = None
    """What it is about, for who opens it."""
    head: str = ""
    """What stands before it; where it goes on below, room is left for that."""


class Scroll:
    """Entries, folded to a width."""

    def __init__(self, *, choosing: bool, leaping: bool = False) -> None:
        """``choosing``: there is a cursor, else only the text moves; ``leaping``: from one entry with a target to the next."""
        self.entries: Sequence[Entry] = ()
        self.found = ""
        """The text that was looked for."""
        self._choosing = choosing
        self._leaping = leaping
        self._lines: list[tuple[lines.Line, int]] = []
        """(line, place of its entry)."""
        self._stops: list[int] = []
        """Lines with which entries begin that have a target."""
        self._size = (80, 1)
        self._cursor = 0
        self._top = 0
        self._hit: int | None = None
        """Place of the line that was found last: near the end it can't stand at the top."""

    def put(self, entries: Sequence[Entry], *, at_end: bool = False) -> None:
        """Other entries; the place on the screen stays."""
        stays_at_end = at_end and self._at_end()
        self.entries = entries
        self._fold()
        if stays_at_end:
            self.move(len(self._lines))

    def _at_end(self) -> bool:
        place = self._cursor if self._choosing else self._top + self._size[1]
        return place >= len(self._lines) - 1

    def fit(self, columns: int, rows: int) -> None:
        """There is so much room."""
        before, self._size = self._size, (columns, rows)
        if before[0] != columns:
            entry = self._entry()
            self._fold()
            self._cursor = next((place for place, (_, at) in enumerate(self._lines) if at == entry), 0)
        self._settle()

    def _fold(self) -> None:
        self._lines = []
        for place, entry in enumerate(self.entries):
            indent = len(entry.head) if entry.head else None
            for one in lines.folded(entry.head + entry.text, self._size[0], entry.role, indent):
                self._lines.append((one, place))
        firsts = {at: place for place, (_, at) in reversed([*enumerate(self._lines)])}
        self._stops = [place for at, place in sorted(firsts.items()) if self.entries[at].target is not None]
        self._settle()

    def _settle(self) -> None:
        rows = self._size[1]
        self._cursor = max(0, min(self._cursor, len(self._lines) - 1))
        if self._choosing:
            last = self._cursor
            if self._leaping and self._stops:
                place = max(0, bisect.bisect_right(self._stops, self._cursor) - 1)
                self._cursor = self._stops[place]
                rest = self._stops[place + 1] if place + 1 < len(self._stops) else len(self._lines)
                last = min(rest - 1, self._cursor + rows - 1)  # all that belongs to it
                self._top = 0 if not place else self._top
            self._top = min(max(self._top, last - rows + 1), self._cursor)
        self._top = max(0, min(self._top, len(self._lines) - rows))

    def _entry(self) -> int:
        place = self._cursor if self._choosing else self._top
        return self._lines[place][1] if place < len(self._lines) else 0

    @property
    def target(self) -> object:
        """Of the line under the cursor, or of the nearest one above that has one; above all of them the first."""
        here = self._entry()
        near = [*reversed(self.entries[: here + 1]), *self.entries[here + 1 :]]
        return next((entry.target for entry in near if entry.target is not None), None)

    def move(self, number: int) -> None:
        """So many lines down, or up."""
        self._hit = None
        if self._choosing and self._leaping and self._stops:
            place = bisect.bisect_right(self._stops, self._cursor) - 1 + number
            self._cursor = self._stops[max(0, min(place, len(self._stops) - 1))]
        elif self._choosing:
            self._cursor += number
        else:
            self._top += number
        self._settle()

    def page(self, pages: int) -> None:
        """So many screens, of which a line stays."""
        step = pages * max(1, self._size[1] - 1)
        if self._choosing:
            self._top += step
        if self._leaping:
            self._cursor += step
            self._settle()
        else:
            self.move(step)

    def point(self, place: int) -> bool:
        """To a line of the screen; whether there is one."""
        there = self._top + place < len(self._lines)
        if there and self._choosing:
            self._cursor = self._top + place
        return there

    def search(self, text: str, step: int, *, again: bool) -> bool:
        """To the next line with a text, or the one before, round the end; whether there is one. All small letters mean any.

        ``again``: not the one that we are at.
        """
        self.found = text
        top = self._top if self._hit is None or not again else self._hit
        here, number = self._cursor if self._choosing else top, len(self._lines)
        for away in range(1 if again else 0, number + 1):
            place = (here + step * away) % number
            if has(lines.text(self._lines[place][0]), text):
                self._go_to(place)
                self._hit = place
                return True
        return False

    def _go_to(self, place: int) -> None:
        """So that a line is seen."""
        if self._choosing:
            self._cursor = place
        else:
            self._top = place
        self._settle()

    def shown(self) -> list[lines.Line]:
        """As the screen has them."""
        rows = self._lines[self._top : self._top + self._size[1]]
        found = [lighted(one, self.found) for one, _ in rows]
        if self._choosing and found:
            place = self._cursor - self._top
            found[place] = lines.filled(lines.all_as(found[place], "cursor"), self._size[0], "cursor")
        return found

    def place(self) -> str:
        """How far it is: empty, if all is on the screen."""
        number, rows = len(self._lines), self._size[1]
        return f"lines {self._top + 1}-{self._top + rows} of {number}" if number > rows else ""


def has(line: str, text: str) -> bool:
    """Whether a line has a text; all small letters mean any."""
    return bool(text) and (text in line.lower() if text == text.lower() else text in line)


def lighted(line: lines.Line, text: str) -> lines.Line:
    """With the text that was looked for in its own role."""
    if not text or not has(lines.text(line), text):
        return line
    found: list[lines.Part] = []
    for role, part in line:
        rest = part
        while has(rest, text):
            at = (rest.lower() if text == text.lower() else rest).index(text)
            found += [(role, rest[:at]), ("found", rest[at : at + len(text)])]
            rest = rest[at + len(text) :]
        found.append((role, rest))
    return tuple(part for part in found if part[1])
