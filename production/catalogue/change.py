"""The changes, all within one transaction: the same for every SQL database. See ``base.Change``."""

from __future__ import annotations

import dataclasses
import datetime
import functools
import hashlib
import json
from collections.abc import Iterable, Sequence
from typing import Any

from production import clock, errors
from production import run as runs
from production.catalogue import base, promises, reading, sql, view, wishes


class Change(wishes.Wishes):
    """Changes within one transaction; see ``base.Change``."""

    def __init__(self, connection: sql.Connection) -> None:
        self._connection = connection
        self._execute = connection.execute

    # ── datasets and productions ──

    def add_runs(self, rows: Iterable[base.DatasetRow]) -> int:
        added = 0
        for row in rows:
            values = {"run": row.run, "dataset": row.dataset, "tranche": row.tranche}
            values |= {"quality": row.quality, "geometry": row.geometry}
            self._execute(sql.SQL.add_run, {"run": row.run})
            if self._execute(sql.SQL.add_dataset, values).rowcount == 1:
                added += 1
                continue
            there = self._execute(sql.SQL.dataset_of_run, {"run": row.run, "dataset": row.dataset}).fetchone()
            if there != (row.tranche, row.quality, row.geometry):
                raise errors.UsageError(
                    f"run {row.run} is in dataset {row.dataset} already, "
                    f"as {there[1]}, tranche {there[0] or '-'}, geometry {there[2] or '-'}; nothing was added"
                )
        return added

    def open_production(self, opening: base.Opening, now: datetime.datetime) -> runs.Production:
        program = opening.program
        version = (self._execute(sql.SQL.latest_version, {"program": program}).fetchone()[0] or 0) + 1
        values = {"program": program, "version": version, "tag": opening.tag, "base": opening.base}
        values |= {"quality": opening.quality, "data": opening.data, "user": opening.user, "now": clock.text(now)}
        self._execute(sql.SQL.open_production, values)
        opened = runs.Production(
            *self._execute(sql.SQL.production, {"program": program, "version": version}).fetchone()
        )
        names = [{"production": opened.id, "name": name} for name in opening.outputs]
        self._connection.executemany(sql.SQL.open_output, names)
        query = sql.SQL.enter_runs if opening.base is None else sql.SQL.enter_based_runs
        self._execute(query, {"production": opened.id, "now": clock.text(now), "me": None})
        self._execute(sql.SQL.intake_done, {"production": opened.id})
        for statement in view.statements(opened, opening.outputs):
            self._execute(statement)
        return opened

    def intake(self, production: int, now: datetime.datetime) -> int:
        entered = self._execute(
            sql.SQL.enter_runs, {"production": production, "now": clock.text(now), "me": None}
        ).rowcount
        self._execute(sql.SQL.intake_done, {"production": production})
        return int(entered)

    def close_production(self, production: int, now: datetime.datetime) -> bool:
        closed = self._execute(sql.SQL.close_production, {"production": production, "now": clock.text(now)})
        return bool(closed.rowcount == 1)

    # ── managers and leases ──

    def enter(
        self,
        owner: runs.Owner,
        production: int,
        batch: str,
        nproc: int,
        nprep: int,
        now: datetime.datetime,
        wanted: runs.Wanted = runs.EVERYTHING,
    ) -> runs.Owner:
        values = {"user": owner.user, "host": owner.host, "boot": owner.boot, "pid": owner.pid, "ticks": owner.ticks}
        values |= {"production": production, "batch": batch, "nproc": nproc, "nprep": nprep, "now": clock.text(now)}
        values |= {"datasets": json.dumps(wanted.datasets), "tranches": json.dumps(wanted.tranches)}
        id_ = self._execute(sql.SQL.enter_manager, values).lastrowid
        return runs.Owner(id_, owner.user, owner.host, owner.boot, owner.pid, owner.ticks)

    def beat(self, owner: runs.Owner, now: datetime.datetime, seen: base.Seen | None = None) -> None:
        values: dict[str, object] = dict.fromkeys(("used", "limit", "allowed", "at"))
        if seen is not None:
            values = {"used": seen.used, "limit": seen.limit, "allowed": seen.allowed, "at": clock.text(seen.at)}
        self._execute(sql.SQL.beat, values | {"owner": owner.id, "now": clock.text(now)})

    def lapse(self, dead: runs.Owner, now: datetime.datetime) -> bool:
        values = {"owner": dead.id, "beat": dead.beat, "now": clock.text(now)}
        return bool(self._execute(sql.SQL.lapse, values).rowcount == 1)

    def adopt(
        self, dead: int, production: int, owner: runs.Owner, now: datetime.datetime
    ) -> tuple[list[runs.Run], int, list[str]]:
        given_back = []
        for state in (runs.State.CLAIMED, runs.State.STAGED):
            rows = self._execute(sql.SQL.runs, {"owner": dead, "state": state.value}).fetchall()
            given_back += [run for run in map(reading.read_run, rows) if run.production == production]
        for run in given_back:
            self.end(run, base.Ending(runs.Cause.RELEASED, "its manager is gone"), now)
            self.move(run, runs.State.NEW, "its manager is gone", now, by=owner)
        why = f"taken over from manager {dead}"
        values = {"owner": dead, "production": production, "me": owner.id, "now": clock.text(now), "why": why}
        adopted = self._execute(sql.SQL.adopt, values).rowcount
        files = [row[0] for row in self._execute(sql.SQL.transfers_of, {"owner": dead})]
        self._execute(sql.SQL.end_transfers_of, {"owner": dead})
        return given_back, adopted, files

    def reclaim(self, production: int, owner: runs.Owner, now: datetime.datetime) -> int:
        values = {"me": owner.id, "user": owner.user, "production": production, "now": clock.text(now)}
        return int(self._execute(sql.SQL.reclaim, values).rowcount)

    def leave(self, owner: runs.Owner, message: str, now: datetime.datetime) -> None:
        self._execute(sql.SQL.end_transfers_of, {"owner": owner.id})
        self._execute(sql.SQL.leave, {"owner": owner.id, "message": message, "now": clock.text(now)})

    # ── a run's way ──

    def claim(
        self, production: int, number: int, owner: runs.Owner, wanted: runs.Wanted, now: datetime.datetime
    ) -> list[runs.Run]:
        rows = [
            reading.read_new(row) for row in reading.next_rows(self._all, production, number, wanted, clock.text(now))
        ]
        values = {"production": production, "now": clock.text(now), "owner": owner.id, "user": owner.user}
        claims = [values | {"run": run.run, "attempt": run.attempt + 1} for run in rows]
        self._connection.executemany(sql.SQL.claim, claims)
        self._connection.executemany(sql.SQL.begin_attempt, claims)
        return [
            dataclasses.replace(
                run,
                state=runs.State.CLAIMED,
                owner=owner.id,
                attempt=run.attempt + 1,
                since=clock.text(now),
                user=owner.user,
            )
            for run in rows
        ]

    def move(
        self,
        run: runs.Run,
        to: runs.State,
        why: str,
        now: datetime.datetime,
        *,
        failures: int | None = None,
        not_before: datetime.datetime | None = None,
        by: runs.Owner | str | None = None,
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
            "by": by.id if isinstance(by, runs.Owner) else run.owner,
            "new_owner": run.owner if to in runs.IN_FLIGHT else None,
            "failures": run.failures if failures is None else failures,
            "not_before": clock.text(not_before) if not_before else None,
            "now": clock.text(now),
            "why": why,
            "asked_by": by if isinstance(by, str) else None,
        }
        return bool(self._execute(sql.SQL.move, values).rowcount == 1)

    # ── attempts and submissions ──

    def submission(
        self,
        owner: runs.Owner,
        batch: str,
        production: runs.Production,
        places: Sequence[base.Place],
        now: datetime.datetime,
    ) -> str:
        number = self._execute(sql.SQL.next_submission).fetchone()[0]
        name = f"{production.program}-v{production.version}-{production.catalogue}-s{number:06d}"
        manifest = json.dumps([[place.run.run, place.run.attempt, *place.command] for place in places])
        at = clock.text(now)
        values = {"id": number, "name": name, "production": production.id, "manager": owner.id, "user": owner.user}
        values |= {"host": owner.host, "batch": batch, "tasks": len(places), "now": at}
        values |= {"digest": hashlib.sha256(manifest.encode("utf-8", "surrogateescape")).hexdigest()}
        self._execute(sql.SQL.open_submission, values)
        self._connection.executemany(
            sql.SQL.submit_attempt,
            [
                _key(place.run)
                | {"submission": number, "task": place.task, "user": owner.user, "now": at, "modules": place.modules}
                | {"olog": place.stdout, "elog": place.stderr, "command": json.dumps(place.command)}
                | {"resources": _resources(place.resources, place.avoided)}
                for place in places
            ],
        )
        return name

    def job(self, run: runs.Run, job: str) -> None:
        self._execute(sql.SQL.attempt_job, _key(run) | {"job": job})

    def begin_job(self, run: runs.Run, host: str | None, now: datetime.datetime) -> None:
        self._execute(sql.SQL.begin_job, _key(run) | {"host": host, "now": clock.text(now)})

    def end(self, run: runs.Run, ending: base.Ending, now: datetime.datetime) -> None:
        values = _key(run) | {"now": clock.text(now), "cause": ending.cause and ending.cause.value}
        values |= {"counted": ending.counted, "message": ending.message or None, "host": ending.host}
        values |= {"exit": ending.exit, "signal": ending.signal, "wall": ending.wall, "cpu": ending.cpu}
        self._execute(sql.SQL.end_attempt, values | {"memory": ending.memory})

    def keep_modules(self, content: bytes) -> str:
        digest = hashlib.sha256(content).hexdigest()
        try:
            text: str | bytes = content.decode("utf-8")
        except UnicodeDecodeError:
            text = content  # an old file with a µ of its own: kept as it is
        self._execute(sql.SQL.keep_modules, {"digest": digest, "text": text})
        return digest

    # ── inputs and transfers ──

    def need(
        self, run: runs.Run, path: str, source: str, size: int | None, ours: bool, come: datetime.datetime | None = None
    ) -> None:
        values = _key(run) | {"path": path, "source": source, "bytes": size, "ours": ours}
        self._execute(sql.SQL.need_input, values | {"come": clock.text(come) if come else None})

    def size(self, run: runs.Run, path: str) -> int | None:
        row = self._execute(sql.SQL.size_of_input, _key(run) | {"path": path}).fetchone()
        return row[0] if row else None

    def sizes(self, production: int) -> base.Sizes:
        return promises.sizes(self._all, production)

    def promised(self, data: str, since: datetime.datetime) -> base.Promised:
        return promises.promised(self._all, data, since)

    def _all(self, query: str, **parameters: object) -> list[tuple[Any, ...]]:
        rows: list[tuple[Any, ...]] = self._execute(query, parameters).fetchall()
        return rows

    def drop_inputs(self, run: runs.Run) -> list[str]:
        ours = [path for path, ours in self._execute(sql.SQL.inputs_of, _key(run)).fetchall() if ours]
        self._execute(sql.SQL.drop_inputs, _key(run))
        return [path for path in ours if not self._execute(sql.SQL.input_needed, {"path": path}).fetchone()]

    def needed(self, path: str) -> bool:
        return self._execute(sql.SQL.input_needed, {"path": path}).fetchone() is not None

    def carried(self, path: str) -> bool:
        return self._execute(sql.SQL.transfer_of, {"path": path}).fetchone() is not None

    def begin_transfer(self, path: str, source: str, owner: runs.Owner, now: datetime.datetime) -> None:
        values = {"path": path, "source": source, "manager": owner.id, "size": None, "now": clock.text(now)}
        self._execute(sql.SQL.begin_transfer, values)

    def progress(self, owner: runs.Owner, path: str, size: int | None, so_far: int) -> None:
        self._execute(sql.SQL.progress_transfer, {"path": path, "manager": owner.id, "size": size, "bytes": so_far})

    def end_transfer(self, path: str, owner: runs.Owner) -> None:
        self._execute(sql.SQL.end_transfer, {"path": path, "manager": owner.id})

    # ── outputs and fixed paths ──

    def intend(self, run: runs.Run, outputs: Iterable[runs.Output]) -> None:
        self._connection.executemany(
            sql.SQL.intend_output,
            [
                _key(run)
                | {"name": output.name, "temporary": output.temporary, "path": output.final}
                | {"bytes": output.bytes, "checksum": output.checksum}
                for output in outputs
            ],
        )

    def record(self, run: runs.Run, now: datetime.datetime) -> None:
        self._execute(sql.SQL.record_outputs, _key(run) | {"now": clock.text(now)})

    def path_use(self, path: str) -> base.PathUse | None:
        row = self._execute(sql.SQL.fixed_path, {"path": path}).fetchone()
        return base.PathUse(row[0], row[1], row[2], bool(row[3]), row[4]) if row else None

    def take_path(self, run: runs.Run, path: str) -> None:
        self._execute(sql.SQL.take_path, _key(run) | {"path": path})

    def taken_paths(self, run: runs.Run) -> list[str]:
        return [row[0] for row in self._execute(sql.SQL.taken_paths, _key(run))]

    def leave_path(self, run: runs.Run, path: str, leftover: str | None) -> None:
        self._execute(sql.SQL.leave_path, _key(run) | {"path": path, "leftover": leftover})

    def earlier_log(self, run: runs.Run, log: str) -> int | None:
        row = self._execute(sql.SQL.log_of, _key(run) | {"log": log}).fetchone()
        return row[0] if row else None

    def keep_log(self, run: runs.Run, attempt: int, olog: str, elog: str) -> None:
        self._execute(sql.SQL.keep_log, _key(run) | {"attempt": attempt, "olog": olog, "elog": elog})


@functools.lru_cache(maxsize=256)
def _resources(resources: runs.Resources, avoided: tuple[str, ...]) -> str:
    """As ``reading.read_resources`` reads it; most attempts ask for the same, hence the cache."""
    asked = dataclasses.asdict(resources)
    return json.dumps(asked | {"avoided": avoided} if avoided else asked)


def _key(run: runs.Run) -> dict[str, Any]:
    return {"production": run.production, "run": run.run, "attempt": run.attempt}
