"""Whether what is said of the end comes true: campaigns are played to their end, and asked on their way."""

from __future__ import annotations

import heapq
import itertools
import math
import random

import pytest

from production import facts
from production.monitor import estimate

HOUR = 3600.0


def play(
    chance: random.Random, runs: int, places: int, spread: float, failing: float
) -> list[tuple[float, float, bool]]:
    """A campaign: (begin, end, whether it went well) of each attempt.

    The first run that waits takes the place that is free; one that failed joins the end of the queue half a minute later.
    """
    width = math.sqrt(math.log(1 + spread**2))
    queue = [0.0] * runs  # when each may begin; a heap
    free = [0.0] * places
    ends: list[tuple[float, bool]] = []
    attempts = []
    while queue or ends:
        if queue and (not ends or max(queue[0], free[0] if free else math.inf) <= ends[0][0]) and free:
            begin = max(heapq.heappop(queue), heapq.heappop(free))
            end = begin + 600 * chance.lognormvariate(-(width**2) / 2, width)
            well = chance.random() >= failing
            attempts.append((begin, end, well))
            heapq.heappush(ends, (end, well))
        else:
            end, well = heapq.heappop(ends)
            heapq.heappush(free, end)
            if not well:
                heapq.heappush(queue, end + 30.0)
    return attempts


def ask(
    attempts: list[tuple[float, float, bool]], runs: int, places: int, share: float
) -> tuple[float, estimate.Forecast]:
    """(seconds that it still took, what was said of it) when a share of the runs was finished."""
    now = sorted(end for _, end, well in attempts if well)[int(share * runs)]
    over = sorted((one for one in attempts if one[1] <= now), key=lambda one: one[1])
    ages = tuple(now - begin for begin, end, _ in attempts if begin <= now < end)
    trips = tuple(
        estimate.Trip(begin, end, well, well, None, None, end - begin) for begin, end, well in over[-estimate.LAST :]
    )
    used = estimate.used(trips, ages, [estimate.Shift(0.0, now, places)], now)
    left = runs - sum(well for *_, well in over) - len(ages)
    standing = estimate.Standing(left, ages, trips, len(over) <= estimate.LAST, places * used)
    assert not estimate.too_early(standing)
    return max(end for _, end, _ in attempts) - now, estimate.foretell(standing)


CAMPAIGNS = [
    # runs, places, spread of their times, share that fails, asked at
    (50, 5, 0.2, 0.05, 0.3),
    (200, 10, 0.5, 0.0, 0.3),
    (200, 10, 0.5, 0.1, 0.6),
    (1500, 20, 0.5, 0.1, 0.2),
    (1500, 100, 0.3, 0.03, 0.5),
    (1500, 20, 0.4, 0.05, 0.03),
]


@pytest.mark.parametrize(("runs", "places", "spread", "failing", "share"), CAMPAIGNS)
def test_the_true_end_is_before_the_90_per_cent_nine_times_in_ten(
    runs: int, places: int, spread: float, failing: float, share: float
) -> None:
    """And before the median every second time: within four standard deviations of as many throws of a coin."""
    number = 100
    below_median, below_ninety = 0, 0
    for seed in range(number):
        attempts = play(random.Random(seed), runs, places, spread, failing)
        took, forecast = ask(attempts, runs, places, share)
        below_median += took <= forecast.median
        below_ninety += took <= forecast.ninety
        assert 0 < forecast.median <= forecast.ninety < 3 * took
    assert abs(below_median - 50) <= 20
    assert below_ninety >= 78


def test_the_range_narrows_as_more_is_known() -> None:
    attempts = play(random.Random(1), 1500, 20, 0.5, 0.05)
    widths = [
        (forecast.ninety - forecast.median) / forecast.median
        for _, forecast in (ask(attempts, 1500, 20, share) for share in (0.03, 0.4))
    ]
    assert widths[1] < widths[0] / 2


def trips(*busy: float, well: bool = True) -> tuple[estimate.Trip, ...]:
    return tuple(estimate.Trip(10.0 * at, 10.0 * at + one, well, well, None, None, one) for at, one in enumerate(busy))


def standing(left: int, places: float, *busy: float, ages: tuple[float, ...] = ()) -> estimate.Standing:
    return estimate.Standing(left, ages, trips(*busy), True, places)


def test_the_same_question_has_the_same_answer() -> None:
    question = standing(1000, 10, *([60.0, 100.0] * 10))
    assert estimate.foretell(question) == estimate.foretell(question)


def test_twice_the_places_take_half_the_time() -> None:
    one = estimate.foretell(standing(10_000, 10, *([100.0] * 50)))
    two = estimate.foretell(standing(10_000, 20, *([100.0] * 50)))
    assert one.median == pytest.approx(100_000, rel=0.03)
    assert two.median == pytest.approx(one.median / 2, rel=0.03)


def test_one_run_takes_as_long_as_one_run() -> None:
    assert estimate.foretell(standing(1, 10, *([100.0] * 50))).median == pytest.approx(100)


def test_what_runs_already_needs_only_its_rest() -> None:
    found = estimate.foretell(standing(0, 10, *([100.0] * 50), ages=(90.0, 10.0)))
    assert found.median == pytest.approx(90)


def test_runs_that_wait_for_the_base_end_after_it() -> None:
    base = estimate.foretell(standing(1000, 1, *([100.0] * 50)))
    after = estimate.foretell(standing(1000, 1000, *([30.0] * 50)), base)
    assert after.median == pytest.approx(base.median + 30, rel=0.01)
    slow = estimate.foretell(standing(1000, 1, *([300.0] * 50)), base)
    assert slow.median == pytest.approx(300_000, rel=0.03)


def test_failed_attempts_take_their_time_too() -> None:
    every = trips(*([100.0] * 60)) + trips(*([100.0] * 60), well=False)
    mixed = tuple(itertools.chain.from_iterable(zip(every[:60], every[60:], strict=True)))
    found = estimate.foretell(estimate.Standing(10_000, (), mixed, True, 10))
    assert found.median == pytest.approx(200_000, rel=0.05)


def test_nothing_is_told_before_there_is_something_to_tell() -> None:
    assert estimate.too_early(standing(100, 10))
    assert estimate.too_early(standing(100, 10, 60.0, 61.0))
    # three of the first ten are over: these may just have been the short ones
    assert estimate.too_early(standing(100, 10, 60.0, 61.0, 62.0, ages=(63.0,) * 7))
    assert not estimate.too_early(standing(100, 10, 60.0, 61.0, 62.0, ages=(5.0,) * 7))


def test_places_that_nobody_uses_are_not_counted() -> None:
    """Ten places, of which five had jobs on average; and a manager that was only there half of the time."""
    past = tuple(estimate.Trip(100.0 * at, 100.0 * at + 500, True, True, None, None, 500.0) for at in range(100))
    now = past[-1].over
    assert estimate.used(past, (), [estimate.Shift(0, now, 10)], now) == pytest.approx(0.5, rel=0.05)
    assert estimate.used(past, (), [estimate.Shift(0, now, 5), estimate.Shift(now / 2, now, 10)], now) == pytest.approx(
        0.5, rel=0.08
    )
    assert estimate.used(past, (), [], now) == 1.0
    assert estimate.used((), (), [estimate.Shift(0, now, 10)], now) == 1.0


def test_a_trip_is_told_by_its_instants() -> None:
    at = "2026-11-20T21:{}.000000Z".format
    took = facts.Took(at("50:05"), "finished", at("00:00"), at("02:00"), at("03:00"), at("49:00"), 1920.0)
    [trip] = estimate.trips([took])
    assert (trip.staging, trip.queue, trip.running) == (120.0, 840.0, 1920.0)
    assert trip.busy == 47 * 60 + 5
    assert trip.settled
    again = facts.Took(at("50:05"), "new", at("00:00"), None, at("03:00"), None, None)
    [trip] = estimate.trips([again])
    assert (trip.staging, trip.queue, trip.running, trip.settled) == (None, None, None, False)


def test_how_long_what_outlives_all_others_lasts_is_still_told() -> None:
    chance = random.Random(1)
    known = estimate.Lasting([10.0, 20.0, 30.0], [25.0])
    assert {known.draw(5.0, chance) for _ in range(200)} == {10.0, 20.0, 30.0}
    assert {known.draw(22.0, chance) for _ in range(50)} == {30.0}
    assert min(known.draw(40.0, chance) for _ in range(50)) > 40.0
