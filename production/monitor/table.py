"""Tables for people: columns that fit the terminal, the least important cut or left out first. Nothing here is for programs."""

from __future__ import annotations

import dataclasses
import itertools
import os
import re
import sys
import unicodedata
from collections.abc import Iterable, Iterator, Sequence

from production import disk

LOOKED_AT = 1000
"""Rows whose widths make those of the columns; what comes later is read and shown as it comes."""
WHOLE = 10_000
"""As a column's ``least``: it is not cut."""
GAP = "  "
"""Between two columns."""
_ARGUMENT = r" (?:-|[0-9A-Z]|[a-z]+:(?=[^ ]))[^ ]*(?<![;,.:)])"
_COMMAND = re.compile(
    rf"(?<![\w/.-])(?:production [a-z]+(?:(?: [a-z]+)?(?:{_ARGUMENT})+)?|run_production(?:{_ARGUMENT})+)[;,.:)]*"
)
"""A command to be typed, with its options, numbers and filters, and the sign behind it."""
_TIE = "\0"
"""Stands for a space that no line ends at; no printable line has it."""


@dataclasses.dataclass(frozen=True, slots=True)
class Column:
    """One column of a table."""

    name: str
    least: int = 4
    """Characters that it is not cut below."""
    rank: int = 1
    """The highest is cut first and left out first; 0 is never left out."""
    right: bool = False
    """Numbers stand at the right."""
    enough: int = 0
    """Characters that it is given before those of a higher rank are."""

    @property
    def narrowest(self) -> int:
        """Characters that are left of it when it is cut; its heading never is."""
        return max(self.least, width(self.name))


def terminal_width() -> int | None:
    """Characters of a line of the terminal that we answer on; None: it is no terminal, and lines have no end."""
    if not sys.stdout.isatty():
        return None
    said = os.environ.get("COLUMNS", "")
    if said.isascii() and said.isdecimal() and 0 < len(said) < 6 and int(said) > 0:
        return int(said)
    try:
        return os.get_terminal_size(sys.stdout.fileno()).columns or None
    except OSError:
        return None


def lines(columns: Sequence[Column], rows: Iterable[Sequence[str]], limit: int | None) -> Iterator[str]:
    """Heading and rows, within so many characters; nothing at all if there is no row."""
    cells = ([disk.printable(cell) for cell in row] for row in rows)
    first = list(itertools.islice(cells, LOOKED_AT))
    if not first:
        return
    heading = [column.name for column in columns]
    widest = [max(width(row[place]) for row in [heading, *first]) for place in range(len(columns))]
    filled = [any(row[place] for row in first) for place in range(len(columns))]
    widths = fitted(columns, widest, filled, limit)
    shown = list(widths)
    for row in itertools.chain([heading], first, cells):
        parts = [cell(row[place], widths[place], columns[place], cut=limit is not None) for place in shown]
        yield GAP.join(parts).rstrip()


def fitted(
    columns: Sequence[Column], widest: Sequence[int], filled: Sequence[bool], limit: int | None
) -> dict[int, int]:
    """{place of a column: its width} of those that are shown."""
    widths = dict(enumerate(widest))
    if limit is None:
        return widths
    least_first = sorted(widths, key=lambda place: (filled[place], -columns[place].rank, -place))
    for place in least_first:
        if _whole(widths) > limit and not filled[place] and columns[place].rank:
            del widths[place]  # nothing stands in it
    least_first = [place for place in least_first if place in widths]
    for place in least_first:
        _cut(widths, place, max(columns[place].enough, columns[place].narrowest), limit)
    for place in least_first:
        _cut(widths, place, columns[place].narrowest, limit)
        if _whole(widths) > limit and columns[place].rank:
            del widths[place]
    for place in sorted(widths, key=lambda place: widest[place] - widths[place]):
        widths[place] = min(widest[place], widths[place] + max(0, limit - _whole(widths)))
    return widths


def _cut(widths: dict[int, int], place: int, least: int, limit: int) -> None:
    over = max(0, _whole(widths) - limit)
    widths[place] = max(min(widths[place], least), widths[place] - over)


def _whole(widths: dict[int, int]) -> int:
    return sum(widths.values()) + len(GAP) * (len(widths) - 1)


def cell(text: str, wide: int, column: Column, *, cut: bool) -> str:
    """In its place of a row; ``cut``: if it is too long."""
    if cut:
        text = within(text, wide)
    room = " " * (wide - width(text))
    return room + text if column.right else text + room


def width(text: str) -> int:
    """Places that a terminal takes for it: two for a wide character, none for one that is put onto the one before."""
    if text.isascii():
        return len(text)
    return sum(_places(character) for character in text)


def _places(character: str) -> int:
    if unicodedata.category(character) in ("Mn", "Me", "Cf"):
        return 0
    return 2 if unicodedata.east_asian_width(character) in "WF" else 1


def folded(line: str, limit: int, indent: int) -> list[str]:
    """The line in lines of so many characters, the later ones indented; a word stays whole, and a command that fits one."""
    import textwrap

    limit = max(limit, indent + 20)
    text = line.lstrip(" ")
    tied = _COMMAND.sub(
        lambda found: found[0].replace(" ", _TIE) if len(found[0]) <= limit - indent else found[0], text
    )
    lines = textwrap.wrap(
        tied,
        limit,
        initial_indent=" " * (len(line) - len(text)),
        subsequent_indent=" " * indent,
        break_long_words=False,
        break_on_hyphens=False,
    )
    return [one.replace(_TIE, " ") for one in lines] or [line]


def within(text: str, wide: int) -> str:
    """The text, or its beginning and an ellipsis, in so many places."""
    if width(text) <= wide:
        return text
    kept, used = "", 1
    for character in text:
        used += _places(character)
        if used > wide:
            break
        kept += character
    return (kept + "…")[: max(0, wide)]
