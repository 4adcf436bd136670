"""A clock that needs no waiting: time passes when the test says so, or when somebody waits."""

from __future__ import annotations

import datetime
import select
import threading

START = datetime.datetime(2026, 11, 20, 21, 0, tzinfo=datetime.UTC)


class FakeClock:
    """See ``production.clock.Clock``; ``advance``, ``sleep`` and ``step`` are the test's own."""

    def __init__(self, now: datetime.datetime = START, boottime: float = 1000.0) -> None:
        self._now = now
        self._boottime = boottime
        self._bell = threading.Event()
        self._poll = select.poll()
        self.waits: list[float] = []
        """How long each ``wait`` was asked to be."""

    def now(self) -> datetime.datetime:
        return self._now

    def boottime(self) -> float:
        return self._boottime

    def wait(self, seconds: float) -> None:
        """Returns at once; the time has passed, unless somebody woke us."""
        self.waits.append(seconds)
        readable = bool(self._poll.poll(0))
        if self._bell.is_set() or readable:
            self._bell.clear()
        else:
            self.advance(max(0.0, seconds))

    def wake(self) -> None:
        self._bell.set()

    def watch(self, descriptor: int) -> None:
        self._poll.register(descriptor, select.POLLIN)

    def advance(self, seconds: float) -> None:
        """Both clocks go on."""
        self._now += datetime.timedelta(seconds=seconds)
        self._boottime += seconds

    def sleep(self, seconds: float) -> None:
        """The machine slept, and nobody has set its wall clock since: only the boot's time goes on."""
        self._boottime += seconds

    def step(self, seconds: float) -> None:
        """Somebody sets the wall clock, forward or back."""
        self._now += datetime.timedelta(seconds=seconds)
