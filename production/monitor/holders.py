"""Who holds what: managers that are gone and still have runs or files on their way."""

from __future__ import annotations

import datetime
from collections.abc import Mapping

from production import facts, moment, process


def alive(manager: facts.AtWork) -> bool | None:
    """Whether it is at work, or stands still; None: it can't be told from here. For people, not for leases."""
    if manager.stop is not None or manager.lapsed is not None:
        return False
    return process.seen_alive(manager.owner)


def gone(manager: facts.AtWork, lease: float, now: datetime.datetime) -> str:
    """Why a manager can't be at work any more, or may not be; empty, if it seems to be.

    ``lease``: seconds. The times are those of two clocks, so what rests on them is only probable.
    """
    if manager.stop:
        return f"left at {moment.shown(manager.stop)}"
    if manager.lapsed:
        return f"was seen dead at {moment.shown(manager.lapsed)}"
    if process.seen_alive(manager.owner) is False:
        return "is dead: there is no such process"
    return f"may be dead: no sign of life since {moment.shown(manager.beat)}" if manager.silent(now, lease) else ""


def named(manager: facts.AtWork) -> str:
    """``manager 3 (mu@node1:4711)``."""
    return f"manager {manager.id} ({manager})"


def dead(holders: Mapping[int, facts.AtWork], lease: float, now: datetime.datetime) -> dict[int, str]:
    """{id: who it is and why it is gone}."""
    return {
        id_: f"{named(manager)}, who {why}" for id_, manager in holders.items() if (why := gone(manager, lease, now))
    }
