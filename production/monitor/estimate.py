"""When a production will be finished: half a chance by then, nine in ten by then. Pure, and the same for the same question.

The method: how long one run keeps a place busy, failed attempts and all, is drawn anew a few hundred times from blocks of
the last attempts in order of time (a circular block bootstrap, so slow hours stay together); each time the runs that are
left go through the places that are really used, the last few hundred one by one, and the longest at the end is waited for.
"""

from __future__ import annotations

import bisect
import dataclasses
import heapq
import itertools
import math
import random
import statistics
from collections.abc import Sequence

from production import clock, facts

DRAWS = 250
"""Futures that are drawn."""
LAST = 500
"""Attempts of the past that are drawn from."""
LEAST = 3
"""Finished runs, below which nothing can be told."""
ONE_BY_ONE = 120
"""Runs that go through the places one by one; of more only the sum of their times matters."""
FOLLOWED = 50
"""Jobs whose rest is drawn one by one; of more every second, third, …"""
MOST_ATTEMPTS = 100
"""What the settings allow."""
LEAST_USED = 0.02
"""Share of the places that is used, at least: with less nothing would ever end."""


@dataclasses.dataclass(frozen=True, slots=True)
class Trip:
    """An attempt that is over, in seconds."""

    begun: float
    """Since 1970, as ``over``: its job was submitted."""
    over: float
    """Its place was free again."""
    settled: bool
    """The run needs no further attempt: it is finished, or given up."""
    finished: bool
    staging: float | None
    queue: float | None
    running: float | None

    @property
    def busy(self) -> float:
        """How long it had its place."""
        return max(0.0, self.over - self.begun)


@dataclasses.dataclass(frozen=True, slots=True)
class Shift:
    """A manager's time at work."""

    begin: float
    """Since 1970, as ``end``."""
    end: float
    places: int
    """Jobs at a time."""


@dataclasses.dataclass(frozen=True, slots=True)
class Standing:
    """How a production stands."""

    left: int
    """Runs that have no job yet and are to be done."""
    ages: tuple[float, ...]
    """Seconds since the submission of those that have one."""
    trips: tuple[Trip, ...]
    """The last attempts that are over, the oldest first."""
    whole: bool
    """There are no earlier ones."""
    places: float
    """Jobs at a time, from now on; on average really used."""


@dataclasses.dataclass(frozen=True, slots=True)
class Forecast:
    """Seconds from now to the end, as often as it was drawn, in order of the draws."""

    ends: tuple[float, ...]

    @property
    def median(self) -> float:
        """As likely later as earlier."""
        return statistics.median(self.ends)

    @property
    def ninety(self) -> float:
        """Nine times in ten earlier."""
        return quantile(self.ends, 0.9)


def trips(took: Sequence[facts.Took]) -> tuple[Trip, ...]:
    """The attempts in order of their ends."""
    found = [_trip(one) for one in took]
    return tuple(sorted(found, key=lambda trip: trip.over))


def _trip(one: facts.Took) -> Trip:
    submitted, over = seconds(one.submitted), seconds(one.over)
    staging = None if one.staged is None else max(0.0, seconds(one.staged) - seconds(one.claimed))
    queue = None
    if one.ended is not None and one.wall is not None:
        queue = max(0.0, seconds(one.ended) - submitted - one.wall)
    return Trip(submitted, over, one.state != "new", one.state == "finished", staging, queue, one.wall)


def seconds(instant: str) -> float:
    """Since 1970."""
    return clock.instant(instant).timestamp()


def used(past: Sequence[Trip], ages: Sequence[float], shifts: Sequence[Shift], now: float) -> float:
    """Share of the managers' places that had a job, on average, since the oldest of these attempts was over."""
    if not past:
        return 1.0
    since = min(trip.over for trip in past)
    jobs = [(trip.begun, trip.over) for trip in past] + [(now - age, now) for age in ages]
    busy = math.fsum(max(0.0, end - max(begin, since)) for begin, end in jobs)
    there = math.fsum(max(0.0, shift.end - max(shift.begin, since)) * shift.places for shift in shifts)
    return min(1.0, max(LEAST_USED, busy / there)) if there > 0 else 1.0


def too_early(standing: Standing) -> bool:
    """Whether nothing can be told yet: too few runs are finished, or most of the first jobs still run."""
    if sum(trip.finished for trip in standing.trips) < LEAST:
        return True
    return standing.whole and not Lasting([trip.busy for trip in standing.trips], standing.ages).half


def foretell(standing: Standing, after: Forecast | None = None, seed: int = 0) -> Forecast:
    """When all of it will be done; ``after``: when the last of the base will be, which are waited for."""
    chance = random.Random(seed)  # noqa: S311  a drawn future, not a secret
    pace = Pace(standing, chance)
    ends = []
    for number in range(DRAWS):
        end = pace.draw()
        if after is not None:  # the last one of the base has its own way still to go
            end = max(end, after.ends[number % len(after.ends)] + pace.one())
        ends.append(end)
    return Forecast(tuple(ends))


class Pace:
    """How fast runs go through the places, drawn from those that have."""

    def __init__(self, standing: Standing, chance: random.Random) -> None:
        self._standing = standing
        self._chance = chance
        busy = [trip.busy for trip in standing.trips]
        if standing.whole:  # early on only the short ones are over
            known = Lasting(busy, standing.ages)
            busy += [known.draw(age, chance) for age in standing.ages]
        self._busy = sorted(busy)
        self._mean, self._spread = statistics.fmean(busy), statistics.pstdev(busy)
        self._blocks = _Blocks(busy)
        self._settled = sum(trip.settled for trip in standing.trips)
        whole = [self._whole(self._settled / len(standing.trips)) for _ in range(1000)]
        met = chance.choices(whole, cum_weights=list(itertools.accumulate(whole)), k=1000) if any(whole) else whole
        self._rests = sorted(one * chance.random() for one in met)
        """What is left of runs at an instant: long ones are met more often, anywhere between begin and end."""
        self._rest_mean = statistics.fmean(self._rests)
        step = 1 + len(standing.ages) // FOLLOWED
        self._ages, self._step = sorted(standing.ages)[::step], step

    def one(self) -> float:
        """One run's whole way, if nothing fails."""
        staging = [trip.staging for trip in self._standing.trips if trip.staging is not None]
        return self._chance.choice(self._busy) + (self._chance.choice(staging) if staging else 0.0)

    def draw(self) -> float:
        """One future: seconds to its end."""
        standing, chance = self._standing, self._chance
        slower = self._blocks.draw(chance) / self._mean if self._mean > 0 else 1.0
        # Who has seen no failure among twenty doesn't know that there are none (Jeffreys' prior).
        share = max(0.01, chance.betavariate(self._settled + 0.5, len(standing.trips) - self._settled + 0.5))
        rests = [self._rest(age) + (0.0 if chance.random() < share else self._whole(share)) for age in self._ages]
        runs, places = standing.left, max(1.0, standing.places)
        if runs <= ONE_BY_ONE:
            return self._one_by_one(rests, share, slower)
        scatter = self._spread**2 / share + self._mean**2 * (1 - share) / share**2
        work = runs * self._mean * slower / share + math.sqrt(runs * scatter) * chance.gauss(0, 1)
        work += math.fsum(rests) * self._step
        longest = self._rests[int(chance.random() ** (1 / places) * len(self._rests))]
        return max(0.0, work / places - self._rest_mean) + longest

    def _whole(self, share: float) -> float:
        """How long a run keeps places busy until it needs no further attempt."""
        busy = self._chance.choice(self._busy)
        for _ in range(MOST_ATTEMPTS):
            if self._chance.random() < share:
                break
            busy += self._chance.choice(self._busy)
        return busy

    def _rest(self, age: float) -> float:
        """Seconds that a job of this age still needs."""
        place = bisect.bisect_right(self._busy, age)
        if place < len(self._busy):
            return self._busy[place + int(self._chance.random() * (len(self._busy) - place))] - age
        return self._chance.expovariate(1 / max(self._spread, 0.1 * age, 1e-6))

    def _one_by_one(self, rests: Sequence[float], share: float, slower: float) -> float:
        """Each run takes the place that is free first."""
        runs, places = self._standing.left, max(1.0, self._standing.places)
        number = round(places)
        busy = heapq.nlargest(number, (rest for rest in rests for _ in range(self._step)))
        free = sorted(busy + [0.0] * min(runs, number - len(busy)))
        last = max(rests, default=0.0)
        for _ in range(runs):
            end = free[0] + self._whole(share) * slower * number / places
            heapq.heapreplace(free, end)
            last = max(last, end)
        return last


class Lasting:
    """How long attempts last, from those that are over and the ages of those that aren't.

    Source: Kaplan and Meier, J. Amer. Statist. Assoc. 53 (1958) 457: who is not over hands its weight on to all that
    lasted longer. Beyond the oldest nobody has seen anything: there it goes on as it went on average before.
    """

    def __init__(self, over: Sequence[float], ages: Sequence[float]) -> None:
        every = sorted([(busy, 0) for busy in over] + [(age, 1) for age in ages])
        alive, left = 1.0, len(every)
        self._ends: list[float] = []
        self._weights: list[float] = [0.0]
        """Of the ends before."""
        for seconds_, still in every:
            if not still:
                self._ends.append(seconds_)
                self._weights.append(self._weights[-1] + alive / left)
                alive -= alive / left
            left -= 1
        self.half = alive <= 0.5
        """Whether half of them have been seen to end."""
        self._oldest = every[-1][0]
        self._further = max(0.1 * self._oldest, min(self._oldest, statistics.pstdev(over)))
        """Seconds that what outlives all others has on average still to go."""

    def draw(self, age: float, chance: random.Random) -> float:
        """How long one lasts that is so old."""
        begin = self._weights[bisect.bisect_right(self._ends, age)]
        aim = begin + chance.random() * (1.0 - begin)
        place = bisect.bisect_left(self._weights, aim) - 1
        if 0 <= place < len(self._ends) and aim <= self._weights[-1] and self._ends[place] > age:
            return self._ends[place]
        return max(age, self._oldest) + chance.expovariate(1 / max(self._further, 1e-6))


class _Blocks:
    """Blocks of attempts in order of time, the end joined to the beginning."""

    def __init__(self, busy: Sequence[float]) -> None:
        self._number = len(busy)
        self._block = max(1, round(math.sqrt(self._number)))
        self._sums = list(itertools.accumulate([*busy, *busy], initial=0.0))

    def draw(self, chance: random.Random) -> float:
        """Seconds of one attempt, on average, as they might have been."""
        begins = [int(chance.random() * self._number) for _ in range(math.ceil(self._number / self._block))]
        busy = math.fsum(self._sums[begin + self._block] - self._sums[begin] for begin in begins)
        mean = self._sums[self._number] / self._number
        drawn = busy / (len(begins) * self._block)
        return max(0.1 * mean, mean + (drawn - mean) * _wider(len(begins), chance))


def _wider(blocks: int, chance: random.Random) -> float:
    """Few blocks vary less than what they are drawn from, and don't know how much less: as in Student's distribution."""
    if blocks < 2:
        return 1.0
    freedom = blocks - 1
    return math.sqrt(blocks / (2 * chance.gammavariate(freedom / 2, 1.0) or 1.0))


def quantile(values: Sequence[float], share: float) -> float:
    """The value that so large a share of them doesn't exceed."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, max(0, math.ceil(share * len(ordered)) - 1))]
