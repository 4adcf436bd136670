"""Times of the lab's wall clock: every instant comes back, and what the clock told twice or never is seen."""

from __future__ import annotations

import datetime
import pathlib
import zoneinfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from production import errors
from production.catalogue import zone

ZURICH = zoneinfo.ZoneInfo("Europe/Zurich")
ZONES = st.sampled_from(["Europe/Zurich", "America/St_Johns", "Australia/Lord_Howe", "Asia/Kolkata", "UTC"]).map(
    zoneinfo.ZoneInfo
)
INSTANTS = st.datetimes(datetime.datetime(1975, 1, 1), datetime.datetime(2040, 1, 1), timezones=st.just(datetime.UTC))  # noqa: DTZ001


def utc(*fields: int) -> datetime.datetime:
    return datetime.datetime(*fields, tzinfo=datetime.UTC)  # type: ignore[misc,arg-type]


@pytest.mark.parametrize(
    ("told", "expected", "doubt"),
    [
        ("2015-06-01 12:00:00", utc(2015, 6, 1, 10), zone.Doubt.NONE),
        ("2015-12-01T12:00:00.123456", utc(2015, 12, 1, 11, 0, 0, 123456), zone.Doubt.NONE),
        (" 2015-12-01 12:00 ", utc(2015, 12, 1, 11), zone.Doubt.NONE),
        ("2015-12-01 12:00:00+02:00", utc(2015, 12, 1, 10), zone.Doubt.NONE),
        ("2015-10-25 01:59:59", utc(2015, 10, 24, 23, 59, 59), zone.Doubt.NONE),
        ("2015-10-25 02:00:00", utc(2015, 10, 25, 0), zone.Doubt.TWICE),
        ("2015-10-25 03:00:00", utc(2015, 10, 25, 2), zone.Doubt.NONE),
        ("2015-03-29 02:30:00", utc(2015, 3, 29, 1, 30), zone.Doubt.NEVER),
        ("2015-03-29 03:30:00", utc(2015, 3, 29, 1, 30), zone.Doubt.NONE),
        (None, None, zone.Doubt.NONE),
        ("", None, zone.Doubt.UNREADABLE),
        ("yesterday", None, zone.Doubt.UNREADABLE),
        ("0001-01-01 00:00:00", None, zone.Doubt.UNREADABLE),
        (20151025, None, zone.Doubt.UNREADABLE),
        (b"\xff", None, zone.Doubt.UNREADABLE),
    ],
)
def test_times_of_the_lab(told: object, expected: datetime.datetime | None, doubt: zone.Doubt) -> None:
    assert zone.instant(told, ZURICH) == (expected, doubt)


def test_a_run_does_not_end_before_it_begins() -> None:
    began, _ = zone.instant("2015-10-25 02:50:00", ZURICH)
    assert zone.instant("2015-10-25 02:10:00", ZURICH, began) == (utc(2015, 10, 25, 1, 10), zone.Doubt.TWICE)
    assert zone.instant("2015-10-25 02:55:00", ZURICH, began) == (utc(2015, 10, 25, 0, 55), zone.Doubt.TWICE)


@given(INSTANTS, ZONES)
def test_every_instant_comes_back_from_what_the_clock_showed(
    instant: datetime.datetime, lab: zoneinfo.ZoneInfo
) -> None:
    local = instant.astimezone(lab)
    found, doubt = zone.instant(str(local.replace(tzinfo=None)), lab)
    assert found is not None
    if doubt is zone.Doubt.TWICE:
        assert found <= instant
        assert found.astimezone(lab).replace(tzinfo=None) == local.replace(tzinfo=None)
        assert zone.instant(str(local.replace(tzinfo=None)), lab, instant)[0] == instant
    else:
        assert (found, doubt) == (instant, zone.Doubt.NONE), "a clock never shows what it leaves out"


def test_the_zone_is_the_one_that_was_said_or_this_machine_s(tmp_path: pathlib.Path) -> None:
    local = tmp_path / "zoneinfo/Europe/Paris"
    local.parent.mkdir(parents=True)
    local.touch()
    link = tmp_path / "localtime"
    link.symlink_to(local)
    assert zone.named("Asia/Tokyo", "Europe/Zurich", str(link)) == (zoneinfo.ZoneInfo("Asia/Tokyo"), "--timezone")
    assert zone.named(None, ":Europe/Zurich", str(link)) == (ZURICH, "TZ")
    assert zone.named(None, None, str(link)) == (zoneinfo.ZoneInfo("Europe/Paris"), "this machine's")
    assert zone.named(None, "", str(tmp_path / "none"))[0].key == "UTC"


@pytest.mark.parametrize(
    "name", ["", "Europe", "Europe/Atlantis", "../../etc/passwd", "/etc/localtime", "CET-1CEST,M3", "a\0b"]
)
def test_a_zone_that_is_none_is_said(name: str) -> None:
    with pytest.raises(
        errors.UsageError, match=r"no such time zone; say which it was, such as --timezone=Europe/Zurich"
    ):
        zone.named(name, None)
