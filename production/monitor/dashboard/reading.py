"""What a table of runs asks of the memory: a stretch of it around a run, in whatever order. Runs in a reader's thread."""

from __future__ import annotations

import array
import dataclasses
import datetime
import functools
import itertools
import time
from collections.abc import Iterable, Iterator
from typing import TypeAlias

from production import facts
from production import filter as filters
from production import run as runs
from production.catalogue import library
from production.monitor import columns
from production.monitor.dashboard import window

MOST = 100_000
"""Runs of a filter that are sorted by something else than their numbers; a whole production is, however large."""
STATES = (*reversed(runs.IN_FLIGHT), runs.State.FAILED, runs.State.HELD, runs.State.NEW, runs.State.WAITING,
          runs.State.FINISHED)  # fmt: skip
"""In the order of what somebody on shift wants to see."""
NEWS = 0.1
"""Seconds after which those found so far are shown: most questions are answered sooner, and at once."""
SHARE = 20
"""It is sorted again after so many times what that took."""


@dataclasses.dataclass(frozen=True, slots=True)
class Choice:
    """Which runs, in which order."""

    wanted: filters.Filter = filters.EVERYTHING
    key: str = "state"
    """What they are sorted by: one of ``columns.KEYS``."""
    down: bool = False


@dataclasses.dataclass(frozen=True, slots=True)
class Order:
    """Runs that are sorted by something else than their numbers."""

    choice: Choice
    numbers: array.array[int]
    cut: bool
    """There are more."""
    version: int
    """Of the memory when they were sorted."""
    again: float
    """When they may be sorted again; monotonic."""


@dataclasses.dataclass(frozen=True, slots=True)
class Found:
    """What was read."""

    stretch: window.Stretch
    order: Order | None = None
    old: bool = False
    """Something was written since it was sorted."""


def read(
    memory: library.Library,
    production: int,
    choice: Choice,
    around: window.Around,
    before: Order | None,
    now: datetime.datetime,
) -> Iterator[Found]:
    """What is found meanwhile, then all of it. ``before``: how it was sorted the last time. Raises: CatalogueError."""
    if choice.key in ("run", "state"):
        if choice.key == "run":
            onwards, backwards = _by_number(memory.records, production, choice, around.run, now)
        else:
            onwards, backwards = _by_state(memory.records, production, choice, around, now)
        for stretch in _stretches(onwards, backwards, around):
            yield Found(stretch)
        return
    order = _sorted(memory, production, choice, before, now)
    yield Found(_of_order(memory, production, order, around), order, old=order.version != memory.data_version())


Rows: TypeAlias = Iterator[facts.Row | None]
"""None: those of a state have all been read, and the next may be long in coming."""


def _by_number(
    records: library.Records, production: int, choice: Choice, run: int, now: datetime.datetime
) -> tuple[Rows, Rows]:
    """From a run on, and back from it; read as they are asked for."""
    select = functools.partial(records.select, production, choice.wanted, now)
    down = choice.down
    if run == window.FIRST:
        return select(down=down), iter(())
    if run == window.LAST:
        return iter(()), select(down=not down)
    return select(after=run + 1 if down else run - 1, down=down), select(after=run, down=not down)


def _by_state(
    records: library.Records, production: int, choice: Choice, around: window.Around, now: datetime.datetime
) -> tuple[Rows, Rows]:
    """The same, the states one after the other."""
    run = around.run
    states = [one for one in STATES if not choice.wanted.states or one in choice.wanted.states]
    if choice.down:
        states.reverse()
    now_in = None if run in (window.FIRST, window.LAST) else _state(records, production, run)
    state = now_in if now_in in states else around.state
    place = states.index(state) if state in states else None

    def of(state: runs.State, from_: int) -> tuple[Rows, Rows]:
        alike = dataclasses.replace(choice, wanted=dataclasses.replace(choice.wanted, states=(state.value,)))
        return _by_number(records, production, alike, from_, now)

    if place is None:
        onwards = (of(state, window.FIRST)[0] for state in states)
        backwards = (of(state, window.LAST)[1] for state in reversed(states))
        return (iter(()), _chained(backwards)) if run == window.LAST else (_chained(onwards), iter(()))
    later, earlier = of(states[place], run)
    onwards = (of(state, window.FIRST)[0] for state in states[place + 1 :])
    backwards = (of(state, window.LAST)[1] for state in reversed(states[:place]))
    return itertools.chain(later, _chained(onwards)), itertools.chain(earlier, _chained(backwards))


def _chained(parts: Iterable[Rows]) -> Rows:
    for part in parts:
        yield None
        yield from part


def _state(records: library.Records, production: int, run: int) -> runs.State | None:
    row = records.row(production, run)
    return row.state if row else None


def key(choice: Choice) -> window.Key | None:
    """By which rows are in order; None: by something that they don't tell, or not exactly."""
    sign = -1 if choice.down else 1
    if choice.key == "run":
        return lambda row: sign * row.run
    if choice.key == "state":
        return lambda row: (sign * STATES.index(row.state), sign * row.run)
    return None


def _stretches(onwards: Rows, backwards: Rows, around: window.Around) -> Iterator[window.Stretch]:
    later: list[facts.Row] = []
    shown, told = time.monotonic(), 0
    for row in onwards:
        if row is not None:
            later.append(row)
        if len(later) > around.after:
            break
        if len(later) > told and (row is None or time.monotonic() - shown > NEWS):
            shown, told = time.monotonic(), len(later)
            yield window.Stretch(tuple(later), begins=around.run == window.FIRST, ends=False, whole=False)
    earlier = list(itertools.islice((row for row in backwards if row is not None), around.before + 1))
    yield window.Stretch(
        rows=(*reversed(earlier[: around.before]), *later[: around.after]),
        begins=len(earlier) <= around.before,
        ends=len(later) <= around.after,
    )


def _sorted(
    memory: library.Library, production: int, choice: Choice, before: Order | None, now: datetime.datetime
) -> Order:
    """As before, if nothing was written since, or it has just been done."""
    version, start = memory.data_version(), time.monotonic()
    if before is not None and before.choice == choice and (before.version == version or start < before.again):
        return before
    cut = False
    if choice.wanted == filters.EVERYTHING:
        numbers = memory.records.in_order(production, choice.key, choice.down)
    else:
        meant = memory.records.select(production, choice.wanted, now)
        rows = list(itertools.islice(meant, MOST))
        cut = next(meant, None) is not None
        numbers = _in_order(rows, choice)
    end = time.monotonic()
    return Order(choice, numbers, cut, version, end + max(1.0, SHARE * (end - start)))


def _in_order(rows: list[facts.Row], choice: Choice) -> array.array[int]:
    key = columns.KEYS[choice.key]
    return array.array("q", (row.run for row in sorted(rows, key=key, reverse=choice.down)))


def _of_order(memory: library.Library, production: int, order: Order, around: window.Around) -> window.Stretch:
    number = len(order.numbers)
    if around.run == window.LAST:
        place = number
    else:
        try:
            place = order.numbers.index(around.run)
        except ValueError:  # the first is wanted, or one that is not there any more
            place = 0
    first, last = max(0, place - around.before), min(number, place + around.after)
    rows = memory.records.of_runs(production, order.numbers[first:last])
    return window.Stretch(tuple(rows), begins=first == 0, ends=last == number, place=first, number=number)
