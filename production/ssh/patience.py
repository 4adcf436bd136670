"""How long something on another machine may take: until a moment, or until somebody wants to leave."""

from __future__ import annotations

import dataclasses
import threading
import time
from collections.abc import Callable

from production import errors

GLANCE = 0.25
"""Seconds between two looks whether somebody wants to leave."""


@dataclasses.dataclass(frozen=True, slots=True)
class Patience:
    """A moment on the monotonic clock, and who may be in a greater hurry."""

    deadline: float
    leaving: Callable[[], bool] = lambda: False

    def left(self) -> float:
        """Seconds; 0 if it has come to an end."""
        return 0.0 if self.leaving() else max(0.0, self.deadline - time.monotonic())

    def slice(self) -> float:
        """Seconds to wait before the next look."""
        return min(GLANCE, self.left())

    def check(self, what: str) -> None:
        """Raises: RemoteAway: it has come to an end over ``what``."""
        if not self.left():
            raise errors.RemoteAway(f"{what}: {'the manager is leaving' if self.leaving() else 'no answer in time'}")

    def wait(self, event: threading.Event, what: str, alive: Callable[[], bool]) -> None:
        """Until it is set, or who would set it is gone. Raises: RemoteAway."""
        while not event.wait(self.slice()) and alive():
            self.check(what)


def of(seconds: float, leaving: Callable[[], bool] = lambda: False) -> Patience:
    """From now on."""
    return Patience(time.monotonic() + seconds, leaving)
