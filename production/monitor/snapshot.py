"""A production as it is now, read at once and in little time: what the head of every screen is made of."""

from __future__ import annotations

import dataclasses
import datetime
from collections.abc import Mapping, Sequence

from production import clock, errors, facts, process
from production import run as runs
from production.catalogue import library
from production.monitor import holders, known

HOURS = 24
"""Whose finished runs are counted."""
STEADY = 0.3
"""Weight of the last look in a transfer's speed: they come in bursts."""


@dataclasses.dataclass(frozen=True, slots=True)
class Speed:
    """How quick a file is on its way."""

    at: datetime.datetime
    bytes: int
    rate: float | None
    """Bytes a second; None: seen only once."""


@dataclasses.dataclass(frozen=True, slots=True)
class Machine:
    """The machine we look from."""

    cpu: float
    """Per cent of all its processors, since this was asked last."""
    memory: float
    """Per cent."""


@dataclasses.dataclass(frozen=True, slots=True)
class Snapshot:
    """One look; all of it was so at one time, or nearly."""

    at: datetime.datetime
    version: int
    """The memory's ``data_version`` then."""
    production: runs.Production
    base: str
    """Name of its base; empty: it has none."""
    closed_by: str | None
    counts: Mapping[runs.State, int]
    managers: Sequence[facts.AtWork]
    """Those of the production that have not left, the newest first."""
    trouble: Mapping[int, str]
    """{manager: why it does nothing}, as it is seen from here."""
    hours: Mapping[str, int]
    """{hour in UTC: runs finished in it}, of the last day."""
    transfers: Sequence[facts.Coming]
    speeds: Mapping[str, Speed]
    """{path: how quick it comes}."""
    jobs: facts.Jobs
    quota: facts.Quota | None
    hands: Mapping[int, Mapping[runs.State, int]]
    """{manager: how many runs it has in each state}."""
    last_words: str
    """Of the manager that left last, if that was for a reason."""

    @property
    def whole(self) -> int:
        """All runs."""
        return sum(self.counts.values())

    @property
    def left(self) -> int:
        """Runs that somebody has to do yet, and may."""
        return self.counts[runs.State.NEW] + self.in_hand

    def jobs_of(self, manager: facts.AtWork) -> int:
        """Those that it has in its batch system."""
        hands = self.hands.get(manager.id, {})
        return hands.get(runs.State.SUBMITTING, 0) + hands.get(runs.State.SUBMITTED, 0)

    @property
    def in_hand(self) -> int:
        return sum(self.counts[state] for state in runs.IN_FLIGHT)

    @property
    def datasets(self) -> list[str]:
        """Those that all of its managers take; nothing if one of them takes any."""
        taken = [{choice[0] for choice in known.choices_of(one)} for one in self.managers]
        every = set().union(*taken)
        return [] if None in every else sorted(str(name) for name in every)

    def rate(self, path: str) -> float | None:
        """Bytes a second that come of a file, if that is known."""
        speed = self.speeds.get(path)
        return speed.rate if speed else None


def take(
    memory: library.Library, production: runs.Production, before: Snapshot | None, lease: float, now: datetime.datetime
) -> Snapshot:
    """Look at a production, unless nothing was written since ``before``; ``lease``: seconds.

    Raises: CatalogueError.
    """
    version = memory.data_version()
    if before is not None and before.version == version and before.production.id == production.id:
        return dataclasses.replace(before, at=now, trouble=_trouble(before.managers, lease, now))
    there = memory.productions()
    now_there = next((one for one in there if (one.id, one.name) == (production.id, production.name)), None)
    if now_there is None:
        raise errors.CatalogueError(f"{production.name} is not in this database any more; is it another one?")
    production = now_there
    managers = [one for one in memory.records.managers() if one.production == production.name]
    transfers = memory.records.transfers(production.id)
    return Snapshot(
        at=now,
        version=version,
        production=production,
        base=next((one.name for one in there if one.id == production.base), ""),
        closed_by=memory.records.opened()[production.id].closed_by,
        counts=memory.counts(production.id),
        managers=managers,
        trouble=_trouble(managers, lease, now),
        hours=memory.records.finished_by_hour(production.id, now - datetime.timedelta(hours=HOURS)),
        transfers=transfers,
        speeds=_speeds(before.speeds if before else {}, transfers, now),
        jobs=memory.records.jobs(production.id),
        quota=memory.records.quota(production.id),
        hands=memory.records.hands(production.id),
        last_words=words if (words := memory.last_words(production.id)) not in ("", "done", "stopped") else "",
    )


def _trouble(managers: Sequence[facts.AtWork], lease: float, now: datetime.datetime) -> dict[int, str]:
    told = {
        one.id: known.trouble(one, now, lease, dead=holders.alive(one) is False, asleep=process.seen_stopped(one.owner))
        for one in managers
    }
    return {id_: text for id_, text in told.items() if text}


def _speeds(before: Mapping[str, Speed], transfers: Sequence[facts.Coming], now: datetime.datetime) -> dict[str, Speed]:
    return {one.path: _speed(before.get(one.path), one, now) for one in transfers}


def _speed(before: Speed | None, coming: facts.Coming, now: datetime.datetime) -> Speed:
    """The first guess is from the file's begin on; later ones lean on those before."""
    if before is None or coming.so_far < before.bytes:
        begun = (now - clock.instant(coming.begun)).total_seconds()
        rate = coming.so_far / begun if coming.so_far and begun > 1 else None
        return Speed(now, coming.so_far, rate)
    seconds = (now - before.at).total_seconds()
    if coming.so_far == before.bytes and seconds < 10:
        return before  # its manager writes it down now and then
    last = (coming.so_far - before.bytes) / max(seconds, 0.001)
    return Speed(now, coming.so_far, last if before.rate is None else STEADY * last + (1 - STEADY) * before.rate)


def hourly(hours: Mapping[str, int], now: datetime.datetime, number: int = HOURS) -> list[int]:
    """Finished runs of the last hours, the begun one last."""
    instants = [now - datetime.timedelta(hours=ago) for ago in range(number - 1, -1, -1)]
    return [hours.get(clock.text(at)[:13], 0) for at in instants]


def machine() -> Machine:
    """How busy this machine is."""
    import psutil  # takes its time, and the first screen doesn't wait for it

    return Machine(psutil.cpu_percent(), psutil.virtual_memory().percent)
