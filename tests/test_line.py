"""The line in front of the database: everybody gets a turn, nobody waits for ever, nobody does a run twice."""

from __future__ import annotations

import collections
import contextlib
import pathlib
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator

import pytest

from production import errors, process
from production.catalogue import base, line, sqlite
from tests.fakes import clock

ROOT = pathlib.Path(__file__).resolve().parent.parent


@pytest.fixture
def path(tmp_path: pathlib.Path) -> str:
    path = str(tmp_path / "production.db")
    sqlite.create(path, clock.START)
    return path


@pytest.fixture
def two(path: str) -> Iterator[tuple[line.Line, line.Line]]:
    """Two who stand in one line."""
    with contextlib.closing(line.Line(path)) as one, contextlib.closing(line.Line(path)) as other:
        yield one, other


def here(call: Callable[[], None]) -> None:
    call()


def elsewhere(call: Callable[[], None]) -> None:
    """In another thread, which can't have an alarm; what it raises is raised here."""
    raised: list[BaseException] = []

    def work() -> None:
        try:
            call()
        except BaseException as error:
            raised.append(error)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join(60)
    assert not thread.is_alive()
    if raised:
        raise raised[0]


Where = Callable[[Callable[[], None]], None]

both = pytest.mark.parametrize("where", [here, elsewhere])


@both
def test_one_at_a_time(two: tuple[line.Line, line.Line], where: Where) -> None:
    one, other = two

    def turn() -> None:
        with other.turn(0.1):
            pass

    where(turn)
    with one.turn(1), pytest.raises(errors.CatalogueBusy, match=r"production\.db\.lock: somebody") as error:
        where(turn)
    assert error.value.transient
    assert str(error.value).isprintable()
    where(turn)


@both
@pytest.mark.parametrize("patience", [0.05, 0.5])
def test_the_wait_has_a_bound(two: tuple[line.Line, line.Line], where: Where, patience: float) -> None:
    one, other = two

    def turn() -> None:
        with other.turn(patience):
            pytest.fail("two at a time")

    with one.turn(1):
        start = time.monotonic()
        with pytest.raises(errors.CatalogueBusy):
            where(turn)
        assert patience * 0.9 < time.monotonic() - start < patience + 20


HOLD = """
import select, sys
from production.catalogue import line
with line.Line(sys.argv[1]).turn(10):
    print("held", flush=True)
    select.select([sys.stdin], [], [], float(sys.argv[2]))
"""


@contextlib.contextmanager
def held(path: str, seconds: float) -> Iterator[subprocess.Popen[bytes]]:
    argv = [sys.executable, "-c", HOLD, path, str(seconds)]
    with subprocess.Popen(argv, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as child:
        assert child.stdout is not None
        assert child.stdout.readline() == b"held\n"
        yield child
        child.communicate()


@both
@pytest.mark.parametrize("end", ["lets go", "is killed"])
def test_the_turn_comes_when_the_other_is_gone(two: tuple[line.Line, line.Line], where: Where, end: str) -> None:
    one, _ = two
    database = one.path.removesuffix(".lock")
    with held(database, 0.3 if end == "lets go" else 60) as child:
        if end == "is killed":
            child.kill()
        start = time.monotonic()

        def turn() -> None:
            with one.turn(30):
                pass

        where(turn)
        assert time.monotonic() - start < 20


WAIT_WITHOUT_PATIENCE = """
import sys
from production import errors
from production.catalogue import line
try:
    with line.Line(sys.argv[1]).turn(0):
        print("two at a time")
except errors.CatalogueBusy:
    print("busy")
"""


def test_no_patience_is_not_endless_patience(two: tuple[line.Line, line.Line]) -> None:
    one, _ = two
    argv = [sys.executable, "-c", WAIT_WITHOUT_PATIENCE, one.path.removesuffix(".lock")]
    with one.turn(1):
        done = subprocess.run(argv, cwd=ROOT, capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout == "busy\n"


def test_the_alarm_is_given_back(two: tuple[line.Line, line.Line]) -> None:
    rung = []
    before = signal.signal(signal.SIGALRM, lambda *_: rung.append(1))
    mine = signal.getsignal(signal.SIGALRM)
    try:
        one, other = two
        with one.turn(1), pytest.raises(errors.CatalogueBusy), other.turn(0.05):
            pytest.fail("two at a time")
        assert signal.getsignal(signal.SIGALRM) is mine
        assert signal.getitimer(signal.ITIMER_REAL) == (0, 0)
        assert not rung
    finally:
        signal.signal(signal.SIGALRM, before)


def test_an_exception_ends_the_turn(two: tuple[line.Line, line.Line]) -> None:
    one, other = two
    with pytest.raises(KeyboardInterrupt), one.turn(1):
        raise KeyboardInterrupt
    with other.turn(0.1):
        pass


def test_a_lock_that_is_a_link_is_refused(path: str, tmp_path: pathlib.Path) -> None:
    """Who may write the directory can't make us open, or change the mode of, another file."""
    (tmp_path / "precious").write_text("precious")
    (tmp_path / "precious").chmod(0o600)
    (tmp_path / "production.db.lock").symlink_to("precious")
    with pytest.raises(errors.CatalogueError, match=r"production\.db\.lock"):
        line.Line(path)
    assert (tmp_path / "precious").stat().st_mode & 0o777 == 0o600


# ── many ──────────────────────────────────────────────────────────────────────────────────────────────────────────

CLAIM = """
import dataclasses, sys
from production import process, run
from production.catalogue import sqlite
from tests.fakes import clock

database = sqlite.Database(sys.argv[1])
production = database.production("sim")
with database.write() as change:
    me = change.enter(process.myself(), production.id, "local", 1, 1, clock.START)
print("ready", flush=True)
sys.stdin.readline()
mine = []
while True:
    with database.write(me) as change:
        claimed = change.claim(production.id, int(sys.argv[2]), me, run.Wanted(), clock.START)
    if not claimed:
        break
    mine += [each.run for each in claimed]
database.close()
print(*mine)
"""


def everybody_claims(path: str, processes: int, runs: int, number: int) -> list[list[int]]:
    """What each of so many processes has claimed, so many runs at a time, until none was left."""
    with contextlib.closing(sqlite.Database(path)) as database, database.write() as change:
        change.add_runs([base.DatasetRow(run, "Al50") for run in range(runs)])
        change.open_production(base.Opening("sim", "t", "gold", None, (), "/data", process.user()), clock.START)
    argv = [sys.executable, "-c", CLAIM, path, str(number)]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    with contextlib.ExitStack() as ends:
        children = [
            ends.enter_context(subprocess.Popen(argv, cwd=ROOT, text=True, **pipes))  # type: ignore[call-overload]
            for _ in range(processes)
        ]
        for child in children:
            assert child.stdout.readline() == "ready\n", child.stderr.read()
        for child in children:
            child.stdin.write("\n")
            child.stdin.flush()
        said = [child.communicate(timeout=120) for child in children]
    assert [error for _, error in said if error] == []
    assert [child.returncode for child in children] == [0] * processes
    return [[int(run) for run in text.split()] for text, _ in said]


@pytest.mark.feature("AC-06")
@pytest.mark.parametrize("number", [1, 7])
def test_eight_managers_claim_each_run_once(path: str, number: int) -> None:
    claimed = everybody_claims(path, 8, 1000, number)
    often = collections.Counter(run for each in claimed for run in each)
    assert sorted(often) == list(range(1000))
    assert set(often.values()) == {1}
    with contextlib.closing(sqlite.Database(path, read_only=True)) as database:
        production = database.production("sim")
        assert production is not None
        counts = {state: runs for state, runs in database.counts(production.id).items() if runs}
        assert counts == {"claimed": 1000}
        assert all(len(database.history(production.id, run)) == 1 for run in range(0, 1000, 37))


def test_everybody_gets_a_turn(path: str) -> None:
    claimed = everybody_claims(path, 4, 800, 1)
    assert min(len(each) for each in claimed) >= 0.05 * 800, [len(each) for each in claimed]
