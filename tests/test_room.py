"""The room on the disk: what is left within the quota, and what the shift is told of it."""

from __future__ import annotations

import contextlib
import dataclasses
import logging
import pathlib
from collections.abc import Iterator

import hypothesis
import pytest
from hypothesis import strategies as st

from production import room
from production import run as runs
from production.catalogue import base, sqlite
from tests.fakes import clock, quota

State = runs.State


@dataclasses.dataclass
class House:
    """A database with one production in /data, and what its disk says."""

    catalogue: sqlite.Database
    production: runs.Production
    owner: runs.Owner
    quota: quota.FakeQuota
    room: room.Room
    clock: clock.FakeClock

    def look(self) -> room.Left | None:
        with self.catalogue.write() as change:
            return self.room.look(change)

    def claim(self, number: int) -> list[runs.Run]:
        with self.catalogue.write() as change:
            return change.claim(self.production.id, number, self.owner, runs.Wanted(), self.clock.now())


@pytest.fixture
def house(tmp_path: pathlib.Path) -> Iterator[House]:
    ticking = clock.FakeClock()
    sqlite.create(str(tmp_path / "p.db"), ticking.now())
    with contextlib.closing(sqlite.Database(str(tmp_path / "p.db"))) as catalogue:
        opening = base.Opening("alcapana", "v5", "gold", None, ("tree",), "/data", "alice")
        with catalogue.write() as change:
            change.add_runs(base.DatasetRow(run, "Al50") for run in range(1, 10))
            production = change.open_production(opening, ticking.now())
            owner = change.enter(
                runs.Owner(0, "alice", "node", "boot", 1, 1), production.id, "local", 10, 5, ticking.now()
            )
        gauge = quota.FakeQuota(ticking, limit=1000)
        yield House(catalogue, production, owner, gauge, room.Room(gauge, "/data", 90), ticking)


def test_an_empty_disk_has_its_limit(house: House) -> None:
    assert house.look() == room.Left(900, 900, 900, True)
    house.quota.used = 850
    assert house.look() == room.Left(50, 50, 900, True)


def test_what_is_promised_is_not_left(house: House) -> None:
    one, two = house.claim(2)
    with house.catalogue.write() as change:
        change.begin_transfer("/data/1", "1", house.owner, house.clock.now())
        change.need(one, "/data/1", "1", 100, ours=True)
        change.need(two, "/data/2", "2", 70, ours=True)
    outputs = base.UNSEEN  # nobody has seen any yet
    assert house.look() == room.Left(900 - 170 - 2 * outputs, 900 - 100 - outputs, 900, False)


@pytest.mark.feature("AC-15")
def test_the_brake_and_its_end_are_told_once_each(house: House, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "production")
    for used in (950, 960, 905, 899, 892, 950, 500, 880, 891):
        house.quota.used = used
        left = house.look()
        assert left is not None
        assert (left.unpromised > 0) == (used in (500, 880, 891))
    assert caplog.messages == [
        "No room under /data: 95 % of 1.0 kB used, --spacelim=90; nothing new is staged or submitted, running jobs go on",
        "There is room under /data again: 50 % of 1.0 kB used; staging goes on",
    ]
    assert house.quota.renewed >= 6  # who waits looks again soon


@pytest.mark.feature("AC-15")
def test_a_reader_that_fails_is_told_once_and_nothing_is_staged(house: House, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "production")
    house.quota.trouble = "mmlsquota gpfs0: exit 1: no such device"
    assert house.look() is None
    assert house.look() is None
    house.quota.trouble = ""
    assert house.look() is not None
    assert caplog.messages == [
        "mmlsquota gpfs0: exit 1: no such device; nothing new is staged until it can be read",
        "The quota can be read again",
    ]


@pytest.mark.parametrize(
    ("limit", "spacelim", "left"),
    [(1000, 100.0, 1000), (1000, 90.0, 900), (1000, 33.333, 333), (2**60 + 1, 100.0, 2**60 + 1)],
)
def test_within_is_so_many_per_cent(limit: int, spacelim: float, left: int) -> None:
    assert room.within(limit, spacelim) == left


@hypothesis.given(st.integers(0, 2**62), st.floats(1.001, 100))
def test_within_is_never_more_than_the_per_cent(limit: int, spacelim: float) -> None:
    assert room.within(limit, spacelim) <= limit
    assert room.within(limit, spacelim) == pytest.approx(limit * spacelim / 100, rel=1e-3, abs=2)
