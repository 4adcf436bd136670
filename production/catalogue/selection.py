"""Which runs a filter means, and in which order: the part of ``library.Records`` that makes tables of runs.

However many runs there are, an answer costs what is shown of them: candidates come through an index, in the order of
their numbers, and are looked at so many at a time.
"""

from __future__ import annotations

import array
import datetime
import functools
import heapq
import itertools
import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, TypeAlias

from production import clock, facts
from production import filter as filters
from production import run as runs
from production.catalogue import sql

Ask: TypeAlias = Callable[..., list[tuple[Any, ...]]]
"""Asks a query with its parameters as keywords."""
Each: TypeAlias = Callable[..., Iterator[list[tuple[Any, ...]]]]
"""The same for an answer that is too long to be kept: some rows at a time."""

_SQL = sql.queries("questions.sql")

BATCH = 2000
"""Candidates that are looked at together, at most."""
FIRST = 125
"""And at first, as mostly the first ones are wanted; each time they are twice as many."""
FEW = 50_000
"""Runs in the chosen states, below which they are found by these rather than by dataset."""
LAST = 1 << 62
"""A number that no run has."""

Way: TypeAlias = tuple[str, str]
"""The query that finds candidates upwards, and that which finds them downwards."""
_BY_STATE: Way = (_SQL.by_state, _SQL.by_state_down)
_BY_DATASET: Way = (_SQL.by_dataset, _SQL.by_dataset_down)
_BY_CAUSE: Way = (_SQL.by_cause, _SQL.by_cause_down)
_BY_HOST: Way = (_SQL.by_host, _SQL.by_host_down)


class Selection:
    """Tables of runs; see ``library.Records``."""

    def __init__(self, ask: Ask, each: Each) -> None:
        self._ask = ask
        self._each = each

    def select(
        self,
        production: int,
        wanted: filters.Filter,
        now: datetime.datetime,
        after: int = -1,
        *,
        down: bool = False,
    ) -> Iterator[facts.Row]:
        choice = _choice(wanted, now)
        if down and after < 0:
            after = LAST
        for candidates in self._candidates(production, wanted, after, down):
            rows = self._rows(production, candidates, choice)
            yield from reversed(rows) if down else rows

    def of_runs(self, production: int, numbers: Sequence[int]) -> list[facts.Row]:
        every = _choice(filters.EVERYTHING, datetime.datetime.now(datetime.UTC))
        rows = {row.run: row for row in self._rows(production, numbers, every)}
        return [rows[number] for number in numbers if number in rows]

    def in_order(self, production: int, key: str, down: bool) -> array.array[int]:
        if key not in facts.ORDERS:
            raise ValueError(f"{key} is none of {', '.join(facts.ORDERS)}")
        numbers = array.array("q")
        query = _SQL.in_order_down if down else _SQL.in_order
        for rows in self._each(query, production=production, key=key):
            numbers.extend(row[0] for row in rows)
        return numbers

    def _rows(self, production: int, candidates: Sequence[int], choice: dict[str, object]) -> list[facts.Row]:
        """Of these runs those that are meant, by number."""
        values = {"production": production, "candidates": json.dumps(list(candidates))}
        return [_row(row) for row in self._ask(_SQL.of_candidates, **values, **choice)]

    def _candidates(self, production: int, wanted: filters.Filter, after: int, down: bool) -> Iterator[list[int]]:
        """Runs that may be meant, in order, in batches: by whatever leaves the fewest."""
        way, values = self._way(production, wanted)
        if way is None:
            ranges = wanted.runs or ((0, LAST),)
            found = self._descend(production, ranges, after) if down else self._climb(production, ranges, after)
        else:
            found = self._walk(production, way, values, after, down)
        number = FIRST
        while batch := list(itertools.islice(found, number)):
            yield batch
            number = min(BATCH, 2 * number)

    def _way(self, production: int, wanted: filters.Filter) -> tuple[Way | None, Sequence[str]]:
        """How candidates are found, and the values that are asked for; None: by number."""
        if wanted.runs:
            return None, ()
        if wanted.causes:
            return _BY_CAUSE, wanted.causes
        if wanted.hosts:
            return _BY_HOST, wanted.hosts
        if wanted.states and (not wanted.datasets or self._in(production, wanted.states) <= FEW):
            return _BY_STATE, wanted.states
        if wanted.datasets:
            return _BY_DATASET, wanted.datasets
        return None, ()

    def _climb(self, production: int, ranges: Sequence[tuple[int, int]], after: int) -> Iterator[int]:
        """The runs of these ranges beyond one, by number."""
        value, number = json.dumps(ranges), FIRST
        while found := self._ask(_SQL.by_key, production=production, value=value, after=after, number=number):
            yield from (row[0] for row in found)
            after, number = found[-1][0], min(BATCH, 2 * number)

    def _descend(self, production: int, ranges: Sequence[tuple[int, int]], before: int) -> Iterator[int]:
        """The runs of these ranges below one, the highest first."""
        number = FIRST
        for low, high in reversed(ranges):
            before = min(before, high + 1)
            while low < before:
                found = self._ask(_SQL.by_key_down, production=production, low=low, before=before, number=number)
                yield from (row[0] for row in found)
                before = found[-1][0] if len(found) == number else low
                number = min(BATCH, 2 * number)

    def _walk(self, production: int, way: Way, values: Iterable[str], after: int, down: bool) -> Iterator[int]:
        """The runs with any of these values beyond one, or below it."""
        number = FIRST
        while True:
            each = [
                [row[0] for row in self._ask(way[down], production=production, value=value, after=after, number=number)]
                for value in values
            ]
            found = list(dict.fromkeys(heapq.merge(*each, reverse=down)))[:number]
            if not found:
                return
            yield from found
            after, number = found[-1], min(BATCH, 2 * number)

    def _in(self, production: int, states: tuple[str, ...]) -> int:
        return sum(number for state, number in self._ask(sql.SQL.counts, production=production) if state in states)


def _row(row: tuple[Any, ...]) -> facts.Row:
    shown = list(row)
    shown[2], shown[-1] = runs.State(shown[2]), _datasets(shown[-1])
    return facts.Row(*shown)


@functools.lru_cache(maxsize=1000)
def _datasets(text: str) -> tuple[str, ...]:
    """From a JSON list; many runs have the same."""
    return tuple(sorted(json.loads(text)))


def _choice(wanted: filters.Filter, now: datetime.datetime) -> dict[str, object]:
    """The filter as ``of_candidates`` has it."""
    lists = ("states", "datasets", "tranches", "qualities", "hosts", "causes", "users", "jobs")
    choice: dict[str, object] = {name: json.dumps(getattr(wanted, name)) for name in lists}
    choice["texts"] = json.dumps([_lower(text) for text in wanted.texts], ensure_ascii=False)
    choice["until"] = None if wanted.longer is None else clock.text(now - datetime.timedelta(seconds=wanted.longer))
    choice["since"] = None if wanted.shorter is None else clock.text(now - datetime.timedelta(seconds=wanted.shorter))
    return choice


def _lower(text: str) -> str:
    """As SQLite's lower() does it: ASCII only."""
    return "".join(character.lower() if character.isascii() else character for character in text)
