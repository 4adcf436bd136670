"""The one thing that urwid shows: lines with roles, over the whole screen; and a prompt where a person types."""

from __future__ import annotations

import functools
import itertools
from collections.abc import Callable, Hashable, Iterator, Sequence
from typing import ClassVar, Literal, TypeAlias

import urwid

from production.monitor.dashboard import line as lines
from production.monitor.dashboard import palettes

Paint = Callable[[int, int], Sequence[lines.Line]]
"""Columns and rows → at most so many lines, none longer than that."""
SAME = 300
"""Lines that are kept as they were written: a few screens of them."""

_Row: TypeAlias = list[tuple[Hashable, Literal["0", "U"] | None, bytes]]
"""(role, character set, text)."""


class Sheet(urwid.Widget):
    """Lines that are made anew whenever they are to be shown."""

    _sizing = frozenset([urwid.Sizing.BOX])
    _selectable = True
    ignore_focus: ClassVar[bool] = True

    def __init__(self, paint: Paint, press: Callable[[str], bool], point: Callable[[int, str, int], bool]) -> None:
        """``press``: a key, ``point``: (row, what the mouse did, its button) → whether that means anything."""
        super().__init__()
        self._paint = paint
        self._press = press
        self._point = point

    def render(self, size: tuple[int, int], focus: bool = False) -> urwid.Canvas:  # type: ignore[override]  # noqa: ARG002  urwid's
        columns, rows = size
        painted = list(self._paint(columns, rows))[:rows]
        painted += [()] * (rows - len(painted))
        return _Canvas([_row(line, columns) for line in painted], columns)

    def keypress(self, _size: tuple[int, int], key: str) -> str | None:  # type: ignore[override]  # this one is a box
        return None if self._press(key) else key

    def mouse_event(  # type: ignore[override]  # urwid's
        self, _size: tuple[int, int], event: str, button: int, _column: int, row: int, _focus: bool
    ) -> bool:  # fmt: skip
        return self._point(row, event, button)

    def allow(self, allowed: bool) -> None:
        """Whether keys and the mouse may turn to it: not while a person types a line."""
        self._selectable = allowed

    def renew(self) -> None:
        """It is to be shown anew."""
        self._invalidate()


class _Canvas(urwid.Canvas):
    """Rows as they are written: urwid would put together the texts and roles of each of them anew."""

    def __init__(self, rows: Sequence[_Row], columns: int) -> None:
        super().__init__()
        self._rows = rows
        self._columns = columns

    def rows(self) -> int:
        return len(self._rows)

    def cols(self) -> int:
        return self._columns

    def content(  # never cut at its left or right, and its roles are what they are
        self, _left: int = 0, top: int = 0, _columns: int | None = None, rows: int | None = None, _roles: object = None
    ) -> Iterator[_Row]:  # fmt: skip
        yield from self._rows[top : None if rows is None else top + rows]


@functools.lru_cache(maxsize=SAME)
def _row(line: lines.Line, columns: int) -> _Row:
    """A line as the terminal gets it. Most are the same, or somewhere else, after the next key."""
    found: _Row = []
    for role, parts in itertools.groupby(lines.filled(line, columns), key=lambda part: part[0]):
        encoded, sets = urwid.apply_target_encoding("".join(text for _, text in parts))
        for set_, length in sets:
            found.append((role or None, set_, encoded[:length]))
            encoded = encoded[length:]
    return found


class Prompt(urwid.Edit):
    """A line that a person types; Enter hands it over, Esc leaves it."""

    def __init__(
        self, caption: str, text: str, done: Callable[[str], None], left: Callable[[], None]
    ) -> None:  # fmt: skip
        super().__init__([("prompt", caption)], text, wrap=urwid.WrapMode.CLIP)
        self._done = done
        self._left = left

    def keypress(self, size: tuple[int], key: str) -> str | None:  # type: ignore[override]  # urwid allows other sizes
        if key == "enter":
            self._done(self.edit_text.strip())
        elif key == "esc":
            self._left()
        elif key == "ctrl u":
            self.set_edit_text("")
        else:
            return super().keypress(size, key)
        return None


def colours(name: str) -> list[tuple[str, str, str, str]]:
    """A palette as urwid has it."""
    return [(role, text, ground, mono) for role, (text, ground, mono) in palettes.PALETTES[name].items()]
