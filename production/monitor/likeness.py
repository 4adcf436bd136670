"""When two messages say the same: without what differs from run to run, and nearly word for word. Pure.

What comes in are the last words of jobs; ``failures`` makes groups of those that are alike.
"""

from __future__ import annotations

import difflib
import functools
import re
from collections.abc import Iterable, Sequence

ALIKE = 0.9
"""Share of words that two messages have in common, in the same order, from which on they are one: of ten words one may
differ. Short messages have to be equal, as one word is all the difference: ``bad magic``, ``bad checksum``."""

LONGEST = 400
"""Characters of a message that are looked at."""

REPRESENTATIVES = 40
"""Different messages of one sort that a further one is compared with."""

LINES = 12
"""Last lines of a log that are looked at."""

_MONTH = "Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec"
_CLOCK = r"\d{1,2}:\d\d(?::\d\d(?:[.,]\d+)?)?"

_CODE = r"\b(?:errno|status|code|signal|exit|http|error)[\s:=\#]{1,3}\d{1,4}\b"

_VARYING = re.compile(
    rf"""
    (?P<code>{_CODE})
  | (?P<time>\b\d{{4}}[-/]\d\d[-/]\d\d(?:[T\ ]{_CLOCK})?(?:Z|\ ?[+-]\d\d:?\d\d\b)?
           | \b(?:(?:Mon|Tue|Wed|Thu|Fri|Sat|Sun),?\ +)?(?:{_MONTH})\ +\d{{1,2}}(?:,?\ +\d{{4}})?
             (?:\ +{_CLOCK}(?:\ +[A-Z]{{3,4}})?(?:\ +\d{{4}})?)?
           | \b{_CLOCK}\b)
  | (?P<id>\b[0-9a-f]{{8}}(?:-[0-9a-f]{{4}}){{3}}-[0-9a-f]{{12}}\b)
  | (?P<hex>\b0x[0-9a-f]+\b | \b(?=[a-f]*\d)(?=\d*[a-f])[0-9a-f]{{6,}}\b)
  | (?P<path>(?<![\w.])(?:~|\.{{1,2}})?/[^\s:'"()\[\],;]*/)
  | (?P<tmp>\b(?:tmp|temp)[._-]?(?=\w*\d)\w{{4,}}\b | (?<=\.)(?=[A-Za-z]*\d)(?=\w*[A-Z])[A-Za-z0-9]{{6,12}}\b)
  | (?P<N>(?:(?<![\w.])[-+])?\d+(?:[.,]\d+)*(?:e[-+]?\d+)?)
    """,
    re.VERBOSE | re.IGNORECASE,
)
"""Codes come first: they say what it was, and stay."""

_NUMBERS = re.compile(r"0x[0-9a-fA-F]+|\d+")
_CODES = re.compile(_CODE, re.IGNORECASE)
_NAMED = {"time": "<time>", "id": "<id>", "hex": "<X>", "tmp": "<tmp>", "path": "…/", "N": "<N>"}


def form(message: str) -> str:
    """The message without numbers, dates, directories and the like: what all runs of one trouble have in common.

    ``run02091.mid: bad magic 0x1f`` is ``run<N>.mid: bad magic <X>``. A code (``status 404``) and a file's name stay.
    """
    return " ".join(_VARYING.sub(_plain, message[:LONGEST]).split())


class Forms:
    """Forms of very many messages: those that differ in their numbers only are looked at once."""

    def __init__(self) -> None:
        self._forms: dict[str, str] = {}
        """{message with all its numbers alike: form}."""
        self._coded: set[str] = set()
        """Messages like that of which the codes matter, too."""

    def of(self, message: str) -> str:
        """See ``form``."""
        rough = _NUMBERS.sub("0", message[:LONGEST])
        if rough in self._coded:
            rough = "\n".join([rough, *_CODES.findall(message)])
        if rough not in self._forms:
            self._forms[rough] = form(message)
            if _CODES.search(rough):
                self._coded.add(rough)
        return self._forms[rough]


def _plain(found: re.Match[str]) -> str:
    kind = found.lastgroup or "code"
    return _NAMED.get(kind, found[0])


@functools.lru_cache(maxsize=4096)
def _words(one: str) -> tuple[str, ...]:
    return tuple(one.split())


def alike(one: str, other: str) -> bool:
    """Whether two forms are one message: equal, or nearly so and long enough for one word not to matter."""
    if one == other:
        return True
    matcher = difflib.SequenceMatcher(None, _words(one), _words(other), autojunk=False)
    return (
        matcher.real_quick_ratio() >= ALIKE and matcher.quick_ratio() >= ALIKE and matcher.ratio() >= ALIKE
    )  # the first two are cheap, and never less than the third


def joined(forms: Iterable[str]) -> dict[str, str]:
    """{form: the first one that it is like}; the most frequent come first."""
    firsts: list[str] = []
    found: dict[str, str] = {}
    for one in forms:
        first = next((other for other in firsts[:REPRESENTATIVES] if alike(one, other)), one)
        if first == one:
            firsts.append(one)
        found[one] = first
    return found


def crossed(one: Sequence[str], other: Sequence[str]) -> bool:
    """Whether two logs end alike though their last lines don't: each has the other's last line among its last ones.

    Threads, or stdout and stderr, write in no certain order.
    """
    mine, theirs = [form(line) for line in one[-LINES:]], [form(line) for line in other[-LINES:]]
    return bool(mine and theirs) and mine[-1] in theirs and theirs[-1] in mine


def differing(logs: Sequence[Sequence[str]]) -> bool:
    """Whether logs with the same last line have little else in common, so that it may not be the same trouble."""
    before = [{form(line) for line in log[-LINES:-1]} for log in logs]
    before = [lines for lines in before if len(lines) >= 3]
    return any(
        len(one & other) * 4 < len(one | other) for number, one in enumerate(before) for other in before[:number]
    )
