"""``production why RUN``: one line a layer, and what will happen next."""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import shutil
import time
from typing import TYPE_CHECKING

from production import clock, disk, errors, process, settings
from production import run as runs
from production.cli import asking, options

if TYPE_CHECKING:
    from production import facts
    from production.catalogue import sqlite
    from production.monitor import why

PATIENCE = 10.0
"""Seconds that a quota or a batch system may take to answer."""


def add_to(commands: argparse._SubParsersAction[options.Parser]) -> None:
    """Add the command to ``production``."""
    command = commands.add_parser(
        "why",
        help="why a run is where it is, and what will be next",
        description="Why a run is where it is: what every layer says that it meets, and what will happen next, and when.",
    )
    command.add_argument("run", metavar="RUN", help="its number")
    asking.add_production(command)
    asking.add_json(command)
    asking.add_where(command)
    command.set_defaults(command=_command)


def _command(given: argparse.Namespace) -> int:
    from production.monitor import why

    number = asking.run(given.run)
    chosen = asking.chosen(given)
    with asking.catalogue(options.database(chosen)) as catalogue:
        production = asking.production(catalogue, given)
        row = asking.row(catalogue, production, number)
        known = _known(catalogue, chosen, production, row)
    lines = why.explain(known)
    if given.json:
        answer = {"production": production.name, "run": row.run, "state": row.state, "since": row.since}
        asking.say_json(answer | {"layers": [dataclasses.asdict(line) for line in lines]})
        return 0
    options.say(disk.printable(why.headline(known)))
    width = max(len(line.layer) for line in lines)
    for line in lines:
        options.say(f"  {line.layer:{width}}  {disk.printable(line.text)}")
    return 0


def _known(
    catalogue: sqlite.Database, chosen: settings.Settings, production: runs.Production, row: facts.Row
) -> why.Known:
    from production.monitor import why

    records, now = catalogue.records, clock.SystemClock().now()
    managers = [one for one in records.managers() if one.production == production.name]
    attempts = records.attempts(production.id, row.run)
    room, full = _room(chosen, production, row)
    program = chosen.programs.get(production.program)
    return why.Known(
        now=now,
        production=production,
        opened=records.opened()[production.id],
        row=row,
        attempts=attempts,
        inputs=records.inputs(production.id, row.run),
        requests=records.requests(production.id, row.run),
        outputs=records.outputs(production.id, row.run),
        managers=managers,
        dead=frozenset(one.id for one in managers if process.seen_dead(one.owner)),
        in_hand=records.hands(production.id),
        lease=chosen.lease,
        limit=program.retry.limit if program else settings.Retry().limit,
        base=_base(catalogue, production, row),
        ahead=records.ahead(production.id, row, now) if row.state is runs.State.NEW else None,
        last_words=catalogue.last_words(production.id),
        datasets=frozenset((name, tranche) for name, tranche, _ in records.memberships(row.run)),
        room=room,
        full=full,
        job=_job(chosen.batch, attempts[-1]) if attempts and row.state is runs.State.SUBMITTED else "",
        touch=_waits_for(managers, row),
    )


def _base(
    catalogue: sqlite.Database, production: runs.Production, row: facts.Row
) -> tuple[runs.Production, facts.Row] | None:
    base = next((one for one in catalogue.productions() if one.id == production.base), None)
    run = catalogue.records.row(base.id, row.run) if base else None
    return (base, run) if base and run else None


def _waits_for(managers: list[facts.AtWork], row: facts.Row) -> str:
    """Whose files an ended job wrote, if not those of its manager's user."""
    owner = next((one for one in managers if one.id == row.owner), None)
    other = row.state is runs.State.ENDED and owner is not None and row.user not in (None, owner.user)
    return str(row.user) if other else ""


def _room(chosen: settings.Settings, production: runs.Production, row: facts.Row) -> tuple[str, bool]:
    """What the quota says of runs that need room, and whether it says no."""
    if row.state not in (runs.State.NEW, runs.State.CLAIMED, runs.State.STAGED):
        return "", False
    from production import room
    from production.transfer import quota

    end = time.monotonic() + PATIENCE
    with contextlib.closing(quota.of(chosen.quota, production.data, clock.SystemClock())) as gauge:
        try:
            while (reading := gauge.reading()) is None and time.monotonic() < end:
                time.sleep(0.02)
        except (errors.QuotaUnread, OSError) as trouble:
            return f"can't be read, so nothing new is staged: {trouble}", True
    if reading is None:
        return f"no answer for {PATIENCE:.0f} s; nothing new is staged until there is one", True
    most = room.within(reading.limit, chosen.spacelim)
    full = reading.used >= most
    told = f"{room.shown(reading.used)} used of {room.shown(most)} that spacelim allows"
    return told + (": full, nothing new is staged or submitted" if full else ""), full


def _job(batch: settings.Batch, attempt: facts.Attempt) -> str:
    """What the batch system says of a job, in its own words; only looked at."""
    if attempt.batch == "local":
        return _local_job(attempt)
    from production.cli import wiring

    if attempt.batch not in wiring.CLIENTS or shutil.which(wiring.CLIENTS[attempt.batch][1]) is None:
        return f"{attempt.batch} can't be asked from here"
    try:
        with contextlib.closing(wiring.client(batch, str(attempt.batch), PATIENCE)) as client:
            seen = client.list({attempt.user}).get(attempt.job or "")
            if seen is None:
                return "it isn't listed (any more); its witness or the accounting will tell"
            reason = seen.report.reason or client.reason(attempt.job or "")
    except errors.BatchError as trouble:
        return f"no answer: {trouble}"
    where = f" on {seen.report.host}" if seen.report.host else ""
    return f"{seen.report.phase}{where}" + (f" ({reason})" if reason else "")


def _local_job(attempt: facts.Attempt) -> str:
    from production.batch import process as processes

    identity = processes.parse(attempt.job or "")
    if identity is None or identity.host != process.host():
        return f"of {identity.host if identity else 'another machine'}: it can't be seen from here"
    return (
        "runs here"
        if identity.of_this_boot() and identity.state() not in ("", "Z")
        else "has ended; its witness tells how"
    )
