"""What people ask, written down and carried out within one transaction: the part of ``Change`` that is for them."""

from __future__ import annotations

import datetime
from typing import Any

from production import clock
from production import run as runs
from production.catalogue import base, reading, sql


class Wishes:
    """See ``base.Change``."""

    _connection: sql.Connection

    def run(self, production: int, run: int) -> runs.Run | None:
        row = self._row(sql.SQL.run_now, production=production, run=run)
        return reading.read_run(row) if row else None

    def ready(self, run: runs.Run) -> bool:
        return self._row(sql.SQL.base_unfinished, production=run.production, run=run.run) is None

    def base_leaves(self, run: runs.Run) -> bool:
        return self._row(sql.SQL.base_leaves, production=run.production, run=run.run) is not None

    def data(self, run: runs.Run) -> str:
        row = self._row(sql.SQL.data_of, production=run.production)
        return str(row[0]) if row else ""

    def based(self, run: runs.Run) -> list[runs.Run]:
        productions = self._connection.execute(sql.SQL.productions_based, {"production": run.production}).fetchall()
        found = (self.run(production, run.run) for (production,) in productions)
        return [one for one in found if one is not None]

    def ask(self, run: runs.Run, ask: base.Ask, now: datetime.datetime) -> int:
        values = {"production": run.production, "run": run.run, "verb": ask.verb, "argument": ask.argument}
        values |= {"user": ask.user, "why": ask.why, "now": clock.text(now)}
        return int(self._connection.execute(sql.SQL.ask, values).lastrowid)

    def is_open(self, asked: base.Asked) -> bool:
        return self._row(sql.SQL.is_open, id=asked.id) is not None

    def answer(self, asked: base.Asked, answer: str, now: datetime.datetime, owner: runs.Owner | None = None) -> None:
        values = {"id": asked.id, "answer": answer, "now": clock.text(now), "owner": owner.id if owner else None}
        self._connection.execute(sql.SQL.answer, values)

    def ask_manager(
        self, manager: int, verb: str, argument: str, user: str, why: str, now: datetime.datetime
    ) -> int | None:
        values = {"manager": manager, "verb": verb, "argument": argument, "user": user, "why": why}
        asked = self._connection.execute(sql.SQL.ask_manager, values | {"now": clock.text(now)})
        return int(asked.lastrowid) if asked.rowcount == 1 else None

    def answer_as_manager(self, told: base.Told, answer: str, now: datetime.datetime) -> None:
        self._do(sql.SQL.answer_as_manager, id=told.id, answer=answer, now=clock.text(now))

    def set_nproc(self, owner: runs.Owner, nproc: int) -> None:
        self._do(sql.SQL.set_nproc, owner=owner.id, nproc=nproc)

    def prioritize(self, run: runs.Run, priority: int) -> None:
        self._do(sql.SQL.prioritize, production=run.production, run=run.run, priority=priority)

    def hasten(self, run: runs.Run) -> None:
        self._do(sql.SQL.hasten, production=run.production, run=run.run)

    def in_place(self, run: runs.Run) -> bool:
        return self._row(sql.SQL.in_place, production=run.production, run=run.run) is not None

    def intend_aside(self, run: runs.Run) -> None:
        self._do(sql.SQL.intend_aside, production=run.production, run=run.run)

    def intended_aside(self, run: runs.Run) -> list[base.Move]:
        rows = self._connection.execute(sql.SQL.intended_aside, {"production": run.production, "run": run.run})
        return [base.Move(*row) for row in rows.fetchall()]

    def forget_aside(self, run: runs.Run, path: str | None = None) -> None:
        self._do(sql.SQL.forget_aside, production=run.production, run=run.run, path=path)

    def outputs_aside(self, run: runs.Run, now: datetime.datetime) -> None:
        for query in (sql.SQL.asides_done, sql.SQL.outputs_gone):
            self._do(query, production=run.production, run=run.run, now=clock.text(now))

    def close_by_hand(self, production: int, user: str, why: str, now: datetime.datetime) -> bool:
        return self._do(sql.SQL.close_by_hand, production=production, user=user, why=why, now=clock.text(now)) == 1

    def open_again(self, production: int) -> bool:
        return self._do(sql.SQL.open_again, production=production) == 1

    def _row(self, query: str, **values: object) -> tuple[Any, ...] | None:
        row: tuple[Any, ...] | None = self._connection.execute(query, values).fetchone()
        return row

    def _do(self, query: str, **values: object) -> int:
        return int(self._connection.execute(query, values).rowcount)
