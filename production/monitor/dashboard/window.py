"""Which runs of a table are loaded, and which of them are shown. No I/O: what has to be read, it says; ``reading`` reads it.

However many runs there are, a few screens of them are loaded around the cursor, by key: a million scroll like a hundred.
"""

from __future__ import annotations

import bisect
import dataclasses
from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

from production import facts
from production import run as runs

SCREENS = 3
"""Loaded before and behind the one that is shown."""
USUAL = 50
"""Rows of a screen, as long as nobody has said how many there are."""
FIRST, LAST = -1, 1 << 62
"""Keys before and behind every run."""


Key: TypeAlias = Callable[[facts.Row], Any]


@dataclasses.dataclass(frozen=True, slots=True)
class Around:
    """What is to be read: runs before a key, and from it on."""

    run: int
    """Or its place, if there is no such run; or ``FIRST``, ``LAST``."""
    before: int
    after: int
    state: runs.State | None = None
    """In which it stood on the screen, if it is not meant any more."""


@dataclasses.dataclass(frozen=True, slots=True)
class Stretch:
    """Runs that follow upon each other."""

    rows: Sequence[facts.Row]
    begins: bool
    """There is nothing before them."""
    ends: bool
    """Nor behind them."""
    whole: bool = True
    """It was searched to its end; else there may be more."""
    place: int | None = None
    """Of the first of them among all; None: nobody counted."""
    number: int | None = None
    """Of all."""


class Window:
    """The loaded rows, the cursor, and the first row that is shown."""

    def __init__(self) -> None:
        self.stretch = Stretch((), begins=True, ends=True, whole=False)
        self.height = USUAL
        self._cursor = 0
        self._top = 0
        self._wanted: int | None = FIRST
        """A run that the cursor is to go to, once it is loaded."""
        self._named = False
        """Somebody named that run, and is to be told if it isn't there."""
        self._owed = 0
        """Rows that it is to go on, then."""
        self._following = False
        """The cursor was put on its run, and goes with it; else it stays at the beginning, whatever is there."""

    @property
    def rows(self) -> Sequence[facts.Row]:
        return self.stretch.rows

    @property
    def current(self) -> facts.Row | None:
        """Under the cursor; None: there is none, or it is on its way to another, and a key must not mean the wrong one."""
        return None if self._owed else self._here

    @property
    def _here(self) -> facts.Row | None:
        """The same, however far it is to go on from there."""
        return self.rows[self._cursor] if self.rows and self._wanted is None else None

    @property
    def cursor(self) -> int:
        """Its place on the screen."""
        return self._cursor - self._top

    @property
    def first(self) -> int:
        """The place of the first row on the screen among the loaded ones."""
        return self._top

    def shown(self) -> Sequence[facts.Row]:
        """The rows that fit the screen."""
        return self.rows[self._top : self._top + self.height]

    def position(self) -> tuple[int, int] | None:
        """(place of the cursor among all, from 1; how many), where somebody counted."""
        if self.stretch.place is None or self.stretch.number is None:
            return None
        return self.stretch.place + self._cursor + 1, self.stretch.number

    def fit(self, height: int) -> None:
        """There is room for so many rows now."""
        self.height = max(1, height)
        self._settle()

    def move(self, rows: int) -> None:
        """So many down, or up; what is not loaded yet is gone to when it is."""
        self._following = self._following or bool(rows)
        goal = self._cursor + self._owed + rows
        self._cursor = min(max(0, goal), max(0, len(self.rows) - 1))
        rest = goal - self._cursor
        self._owed = rest if (rest < 0 and not self.stretch.begins) or (rest > 0 and not self.stretch.ends) else 0
        self._settle()

    def page(self, pages: int) -> None:
        """So many screens, of which a line stays."""
        step = pages * max(1, self.height - 1)
        if 0 <= self._top + step <= max(0, len(self.rows) - self.height):
            self._top += step
        self.move(step)

    def begin_anew(self, run: int) -> None:
        """Other rows, or in another order; the cursor is to be on this run."""
        self.stretch = Stretch((), begins=True, ends=True, whole=False)
        self._cursor = self._top = 0
        self.go_to(run)
        self._named = False

    def go_to(self, run: int) -> None:
        """To a run, or to the next one there is; or ``FIRST``, ``LAST``."""
        place = next((place for place, row in enumerate(self.rows) if row.run == run), None)
        self._wanted, self._owed, self._following = run if place is None else None, 0, run != FIRST
        self._named = True
        if place is not None:
            self._cursor = place
            self._settle()

    def point(self, place: int) -> bool:
        """To a row of the screen; whether there is one."""
        there = 0 <= place < len(self.shown())
        if there:
            self._following = True
            self.move(self._top + place - self._cursor)
        return there

    def _settle(self) -> None:
        """The cursor is on the screen, and the screen is full where it can be."""
        self._top = min(max(self._top, self._cursor - self.height + 1, 0), self._cursor)
        self._top = max(0, min(self._top, len(self.rows) - self.height))

    def near_edge(self) -> bool:
        """Whether more should be loaded."""
        if self._wanted is not None or self._owed:
            return True
        room = self.height * SCREENS // 2
        near_begin = not self.stretch.begins and self._top < room
        near_end = not self.stretch.ends and len(self.rows) - self._top - self.height < room
        return near_begin or near_end

    def around(self) -> Around:
        """What should be loaded."""
        before, after = self.height * SCREENS, self.height * (SCREENS + 1)
        before, after = before + max(0, -self._owed), after + max(0, self._owed)
        if self._wanted is not None:
            return Around(self._wanted, before, after)
        here = self._here
        if here is None or not self._following:
            return Around(FIRST, before, after)
        return Around(here.run, before + self.cursor, after, here.state)

    def take(self, stretch: Stretch, key: Key | None) -> int | None:
        """What was loaded → the run that somebody wanted to go to, if it isn't there, and the cursor is on the next one.

        ``key``: by which its rows are in order; None: nobody can tell it from a row. The cursor goes with its run; if
        that isn't meant any more, it stays at its place in the order.
        """
        here, offset = self._here if self._following else None, self.cursor
        wanted, before = self._wanted, self._cursor
        if wanted is not None:
            offset = 0 if wanted in (FIRST, LAST) else self.height // 2
        self.stretch = stretch
        if not stretch.rows and not stretch.whole:
            return None  # it is looked for
        goal = wanted if wanted is not None else here.run if here else FIRST
        found = _place(stretch.rows, goal)
        if found is None and here is not None and wanted is None:
            found = before if key is None else bisect.bisect_left(stretch.rows, key(here), key=key)
        place = found if found is not None else _next(stretch.rows, goal)
        self._cursor = min(place, max(0, len(stretch.rows) - 1))
        self._wanted = None
        self._top = self._cursor - offset
        self.move(0)
        return wanted if found is None and self._named and stretch.rows else None


def _place(rows: Sequence[facts.Row], run: int) -> int | None:
    """Of a run; None: it isn't there."""
    if run in (FIRST, LAST):
        return 0 if run == FIRST else len(rows)
    return next((place for place, row in enumerate(rows) if row.run == run), None)


def _next(rows: Sequence[facts.Row], run: int) -> int:
    """Of the run behind one that isn't there; of the last, if there is none."""
    return next((place for place, row in enumerate(rows) if row.run > run), len(rows))
