"""What is shown, line by line: texts with roles, which ``palettes`` gives colours. Pure; the widths are a terminal's."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator
from typing import TypeAlias

from production.monitor import table

Part: TypeAlias = tuple[str, str]
"""(role, text); the role is one of ``palettes.ROLES``, or empty."""
Line: TypeAlias = tuple[Part, ...]


def plain(text: str, role: str = "") -> Line:
    """A line of one part."""
    return ((role, text),)


def text(line: Line) -> str:
    """Without its roles."""
    return "".join(part for _, part in line)


def width(line: Line) -> int:
    """Places of a terminal that it takes."""
    return sum(table.width(part) for _, part in line)


def within(line: Line, wide: int) -> Line:
    """The line, or its beginning and an ellipsis, in so many places."""
    return _fitted(line, wide)[0]


def filled(line: Line, wide: int, role: str = "") -> Line:
    """Cut or filled to so many places."""
    cut, left = _fitted(line, wide)
    return (*cut, (role, " " * left)) if left > 0 else cut


def _fitted(line: Line, wide: int) -> tuple[Line, int]:
    """The line within so many places, and how many are left."""
    left, kept = wide, []
    for role, part in line:
        takes = table.width(part)
        if takes > left:
            cut = table.within(part, left)
            kept.append((role, cut))
            return tuple(kept), left - table.width(cut)
        kept.append((role, part))
        left -= takes
    return line, left


def all_as(line: Line, role: str) -> Line:
    """In one role."""
    return ((role, text(line)),)


def apart(left: Line, right: Line, wide: int) -> Line:
    """One at the left, one at the right; where there is no room for both, the right one is left out."""
    room = wide - width(left) - width(right)
    return (*left, ("", " " * room), *right) if room > 1 else within(left, wide)


def joined(lines: Iterable[Line], between: str = "  ") -> Line:
    """Several in one; empty ones leave no gap."""
    found: list[Part] = []
    for line in lines:
        if line:
            found += [("", between), *line] if found else line
    return tuple(found)


def packed(lines: Iterable[Line], wide: int, between: str = "  ") -> Line:
    """As many of them, from the first on, as have room; a first one that is too long is cut."""
    found: Line = ()
    for one in lines:
        longer = joined([found, one], between)
        if found and width(longer) > wide:
            continue
        found = within(longer, wide)
    return found


def folded(text: str, wide: int, role: str = "", indent: int | None = None) -> Iterator[Line]:
    """A sentence in lines; those that go on are indented by 4 more than it is, or by ``indent``.

    A word that is longer than the screen, such as a path, is broken: what is cut off can be read nowhere.
    """
    own = len(text) - len(text.lstrip(" "))
    deep = own + 4 if indent is None else indent
    for one in table.folded(text, wide, deep):
        for part in broken(one, wide, min(deep, wide // 2)):
            yield plain(part, role)


def broken(text: str, wide: int, indent: int) -> Iterator[str]:
    """In pieces of so many places."""
    while table.width(text) > wide:
        widths = itertools.accumulate(map(table.width, text))
        place = sum(1 for _ in itertools.takewhile(lambda width: width <= wide, widths))
        if not text[:place].strip():
            if text[:1] != " ":
                break  # not even one character has room
            text = text.lstrip(" ")  # nor has so deep an indent
            continue
        yield text[:place]
        text = " " * indent + text[place:].lstrip(" ")
    yield table.within(text, wide)
