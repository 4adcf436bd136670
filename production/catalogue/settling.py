"""Runs of the old scripts are written down as ours, many in one go. They come from ``inherited``, one production at a time."""

from __future__ import annotations

import collections
import hashlib
from typing import Any

from production import run as runs
from production.catalogue import inherited, oddities, sql

_SQL = sql.queries("heritage.sql")

TOGETHER = 1000
"""Runs that are written in one go."""
CONFIGURATIONS = 64
"""So many texts are remembered meanwhile; they may be long."""


class Table:
    """The runs of one production on their way, so many at a time."""

    def __init__(
        self,
        connection: sql.Connection,
        campaign: inherited.Campaign,
        based: bool,
        base: int | None,
        now: str,
        odd: oddities.Oddities,
    ) -> None:
        self._connection = connection
        self._campaign = campaign
        self._based = based
        self._base = base
        self._now = now
        self._odd = odd
        self._managers: dict[str, int] = {}
        """{user: id}"""
        self._digests: dict[str | bytes, str] = {}
        self._waiting: dict[str, list[dict[str, Any]]] = collections.defaultdict(list)
        """{query: rows for it}; in the order in which they must be written"""

    def add(self, run: inherited.Inherited) -> None:
        """One more."""
        key = {"production": self._campaign.id, "run": run.run}
        state, why = self._ready(run)
        self._waiting[sql.SQL.add_run].append({"run": run.run})
        done = run.attempt
        if done is None:
            at = {"state": state.value, "owner": None, "attempt": 0, "at": self._now, "why": why}
            self._waiting[_SQL.bring_run].append(key | at)
        else:
            owner = self._manager(done.user)
            at = {"state": done.begun.value, "owner": owner, "attempt": 1, "at": done.claimed, "why": ""}
            self._waiting[_SQL.bring_run].append(key | at)
            self._waiting[_SQL.bring_attempt].append(key | self._facts(run, done, owner))
            self._waiting[_SQL.settle_run].append(key | {"state": state.value, "at": done.ended, "why": why})
        for name, path, bytes_ in run.outputs:
            where = {"name": name, "path": path, "bytes": bytes_, "recorded": done.ended if done else self._now}
            self._waiting[_SQL.bring_output].append(key | where)
        if len(self._waiting[sql.SQL.add_run]) >= TOGETHER:
            self.write()

    def write(self) -> None:
        """What has come together."""
        for query in (
            sql.SQL.add_run,
            _SQL.bring_run,
            _SQL.bring_attempt,
            _SQL.settle_run,
            _SQL.bring_output,
        ):
            self._connection.executemany(query, self._waiting[query])
        self._waiting.clear()

    def _ready(self, run: inherited.Inherited) -> tuple[runs.State, str]:
        """A run that would be new waits for its base run, if there is one."""
        if run.state is not runs.State.NEW or not self._based:
            return run.state, run.why
        at = {"production": self._base, "run": run.run}
        there = self._connection.execute(_SQL.state_of, at).fetchone()
        if there is None:
            self._odd.note("unfinished runs that the base doesn't have, held", f"{self._campaign.name} run {run.run}")
            return runs.State.HELD, "its base has no such run, so it has no input"
        return (runs.State.NEW if there[0] == runs.State.FINISHED else runs.State.WAITING), run.why

    def _facts(self, run: inherited.Inherited, done: inherited.Attempt, owner: int) -> dict[str, Any]:
        facts: dict[str, Any] = {"manager": owner, "user": done.user, "claimed": done.claimed, "ended": done.ended}
        facts |= {"submitted": done.submitted, "cause": done.cause, "message": run.why if done.cause else None}
        return facts | {"olog": done.olog, "elog": done.elog, "modules": self._digest(done.modules)}

    def _manager(self, user: str) -> int:
        if user not in self._managers:
            values = {"user": user, "production": self._campaign.id, "start": self._campaign.start, "now": self._now}
            self._managers[user] = self._connection.execute(_SQL.bring_manager, values).lastrowid
        return self._managers[user]

    def _digest(self, text: str | bytes | None) -> str | None:
        """Most runs of a production have the same configuration: it is kept once."""
        if text is None:
            return None
        if text not in self._digests:
            content = text.encode() if isinstance(text, str) else text
            digest = hashlib.sha256(content).hexdigest()
            self._connection.execute(sql.SQL.keep_modules, {"digest": digest, "text": text})
            if len(self._digests) >= CONFIGURATIONS:
                self._digests.clear()
            self._digests[text] = digest
        return self._digests[text]
