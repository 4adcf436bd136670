"""Eight processes claim runs one at a time: our catalogue, against the bare loop in line."""

from __future__ import annotations

import contextlib
import dataclasses
import fcntl
import functools
import multiprocessing
import os
import pathlib
import shutil
import sqlite3
import time
from collections.abc import Callable, Iterator
from multiprocessing.synchronize import Barrier

from benchmarks import measure
from production import clock, process
from production import run as runs
from production.catalogue import base, sql, sqlite

PROCESSES = 8

TOGETHER = 10

Claim = Callable[[], int]
"""Claims; how many there were."""
Make = Callable[[str, int], None]
Opened = Callable[[str], contextlib.AbstractContextManager[Claim]]

_BARE = """
PRAGMA journal_mode = WAL;
CREATE TABLE run (run INTEGER PRIMARY KEY, state TEXT NOT NULL DEFAULT 'new', owner INTEGER);
CREATE INDEX run_new ON run (run) WHERE state = 'new';
"""


@dataclasses.dataclass(frozen=True, slots=True)
class Race:
    """What became of one race for all rows."""

    rate: float
    """Claims a second, of all processes together."""
    least: int
    most: int
    slowest: float
    """Seconds of the slowest claim."""


def run(quick: bool) -> None:
    """Print the table."""
    rows, rounds = (2_000, 2) if quick else (20_000, 3)
    with measure.workspace() as directory:
        contenders: dict[str, tuple[Make, Opened]] = {
            "bare loop in line": (_make_bare, _bare),
            "bare loop, our rows written": (_make_ours, _bare_with_our_rows),
            "catalogue.write, claim": (_make_ours, _ours),
            f"the same, {TOGETHER} at a time": (_make_ours, functools.partial(_ours, number=TOGETHER)),
        }
        races = {name: functools.partial(_race, directory, rows, *how) for name, how in contenders.items()}
        found = measure.in_turn(races, rounds)
    floor = [race.rate for race in found["bare loop in line"]]
    lines = [
        [
            name,
            measure.spread([race.rate for race in races]),
            measure.ratio([race.rate for race in races], floor),
            f"{min(race.least for race in races):,} / {max(race.most for race in races):,}",
            measure.spread([1000 * race.slowest for race in races]),
        ]
        for name, races in found.items()
    ]
    heads = ["", "claims/s", "of the bare loop", "least / most served", "slowest claim, ms"]
    measure.table(f"claims: {PROCESSES} processes, one at a time from {rows:,} rows", heads, lines)


def _race(directory: pathlib.Path, rows: int, make: Make, opened: Opened) -> Race:
    place = directory / "race"
    place.mkdir()
    path = str(place / "race.db")
    make(path, rows)
    spawning = multiprocessing.get_context("spawn")
    ready, told = spawning.Barrier(PROCESSES + 1), spawning.SimpleQueue()
    racers = [spawning.Process(target=_racer, args=(opened, path, ready, told)) for _ in range(PROCESSES)]
    for racer in racers:
        racer.start()
    ready.wait()
    begin = time.perf_counter()
    results = [told.get() for _ in racers]
    wall = time.perf_counter() - begin
    for racer in racers:
        racer.join()
    served = [claimed for claimed, _ in results]
    assert sum(served) == rows, f"{sum(served)} claims of {rows} rows"
    shutil.rmtree(place)
    return Race(rows / wall, min(served), max(served), max(slowest for _, slowest in results))


def _racer(
    opened: Opened,
    path: str,
    ready: Barrier,
    told: multiprocessing.SimpleQueue[tuple[int, float]],
) -> None:
    with opened(path) as claim:
        ready.wait()
        claimed, slowest, before = 0, 0.0, time.perf_counter()
        while more := claim():
            after = time.perf_counter()
            claimed, slowest, before = claimed + more, max(slowest, after - before), after
        told.put((claimed, slowest))


# --- the bare loop -----------------------------------------------------------------------------------------------------


def _make_bare(path: str, rows: int) -> None:
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.executescript(_BARE)
        connection.execute("BEGIN")
        connection.executemany("INSERT INTO run (run) VALUES (?)", ((row,) for row in range(rows)))
        connection.execute("COMMIT")


@contextlib.contextmanager
def _bare(path: str) -> Iterator[Claim]:
    line = os.open(path + ".lock", os.O_RDWR | os.O_CREAT, 0o600)
    connection = sqlite3.connect(path, isolation_level=None)
    connection.execute("PRAGMA synchronous = FULL")
    me = os.getpid()

    def claim() -> int:
        fcntl.flock(line, fcntl.LOCK_EX)
        try:
            connection.execute("BEGIN IMMEDIATE")
            row = connection.execute("SELECT run FROM run WHERE state = 'new' ORDER BY run LIMIT 1").fetchone()
            if row:
                connection.execute("UPDATE run SET state = 'claimed', owner = ? WHERE run = ?", (me, row[0]))
            connection.execute("COMMIT")
        finally:
            fcntl.flock(line, fcntl.LOCK_UN)
        return int(row is not None)

    with contextlib.closing(connection):
        yield claim
    os.close(line)


# --- ours --------------------------------------------------------------------------------------------------------------


def _make_ours(path: str, rows: int) -> None:
    now = clock.SystemClock().now()
    sqlite.create(path, now)
    catalogue = sqlite.Database(path)
    with catalogue.write() as change:
        change.add_runs(base.DatasetRow(row, "all") for row in range(1, rows + 1))
        change.open_production(base.Opening("noop", "bench", "gold", None, (), "/data", process.user()), now)
    catalogue.close()


@contextlib.contextmanager
def _ours(path: str, number: int = 1) -> Iterator[Claim]:
    ticking, catalogue = clock.SystemClock(), sqlite.Database(path)
    production = catalogue.production("noop")
    assert production
    with catalogue.write() as change:
        me = change.enter(process.myself(), production.id, "local", 10, 5, ticking.now())

    def claim() -> int:
        with catalogue.write(me) as change:
            return len(change.claim(production.id, number, me, runs.Wanted(), ticking.now()))

    yield claim
    catalogue.close()
    ticking.close()


@contextlib.contextmanager
def _bare_with_our_rows(path: str) -> Iterator[Claim]:
    """Our schema with its triggers (history, tally) and the attempt's row, by SQL alone: what has to be written."""
    line = os.open(path + ".lock", os.O_RDWR | os.O_CREAT, 0o600)
    connection = sqlite3.connect(path, isolation_level=None)
    for pragma in ("journal_mode = WAL", "synchronous = FULL", "foreign_keys = ON"):
        connection.execute(f"PRAGMA {pragma}")
    enter = "INSERT INTO manager (user, host, boot, pid, ticks, start, beat_at) VALUES ('', '', '', 1, 1, '', '')"
    values = {"production": 1, "number": 1, "now": clock.text(clock.SystemClock().now()), "attempt": 1, "user": "bench"}
    fcntl.flock(line, fcntl.LOCK_EX)
    values["owner"] = connection.execute(enter).lastrowid
    fcntl.flock(line, fcntl.LOCK_UN)

    def claim() -> int:
        fcntl.flock(line, fcntl.LOCK_EX)
        try:
            connection.execute("BEGIN IMMEDIATE")
            row = connection.execute(sql.SQL.claimable, values).fetchone()
            if row:
                connection.execute(sql.SQL.claim, values | {"run": row[0]})
                connection.execute(sql.SQL.begin_attempt, values | {"run": row[0]})
            connection.execute("COMMIT")
        finally:
            fcntl.flock(line, fcntl.LOCK_UN)
        return int(row is not None)

    with contextlib.closing(connection):
        yield claim
    os.close(line)
