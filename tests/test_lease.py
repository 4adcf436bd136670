"""Leases: only our own clock of the boot counts, and only what we saw."""

from __future__ import annotations

import dataclasses
import os
import subprocess
import sys

import pytest

from production import lease, process
from production import run as runs
from tests.fakes import clock as fakes

ELSEWHERE = runs.Owner(2, "bob", "another-host", "another boot", 4711, 99)


@pytest.fixture
def clock() -> fakes.FakeClock:
    return fakes.FakeClock()


@pytest.fixture
def mine(clock: fakes.FakeClock) -> lease.Lease:
    """A lease of 300 s that has just been renewed."""
    mine = lease.Lease(dataclasses.replace(process.myself(), id=1), 300, clock)
    mine.beaten()
    return mine


def beat(owner: runs.Owner, count: int) -> runs.Owner:
    return dataclasses.replace(owner, beat=count)


# ── our own ──


@pytest.mark.parametrize(("seconds", "interval"), [(10, 1), (20, 2), (50, 5), (300, 5), (86400, 5)])
def test_ten_beats_fit_into_a_lease(clock: fakes.FakeClock, seconds: float, interval: float) -> None:
    one = lease.Lease(ELSEWHERE, seconds, clock)
    assert one.interval == interval
    assert one.due()  # the first look at the others
    one.beaten()
    assert not one.due()
    clock.advance(interval - 0.001)
    assert not one.due()
    clock.advance(0.001)
    assert one.due()
    one.beaten()
    assert not one.due()


def test_half_a_lease_is_asleep(mine: lease.Lease, clock: fakes.FakeClock) -> None:
    clock.advance(150)
    assert not mine.asleep()
    clock.sleep(0.001)  # the lid was closed: the wall clock may say anything
    assert mine.asleep()
    assert mine.due()
    mine.beaten()
    assert not mine.asleep()


@pytest.mark.parametrize("seconds", [86400 * 365, -86400 * 365])
def test_the_wall_clock_means_nothing(mine: lease.Lease, clock: fakes.FakeClock, seconds: float) -> None:
    mine.lapsed([ELSEWHERE])
    clock.step(seconds)
    assert not mine.due()
    assert not mine.asleep()
    assert mine.lapsed([ELSEWHERE]) == []


# ── the others' ──


@pytest.mark.feature("AC-30")
def test_a_beat_that_stands_still_for_a_lease_is_over(mine: lease.Lease, clock: fakes.FakeClock) -> None:
    clock.advance(10_000)  # before we looked nothing was seen
    assert mine.lapsed([ELSEWHERE]) == []
    clock.advance(300)
    assert mine.lapsed([ELSEWHERE]) == []
    clock.advance(0.001)
    assert mine.lapsed([ELSEWHERE]) == [ELSEWHERE]
    assert mine.lapsed([ELSEWHERE]) == [ELSEWHERE]  # until the catalogue says so too


def test_a_beat_that_goes_on_is_not(mine: lease.Lease, clock: fakes.FakeClock) -> None:
    for count in range(10):
        assert mine.lapsed([beat(ELSEWHERE, count)]) == []
        clock.advance(299)
    assert mine.lapsed([beat(ELSEWHERE, 9)]) == []
    clock.advance(2)
    assert mine.lapsed([beat(ELSEWHERE, 9)]) == [beat(ELSEWHERE, 9)]


def test_any_other_count_is_a_beat(mine: lease.Lease, clock: fakes.FakeClock) -> None:
    assert mine.lapsed([beat(ELSEWHERE, 7)]) == []
    clock.advance(301)
    assert mine.lapsed([beat(ELSEWHERE, 3)]) == []


def test_each_is_seen_by_itself(mine: lease.Lease, clock: fakes.FakeClock) -> None:
    third = dataclasses.replace(ELSEWHERE, id=3)
    mine.lapsed([ELSEWHERE])
    clock.advance(200)
    mine.lapsed([ELSEWHERE, third])
    clock.advance(200)
    assert mine.lapsed([ELSEWHERE, third]) == [ELSEWHERE]


def test_who_slept_does_not_hold_it_against_the_others(mine: lease.Lease, clock: fakes.FakeClock) -> None:
    """On the same sleeping machine nobody's beat went on; and we have only just woken up."""
    mine.lapsed([ELSEWHERE])
    clock.sleep(1000)
    mine.beaten()
    assert mine.lapsed([ELSEWHERE]) == []
    clock.advance(299)
    mine.beaten()
    assert mine.lapsed([ELSEWHERE]) == []


def test_alive_is_who_was_seen_to_beat(mine: lease.Lease, clock: fakes.FakeClock) -> None:
    assert not mine.alive(ELSEWHERE)
    mine.lapsed([ELSEWHERE])
    assert not mine.alive(ELSEWHERE)
    clock.advance(5)
    mine.lapsed([beat(ELSEWHERE, 1)])
    assert mine.alive(ELSEWHERE)
    clock.advance(5)
    mine.lapsed([beat(ELSEWHERE, 1)])
    assert mine.alive(ELSEWHERE)


@pytest.fixture
def dead() -> runs.Owner:
    """A process of ours that is no more."""
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as child:
        ticks = process.start_ticks(child.pid)
        assert ticks is not None
        assert not process.seen_dead(dataclasses.replace(process.myself(), pid=child.pid, ticks=ticks))
        child.communicate(b"\n")
    return dataclasses.replace(process.myself(), id=2, pid=child.pid, ticks=ticks)


@pytest.mark.feature("AC-30")
def test_a_process_seen_dead_is_over_at_once(mine: lease.Lease, dead: runs.Owner) -> None:
    assert mine.lapsed([dead]) == [dead]
    assert not mine.alive(dead)


@pytest.mark.parametrize("field", ["user", "host", "boot"])
def test_only_what_we_can_see_is_seen_dead(mine: lease.Lease, dead: runs.Owner, field: str) -> None:
    elsewhere = dataclasses.replace(dead, **{field: "another"})  # type: ignore[arg-type]
    assert not process.seen_dead(elsewhere)
    assert mine.lapsed([elsewhere]) == []


def test_people_are_told_of_everybodys_processes(dead: runs.Owner) -> None:
    """Where the machine shows them: of what it hides, or of another machine, nothing is said."""
    shown = os.geteuid() == 0 or os.stat("/proc/1").st_uid != os.geteuid()
    assert process.seen_alive(dead) is False
    assert process.seen_alive(dataclasses.replace(dead, user="another")) is (False if shown else None)
    assert process.seen_alive(dataclasses.replace(dead, host="another")) is None
    assert process.seen_alive(dataclasses.replace(dead, boot="another")) is None
    assert process.seen_alive(dataclasses.replace(process.myself(), user="another")) is True


def test_a_pid_that_is_used_again_is_somebody_else(mine: lease.Lease) -> None:
    me = process.myself()
    assert not process.seen_dead(me)
    assert mine.lapsed([dataclasses.replace(me, id=2)]) == []
    assert process.seen_dead(dataclasses.replace(me, ticks=me.ticks - 1))


def test_a_zombie_is_dead() -> None:
    with subprocess.Popen([sys.executable, "-c", "pass"], stdout=subprocess.PIPE) as child:
        assert child.stdout is not None
        child.stdout.read()  # until it has closed everything; then it only waits to be waited for
        while process.start_ticks(child.pid) is not None:
            pass
    assert process.start_ticks(child.pid) is None


def test_our_own_fake_clock_is_as_the_real_one(clock: fakes.FakeClock) -> None:
    before = clock.now()
    clock.wait(5)
    assert (clock.now() - before).total_seconds() == 5
    assert clock.boottime() == 1005
    clock.wake()
    clock.wait(5)
    assert clock.boottime() == 1005
    clock.wait(5)
    assert clock.boottime() == 1010
    assert clock.waits == [5, 5, 5]
