"""``production why RUN``: one line a layer, and what will happen next."""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import os
import shutil
import time
from typing import TYPE_CHECKING

from production import clock, errors, process, settings
from production import run as runs
from production.cli import asking, options

if TYPE_CHECKING:
    from production import facts
    from production.catalogue import library
    from production.monitor import known as knowns

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
        production = asking.looked_at(catalogue, given, number)
        row = asking.row(catalogue, production, number)
        found = gather(catalogue, chosen, production, row)
    lines = why.explain(found)
    if given.json:
        answer = {"production": production.name, "run": row.run, "state": row.state, "since": row.since}
        asking.say_json(answer | {"layers": [dataclasses.asdict(line) for line in lines]})
        return 0
    asking.say_folded([why.headline(found)])
    width = max(len(line.layer) for line in lines)
    asking.say_folded((f"  {line.layer:{width}}  {line.text}" for line in lines), width + 4)
    return 0


def gather(
    catalogue: library.Library, chosen: settings.Settings, production: runs.Production, row: facts.Row
) -> knowns.Known:
    """All that is known of the run; its batch system and the quota are asked, which may take seconds."""
    from production.monitor import known as knowns

    records, now = catalogue.records, clock.SystemClock().now()
    managers = _managers(catalogue, production, row)
    attempts = records.attempts(production.id, row.run)
    inputs = records.inputs(production.id, row.run)
    outputs = records.outputs(production.id, row.run)
    quota, no_room = _room(chosen, production, row)
    job, pending = "", False
    if attempts and row.state is runs.State.SUBMITTED:
        job, pending = _job(chosen.batch, attempts[-1])
    program = chosen.programs.get(production.program)
    found = knowns.Known(
        now=now,
        production=production,
        opened=records.opened()[production.id],
        row=row,
        attempts=attempts,
        inputs=inputs,
        requests=records.requests(production.id, row.run),
        outputs=outputs,
        managers=managers,
        lease=chosen.lease,
        limit=program.retry.limit if program else settings.Retry().limit,
        in_hand=records.hands(production.id),
        dead=frozenset(one.id for one in managers if process.seen_alive(one.owner) is False),
        asleep=frozenset(one.id for one in managers if process.seen_stopped(one.owner)),
        brakes=_brakes(catalogue, chosen, managers) if row.state is runs.State.NEW else {},
        base=_base(catalogue, production, row),
        last_words=catalogue.last_words(production.id),
        datasets=frozenset((name, tranche) for name, tranche, _ in records.memberships(row.run)),
        transfers={one.path: records.ordered_with(one.path) for one in inputs if one.begun is not None},
        at_a_time=chosen.archive.transfers,
        fetched_by=_fetched_by(chosen.batch, production, managers, row),
        tapes=production.base is None and _recalls(chosen.archive),
        quota=quota,
        no_room=no_room,
        job=job,
        pending=pending,
        end=_end(chosen.batch, managers, row, attempts),
        may_take=_may_take(attempts),
        touch=_waits_for(managers, row),
        files=_files(outputs) if row.state is runs.State.FINISHED else {},
    )
    if not found.choices or row.state is not runs.State.NEW:
        return found
    ahead, counted = records.ahead(production.id, row, found.choices, now)
    return dataclasses.replace(found, ahead=ahead, counted=counted)


def _managers(catalogue: library.Library, production: runs.Production, row: facts.Row) -> list[facts.AtWork]:
    """Those of the production that have not left; and the run's owner, though it may have."""
    found = [one for one in catalogue.records.managers() if one.production == production.name]
    if row.owner is not None and row.owner not in {one.id for one in found}:
        found += [one for one in catalogue.records.managers(everybody=True) if one.id == row.owner]
    return found


def _fetched_by(
    batch: settings.Batch, production: runs.Production, managers: list[facts.AtWork], row: facts.Row
) -> str:
    """The command elsewhere that brings its input, by our settings, if its manager's jobs go where they say."""
    there = any(one.id == row.owner and one.batch == batch.name for one in managers)
    if not there or batch.stage != "remote" or production.base is not None:
        return ""
    return f"{batch.fetching} runs on {batch.host}"


def _recalls(archive: settings.Archive) -> bool:
    """Whether files are ordered from tape there."""
    return archive.url.lower().startswith(("ftp:", "ftps:")) and bool(archive.stage)


def _brakes(
    catalogue: library.Library, chosen: settings.Settings, managers: list[facts.AtWork]
) -> dict[int, str]:  # fmt: skip
    """{manager: why it takes nothing more}; by our settings, which are those of all who work in this directory."""
    from production import brake

    number = chosen.consecutive
    found = {one.id: brake.alike(catalogue.last_ends(one.owner, number), number) for one in managers}
    return {id_: text for id_, text in found.items() if text}


def _files(outputs: list[facts.Written]) -> dict[str, int | None]:
    """{path: bytes, or None if nothing is there}; what may not be looked at is left out."""
    found: dict[str, int | None] = {}
    for one in outputs:
        with contextlib.suppress(OSError):
            try:
                found[one.path] = os.stat(one.path).st_size
            except (FileNotFoundError, NotADirectoryError):
                found[one.path] = None
    return found


def _base(
    catalogue: library.Library, production: runs.Production, row: facts.Row
) -> tuple[runs.Production, facts.Row] | None:
    base = next((one for one in catalogue.productions() if one.id == production.base), None)
    run = catalogue.records.row(base.id, row.run) if base else None
    return (base, run) if base and run else None


def _waits_for(managers: list[facts.AtWork], row: facts.Row) -> str:
    """Whose files an ended job wrote, if not those of its manager's user."""
    owner = next((one for one in managers if one.id == row.owner), None)
    other = row.state is runs.State.ENDED and owner is not None and row.user not in (None, owner.user)
    return str(row.user) if other else ""


def _end(chosen: settings.Batch, managers: list[facts.AtWork], row: facts.Row, attempts: list[facts.Attempt]) -> str:
    """How its job is ended by the user whose it is, if that is not its manager's."""
    owner = next((one for one in managers if one.id == row.owner), None)
    if row.state is not runs.State.SUBMITTED or owner is None or row.user in (None, owner.user):
        return ""
    from production.cli import wiring

    system = attempts[-1].batch
    known = str(system).partition("@")[0] in settings.BATCH_SYSTEMS
    return wiring.by_hand(chosen, str(system), row.job or "") if known else "by hand"


def _may_take(attempts: list[facts.Attempt]) -> float | None:
    from production.catalogue import reading

    asked = reading.read_resources(attempts[-1].resources) if attempts and attempts[-1].batch == "local" else None
    return asked.time if asked else None


def _room(chosen: settings.Settings, production: runs.Production, row: facts.Row) -> tuple[str, str]:
    """What the quota says of runs that need room; and what has to be before it lets them have any."""
    hungry = row.state in (runs.State.CLAIMED, runs.State.STAGED)
    if not hungry and (row.state is not runs.State.NEW or production.stop is not None):
        return "", ""
    from production import room
    from production.cli import depots
    from production.transfer import quota

    end = time.monotonic() + PATIENCE
    there = depots.place(chosen.batch, chosen.batch.remote_data) if chosen.batch.remote_data else None
    with contextlib.closing(quota.of(chosen.quota, production.data, clock.SystemClock(), there)) as gauge:
        try:
            while (reading := gauge.reading()) is None and time.monotonic() < end:
                time.sleep(0.02)
        except (errors.QuotaUnread, OSError) as trouble:
            return f"can't be read, so nothing new is staged: {trouble}", "the quota can be read again"
    if reading is None:
        return f"no answer in {PATIENCE:.0f} s; a manager waits longer for it", ""
    most = room.within(reading.limit, chosen.spacelim)
    told = f"{room.shown(reading.used)} used of {room.shown(most)} that spacelim allows"
    if reading.used < most:
        return told, ""
    mend = "remove something there, or raise the limit or spacelim"
    return f"{told}: full, nothing new is staged or submitted; {mend}", "there is room on the disk again"


def _job(batch: settings.Batch, attempt: facts.Attempt) -> tuple[str, bool]:
    """What the batch system says of a job, in its own words, and whether that is that it waits; only looked at."""
    if attempt.batch == "local":
        return _local_job(attempt), False
    from production.batch import base as batches
    from production.cli import remote, wiring

    asked = batch.called(str(attempt.batch))
    clients = wiring.CLIENTS.get(asked.system)
    if clients is None or (not asked.host and shutil.which(clients[1]) is None):
        return f"{attempt.batch} can't be asked from here", False
    try:
        with contextlib.closing(wiring.client(asked, PATIENCE)) as client:
            seen = client.list({remote.account(asked, attempt.user)}).get(attempt.job or "")
            if seen is None:
                return "it isn't listed (any more); its witness or the accounting will tell", False
            pending = seen.report.phase is batches.Phase.PENDING
            # Grid Engine's listing has letters only; to be asked for one job costs it more
            reason = (client.reason(attempt.job or "") if pending else "") or seen.report.reason
    except (errors.BatchError, errors.UsageError) as trouble:
        return f"no answer: {trouble}", False
    where = f" on {seen.report.host}" if seen.report.host else ""
    if seen.report.phase is batches.Phase.GONE:
        told = f" ({seen.report.reason})" if seen.report.reason else ""
        return f"ended{where}{told}; its manager sees it at its next poll", False
    told = f"{seen.report.phase}{where}" + (f" ({reason})" if reason else "")
    return told, pending


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
