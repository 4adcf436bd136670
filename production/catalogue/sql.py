"""The named queries, and the answers they give: everything that is the same for every SQL database."""

from __future__ import annotations

import datetime
import hashlib
import importlib.resources
import json
import re
import types
from collections.abc import Iterable, Sequence
from typing import Any, Protocol

from production import clock, errors
from production import run as runs
from production.catalogue import base

_HEADING = re.compile(r"^-- (\w+) --$", re.MULTILINE)

_RESERVED = re.compile(r"sqlite_")


def read(name: str) -> str:
    """Text of a file of this room; it is package data."""
    return importlib.resources.files("production.catalogue").joinpath(name).read_text(encoding="utf-8")


def load(text: str) -> types.SimpleNamespace:
    """The queries of a file by their names; comments stay in the file."""
    parts = _HEADING.split(text)[1:]
    queries = {
        name: "\n".join(line for line in body.splitlines() if not line.startswith("--")).strip()
        for name, body in zip(parts[::2], parts[1::2], strict=True)
    }
    return types.SimpleNamespace(**queries)


SQL = load(read("queries.sql"))


class Connection(Protocol):
    """What we need of a database connection (PEP 249, as sqlite3 has it)."""

    def execute(self, sql: str, parameters: Any = ..., /) -> Any: ...
    def executemany(self, sql: str, parameters: Any, /) -> Any: ...


def _choice(wanted: runs.Wanted) -> dict[str, str]:
    return {"datasets": json.dumps(wanted.datasets), "tranches": json.dumps(wanted.tranches)}


def _run(row: Sequence[Any]) -> runs.Run:
    """The one reader of rows of the query ``runs``."""
    production, run, label, state, *rest = row
    return runs.Run(production, run, label, runs.State(state), *rest)


def _claimable(wanted: runs.Wanted) -> tuple[str, dict[str, str]]:
    """The query for new runs, and its parameters: everything, or only what is wanted."""
    everything = not wanted.datasets and not wanted.tranches
    return (SQL.claimable, {}) if everything else (SQL.claimable_wanted, _choice(wanted))


class Reading:
    """Questions; see ``base.Catalogue``."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def _all(self, query: str, **parameters: object) -> list[tuple[Any, ...]]:
        rows: list[tuple[Any, ...]] = self._connection.execute(query, parameters).fetchall()
        return rows

    def _first(self, query: str, **parameters: object) -> tuple[Any, ...] | None:
        rows = self._all(query, **parameters)
        return rows[0] if rows else None

    def production(self, program: str, version: int | None = None) -> runs.Production | None:
        if version is None:
            version = (self._first(SQL.latest_version, program=program) or (None,))[0]
        row = self._first(SQL.production, program=program, version=version)
        return runs.Production(*row) if row else None

    def productions(self) -> list[runs.Production]:
        return [runs.Production(*row) for row in self._all(SQL.productions)]

    def selections(self) -> tuple[set[str], set[int], set[str]]:
        rows = self._all(SQL.selections)
        return {row[0] for row in rows}, {row[1] for row in rows if row[1] is not None}, {row[2] for row in rows}

    def counts(self, production: int) -> dict[runs.State, int]:
        return {runs.State(state): number for state, number in self._all(SQL.counts, production=production)}

    def causes(self, production: int) -> list[tuple[str, str, int, int]]:
        return [(row[0], row[1], row[2], row[3]) for row in self._all(SQL.causes, production=production)]

    def owned(self, owner: runs.Owner, *states: runs.State) -> list[runs.Run]:
        rows = [row for state in states for row in self._all(SQL.runs, owner=owner.id, state=state.value)]
        return [_run(row) for row in rows]

    def in_flight(self, owner: runs.Owner) -> dict[runs.State, int]:
        return {runs.State(state): number for state, number in self._all(SQL.in_flight, owner=owner.id)}

    def living(self, production: int) -> set[tuple[int, int]]:
        return {(row[0], row[1]) for row in self._all(SQL.living, production=production)}

    def managers(self, production: int) -> list[runs.Owner]:
        return [runs.Owner(*row) for row in self._all(SQL.managers, production=production)]

    def orphans(self, production: int) -> list[int]:
        return [row[0] for row in self._all(SQL.orphans, production=production)]

    def outlook(self, production: int, owner: runs.Owner, wanted: runs.Wanted) -> base.Outlook:
        choice = _choice(wanted)
        holders = {row[0]: row[4] for row in self._all(SQL.holdings, production=production, me=owner.id)}
        return base.Outlook(
            new=self._first(SQL.last_new, production=production, **choice) is not None,
            waiting=self._first(SQL.last_waiting, production=production, **choice) is not None,
            others=tuple((other, holders[other.id]) for other in self.managers(production) if other.id in holders),
        )

    def claimable(self, production: int, wanted: runs.Wanted, now: datetime.datetime) -> bool:
        query, choice = _claimable(wanted)
        return self._first(query, production=production, number=1, now=clock.text(now), **choice) is not None

    def base_output(self, run: runs.Run, name: str) -> tuple[str, int] | None:
        row = self._first(SQL.base_output, production=run.production, run=run.run, name=name)
        return (row[0], row[1]) if row else None

    def last_ends(self, owner: runs.Owner, number: int) -> list[tuple[int, str | None]]:
        return [(row[0], row[1]) for row in self._all(SQL.last_ends, owner=owner.id, number=number)]

    def history(self, production: int, run: int) -> list[base.Event]:
        rows = self._all(SQL.history, production=production, run=run)
        return [
            base.Event(at, attempt, before, after, why, f"{user}@{host}:{pid}" if user else "")
            for at, attempt, before, after, why, user, host, pid in rows
        ]

    def intended(self, run: runs.Run) -> list[runs.Output]:
        rows = self._all(SQL.intended, production=run.production, run=run.run, attempt=run.attempt)
        return [runs.Output(*row) for row in rows]

    def intake_due(self, production: int) -> bool:
        return self._first(SQL.intake_due, production=production) is not None


class Change:
    """Changes within one transaction; see ``base.Change``."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._execute = connection.execute

    # ── datasets and productions ──

    def add_runs(self, rows: Iterable[base.DatasetRow]) -> int:
        added = 0
        for row in rows:
            values = {"run": row.run, "dataset": row.dataset, "tranche": row.tranche}
            values |= {"quality": row.quality, "geometry": row.geometry}
            self._execute(SQL.add_run, {"run": row.run})
            if self._execute(SQL.add_dataset, values).rowcount == 1:
                added += 1
                continue
            there = self._execute(SQL.dataset_of_run, {"run": row.run, "dataset": row.dataset}).fetchone()
            if there != (row.tranche, row.quality, row.geometry):
                raise errors.UsageError(
                    f"run {row.run} is in dataset {row.dataset} already, "
                    f"as tranche {there[0]}, {there[1]}, geometry {there[2]}; nothing was added"
                )
        return added

    def open_production(
        self,
        program: str,
        tag: str,
        base: int | None,
        quality: str,
        outputs: Sequence[str],
        user: str,
        now: datetime.datetime,
    ) -> runs.Production:
        latest = self._execute(SQL.latest_version, {"program": program}).fetchone()[0] or 0
        values = {"program": program, "version": latest + 1, "tag": tag, "base": base, "quality": quality, "user": user}
        self._execute(SQL.open_production, values | {"now": clock.text(now)})
        opened = runs.Production(*self._execute(SQL.production, {"program": program, "version": latest + 1}).fetchone())
        self._connection.executemany(SQL.open_output, [{"production": opened.id, "name": name} for name in outputs])
        query = SQL.enter_runs if base is None else SQL.enter_based_runs
        self._execute(query, {"production": opened.id, "now": clock.text(now), "me": None})
        self._execute(SQL.intake_done, {"production": opened.id})
        for statement in production_table(opened, outputs):
            self._execute(statement)
        return opened

    def intake(self, production: int, now: datetime.datetime) -> int:
        entered = self._execute(SQL.enter_runs, {"production": production, "now": clock.text(now), "me": None}).rowcount
        self._execute(SQL.intake_done, {"production": production})
        return int(entered)

    def close_production(self, production: int, now: datetime.datetime) -> bool:
        closed = self._execute(SQL.close_production, {"production": production, "now": clock.text(now)})
        return bool(closed.rowcount == 1)

    # ── managers and leases ──

    def enter(
        self, owner: runs.Owner, production: int, batch: str, nproc: int, nprep: int, now: datetime.datetime
    ) -> runs.Owner:
        values = {"user": owner.user, "host": owner.host, "boot": owner.boot, "pid": owner.pid, "ticks": owner.ticks}
        values |= {"production": production, "batch": batch, "nproc": nproc, "nprep": nprep, "now": clock.text(now)}
        id_ = self._execute(SQL.enter_manager, values).lastrowid
        return runs.Owner(id_, owner.user, owner.host, owner.boot, owner.pid, owner.ticks)

    def beat(self, owner: runs.Owner, now: datetime.datetime) -> None:
        self._execute(SQL.beat, {"owner": owner.id, "now": clock.text(now)})

    def lapse(self, dead: runs.Owner, now: datetime.datetime) -> bool:
        values = {"owner": dead.id, "beat": dead.beat, "now": clock.text(now)}
        return bool(self._execute(SQL.lapse, values).rowcount == 1)

    def adopt(self, dead: int, owner: runs.Owner, now: datetime.datetime) -> tuple[list[runs.Run], int, list[str]]:
        given_back = []
        for state in (runs.State.CLAIMED, runs.State.STAGED):
            rows = self._execute(SQL.runs, {"owner": dead, "state": state.value}).fetchall()
            given_back += [_run(row) for row in rows]
        for run in given_back:
            self.end(run, base.Ending(runs.Cause.RELEASED, "its manager is gone"), now)
            self.move(run, runs.State.NEW, "its manager is gone", now)
        why = f"taken over from manager {dead}"
        values = {"owner": dead, "me": owner.id, "now": clock.text(now), "why": why}
        adopted = self._execute(SQL.adopt, values).rowcount
        files = [row[0] for row in self._execute(SQL.transfers_of, {"owner": dead})]
        self._execute(SQL.end_transfers_of, {"owner": dead})
        return given_back, adopted, files

    def leave(self, owner: runs.Owner, message: str, now: datetime.datetime) -> None:
        self._execute(SQL.end_transfers_of, {"owner": owner.id})
        self._execute(SQL.leave, {"owner": owner.id, "message": message, "now": clock.text(now)})

    # ── a run's way ──

    def claim(
        self, production: int, number: int, owner: runs.Owner, wanted: runs.Wanted, now: datetime.datetime
    ) -> list[runs.Run]:
        query, choice = _claimable(wanted)
        values: dict[str, object] = {"production": production, "number": number, "now": clock.text(now)}
        rows = self._execute(query, values | choice).fetchall()
        values |= {"owner": owner.id, "user": owner.user}
        claims = [values | {"run": run, "attempt": attempt + 1} for run, _, attempt, _ in rows]
        self._connection.executemany(SQL.claim, claims)
        self._connection.executemany(SQL.begin_attempt, claims)
        return [
            runs.Run(
                production, run, label, runs.State.CLAIMED, owner.id, attempt + 1, failures,
                clock.text(now), "", None, None, None, owner.user, None,
            )
            for run, label, attempt, failures in rows
        ]  # fmt: skip

    def move(
        self,
        run: runs.Run,
        to: runs.State,
        why: str,
        now: datetime.datetime,
        *,
        failures: int | None = None,
        not_before: datetime.datetime | None = None,
    ) -> bool:
        if to not in runs.MOVES[run.state]:
            raise ValueError(f"run {run}: {run.state} → {to} is no move")
        values = {
            "production": run.production,
            "run": run.run,
            "attempt": run.attempt,
            "state": run.state.value,
            "owner": run.owner,
            "to": to.value,
            "new_owner": run.owner if to in runs.IN_FLIGHT else None,
            "failures": run.failures if failures is None else failures,
            "not_before": clock.text(not_before) if not_before else None,
            "now": clock.text(now),
            "why": why,
        }
        return bool(self._execute(SQL.move, values).rowcount == 1)

    # ── attempts and submissions ──

    def submission(
        self,
        owner: runs.Owner,
        batch: str,
        production: runs.Production,
        places: Sequence[base.Place],
        now: datetime.datetime,
    ) -> str:
        number = self._execute(SQL.next_submission).fetchone()[0]
        name = f"{production.program}-v{production.version}-{production.catalogue}-s{number:06d}"
        manifest = json.dumps([[place.run.run, place.run.attempt, *place.command] for place in places])
        at = clock.text(now)
        values = {"id": number, "name": name, "production": production.id, "manager": owner.id, "user": owner.user}
        values |= {"host": owner.host, "batch": batch, "tasks": len(places), "now": at}
        values |= {"digest": hashlib.sha256(manifest.encode("utf-8", "surrogateescape")).hexdigest()}
        self._execute(SQL.open_submission, values)
        self._connection.executemany(
            SQL.submit_attempt,
            [
                _key(place.run)
                | {"submission": number, "task": place.task, "user": owner.user, "now": at, "modules": place.modules}
                | {"olog": place.stdout, "elog": place.stderr, "command": json.dumps(place.command)}
                | {"resources": json.dumps(place.resources)}
                for place in places
            ],
        )
        return name

    def job(self, run: runs.Run, job: str) -> None:
        self._execute(SQL.attempt_job, _key(run) | {"job": job})

    def end(self, run: runs.Run, ending: base.Ending, now: datetime.datetime) -> None:
        values = _key(run) | {"now": clock.text(now), "cause": ending.cause and ending.cause.value}
        values |= {"counted": ending.counted, "message": ending.message or None, "host": ending.host}
        values |= {"exit": ending.exit, "signal": ending.signal, "wall": ending.wall, "cpu": ending.cpu}
        self._execute(SQL.end_attempt, values | {"memory": ending.memory})

    def keep_modules(self, text: str) -> str:
        digest = hashlib.sha256(text.encode("utf-8", "surrogateescape")).hexdigest()
        self._execute(SQL.keep_modules, {"digest": digest, "text": text})
        return digest

    # ── inputs and transfers ──

    def need(self, run: runs.Run, path: str, source: str, size: int | None, ours: bool) -> None:
        self._execute(SQL.need_input, _key(run) | {"path": path, "source": source, "bytes": size, "ours": ours})

    def drop_inputs(self, run: runs.Run) -> list[str]:
        ours = [path for path, ours in self._execute(SQL.inputs_of, _key(run)).fetchall() if ours]
        self._execute(SQL.drop_inputs, _key(run))
        return [path for path in ours if not self._execute(SQL.input_needed, {"path": path}).fetchone()]

    def begin_transfer(self, path: str, source: str, owner: runs.Owner, now: datetime.datetime) -> bool:
        if self._execute(SQL.transfer_of, {"path": path}).fetchone():
            return False
        values = {"path": path, "source": source, "manager": owner.id, "size": None, "now": clock.text(now)}
        self._execute(SQL.begin_transfer, values)
        return True

    def progress(self, owner: runs.Owner, path: str, size: int | None, so_far: int) -> None:
        self._execute(SQL.progress_transfer, {"path": path, "manager": owner.id, "size": size, "bytes": so_far})

    def end_transfer(self, path: str, owner: runs.Owner) -> None:
        self._execute(SQL.end_transfer, {"path": path, "manager": owner.id})

    # ── outputs and fixed paths ──

    def intend(self, run: runs.Run, outputs: Iterable[runs.Output]) -> None:
        self._connection.executemany(
            SQL.intend_output,
            [
                _key(run)
                | {"name": output.name, "temporary": output.temporary, "path": output.final}
                | {"bytes": output.bytes, "checksum": output.checksum}
                for output in outputs
            ],
        )

    def record(self, run: runs.Run, now: datetime.datetime) -> None:
        self._execute(SQL.record_outputs, _key(run) | {"now": clock.text(now)})

    def path_use(self, path: str) -> base.PathUse | None:
        row = self._execute(SQL.fixed_path, {"path": path}).fetchone()
        return base.PathUse(row[0], row[1], row[2], bool(row[3])) if row else None

    def take_path(self, run: runs.Run, path: str) -> None:
        self._execute(SQL.take_path, _key(run) | {"path": path})

    def earlier_log(self, run: runs.Run, log: str) -> int | None:
        row = self._execute(SQL.log_of, _key(run) | {"log": log}).fetchone()
        return row[0] if row else None

    def keep_log(self, run: runs.Run, attempt: int, olog: str, elog: str) -> None:
        self._execute(SQL.keep_log, _key(run) | {"attempt": attempt, "olog": olog, "elog": elog})


def _key(run: runs.Run) -> dict[str, Any]:
    return {"production": run.production, "run": run.run, "attempt": run.attempt}


_STATUS = (
    "CASE r.state WHEN 'new' THEN 'N' WHEN 'claimed' THEN 'C' WHEN 'staged' THEN 'C' WHEN 'finished' THEN 'F' "
    "WHEN 'failed' THEN 'E' WHEN 'held' THEN 'H' WHEN 'waiting' THEN 'W' ELSE 'R' END"
)


def production_table(production: runs.Production, outputs: Sequence[str]) -> list[str]:
    """The statements that make ``alcapana_v4``: the one place where SQL is made from names.

    A view, so it can't disagree with what it shows; writing to it names the command to use. ``status`` is N new,
    C claimed and staged, R submitting to ended, F finished, E failed, H held, W waiting.
    """
    for name in (production.program, *outputs):
        if not re.fullmatch(r"[a-z][a-z0-9_]*", name) or _RESERVED.match(name):
            raise errors.UsageError(f"{name!r} can't be the name of a program or output: a-z, then a-z, 0-9 and _")
    table, key = f'"{production.name}"', int(production.id)
    columns = "".join(
        f", (SELECT o.path FROM output AS o WHERE o.production = {key} AND o.run = r.run AND o.name = '{name}'"  # noqa: S608
        f' AND o.recorded IS NOT NULL AND o.deleted IS NULL) AS "{name}"'
        for name in outputs
    )
    view = (
        f"CREATE VIEW {table} AS SELECT r.run, {_STATUS} AS status, a.user, a.submitted_at AS start, a.ended_at AS stop"  # noqa: S608
        f"{columns}, a.olog, a.elog, m.text AS modules FROM production_run AS r "
        "LEFT JOIN attempt AS a ON a.production = r.production AND a.run = r.run AND a.attempt = r.attempt "
        "AND r.state NOT IN ('new', 'waiting') "
        f"LEFT JOIN modules AS m ON m.digest = a.modules WHERE r.production = {key}"
    )
    refusal = f"{production.name} shows what is; to change a run use: production retry, hold, release or reset"
    refusals = [
        f'CREATE TRIGGER "{production.name}_{verb.lower()}" INSTEAD OF {verb} ON {table} '
        f"BEGIN SELECT RAISE(ABORT, '{refusal}'); END"
        for verb in ("INSERT", "UPDATE", "DELETE")
    ]
    return [view, *refusals]
