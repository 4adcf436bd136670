"""What stands in the columns of the rows that are loaded, and how wide these are: made when rows are loaded, not at each key.

Ages grow, so once a second those that are on the screen are made anew. Pure.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Mapping, Sequence

from production import disk, facts
from production.monitor import columns, table
from production.monitor.dashboard import line as lines
from production.monitor.dashboard import palettes

SAME = 300
"""Lines that are kept: a few screens of them."""


class Cells:
    """Of one table."""

    def __init__(self) -> None:
        self.names: Sequence[str] = ()
        """Of the columns."""
        self._rows: Sequence[facts.Row] = ()
        self._cells: list[tuple[str, ...]] = []
        self._made: list[int] = []
        """In which second each row's were made."""
        self._second = 0
        self._widest: list[int] = []
        self._filled: list[bool] = []

    def fill(self, rows: Sequence[facts.Row], names: Sequence[str], seen: columns.Seen) -> None:
        """Other rows or columns. They are as wide as all that is loaded needs, so that they stay as it scrolls."""
        places = {row.run: place for place, row in enumerate(self._rows)} if names == self.names else {}
        kept = [self._kept(row, places) or (_cells(row, names, seen), self._second) for row in rows]
        self._rows, self.names = rows, names
        self._cells, self._made = [cells for cells, _ in kept], [second for _, second in kept]
        self._widest = [max(map(table.width, column)) for column in zip(*self._cells, strict=True)] or [0] * len(names)
        self._filled = [any(column) for column in zip(*self._cells, strict=True)] or [True] * len(names)

    def _kept(self, row: facts.Row, places: Mapping[int, int]) -> tuple[tuple[str, ...], int] | None:
        """What was made of it before, and when; most rows are loaded again."""
        place = places.get(row.run)
        return None if place is None or self._rows[place] != row else (self._cells[place], self._made[place])

    def tick(self) -> None:
        """A second has passed."""
        self._second += 1

    def renew(self, first: int, last: int, seen: columns.Seen) -> None:
        """Those of the rows from one place to before another are shown."""
        for place in range(first, last):
            if self._made[place] != self._second:
                self._made[place] = self._second
                made = self._cells[place] = _cells(self._rows[place], self.names, seen)
                self._widest = [max(wide, table.width(one)) for wide, one in zip(self._widest, made, strict=True)]
                self._filled = [there or bool(one) for there, one in zip(self._filled, made, strict=True)]

    def widths(self, heading: Sequence[str], limit: int) -> dict[int, int]:
        """{place of a column: its width} of those that have room."""
        widest = [max(wide, table.width(name)) for wide, name in zip(self._widest, heading, strict=True)]
        kinds = [columns.COLUMNS[name][0] for name in self.names]
        named = [dataclasses.replace(kind, name=name) for kind, name in zip(kinds, heading, strict=True)]
        return table.fitted(named, widest, self._filled, limit)

    def line(self, place: int, widths: dict[int, int], wide: int, *, at: bool, marked: bool) -> lines.Line:
        """A row; ``at``: it is under the cursor."""
        made, fitted = self._cells[place], tuple(widths.items())
        if at:
            role = "cursor marked" if marked else "cursor"
            text = ("* " if marked else "> ") + joined(made, widths, self.names)
            return lines.filled(lines.plain(text, role), wide, role)
        return _line(made, fitted, tuple(self.names), palettes.STATES[self._rows[place].state], wide, marked)


def _cells(row: facts.Row, names: Sequence[str], seen: columns.Seen) -> tuple[str, ...]:
    return tuple(disk.printable(columns.COLUMNS[name][1](row, seen)) for name in names)


@functools.lru_cache(maxsize=SAME)
def _line(
    cells: tuple[str, ...], widths: tuple[tuple[int, int], ...], names: tuple[str, ...], role: str, wide: int, marked: bool
) -> lines.Line:  # fmt: skip
    parts: list[lines.Part] = [("mark", "* " if marked else "  ")]
    for place, width in widths:
        if len(parts) > 1:
            parts.append(("", table.GAP))
        own = role if names[place] in ("state", "cause") else "mark" if marked else ""
        parts.append((own, table.cell(cells[place], width, columns.COLUMNS[names[place]][0], cut=True)))
    return lines.within(tuple(parts), wide)


def joined(cells: Sequence[str], widths: dict[int, int], names: Sequence[str]) -> str:
    """The cells of a row, or the heading, in their columns."""
    kinds = {place: columns.COLUMNS[names[place]][0] for place in widths}
    return table.GAP.join(table.cell(cells[place], wide, kinds[place], cut=True) for place, wide in widths.items())
