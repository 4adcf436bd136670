"""How many files come at the same time: as settings say, or fewer where the archive lets no more in.

Everything here is done under the porter's lock. Who waits is woken one by one, as seats become free: to wake all for one
seat would cost more than a small file.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from production.transfer import away


class Seats:
    """A file that comes has one."""

    def __init__(self, width: int, lock: threading.Lock) -> None:
        self.returning = 0
        """Those that had one, were put off and want one again: they go first."""
        self._free = width
        self._freed = threading.Condition(lock)
        self._shut = 0
        self._again = 0.0

    def take(self, wanted: Callable[[], object]) -> bool:
        """Wait for one as long as it is wanted; whether it was had."""
        return self._take(wanted, lambda: self._free and not self.returning)

    def take_again(self, wanted: Callable[[], object]) -> bool:
        """As ``take``, for one that was put off."""
        self.returning += 1
        try:
            return self._take(wanted, lambda: self._free)
        finally:
            self.returning -= 1
            self._pass_on()

    def _take(self, wanted: Callable[[], object], possible: Callable[[], object]) -> bool:
        while wanted():
            if possible():
                self._free -= 1
                return True
            self._freed.wait(self._reopen_one())
        self._pass_on()  # we may have been woken in somebody's stead
        return False

    def give(self) -> None:
        """Leave ours to whoever waits."""
        self._free += 1
        self._pass_on()

    def _pass_on(self) -> None:
        if self.returning:
            self._freed.notify_all()
        elif self._free:
            self._freed.notify(self._free)

    def shut(self) -> None:
        """Give ours to nobody, for a minute."""
        self._shut += 1
        self._again = time.monotonic() + away.LONGEST_WAIT
        self._freed.notify_all()  # from now on they look at the time, too

    def reopen(self) -> None:
        """All: there aren't too many, none is let in."""
        self._free, self._shut = self._free + self._shut, 0
        self._freed.notify_all()

    def notify(self) -> None:
        """Something has changed for those who wait: is theirs still wanted?"""
        self._freed.notify_all()

    def _reopen_one(self) -> float | None:
        """Seconds until one more is tried; None if there are none to try. Opens one when it is time."""
        if not self._shut:
            return None
        left = self._again - time.monotonic()
        if left <= 0:
            self._free += 1
            self._shut -= 1
            self._again = time.monotonic() + away.LONGEST_WAIT
            self._pass_on()
        return max(0.0, left)
