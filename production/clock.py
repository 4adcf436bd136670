"""Time as an argument: the manager's clock can be woken, and a test's clock needs no waiting."""

from __future__ import annotations

import datetime
import functools
import os
import select
import time
from typing import Protocol

SETTLE = 0.002
"""Seconds. Ends come in bursts: a moment later there are several, and a cycle costs the same for one as for ten."""


class Clock(Protocol):
    """What the house knows of time."""

    def now(self) -> datetime.datetime:
        """The wall clock, UTC, aware."""
        ...

    def boottime(self) -> float:
        """Seconds that also pass while the machine sleeps; only differences mean anything."""
        ...

    def wait(self, seconds: float) -> None:
        """Until ``seconds`` have passed, ``wake`` was called, or a watched descriptor is readable."""
        ...

    def wake(self) -> None:
        """End the present or next ``wait``; from any thread or signal handler."""
        ...

    def watch(self, descriptor: int) -> None:
        """Let ``wait`` end when ``descriptor`` is readable."""
        ...


@functools.lru_cache(maxsize=8)
def text(instant: datetime.datetime) -> str:
    """The instant as the database has it: UTC, six digits, fixed width, so that text order is time order.

    A cycle's moves share an instant, hence the cache.
    """
    return instant.astimezone(datetime.UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def instant(text: str) -> datetime.datetime:
    """The inverse of ``text``."""
    return datetime.datetime.fromisoformat(text)


class SystemClock:
    """The real one."""

    def __init__(self) -> None:
        self._bell = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self._rung = False
        """Whether the bell has rung since the last wait: once is enough, and costs the threads less."""
        self._poll = select.poll()
        self._poll.register(self._bell, select.POLLIN)

    def now(self) -> datetime.datetime:
        return datetime.datetime.now(datetime.UTC)

    def boottime(self) -> float:
        return time.clock_gettime(time.CLOCK_BOOTTIME)

    def wait(self, seconds: float) -> None:
        if self._poll.poll(max(0.0, seconds) * 1000) and seconds > SETTLE:
            time.sleep(SETTLE)
        try:
            os.eventfd_read(self._bell)
        except BlockingIOError:
            pass  # the time was up, or a job ended
        self._rung = False  # last: who finds it rung until here has news that is looked at now

    def wake(self) -> None:
        if not self._rung:
            self._rung = True
            os.eventfd_write(self._bell, 1)

    def watch(self, descriptor: int) -> None:
        self._poll.register(descriptor, select.POLLIN)

    def close(self) -> None:
        os.close(self._bell)
