"""Instants and spans as people say them, in local time: ``tomorrow 14:20``, ``Tue 03:10``, ``2 h 40 min``. Pure."""

from __future__ import annotations

import datetime


def told(instant: datetime.datetime, now: datetime.datetime) -> str:
    """The instant as it is said now; both aware, told in the zone of ``now``."""
    there = instant.astimezone(now.tzinfo)
    days = (there.date() - now.date()).days
    names = {-1: "yesterday", 0: "today", 1: "tomorrow"}
    if days in names:
        return f"{names[days]} {there:%H:%M}"
    if 1 < days < 7:
        return f"{there:%a %H:%M}"
    return f"{there:%Y-%m-%d %H:%M}"


def span(seconds: float) -> str:
    """``40 s``, ``32 min``, ``2 h 40 min``, ``3 d 4 h``."""
    whole = max(0, round(seconds))
    if whole < 100:
        return f"{whole} s"
    minutes = round(whole / 60)
    if minutes < 100:
        return f"{minutes} min"
    hours, rest = divmod(minutes, 60)
    if hours < 48:
        return f"{hours} h {rest} min" if rest else f"{hours} h"
    days, rest = divmod(round(minutes / 60), 24)
    return f"{days} d {rest} h" if rest else f"{days} d"
