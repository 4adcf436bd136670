"""Whether the disk has room for more: its limit and what is used of it, less what is promised, to all managers.

A claim promises the room for a run's input and outputs; ordering a file looks again, for sizes are known only by then.
Running work is never touched.
"""

from __future__ import annotations

import dataclasses
import datetime
import logging

from production import clock as clocks
from production import errors
from production.catalogue import base
from production.journal import CALM, once, over, waiting
from production.transfer import base as transfer

HYSTERESIS = 1.0
"""Per cent of the quota that have to be free again before staging goes on."""
SETTLED = datetime.timedelta(seconds=10)
"""After the last run's end: for so long its outputs count as promised, whatever a reading says."""
MEND = "no run computes that would free any: remove something there, or raise the limit or --spacelim"


@dataclasses.dataclass(frozen=True, slots=True)
class Left:
    """Bytes that are left within the limit; negative if it is passed."""

    unpromised: int
    """For a run that nobody has claimed."""
    unordered: int
    """For a claimed run's input that nobody has ordered, and for its outputs."""
    most: int
    """With an empty disk."""
    idle: bool
    """No input is on its way and no run computes."""


class Room:
    """The room that a manager's data directory has."""

    def __init__(
        self,
        quota: transfer.Quota,
        data: str,
        spacelim: float,
        catalogue: base.Catalogue,
        clock: clocks.Clock,
        where: str = "",
    ) -> None:
        """``data`` is the real path of the directory, ``spacelim`` per cent of the quota that may be used.

        ``where``: what the shift is told instead of ``data``, if the disk is another machine's.
        """
        self.where = where or data
        self._quota = quota
        self._data = data
        self._spacelim = spacelim
        self._catalogue = catalogue
        self._clock = clock
        self._braked = False
        self._looked: transfer.Reading | None = None
        """What the last look was at."""
        self._known: transfer.Reading | None = None
        """The last reading there was."""
        self._still: datetime.datetime | None = datetime.datetime.min.replace(tzinfo=datetime.UTC)
        """Since when no run is seen to compute: a later reading has seen what their ends freed."""
        self._waits: dict[str, tuple[str, float]] = {}
        """{topic: what there is no room for, and since when}."""

    def look(self, change: base.Change) -> Left | None:
        """What is left now, in the transaction that takes of it. None: it can't be told; says so, once."""
        self._see()
        reading = self._looked = self._read()
        if reading is None:
            return None
        promised = change.promised(self._data, reading.began)
        most = within(reading.limit, self._spacelim)
        left = most - reading.used - promised.ordered
        if self._braked:
            left = min(left, 0)
        if left <= promised.claimed:
            self._quota.renew()
        return Left(left - promised.claimed, left, most, not promised.ordered)

    def full(self) -> bool:
        """Whether the limit is seen to be passed, so that no job should begin to write."""
        return self._read() is not None and self._braked

    def seen(self) -> base.Seen | None:
        """How full the disk was at the last look, whenever that was; None: there was none. Nothing is read for it."""
        reading = self._known
        if reading is None:
            return None
        return base.Seen(reading.used, reading.limit, within(reading.limit, self._spacelim), reading.began)

    def _read(self) -> transfer.Reading | None:
        try:
            reading = self._quota.reading()
        except errors.QuotaUnread as trouble:
            text = f"{trouble}; nothing new is staged until it can be read"
            waiting("quota unread", text, self._clock.boottime())
            return None
        if reading is not None:  # else it is being read
            self._known = reading
            over("quota unread", "The quota can be read again")
            self._brake(reading)
        return reading

    def short(self, text: str) -> None:
        """A run waits for room: says so, if it does for longer; the disk is looked at again soon."""
        if self._looked is not None:
            self._wait("room", text, self._looked)
        self._quota.renew()

    def few(self, each: int, left: Left) -> None:
        """There is not room for as many runs as we might have: says so, once, as it is no trouble."""
        text = f"There is room for few runs at a time under {self.where}; others are claimed as these finish"
        figures = f" ({shown(max(0, left.unpromised))} left, a run is expected to need {shown(each)})"
        once("few", text, logging.INFO, figures)
        self._quota.renew()

    def _brake(self, reading: transfer.Reading) -> None:
        """Told when the limit is passed, and when it is left again by 1 % of it: no flapping between."""
        if not self._braked and reading.used >= within(reading.limit, self._spacelim):
            self._braked = True
        elif self._braked and reading.used < within(reading.limit, self._spacelim - HYSTERESIS):
            self._braked = False
            self._waits.pop("quota", None)
            over("quota", f"There is room under {self.where} again: {_use(reading)}; staging goes on")
        if self._braked:
            self._wait("quota", f"No room under {self.where}: nothing new is staged or submitted", reading)
            self._quota.renew()

    def _see(self) -> None:
        if self._catalogue.computing(self._data):
            self._still = None
        elif self._still is None:
            self._still = self._clock.now()

    def _wait(self, topic: str, text: str, reading: transfer.Reading) -> None:
        """Say what there is no room for. What computes frees some when it ends: then only if it lasts."""
        now = self._clock.boottime()
        if self._waits.get(topic, ("", 0.0))[0] != text:
            self._waits[topic] = text, now
        lasting = now - self._waits[topic][1] >= CALM
        self._see()
        figures = (
            f" ({_use(reading)}, --spacelim={self._spacelim:g} allows {shown(within(reading.limit, self._spacelim))})"
        )
        if self._still is not None and reading.began >= self._still + SETTLED:
            waiting(topic, f"{text}; {MEND}", now, figures)
        elif lasting:
            waiting(topic, f"{text}; running jobs go on", now, figures)


def _use(reading: transfer.Reading) -> str:
    share = f"{100 * reading.used / max(1, reading.limit):.0f} %"
    return f"{shown(reading.used)} of {shown(reading.limit)} used, {share}"


def within(limit: int, spacelim: float) -> int:
    """``spacelim`` per cent of so many bytes."""
    return limit * round(spacelim * 1000) // 100_000  # whole numbers: a float loses bytes


def shown(size: float) -> str:
    """``2.0 TiB``: as settings have it, in powers of 1024; below the first of them ``5 bytes``."""
    if abs(size) < 1024:
        return "1 byte" if round(size) == 1 else f"{size:,.0f} bytes"
    import humanize  # costs as much as the rest of a short command

    return str(humanize.naturalsize(size, binary=True))
