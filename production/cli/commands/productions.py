"""``production productions``: what has been produced, by whom, and how far it is."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from production import moment
from production import run as runs
from production.cli import asking, options
from production.monitor import table

if TYPE_CHECKING:
    from production import facts
    from production.catalogue import sqlite

_COLUMNS = (
    table.Column("production", least=table.WHOLE, rank=0),
    table.Column("tag", least=6, rank=2),
    table.Column("quality", rank=6),
    table.Column("base", least=8, rank=4),
    table.Column("user", least=table.WHOLE, rank=5),
    table.Column("start", least=table.WHOLE, rank=3),
    table.Column("finished", least=table.WHOLE, rank=1, right=True),
    table.Column("failed", least=table.WHOLE, rank=1, right=True),
    table.Column("held", least=table.WHOLE, rank=2, right=True),
    table.Column("state", least=table.WHOLE, rank=0),
    table.Column("stop", least=table.WHOLE, rank=4),
    table.Column("why", least=12, rank=4),
)


def add_to(commands: argparse._SubParsersAction[options.Parser]) -> None:
    """Add the command to ``production``."""
    parser = commands.add_parser(
        "productions",
        help="all productions: tag, who opened it, how far it is",
        description="All productions, the oldest first: tag, base, who opened it and when, how far it is, who closed it and why.",
    )
    asking.add_json(parser)
    asking.add_where(parser)
    parser.set_defaults(command=_productions)


def _productions(given: argparse.Namespace) -> int:
    with asking.catalogue(asking.database(given)) as catalogue:
        answers = [_answer(catalogue, one) for one in _all(catalogue)]
    if given.json:
        asking.say_json(answers)
    elif not answers:
        options.say("no productions yet; start one with run_production --production=TYPE --new=TAG")
    else:
        asking.say_lines(table.lines(_COLUMNS, [_cells(one) for one in answers], table.terminal_width()))
    return 0


def _all(catalogue: sqlite.Database) -> list[tuple[runs.Production, facts.Opened, str | None]]:
    """Each with who opened it, and the name of its base."""
    there = catalogue.productions()
    opened = catalogue.records.opened()
    names = {one.id: one.name for one in there}
    return [(one, opened[one.id], names.get(one.base) if one.base is not None else None) for one in there]


def _answer(catalogue: sqlite.Database, one: tuple[runs.Production, facts.Opened, str | None]) -> dict[str, object]:
    production, opened, based = one
    counts = catalogue.counts(production.id)
    return asking.described(production) | {
        "base": based,
        "data": production.data,
        "user": opened.user,
        "closed_by": opened.closed_by,
        "closed_why": opened.closed_why,
        "runs": sum(counts.values()),
        "counts": {state.value: number for state, number in counts.items()},
    }


def _cells(answer: dict[str, object]) -> list[str]:
    counts = answer["counts"]
    assert isinstance(counts, dict)
    texts = {key: "" if value is None else str(value) for key, value in answer.items()}
    state = "open" if answer["stop"] is None else "finished"
    if answer["closed_by"] is not None:
        state = f"closed by {texts['closed_by']}"
    start, stop = (moment.briefly(texts[key]) for key in ("start", "stop"))
    done = [f"{counts['finished']}/{texts['runs']}", str(counts["failed"]), str(counts["held"])]
    named = [texts[key] for key in ("production", "tag", "quality", "base", "user")]
    return [*named, start, *done, state, stop, texts["closed_why"]]
