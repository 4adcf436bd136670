"""The rows that are loaded around a cursor, against a list of all rows, in which nothing need ever be loaded."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from production import facts
from production import run as runs
from production.monitor.dashboard import window

STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("move"), st.integers(-300, 300)),
        st.tuples(st.just("page"), st.sampled_from([-1, 1])),
        st.tuples(st.just("go_to"), st.integers(0, 420)),
        st.tuples(st.just("ends"), st.sampled_from([window.FIRST, window.LAST])),
        st.tuples(st.just("fit"), st.integers(1, 60)),
        st.tuples(st.just("point"), st.integers(0, 70)),
        st.tuples(st.just("news"), st.integers(0, 0)),
    ),
    max_size=30,
)


def row(number: int) -> facts.Row:
    return facts.Row(
        run=number, label=None, datasets=(), state=runs.State.NEW, attempt=0, host=None, job=None, began=None,
        since="2026-11-20T21:00:00.000000Z", submitted=None, wall=None, batch=None, owner=None, cause=None, message=None, why="", user=None,
        manager=None, failures=0, priority=0, not_before=None, asked_by=None,
    )  # fmt: skip


def by_number(row: facts.Row) -> int:
    return row.run


def load(shown: window.Window, numbers: list[int]) -> None:
    """As a reader does: what it wants to have, until it wants no more."""
    for _ in range(10):
        wanted = shown.around()
        place = next((at for at, one in enumerate(numbers) if one >= wanted.run), len(numbers))
        first, last = max(0, place - wanted.before), min(len(numbers), place + wanted.after)
        rows = [row(one) for one in numbers[first:last]]
        shown.take(window.Stretch(tuple(rows), begins=first == 0, ends=last == len(numbers)), by_number)
        if not shown.near_edge() or shown.around() == wanted:
            return


@given(numbers=st.lists(st.integers(0, 400), unique=True, max_size=400).map(sorted), steps=STEPS)
def test_the_cursor_is_where_it_would_be_in_a_list(numbers: list[int], steps: list[tuple[str, int]]) -> None:
    shown, place = window.Window(), 0
    shown.fit(10)
    load(shown, numbers)
    for step, number in steps:
        last = max(0, len(numbers) - 1)
        if step == "move":
            shown.move(number)
            place = max(0, min(last, place + number))
        elif step == "page":
            shown.page(number)
            place = max(0, min(last, place + number * max(1, shown.height - 1)))
        elif step == "go_to":
            shown.go_to(number)
            place = min(last, next((at for at, one in enumerate(numbers) if one >= number), last))
        elif step == "ends":
            shown.go_to(number)
            place = 0 if number == window.FIRST else last
        elif step == "fit":
            shown.fit(number)
        elif step == "point" and shown.point(number):
            place += number - (place - numbers.index(shown.shown()[0].run))
        load(shown, numbers)
        check(shown)
        assert (shown.current.run if shown.current else None) == (numbers[place] if numbers else None), (step, number)


@given(steps=STEPS, sizes=st.lists(st.integers(0, 300), max_size=30))
def test_nothing_is_out_of_range_while_runs_come_and_go(steps: list[tuple[str, int]], sizes: list[int]) -> None:
    """Under a filter, say; and keys may be pressed before anything is loaded."""
    shown = window.Window()
    for (step, number), size in zip(steps, sizes, strict=False):
        if step in ("move", "page", "fit", "point"):
            getattr(shown, step)(number)
        elif step != "news":
            shown.go_to(number)
        check(shown)
        if size % 3:
            load(shown, list(range(0, 2 * size, 2)))
            check(shown)


def check(shown: window.Window) -> None:
    """What is always so."""
    rows = shown.shown()
    assert len(rows) <= shown.height
    assert len(rows) == min(shown.height, len(shown.rows)), "the screen is full where it can be"
    assert 0 <= shown.cursor < max(1, len(rows)), "the cursor is on it"
    if shown.current:
        assert rows[shown.cursor] == shown.current


def test_whoever_stands_on_the_first_row_stays_there() -> None:
    """The newest come first, and are what he looks at."""
    shown = window.Window()
    shown.fit(5)
    load(shown, [5, 6, 7])
    load(shown, [1, 2, 5, 6, 7])
    assert shown.current == row(1)
    shown.move(2)
    load(shown, [0, 1, 2, 5, 6, 7])
    assert shown.current == row(5), "else with the run"
    load(shown, [0, 1, 2, 6, 7])
    assert shown.current == row(6), "which is gone: with the next one"


def test_no_key_means_a_run_that_the_cursor_is_leaving() -> None:
    shown = window.Window()
    shown.fit(5)
    load(shown, list(range(1000)))
    shown.go_to(900)
    assert shown.current is None
    load(shown, list(range(1000)))
    assert shown.current == row(900)
    shown.go_to(901)
    assert shown.current == row(901), "that one was there already"
    shown.move(-500)
    assert shown.current is None
    load(shown, list(range(1000)))
    assert shown.current == row(401)


@pytest.mark.parametrize(("key", "run"), [(by_number, 7), (None, 7)], ids=["in order", "in an unknown one"])
def test_a_run_that_is_not_there_any_more(key: window.Key | None, run: int) -> None:
    shown = window.Window()
    shown.fit(5)
    shown.take(window.Stretch(tuple(map(row, [1, 3, 5, 7])), begins=True, ends=True), key)
    shown.move(2)
    shown.take(window.Stretch(tuple(map(row, [1, 3, 7])), begins=True, ends=True), key)
    assert shown.current == row(run)


def test_a_run_that_was_never_there_is_told_once() -> None:
    shown = window.Window()
    shown.fit(5)
    some = window.Stretch(tuple(map(row, [1, 3, 5, 7])), begins=True, ends=True)
    shown.go_to(4)
    assert shown.take(window.Stretch((), begins=True, ends=False, whole=False), None) is None, "it is looked for"
    assert shown.take(some, None) == 4
    assert shown.current == row(5)
    assert shown.take(some, None) is None


def test_a_run_that_was_there_is_not_missing_when_the_cursor_has_moved_on() -> None:
    shown = window.Window()
    shown.fit(5)
    some = window.Stretch(tuple(map(row, [1, 3, 5, 7])), begins=True, ends=True)
    shown.take(window.Stretch(tuple(map(row, [50, 60])), begins=False, ends=False), None)
    shown.go_to(3)
    shown.move(2)
    assert shown.take(some, None) is None
    assert shown.current == row(5)
    shown.go_to(7)
    shown.move(-2)
    assert shown.take(some, None) is None


def test_nobody_asked_for_the_run_that_a_filter_leaves_out() -> None:
    shown = window.Window()
    shown.begin_anew(4)
    assert shown.take(window.Stretch(tuple(map(row, [1, 5])), begins=True, ends=True), None) is None


def test_where_among_all_it_is() -> None:
    shown = window.Window()
    shown.fit(2)
    assert shown.position() is None
    shown.take(window.Stretch(tuple(map(row, range(6))), begins=False, ends=False, place=40, number=99), None)
    shown.move(3)
    assert shown.position() == (44, 99)
