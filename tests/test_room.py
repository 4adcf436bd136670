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

from production import journal, room
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


@pytest.fixture(autouse=True)
def nothing_told() -> Iterator[None]:
    """What the journal has told, it tells no more."""
    yield
    for topic in ("quota", "quota unread", "room", "few"):
        journal.over(topic)


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
        yield House(catalogue, production, owner, gauge, room.Room(gauge, "/data", 90, catalogue, ticking), ticking)


def test_an_empty_disk_has_its_limit(house: House) -> None:
    assert house.look() == room.Left(900, 900, 900, True)
    house.quota.used = 850
    assert house.look() == room.Left(50, 50, 900, True)


def test_what_was_seen_is_known_without_looking_again(house: House) -> None:
    assert house.room.seen() is None
    began = house.quota.reading().began
    house.look()
    house.quota.used = 700
    assert house.room.seen() == base.Seen(0, 1000, 900, began)
    house.look()
    seen = house.room.seen()
    assert seen
    assert seen.used == 700


def test_a_run_that_waits_for_room_says_for_how_much_and_what_to_do(
    house: House, caplog: pytest.LogCaptureFixture
) -> None:
    house.quota.used = 500
    for _ in range(2):
        house.look()
        house.room.short("Run 7 waits for room under /data: its input has 800 bytes")
    [told] = caplog.messages
    assert told == (
        "Run 7 waits for room under /data: its input has 800 bytes; no run computes that would free any: remove something "
        "there, or raise the limit or --spacelim (500 bytes of 1,000 bytes used, 50 %, --spacelim=90 allows 900 bytes)"
    )


def test_room_for_few_is_no_trouble(house: House, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "production")
    for used in (0, 100):
        house.quota.used = used
        left = house.look()
        assert left
        house.room.few(1 << 20, left)
    [record] = caplog.records
    assert record.levelname == "INFO"
    assert record.message == (
        "There is room for few runs at a time under /data; others are claimed as these finish "
        "(900 bytes left, a run is expected to need 1.0 MiB)"
    )


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
    assert [message.partition(" (")[0] for message in caplog.messages] == [
        f"No room under /data: nothing new is staged or submitted; {room.MEND}",
        "There is room under /data again: 500 bytes of 1,000 bytes used, 50 %; staging goes on",
    ]
    assert caplog.messages[0].endswith(" (950 bytes of 1,000 bytes used, 95 %, --spacelim=90 allows 900 bytes)")
    assert house.quota.renewed >= 6  # who waits looks again soon


def test_while_a_run_computes_the_brake_is_told_only_if_it_lasts(
    house: House, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "production")
    (run,) = house.claim(1)
    with house.catalogue.write() as change:
        for state, seen in (
            (State.STAGED, State.CLAIMED),
            (State.SUBMITTING, State.STAGED),
            (State.SUBMITTED, State.SUBMITTING),
        ):
            assert change.move(dataclasses.replace(run, state=seen), state, "", house.clock.now())
    for _ in range(5):  # its input fills the disk, and goes when it ends
        house.quota.used = 950
        house.look()
        house.clock.advance(20)
        house.look()
        house.quota.used = 100
        house.look()
    assert caplog.messages == []
    house.quota.used = 950
    for _ in range(2):
        house.look()
        house.clock.advance(31)
    [told] = caplog.messages
    assert told.startswith("No room under /data: nothing new is staged or submitted; running jobs go on (950 bytes of")
    house.quota.used = 960
    for _ in range(59):
        house.clock.advance(60)
        house.look()
    [_, again] = caplog.messages
    assert again.startswith("Still, for 31 min: No room under /data")
    assert "(960 bytes of 1,000 bytes used" in again
    with house.catalogue.write() as change:
        assert change.move(dataclasses.replace(run, state=State.SUBMITTED), State.NEW, "", house.clock.now())
    house.look()
    house.clock.advance(10)
    house.look()
    assert "no run computes that would free any" in caplog.messages[-1]
    house.quota.used = 0
    house.look()


@pytest.mark.feature("AC-15")
def test_a_reader_that_fails_is_told_once_and_nothing_is_staged(house: House, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "production")
    house.quota.trouble = "mmlsquota gpfs0: exit 1: no such device"
    assert house.look() is None
    assert house.look() is None
    house.clock.advance(1800)
    assert house.look() is None
    house.quota.trouble = ""
    assert house.look() is not None
    assert caplog.messages == [
        "mmlsquota gpfs0: exit 1: no such device; nothing new is staged until it can be read",
        "Still, for 30 min: mmlsquota gpfs0: exit 1: no such device; nothing new is staged until it can be read",
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


@pytest.mark.parametrize(
    ("size", "told"),
    [(0, "0 bytes"), (1, "1 byte"), (5, "5 bytes"), (1023, "1,023 bytes"), (1024, "1.0 KiB"), (2 << 40, "2.0 TiB")],
)
def test_sizes_are_told_in_one_way(size: int, told: str) -> None:
    assert room.shown(size) == told
