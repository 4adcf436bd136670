"""``production``: the command for setting a campaign up and asking how it goes."""

from __future__ import annotations

import argparse
import csv
import functools
import os
import re
import sys
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import production
from production import clock, disk, errors
from production.cli import archive, door, options

# Imported late otherwise: --help and a mistyped option shouldn't wait for the catalogue.
if TYPE_CHECKING:
    from production.catalogue import base, sqlite

_RANGE = re.compile(r"([0-9]{1,9})(?:-([0-9]{1,9}))?")

LONGEST = 10_000_000
"""Runs that one range may have: more is a slip of the finger."""
LARGEST = 1 << 30
"""Bytes of a table: ten million runs, with long names."""


def _parser() -> options.Parser:
    parser = options.Parser(prog="production", description="Set up a production database, and ask how it goes.")
    parser.add_argument(
        "--version", action="version", version=f"run_production {production.__version__}", help="of this software"
    )
    commands = parser.add_subparsers(metavar="COMMAND", required=True, parser_class=options.Parser)
    init = commands.add_parser("init", help="make a new, empty database")
    init.add_argument(
        "file",
        metavar="DB",
        nargs="?",
        help="the file to make (default: the settings' database, ~/data/production.db if they have none);"
        " an existing one is never touched",
    )
    init.set_defaults(command=_init)
    datasets = commands.add_parser("datasets", help="the runs there are").add_subparsers(
        metavar="COMMAND", required=True
    )
    add = datasets.add_parser(
        "add",
        help="add runs to a dataset",
        description="Add runs; those that are there already stay as they are.",
        epilog="A CSV file has a header line: run, dataset and, if you like, tranche, quality, geometry.",
    )
    add.add_argument("runs", metavar="FILE.csv | RANGE", nargs="+", help="a table, or runs: 2091-2103 2119-2172 2190")
    add.add_argument("--dataset", metavar="SET", help="for ranges: the dataset they are")
    add.add_argument("--tranche", metavar="N", help="for ranges: the tranche of the dataset")
    add.add_argument("--quality", metavar="Q", help="for ranges: gold (default), silver, …")
    add.add_argument("--geometry", metavar="G", help="for ranges: the geometry")
    add.set_defaults(command=_add)
    status = commands.add_parser("status", help="how many runs are where, in each production")
    status.set_defaults(command=_status)
    archive.add_to(commands)
    for command in (add, status):
        command.add_argument("--database", metavar="DB", help="the shared database (default ~/data/production.db)")
    for command in (init, add, status):
        command.add_argument("--config", metavar="FILE", help="settings file")
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """The command; returns its exit code."""
    return options.ending("production", _command, arguments)


def _command(arguments: Sequence[str]) -> int:
    parser = _parser()
    if not arguments:
        parser.print_help()
        return 0
    try:
        given = parser.parse_args(arguments)
    except SystemExit as end:  # argparse's own --help, and --version
        return int(end.code or 0)
    code: int = given.command(given)
    return code


def _database(given: argparse.Namespace) -> str:
    return options.database(options.load_settings(given.config, {"database": given.database}))


def _opened(path: str, *, read_only: bool = False) -> sqlite.Database:
    from production.catalogue import sqlite

    door.unwind()
    try:
        return sqlite.Database(path, read_only=read_only, opening=1.0)
    except errors.CatalogueBusy as busy:
        print(f"production: {busy}; waiting", file=sys.stderr)
        return sqlite.Database(path, read_only=read_only)


def _init(given: argparse.Namespace) -> int:
    from production.catalogue import sqlite

    door.unwind()
    path = options.load_settings(given.config, {}).database if given.file is None else given.file
    sqlite.create(path, clock.SystemClock().now())
    options.say(f"made {path}; next: production datasets add --help")
    return 0


def _add(given: argparse.Namespace) -> int:
    path = _database(given)
    rows = list(_rows(given))  # all of it is read and checked before anything is touched
    catalogue = _opened(path)
    try:
        with catalogue.write() as change:
            added = change.add_runs(rows)
    finally:
        catalogue.close()
    options.say(f"{added} runs added, {len(rows) - added} were there already")
    return 0


def _rows(given: argparse.Namespace) -> Iterator[base.DatasetRow]:
    tables = [name for name in given.runs if not _RANGE.fullmatch(name)]
    if not tables:
        yield from _ranges(given)
        return
    if not os.path.exists(tables[0]):
        table = tables[0].endswith(".csv") or os.path.dirname(tables[0])
        what = " is not there" if table else ": neither a CSV file nor runs such as 2091-2103 2119"
        raise errors.UsageError(f"{tables[0]}{what}")
    if len(given.runs) > 1:
        wrong = tables[0] if not tables[0].endswith(".csv") else given.runs[1]
        raise errors.UsageError(f"{wrong}: give one CSV file, or ranges such as 2091-2103 2119")
    if given.dataset or given.tranche or given.quality or given.geometry:
        raise errors.UsageError(
            f"{tables[0]} says datasets itself: leave out --dataset, --tranche, --quality, --geometry"
        )
    yield from _table(tables[0])


def _ranges(given: argparse.Namespace) -> Iterator[base.DatasetRow]:
    from production.catalogue import base

    if not given.dataset or not given.dataset.strip():
        raise errors.UsageError("ranges need --dataset=SET: which dataset are these runs?")
    tranche = None if given.tranche is None else _number(given.tranche, "--tranche")
    for text in given.runs:
        found = _RANGE.fullmatch(text)
        assert found  # seen in _rows
        first, last = int(found[1]), int(found[2] or found[1])
        if last < first or last - first >= LONGEST:
            raise errors.UsageError(f"{text}: a range goes up, by at most {LONGEST:,} runs")
        for run in range(first, last + 1):
            yield _printable(
                text, base.DatasetRow(run, given.dataset, tranche, given.quality or "gold", given.geometry)
            )


def _table(path: str) -> Iterator[base.DatasetRow]:
    try:
        with disk.reading(path) as (descriptor, status):
            if status.st_size > LARGEST:
                raise errors.UsageError(f"{path}: more than {LARGEST >> 20} MB; is this really a table of runs?")
            with open(descriptor, encoding="utf-8-sig", newline="", closefd=False) as file:
                # A line without an end is refused before it fills the memory.
                reader = csv.DictReader(iter(functools.partial(file.readline, 1 << 20), ""))
                _check_header(path, reader.fieldnames or ())
                for row in reader:
                    yield _row(f"{path}:{reader.line_num}", row)
    except disk.Trouble as cause:
        raise errors.UsageError(f"{cause}; give a CSV file, or runs such as 2091-2103") from cause
    except OSError as cause:
        raise errors.UsageError(str(disk.Trouble("read", path, cause))) from cause
    except (UnicodeDecodeError, csv.Error) as cause:
        raise errors.UsageError(f"{path}: not a CSV text in UTF-8; mend: iconv -f latin1 -t utf8") from cause


def _check_header(path: str, names: Sequence[str]) -> None:
    columns = ("run", "dataset", "tranche", "quality", "geometry")
    unknown = [str(name) for name in names if name not in columns]
    twice = [name for name in columns if names.count(name) > 1]
    if twice:
        raise errors.UsageError(f"{path}:1: the column {twice[0]} stands there twice")
    if unknown or not {"run", "dataset"} <= set(names):
        raise errors.UsageError(
            f"{path}:1: the header must have run and dataset, and may have tranche, quality, geometry"
            + (f"; {unknown[0]!r} is none of them" if unknown else "")
        )


def _row(where: str, row: dict[str, str | None]) -> base.DatasetRow:
    from production.catalogue import base

    if None in row or None in row.values():
        raise errors.UsageError(f"{where}: not as many fields as the header has")
    text = {name: (value or "").strip() for name, value in row.items()}
    if not text["dataset"]:
        raise errors.UsageError(f"{where}: dataset is empty")
    tranche = _number(text["tranche"], f"{where}: tranche") if text.get("tranche") else None
    run = _number(text["run"], f"{where}: run")
    quality, geometry = text.get("quality") or "gold", text.get("geometry") or None
    return _printable(where, base.DatasetRow(run, text["dataset"], tranche, quality, geometry))


def _printable(where: str, row: base.DatasetRow) -> base.DatasetRow:
    for name in ("dataset", "quality", "geometry"):
        value = getattr(row, name)
        if value and not value.isprintable():
            raise errors.UsageError(f"{where}: {name} {value!a}: a name that can be printed, in UTF-8, please")
    return row


def _number(text: str, what: str) -> int:
    if not (text.isascii() and text.isdecimal() and len(text) < 10):
        raise errors.UsageError(
            f"{what}={text}: not a whole number" if what.startswith("--") else f"{what} {text!r}: not a whole number"
        )
    return int(text)


def _status(given: argparse.Namespace) -> int:
    from production.cli import terminal

    path = _database(given)
    catalogue = _opened(path, read_only=True)
    try:
        productions = catalogue.productions()
        if not productions:
            options.say(
                f"{os.path.basename(path)}: no productions yet; start one with run_production --production=TYPE --new=TAG"
            )
        for production in productions:
            base_ = f", on v{production.base_version} of its base" if production.base_version else ""
            state = "finished" if production.stop else "open"
            counts = terminal.summary(catalogue.counts(production.id))
            options.say(f"{production.name} ({production.tag}, {production.quality}{base_}): {state}: {counts}")
            for stuck in catalogue.causes(production.id):
                for line in terminal.stuck(stuck):
                    options.say(f"  {line}")
            words = "" if production.stop else catalogue.last_words(production.id)
            if words not in ("", "done", "stopped"):
                options.say(f"  its last manager stopped: {disk.printable(words)}")
    finally:
        catalogue.close()
    return 0
