"""What the shift reads: one line an event, through logging; a state of affairs is told when it begins and ends."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Iterator, Sequence

from production import moment

log = logging.getLogger("production")

_told: dict[str, str] = {}
_calm: dict[str, float] = {}
"""Since when what was told has not been seen any more."""

_since: dict[str, tuple[float, float]] = {}
"""Of what is waited for: since when, and when it was told last; boottime."""

CALM = 30.0
"""Seconds that bad weather has to be over before that is told: a full disk has room for a moment whenever a run ends."""
REMIND = 1800.0
"""Seconds after which what is waited for is told again."""


def once(topic: str, text: str, level: int = logging.WARNING, figures: str = "") -> bool:
    """Tell a state of affairs, unless it is what was told last under this topic; other figures are no news."""
    _calm.pop(topic, None)
    news = _told.get(topic) != text
    if news:
        _told[topic] = text
        log.log(level, "%s%s", text, figures)
    return news


def waiting(topic: str, text: str, now: float, figures: str = "") -> None:
    """Tell once what is waited for, and again every half an hour. ``now``: boottime."""
    if once(topic, text, figures=figures):
        _since[topic] = now, now
        return
    since, last = _since.get(topic, (now, now))
    if now - last >= REMIND:
        log.warning("Still, for %s: %s%s", moment.span(now - since), text, figures)
        last = now
    _since[topic] = since, last


def calm(topic: str, text: str, now: float) -> None:
    """It isn't seen just now; it is over, and that is said, if that lasts. ``now``: boottime."""
    if topic in _told and now - _calm.setdefault(topic, now) >= CALM:
        over(topic, text)


def over(topic: str, text: str = "") -> None:
    """It is over; say so if it had been told."""
    _calm.pop(topic, None)
    if _told.pop(topic, None) is not None and text:
        log.info(text)


class _Held(logging.Filter):
    """Keeps back what is told while a transaction is open: it is true only once that is committed."""

    def __init__(self) -> None:
        super().__init__()
        self.records: list[logging.LogRecord] | None = None

    def filter(self, record: logging.LogRecord) -> bool:
        if self.records is None:
            return True
        self.records.append(record)
        return False


_held = _Held()
log.addFilter(_held)


@contextlib.contextmanager
def held() -> Iterator[None]:
    """What is told in this block is told at its end, and not at all if an exception ends it."""
    records = _held.records = []
    try:
        yield
    finally:
        _held.records = None
    for record in records:
        log.handle(record)


def some(runs: Sequence[object]) -> str:
    """``runs 1, 2 and 3``; of many the first, and how many more there are."""
    return f"{'run' if len(runs) == 1 else 'runs'} {numbers(runs, len(runs))}"


def numbers(runs: Sequence[object], number: int, most: int = 10) -> str:
    """``1, 2 and 3``, of so many; of many the first, and how many more there are."""
    told = [str(run) for run in runs[: min(most, number)]]
    last = [f"{number - len(told)} more"] if number > len(told) else [told.pop()]
    return " and ".join([", ".join(told), *last]) if told else last[0]


def count(number: int, noun: str = "run") -> str:
    """``1 run``, ``2,000 runs``."""
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"
