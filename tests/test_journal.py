"""What the shift reads: a state of affairs once when it begins, once when it is over."""

from __future__ import annotations

import logging
from collections.abc import Iterator

import pytest

from production import journal


@pytest.fixture
def lines(caplog: pytest.LogCaptureFixture) -> Iterator[list[str]]:
    class Lines(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            told.append(record.getMessage())

    told: list[str] = []
    handler = Lines()
    journal.log.addHandler(handler)
    with caplog.at_level(logging.INFO, journal.log.name):
        yield told
    journal.log.removeHandler(handler)
    journal.over("disk")


def test_what_comes_and_goes_is_told_once_and_over_when_it_stays_away(lines: list[str]) -> None:
    now = 0.0
    for _ in range(100):  # a run ends and makes room, the next one takes it
        journal.once("disk", "the disk is full")
        now += 1.0
        journal.calm("disk", "it goes on", now)
        now += journal.CALM / 2
        journal.calm("disk", "it goes on", now)
    assert lines == ["the disk is full"]
    journal.calm("disk", "it goes on", now + journal.CALM)
    journal.calm("disk", "it goes on", now + 3 * journal.CALM)
    assert lines == ["the disk is full", "it goes on"]
    journal.once("disk", "the disk is full")
    journal.over("disk", "it goes on")
    journal.over("disk", "it goes on")
    assert lines == ["the disk is full", "it goes on"] * 2


@pytest.mark.parametrize(
    ("number", "told"),
    [
        (1, "1"),
        (2, "1 and 2"),
        (3, "1, 2 and 3"),
        (4, "1, 2, 3 and 4"),
        (5, "1, 2, 3, 4 and 1 more"),
        (90, "1, 2, 3, 4 and 86 more"),
    ],
)
def test_runs_are_listed(number: int, told: str) -> None:
    assert journal.numbers(range(1, number + 1), number, 4) == told
    assert journal.numbers([7], 1) == "7"
    assert journal.numbers([7], 3) == "7 and 2 more"
    assert journal.some([3]) == "run 3"
