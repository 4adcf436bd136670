"""The journey: runs on their way while managers are killed, put to sleep, interrupted, and lied to.

A hypothesis state machine over the true catalogue, the true steps and true files; batch system, porter, inspector and
clock are fakes without threads. A fuse lets something happen at any line of the corridor: the manager is killed there,
or it sleeps past its lease while the others go on and then continues, or the jobs move meanwhile.

``HYPOTHESIS_PROFILE=torture pytest -o faulthandler_timeout=0`` runs it for long. What it has found stands below it, each as a plain test.
"""

from __future__ import annotations

import collections
import contextlib
import dataclasses
import glob
import os
import shutil
import sqlite3
import subprocess
import sys
import tempfile
import zlib
from collections.abc import Callable, Iterator, Mapping
from types import FrameType
from typing import Any

import hypothesis
import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from production import attempt, errors, layout, lease, manager, process, request, room, settings, site
from production import run as runs
from production.catalogue import base, sqlite
from production.steps import answer, claim, finish, follow, intake, keep, release, rest, stage, submit
from tests.fakes import batch, inspector, porter, quota
from tests.fakes.clock import FakeClock

State = runs.State

TORTURE = os.environ.get("HYPOTHESIS_PROFILE") == "torture"

LEASE = 60.0
LIMIT = 2
PAUSE = 5.0
FOREVER = 120
"""Cycles in which everything that can come to an end has come to it."""


class Killed(BaseException):
    """kill -9, here and now."""


# ── a line of the corridor where something happens ───────────────────────────────────────────────────────────────


def _file(module: Any) -> str:
    return str(module.__file__)


STEPS = (answer, claim, finish, follow, intake, keep, release, rest, stage, submit)
LINES = {_file(module) for module in (*STEPS, attempt, manager, request, batch, inspector, porter)}
"""The files whose lines count."""


@contextlib.contextmanager
def fuse(lines: int, action: Callable[[], bool], within: str = "") -> Iterator[None]:
    """At the ``lines``-th line, or the next at which ``action`` says that it did what it wanted.

    ``within``: only lines of functions of this name count.
    """
    left = lines

    def line(_frame: FrameType, event: str, _argument: object) -> Any:
        nonlocal left
        if event == "line":
            left -= 1
            if left <= 0 and action():
                left = sys.maxsize
        return line

    def call(frame: FrameType, _event: str, _argument: object) -> Any:
        code = frame.f_code
        return line if code.co_filename in LINES and within in ("", code.co_name) else None

    before = sys.gettrace()
    sys.settrace(call)
    try:
        yield
    finally:
        sys.settrace(before)


def kill() -> bool:
    raise Killed


# ── the house: a database, a disk, a cluster, an archive, and managers that come and go ──────────────────────────


def program(name: str, home: str, base_: str, limit: float | None) -> settings.Program:
    """A script that writes two outputs. In a shared home it writes where it always did: hist, one path for all runs."""
    fixed = home == "shared"
    return settings.Program(
        name,
        "/bin/true",
        ("{run}", "input={input}", "tree={tree}", "hist={hist}"),
        input="" if base_ else "run{run:05d}.mid",
        staged="" if base_ else "raw/run{run:05d}.mid",
        base=base_,
        outputs=tuple(
            settings.OutputSettings(
                output,
                f"{output}/{name}_v{{version}}/{output}{{run:05d}}.root",
                written if fixed else "",
                minimum=10,
            )
            for output, written in (("tree", "out/tree{run:05d}.root"), ("hist", "out/hist.root"))
        ),
        home=home,
        resources=runs.Resources(time=limit),
        retry=settings.Retry(limit=LIMIT, pause=3.0),
    )


class House:
    """Everything that is there when no manager is."""

    def __init__(self, kind: str = "private", limit: float | None = None, grace: float = 0.0, number: int = 3) -> None:
        fast = "/dev/shm"
        self.root = tempfile.mkdtemp(prefix="journey-", dir=fast if os.access(fast, os.W_OK) else None)
        self.environment = pytest.MonkeyPatch()
        self.environment.setenv("HOME", os.path.join(self.root, "home"))
        self.data = os.path.join(self.root, "data")
        os.makedirs(os.path.join(self.root, "home", "out"))
        self.clock = FakeClock()
        self.world = batch.World(self.clock)
        self.archive = porter.Archive()
        self.quota = quota.FakeQuota(self.clock)
        home = "shared" if kind == "fixed" else "private"
        programs = {"alpha": program("alpha", home, "", limit)}
        if kind == "based":
            programs["beta"] = program("beta", home, "alpha.tree", limit)
        self.settings = settings.Settings(
            os.path.join(self.root, "production.db"), self.data, programs=programs, nproc=2, nprep=1, pause=PAUSE,
            lease=LEASE, grace=grace, consecutive=1000,
        )  # fmt: skip
        sqlite.create(self.settings.database, self.clock.now())
        self.looking = sqlite3.connect(self.settings.database, isolation_level=None)
        self.managers: list[Manager] = []
        self.locker: sqlite3.Connection | None = None
        self.strangers: dict[str, bytes] = {}
        """{final path: what a stranger put there}."""
        self.provided: dict[str, bytes] = {}
        """Inputs that the user staged."""
        self.finals: dict[str, tuple[int, bytes]] = {}
        self.productions: list[runs.Production] = []
        self.due: set[tuple[int, int]] = set()
        """(production, run): who came while it was open has to enter it."""
        self.add_runs(number)
        self._open("alpha", None)
        self._open("beta" if kind == "based" else "alpha", self.productions[0].id if kind == "based" else None)

    def _open(self, name: str, on: int | None) -> None:
        outputs = tuple(output.name for output in self.settings.programs[name].outputs)
        opening = base.Opening(name, "v5", "gold", on, outputs, self.settings.data, "me")
        with contextlib.closing(self.open()) as database, database.write() as change:
            opened = change.open_production(opening, self.clock.now())
            self.productions.append(opened)
        self.due |= {(opened.id, run) for (run,) in self.rows("SELECT run FROM run")}

    def open(self) -> sqlite.Database:
        return sqlite.Database(self.settings.database)

    def add_runs(self, number: int) -> None:
        first = 1 + (self.one("SELECT coalesce(max(run), 0) FROM run"))
        rows = [base.DatasetRow(run, "all", run % 2) for run in range(first, first + number)]
        with contextlib.closing(self.open()) as database, database.write() as change:
            change.add_runs(rows)
        open_ = self.rows(
            "SELECT id FROM productions AS p WHERE stop IS NULL AND "
            "NOT EXISTS (SELECT 1 FROM productions AS b WHERE b.id = p.base AND b.stop IS NOT NULL)"
        )
        self.due |= {(id_, row.run) for (id_,) in open_ for row in rows}

    def rows(self, query: str, *values: object) -> list[tuple[Any, ...]]:
        return self.looking.execute(query, values).fetchall()

    def one(self, query: str, *values: object) -> Any:
        return self.rows(query, *values)[0][0]

    def layout(self, production: int) -> layout.Layout:
        found = next(one for one in self.productions if one.id == production)
        return layout.Layout(self.settings, self.settings.programs[found.program], found)

    def run(self, production: int, number: int, at: int = 1) -> runs.Run:
        """As much of a run as the layout asks for."""
        return runs.Run(production, number, None, State.NEW, None, at, 0, "", "", None, None, None, None, None)

    def enter(self, production: int = 0, *, real: bool = False) -> Manager:
        one = Manager(self, self.productions[production], real=real)
        self.managers.append(one)
        return one

    def alive(self) -> list[Manager]:
        return [one for one in self.managers if one.alive]

    def lock(self) -> bool:
        """Somebody else's transaction; True, as a fuse wants to hear it."""
        self.locker = sqlite3.connect(self.settings.database, isolation_level=None)
        self.locker.execute("BEGIN IMMEDIATE")
        return True

    def free(self) -> bool:
        """Whether nobody is in the midst of a transaction."""
        with contextlib.closing(sqlite3.connect(self.settings.database, timeout=0, isolation_level=None)) as other:
            try:
                other.execute("BEGIN IMMEDIATE")
            except sqlite3.OperationalError:
                return False
        return True

    def unlock(self) -> None:
        if self.locker is not None:
            self.locker.close()
            self.locker = None

    def states(self, production: int = 0) -> dict[str, int]:
        id_ = self.productions[production].id
        return dict(self.rows("SELECT state, count(*) FROM production_run WHERE production = ? GROUP BY 1", id_))

    def tickets(self) -> list[str]:
        return glob.glob(f"{self.data}/jobs/*/*.ticket")

    def put_in_the_way(self, path: str) -> None:
        """A stranger's file."""
        if not os.path.exists(path):
            os.makedirs(os.path.dirname(path), exist_ok=True)
            self.strangers[path] = b"nobody knows what this is"
            with open(path, "xb") as file:
                file.write(self.strangers[path])

    def ask(self, production: int, run: int, verb: request.Verb) -> None:
        """Written down only, if there is such a run."""
        asking = base.Ask(verb, "3" if verb is request.Verb.PRIORITY else None, "carol")
        with contextlib.closing(self.open()) as catalogue, catalogue.write() as change:
            asked = change.run(self.productions[production].id, run)
            if asked is not None:
                change.ask(asked, asking, self.clock.now())

    def settle(self, production: int) -> None:
        """As the command does it that has asked."""
        with contextlib.closing(self.open()) as catalogue:
            request.settle_open(catalogue, self.productions[production].id, self.clock.now())

    def take_away(self) -> None:
        """Everybody removes what was in the way."""
        for path in self.strangers:
            os.unlink(path)
            self.finals.pop(path, None)
        self.strangers.clear()

    def jobs_move(self) -> None:
        """Every job goes on by one."""
        for job in self.world.living():
            if job.stage == batch.RUNNING:
                self.world.end(job, 0)
            else:
                self.world.go_on(job)

    def jobs_run(self) -> None:
        """Every job that was sent begins its script."""
        for job in self.world.living():
            for _ in range(3):
                self.world.go_on(job)

    def jobs_end(self) -> None:
        """Every job runs to its end."""
        self.jobs_run()
        for job in self.world.running():
            self.world.end(job, 0)

    def go_on_to_the_end(self) -> None:
        """No more faults, and a fresh manager for each production; those of before are gone."""
        self.unlock()
        for one in self.alive():
            one.die()
        self.world.lies.clear()
        self.archive.missing.clear()
        self.archive.trouble = 0
        self.quota.used, self.quota.trouble = 0, ""
        for job in self.world.jobs:
            job.hidden = job.unknown = job.stubborn = False
        self.carry_all(*(self.enter(number) for number in range(len(self.productions))))
        if self.productions[1].base and self.states(1).get("new"):
            self.carry_all(self.enter(1))  # nobody waited any more when somebody had failed base runs done after all

    def carry_all(self, *managers: Manager) -> None:
        """Round and round until they are done."""
        for _ in range(FOREVER):
            self.jobs_end()
            for one in managers:
                if one.alive:
                    one.cycle()
                    self.check()
            if not any(one.alive for one in managers):
                return
        raise AssertionError(f"{managers} don't come to an end: {self.states()}, {self.states(1)}")

    def close(self) -> None:
        self.unlock()
        for one in self.alive():
            one.die()
        self.looking.close()
        self.environment.undo()
        shutil.rmtree(self.root)

    # ── what must hold ──

    def check(self) -> None:
        """After everything, whatever it was."""
        assert not self.world.faults
        self._check_counts()
        self._check_history()
        self._check_attempts()
        self._check_jobs()
        self._check_outputs()
        self._check_inputs()
        self._check_paths()
        self._check_bases()

    def _check_counts(self) -> None:
        for production in self.productions:
            tally = dict(self.rows("SELECT state, runs FROM tally WHERE production = ? AND runs", production.id))
            assert tally == self.states(self.productions.index(production))
        flight = "('claimed', 'staged', 'submitting', 'submitted', 'ended')"
        assert not self.rows(f"SELECT * FROM production_run WHERE (owner IS NULL) = (state IN {flight})")
        owners = "SELECT * FROM production_run JOIN manager AS m ON m.id = owner WHERE m.production <> production_run.production"
        assert not self.rows(owners)

    def _check_history(self) -> None:
        last: dict[tuple[int, int], str] = {}
        for production, run, before, after in self.rows(
            "SELECT production, run, from_state, to_state FROM event ORDER BY id"
        ):
            first = "new" if before == "new" else "waiting"
            assert last.get((production, run), first) == before, f"run {run} was {last.get((production, run))}"
            assert before == after or State(after) in runs.MOVES[State(before)]
            last[production, run] = after
        for production, run, state in self.rows("SELECT production, run, state FROM production_run"):
            assert last.get((production, run), state) == state
            assert (production, run) in last or state in ("new", "waiting")

    def _check_attempts(self) -> None:
        assert not self.rows("SELECT * FROM production_run WHERE failures > ?", LIMIT)
        counted = (
            "(SELECT coalesce(sum(counted), 0) FROM attempt AS a WHERE a.production = p.production AND a.run = p.run)"
        )
        asked = "SELECT 1 FROM request AS q WHERE q.production = p.production AND q.run = p.run"
        assert not self.rows(f"SELECT * FROM production_run AS p WHERE failures <> {counted} AND NOT EXISTS ({asked})")
        assert not self.rows(
            f"SELECT * FROM production_run WHERE state = 'failed' AND failures < {LIMIT} AND asked_by IS NULL"
        )
        assert not self.rows("SELECT * FROM production_run WHERE state IN ('held', 'failed') AND why = ''")
        for state, latest, ended, job, one in self.rows(
            "SELECT p.state, p.attempt = a.attempt, a.ended_at IS NOT NULL, a.job, p.run FROM attempt AS a "
            "JOIN production_run AS p USING (production, run)"
        ):
            live = latest and state in ("claimed", "staged", "submitting", "submitted")
            assert ended != live, f"an attempt of run {one}, {state}"
            assert job or not latest or state != "submitted"

    def _check_jobs(self) -> None:
        states = {
            self.layout(production).mark(self.run(production, run, at)): state
            for production, run, at, state in self.rows("SELECT production, run, attempt, state FROM production_run")
        }
        for mark, number in self.world.bodies.items():
            assert number == 1, f"{mark} was run {number} times"
        for job in self.world.running():
            if job.task.mark not in self.world.given_up:
                assert states.get(job.task.mark) in ("submitting", "submitted"), f"nobody knows of {job.task.mark}"

    def _check_outputs(self) -> None:
        aside = self._follow_asides()
        finished = "SELECT production, run, attempt FROM production_run WHERE state = 'finished'"
        recorded: dict[tuple[int, int], set[str]] = collections.defaultdict(set)
        for production, run, at, name, path, size, checksum in self.rows(
            "SELECT production, run, attempt, name, path, bytes, checksum FROM output "
            "WHERE recorded IS NOT NULL AND deleted IS NULL"
        ):
            recorded[production, run].add(name)
            with open(path if os.path.exists(path) else aside[path], "rb") as file:
                text = file.read()
            assert (len(text), f"adler32:{zlib.adler32(text):08x}") == (size, checksum)
            assert text == batch.content(self.layout(production).mark(self.run(production, run, at)), name), path
        assert dict(recorded) == {(production, run): {"tree", "hist"} for production, run, _ in self.rows(finished)}
        for path in glob.glob(f"{self.data}/tree/*/*") + glob.glob(f"{self.data}/hist/*/*"):
            with open(path, "rb") as file:
                there = (os.fstat(file.fileno()).st_ino, file.read())
            assert self.finals.setdefault(path, there) == there, f"{path} was replaced"
        assert all(os.path.exists(path) for path in self.finals)

    def _follow_asides(self) -> dict[str, str]:
        """What a reset has moved is still what it was; {path: where it is meant to be} of what is only intended."""
        for path, moved in self.rows("SELECT path, aside FROM aside"):
            if path in self.finals and os.path.exists(moved) and os.stat(moved).st_ino == self.finals[path][0]:
                self.finals[moved] = self.finals.pop(path)
        return dict(self.rows("SELECT path, aside FROM aside WHERE done IS NULL"))

    def _check_inputs(self) -> None:
        for path, text in self.provided.items():
            with open(path, "rb") as file:
                assert file.read() == text
        being_reset = self._being_reset()
        # Removed inside a transaction: who is killed before its end leaves runs without, which then go back or end.
        alive = {one.owner.id for one in self.alive()}
        for owner, path, source in self.rows(
            "SELECT p.owner, path, source FROM input JOIN production_run AS p USING (production, run) "
            "WHERE p.state IN ('staged', 'submitting', 'submitted')"
        ):
            if owner in alive and path not in being_reset:
                with open(path, "rb") as file:
                    assert not path.startswith(f"{self.data}/raw") or file.read() == porter.content(source)
        for job in self.world.running():
            there = os.path.exists(job.input) or job.input in being_reset
            assert there or job.task.mark in self.world.given_up, f"{job.task.mark} lost its input"
        aside = {path for (path,) in self.rows("SELECT path FROM aside")}
        assert set(self.world.starved) <= aside, f"jobs began without {self.world.starved}"
        needy = "SELECT * FROM input JOIN production_run AS p USING (production, run) WHERE p.owner IS NULL"
        assert not self.rows(needy)

    def _being_reset(self) -> set[str]:
        """Inputs of based runs whose base is being reset, or was: then they have been asked to let go, and have not yet."""
        return {
            path
            for (path,) in self.rows(
                "SELECT path FROM aside WHERE done IS NULL UNION SELECT i.path FROM input AS i "
                "JOIN request AS q ON (q.production, q.run) = (i.production, i.run) "
                "WHERE q.verb = 'reset' AND q.answered IS NULL AND i.path IN (SELECT path FROM aside)"
            )
        }

    def _check_bases(self) -> None:
        """Only whoever is asked to let go is on its way, or done, while its base run is not."""
        assert not self.rows(
            "SELECT p.* FROM production_run AS p JOIN productions AS me ON me.id = p.production "
            "JOIN production_run AS b ON b.production = me.base AND b.run = p.run AND b.state <> 'finished' "
            "WHERE p.state NOT IN ('waiting', 'failed', 'held') AND NOT EXISTS (SELECT 1 FROM request AS q "
            "WHERE (q.production, q.run) = (p.production, p.run) AND q.verb = 'reset' AND q.answered IS NULL)"
        )

    def _check_paths(self) -> None:
        assert not self.rows(
            "SELECT * FROM fixed_path AS f JOIN production_run AS p USING (production, run) "
            "WHERE f.busy AND (p.attempt <> f.attempt OR p.state NOT IN ('submitting', 'submitted', 'ended'))"
        )

    def check_the_end(self) -> None:
        """When all came to its end, everything is tidy."""
        self.check()
        for production, run, state in self.rows("SELECT production, run, state FROM production_run"):
            of_base = next(one.base for one in self.productions if one.id == production)
            stuck = of_base and self.one(
                "SELECT state IN ('failed', 'held') FROM production_run WHERE production = ? AND run = ?", of_base, run
            )
            assert state in ("finished", "failed", "held") or (state == "waiting" and stuck), f"run {run} is {state}"
        never = self.due - set(self.rows("SELECT production, run FROM production_run"))
        assert not never, "runs that never entered a production"
        self.jobs_end()
        assert not self.world.faults
        assert not self.rows("SELECT * FROM request WHERE answered IS NULL")
        assert not self.rows("SELECT * FROM production_run WHERE state = 'held' AND why LIKE 'base run%'")
        assert not self.rows("SELECT * FROM transfer")
        assert not self.rows("SELECT * FROM fixed_path WHERE busy")
        assert not self.rows("SELECT * FROM input")
        recorded = {
            path
            for (path,) in self.rows(
                "SELECT path FROM output WHERE recorded IS NOT NULL AND deleted IS NULL "
                "UNION SELECT aside FROM aside WHERE done IS NOT NULL"
            )
        }
        assert recorded | self.strangers.keys() == self.finals.keys()
        assert set(glob.glob(f"{self.data}/raw/*")) == self.provided.keys()
        left = glob.glob(f"{self.data}/jobs/*/0*") + glob.glob(f"{self.data}/work/*/*")
        late = {job.task.witness for job in self.world.jobs if job.exit == 75}
        assert not set(left) - late, left


@dataclasses.dataclass(eq=False)
class Body:
    """A true process that lives and dies with its manager, so that its death can be seen in /proc."""

    process: subprocess.Popen[bytes]

    @classmethod
    def born(cls) -> Body:
        return cls(subprocess.Popen(["sleep", "1000"]))

    def owner(self) -> runs.Owner:
        pid = self.process.pid
        return runs.Owner(0, process.user(), process.host(), process.boot_id(), pid, process.start_ticks(pid) or 0)

    def die(self) -> None:
        self.process.kill()
        self.process.wait()


class Manager:
    """One manager, as ``cli.campaign`` makes it, drives it and sees it off."""

    def __init__(self, house: House, production: runs.Production, *, real: bool = False) -> None:
        self.house = house
        self.body = Body.born() if real else None
        self.catalogue = sqlite.Database(house.settings.database, patience=0.001)
        self.catalogue._connection.execute("PRAGMA busy_timeout = 1")  # it waits a second whatever the patience
        number = len(house.managers)
        made_up = runs.Owner(0, process.user(), f"node{number}", "boot", 1000 + number, 1)
        with self.catalogue.write() as change:
            entered = change.enter(
                self.body.owner() if self.body else made_up, production.id, "local", 2, 1, house.clock.now()
            )
        self.site = site.Site(
            house.settings,
            house.layout(production.id),
            runs.Wanted(),
            lease.Lease(entered, LEASE, house.clock),
            self.catalogue,
            batch.FakeBatch(house.world),
            porter.FakePorter(house.archive),
            room.Room(house.quota, house.settings.data, 90, self.catalogue, house.clock),
            inspector.FakeInspector(),
            house.clock,
        )
        self.alive = True
        self.next = 0
        attempt.sweep(self.site)

    def __repr__(self) -> str:
        return f"manager {self.site.lease.owner.id} of {self.site.layout.production.name}"

    @property
    def owner(self) -> runs.Owner:
        return self.site.lease.owner

    def step(self) -> None:
        """The next step of its cycle."""
        with self._weather():
            if self.next < len(manager.CYCLE):
                manager.CYCLE[self.next](self.site)
                self.next += 1
                return
            self.next = 0
            if rest.done(self.site):
                self._farewell()

    def cycle(self) -> None:
        """Round once, and wait."""
        while self.alive and self.next:
            self.step()
        if not self.alive:
            return
        asked = 0

        def stop() -> bool:
            nonlocal asked
            asked += 1
            return asked > 1

        with self._weather():
            manager.run(self.site, stop)
            if asked == 1:
                self._farewell()

    @contextlib.contextmanager
    def _weather(self) -> Iterator[None]:
        try:
            yield
        except Killed:
            self.die()
        except errors.LostLease:
            self.site.porter.close()
            self.die()
        except errors.ProductionError as trouble:
            if not trouble.transient:
                raise
            self.next = 0

    def _farewell(self) -> None:
        """As ``campaign._work`` says it."""
        try:
            with self.catalogue.write(self.owner) as change:
                change.leave(self.owner, "done", self.house.clock.now())
                change.close_production(self.site.layout.production.id, self.house.clock.now())
        finally:
            self.die()

    def release(self) -> None:
        """Ctrl-C, and once more if it takes long."""
        asked = 0

        def again() -> bool:
            nonlocal asked
            asked += 1
            return asked > 3

        with self._weather():
            manager.leave(self.site, again)
            with self.catalogue.write(self.owner) as change:
                change.leave(self.owner, "interrupted", self.house.clock.now())
        if self.alive:
            self.die()

    def die(self) -> None:
        """As the kernel cleans up after it: nothing but descriptors."""
        self.alive = False
        self.catalogue.close()
        if self.body is not None:
            self.body.die()


# ── the machine ──────────────────────────────────────────────────────────────────────────────────────────────────

which = st.integers(0, 7)


class Journey(RuleBasedStateMachine):
    """Everything at any time."""

    house: House

    @initialize(
        kind=st.sampled_from(["private", "fixed", "based"]),
        limit=st.sampled_from([None, 100.0]),
        grace=st.sampled_from([0.0, 20.0]),
    )
    def begin(self, kind: str, limit: float | None, grace: float) -> None:
        self.house = House(kind, limit, grace)
        self.house.enter()

    def manager(self, which: int) -> Manager:
        alive = self.house.alive()
        return alive[which % len(alive)]

    def job(self, which: int) -> batch.Job:
        living = self.house.world.living()
        return living[which % len(living)]

    @precondition(lambda self: len(self.house.alive()) < 3 and self.house.locker is None)
    @rule(production=st.integers(0, 1), real=st.booleans())
    def enter(self, production: int, real: bool) -> None:
        self.house.enter(production, real=real)

    @precondition(lambda self: self.house.alive())
    @rule(which=which)
    def step(self, which: int) -> None:
        self.manager(which).step()

    @precondition(lambda self: self.house.alive())
    @rule(which=which, times=st.integers(1, 3))
    def cycle(self, which: int, times: int) -> None:
        one = self.manager(which)
        for _ in range(times):
            one.cycle()

    @precondition(lambda self: self.house.alive())
    @rule(times=st.integers(1, 5))
    def days_work(self, times: int) -> None:
        """All goes well for a while."""
        for _ in range(times):
            for one in self.house.alive():
                one.cycle()
            self.house.jobs_move()

    @precondition(lambda self: self.house.alive())
    @rule(which=which, doing=st.sampled_from(["cycle", "release"]), lines=st.integers(1, 400))
    def killed(self, which: int, doing: str, lines: int) -> None:
        one = self.manager(which)
        with fuse(lines, kill):
            getattr(one, doing)()
        if one.alive:
            one.die()

    @precondition(lambda self: self.house.alive() and self.house.locker is None)
    @rule(which=which, doing=st.sampled_from(["cycle", "release"]), lines=st.integers(1, 400), times=st.integers(1, 6))
    def asleep(self, which: int, doing: str, lines: int, times: int) -> None:
        """Stopped past its lease, while the others go on."""
        one = self.manager(which)

        def sleep() -> bool:
            if not self.house.free():
                return False
            others = [other for other in self.house.alive() if other is not one]
            same = [other for other in others if other.site.layout.production == one.site.layout.production]
            for other in (
                others
                if same
                else [*others, self.house.enter(self.house.productions.index(one.site.layout.production))]
            ):
                other.cycle()
            for _ in range(times):
                self.house.clock.advance(LEASE / 2 + 1)
                for other in self.house.alive():
                    if other is not one:
                        other.cycle()
                self.house.jobs_move()
            return True

        with fuse(lines, sleep):
            getattr(one, doing)()

    @precondition(lambda self: self.house.alive())
    @rule(which=which, doing=st.sampled_from(["cycle", "release"]), lines=st.integers(1, 400), times=st.integers(1, 3))
    def meanwhile(self, which: int, doing: str, lines: int, times: int) -> None:
        """The jobs don't wait for anybody."""

        def move() -> bool:
            for _ in range(times):
                self.house.jobs_move()
            return True

        with fuse(lines, move):
            getattr(self.manager(which), doing)()

    @precondition(lambda self: self.house.alive())
    @rule(which=which)
    def release(self, which: int) -> None:
        self.manager(which).release()

    @rule(seconds=st.sampled_from([1.0, 6.0, 31.0, 70.0, 130.0]))
    def time_goes(self, seconds: float) -> None:
        self.house.clock.advance(seconds)

    # ── jobs ──

    @precondition(lambda self: self.house.world.living())
    @rule(which=which)
    def job_goes_on(self, which: int) -> None:
        self.house.world.go_on(self.job(which))

    @precondition(lambda self: self.house.world.living())
    @rule()
    def jobs_run(self) -> None:
        self.house.jobs_run()

    @precondition(lambda self: self.house.world.running())
    @rule(which=which, status=st.sampled_from([0, 0, 3, 139]), outputs=st.sampled_from(["whole", "missing", "short"]))
    def job_ends(self, which: int, status: int, outputs: str) -> None:
        running = self.house.world.running()
        self.house.world.end(running[which % len(running)], status, outputs)

    @precondition(lambda self: self.house.world.running())
    @rule()
    def jobs_end(self) -> None:
        self.house.jobs_end()

    @precondition(lambda self: self.house.world.living())
    @rule(which=which)
    def job_is_killed(self, which: int) -> None:
        self.house.world.kill(self.job(which))

    @precondition(lambda self: self.house.world.living())
    @rule(which=which, how=st.sampled_from(["unknown", "stubborn", "hidden"]))
    def job_is_odd(self, which: int, how: str) -> None:
        job = self.job(which)
        if how == "unknown":
            self.house.world.given_up.add(job.task.mark)
        setattr(job, how, not getattr(job, how))

    # ── the rest of the world ──

    @rule(
        lie=st.sampled_from(
            [
                ("submit", how)
                for how in ("refused", "before", "after", "half", "partial", "late", "full", "nearly full")
            ]
            + [("query", "x"), ("find", "x"), ("cancel", "x")]
        )
    )
    def batch_system_lies(self, lie: tuple[str, str]) -> None:
        self.house.world.lies[lie[0]] = lie[1]

    @precondition(lambda self: self.house.locker is None and self.house.one("SELECT count(*) FROM run") < 8)
    @rule(number=st.integers(1, 2))
    def runs_arrive(self, number: int) -> None:
        self.house.add_runs(number)

    @precondition(lambda self: self.house.locker is None)
    @rule()
    def database_is_locked(self) -> None:
        self.house.lock()

    @precondition(lambda self: self.house.locker is not None)
    @rule()
    def database_is_free(self) -> None:
        self.house.unlock()

    @rule(production=st.integers(0, 1), run=st.integers(1, 4), verb=st.sampled_from(list(request.Verb)))
    def somebody_asks(self, production: int, run: int, verb: request.Verb) -> None:
        """Written down whatever the run's state: the next that comes by carries it out."""
        if self.house.locker is None:
            self.house.ask(production, run, verb)

    @rule(production=st.integers(0, 1))
    def somebody_settles(self, production: int) -> None:
        """As the command does it that has asked."""
        if self.house.locker is None:
            self.house.settle(production)

    @rule()
    def archive_has_hiccups(self) -> None:
        self.house.archive.trouble += 1

    @rule(used=st.sampled_from([0, 10**3, 10**12]), trouble=st.sampled_from(["", "", "mmlsquota: exit 1"]))
    def disk_fills(self, used: int, trouble: str) -> None:
        self.house.quota.used, self.house.quota.trouble = used, trouble

    @rule(run=st.integers(1, 4))
    def archive_misses_a_file(self, run: int) -> None:
        self.house.archive.missing ^= {f"run{run:05d}.mid"}

    @rule(production=st.integers(0, 1), run=st.integers(1, 4), name=st.integers(0, 1))
    def stranger_in_the_way(self, production: int, run: int, name: int) -> None:
        of = self.house.productions[production].id
        self.house.put_in_the_way(self.house.layout(of).outputs(self.house.run(of, run))[name].final)

    @rule()
    def strangers_go(self) -> None:
        self.house.take_away()

    @rule(run=st.integers(1, 4))
    def user_provides_an_input(self, run: int) -> None:
        path = os.path.join(self.house.data, "raw", f"run{run:05d}.mid")
        begun = self.house.rows(
            "SELECT path FROM input WHERE path = ? UNION SELECT path FROM transfer WHERE path = ?", path, path
        )
        if not os.path.exists(path) and not begun:
            os.makedirs(os.path.dirname(path), exist_ok=True)
            self.house.provided[path] = porter.content(os.path.basename(path))
            with open(path, "xb") as file:
                file.write(self.house.provided[path])

    @invariant()
    def holds(self) -> None:
        self.house.check()

    def teardown(self) -> None:
        if not hasattr(self, "house"):
            return
        try:
            if sys.exc_info()[0] is None:
                self.house.go_on_to_the_end()
                self.house.check_the_end()
        finally:
            self.house.close()


TestJourney = Journey.TestCase
TestJourney.settings = hypothesis.settings(
    max_examples=5000 if TORTURE else 100,
    stateful_step_count=60 if TORTURE else 30,
    deadline=None,
    suppress_health_check=list(hypothesis.HealthCheck),
    report_multiple_bugs=False,  # one message for each temporary directory
    print_blob=True,
)


# ── what it has found ────────────────────────────────────────────────────────────────────────────────────────────


@contextlib.contextmanager
def house(kind: str = "private", grace: float = 0.0, number: int = 3) -> Iterator[House]:
    """All goes on to its end afterwards, and everything holds."""
    here = House(kind, None, grace, number)
    try:
        yield here
        here.go_on_to_the_end()
        here.check_the_end()
    finally:
        here.close()


def test_a_fixed_path_is_an_attempts_own_until_its_output_was_moved_away() -> None:
    with house("fixed") as here:
        here.carry_all(here.enter())


def test_two_versions_never_take_each_others_output_for_their_own() -> None:
    with house("fixed", number=1) as here:
        first, second = here.enter(0), here.enter(1)
        first.cycle()
        for _ in range(2):
            first.cycle()
            here.jobs_end()
        first.site.clock.wait(1.0)
        for _ in range(3):
            first.step()  # keep, intake, follow: it has ended, and nobody has looked at its outputs yet
        second.cycle()
        second.cycle()
        second.cycle()


def test_a_ticket_is_taken_back_again_if_that_could_not_be_written_down() -> None:
    with house() as here:
        one = here.enter()
        here.world.lies["submit"] = "before"
        while not here.states().get("submitting"):
            one.cycle()
        here.clock.advance(1.0)
        with fuse(1, lambda: not here.tickets() and here.lock(), within="_recover"):
            one.cycle()
        assert here.locker, "the tickets were taken back, and then the database was locked"
        here.unlock()
        one.cycle()


def test_a_manager_that_dies_after_taking_a_ticket_back_stops_nobody() -> None:
    with house() as here:
        one = here.enter()
        here.world.lies["submit"] = "before"
        while not here.states().get("submitting"):
            one.cycle()
        with fuse(1, lambda: not here.tickets() and kill(), within="_recover"):
            one.cycle()
        assert not one.alive


def test_transfers_of_a_manager_that_gave_its_claims_back_and_died_are_nobodys() -> None:
    with house() as here:
        one = here.enter()
        one.cycle()
        assert here.rows("SELECT * FROM transfer")
        manager.leave(
            one.site, lambda: False
        )  # the last word, change.leave, is never written: killed, or database busy


def test_a_file_that_a_dead_manager_of_another_production_began_is_brought() -> None:
    with house() as here:
        here.enter(0).cycle()
        assert here.rows("SELECT * FROM transfer")
        here.alive()[0].die()
        here.carry_all(here.enter(1))  # nobody starts a manager of the other one meanwhile


def test_nobody_ends_while_jobs_of_one_who_left_are_not_followed() -> None:
    with house(number=2) as here:
        one, two = here.enter(), here.enter()
        while here.states().get("submitted") != 2:
            one.cycle()
        for job in here.world.jobs:
            job.stubborn = True
        two.cycle()
        two.step()
        one.release()
        assert here.states() == {"submitted": 2}
        while two.next:
            two.step()
        assert two.alive, "it went home although it could have followed two jobs"


class Late(batch.FakeBatch):
    """Jobs that were sent begin just after somebody has looked for them a second time."""

    def __init__(self, here: House) -> None:
        super().__init__(here.world)
        self._here = here
        self._looks = 0

    def find(self, tasks: Mapping[str, str]) -> Mapping[str, str]:
        found = super().find(tasks)
        self._looks += bool(tasks)
        if self._looks < 2:
            return found
        self._here.jobs_run()
        for job in self._here.world.jobs:
            job.hidden = False
        return found


def test_a_job_that_starts_while_we_leave_is_not_left_alone() -> None:
    with house(grace=20.0) as here:
        one = here.enter()
        here.world.lies["submit"] = "late"
        while not here.states().get("submitting"):
            one.cycle()
        one.site = dataclasses.replace(one.site, batch=Late(here))
        one.release()
        here.check()


def test_outputs_come_into_place_all_or_none() -> None:
    with house(number=1) as here:
        one = here.enter()
        while not here.states().get("submitted"):
            one.cycle()
        here.put_in_the_way(here.layout(1).outputs(here.run(1, 1))[1].final)


def test_who_slept_takes_nothing_back_that_another_has_finished() -> None:
    with house("fixed", number=1) as here:
        one = here.enter()
        while not here.states().get("submitted"):
            one.cycle()
        here.put_in_the_way(here.layout(1).outputs(here.run(1, 1))[1].final)
        here.jobs_end()

        def sleep() -> bool:
            here.take_away()
            here.carry_all(here.enter())
            return True

        with fuse(1, sleep, within="_withdraw"):
            while one.alive:
                one.cycle()
        assert here.states() == {"finished": 1}


def test_what_is_in_place_is_not_given_back_by_ctrl_c() -> None:
    with house(number=1) as here:
        one = here.enter()
        while not here.states().get("submitted"):
            one.cycle()
        here.jobs_end()
        asked = 0

        def again() -> bool:
            nonlocal asked
            asked += 1
            if here.locker:
                here.unlock()
            return False

        with fuse(1, here.lock, within="_sync"):
            while not here.locker:
                one.cycle()
        assert here.finals or os.path.exists(here.layout(1).outputs(here.run(1, 1))[0].final)
        manager.leave(one.site, again)
        here.go_on_to_the_end()
        assert here.states() == {"finished": 1}


def test_runs_that_arrive_just_before_a_production_is_finished_are_not_shut_out() -> None:
    with house(number=1) as here:
        one = here.enter()
        while here.states() != {"finished": 1}:
            one.step()
            here.jobs_end()
        here.add_runs(1)
        one._farewell()


def test_a_new_run_enters_all_productions_along_a_chain_of_bases() -> None:
    with contextlib.closing(House(number=1)) as here, contextlib.closing(here.open()) as database:
        with database.write() as change:
            opening = base.Opening("beta", "v1", "gold", 1, ("tree",), here.settings.data, "me")
            second = change.open_production(opening, here.clock.now())
            opening = dataclasses.replace(opening, program="gamma", base=second.id)
            third = change.open_production(opening, here.clock.now())
        here.add_runs(1)
        with database.write() as change:
            change.intake(1, here.clock.now())
        assert database.counts(second.id)[State.WAITING] == 2
        assert database.counts(third.id)[State.WAITING] == 2


def test_nobody_goes_home_before_what_was_asked_of_its_last_run_is_answered() -> None:
    with house(number=1) as here:
        one = here.enter()
        while not here.states().get("submitted"):
            one.cycle()
        here.jobs_end()
        while one.next != 1:
            one.step()
        one.step()  # it has looked for what is asked
        here.ask(0, 1, request.Verb.RELEASE)
        while one.alive:
            one.cycle()
        assert here.rows("SELECT answer FROM request") == [("no: it is finished",)]


def based_at_work(here: House, state: str) -> Manager:
    """Run 1 of the base is finished; the manager of the based production has brought its own to a state."""
    here.carry_all(here.enter(0))
    other = here.enter(1)
    while not here.states(1).get(state):
        other.step()
    return other


def test_a_run_given_back_while_its_base_is_reset_waits_for_it() -> None:
    with house("based", number=1) as here:
        other = based_at_work(here, "submitted")
        here.ask(0, 1, request.Verb.RESET)
        here.settle(0)
        assert here.states() == {"new": 1}
        other.release()
        assert here.states(1) == {"waiting": 1}


def test_a_run_whose_base_is_being_put_aside_isnt_held_for_that() -> None:
    with house("based", number=1) as here:
        other = based_at_work(here, "claimed")
        here.ask(0, 1, request.Verb.RESET)
        tree = here.layout(1).outputs(here.run(1, 1))[0].final
        with contextlib.suppress(Killed), fuse(1, lambda: not os.path.exists(tree) and kill(), within="_settle_some"):
            here.settle(0)
        assert here.states() == {"finished": 1}
        other.cycle()
        assert here.states(1) == {"claimed": 1}
        here.settle(0)
        other.cycle()
        assert here.states(1) == {"waiting": 1}


def test_a_reset_reaches_what_is_based_on_it_though_nobody_is_there() -> None:
    with house("based", number=1) as here:
        here.carry_all(here.enter(0))
        here.carry_all(here.enter(1))
        here.ask(0, 1, request.Verb.RESET)
        one = here.enter(0)
        one.cycle()
        assert here.states(1) == {"waiting": 1}


def test_a_job_that_survives_being_cancelled_is_cancelled_again() -> None:
    with house(number=1) as here:
        one = here.enter()
        while not here.states().get("submitted"):
            one.cycle()
        here.world.jobs[0].stubborn = True
        here.ask(0, 1, request.Verb.CANCEL)
        one.cycle()
        assert here.states() == {"submitted": 1}
        here.world.jobs[0].stubborn = False
        one.cycle()
        assert here.states() == {"failed": 1}
