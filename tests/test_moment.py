"""Instants and spans, as people say them."""

from __future__ import annotations

import datetime

import pytest

from production import clock, moment

NOW = datetime.datetime(2026, 11, 20, 21, 0, tzinfo=datetime.timezone(datetime.timedelta(hours=1)))

MOMENTS = [
    (datetime.timedelta(minutes=20), "today 21:20"),
    (datetime.timedelta(hours=5), "tomorrow 02:00"),
    (datetime.timedelta(hours=-22), "yesterday 23:00"),
    (datetime.timedelta(days=4), "Tue 21:00"),
    (datetime.timedelta(days=40), "2026-12-30 21:00"),
]


@pytest.mark.parametrize(("later", "told"), MOMENTS)
def test_instants_are_said_as_people_say_them(later: datetime.timedelta, told: str) -> None:
    assert moment.told((NOW + later).astimezone(datetime.UTC), NOW) == told


@pytest.mark.parametrize(
    ("seconds", "told"),
    [
        (None, ""),
        (-1, "0 s"),
        (0.4, "0 s"),
        (99.4, "99 s"),
        (99.9, "2 min"),
        (5880, "98 min"),
        (6000, "1.7 h"),
        (600, "10 min"),
        (18000, "5.0 h"),
        (172000, "47.8 h"),
        (273600, "3.2 d"),
    ],
)
def test_spans_are_words(seconds: float | None, told: str) -> None:
    assert moment.span(seconds) == told


def test_an_age_is_the_span_since() -> None:
    instant = clock.text(NOW - datetime.timedelta(minutes=34))
    assert (moment.age(instant, NOW), moment.age(None, NOW)) == ("34 min", "")
    assert moment.since(instant, NOW) == 34 * 60
