"""Looks at a production once a second, through readers: the snapshot, the estimate of its end, this machine."""

from __future__ import annotations

import dataclasses
import datetime
import time
from collections.abc import Callable

from production import run as runs
from production.catalogue import library
from production.monitor import outlook as outlooks
from production.monitor import readers
from production.monitor import snapshot as snapshots
from production.monitor.dashboard import surroundings, view

FORESEE, SHARE = 5.0, 20
"""Seconds between two estimates of the end, at least; and so many times what one took."""


@dataclasses.dataclass(frozen=True, slots=True)
class Seen:
    """What one look brought."""

    snapshot: snapshots.Snapshot
    machine: snapshots.Machine | None


class Watcher:
    """Of one production at a time."""

    def __init__(
        self, here: surroundings.Surroundings, readers_: readers.Readers, news: Callable[[bool], None]
    ) -> None:
        """``news`` is told after each look; True: something was written since the one before."""
        self.production = here.production
        self.snapshot: snapshots.Snapshot | None = None
        self.outlook: outlooks.Outlook | None = None
        self.machine: snapshots.Machine | None = None
        self.trouble = ""
        """Why the snapshot is old; empty: it is not."""
        self._here = here
        self._readers = readers_
        self._news = news
        self._again = 0.0
        """When the end is estimated again; monotonic."""

    def turn_to(self, production: runs.Production) -> None:
        """Another one."""
        self.production, self.snapshot, self.outlook, self._again = production, None, None, 0.0
        self._readers.forget("snapshot")
        self._readers.forget("outlook")

    def look(self) -> None:
        """Ask, unless the last look is not over. The first screen waits for no more than it must."""
        if not self._readers.busy("snapshot"):
            self._readers.ask("snapshot", self._take, self._seen, self._sorry)
        if self.snapshot and time.monotonic() >= self._again and not self._readers.busy("outlook"):
            self._readers.ask("outlook", self._foresee, self._foreseen, self._unforeseen)

    def _take(self, memory: library.Library, say: readers.Say[Seen]) -> None:
        now = datetime.datetime.now(datetime.UTC)
        taken = snapshots.take(memory, self.production, self.snapshot, self._here.lease, now)
        say(Seen(taken, snapshots.machine() if self.snapshot else None))

    def _seen(self, seen: Seen) -> None:
        before, self.snapshot, self.machine, self.trouble = self.snapshot, seen.snapshot, seen.machine, ""
        self.production = seen.snapshot.production
        self._news(before is not None and before.version != seen.snapshot.version)

    def _sorry(self, trouble: Exception) -> None:
        self.trouble = view.told(trouble)
        self._news(False)

    def _foresee(self, memory: library.Library, say: readers.Say[tuple[outlooks.Outlook, float]]) -> None:
        start = time.monotonic()
        say((self._here.answers.outlook(memory, self.production), time.monotonic() - start))

    def _foreseen(self, found: tuple[outlooks.Outlook, float]) -> None:
        self.outlook, took = found
        self._again = time.monotonic() + max(FORESEE, SHARE * took)
        self._news(False)

    def _unforeseen(self, _: Exception) -> None:
        """The snapshot tells what is wrong."""
        self._again = time.monotonic() + FORESEE
