"""``production runs``: the table of runs, all or those that a filter means."""

from __future__ import annotations

import argparse
import dataclasses
import datetime
import heapq
import itertools
import re
import sys
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, TypeAlias

from production import errors, moment
from production import filter as filters
from production import run as runs
from production.cli import asking, options
from production.monitor import table

if TYPE_CHECKING:
    from production import facts
    from production.catalogue import sqlite

LIMIT = 1000
"""Runs that are shown unless more are asked for."""


@dataclasses.dataclass(frozen=True, slots=True)
class _Seen:
    """Where we look from."""

    now: datetime.datetime
    data: str
    """Directory of the production: files below it are told by their path from there."""
    narrow: bool
    """On a terminal that path is too long, too: by their names."""


_Cell: TypeAlias = "Callable[[facts.Row, _Seen], str]"


def _job(job: str | None) -> str:
    """Of a job of this machine the process: what else its id says is for programs."""
    return (job or "").partition("@")[0].partition(".")[0] if "@" in (job or "") else job or ""


def _message(row: facts.Row, seen: _Seen) -> str:
    text, directory = (row.cause and row.message) or row.why, f"{seen.data.rstrip('/')}/"
    if seen.narrow:
        text = re.sub(rf"{re.escape(directory)}(?:[^\s/]+/)+", "…/", text)
    return text.replace(directory, "")


_COLUMNS: dict[str, tuple[table.Column, _Cell]] = {
    "run": (table.Column("run", rank=0, right=True), lambda row, _: str(row)),
    "datasets": (table.Column("datasets", rank=6), lambda row, _: " ".join(row.datasets)),
    "state": (table.Column("state", least=9, rank=0), lambda row, _: row.state.value),
    "attempt": (table.Column("attempt", rank=4, right=True), lambda row, _: str(row.attempt or "")),
    "host": (table.Column("host", least=6, rank=4), lambda row, _: row.host or ""),
    "job": (table.Column("job", least=6, rank=5), lambda row, _: _job(row.job)),
    "since": (table.Column("since", least=7, rank=3, right=True), lambda row, seen: moment.age(row.since, seen.now)),
    "cause": (table.Column("cause", least=9, rank=1), lambda row, _: row.cause or ""),
    "message": (table.Column("message", least=20, rank=2, enough=40), _message),
    "user": (table.Column("user", rank=4), lambda row, _: row.user or ""),
    "manager": (table.Column("manager", least=8, rank=5), lambda row, _: row.manager or ""),
    "failures": (table.Column("failures", least=8, rank=5, right=True), lambda row, _: str(row.failures)),
    "priority": (table.Column("priority", least=8, rank=5, right=True), lambda row, _: str(row.priority)),
    "submitted": (table.Column("submitted", least=19, rank=5), lambda row, _: moment.shown(row.submitted)),
    "began": (table.Column("began", least=19, rank=5), lambda row, _: moment.shown(row.began)),
    "duration": (
        table.Column("duration", least=7, rank=4, right=True),
        lambda row, seen: moment.span(row.took(seen.now)),
    ),
    "not_before": (table.Column("not_before", least=19, rank=5), lambda row, _: moment.shown(row.not_before)),
    "asked_by": (table.Column("asked_by", least=8, rank=5), lambda row, _: row.asked_by or ""),
}
"""{what --columns calls it: (column, what stands in it)}."""

NAMES = tuple(_COLUMNS)

DEFAULT = "run datasets state attempt host job since cause message".split()

_STATES = {state: place for place, state in enumerate(runs.State)}

KEYS: dict[str, Callable[[facts.Row], Any]] = {
    "run": lambda row: row.run,
    "datasets": lambda row: row.datasets,
    "state": lambda row: _STATES[row.state],
    "attempt": lambda row: row.attempt,
    "since": lambda row: row.since,
    "host": lambda row: row.host or "",
    "cause": lambda row: row.cause or "",
    "user": lambda row: row.user or "",
    "failures": lambda row: row.failures,
    "priority": lambda row: row.priority,
    "submitted": lambda row: row.submitted or "",
}
"""{what --sort calls it: what is compared}."""


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
    parser.add_argument("--columns", metavar="COLUMNS", help=f"which, with commas: {', '.join(_COLUMNS)}")
    parser.add_argument(
        "--sort",
        metavar="KEY",
        help=f"by {', '.join(KEYS)}; --sort=-KEY: the other way round. Reads all runs that are meant, which are then"
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
    columns, order = _columns(given.columns), _order(given.sort)
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
                columns,
                _Seen(now, production.data, table.terminal_width() is not None),
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


def _tell(rows: Iterator[facts.Row], names: list[str], seen: _Seen, none: Callable[[], str]) -> None:
    cells = ([_COLUMNS[name][1](row, seen) for name in names] for row in rows)
    lines = table.lines([_COLUMNS[name][0] for name in names], cells, table.terminal_width())
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
    return [_known(name, list(_COLUMNS), "--columns") for name in names] or DEFAULT


def _order(text: str | None) -> _Order | None:
    if text is None:
        return None
    return _Order(KEYS[_known(text.removeprefix("-").lower(), list(KEYS), "--sort")], text.startswith("-"))


def _known(name: str, there: list[str], what: str) -> str:
    import difflib

    if name in there:
        return name
    near = difflib.get_close_matches(name, there, 1)
    meant = f"did you mean {near[0]}?" if near else f"there are {', '.join(there)}"
    raise errors.UsageError(f"{what}={name}: {meant}")
