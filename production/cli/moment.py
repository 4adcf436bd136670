"""Instants and spans between people and the database: ``--at=21:00``, ``3.2 h``. Pure but for the time zone.

Imports late: this is read whenever ``production`` starts.
"""

from __future__ import annotations

import datetime
import re

from production import clock, errors
from production import filter as filters

_AGE = re.compile(r"([0-9]{1,9}(?:\.[0-9]+)?)\s*([a-z]+)")
_HOUR = re.compile(r"[0-9]{1,2}:[0-9]{2}(?::[0-9]{2})?")

WAYS = '"2026-11-20 21:00", 21:00 (today), 2h or 3d (ago)'
"""How an instant may be said."""


def parse(text: str, now: datetime.datetime, what: str) -> datetime.datetime:
    """A past instant as people say it, in local time unless it names its offset.

    Raises: UsageError.
    """
    try:
        at = _read(text.strip(), now)
    except (ValueError, OverflowError, OSError) as cause:
        raise errors.UsageError(f"{what}={text}: not a time; say {WAYS}") from cause
    if at > now:
        raise errors.UsageError(f"{what}={text}: {shown(clock.text(at))} is in the future")
    return at


def _read(text: str, now: datetime.datetime) -> datetime.datetime:
    age = _AGE.fullmatch(text.lower())
    if age and age[2] in filters.UNITS:
        return now - datetime.timedelta(seconds=float(age[1]) * filters.UNITS[age[2]])
    if _HOUR.fullmatch(text):
        text = f"{now.astimezone():%Y-%m-%d}T{text.rjust(len(text) + (text[1] == ':'), '0')}"
    return datetime.datetime.fromisoformat(text).astimezone(datetime.UTC)


def shown(instant: str | None) -> str:
    """An instant of the database in local time with its offset; empty for none."""
    from production.cli import terminal

    return "" if instant is None else terminal.local(instant)


def age(instant: str | None, now: datetime.datetime) -> str:
    """How long ago: ``12 s``, ``34 min``, ``5.0 h``, ``3.2 d``; empty for none."""
    return "" if instant is None else span((now - clock.instant(instant)).total_seconds())


def span(seconds: float | None) -> str:
    """``12 s``, ``34 min``, ``5.0 h``, ``3.2 d``; empty if nobody knows."""
    from production import journal

    if seconds is None:
        return ""
    return journal.span(seconds) if seconds < 48 * 3600 else f"{seconds / 86400:.1f} d"
