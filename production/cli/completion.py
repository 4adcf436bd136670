"""What a shell may complete: made from the parsers themselves, so that it knows what they know. Scripts are in ``shells``."""

from __future__ import annotations

import argparse
import dataclasses
import itertools

from production import filter as filters
from production import settings
from production.cli import options
from production.cli.checks import rounds
from production.monitor import columns

_FILES = frozenset({"DB", "FILE", "DIR", "OLD.db", "NEW.db", "FILE.csv | RANGE"})
"""What a metavar calls a path."""

_WORDS: dict[str, tuple[str, ...]] = {
    "SYSTEM": settings.BATCH_SYSTEMS,
    "KEY": tuple(columns.KEYS),
    "COLUMNS": tuple(columns.COLUMNS),
    "CHECK": tuple(check.name for check in rounds.CHECKS),
}
"""{metavar: what may stand there}."""


@dataclasses.dataclass(frozen=True, slots=True)
class Option:
    """An option, under all its names."""

    names: tuple[str, ...]
    takes: bool
    """Whether a value follows."""
    files: bool
    """Whether that is a path."""
    words: tuple[str, ...]
    """The values that there are, if they are known."""
    help: str


@dataclasses.dataclass(frozen=True, slots=True)
class Command:
    """A command, by the words that lead to it: ``("datasets", "add")``; the program itself has none."""

    path: tuple[str, ...]
    help: str
    options: tuple[Option, ...]
    commands: tuple[str, ...]
    """Those below it."""
    words: tuple[str, ...]
    """What may stand where it expects a word."""
    keys: bool
    """Whether it takes a filter."""
    files: bool


def commands(parser: argparse.ArgumentParser, path: tuple[str, ...] = (), text: str = "") -> list[Command]:
    """The parser's own entry, then those of its commands."""
    below = next((one for one in parser._actions if isinstance(one, argparse._SubParsersAction)), None)
    texts = {one.dest: one.help or "" for one in below._choices_actions} if below else {}
    names: dict[str, options.Parser] = dict(below.choices) if below else {}
    words = [one for one in parser._actions if not one.option_strings and one is not below]
    own = Command(
        path,
        text,
        tuple(_option(one) for one in parser._actions if one.option_strings and one.help != argparse.SUPPRESS),
        tuple(names),
        tuple(itertools.chain.from_iterable(map(_choices, words))),
        any(one.metavar == "FILTER" for one in words),
        any(one.metavar in _FILES for one in words),
    )
    below_it = (commands(one, (*path, name), texts.get(name, "")) for name, one in names.items())
    return [own, *itertools.chain.from_iterable(below_it)]


def _option(action: argparse.Action) -> Option:
    return Option(
        tuple(action.option_strings),
        action.nargs != 0,
        action.metavar in _FILES,
        _choices(action),
        (action.help or "").partition(";")[0].partition(" (")[0],
    )


def _choices(action: argparse.Action) -> tuple[str, ...]:
    return tuple(map(str, action.choices or ())) or _WORDS.get(str(action.metavar), ())


def keys() -> list[str]:
    """``state:`` and the like."""
    return [f"{key}:" for key in filters.KEYS]


def values() -> dict[str, tuple[str, ...]]:
    """{``state:``: what may stand behind it}."""
    return {f"{key}:": there for key, there in filters.CHOICES.items()}
