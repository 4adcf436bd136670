"""What a screen asks of the memory: tables of runs from either end and in any order, what is coming, what has happened."""

from __future__ import annotations

import contextlib
import dataclasses
import datetime
import itertools
import pathlib
import sqlite3
import threading
from collections.abc import Iterator

import hypothesis
import pytest
from hypothesis import strategies

from production import errors, facts, process
from production import filter as filters
from production import run as runs
from production.catalogue import base
from production.catalogue import sqlite as catalogue
from production.monitor import columns
from tests import million

NUMBER = 3000
NOW = million.BEGUN + datetime.timedelta(minutes=40)
TABLE = 1
"""The production."""


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    """Three thousand runs: some in two datasets, one in none that we know of, some more important, one with a name."""
    path = tmp_path_factory.mktemp("records") / "small.db"
    million.build(str(path), NUMBER)
    with contextlib.closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("UPDATE production_run SET priority = run % 3 - 1 WHERE state = 'new'")
        connection.execute("INSERT INTO datasets (run, dataset) SELECT run, 'Ti' FROM run WHERE run % 11 = 0")
        connection.execute("DELETE FROM datasets WHERE run = 2900")
        connection.execute("UPDATE run SET label = 'cosmics' WHERE run = 17")
    return path


@pytest.fixture(scope="module")
def database(path: pathlib.Path) -> Iterator[catalogue.Database]:
    with contextlib.closing(catalogue.Database(str(path), read_only=True)) as opened:
        yield opened


# ── from either end ───────────────────────────────────────────────────────────────────────────────────────────────

FILTERS = [
    "", "17", "1-5 10 12 2000-2999", "5000-6000", "state:failed", "state:failed,held", "state:new", "dataset:Al50",
    "dataset:Al50,Ti", "dataset:Ti state:finished", "dataset:Ti state:failed,held", "cause:memory", "cause:memory,output", "host:node7",
    "host:node7,node8", "tranche:2", "user:anna", "job:7717", "magic", ">30min", "<30min", "host:node7 100-900 state:finished",
    "dataset:none",
]  # fmt: skip


@pytest.mark.parametrize("words", FILTERS)
def test_downwards_is_upwards_from_the_other_end(database: catalogue.Database, words: str) -> None:
    wanted = filters.parse(words.split())
    upwards = list(database.records.select(TABLE, wanted, NOW))
    assert list(database.records.select(TABLE, wanted, NOW, down=True)) == upwards[::-1]
    assert [row.run for row in upwards] == sorted({row.run for row in upwards})
    assert bool(upwards) == (words not in ("5000-6000", "dataset:none"))


@pytest.mark.parametrize("words", FILTERS)
@pytest.mark.parametrize("key", [0, 1, 17, 1850, NUMBER, NUMBER + 1])
def test_a_page_on_either_side_of_a_run(database: catalogue.Database, words: str, key: int) -> None:
    """All but the run itself, whether it is meant or not, are either before or after it."""
    wanted = filters.parse(words.split())
    every = [row.run for row in database.records.select(TABLE, wanted, NOW)]
    after = [row.run for row in database.records.select(TABLE, wanted, NOW, key)]
    before = [row.run for row in database.records.select(TABLE, wanted, NOW, key, down=True)]
    assert after == [run for run in every if run > key]
    assert before == [run for run in reversed(every) if run < key]


def some(*values: object) -> strategies.SearchStrategy[tuple[object, ...]]:
    return strategies.lists(strategies.sampled_from(values), max_size=2, unique=True).map(tuple)


def ranges(ends: list[int]) -> tuple[tuple[int, int], ...]:
    ends = sorted(set(ends))
    return tuple(zip(ends[::2], ends[1::2], strict=False))


WANTED = strategies.builds(
    filters.Filter,
    runs=strategies.lists(strategies.integers(0, NUMBER + 100), max_size=8).map(ranges),
    states=some("new", "finished", "failed", "held", "submitted"),
    datasets=some("Al0", "Al50", "Ti", "none"),
    hosts=some("node7", "node33", "nowhere"),
    causes=some("program", "memory", "staging"),
    tranches=some(0, 1),
    texts=some("magic", "run 2"),
)


@hypothesis.settings(max_examples=150, deadline=None)
@hypothesis.given(wanted=WANTED, key=strategies.integers(0, NUMBER + 1))
def test_any_filter_is_the_same_from_both_ends(database: catalogue.Database, wanted: filters.Filter, key: int) -> None:
    upwards = [row.run for row in database.records.select(TABLE, wanted, NOW)]
    assert [row.run for row in database.records.select(TABLE, wanted, NOW, down=True)] == upwards[::-1]
    below = database.records.select(TABLE, wanted, NOW, key, down=True)
    assert [row.run for row in itertools.islice(below, 7)] == [run for run in reversed(upwards) if run < key][:7]


# ── in another order ──────────────────────────────────────────────────────────────────────────────────────────────


def test_all_orders_of_the_table_are_there() -> None:
    assert set(facts.ORDERS) == set(columns.KEYS) - {"run"}


@pytest.mark.parametrize("down", [False, True])
@pytest.mark.parametrize("key", facts.ORDERS)
def test_in_the_order_of_a_column(database: catalogue.Database, key: str, down: bool) -> None:
    """As ``production runs --sort`` has it, which compares the rows themselves."""
    rows = list(database.records.select(TABLE, filters.EVERYTHING, NOW))
    expected = [row.run for row in sorted(rows, key=columns.KEYS[key], reverse=down)]
    assert list(database.records.in_order(TABLE, key, down)) == expected


def test_every_state_has_its_place_in_the_order(path: pathlib.Path, tmp_path: pathlib.Path) -> None:
    copy = tmp_path / "copy.db"
    copy.write_bytes(path.read_bytes())
    with contextlib.closing(sqlite3.connect(copy)) as connection, connection:
        for run, state in enumerate(reversed(runs.State), 2901):
            values = (state.value, 1 if state in runs.IN_FLIGHT else None, run)
            connection.execute("UPDATE production_run SET state = ?, owner = ? WHERE run = ?", values)
    with contextlib.closing(catalogue.Database(str(copy), read_only=True)) as opened:
        order = [run for run in opened.records.in_order(TABLE, "state", False) if 2901 <= run <= 2910]
    assert order == list(range(2910, 2900, -1))


def test_an_order_that_nobody_knows(database: catalogue.Database) -> None:
    with pytest.raises(ValueError, match="run is none of since, state"):
        database.records.in_order(TABLE, "run", False)


def test_rows_of_chosen_runs_come_as_they_were_chosen(database: catalogue.Database) -> None:
    assert [row.run for row in database.records.of_runs(TABLE, [2999, 17, 9999, 1])] == [2999, 17, 1]
    [row] = database.records.of_runs(TABLE, [17])
    assert row == database.records.row(TABLE, 17)
    assert row.label == "cosmics"
    assert database.records.of_runs(TABLE, []) == []


# ── what goes on ──────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.fixture
def begun(tmp_path: pathlib.Path) -> Iterator[tuple[catalogue.Database, runs.Owner]]:
    """A production of four runs that a manager has just begun."""
    path = str(tmp_path / "production.db")
    catalogue.create(path, NOW)
    with contextlib.closing(catalogue.Database(path)) as opened:
        with opened.write() as change:
            change.add_runs([base.DatasetRow(run, "Al50") for run in range(1, 5)])
            for program in ("sim", "other"):
                change.open_production(base.Opening(program, "t", "gold", None, (), "/data", "anna"), NOW)
            owner = change.enter(process.myself(), TABLE, "slurm", 10, 10, NOW)
            change.claim(TABLE, 3, owner, runs.EVERYTHING, NOW)
        yield opened, owner


def test_files_on_their_way(begun: tuple[catalogue.Database, runs.Owner]) -> None:
    database, owner = begun
    one, two, three = database.owned(owner, runs.State.CLAIMED)
    assert database.records.transfers(TABLE) == []
    with database.write(owner) as change:
        change.need(one, "/data/1.mid", "1.mid", None, True)
        change.need(two, "/data/2.mid", "2.mid", 7000, True)
        change.need(three, "/data/2.mid", "2.mid", 7000, True)
        change.need(three, "/data/3.mid", "3.mid", 5, True)
        for path in ("/data/1.mid", "/data/2.mid"):
            change.begin_transfer(path, path[-5:], owner, NOW)
        change.progress(owner, "/data/1.mid", 9000, 4500)
    first, second, third = database.records.transfers(TABLE)
    assert first == facts.Coming(
        1, None, 1, "/data/1.mid", 4500, 9000, "2026-11-02T08:40:00.000000Z", str(owner), owner.id
    )
    assert (second.run, second.path, second.so_far, second.size) == (2, "/data/2.mid", 0, 7000)
    assert dataclasses.replace(third, run=2) == second, "both runs wait for it"
    assert database.records.transfers(2) == [], "of another production"
    with database.write(owner) as change:
        change.end_transfer("/data/2.mid", owner)
        change.need(two, "/data/2.mid", "2.mid", None, True, NOW)
        change.need(three, "/data/2.mid", "2.mid", None, True, NOW)
    assert database.records.transfers(TABLE) == [first]


def test_what_has_happened(begun: tuple[catalogue.Database, runs.Owner]) -> None:
    database, owner = begun
    one, two, _ = database.owned(owner, runs.State.CLAIMED)
    # whoever moved the second has a clock that is behind
    with database.write(owner) as change:
        change.move(one, runs.State.STAGED, "", NOW + datetime.timedelta(minutes=2))
        change.move(two, runs.State.HELD, "not now", NOW + datetime.timedelta(minutes=1), by="mu")
    latest, second, *claims = database.records.happenings(TABLE, 10)
    assert (latest.run, latest.before, latest.after, latest.manager) == (1, "claimed", "staged", str(owner))
    assert (second.run, second.after, second.why, second.asked_by) == (2, "held", "not now", "mu")
    assert latest.id < second.id
    assert [(event.run, event.after) for event in claims] == [(3, "claimed"), (2, "claimed"), (1, "claimed")]
    every = [latest, second, *claims]
    for number in range(1, 4):
        pages, before = [], None
        while page := database.records.happenings(TABLE, number, before):
            pages += page
            before = page[-1].id
        assert pages == every
    assert database.records.happenings(2, 10) == []


def test_how_full_the_disk_is(begun: tuple[catalogue.Database, runs.Owner]) -> None:
    """As whoever looked last knows it, of all who work below that directory and have not left."""
    database, owner = begun
    with database.write(owner) as change:
        change.beat(owner, NOW)
    assert database.records.quota(TABLE) is None
    with database.write(owner) as change:
        change.beat(owner, NOW, base.Seen(500, 1000, 900, NOW))
        change.beat(owner, NOW)  # it has not looked since
        other = change.enter(dataclasses.replace(owner, pid=1), 2, "slurm", 1, 1, NOW)
        change.need(change.run(TABLE, 1), "/data/1.mid", "1.mid", 7000, True)
        to_come = change.promised("/data", NOW)
    assert to_come.claimed == 3 * 7000
    assert database.records.quota(TABLE) == facts.Quota(500, 21000, 900, 1000, "2026-11-02T08:40:00.000000Z")
    assert database.records.quota(2) == database.records.quota(TABLE), "the same disk"
    later = NOW + datetime.timedelta(seconds=1)
    with database.write() as change:
        change.beat(other, NOW, base.Seen(600, 1000, 800, later))
    assert dataclasses.replace(known(database), promised=0) == facts.Quota(
        600, 0, 800, 1000, "2026-11-02T08:40:01.000000Z"
    )
    with database.write() as change:
        change.leave(other, "done", NOW)
    assert known(database).used == 500
    with database.write() as change:
        change.leave(owner, "done", NOW)
    assert database.records.quota(TABLE) is None


def known(database: catalogue.Database) -> facts.Quota:
    quota = database.records.quota(TABLE)
    assert quota is not None
    return quota


def test_jobs_that_wait_and_jobs_that_run(begun: tuple[catalogue.Database, runs.Owner]) -> None:
    database, owner = begun
    claimed = database.owned(owner, runs.State.CLAIMED)
    production = database.productions()[0]
    with database.write(owner) as change:
        for batch, run in zip(("slurm", "slurm", "local"), claimed, strict=True):
            change.move(run, runs.State.STAGED, "", NOW)
            staged = change.run(TABLE, run.run)
            assert staged
            place = base.Place(staged, 1, "out", "err", ("x",), runs.Resources(None, None), None)
            change.submission(owner, batch, production, [place], NOW)
            change.move(staged, runs.State.SUBMITTING, "", NOW)
    assert database.records.jobs(TABLE) == facts.Jobs(queued=2, running=1)
    one, two, three = (row for row in database.records.select(TABLE, filters.parse(["state:submitting"]), NOW))
    assert [one.batch, two.batch, three.batch] == ["slurm", "slurm", "local"]
    submitting = database.owned(owner, runs.State.SUBMITTING)
    with database.write(owner) as change:
        for run in submitting:
            change.move(run, runs.State.SUBMITTED, "", NOW)
        change.begin_job(submitting[0], "node7", NOW + datetime.timedelta(seconds=60))
        change.begin_job(submitting[0], "node8", NOW + datetime.timedelta(seconds=90))
    assert database.records.jobs(TABLE) == facts.Jobs(queued=1, running=2)
    one, two, three = database.records.select(TABLE, filters.parse(["state:submitted"]), NOW)
    assert (one.began, one.host) == ("2026-11-02T08:41:00.000000Z", "node7"), "the first time counts"
    then = NOW + datetime.timedelta(seconds=100)
    assert (one.took(then), two.took(then), three.took(then)) == (40.0, None, 100.0)
    assert dataclasses.replace(one, state=runs.State.ENDED, wall=12.5).took(then) == 12.5
    assert database.records.attempts(TABLE, 1)[0].began == one.began
    assert [run.began for run in database.owned(owner, runs.State.SUBMITTED)] == [one.began, None, None]


def test_what_is_asked_of_a_manager(begun: tuple[catalogue.Database, runs.Owner]) -> None:
    database, owner = begun
    assert (database.nproc(owner), database.asked_of(owner)) == (10, [])
    with database.write() as change:
        first = change.ask_manager(owner.id, "nproc", "20", "mu", "away", NOW)
        second = change.ask_manager(owner.id, "nproc", "5", "mu", "", NOW)
        assert change.ask_manager(99, "nproc", "5", "mu", "", NOW) is None
    assert first
    assert second
    told = database.asked_of(owner)
    assert told == [base.Told(first, "nproc", "20", "mu", "away"), base.Told(second, "nproc", "5", "mu", "")]
    assert [one.nproc_asked for one in database.records.managers()] == [5], "what it was asked last"
    with database.write(owner) as change:
        change.set_nproc(owner, 20)
        change.answer_as_manager(told[0], "20 jobs", NOW)
        change.answer_as_manager(told[0], "again", NOW)
    assert (database.nproc(owner), database.asked_of(owner)) == (20, told[1:])
    assert database.records.manager_answers([first, second]) == {first: "20 jobs"}
    with database.write() as change:
        change.leave(owner, "done", NOW)
        assert change.ask_manager(owner.id, "nproc", "6", "mu", "", NOW) is None
    assert database.records.manager_answers([first, second]) == {first: "20 jobs", second: "no: it has left"}
    assert database.asked_of(owner) == []


# ── while somebody else writes; when nobody wants to know any more ────────────────────────────────────────────────


def test_somebody_has_written(begun: tuple[catalogue.Database, runs.Owner]) -> None:
    database, owner = begun
    with contextlib.closing(catalogue.Database(database.place.path, read_only=True)) as other:
        before = other.data_version()
        assert other.data_version() == before
        with database.write(owner) as change:
            change.beat(owner, NOW)
        assert other.data_version() != before
        assert other.data_version() == other.data_version()


def ask_often(database: catalogue.Database) -> None:
    for _ in range(1000):
        database.records.in_order(TABLE, "datasets", True)


def test_a_question_is_broken_off(path: pathlib.Path) -> None:
    """By another thread, again and again until it has hit one; then the next is answered as ever."""
    with contextlib.closing(catalogue.Database(str(path), read_only=True)) as opened:
        opened.interrupt()  # nothing is asked: nothing happens
        over = threading.Event()

        def interrupt() -> None:
            while not over.is_set():
                opened.interrupt()

        breaker = threading.Thread(target=interrupt)
        breaker.start()
        try:
            with pytest.raises(errors.Interrupted, match=r"small\.db: the question was broken off") as error:
                ask_often(opened)
        finally:
            over.set()
            breaker.join()
        assert isinstance(error.value, errors.CatalogueError)
        assert len(opened.records.in_order(TABLE, "datasets", True)) == NUMBER
