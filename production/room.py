"""Whether the disk has room for more: its limit and what is used of it, less what is promised, to all managers.

A claim promises the room for a run's input and outputs; ordering a file looks again, for sizes are known only by then.
Running work is never touched.
"""

from __future__ import annotations

import dataclasses

from production import errors
from production.catalogue import base
from production.journal import once, over
from production.transfer import base as transfer

HYSTERESIS = 1.0
"""Per cent of the quota that have to be free again before staging goes on."""


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

    def __init__(self, quota: transfer.Quota, data: str, spacelim: float) -> None:
        """``data`` is the real path of the directory, ``spacelim`` per cent of the quota that may be used."""
        self._quota = quota
        self._data = data
        self._spacelim = spacelim
        self._braked = False

    def look(self, change: base.Change) -> Left | None:
        """What is left now, in the transaction that takes of it. None: it can't be told; says so, once."""
        reading = self._read()
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

    def _read(self) -> transfer.Reading | None:
        try:
            reading = self._quota.reading()
        except errors.QuotaUnread as trouble:
            once("quota unread", f"{trouble}; nothing new is staged until it can be read")
            return None
        if reading is not None:  # else it is being read
            over("quota unread", "The quota can be read again")
            self._brake(reading)
        return reading

    def short(self, topic: str, text: str) -> None:
        """A run waits for room: says so, once; the disk is looked at again soon."""
        once(topic, text)
        self._quota.renew()

    def _brake(self, reading: transfer.Reading) -> None:
        """One message when the limit is passed, one when it is left again by 1 % of it: no flapping between."""
        if not self._braked and reading.used >= within(reading.limit, self._spacelim):
            self._braked = True
            limit = f"{_use(reading)}, --spacelim={self._spacelim:g}"
            once(
                "quota", f"No room under {self._data}: {limit}; nothing new is staged or submitted, running jobs go on"
            )
        elif self._braked and reading.used < within(reading.limit, self._spacelim - HYSTERESIS):
            self._braked = False
            over("quota", f"There is room under {self._data} again: {_use(reading)}; staging goes on")
        if self._braked:
            self._quota.renew()


def _use(reading: transfer.Reading) -> str:
    return f"{100 * reading.used / max(1, reading.limit):.0f} % of {shown(reading.limit)} used"


def within(limit: int, spacelim: float) -> int:
    """``spacelim`` per cent of so many bytes."""
    return limit * round(spacelim * 1000) // 100_000  # whole numbers: a float loses bytes


def shown(size: float) -> str:
    """``2.0 TB``."""
    import humanize  # costs as much as the rest of a short command

    return str(humanize.naturalsize(size))
