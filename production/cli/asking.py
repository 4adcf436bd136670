"""What the commands of ``production`` share: which database, which production, read-only or not; text or JSON."""

from __future__ import annotations

import argparse
import contextlib
import itertools
import json
import os
import re
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, TypeVar

from production import disk, errors
from production import filter as filters
from production import run as runs
from production.cli import door, options
from production.monitor import table

# Imported late otherwise: --help and a mistyped option shouldn't wait for the catalogue.
if TYPE_CHECKING:
    from production import facts, settings
    from production.catalogue import library, sqlite

T = TypeVar("T")

_NAME = re.compile(r"([a-z][a-z0-9_]*)_v([1-9][0-9]{0,8})")


# In this order: what it is about, a command's own, the form of the answer, where that comes from.


def add_production(parser: argparse.ArgumentParser) -> None:
    """Options of every command that is about one production."""
    parser.add_argument(
        "--production", metavar="TYPE", help="the program, or a production by its name: alcapana, alcapana_v4"
    )
    parser.add_argument("--version", metavar="N", help="which version (default: the highest)")


def add_json(parser: argparse.ArgumentParser) -> None:
    """The option of every command that answers."""
    parser.add_argument("--json", action="store_true", help="for programs: UTC instants, bytes, seconds")


def add_where(parser: argparse.ArgumentParser) -> None:
    """Options of every command that needs the database."""
    parser.add_argument("--database", metavar="DB", help="the shared database (default ~/data/production.db)")
    add_config(parser)


def add_config(parser: argparse.ArgumentParser) -> None:
    """The option of every command that needs the settings."""
    parser.add_argument("--config", metavar="FILE", help="settings for this time, above all others")


def add_filter(parser: argparse.ArgumentParser, *, to_change: bool = False) -> None:
    """Which runs are meant; to change something, that has to be said."""
    parser.add_argument("filter", metavar="FILTER", nargs="*", default=[], help="which runs; see below")
    parser.epilog = "\n\n".join(filter(None, (parser.epilog, filters.HELP_TO_CHANGE if to_change else filters.HELP)))


def chosen(given: argparse.Namespace) -> settings.Settings:
    """The settings that are meant. Raises: UsageError."""
    return options.load_settings(given.config, {"database": given.database})


def database(given: argparse.Namespace) -> str:
    """Path of the database that is meant. Raises: UsageError."""
    return options.database(chosen(given))


@contextlib.contextmanager
def catalogue(path: str, *, read_only: bool = True) -> Iterator[sqlite.Database]:
    """The database; a locked one is waited for, which is said."""
    from production.catalogue import sqlite

    door.unwind()
    try:
        opened = sqlite.Database(path, read_only=read_only, opening=1.0)
    except errors.CatalogueBusy as busy:
        print(f"production: {busy}; waiting", file=sys.stderr)
        opened = sqlite.Database(path, read_only=read_only)
    with contextlib.closing(opened):
        yield opened


def patiently(deed: Callable[[], T]) -> T:
    """Do it; while somebody else holds the database's lock, or its disk is full, that is said, and waited out."""
    told = ""
    while True:
        try:
            return deed()
        except errors.CatalogueError as trouble:
            if not trouble.transient:
                raise
            if str(trouble) != told:
                told = str(trouble)
                print(f"production: {told}; waiting", file=sys.stderr)
            time.sleep(0.5)


def production(opened: sqlite.Database, given: argparse.Namespace) -> runs.Production:
    """The production that is meant; of which program need only be said where there are several.

    Raises: UsageError.
    """
    program, version = _named(given)
    there = _there(opened)
    if program is None:
        programs = sorted({one.program for one in there})
        if len(programs) > 1:
            raise errors.UsageError(f"--production=TYPE is missing: which? There are: {', '.join(programs)}")
        program = programs[0]
    found = opened.production(program, version)
    if found is None:
        names = ", ".join(one.name for one in there)
        meant = program if version is None else f"{program}_v{version}"
        raise errors.UsageError(f"there is no production {meant}; there are: {names}")
    return found


def looked_at(opened: sqlite.Database, given: argparse.Namespace, run: int | None = None) -> runs.Production:
    """The production that is meant by who only looks: unless it is said, the newest, of those that have the run.

    Which it is, is said, but to programs, whose answer names it. Raises: UsageError.
    """
    there = _there(opened)
    if given.production is not None or len({one.program for one in there}) == 1:
        return production(opened, given)
    version = whole(given.version, "--version", least=1)
    having = there if run is None else _having(opened, there, run)
    choice = [one for one in having if version in (None, one.version)]
    if not choice:
        return production(opened, given)
    newest = max(choice, key=lambda one: one.id)
    if not getattr(given, "json", False):
        print(f"production: of {newest.name}, the newest; others: --production=TYPE", file=sys.stderr)
    return newest


def _named(given: argparse.Namespace) -> tuple[str | None, int | None]:
    """Program and version, as far as they were typed. Raises: UsageError."""
    program, version = given.production, whole(given.version, "--version", least=1)
    if program and not program.isprintable():
        raise errors.UsageError(f"--production={program!a}: no such production")
    if program and (named := _NAME.fullmatch(program)):
        if version is not None and version != int(named[2]):
            raise errors.UsageError(f"--production={program} and --version={version}: which of them?")
        return named[1], int(named[2])
    return program, version


def _there(opened: sqlite.Database) -> Sequence[runs.Production]:
    """All productions. Raises: UsageError, if there are none."""
    if there := opened.productions():
        return there
    path = os.path.basename(opened.place.path)
    raise errors.UsageError(f"{path} has no productions yet; start one with run_production --production=TYPE --new=TAG")


def _having(opened: sqlite.Database, there: Sequence[runs.Production], run: int) -> Sequence[runs.Production]:
    """Those that have a run; all, if none has."""
    names = opened.records.elsewhere(run)
    return [one for one in there if one.name in names] or there


def described(production: runs.Production) -> dict[str, object]:
    """What every answer for programs says of a production."""
    return {
        "production": production.name,
        "program": production.program,
        "version": production.version,
        "tag": production.tag,
        "quality": production.quality,
        "start": production.start,
        "stop": production.stop,
    }


def whole(text: str | None, what: str, *, least: int = 0) -> int | None:
    """A whole number that was typed, or nothing. Raises: UsageError."""
    if text is None:
        return None
    if (found := filters.number(text)) is None or found < least:
        raise errors.UsageError(f"{what}={text}: a whole number from {least}")
    return found


def say_lines(lines: Iterable[str]) -> None:
    """Lines of an answer that may be long: written as they come, many at a time."""
    lines = iter(lines)
    while block := list(itertools.islice(lines, 1000)):
        options.say("\n".join(block))


def say_json_list(answers: Iterable[object]) -> None:
    """A list for programs, that may be long: one document, an answer a line."""
    say_lines(_json_lines(answers))


def _json_lines(answers: Iterable[object]) -> Iterator[str]:
    before = "["
    for answer in answers:
        yield before + json.dumps(answer, ensure_ascii=False)
        before = ","
    yield "]" if before == "," else "[]"


def say_folded(lines: Iterable[str], indent: int | None = None) -> None:
    """Sentences for people: on a terminal long lines go on below, and what is quoted after ``|`` is cut.

    ``indent``: of what goes on below, if not 4 more than the line's own.
    """
    limit = table.terminal_width()
    printable = map(disk.printable, lines)
    if limit is None:
        say_lines(printable)
    else:
        say_lines(itertools.chain.from_iterable(_folded(line, limit, indent) for line in printable))


def _folded(line: str, limit: int, indent: int | None) -> list[str]:
    if line.lstrip().startswith("| "):
        return [table.within(line, limit)]
    return table.folded(line, limit, len(line) - len(line.lstrip()) + 4 if indent is None else indent)


def say_json(answer: object) -> None:
    """The answer for programs, one document."""
    options.say(json.dumps(answer, indent=1, ensure_ascii=False))


def seconds(text: str | None, what: str) -> float | None:
    """A time that was typed, such as 90, 5min or 2h, or nothing. Raises: UsageError."""
    if text is None:
        return None
    found = re.fullmatch(r"([0-9]+(?:\.[0-9]+)?)([a-z]*)", text)
    unit = filters.UNITS.get((found[2] or "s") if found else "")
    if found is None or unit is None:
        raise errors.UsageError(f"{what}={text}: a time such as 90, 5min or 2h")
    return float(found[1]) * unit


def run(text: str) -> int:
    """A run as it was typed. Raises: UsageError."""
    if (found := filters.number(text)) is None:
        raise errors.UsageError(f"{text}: RUN is the number of a run, such as 2091")
    return found


def row(opened: library.Library, production: runs.Production, run: int) -> facts.Row:
    """The run in this production. Raises: UsageError, with what is known of it elsewhere."""
    there = opened.records.row(production.id, run)
    if there is not None:
        return there
    elsewhere = [f"{name} ({state})" for name, state in opened.records.elsewhere(run).items()]
    if elsewhere:
        raise errors.UsageError(f"run {run} is not in {production.name}, but in {', '.join(elsewhere)}")
    member = opened.records.memberships(run)
    if not member:
        raise errors.UsageError(f"run {run} is in no dataset; add it: production datasets add {run} --dataset=SET")
    sets = ", ".join(f"{dataset} ({quality})" for dataset, _, quality in member)
    raise errors.UsageError(
        f"run {run} is in no production; it is in dataset {sets}, and {production.name} takes {production.quality} runs"
    )
