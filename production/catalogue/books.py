"""What an audit asks of the memory: everything that was written down, a few thousand runs at a time. See ``library.Books``."""

from __future__ import annotations

import collections
import json
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from production import facts
from production import run as runs
from production.catalogue import sql

Ask = Callable[..., list[tuple[Any, ...]]]
"""Asks a query with its parameters as keywords."""

_SQL = sql.queries("books.sql")

BATCH = 2000
"""Runs that are read together."""
PATHS = 20_000
"""Paths that are."""


class Books:
    """Questions; see ``library.Books``."""

    def __init__(self, ask: Ask) -> None:
        self._ask = ask

    def numbers(self, production: int) -> Iterator[list[int]]:
        after = -1
        while rows := self._ask(_SQL.numbers, production=production, after=after, number=BATCH):
            yield [row[0] for row in rows]
            after = rows[-1][0]

    def accounts(self, production: int, numbers: Sequence[int]) -> list[facts.Account]:
        chosen = {"production": production, "runs": json.dumps(list(numbers))}
        written = self._by_run(_SQL.written, facts.Written, chosen)
        asides = self._by_run(_SQL.put_aside, facts.Aside, chosen)
        needs = self._by_run(_SQL.needs, facts.Input, chosen)
        busy = self._by_run(_SQL.busy, str, chosen)
        return [
            facts.Account(
                run, label, runs.State(state), owner,
                tuple(written[run]), tuple(asides[run]), tuple(needs[run]), tuple(busy[run]),
            )
            for run, label, state, owner in self._ask(_SQL.states, **chosen)
        ]  # fmt: skip

    def _by_run(self, query: str, kind: Callable[..., Any], chosen: dict[str, object]) -> dict[int, list[Any]]:
        found = collections.defaultdict(list)
        for run, *rest in self._ask(query, **chosen):
            found[run].append(kind(*rest))
        return found

    def columns(self, production: int) -> list[str]:
        return [row[0] for row in self._ask(_SQL.columns, production=production)]

    def paths(self) -> Iterator[str]:
        for query, key in ((_SQL.output_paths, (0, 0, "")), (_SQL.aside_paths, (0, 0, "", 0))):
            names, last = ("production", "run", "name", "attempt")[: len(key)], key
            while rows := self._ask(query, number=PATHS, **dict(zip(names, last, strict=True))):
                for row in rows:
                    yield from row[len(key) :]
                last = rows[-1][: len(key)]
        yield from (row[0] for row in self._ask(_SQL.other_paths))

    def holders(self) -> list[facts.AtWork]:
        return [facts.AtWork(*row) for row in self._ask(_SQL.holders)]

    def transfers(self) -> list[tuple[str, int]]:
        return [(path, manager) for path, manager in self._ask(_SQL.transfers)]

    def stale(self, production: int) -> list[tuple[int, runs.State]]:
        return [(run, runs.State(state)) for run, state in self._ask(_SQL.stale, production=production)]

    def uneven(self, production: int) -> list[tuple[runs.State, int, int]]:
        rows = self._ask(_SQL.uneven, production=production)
        return [(runs.State(state), counted, there) for state, counted, there in rows]
