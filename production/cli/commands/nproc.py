"""``production nproc N``: how many jobs at a time a manager of yours has, while it is at work."""

from __future__ import annotations

import argparse
import functools
import time
from typing import TYPE_CHECKING

from production import clock, errors, journal, process
from production.cli import asking, options

if TYPE_CHECKING:
    from production import facts
    from production.catalogue import sqlite

MANAGERS = 10_000
"""The newest, among which one that was named is looked for."""
POLL = 0.2
"""Seconds between two looks for the answer."""


def add_to(commands: argparse._SubParsersAction[options.Parser]) -> None:
    """Add the command to ``production``."""
    command = commands.add_parser(
        "nproc",
        help="how many jobs at a time a manager of yours has",
        description="A manager of yours has so many jobs at a time from its next cycle on. No job is cancelled for a lower number: no more are sent until fewer run.",
    )
    command.add_argument("number", metavar="N", help="jobs at a time")
    asking.add_production(command)
    command.add_argument(
        "--manager", metavar="ID", help="which, as production managers names it (default: the only one of yours)"
    )
    command.add_argument("--why", metavar="TEXT", default="", help="for the record: why")
    command.add_argument("--yes", action="store_true", help="do it; else it is only said what would be done")
    command.add_argument("--wait", metavar="S", help="wait so many seconds for its answer")
    asking.add_json(command)
    asking.add_where(command)
    command.set_defaults(command=_nproc)


def _nproc(given: argparse.Namespace) -> int:
    from production import places

    nproc, wait, user = places.number(given.number), asking.seconds(given.wait, "--wait"), process.user()
    if not given.why.isprintable():
        raise errors.UsageError("--why: one line that can be printed, please")
    with asking.catalogue(asking.database(given), read_only=not given.yes) as catalogue:
        named = given.manager is not None
        production = "" if named else asking.production(catalogue, given).name
        managers = catalogue.records.managers(everybody=named, number=MANAGERS)
        manager = places.addressee(managers, production, nproc, user, given.manager)
        request = None
        if given.yes:
            now = clock.SystemClock().now()
            request = asking.patiently(functools.partial(places.ask, catalogue, manager, nproc, user, given.why, now))
        if not given.json:
            _say(catalogue, manager, nproc, yes=given.yes)
        answer = None if request is None or wait is None else _answer(catalogue, request, manager, wait)
    if given.json:
        _say_json(given, manager, nproc, request, answer)
    elif answer is not None:
        asking.say_folded([f"{manager}: {answer}"])
    return int(answer is not None and answer.startswith("no: "))


def _say(catalogue: sqlite.Database, manager: facts.AtWork, nproc: int, *, yes: bool) -> None:
    from production import places

    before = "" if manager.nproc is None else f" instead of {manager.nproc:,}"
    more = places.waits(nproc, catalogue.in_flight(manager.owner))
    asked = "asked" if yes else "would be asked"
    lines = [f"{asked}: {manager}: {journal.count(nproc, 'job')} at a time{before}, from its next cycle on{more}"]
    asking.say_folded(lines if yes else [*lines, "nothing was changed; to do it: --yes"])


def _say_json(
    given: argparse.Namespace, manager: facts.AtWork, nproc: int, request: int | None, answer: str | None
) -> None:
    asking.say_json(
        {
            "production": manager.production,
            "manager": str(manager),
            "id": manager.id,
            "nproc": nproc,
            "before": manager.nproc,
            "dry_run": not given.yes,
            "request": request,
            "answer": answer,
        }
    )


def _answer(catalogue: sqlite.Database, request: int, manager: facts.AtWork, seconds: float) -> str:
    """Raises: ProductionError, if it has not answered in time."""
    end = time.monotonic() + seconds
    while not (answers := catalogue.records.manager_answers([request])):
        if time.monotonic() > end:
            raise errors.ProductionError(
                f"{manager} has not answered within {seconds:g} s; it is written down, see production managers"
            )
        time.sleep(POLL)
    return answers[request]
