"""A manager's lease: our own beat, and what we have seen of the others'. Wall clocks are never compared.

A lease lapses when its beat stood still for ``seconds`` of *our* boottime while we could write ourselves; that of a
process seen dead (same user, host and boot) at once. Who finds that it slept for half a lease looks at its own first.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable

from production import clock as clock_
from production import process
from production import run as runs


@dataclasses.dataclass(slots=True)
class _Seen:
    beat: int
    since: float
    moved: bool = False


class Lease:
    """Of one manager, who watches the others of its production."""

    def __init__(self, owner: runs.Owner, seconds: float, clock: clock_.Clock) -> None:
        self.owner = owner
        self.seconds = seconds
        self._clock = clock
        self._beaten = clock.boottime() - self.interval  # the first look at the others is due at once
        self._seen: dict[int, _Seen] = {}

    @property
    def interval(self) -> float:
        """Seconds between two beats."""
        return min(5.0, self.seconds / 10)

    def due(self) -> bool:
        return self._clock.boottime() - self._beaten >= self.interval

    def asleep(self) -> bool:
        """Whether so much time has gone that somebody may have taken over."""
        return self._clock.boottime() - self._beaten > self.seconds / 2

    def beaten(self) -> None:
        """Our beat has been written. What others did while we slept is not held against them."""
        if self.asleep():
            self._seen.clear()
        self._beaten = self._clock.boottime()

    def lapsed(self, others: Iterable[runs.Owner]) -> list[runs.Owner]:
        """Look at the others' beats; those whose lease is over."""
        now = self._clock.boottime()
        over = []
        for other in others:
            seen = self._seen.setdefault(other.id, _Seen(other.beat, now))
            if seen.beat != other.beat:
                self._seen[other.id] = _Seen(other.beat, now, moved=True)
            elif now - seen.since > self.seconds or process.seen_dead(other):
                over.append(other)
        return over

    def alive(self, other: runs.Owner) -> bool:
        """Whether we have seen its beat go on."""
        seen = self._seen.get(other.id)
        return seen is not None and seen.moved
