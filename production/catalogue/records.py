"""What people ask of the memory: for the commands that look, and the dashboard. See ``library.Records``."""

from __future__ import annotations

import bisect
import dataclasses
import datetime
import heapq
import itertools
import json
from collections.abc import Collection, Iterable, Iterator, Sequence
from typing import Any

from production import clock, facts
from production import filter as filters
from production import run as runs
from production.catalogue import overview, selection, sql

_SQL = sql.queries("questions.sql")

FAILING = tuple(cause.value for cause in runs.Cause if cause is not runs.Cause.RELEASED)
"""Causes for which an attempt failed: who let go of a run didn't fail."""
EVENTS = 20_000
"""Of a production, so many of the last are looked at for attempts that are over."""


class Records(selection.Selection, overview.Overview):
    """Questions; see ``library.Records``."""

    def row(self, production: int, run: int) -> facts.Row | None:
        wanted = filters.Filter(runs=((run, run),))
        return next(self.select(production, wanted, datetime.datetime.now(datetime.UTC)), None)

    def attempts(self, production: int, run: int) -> list[facts.Attempt]:
        rows = self._ask(_SQL.attempts, production=production, run=run)
        return [facts.Attempt(*_with_flag(row, 13)) for row in rows]

    def inputs(self, production: int, run: int) -> list[facts.Input]:
        rows = self._ask(_SQL.inputs, production=production, run=run)
        return [facts.Input(*_with_flag(row, 3)) for row in rows]

    def ordered_with(self, path: str) -> list[facts.Transfer]:
        return [facts.Transfer(other, bool(begun)) for other, begun in self._ask(_SQL.ordered_with, path=path)]

    def outputs(self, production: int, run: int) -> list[facts.Written]:
        return [facts.Written(*row) for row in self._ask(_SQL.outputs, production=production, run=run)]

    def asides(self, production: int, run: int) -> list[facts.Aside]:
        return [facts.Aside(*row) for row in self._ask(_SQL.asides, production=production, run=run)]

    def requests(self, production: int, run: int) -> list[facts.Request]:
        return [facts.Request(*row) for row in self._ask(_SQL.requests, production=production, run=run)]

    def answers(self, ids: Iterable[int]) -> dict[int, tuple[int, str]]:
        return {id_: (run, answer) for id_, run, answer in self._ask(_SQL.answers, ids=json.dumps(list(ids)))}

    def modules(self, digest: str) -> str | bytes | None:
        rows = self._ask(_SQL.modules_of, digest=digest)
        return rows[0][0] if rows else None

    def elsewhere(self, run: int) -> dict[str, runs.State]:
        return {name: runs.State(state) for name, state in self._ask(_SQL.other_productions, run=run)}

    def based(self, production: int, numbers: Iterable[int]) -> dict[str, dict[runs.State, int]]:
        found: dict[str, dict[runs.State, int]] = {}
        left = iter(numbers)
        while batch := list(itertools.islice(left, selection.BATCH)):
            for name, state, number in self._ask(_SQL.based, production=production, candidates=json.dumps(batch)):
                states = found.setdefault(name, {})
                states[runs.State(state)] = states.get(runs.State(state), 0) + number
        return found

    def memberships(self, run: int) -> list[tuple[str, int | None, str]]:
        return [(row[0], row[1], row[2]) for row in self._ask(_SQL.datasets_of, run=run)]

    def datasets(self) -> list[str]:
        return [row[0] for row in self._ask(_SQL.dataset_names)]

    def hosts(self, production: int) -> list[str]:
        return [row[0] for row in self._ask(_SQL.host_names, production=production)]

    def counts_at(self, production: int, at: datetime.datetime) -> dict[runs.State, int]:
        instant = clock.text(at)
        rows = self._ask(_SQL.counts_at, production=production, at=instant, hour=instant[:13])
        return dict.fromkeys(runs.State, 0) | {runs.State(state): number for state, number in rows if number}

    def failures(
        self, production: int, wanted: filters.Filter, now: datetime.datetime, *, ever: bool = False
    ) -> Iterator[facts.Failure]:
        causes, hosts = json.dumps(wanted.causes or FAILING), json.dumps(wanted.hosts)
        found = self._ever_failing(production, wanted, now) if ever else self._failing(production, wanted, now)
        while batch := list(itertools.islice(found, selection.BATCH)):
            rows = self._ask(
                _SQL.failures_of,
                production=production, candidates=json.dumps(batch), ever=ever, causes=causes, hosts=hosts,
            )  # fmt: skip
            yield from (facts.Failure(*row) for row in rows)

    def _failing(self, production: int, wanted: filters.Filter, now: datetime.datetime) -> Iterator[int]:
        """Runs that are failed, held, or new again after a failed attempt."""
        states = wanted.states or (runs.State.FAILED, runs.State.HELD, runs.State.NEW)
        stuck = tuple(state for state in states if state in (runs.State.FAILED, runs.State.HELD))
        if wanted == filters.EVERYTHING:
            for state in stuck:
                yield from self._through(_SQL.by_state, production, state)
            for cause in FAILING:
                yield from self._through(_SQL.by_retried, production, cause)
            return
        if stuck:
            meant = dataclasses.replace(wanted, states=stuck)
            yield from (row.run for row in self.select(production, meant, now))
        if runs.State.NEW in states:
            meant = dataclasses.replace(wanted, states=(runs.State.NEW.value,), causes=wanted.causes or FAILING)
            yield from (row.run for row in self.select(production, meant, now))

    def _ever_failing(self, production: int, wanted: filters.Filter, now: datetime.datetime) -> Iterator[int]:
        """Runs that may have a failed attempt: its cause and host need not be the last one's."""
        each = [self._through(_SQL.by_cause, production, cause) for cause in wanted.causes or FAILING]
        found = (run for run, _ in itertools.groupby(heapq.merge(*each)))
        rest = dataclasses.replace(wanted, causes=(), hosts=())
        if rest == filters.EVERYTHING:
            yield from found
            return
        while batch := list(itertools.islice(found, selection.BATCH)):
            if meant := tuple((run, run) for run in batch if not rest.runs or _among(run, rest.runs)):
                yield from (row.run for row in self.select(production, dataclasses.replace(rest, runs=meant), now))

    def _through(self, query: str, production: int, value: str) -> Iterator[int]:
        """The runs that a query finds, a batch at a time."""
        after = -1
        while found := self._ask(query, production=production, value=value, after=after, number=selection.BATCH):
            after = found[-1][0]
            yield from (row[0] for row in found)

    def datasets_of(self, some: Sequence[int]) -> dict[str, int]:
        return dict(self._ask(_SQL.datasets_among, candidates=json.dumps(some)))

    def other_dataset(self, dataset: str) -> bool:
        return bool(self._ask(_SQL.other_dataset, dataset=dataset)[0][0])

    def other_host(self, production: int, host: str) -> bool:
        return bool(self._ask(_SQL.other_host, production=production, host=host)[0][0])

    def took(self, production: int, number: int) -> tuple[list[facts.Took], bool]:
        older = self._ask(_SQL.older_event, production=production, events=EVENTS)
        rows = self._ask(_SQL.took, production=production, after=older[0][0] if older else "", number=number)
        return [facts.Took(*row) for row in rows], not older and len(rows) < number

    def running(self, production: int, number: int) -> list[str]:
        return [row[0] for row in self._ask(_SQL.running, production=production, number=number)]

    def finished_by_hour(self, production: int, since: datetime.datetime) -> dict[str, int]:
        return dict(self._ask(_SQL.finished_by_hour, production=production, since=clock.text(since)[:13]))

    def managers(self, *, everybody: bool = False, number: int = 1000) -> list[facts.AtWork]:
        return [facts.AtWork(*row) for row in self._ask(_SQL.all_managers, all=everybody, number=number)]

    def stranded(self, production: int, managers: Collection[int]) -> int | None:
        [(run,)] = self._ask(_SQL.stranded, production=production, managers=json.dumps(sorted(managers)))
        return run  # type: ignore[no-any-return]

    def ahead(
        self,
        production: int,
        row: facts.Row,
        choices: Sequence[facts.Choice],
        now: datetime.datetime,
        number: int = 10_000,
    ) -> tuple[int, bool]:
        values = {"production": production, "priority": row.priority, "run": row.run, "now": clock.text(now)}
        [(found, looked)] = self._ask(_SQL.ahead, **values, choices=json.dumps(choices), number=number)
        return found, looked < number

    def hands(self, production: int) -> dict[int, dict[runs.State, int]]:
        found: dict[int, dict[runs.State, int]] = {}
        for owner, state, number in self._ask(_SQL.hands, production=production):
            found.setdefault(owner, {})[runs.State(state)] = number
        return found

    def opened(self) -> dict[int, facts.Opened]:
        return {row[0]: facts.Opened(*row[1:]) for row in self._ask(_SQL.all_productions)}


def _with_flag(row: tuple[Any, ...], place: int) -> list[Any]:
    """What SQLite has as 0 or 1 is a bool here."""
    return [*row[:place], bool(row[place]), *row[place + 1 :]]


def _among(run: int, ranges: Sequence[tuple[int, int]]) -> bool:
    """Whether a run is in one of the ranges, which are in order."""
    place = bisect.bisect_right(ranges, (run, selection.LAST))
    return place > 0 and run <= ranges[place - 1][1]
