"""The disk's limit: what the last reading said, kept at most so old, and what room is left below it.

In come the settings' ``[quota]`` and the data directory, out go readings; ``usage`` does the reading, off the loop.
Next is the corridor, which claims and stages what has room.
"""

from __future__ import annotations

import dataclasses
import datetime
import functools
import threading
from collections.abc import Callable

from production import clock as clocks
from production import disk, errors, settings, threads
from production.transfer import base, replies, usage

_FRESH = 2.0
"""Intervals for which a reading holds; where nobody has asked for longer the next one is waited for."""
_PATIENCE = 600.0
"""Seconds that a reading may take before the shift is told."""
_SPARING_WALK = 20.0
"""A directory is added up no sooner again than after this many times what it took: 5 per cent of a core at most."""
_SOONEST = 1.0
"""Seconds between two readings that somebody waits for."""
_SPARING_COMMAND = 2.0
"""A program that hangs until its time limit is asked half of the time at most."""

Reader = Callable[[Callable[[], bool]], replies.Usage]
"""Reads once; is handed a call that says whether the manager wants to leave."""


def of(chosen: settings.Quota, data: str, clock: clocks.Clock, elsewhere: usage.Elsewhere | None = None) -> base.Quota:
    """The quota of the settings, for the disk under ``data``; or for one that only another machine sees."""
    if chosen.reader == "filesystem" and elsewhere is None:
        return Disk(data, chosen.limit, clock)
    sparing = _SPARING_WALK if chosen.reader == "directory" else _SPARING_COMMAND
    return Gauge(functools.partial(_read, chosen, elsewhere or usage.Here(data)), clock, chosen.interval, sparing)


def _read(chosen: settings.Quota, place: usage.Place, leaving: Callable[[], bool]) -> tuple[int, int]:
    """Used and limit: the smallest of the reader's, the settings' and what still fits on the disk.

    Raises: QuotaUnread: also if nobody says a limit.
    """
    if chosen.reader == "filesystem":
        used, size = place.filesystem(leaving)
        return used, size if chosen.limit is None else min(size, chosen.limit)
    name, reader = _reader(chosen, place, leaving)
    used, found = reader(leaving)
    limits = [one for one in (found, chosen.limit) if one is not None]
    if not limits:
        raise errors.QuotaUnread(f'{name}: there is no limit; say one in the settings, quota.limit = "2T"')
    there, size = place.filesystem(leaving)
    return used, min(*limits, used + size - there)


def _reader(chosen: settings.Quota, place: usage.Place, leaving: Callable[[], bool]) -> tuple[str, Reader]:
    """Who reads, and its name. Without arguments a program is asked for our own quota, and on that disk if it can be told which."""
    if chosen.reader == "directory":
        return str(place), place.sum
    command = _command(chosen, place, leaving)
    return str(command), command


def _command(chosen: settings.Quota, place: usage.Place, leaving: Callable[[], bool]) -> usage.Command:
    whose = chosen.arguments
    ask = functools.partial(usage.Command, run=place.run, where=place.where)
    if chosen.reader == "mmlsquota":
        return ask(["mmlsquota", "-Y", *whose], replies.parse_mmlsquota)
    if chosen.reader == "lfs":
        whose = whose or ("-u", place.user(leaving), place.standing(leaving))
        return ask(["lfs", "quota", "-q", *whose], replies.parse_lfs)
    whose = whose or ("-f", place.mount_point(leaving))
    return ask(["quota", "-w", "-p", *whose], replies.parse_quota, over=True)


class Disk:
    """The whole file system: asked each time, it costs nothing."""

    def __init__(self, data: str, limit: int | None, clock: clocks.Clock) -> None:
        self._data = data
        self._limit = limit
        self._clock = clock

    def reading(self) -> base.Reading:
        began = self._clock.now()
        used, size = usage.filesystem(self._data)
        return base.Reading(used, size if self._limit is None else min(size, self._limit), began)

    def renew(self) -> None:
        """Each reading is new."""

    def close(self) -> None:
        """Nothing is open."""


@dataclasses.dataclass(frozen=True, slots=True)
class _Try:
    """One reading, or why there is none."""

    began: datetime.datetime
    boottime: float
    took: float
    found: tuple[int, int] | None
    trouble: errors.QuotaUnread | None = None


class Gauge:
    """Reads in a thread of its own, one reading at a time, when asked and due; the clock is woken when it comes."""

    def __init__(
        self,
        read: Callable[[Callable[[], bool]], tuple[int, int]],
        clock: clocks.Clock,
        interval: float,
        sparing: float = _SPARING_COMMAND,
    ) -> None:
        """Begins the first reading. ``sparing``: the next begins no sooner than after so many times its duration."""
        self._read = read
        self._clock = clock
        self._interval = interval
        self._sparing = sparing
        self._crew = threads.Crew("quota", 1, clock.wake)
        self._lock = threading.Lock()
        self._last: _Try | None = None
        self._reading = False
        self._since = 0.0
        with self._lock:
            self._begin()

    def reading(self) -> base.Reading | None:
        last, age, waiting = self._due(self._interval)
        if last is None or age > _FRESH * self._period(last):
            if waiting > _PATIENCE:
                raise errors.QuotaUnread(f"the quota has been read for {waiting / 60:.0f} minutes without an answer")
            return None
        if last.found is None:
            raise errors.QuotaUnread(str(last.trouble)) from last.trouble
        return base.Reading(*last.found, last.began)

    def renew(self) -> None:
        self._due(_SOONEST)

    def close(self) -> None:
        """End the reading at its next file, or its program."""
        self._crew.dismiss(5.0)

    def _due(self, interval: float) -> tuple[_Try | None, float, float]:
        """The last try, its age and how long the next is under way, in seconds; it begins if it is due."""
        now = self._clock.boottime()
        with self._lock:
            last = self._last
            age = now - last.boottime if last else 0.0
            if not self._reading and (last is None or age >= max(interval, self._sparing * last.took)):
                self._begin()
            return last, age, now - self._since

    def _period(self, last: _Try) -> float:
        return max(self._interval, self._sparing * last.took)

    def _begin(self) -> None:
        self._reading, self._since = True, self._clock.boottime()
        try:
            self._crew.give(self._try)
        except RuntimeError as error:
            now, boottime = self._clock.now(), self._clock.boottime()
            trouble = errors.QuotaUnread(f"the quota can't be read: {disk.first_line(error)}")
            self._last = _Try(now, boottime, 0.0, None, trouble)
            self._reading = False

    def _try(self) -> None:
        began, boottime = self._clock.now(), self._clock.boottime()
        found, trouble = None, None
        try:
            found = self._read(lambda: self._crew.dismissed)
        except errors.QuotaUnread as error:
            trouble = error
        except BaseException as error:  # noqa: BLE001 -- a reading that never ends would be waited for, for ever
            trouble = errors.QuotaUnread(f"the quota can't be read: {type(error).__name__}: {disk.first_line(error)}")
        took = self._clock.boottime() - boottime
        with self._lock:
            self._last = _Try(began, boottime, took, found, trouble)
            self._reading = False
