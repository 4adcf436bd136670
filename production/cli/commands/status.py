"""``production status``: how many runs are where, now or at a past instant."""

from __future__ import annotations

import argparse
import dataclasses
import datetime
import os
from collections.abc import Iterator
from typing import TYPE_CHECKING

from production import clock, errors, moment
from production import run as runs
from production.cli import asking, options

if TYPE_CHECKING:
    from production import facts
    from production.catalogue import base, sqlite
    from production.monitor import attendance


@dataclasses.dataclass(frozen=True, slots=True)
class _Asked:
    """What of the productions is asked for."""

    wanted: runs.Wanted
    at: datetime.datetime | None


def add_to(commands: argparse._SubParsersAction[options.Parser]) -> None:
    """Add the command to ``production``."""
    status = commands.add_parser(
        "status",
        help="how many runs are where, in each production",
        description="How many runs of each production are where, now or at a past instant, and for which causes runs are stuck.",
    )
    asking.add_production(status)
    status.add_argument(
        "--dataset", metavar="SET", action="append", default=[], help="only runs of this dataset; repeatable"
    )
    status.add_argument(
        "--tranche", metavar="N", action="append", default=[], help="only runs of this tranche; repeatable"
    )
    status.add_argument("--at", metavar="TIME", help=f"as it was then: {moment.WAYS}")
    asking.add_json(status)
    asking.add_where(status)
    status.set_defaults(command=_status)


def _status(given: argparse.Namespace) -> int:
    chosen = asking.chosen(given)
    asked, path = _asked(given), options.database(chosen)
    with asking.catalogue(path) as catalogue:
        _check_datasets(catalogue, asked.wanted)
        productions = catalogue.productions()
        if productions and (given.production or given.version):
            productions = [asking.production(catalogue, given)]
        opened = catalogue.records.opened() if catalogue.is_current() else {}
        present = _present(catalogue, productions, asked, chosen.lease)
        if given.json:
            asking.say_json(
                [_answer(catalogue, one, opened.get(one.id), asked, present.get(one.id)) for one in productions]
            )
        elif not productions:
            name = os.path.basename(path)
            asking.say_folded(
                [f"{name}: no productions yet; start one with run_production --production=TYPE --new=TAG"]
            )
        else:
            for one in productions:
                asking.say_folded(_lines(catalogue, one, opened.get(one.id), asked))
                asking.say_folded(_ailing(catalogue, one, asked, present.get(one.id)))
    return 0


def _asked(given: argparse.Namespace) -> _Asked:
    tranches = [asking.whole(tranche, "--tranche") or 0 for tranche in given.tranche]
    wanted = runs.Wanted(tuple(given.dataset), tuple(tranches))
    if given.at is None:
        return _Asked(wanted, None)
    if wanted != runs.EVERYTHING:
        raise errors.UsageError(
            "--at counts all runs of a production, as nobody knows when one came into a dataset: leave out "
            "--dataset and --tranche"
        )
    return _Asked(wanted, moment.parse(given.at, datetime.datetime.now(datetime.UTC), "--at"))


def _check_datasets(catalogue: sqlite.Database, wanted: runs.Wanted) -> None:
    there = catalogue.records.datasets() if wanted.datasets else []
    for name in wanted.datasets:
        if name not in there:
            raise errors.UsageError(f"--dataset={name}: no such dataset; there are: {', '.join(there) or 'none'}")


def _counts(catalogue: sqlite.Database, production: runs.Production, asked: _Asked) -> dict[runs.State, int]:
    if asked.at is not None:
        return catalogue.records.counts_at(production.id, asked.at)
    return catalogue.counts(production.id, asked.wanted)


def _open(production: runs.Production, at: datetime.datetime | None) -> bool:
    return production.stop is None or (at is not None and clock.text(at) < production.stop)


def _stuck(catalogue: sqlite.Database, production: runs.Production, asked: _Asked) -> list[base.Stuck] | None:
    """None: of a past instant, of some runs, in a database of an earlier version, it is not counted by cause."""
    if asked.at is None and asked.wanted == runs.EVERYTHING and catalogue.is_current():
        return catalogue.causes(production.id)
    return None


def _present(
    catalogue: sqlite.Database, productions: list[runs.Production], asked: _Asked, lease: float
) -> dict[int, attendance.Attendance]:
    """{production: who is at work on it}; of a past instant, in a database of an earlier version nobody knows."""
    if asked.at is not None or not catalogue.is_current():
        return {}
    from production.monitor import attendance

    there, now = catalogue.records.managers(), datetime.datetime.now(datetime.UTC)
    return {one.id: attendance.look(there, one.name, lease, now) for one in productions}


def _answer(
    catalogue: sqlite.Database,
    production: runs.Production,
    opened: facts.Opened | None,
    asked: _Asked,
    present: attendance.Attendance | None,
) -> dict[str, object]:
    stuck = _stuck(catalogue, production, asked)
    return asking.described(production) | {
        "base_version": production.base_version,
        "open": _open(production, asked.at),
        "closed_by": opened and opened.closed_by,
        "closed_why": opened and opened.closed_why,
        "at": None if asked.at is None else clock.text(asked.at),
        "datasets": asked.wanted.datasets,
        "tranches": asked.wanted.tranches,
        "counts": {state.value: number for state, number in _counts(catalogue, production, asked).items()},
        "stuck": None if stuck is None else [dataclasses.asdict(one) for one in stuck],
        "last_words": None if asked.at else catalogue.last_words(production.id),
        "managers": None if present is None else present.described(),
    }


def _lines(
    catalogue: sqlite.Database, production: runs.Production, opened: facts.Opened | None, asked: _Asked
) -> Iterator[str]:
    from production.cli import terminal

    base_ = f", on v{production.base_version} of its base" if production.base_version else ""
    name = f"{terminal.named(production, asked.wanted)} ({production.tag}, {production.quality}{base_})"
    if asked.at is not None and clock.text(asked.at) < production.start:
        yield f"{name}: not begun at {moment.shown(clock.text(asked.at))}, but {moment.shown(production.start)}"
        return
    state = "open" if _open(production, asked.at) else "closed" if opened and opened.closed_by else "finished"
    then = "" if asked.at is None else f" at {moment.shown(clock.text(asked.at))}"
    yield f"{name}: {state}{then}: {terminal.summary(_counts(catalogue, production, asked))}"
    for stuck in _stuck(catalogue, production, asked) or ():
        yield from (f"  {line}" for line in terminal.stuck(stuck))
    words = "" if production.stop or asked.at else catalogue.last_words(production.id)
    if words not in ("", "done", "stopped"):
        yield f"  its last manager stopped: {words}"


def _ailing(
    catalogue: sqlite.Database, production: runs.Production, asked: _Asked, present: attendance.Attendance | None
) -> Iterator[str]:
    """What ails the managers, while they have something to do."""
    counts = catalogue.counts(production.id)  # of all: chosen ones would have to be counted once more
    if present is None or production.stop or not sum(counts[state] for state in (runs.State.NEW, *runs.IN_FLIGHT)):
        return
    from production.monitor import attendance

    chosen = asked.wanted != runs.EVERYTHING  # the run might not be among these
    living = [one.id for one in present.living]
    stranded = None if chosen else catalogue.records.stranded(production.id, living)
    yield from (f"  {line}" for line in attendance.lines(present, production, stranded))
