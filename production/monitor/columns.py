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


def _where(row: facts.Row, seen: Seen) -> str:
    """``n03:4711``; of a job that waits its number."""
    said = row.job or ""
    host = row.host or (said.rpartition("/")[2] if "@" in said else "")
    return ":".join(filter(None, (host, job(row, seen))))


def _message(row: facts.Row, seen: Seen) -> str:
    text, directory = (row.cause and row.message) or row.why, f"{seen.data.rstrip('/')}/"
    if seen.narrow:
        text = re.sub(rf"{re.escape(directory)}(?:[^\s/]+/)+", "…/", text)
    return text.replace(directory, "")


def _said(row: facts.Row, seen: Seen) -> str:
    """Cause and message; of what goes well the last word."""
    told = _message(row, seen)
    return f"{row.cause}: {told}" if row.cause and row.cause not in told else told or row.cause or ""


COLUMNS: dict[str, tuple[table.Column, Cell]] = {
    "run": (table.Column("run", rank=0, right=True), lambda row, _: str(row)),
    "datasets": (table.Column("datasets", rank=6), lambda row, _: " ".join(row.datasets)),
    "state": (table.Column("state", least=9, rank=0), lambda row, _: row.state.value),
    "attempt": (table.Column("attempt", rank=4, right=True), lambda row, _: str(row.attempt or "")),
    "host": (table.Column("host", least=6, rank=4), lambda row, _: row.host or ""),
    "job": (table.Column("job", least=6, rank=5), job),
    "where": (table.Column("where", least=6, rank=4), _where),
    "since": (table.Column("since", least=7, rank=3, right=True), lambda row, seen: moment.age(row.since, seen.now)),
    "duration": (
        table.Column("duration", least=8, rank=4, right=True),
        lambda row, seen: moment.span(row.took(seen.now)),
    ),
    "cause": (table.Column("cause", least=9, rank=1), lambda row, _: row.cause or ""),
    "message": (table.Column("message", least=20, rank=2, enough=40), _message),
    "said": (table.Column("cause or message", least=16, rank=1, enough=40), _said),
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

SORTED = {
    "run": "run", "datasets": "datasets", "state": "state", "attempt": "attempt", "host": "host", "where": "host",
    "since": "since", "cause": "cause", "said": "cause", "user": "user", "failures": "failures",
    "priority": "priority", "submitted": "submitted",
}  # fmt: skip
"""{column: what it is sorted by}; by others a table can't be."""

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
"""{what --sort calls it: what is compared}."""
