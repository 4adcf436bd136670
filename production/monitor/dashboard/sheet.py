"""The one thing that urwid shows: lines with roles, over the whole screen; and a prompt where a person types."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from typing import ClassVar

import urwid

from production.monitor.dashboard import line as lines
from production.monitor.dashboard import palettes

Paint = Callable[[int, int], Sequence[lines.Line]]
"""Columns and rows → at most so many lines, none longer than that."""


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
        return _canvas([lines.filled(line, columns) for line in painted], columns)

    def keypress(self, _size: tuple[int, int], key: str) -> str | None:  # type: ignore[override]  # this one is a box
        return None if self._press(key) else key

    def mouse_event(  # type: ignore[override]  # urwid's
        self, _size: tuple[int, int], event: str, button: int, _column: int, row: int, _focus: bool
    ) -> bool:  # fmt: skip
        return self._point(row, event, button)

    def renew(self) -> None:
        """It is to be shown anew."""
        self._invalidate()


def _canvas(painted: Sequence[lines.Line], columns: int) -> urwid.TextCanvas:
    texts, sets = [], []
    attributes: list[list[tuple[Hashable, int]]] = []
    for line in painted:
        encoded, runs = urwid.apply_target_encoding(lines.text(line))
        texts.append(encoded)
        sets.append(runs)
        attributes.append([(role or None, len(urwid.apply_target_encoding(text)[0])) for role, text in line if text])
    return urwid.TextCanvas(texts, attributes, sets, maxcol=columns, check_width=False)


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
