"""What becomes of a run whose attempt ended without success: once more, when, with what; or not at all. Pure."""

from __future__ import annotations

import dataclasses
import datetime
import itertools
from collections.abc import Sequence

from production import run as runs
from production import settings

NOT_COUNTED = frozenset({runs.Cause.RELEASED, runs.Cause.NODE})
"""Not the run's own doing, so not held against it."""

GROWTH = 1.5
"""So many times what was used, or asked for, is asked for by an attempt that follows one that had too little."""

NODES = 5
"""Nodes in a row that may be lost under a run, before somebody looks whether it is the run that makes them fall."""

AVOIDED = 8
"""Hosts that are avoided at most; the last that were lost."""


@dataclasses.dataclass(frozen=True, slots=True)
class Next:
    """Where the run goes, with how many failures, and not before when."""

    state: runs.State
    failures: int
    counted: bool
    not_before: datetime.datetime | None = None
    note: str = ""
    """Why it isn't tried again although it might be; with the mend."""
    asked_by: str | None = None
    """The person who wants it so; None: nobody did."""


def after(run: runs.Run, cause: runs.Cause, retry: settings.Retry, now: datetime.datetime, lost: int = 0) -> Next:
    """The next state of ``run`` after its attempt ended for ``cause``, and so many before it for ``node``."""
    if cause is runs.Cause.NODE and lost + 1 >= NODES:
        return Next(
            runs.State.HELD, run.failures, False, note=f"{NODES} times in a row: look whether it is the run's doing"
        )
    if cause is runs.Cause.NODE:  # not at once: the next host may be in the same trouble
        pause = min(retry.longest, retry.pause * retry.factor**lost)
        return Next(runs.State.NEW, run.failures, False, now + datetime.timedelta(seconds=pause))
    if cause in NOT_COUNTED:
        return Next(runs.State.NEW, run.failures, False)
    failures = run.failures + 1
    if failures >= retry.limit:
        return Next(runs.State.FAILED, failures, True)
    if most := _had_the_most(run.asked, cause, retry):
        return Next(runs.State.FAILED, failures, True, note=f"it had all that {most} allows; raise that, and retry it")
    seconds = min(retry.longest, retry.pause * retry.factor ** (failures - 1))
    return Next(runs.State.NEW, failures, True, now + datetime.timedelta(seconds=seconds))


def _had_the_most(asked: runs.Resources | None, cause: runs.Cause, retry: settings.Retry) -> str:
    """The setting that keeps the next attempt from asking for more of what this one lacked; empty if none does."""
    if asked is None:
        return ""
    pairs = {runs.Cause.TIME: (asked.time, retry.time), runs.Cause.MEMORY: (asked.memory, retry.memory)}
    had, most = pairs.get(cause, (None, None))
    return f"retry.{cause}" if had is not None and most is not None and had >= most else ""


def resources(asked: runs.Resources, retry: settings.Retry, earlier: Sequence[runs.Earlier]) -> runs.Resources:
    """What the next attempt asks for: what the program does, or more of what earlier ones had too little of."""
    time: float | None = asked.time
    memory: float | None = asked.memory
    for one in earlier:
        had = one.asked or asked
        if one.cause is runs.Cause.TIME:
            time = _more(time, had.time, one.wall, retry.time)
        if one.cause is runs.Cause.MEMORY:
            memory = _more(memory, had.memory, one.memory, retry.memory)
    return dataclasses.replace(asked, time=time, memory=None if memory is None else round(memory))


def _more(now: float | None, had: float | None, used: float | None, most: float | None) -> float | None:
    """Never less than now. With nothing known there is nothing to grow from."""
    known = [amount for amount in (had, used) if amount is not None]
    if not known:
        return now
    grown = GROWTH * max(known)
    return max(now or 0, grown if most is None else min(grown, most))


def lost(earlier: Sequence[runs.Earlier]) -> list[str | None]:
    """The hosts, as far as known, of the last attempts in a row that lost their node; the latest first."""
    last = itertools.takewhile(lambda one: one.cause in NOT_COUNTED, reversed(earlier))
    return [one.host for one in last if one.cause is runs.Cause.NODE]


def avoided(earlier: Sequence[runs.Earlier]) -> tuple[str, ...]:
    """Hosts that were lost under the run and nothing else since; sorted."""
    return tuple(sorted(set(list(filter(None, lost(earlier)))[:AVOIDED])))
