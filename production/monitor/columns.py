"""The columns of a table of runs, as data: for ``production runs`` and the dashboard."""

from __future__ import annotations

import dataclasses
import datetime
import re
from collections.abc import Callable
from typing import Any, TypeAlias

from production import facts, moment
from production import run as runs
from production.monitor import table


@dataclasses.dataclass(frozen=True, slots=True)
class Seen:
    """Where we look from."""

    now: datetime.datetime
    data: str
    """Directory of the production: files below it are told by their path from there."""
    narrow: bool
    """On a terminal that path is too long, too: by their names."""


Cell: TypeAlias = Callable[[facts.Row, Seen], str]


def job(row: facts.Row, _seen: Seen) -> str:
    """Of a job of this machine the process: what else its id says is for programs."""
    said = row.job or ""
    return said.partition("@")[0].partition(".")[0] if "@" in said else said


def _host(row: facts.Row, _seen: Seen) -> str:
    """Where its job runs, or has run; of a run that will be given another job, nothing."""
    if row.state in (runs.State.NEW, runs.State.WAITING):
        return ""
    return row.host or ((row.job or "").rpartition("/")[2] if "@" in (row.job or "") else "")


def _message(row: facts.Row, seen: Seen) -> str:
    """Why it ended, or stands where it stands; and what will be next, if that is not seen in its state."""
    text, directory = (row.cause and not row.asked_by and row.message) or row.why, f"{seen.data.rstrip('/')}/"
    if seen.narrow:
        text = re.sub(rf"{re.escape(directory)}(?:[^\s/]+/)+", "…/", text)
        text = "; ".join(filter(None, (_next(row, seen.now), text)))
    return text.replace(directory, "")


def _next(row: facts.Row, now: datetime.datetime) -> str:
    if row.state is runs.State.NEW and row.not_before is not None and (left := -moment.since(row.not_before, now)) > 0:
        return f"again in {moment.span(left)}"
    if row.state is runs.State.SUBMITTED:
        return "running" if row.began is not None or row.batch == "local" else "in the queue"
    if row.state in runs.IN_FLIGHT and row.failures:
        return "failed before" if row.failures == 1 else f"failed {row.failures} times before"
    return ""


COLUMNS: dict[str, tuple[table.Column, Cell]] = {
    "run": (table.Column("run", rank=0, right=True), lambda row, _: str(row)),
    "datasets": (table.Column("datasets", rank=6), lambda row, _: " ".join(row.datasets)),
    "state": (table.Column("state", least=9, rank=0), lambda row, _: row.state.value),
    "attempt": (table.Column("attempt", rank=4, right=True), lambda row, _: str(row.attempt or "")),
    "host": (table.Column("host", least=6, rank=4), _host),
    "job": (table.Column("job", least=6, rank=7), job),
    "since": (table.Column("since", least=7, rank=3, right=True), lambda row, seen: moment.age(row.since, seen.now)),
    "duration": (
        table.Column("duration", least=8, rank=4, right=True),
        lambda row, seen: moment.span(row.took(seen.now)),
    ),
    "cause": (table.Column("cause", least=9, rank=1), lambda row, _: row.cause or ""),
    "message": (table.Column("message", least=20, rank=2, enough=40), _message),
    "user": (table.Column("user", rank=4), lambda row, _: row.user or ""),
    "manager": (table.Column("manager", least=8, rank=5), lambda row, _: row.manager or ""),
    "failures": (table.Column("failures", least=8, rank=5, right=True), lambda row, _: str(row.failures)),
    "priority": (table.Column("priority", least=8, rank=5, right=True), lambda row, _: str(row.priority)),
    "submitted": (table.Column("submitted", least=19, rank=5), lambda row, _: moment.shown(row.submitted)),
    "began": (table.Column("began", least=19, rank=5), lambda row, _: moment.shown(row.began)),
    "not_before": (table.Column("not_before", least=19, rank=5), lambda row, _: moment.shown(row.not_before)),
    "asked_by": (table.Column("asked_by", least=8, rank=5), lambda row, _: row.asked_by or ""),
}
"""{what --columns calls it: (column, what stands in it)}."""

_STATES = {state: place for place, state in enumerate(runs.State)}

KEYS: dict[str, Callable[[facts.Row], Any]] = {
    "run": lambda row: row.run,
    "datasets": lambda row: row.datasets,
    "state": lambda row: _STATES[row.state],
    "attempt": lambda row: row.attempt,
    "since": lambda row: row.since,
    "host": lambda row: row.host or "",
    "cause": lambda row: row.cause or "",
    "user": lambda row: row.user or "",
    "failures": lambda row: row.failures,
    "priority": lambda row: row.priority,
    "submitted": lambda row: row.submitted or "",
}
"""{column that a table can be sorted by: what is compared}."""
