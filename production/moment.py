"""Instants and spans between people and the database: ``--at=21:00``, ``tomorrow 14:20``, ``3.2 h``. Pure but for the time zone."""

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
    return "" if instant is None else clock.instant(instant).astimezone().strftime("%Y-%m-%d %H:%M:%S %z")


def briefly(instant: str) -> str:
    """The same to the minute, for tables; empty for none."""
    return f"{clock.instant(instant).astimezone():%Y-%m-%d %H:%M}" if instant else ""


def told(instant: datetime.datetime, now: datetime.datetime) -> str:
    """The instant as it is said now: ``tomorrow 14:20``, ``Tue 03:10``; both aware, told in the zone of ``now``."""
    there = instant.astimezone(now.tzinfo)
    days = (there.date() - now.date()).days
    names = {-1: "yesterday", 0: "today", 1: "tomorrow"}
    if days in names:
        return f"{names[days]} {there:%H:%M}"
    if 1 < days < 7:
        return f"{there:%a %H:%M}"
    return f"{there:%Y-%m-%d %H:%M}"


def since(instant: str, now: datetime.datetime) -> float:
    """Seconds that have passed since an instant of the database; below 0: until then."""
    return (now - clock.instant(instant)).total_seconds()


def age(instant: str | None, now: datetime.datetime) -> str:
    """How long ago, as a span; empty for none."""
    return "" if instant is None else span(since(instant, now))


def span(seconds: float | None) -> str:
    """``12 s``, ``34 min``, ``5.0 h``, ``3.2 d``; empty if nobody knows."""
    if seconds is None:
        return ""
    if round(seconds) < 100:
        return f"{max(0, round(seconds))} s"
    if round(seconds / 60) < 100:
        return f"{round(seconds / 60)} min"
    return f"{seconds / 3600:.1f} h" if seconds < 48 * 3600 else f"{seconds / 86400:.1f} d"
