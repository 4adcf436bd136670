"""``production datasets add``: which runs there are, and what they belong to."""

from __future__ import annotations

import argparse
import csv
import functools
import os
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from production import disk, errors
from production import filter as filters
from production.cli import asking, options

if TYPE_CHECKING:
    from production.catalogue import base, sqlite

LONGEST = 10_000_000
"""Runs that one range may have: more is a slip of the finger."""
LARGEST = 1 << 30
"""Bytes of a table: ten million runs, with long names."""


def add_to(commands: argparse._SubParsersAction[options.Parser]) -> None:
    """Add the command to ``production``."""
    datasets = commands.add_parser(
        "datasets", help="say which runs there are", description="Say which runs there are, and what they belong to."
    ).add_subparsers(metavar="COMMAND", required=True)
    add = datasets.add_parser(
        "add",
        help="add runs to a dataset",
        description="Add runs to a dataset; those that are there already stay as they are. Open productions of their quality take them in.",
        epilog="A CSV file has a header line: run, dataset and, if you like, tranche, quality, geometry.",
    )
    add.add_argument("runs", metavar="FILE.csv | RANGE", nargs="+", help="a table, or runs: 2091-2103 2119-2172 2190")
    add.add_argument("--dataset", metavar="SET", help="for ranges: the dataset they are")
    add.add_argument("--tranche", metavar="N", help="for ranges: the tranche of the dataset")
    add.add_argument("--quality", metavar="Q", help="for ranges: gold (default), silver, …")
    add.add_argument("--geometry", metavar="G", help="for ranges: the geometry")
    asking.add_where(add)
    add.set_defaults(command=_add)


def _add(given: argparse.Namespace) -> int:
    path = asking.database(given)
    rows = list(_rows(given))  # all of it is read and checked before anything is touched
    with asking.catalogue(path, read_only=False) as catalogue:
        added = asking.patiently(functools.partial(_write, catalogue, rows))
    options.say(f"{added} runs added, {len(rows) - added} were there already")
    return 0


def _write(catalogue: sqlite.Database, rows: Sequence[base.DatasetRow]) -> int:
    with catalogue.write() as change:
        return change.add_runs(rows)


def _rows(given: argparse.Namespace) -> Iterator[base.DatasetRow]:
    tables = [name for name in given.runs if not filters.RANGE.fullmatch(name)]
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
    tranche = asking.whole(given.tranche, "--tranche")
    for text in given.runs:
        found = filters.RANGE.fullmatch(text)
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
    if (found := filters.number(text)) is None:
        raise errors.UsageError(f"{what} {text!r}: not a whole number")
    return found
