"""``production managers``: who is at work, where, and whether they are alive as far as can be told from here."""

from __future__ import annotations

import argparse
import dataclasses
import datetime
import json
from typing import TYPE_CHECKING

from production import moment
from production.cli import asking, options
from production.monitor import table

if TYPE_CHECKING:
    from production import facts

_COLUMNS = (
    table.Column("manager", least=table.WHOLE, rank=0),
    table.Column("production", least=table.WHOLE, rank=1),
    table.Column("batch", rank=5),
    table.Column("nproc", rank=6, right=True),
    table.Column("runs", rank=3, right=True),
    table.Column("start", least=7, rank=4, right=True),
    table.Column("beat", least=7, rank=2, right=True),
    table.Column("alive", least=table.WHOLE, rank=0),
    table.Column("message", least=10, rank=4),
)
MOST = 1000
"""Of all managers there ever were, so many are shown."""


def add_to(commands: argparse._SubParsersAction[options.Parser]) -> None:
    """Add the command to ``production``."""
    parser = commands.add_parser(
        "managers",
        help="who is at work, where, and whether they are alive",
        description="Who is at work, where, with how many runs, and whether they are alive as far as can be told from here.",
    )
    parser.add_argument("--all", action="store_true", help=f"also those that left or died, the newest {MOST:,}")
    asking.add_json(parser)
    asking.add_where(parser)
    parser.set_defaults(command=_managers)


def _managers(given: argparse.Namespace) -> int:
    now = datetime.datetime.now(datetime.UTC)
    chosen = asking.chosen(given)
    with asking.catalogue(options.database(chosen)) as catalogue:
        there = catalogue.records.managers(everybody=given.all, number=MOST)
    if given.json:
        asking.say_json([{"manager": str(one)} | _answer(one) for one in there])
    elif not there:
        options.say("no manager has been at work yet" if given.all else "no manager is at work; --all shows who was")
    else:
        columns = _COLUMNS if given.all else _COLUMNS[:-1]
        rows = [_cells(one, now, chosen.lease)[: len(columns)] for one in there]
        asking.say_lines(table.lines(columns, rows, table.terminal_width()))
    return 0


def _answer(one: facts.AtWork) -> dict[str, object]:
    """What stands in the database as JSON is part of ours."""
    from production.monitor import holders

    chosen = {"datasets": json.loads(one.datasets), "tranches": json.loads(one.tranches)}
    return dataclasses.asdict(one) | chosen | {"alive": holders.alive(one)}


def _cells(one: facts.AtWork, now: datetime.datetime, lease: float) -> list[str]:
    nproc = "" if one.nproc is None else str(one.nproc)
    if one.nproc_asked is not None:
        nproc = f"{nproc}, {one.nproc_asked} asked"
    times = [moment.age(one.start, now), moment.age(one.beat, now)]
    standing = _standing(one, now, lease)
    return [str(one), one.production or "", one.batch, nproc, str(one.runs), *times, standing, one.message]


def _standing(one: facts.AtWork, now: datetime.datetime, lease: float) -> str:
    """In words; ``lease``: seconds without a beat after which its claims lapse."""
    from production import process
    from production.monitor import holders

    if one.stop is not None:
        return f"left {moment.age(one.stop, now)} ago"
    if one.lapsed is not None:
        return f"found dead {moment.age(one.lapsed, now)} ago"
    alive = holders.alive(one)
    if alive is not None:
        if alive and process.seen_stopped(one.owner):
            return "stopped (Ctrl-Z?)"
        return "yes" if alive else "no, its process is gone"
    # Its beat is by its own clock, which may be wrong: it is no proof.
    return "it seems not" if one.silent(now, lease) else "it seems so"
