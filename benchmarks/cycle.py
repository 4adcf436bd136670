"""One round of the manager with 100 jobs running and none ending, by the rows in the table: it should be flat."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import logging
import pathlib
import sqlite3
import time
from collections.abc import Callable, Iterator
from typing import Any

from benchmarks import measure
from production import clock, layout, lease, manager, process, settings, site
from production import run as runs
from production.batch import local
from production.catalogue import base, sqlite
from production.outputs import inspect
from production.steps import release, rest
from production.transfer import copy, porter

NPROC = 100

_SETTINGS = """
[programs.sleep]
script = "/bin/sleep"
arguments = ["3600"]
"""

_FILL = """
WITH RECURSIVE numbers (run) AS (SELECT 1 UNION ALL SELECT run + 1 FROM numbers WHERE run < :rows)
INSERT INTO run (run) SELECT run FROM numbers
"""
_HALF = "UPDATE production_run SET state = 'finished', why = 'bench' WHERE run <= :half"
_FLIGHT = "SELECT * FROM production_run WHERE owner = ? AND state = 'submitted'"
_NEXT = "SELECT * FROM production_run WHERE production = 1 AND state = 'new' ORDER BY priority DESC, run LIMIT 10"


@dataclasses.dataclass(frozen=True, slots=True)
class Cost:
    """Seconds of one round."""

    whole: float
    asking: float
    """The part of it that is the catalogue's answers."""
    bare: float
    """The floor: what is in flight and the next ten, asked of SQLite directly."""


class Timed:
    """A catalogue that adds up how long its answers take."""

    def __init__(self, catalogue: sqlite.Database) -> None:
        self._catalogue = catalogue
        self.seconds = 0.0

    def __getattr__(self, name: str) -> Any:
        answer = getattr(self._catalogue, name)
        if name == "write":
            return answer

        def timed(*arguments: object) -> object:
            begin = time.perf_counter()
            try:
                return answer(*arguments)
            finally:
                self.seconds += time.perf_counter() - begin

        return timed


def run(quick: bool) -> None:
    """Print the table."""
    logging.getLogger("production").addHandler(logging.NullHandler())
    sizes, rounds = ((1_000, 100_000), 100) if quick else ((1_000, 100_000, 1_000_000), 300)
    with measure.workspace() as directory, contextlib.ExitStack() as stack:
        rows: dict[str, Callable[[], Cost]] = {}
        for size in sizes:
            measure.tell(f"making a table of {size:,} rows")
            rows[f"{size:,} rows"] = stack.enter_context(_manager(directory / str(size), size))
        found = measure.in_turn(rows, rounds)
    first = [cost.whole for cost in next(iter(found.values()))]
    lines = []
    for name, costs in found.items():
        whole, asking, bare = (
            [1000 * one for one in column] for column in zip(*map(dataclasses.astuple, costs), strict=True)
        )
        flat = measure.ratio([cost.whole for cost in costs], first).partition(" ")[0]
        lines.append(
            [name, _most(whole), flat, _most(asking), measure.ratio(asking, bare).partition(" ")[0], _most(bare)]
        )
    heads = ["", "a round, ms", "of the first row", "asking, ms", "of bare queries", "bare queries, ms"]
    measure.table(f"cycle: {NPROC} jobs running, nothing ends; medians (nine of ten are below)", heads, lines)


def _most(values: list[float]) -> str:
    """Median, and what nine of ten stay below: now and then a beat is written, which is the disk's time."""
    ordered = sorted(values)
    return f"{ordered[len(ordered) // 2]:.2f} ({ordered[len(ordered) * 9 // 10]:.2f})"


@contextlib.contextmanager
def _manager(directory: pathlib.Path, rows: int) -> Iterator[Callable[[], Cost]]:
    """A manager with its hands full, in the middle of a production; yields one of its rounds."""
    directory.mkdir()
    (directory / "production.toml").write_text(_SETTINGS)
    flags = {"database": str(directory / "production.db"), "data": str(directory / "data"), "nproc": NPROC, "nprep": 5}
    chosen = settings.load(config=None, flags=flags, environ={}, cwd=str(directory), home=str(directory), system="")
    _fill(chosen.database, rows)
    with contextlib.ExitStack() as stack:
        here = _site(stack, chosen)
        with contextlib.closing(sqlite3.connect(chosen.database, isolation_level=None)) as connection:
            try:
                while here.catalogue.in_flight(here.lease.owner).get(runs.State.SUBMITTED, 0) < NPROC:
                    _round(here)
                yield functools.partial(_cost, here, connection)
            finally:
                release.step(here, lambda: False)


def _fill(path: str, rows: int) -> None:
    """A production, half of it done."""
    now = clock.SystemClock().now()
    sqlite.create(path, now)
    with contextlib.closing(sqlite3.connect(path)) as connection:
        connection.execute(_FILL, {"rows": rows})
        connection.execute("INSERT INTO datasets (run, dataset) SELECT run, 'all' FROM run")
        connection.commit()
    catalogue = sqlite.Database(path)
    with catalogue.write() as change:
        change.open_production(base.Opening("sleep", "bench", "gold", None, (), "/data", process.user()), now)
    catalogue.close()
    with contextlib.closing(sqlite3.connect(path)) as connection:
        connection.execute(_HALF, {"half": rows // 2})
        connection.commit()


def _site(stack: contextlib.ExitStack, chosen: settings.Settings) -> site.Site:
    """What ``cli/campaign.py`` makes, but that the catalogue is timed."""
    ticking, catalogue = clock.SystemClock(), sqlite.Database(chosen.database)
    stack.callback(ticking.close)
    stack.callback(catalogue.close)
    production = catalogue.production("sleep")
    assert production
    batch = local.Local()
    stack.callback(batch.close)
    carrying = porter.Threads(copy.Copy(chosen.data), ticking, chosen.archive.transfers)
    stack.callback(carrying.close)
    looking = inspect.Inspect(ticking, 2)
    stack.callback(looking.close)
    with catalogue.write() as change:
        entered = change.enter(process.myself(), production.id, chosen.batch, chosen.nproc, chosen.nprep, ticking.now())
    plan = layout.Layout(chosen, chosen.programs["sleep"], production)
    keeping = lease.Lease(entered, chosen.lease, ticking)
    timed: Any = Timed(catalogue)
    return site.Site(chosen, production, plan, runs.Wanted(), keeping, timed, batch, carrying, looking, ticking)


def _round(here: site.Site) -> None:
    for step in manager.CYCLE:
        step(here)
    rest.done(here)


def _cost(here: site.Site, connection: sqlite3.Connection) -> Cost:
    catalogue: Any = here.catalogue
    catalogue.seconds = 0.0
    begin = time.perf_counter()
    _round(here)
    whole = time.perf_counter() - begin
    begin = time.perf_counter()
    in_flight = connection.execute(_FLIGHT, (here.lease.owner.id,)).fetchall()
    connection.execute(_NEXT).fetchall()
    bare = time.perf_counter() - begin
    assert len(in_flight) == NPROC
    return Cost(whole, catalogue.seconds, bare)
