"""What becomes of a run whose attempt ended: by table, and whatever the numbers are."""

from __future__ import annotations

import dataclasses
import datetime
from typing import Any

import hypothesis
import pytest
from hypothesis import strategies as st

from production import clock, retry, settings
from production import run as runs
from tests.fakes import clock as fakes

State = runs.State
Cause = runs.Cause

NOW = fakes.START


def run(failures: int = 0, attempt: int = 1) -> runs.Run:
    since = clock.text(NOW)
    return runs.Run(
        1, 2091, None, State.SUBMITTED, 7, attempt, failures, since, "", None, "1", None, "alice", since
    )  # fmt: skip


def seconds(following: retry.Next) -> float | None:
    return None if following.not_before is None else (following.not_before - NOW).total_seconds()


@pytest.mark.parametrize("cause", [Cause.RELEASED, Cause.NODE])
@pytest.mark.parametrize("failures", [0, 2, 99])
def test_what_is_not_the_runs_doing_is_not_held_against_it(cause: Cause, failures: int) -> None:
    following = retry.after(run(failures), cause, settings.Retry(limit=1), NOW)
    assert (following.state, following.failures, following.counted) == (State.NEW, failures, False)


@pytest.mark.feature("AC-23")
@pytest.mark.parametrize(
    "cause",
    [
        Cause.PROGRAM,
        Cause.TIME,
        Cause.MEMORY,
        Cause.LAUNCH,
        Cause.STAGING,
        Cause.OUTPUT,
        Cause.CANCELLED,
        Cause.KILLED,
        Cause.LOST,
    ],
)
def test_a_failure_is_tried_again_later_until_the_limit(cause: Cause) -> None:
    rules = settings.Retry(limit=3, pause=30, factor=2)
    assert retry.after(run(0), cause, rules, NOW) == retry.Next(
        State.NEW, 1, True, NOW + datetime.timedelta(seconds=30)
    )
    assert retry.after(run(1), cause, rules, NOW) == retry.Next(
        State.NEW, 2, True, NOW + datetime.timedelta(seconds=60)
    )
    assert retry.after(run(2), cause, rules, NOW) == retry.Next(State.FAILED, 3, True)


def test_every_cause_is_one_or_the_other() -> None:
    """A new cause is given its place in the tests above."""
    counted = {cause for cause in Cause if retry.after(run(), cause, settings.Retry(), NOW).counted}
    assert counted == set(Cause) - {Cause.RELEASED, Cause.NODE}


def test_attempts_that_do_not_count_do_not_use_up_the_limit() -> None:
    assert retry.after(run(failures=1, attempt=50), Cause.PROGRAM, settings.Retry(limit=3), NOW).state is State.NEW


@pytest.mark.parametrize(
    ("rules", "failures", "expected"),
    [
        (settings.Retry(limit=10, pause=0), 5, 0),
        (settings.Retry(limit=10, pause=10, factor=1), 8, 10),
        (settings.Retry(limit=10, pause=30, factor=2, longest=100), 0, 30),
        (settings.Retry(limit=10, pause=30, factor=2, longest=100), 1, 60),
        (settings.Retry(limit=10, pause=30, factor=2, longest=100), 2, 100),
        (settings.Retry(limit=10, pause=30, longest=0), 2, 0),
    ],
)
def test_the_pause_grows_up_to_a_longest(rules: settings.Retry, failures: int, expected: float) -> None:
    assert seconds(retry.after(run(failures), Cause.PROGRAM, rules, NOW)) == expected


@hypothesis.given(
    cause=st.sampled_from(Cause),
    failures=st.integers(0, 99),
    limit=st.integers(1, 100),
    pause=st.floats(0, 86400),
    factor=st.floats(1, 100),
    longest=st.floats(0, 604800),
)
def test_whatever_the_settings_allow(
    cause: Cause, failures: int, limit: int, pause: float, factor: float, longest: float
) -> None:
    following = retry.after(run(failures), cause, settings.Retry(limit, pause, factor, longest), NOW)
    assert following.state in {State.NEW, State.FAILED}
    assert following.failures - failures == following.counted
    assert (following.state is State.FAILED) == (following.counted and failures + 1 >= limit)
    wait = seconds(following)
    assert wait is None or 0 <= wait <= longest + 1e-6


GIB = 2**30
HALF_HOUR = runs.Resources(time=1800, memory=2 * GIB, cores=4)


def earlier(cause: Cause, **facts: Any) -> runs.Earlier:
    return dataclasses.replace(runs.Earlier(cause, HALF_HOUR, None, None, None), **facts)


@pytest.mark.feature("AC-20", "AC-21")
@pytest.mark.parametrize(
    ("before", "most", "time", "memory"),
    [
        ([], settings.Retry(), 1800, 2 * GIB),
        ([earlier(Cause.PROGRAM, wall=9000, memory=9 * GIB)], settings.Retry(), 1800, 2 * GIB),
        ([earlier(Cause.MEMORY)], settings.Retry(), 1800, 3 * GIB),
        ([earlier(Cause.MEMORY, memory=4 * GIB)], settings.Retry(), 1800, 6 * GIB),
        ([earlier(Cause.MEMORY, memory=GIB)], settings.Retry(), 1800, 3 * GIB),
        ([earlier(Cause.MEMORY, memory=4 * GIB)], settings.Retry(memory=5 * GIB), 1800, 5 * GIB),
        ([earlier(Cause.TIME, wall=1805)], settings.Retry(), 1.5 * 1805, 2 * GIB),
        ([earlier(Cause.TIME)], settings.Retry(time=2000), 2000, 2 * GIB),
        ([earlier(Cause.TIME), earlier(Cause.MEMORY)], settings.Retry(), 2700, 3 * GIB),
        ([earlier(Cause.TIME), earlier(Cause.TIME, asked=runs.Resources(2700))], settings.Retry(), 4050, 2 * GIB),
    ],
)
def test_who_had_too_little_asks_for_half_as_much_again(
    before: list[runs.Earlier], most: settings.Retry, time: float, memory: int
) -> None:
    assert retry.resources(HALF_HOUR, most, before) == runs.Resources(time, memory, 4)


def test_with_nothing_known_there_is_nothing_to_grow_from() -> None:
    nothing = runs.Earlier(Cause.MEMORY, runs.UNASKED, None, None, None)
    assert retry.resources(runs.UNASKED, settings.Retry(), [nothing]) == runs.UNASKED
    used = dataclasses.replace(nothing, memory=GIB)
    assert retry.resources(runs.UNASKED, settings.Retry(), [used]).memory == 1.5 * GIB


@pytest.mark.feature("AC-20")
def test_who_had_all_there_may_be_is_not_tried_again() -> None:
    failed = dataclasses.replace(run(), asked=HALF_HOUR)
    following = retry.after(failed, Cause.MEMORY, settings.Retry(memory=2 * GIB), NOW)
    assert (following.state, following.note.split(";")[0]) == (State.FAILED, "it had all that retry.memory allows")
    assert retry.after(failed, Cause.TIME, settings.Retry(memory=2 * GIB), NOW).state is State.NEW


@pytest.mark.feature("AC-21")
def test_a_lost_host_is_avoided_until_something_else_went_wrong() -> None:
    lost = [earlier(Cause.NODE, host=f"n{number:02}") for number in range(10)]
    assert retry.avoided(lost[:2]) == ("n00", "n01")
    assert retry.avoided([*lost, earlier(Cause.RELEASED)]) == tuple(f"n{number:02}" for number in range(2, 10))
    assert retry.avoided([*lost, earlier(Cause.PROGRAM, host="n11"), earlier(Cause.NODE, host="n12")]) == ("n12",)
    assert seconds(retry.after(run(), Cause.NODE, settings.Retry(pause=20), NOW)) == 20


@pytest.mark.feature("AC-21")
def test_a_run_under_which_node_after_node_is_lost_is_held() -> None:
    lost = [earlier(Cause.NODE, host=f"n{number:02}") for number in range(4)]
    assert retry.lost([earlier(Cause.PROGRAM), *lost, earlier(Cause.RELEASED)]) == ["n03", "n02", "n01", "n00"]
    rules = settings.Retry(pause=10, factor=2)
    assert seconds(retry.after(run(), Cause.NODE, rules, NOW, 2)) == 40
    following = retry.after(run(), Cause.NODE, rules, NOW, 4)
    assert (following.state, following.counted) == (State.HELD, False)
    assert "5 times in a row" in following.note
