"""``production runs``: the table of runs, all or those that a filter means."""

from __future__ import annotations

import argparse
import dataclasses
import datetime
import heapq
import itertools
import sys
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

from production import errors
from production import filter as filters
from production import run as runs
from production.cli import asking, options
from production.monitor import columns, table

if TYPE_CHECKING:
    from production import facts
    from production.catalogue import sqlite

LIMIT = 1000
"""Runs that are shown unless more are asked for."""


DEFAULT = "run datasets state attempt host job since cause message".split()


@dataclasses.dataclass(frozen=True, slots=True)
class _Order:
    key: Callable[[facts.Row], Any]
    down: bool


def add_to(commands: argparse._SubParsersAction[options.Parser]) -> None:
    """Add the command to ``production``."""
    parser = commands.add_parser(
        "runs",
        help="the table of runs: all, or those that a filter means",
        description="The table of runs of a production, by number: all, or those that a filter means.",
    )
    asking.add_filter(parser)
    asking.add_production(parser)
    parser.add_argument("--columns", metavar="COLUMNS", help=f"which, with commas: {', '.join(columns.COLUMNS)}")
    parser.add_argument(
        "--sort",
        metavar="KEY",
        help=f"by {', '.join(columns.KEYS)}; --sort=-KEY: the other way round. Reads all runs that are meant, which are then"
        " limited: with a million that takes a quarter of a minute (default: by run)",
    )
    parser.add_argument("--limit", metavar="N", help=f"show so many at most; 0: all (default {LIMIT})")
    asking.add_json(parser)
    asking.add_where(parser)
    parser.set_defaults(command=_runs)


def _runs(given: argparse.Namespace) -> int:
    wanted = filters.parse(given.filter)
    limit = asking.whole(given.limit, "--limit")
    limit = LIMIT if limit is None else limit
    names, order = _columns(given.columns), _order(given.sort)
    now = datetime.datetime.now(datetime.UTC)
    with asking.catalogue(asking.database(given)) as catalogue:
        production = asking.looked_at(catalogue, given)
        rows = _in_order(catalogue.records.select(production.id, wanted, now), order, limit)
        shown = itertools.islice(rows, limit) if limit else rows
        if given.json:
            asking.say_json_list({"production": production.name} | dataclasses.asdict(row) for row in shown)
        else:
            _tell(
                shown,
                names,
                columns.Seen(now, production.data, table.terminal_width() is not None),
                lambda: _none(catalogue, production, wanted),
            )
        more = limit and next(rows, None) is not None
    if more:
        print("production: there are more; --limit=0 shows all", file=sys.stderr)
    return 0


def _in_order(rows: Iterator[facts.Row], order: _Order | None, limit: int) -> Iterator[facts.Row]:
    """All, or the first ones and one more; a million rows at a time would not fit into the memory."""
    if order is None:
        return rows
    if not limit:
        return iter(sorted(rows, key=order.key, reverse=order.down))
    first = heapq.nlargest if order.down else heapq.nsmallest
    return iter(first(limit + 1, rows, key=order.key))


def _tell(rows: Iterator[facts.Row], names: list[str], seen: columns.Seen, none: Callable[[], str]) -> None:
    cells = ([columns.COLUMNS[name][1](row, seen) for name in names] for row in rows)
    lines = table.lines([columns.COLUMNS[name][0] for name in names], cells, table.terminal_width())
    first = next(lines, None)
    if first is None:
        options.say(none())
    else:
        asking.say_lines(itertools.chain([first], lines))


def _none(catalogue: sqlite.Database, production: runs.Production, wanted: filters.Filter) -> str:
    """What is said when nothing matches."""
    number = sum(catalogue.counts(production.id).values())
    if wanted == filters.EVERYTHING:
        return f"{production.name} has no runs"
    said = f"no run of {production.name} is meant by that; it has {number:,}"
    for what, names, known in (
        ("dataset", wanted.datasets, catalogue.records.datasets),
        ("host", wanted.hosts, lambda: catalogue.records.hosts(production.id)),
        ("quality", wanted.qualities, lambda: sorted(catalogue.selections()[2])),
    ):
        there = known() if names else []
        if strange := [name for name in names if name not in there]:
            return f"{said}; there is no {what} {', '.join(strange)}, but {', '.join(there) or 'none at all'}"
    return said


def _columns(text: str | None) -> list[str]:
    names = DEFAULT if text is None else [name.strip().lower() for name in text.split(",") if name.strip()]
    return [_known(name, list(columns.COLUMNS), "--columns") for name in names] or DEFAULT


def _order(text: str | None) -> _Order | None:
    if text is None:
        return None
    return _Order(
        columns.KEYS[_known(text.removeprefix("-").lower(), list(columns.KEYS), "--sort")], text.startswith("-")
    )


def _known(name: str, there: list[str], what: str) -> str:
    import difflib

    if name in there:
        return name
    near = difflib.get_close_matches(name, there, 1)
    meant = f"did you mean {near[0]}?" if near else f"there are {', '.join(there)}"
    raise errors.UsageError(f"{what}={name}: {meant}")
