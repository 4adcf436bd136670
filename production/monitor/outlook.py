"""What is known of a production's way to its end: what is left, who works on it, what runs took; and the estimate.

The memory's answers come in, an ``Outlook`` leaves for whoever shows it; ``estimate`` does the sums.
"""

from __future__ import annotations

import dataclasses
import datetime
from collections.abc import Sequence

from production import clock, facts
from production import run as runs
from production.catalogue import library
from production.monitor import estimate, holders

JOBS = 5000
"""Whose ages are asked for; further ones count as not begun."""
MANAGERS = 300
"""The newest, among which those of a production are looked for."""
BASES = 5
"""Productions one upon another that are looked at."""
DAY = datetime.timedelta(hours=24)

_HAVE_A_JOB = (runs.State.SUBMITTING, runs.State.SUBMITTED, runs.State.ENDED)
_PARTS = ("staging", "queue", "running")


@dataclasses.dataclass(frozen=True, slots=True)
class Outlook:
    """A production as it stands, and when it will be finished."""

    production: str
    counts: dict[runs.State, int]
    in_vain: int
    """Waiting runs whose base run failed or is held."""
    managers: int
    """At work."""
    silent: int
    """That should be, but have not been heard of for a lease."""
    dead: int
    """That are seen to be gone from here, and have not left."""
    places: int
    """Jobs at a time: theirs, or with nobody at work one manager's."""
    used: float
    """Share of the places that had a job, on average."""
    spans: dict[str, tuple[float, float] | None]
    """{staging, queue, running: seconds, (median, 90 %)}; None: not known."""
    failing: float | None
    """Share of the last attempts that failed."""
    hours: dict[str, int]
    """{hour in UTC: runs finished in it}, of the last day."""
    forecast: estimate.Forecast | None
    why: str
    """Why there is none; empty if there is one."""
    base: Outlook | None = None
    """Of its base, if runs wait for that."""

    @property
    def left(self) -> int:
        """Runs that will be done by themselves."""
        flying = sum(self.counts[state] for state in runs.IN_FLIGHT)
        return self.counts[runs.State.NEW] + flying + self.waiting

    @property
    def waiting(self) -> int:
        """Those of them that wait for their base run."""
        return max(0, self.counts[runs.State.WAITING] - self.in_vain)

    @property
    def running(self) -> int:
        return sum(self.counts[state] for state in _HAVE_A_JOB)


def look(
    catalogue: library.Library,
    production: runs.Production,
    now: datetime.datetime,
    *,
    nproc: int,
    lease: float,
    deep: int = BASES,
) -> Outlook:
    """The outlook of a production; with nobody at work, as if one manager with ``nproc`` places were."""
    took, whole = catalogue.records.took(production.id, estimate.LAST)
    trips = estimate.trips(took)
    ages = tuple(
        max(0.0, now.timestamp() - estimate.seconds(at)) for at in catalogue.records.running(production.id, JOBS)
    )
    every = [
        one for one in catalogue.records.managers(everybody=True, number=MANAGERS) if one.production == production.name
    ]
    there = [one for one in every if one.stop is None and one.lapsed is None]
    living = [one for one in there if holders.alive(one) is not False]
    silent = [one for one in living if one.silent(now, lease)]
    working = [one for one in living if one not in silent]
    found = Outlook(
        production=production.name,
        counts=catalogue.counts(production.id),
        in_vain=catalogue.in_vain(production.id)[0] if production.base else 0,
        managers=len(working),
        silent=len(silent),
        dead=len(there) - len(living),
        places=sum(one.nproc or 0 for one in working) or nproc,
        used=estimate.used(trips, ages, [_shift(one, one in working, now) for one in every], now.timestamp()),
        spans={part: _span([getattr(trip, part) for trip in trips if trip.finished]) for part in _PARTS},
        failing=sum(not trip.finished for trip in trips) / len(trips) if trips else None,
        hours=catalogue.records.finished_by_hour(production.id, now - DAY),
        forecast=None,
        why="",
    )
    if found.waiting and deep > 0:
        found = dataclasses.replace(found, base=_base(catalogue, production, now, nproc, lease, deep))
    if production.stop is not None and found.left:
        return dataclasses.replace(found, why="it is closed: nothing more of it is claimed")
    return _foretold(found, trips, ages, whole=whole)


def _base(
    catalogue: library.Library,
    production: runs.Production,
    now: datetime.datetime,
    nproc: int,
    lease: float,
    deep: int,
) -> Outlook | None:
    there = next((one for one in catalogue.productions() if one.id == production.base), None)
    if there is None:
        return None
    return look(catalogue, there, now, nproc=nproc, lease=lease, deep=deep - 1)


def _foretold(found: Outlook, trips: Sequence[estimate.Trip], ages: tuple[float, ...], *, whole: bool) -> Outlook:
    """The outlook with its forecast, or with the reason why there is none."""
    if not found.left:
        return dataclasses.replace(found, why="nothing is left to be done")
    after = found.base.forecast if found.base else None
    left = found.left - len(ages) - (found.waiting if found.base and after is None else 0)
    standing = estimate.Standing(max(0, left), ages, tuple(trips), whole, found.places * found.used)
    finished = sum(trip.finished for trip in trips)
    if finished < estimate.LEAST:
        had = "no run is finished" if not finished else f"only {finished} finished"
        return dataclasses.replace(found, why=f"it can't be told yet: {had}")
    if estimate.too_early(standing):
        return dataclasses.replace(found, why="it can't be told yet: most of the first jobs still run")
    if left <= 0 and not ages:
        return dataclasses.replace(found, why="it can't be told: all that is left waits for its base")
    return dataclasses.replace(found, forecast=estimate.foretell(standing, after))


def _shift(one: facts.AtWork, working: bool, now: datetime.datetime) -> estimate.Shift:
    end = now.timestamp() if working else estimate.seconds(one.stop or one.lapsed or one.beat)
    return estimate.Shift(estimate.seconds(one.start), end, one.nproc or 0)


def _span(known: Sequence[float | None]) -> tuple[float, float] | None:
    values = [value for value in known if value is not None]
    return (estimate.quantile(values, 0.5), estimate.quantile(values, 0.9)) if values else None


def last_hour(hours: dict[str, int], now: datetime.datetime) -> int:
    """Runs that were finished in the last full hour."""
    return hours.get(clock.text(now - datetime.timedelta(hours=1))[:13], 0)
