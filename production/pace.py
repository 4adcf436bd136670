"""How far long transfers are: one line a minute for all of them, so that a tape that winds for an hour isn't silence.

In comes what the stage step sees of the transfers in each cycle, out goes a line for the shift, or none.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

from production import moment, room
from production.transfer import base as transfer

LONG = 60.0
"""Seconds after which a transfer is worth a line, and between two lines."""
IDLE = 10.0
"""Seconds without a byte that are worth a word."""


@dataclasses.dataclass(slots=True)
class _Seen:
    """One transfer, as it was seen before."""

    begun: float
    bytes: int
    moved: float
    """When bytes were last seen to come."""
    told: float
    """When it was last told how far it is, or has begun."""
    told_bytes: int


class Pace:
    """Of one manager's transfers."""

    def __init__(self) -> None:
        self._seen: dict[str, _Seen] = {}
        self._told = float("-inf")

    def line(self, under_way: Mapping[str, transfer.Progress], now: float) -> str:
        """What is to be told now of these (by what the shift calls them); mostly nothing. ``now`` is boottime."""
        coming = {name: progress for name, progress in under_way.items() if _comes(progress)}
        self._seen = {name: seen for name, seen in self._seen.items() if name in coming}
        for name, progress in coming.items():
            seen = self._seen.setdefault(name, _Seen(now, progress.bytes, now, now, progress.bytes))
            if progress.bytes != seen.bytes:
                seen.bytes, seen.moved = progress.bytes, now
        longest = max((now - seen.begun for seen in self._seen.values()), default=0.0)
        if longest < LONG or now - self._told < LONG:
            return ""
        self._told = now
        return "; ".join(self._words(name, progress, now) for name, progress in coming.items())

    def _words(self, name: str, progress: transfer.Progress, now: float) -> str:
        seen = self._seen[name]
        came, seconds = progress.bytes - seen.told_bytes, now - seen.told
        seen.told, seen.told_bytes = now, progress.bytes
        idle = now - seen.moved
        if idle >= IDLE:
            how = f"no byte for {moment.span(idle)}" + ("" if progress.bytes else " (a tape?)")
        else:
            how = f"{room.shown(came / seconds)}/s" if seconds > 1.0 and came > 0 else "has just begun"
        return f"{name} {_far(progress)}, {how}"


def _comes(progress: transfer.Progress) -> bool:
    """Whether it has begun, and is neither over nor waited for: what is waited for is told by itself."""
    begun = progress.size is not None or progress.bytes > 0
    return begun and not progress.done and not progress.waits and not progress.measured


def _far(progress: transfer.Progress) -> str:
    if not progress.size:
        return room.shown(progress.bytes)
    return f"{100 * progress.bytes // progress.size} % of {room.shown(progress.size)}"
