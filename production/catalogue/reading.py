"""The questions, and the readers of rows: the same for every SQL database. See ``base.Catalogue``."""

from __future__ import annotations

import datetime
import functools
import json
import re
from collections.abc import Callable, Sequence
from typing import Any

from production import clock
from production import run as runs
from production.catalogue import base, sql


def _choice(wanted: runs.Wanted) -> dict[str, str]:
    return {"datasets": json.dumps(wanted.datasets), "tranches": json.dumps(wanted.tranches)}


def read_run(row: Sequence[Any]) -> runs.Run:
    """The one reader of rows of the query ``runs``."""
    facts = list(row)
    facts[3], facts[-2] = runs.State(facts[3]), read_resources(facts[-2])
    return runs.Run(*facts)


@functools.lru_cache(maxsize=256)
def read_resources(text: str | None) -> runs.Resources | None:
    """The one reader of ``attempt.resources``; most attempts ask for the same, hence the cache."""
    if text is None:
        return None
    asked = json.loads(text)
    return runs.Resources(asked.get("time"), asked.get("memory"), asked.get("cores", 1))


NEAR = 2000
"""New runs that are looked at for chosen datasets before the datasets are: mostly the first ones are wanted. And so many
failed ones are looked at for examples, and held ones."""

FOREVER = "9999"
"""Later than every instant: also what is in back-off."""

Ask = Callable[..., list[tuple[Any, ...]]]
"""Asks a query with its parameters as keywords."""


def next_rows(ask: Ask, production: int, number: int, wanted: runs.Wanted, now: str) -> list[tuple[Any, ...]]:
    """The first new runs, of everything or only of what is wanted; for ``read_new``."""
    values: dict[str, object] = {"production": production, "number": max(0, number), "now": now}
    if not wanted.datasets and not wanted.tranches:
        return ask(sql.SQL.claimable, **values)
    values |= _choice(wanted)
    rows = ask(sql.SQL.claimable_near, **values, look=NEAR)
    if len(rows) >= number or not ask(sql.SQL.more_than_near, production=production, now=now, look=NEAR):
        return rows
    return ask(sql.SQL.claimable_wanted, **values)


def read_new(row: Sequence[Any]) -> runs.Run:
    """The one reader of its rows."""
    production, run, label, attempt, failures, since = row
    return runs.Run(
        production, run, label, runs.State.NEW, None, attempt, failures, since, "", None, None, None, None, None
    )


_DIGITS = re.compile(r"\d+")


def _but(run: str, number: re.Match[str]) -> str:
    """Numbers as they are, but not that of the run: "run00012.mid is missing" is said of each with its own."""
    return "" if (number[0].lstrip("0") or "0") == run else number[0]


def _stuck(state: str, cause: str, number: int, first: Sequence[tuple[int, str]]) -> base.Stuck:
    """``first``: (run, why) of some of them, by number."""
    examples: dict[str, tuple[int, str]] = {}
    for run, why in first:
        if why:
            same = _DIGITS.sub(functools.partial(_but, str(run)), why)
            examples.setdefault(same, (run, why))
    listed = tuple(run for run, _ in first[: base.LISTED])
    return base.Stuck(state, cause, number, listed, tuple(examples.values())[: base.EXAMPLES])


class Reading:
    """Questions; see ``base.Catalogue``."""

    def __init__(self, connection: sql.Connection) -> None:
        self._connection = connection

    def _all(self, query: str, **parameters: object) -> list[tuple[Any, ...]]:
        rows: list[tuple[Any, ...]] = self._connection.execute(query, parameters).fetchall()
        return rows

    def _first(self, query: str, **parameters: object) -> tuple[Any, ...] | None:
        rows = self._all(query, **parameters)
        return rows[0] if rows else None

    def production(self, program: str, version: int | None = None) -> runs.Production | None:
        if version is None:
            version = (self._first(sql.SQL.latest_version, program=program) or (None,))[0]
        row = self._first(sql.SQL.production, program=program, version=version)
        return runs.Production(*row) if row else None

    def productions(self) -> list[runs.Production]:
        return [runs.Production(*row) for row in self._all(sql.SQL.productions)]

    def selections(self) -> tuple[set[str], set[int], set[str]]:
        rows = self._all(sql.SQL.selections)
        return {row[0] for row in rows}, {row[1] for row in rows if row[1] is not None}, {row[2] for row in rows}

    def counts(self, production: int, wanted: runs.Wanted = runs.EVERYTHING) -> dict[runs.State, int]:
        if wanted == runs.EVERYTHING:
            rows = self._all(sql.SQL.counts, production=production)
        else:
            rows = self._all(sql.SQL.counts_wanted, production=production, **_choice(wanted))
        return dict.fromkeys(runs.State, 0) | {runs.State(state): number for state, number in rows}

    def causes(self, production: int) -> list[base.Stuck]:
        first: dict[tuple[str, str], list[tuple[int, str]]] = {}
        for state in (runs.State.FAILED, runs.State.HELD):
            for run, cause, why in self._all(sql.SQL.stuck, production=production, state=state.value, look=NEAR):
                first.setdefault((state, cause), []).append((run, why))
        return [
            _stuck(state, cause, number, first.get((state, cause), [(lowest, why)]))
            for state, cause, number, lowest, why in self._all(sql.SQL.causes, production=production)
        ]

    def last_words(self, production: int) -> str:
        row = self._first(sql.SQL.last_words, production=production)
        return row[0] if row else ""

    def in_vain(self, production: int) -> tuple[int, int | None]:
        row = self._all(sql.SQL.in_vain, production=production)[0]
        return row[0], row[1]

    def owned(self, owner: runs.Owner, *states: runs.State) -> list[runs.Run]:
        rows = [row for state in states for row in self._all(sql.SQL.runs, owner=owner.id, state=state.value)]
        return [read_run(row) for row in rows]

    def in_flight(self, owner: runs.Owner) -> dict[runs.State, int]:
        return {runs.State(state): number for state, number in self._all(sql.SQL.in_flight, owner=owner.id)}

    def living(self, production: int) -> set[tuple[int, int]]:
        return {(row[0], row[1]) for row in self._all(sql.SQL.living, production=production)}

    def managers(self, production: int) -> list[runs.Owner]:
        return [runs.Owner(*row) for row in self._all(sql.SQL.managers, production=production)]

    def managers_of_all(self) -> list[runs.Owner]:
        return [runs.Owner(*row) for row in self._all(sql.SQL.managers_of_all)]

    def orphans(self, production: int, owner: runs.Owner) -> list[int]:
        return [row[0] for row in self._all(sql.SQL.orphans, production=production, me=owner.id)]

    def elsewhere(self, production: int, owner: runs.Owner) -> dict[str, int]:
        return dict(self._all(sql.SQL.elsewhere, production=production, me=owner.id))

    def outlook(self, production: int, owner: runs.Owner, wanted: runs.Wanted) -> base.Outlook:
        choice = _choice(wanted)
        holders = {row[0]: row[4] for row in self._all(sql.SQL.holdings, production=production, me=owner.id)}
        return base.Outlook(
            new=bool(next_rows(self._all, production, 1, wanted, FOREVER)),
            waiting=self._first(sql.SQL.last_waiting, production=production, **choice) is not None,
            others=tuple((other, holders[other.id]) for other in self.managers(production) if other.id in holders),
        )

    def next_runs(self, production: int, number: int, wanted: runs.Wanted, now: datetime.datetime) -> list[runs.Run]:
        return [read_new(row) for row in next_rows(self._all, production, number, wanted, clock.text(now))]

    def computing(self, data: str) -> int:
        return int(self._all(sql.SQL.computing, data=data)[0][0])

    def base_output(self, run: runs.Run, name: str) -> tuple[str, int | None] | None:
        row = self._first(sql.SQL.base_output, production=run.production, run=run.run, name=name)
        return (row[0], row[1]) if row else None

    def last_ends(self, owner: runs.Owner, number: int) -> list[base.End]:
        return [base.End(*row) for row in self._all(sql.SQL.last_ends, owner=owner.id, number=number)]

    def earlier(self, run: runs.Run) -> list[runs.Earlier]:
        rows = self._all(sql.SQL.earlier, production=run.production, run=run.run, attempt=run.attempt)
        return [runs.Earlier(runs.Cause(cause), read_resources(asked), *rest) for cause, asked, *rest in rows]

    def history(self, production: int, run: int) -> list[base.Event]:
        return [base.Event(*row) for row in self._all(sql.SQL.history, production=production, run=run)]

    def intended(self, run: runs.Run) -> list[runs.Output]:
        rows = self._all(sql.SQL.intended, production=run.production, run=run.run, attempt=run.attempt)
        return [runs.Output(*row) for row in rows]

    def asked(self, production: int, number: int, owner: runs.Owner | None) -> list[base.Asked]:
        rows = self._all(sql.SQL.asked, production=production, number=number, me=owner.id if owner else None)
        first: dict[int, base.Asked] = {}
        for id_, run, owner_, *ask in rows:
            first.setdefault(run, base.Asked(id_, production, run, owner_, base.Ask(*ask)))
        return list(first.values())

    def asked_of(self, owner: runs.Owner) -> list[base.Told]:
        return [base.Told(*row) for row in self._all(sql.SQL.asked_of_manager, owner=owner.id)]

    def nproc(self, owner: runs.Owner) -> int | None:
        row = self._first(sql.SQL.nproc, owner=owner.id)
        return row[0] if row else None

    def intake_due(self, production: int) -> bool:
        return self._first(sql.SQL.intake_due, production=production) is not None
