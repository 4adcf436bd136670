"""Times of the old scripts: what the wall clock of the lab showed, without an offset. Text comes in, instants leave."""

from __future__ import annotations

import datetime
import enum
import os
import zoneinfo

from production import errors
from production.catalogue import oddities

_ZONES = "/zoneinfo/"
"""The part of a zone file's path behind which its name begins."""
_YEARS = range(1970, 9990)
"""What is outside is no time at which anything ran."""


class Doubt(enum.Enum):
    """Why a time isn't told by its text alone."""

    NONE = ""
    TWICE = "times of an hour that came twice, taken as the first, or the second where a run would have ended before it began"
    NEVER = "times that the clock never showed, as it was put forward, taken as an hour later"
    UNREADABLE = "times that can't be read, left out"


def named(name: str | None, environment: str | None, local: str = "/etc/localtime") -> tuple[zoneinfo.ZoneInfo, str]:
    """The zone of this name, or this machine's; and by whose word.

    ``environment`` is TZ of the environment. Raises: UsageError.
    """
    if name is not None:
        return _zone(name, f"--timezone={name}"), "--timezone"
    if environment:
        return _zone(environment.removeprefix(":"), f"TZ={environment}"), "TZ"
    _, _, found = os.path.realpath(local).partition(_ZONES)
    return _zone(found or "UTC", local), "this machine's"


def _zone(name: str, said: str) -> zoneinfo.ZoneInfo:
    try:
        return zoneinfo.ZoneInfo(name)
    except (zoneinfo.ZoneInfoNotFoundError, ValueError, OSError):
        raise errors.UsageError(
            f"{said}: no such time zone; say which it was, such as --timezone=Europe/Zurich"
        ) from None


def instant(
    told: object, zone: zoneinfo.ZoneInfo, after: datetime.datetime | None = None
) -> tuple[datetime.datetime | None, Doubt]:
    """When that was, and what was in doubt; ``after`` is when it began, if that is known."""
    if told is None:
        return None, Doubt.NONE
    try:
        time = datetime.datetime.fromisoformat(told.strip()) if isinstance(told, str) else None
    except ValueError:
        time = None
    if time is None or time.year not in _YEARS:
        return None, Doubt.UNREADABLE
    if time.tzinfo is not None:
        return time.astimezone(datetime.UTC), Doubt.NONE
    first, second = (time.replace(tzinfo=zone, fold=fold).astimezone(datetime.UTC) for fold in (0, 1))
    if first > second:  # so it is for an hour that was left out (PEP 495)
        return first, Doubt.NEVER
    if first < second:
        return (second if after and first < after <= second else first), Doubt.TWICE
    return first, Doubt.NONE


class Times:
    """Reads the times of one database, and notes what was in doubt."""

    def __init__(self, zone: zoneinfo.ZoneInfo, odd: oddities.Oddities) -> None:
        self._zone = zone
        self._odd = odd

    def read(self, told: object, whose: str, after: datetime.datetime | None = None) -> datetime.datetime | None:
        """The instant, if there is one."""
        found, doubt = instant(told, self._zone, after)
        if doubt is not Doubt.NONE:
            self._odd.note(doubt.value, f"{whose} {told if isinstance(told, str) else repr(told)}")
        return found
