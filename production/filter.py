"""The filter language: which runs are meant, the same for every command and the dashboard. Pure. What can be said: ``HELP``."""

from __future__ import annotations

import dataclasses
import difflib
import re
import textwrap
from collections.abc import Callable, Iterable, Sequence

from production import errors
from production import run as runs

LONGEST = 10_000
"""Terms that one filter may have."""

RANGE = re.compile(r"([0-9]{1,9})(?:-([0-9]{1,9}))?")
"""A run, or several: (first, last or nothing)."""
LONGEST_TIME = 100 * 366 * 86400.0
"""Seconds."""
_RUNS = re.compile(rf"{RANGE.pattern}(?:[\s,]+{RANGE.pattern})*[\s,]*")
_SPAN = re.compile(r"([<>])\s*([0-9]+(?:\.[0-9]+)?)\s*([a-z]+)", re.IGNORECASE)
_HALF = re.compile(r"[<>]\s*(?:[0-9]+(?:\.[0-9]+)?)?")
"""A span whose unit, at least, is the next word."""
_KEY = re.compile(r"([A-Za-z]\w*):(.*)", re.DOTALL)

UNITS = {"s": 1.0, "min": 60.0, "m": 60.0, "h": 3600.0, "d": 86400.0, "w": 604800.0}
"""Seconds."""


@dataclasses.dataclass(frozen=True, slots=True)
class Filter:
    """Which runs are meant; what is empty or None leaves it open."""

    runs: tuple[tuple[int, int], ...] = ()
    """Ranges, both ends included, in order, without overlap."""
    states: tuple[str, ...] = ()
    datasets: tuple[str, ...] = ()
    tranches: tuple[int, ...] = ()
    qualities: tuple[str, ...] = ()
    hosts: tuple[str, ...] = ()
    causes: tuple[str, ...] = ()
    users: tuple[str, ...] = ()
    jobs: tuple[str, ...] = ()
    longer: float | None = None
    """Seconds in its state, at least."""
    shorter: float | None = None
    texts: tuple[str, ...] = ()


EVERYTHING = Filter()
ALL = "all"
"""The word for it."""

KEYS: dict[str, str] = {
    "state": "states",
    "dataset": "datasets",
    "tranche": "tranches",
    "quality": "qualities",
    "host": "hosts",
    "cause": "causes",
    "user": "users",
    "job": "jobs",
    "run": "runs",
    "text": "texts",
}
"""{what is typed before the colon: the field}."""

CHOICES: dict[str, tuple[str, ...]] = {
    "state": tuple(state.value for state in runs.State),
    "cause": tuple(cause.value for cause in runs.Cause),
}
"""{key: all that may stand behind its colon}; of other keys anything."""

_WORDS = f"""
  2091 2095-2103           runs and ranges of runs; so, too: 2091,2095-2103
  all                      every run; alone
  state:failed,held        any of these; so too
                           {" ".join(f"{key}:" for key in KEYS if key not in ("state", "run", "text"))}
  ">2h" "<30min"           longer, shorter in its state ({" ".join(UNITS)})
  pedestal "no such file"  text in what is said of the run; text:2091 for
                           one that looks like another word
Words of one kind widen the choice, those of different kinds narrow it; all
texts have to be there. The states:
{textwrap.fill(", ".join(CHOICES["state"]), 79, initial_indent="  ", subsequent_indent="  ")}
the causes:
{textwrap.fill(", ".join(CHOICES["cause"]), 79, initial_indent="  ", subsequent_indent="  ")}
"""
"""Made from the tables above, so that it says what is so."""

HELP = f"\nFILTER, words that say which runs are meant; without any, all:{_WORDS}"
"""For people."""
HELP_TO_CHANGE = f"\nFILTER, words that say which runs are meant; without any, nothing is done:{_WORDS}"
"""The same for commands that change something."""


def parse(words: Iterable[str]) -> Filter:
    """The filter that these words say.

    Raises: UsageError, naming the word and what was probably meant.
    """
    found: dict[str, list[object]] = {}
    for word in (said := _said(words)):
        if word.lower() == ALL:
            if len(said) > 1:
                raise errors.UsageError(f"{word}: stands alone; for that text: text:{word}")
            return EVERYTHING
        field, values = _term(word)
        found.setdefault(field, []).extend(values)
    for field, meaning in (("longer", max), ("shorter", min)):
        if field in found:
            found[field] = [meaning(found[field])]  # type: ignore[type-var]  # all numbers
    values_: dict[str, object] = {
        field: values[0] if field in ("longer", "shorter") else tuple(dict.fromkeys(values))
        for field, values in found.items()
    }
    if "runs" in found:
        values_["runs"] = joined(values_["runs"])  # type: ignore[arg-type]  # made by _range
    return Filter(**values_)  # type: ignore[arg-type]  # by their names


def _said(words: Iterable[str]) -> list[str]:
    """Words that say something; ``> 2 h`` is one."""
    said: list[str] = []
    for number, word in enumerate(map(str.strip, words)):
        if number >= LONGEST:
            raise errors.UsageError(f"a filter of more than {LONGEST:,} words; write ranges such as 2091-2103")
        if not word.isprintable():
            raise errors.UsageError(f"{word!a}: a filter is of what can be printed, in UTF-8")
        half = said[-1] if said and _HALF.fullmatch(said[-1]) else ""
        if half and (_SPAN.fullmatch(half + word) or (len(half) == 1 and _HALF.fullmatch(half + word))):
            said[-1] += word
        elif word:
            said.append(word)
    return said


def split(line: str) -> list[str]:
    """The words of a line as the dashboard has it; what is in quotes is one.

    Raises: UsageError.
    """
    words, word, quote, begun = [], "", "", False
    for character in line:
        if quote:
            word, quote = (word, "") if character == quote else (word + character, quote)
        elif character in "\"'":
            quote, begun = character, True
        elif character.isspace():
            words += [word] if word or begun else []
            word, begun = "", False
        else:
            word += character
    if quote:
        raise errors.UsageError(f"{line}: a quote {quote} without its end")
    return words + ([word] if word or begun else [])


def ranges(numbers: Iterable[int], most: int = 10) -> str:
    """``2091-2103 2119 and 12 more``: as a filter has them, so many at most."""
    return spans(joined((number, number) for number in numbers), most)


def spans(whole: Sequence[tuple[int, int]], most: int = 10) -> str:
    """The same of what is ranges already."""
    told = [str(first) if first == last else f"{first}-{last}" for first, last in whole[:most]]
    more = sum(last - first + 1 for first, last in whole[most:])
    return " ".join(told) + (f" and {more:,} more" if more else "")


def joined(ranges: Iterable[tuple[int, int]]) -> tuple[tuple[int, int], ...]:
    """Ranges in order, without overlap."""
    found: list[tuple[int, int]] = []
    for first, last in sorted(ranges):
        if found and first <= found[-1][1] + 1:
            found[-1] = found[-1][0], max(found[-1][1], last)
        else:
            found.append((first, last))
    return tuple(found)


def missing(ranges: Iterable[tuple[int, int]], there: Iterable[int]) -> list[tuple[int, int]]:
    """What of ranges, in order and without overlap, is not there; ``there``: in order, and in them."""
    found, numbers = [], iter(there)
    number = next(numbers, None)
    for first, last in ranges:
        begin = first
        while number is not None and number <= last:
            found += [(begin, number - 1)] if begin < number else []
            begin, number = number + 1, next(numbers, None)
        found += [(begin, last)] if begin <= last else []
    return found


def number(text: str) -> int | None:
    """A whole number as it was typed; None: it is none, or has more than nine digits."""
    return int(text) if text.isascii() and text.isdecimal() and len(text) < 10 else None


def _term(word: str) -> tuple[str, Sequence[object]]:
    """(field, values) of one word."""
    if _RUNS.fullmatch(word):
        return "runs", [_range(part) for part in re.split(r"[\s,]+", word) if part]
    if word[0] in "<>":
        return _span(word)
    keyed = _KEY.fullmatch(word)
    if keyed is None:
        return "texts", [word]
    key, rest = keyed[1].lower(), keyed[2]
    if key not in KEYS:
        near = difflib.get_close_matches(key, KEYS, 1)
        meant = (
            f"did you mean {near[0]}:?"
            if near
            else f"there are {', '.join(KEYS)}; for a text with a colon: text:{word}"
        )
        raise errors.UsageError(f"{word}: a filter has no {key}:; {meant}")
    if key == "text" and rest.strip():
        return "texts", [rest]
    values = [value for value in rest.split(",") if value.strip()]
    if not values:
        raise errors.UsageError(f"{word}: nothing after the colon")
    return KEYS[key], [_VALUES.get(key, str)(value.strip()) for value in values]


def _span(word: str) -> tuple[str, Sequence[object]]:
    found = _SPAN.fullmatch(word)
    if found is None or found[3].lower() not in UNITS:
        raise errors.UsageError(f"{word}: a time in a state is such as >2h or <30min; units: {', '.join(UNITS)}")
    seconds = float(found[2]) * UNITS[found[3].lower()]
    if seconds > LONGEST_TIME:
        raise errors.UsageError(f"{word}: longer than a century")
    return ("longer" if found[1] == ">" else "shorter"), [seconds]


def _range(text: str) -> tuple[int, int]:
    found = RANGE.fullmatch(text)
    if found is None:
        raise errors.UsageError(f"run:{text}: runs are such as 2091 or 2091-2103")
    first, last = int(found[1]), int(found[2] or found[1])
    if last < first:
        raise errors.UsageError(f"{text}: a range goes up")
    return first, last


def _known(what: str, there: Sequence[str]) -> Callable[[str], str]:
    def check(text: str) -> str:
        if text.lower() in there:
            return text.lower()
        near = difflib.get_close_matches(text.lower(), there, 1)
        meant = f"did you mean {near[0]}?" if near else f"there are {', '.join(there)}"
        raise errors.UsageError(f"{what}:{text}: no such {what}; {meant}")

    return check


def _tranche(text: str) -> int:
    if (found := number(text)) is None:
        raise errors.UsageError(f"tranche:{text}: not a whole number")
    return found


_VALUES: dict[str, Callable[[str], object]] = {
    **{key: _known(key, choices) for key, choices in CHOICES.items()},
    "tranche": _tranche,
    "run": _range,
}
