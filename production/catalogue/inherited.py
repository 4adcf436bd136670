"""One run of the old scripts, as it was written down, and what becomes of it. Rows come from ``old``; ``heritage`` writes."""

from __future__ import annotations

import dataclasses
import datetime
import os
import stat
from collections.abc import Sequence
from typing import Any

from production import clock
from production import run as runs
from production.catalogue import oddities, zone

LONGEST = 999_999_999
"""The highest number a run may have, as in ``production datasets add``."""
UNKNOWN = -1
"""Bytes of an output that isn't there to be measured."""


@dataclasses.dataclass(frozen=True, slots=True)
class Campaign:
    """A production of the old database that can be one of ours."""

    id: int
    program: str
    version: int
    tag: str
    start: str
    stop: str | None
    base: int | None
    """Version of the base production."""
    table: str

    @property
    def name(self) -> str:
        """``alcapana_v3``."""
        return f"{self.program}_v{self.version}"


@dataclasses.dataclass(frozen=True, slots=True)
class Attempt:
    """What is known of the one attempt that is known. Instants are text."""

    begun: runs.State
    """How far it had come."""
    user: str
    claimed: str
    submitted: str | None
    ended: str
    cause: runs.Cause | None
    olog: str | bytes | None
    elog: str | bytes | None
    modules: str | bytes | None
    """The configuration's text."""


@dataclasses.dataclass(frozen=True, slots=True)
class Inherited:
    """A run as we shall have it."""

    run: int
    state: runs.State
    why: str
    attempt: Attempt | None
    outputs: tuple[tuple[str, str | bytes, int], ...]
    """(name, path, bytes)"""


class Reader:
    """Reads the rows of one production's table."""

    def __init__(
        self,
        campaign: Campaign,
        outputs: Sequence[str],
        file: str,
        now: datetime.datetime,
        times: zone.Times,
        odd: oddities.Oddities,
    ) -> None:
        """``file`` is what the old database is called."""
        self._campaign = campaign
        self._outputs = outputs
        self._file = file
        self._now = clock.text(now)
        self._times = times
        self._odd = odd
        self._last: int | None = None

    def read(self, row: Sequence[Any]) -> Inherited | None:
        """What becomes of a row as ``old.runs`` gives them, by run; None: nothing."""
        run, status, user, *rest = row
        number, name = whole(run), self._campaign.name
        if number is None:
            self._odd.note("runs that are no number, left out", f"{name} {run!r}")
            return None
        if number == self._last:
            self._odd.note(
                "lines of runs that were there already, left out (a finished one comes first)", f"{name} run {number}"
            )
            return None
        self._last = number
        who = plain(user) or ""
        state, why = self._fate(number, status, who)
        outputs = self._found(number, rest[5:])
        attempt = self._attempt(number, status, who, rest[:5])
        if status == "N" and not outputs and attempt.submitted is None and all(one is None for one in rest[:5]):
            return Inherited(number, state, "", None, ())
        if status == "F" and self._outputs and not outputs:
            self._odd.note("finished runs of which no output is written down", f"{name} run {number}")
        return Inherited(number, state, why, attempt, outputs)

    def _fate(self, run: int, status: object, user: str) -> tuple[runs.State, str]:
        """Where it goes on, and why."""
        by = f" by {user}" if user else ""
        if status == "F":
            return runs.State.FINISHED, f"finished by the old scripts; imported from {self._file}"
        if status == "N":
            return runs.State.NEW, f"given back by the old scripts; imported from {self._file}"
        if status in ("C", "R"):
            self._odd.note("runs still marked C or R, new again", f"{self._campaign.name} run {run}{by}")
            return runs.State.NEW, f"was still marked {status}{by} in {self._file}; its manager is gone"
        self._odd.note("runs with a status that says nothing, held", f"{self._campaign.name} run {run} {status!r}")
        return runs.State.HELD, f"its status was {status!r}{by} in {self._file}: look what became of it"

    def _attempt(self, run: int, status: object, user: str, facts: Sequence[Any]) -> Attempt:
        start, stop, olog, elog, modules = facts
        whose = f"{self._campaign.name} run {run}"
        begun = self._times.read(start, whose)
        ended = self._times.read(stop, whose, begun)
        gone = status in ("C", "R")
        cause = None if status == "F" else runs.Cause.RELEASED if status in ("N", "C") else runs.Cause.LOST
        known = clock.text(begun or ended) if begun or ended else self._campaign.start
        return Attempt(
            runs.State.CLAIMED if status in ("N", "C") else runs.State.SUBMITTED,
            user,
            known,
            clock.text(begun) if begun else None,
            self._now if gone else clock.text(ended) if ended else known,
            cause,
            _kept(olog),
            _kept(elog),
            _kept(modules),
        )

    def _found(self, run: int, paths: Sequence[Any]) -> tuple[tuple[str, str | bytes, int], ...]:
        """What it wrote, or is said to have written; its name stays as it is."""
        found = []
        for name, told in zip(self._outputs, paths, strict=True):
            path = _kept(told)
            if path is None:
                continue
            bytes_ = size(path)
            if bytes_ == UNKNOWN:
                text = isinstance(path, str) and "\n" in path
                what = (
                    "outputs whose text stands in the place of a path, kept so"
                    if text
                    else "outputs that aren't where they should be"
                )
                self._odd.note(what, f"{self._campaign.name} run {run} {name}" + ("" if text else f" {path!r}"))
            found.append((name, path, bytes_))
        return tuple(found)


def whole(told: object) -> int | None:
    """The whole number that was written down, if it is one."""
    if isinstance(told, str) and told.strip().isascii() and told.strip().isdecimal() and len(told) < 20:
        told = int(told)
    return told if isinstance(told, int) and 0 <= told <= LONGEST else None


def plain(told: object) -> str | None:
    """A word as text."""
    if told is None:
        return None
    return told.decode("utf-8", "replace") if isinstance(told, bytes) else str(told)


def _kept(told: object) -> str | bytes | None:
    """To the byte."""
    return told if told is None or isinstance(told, str | bytes) else str(told)


def size(path: str | bytes) -> int:
    """Bytes of a file, or UNKNOWN."""
    try:
        there = os.stat(path) if os.path.isabs(path) else None
    except (OSError, ValueError):
        return UNKNOWN
    return there.st_size if there and stat.S_ISREG(there.st_mode) else UNKNOWN
