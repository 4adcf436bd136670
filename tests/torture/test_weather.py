"""Bad weather that is real: full disks, a locked database, scripts that misbehave. What the shift sees; nothing is lost."""

from __future__ import annotations

import contextlib
import os
import pathlib
import shutil
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.torture import check, mortal, production

Production = production.Production
Need = Callable[[str, Any], Any]


class Watched:
    """A manager whose lines are read as they come."""

    def __init__(self, one: Production, *more: str) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-c", _COMMAND, *one.arguments("first"), *more],
            cwd=one.directory, env=one.environment(), stdin=subprocess.DEVNULL,
            stderr=subprocess.PIPE, text=True, start_new_session=True,
        )  # fmt: skip
        self.lines: list[str] = []

    def until(self, text: str, patience: float = 60) -> str:
        """The first line with that in it; fails if there is none before the end."""
        return self._read(text, patience)

    def end(self, patience: float = 120) -> int:
        """Its exit code."""
        self._read(None, patience)
        return self.process.wait(patience)

    def _read(self, text: str | None, patience: float) -> str:
        assert self.process.stderr is not None
        watchdog = threading.Timer(patience, self.process.kill)
        watchdog.start()
        try:
            for line in self.process.stderr:
                self.lines.append(str(line).rstrip("\n"))
                if text is not None and text in line:
                    return self.lines[-1]
        finally:
            watchdog.cancel()
        assert text is None, f"it never said {text!r}:\n{self.tail}"
        return ""

    def with_(self, text: str) -> list[str]:
        """Lines with that in it, without time and level."""
        return [line[33:] for line in self.lines if text in line]

    @property
    def tail(self) -> str:
        return "\n".join(self.lines[-30:])


_COMMAND = "import sys; from production.cli.run_production import main; sys.exit(main(sys.argv[1:]))"


@contextlib.contextmanager
def watching(one: Production, *more: str) -> Iterator[Watched]:
    watched = Watched(one, *more)
    try:
        yield watched
    finally:
        watched.process.kill()
        watched.process.wait()
        assert watched.process.stderr is not None
        watched.process.stderr.close()


@pytest.fixture
def small_disk(need: Need, tmp_path: pathlib.Path) -> Iterator[Callable[[str, str], pathlib.Path]]:
    """Mounts a small disk of its own below the test's directory; only root can."""
    need("root, to mount a small disk,", os.geteuid() == 0)
    mount = need("mount", shutil.which("mount"))
    mounted: list[pathlib.Path] = []

    def make(name: str, size: str) -> pathlib.Path:
        place = tmp_path / "here" / name
        place.mkdir(parents=True)
        done = subprocess.run(
            [mount, "-t", "tmpfs", "-o", f"size={size}", "torture", str(place)],
            check=False,
            capture_output=True,
            text=True,
        )
        need(f"the right to mount ({done.stderr.strip()})", done.returncode == 0)
        mounted.append(place)
        return place

    yield make
    for place in mounted:
        subprocess.run(["umount", "-l", str(place)], check=True, capture_output=True)


def _fill(directory: pathlib.Path) -> pathlib.Path:
    """Not a byte is left; the file that has to go to mend it."""
    filler = directory / "filler"
    with open(filler, "wb", buffering=0) as file, contextlib.suppress(OSError):
        for size in (1 << 16, 1 << 12, 1):
            with contextlib.suppress(OSError):
                while True:
                    file.write(b"\0" * size)
    return filler


# ── disks ───────────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("when", ["from the beginning", "in the middle"])
def test_disk_full_under_data(
    small_disk: Callable[[str, str], pathlib.Path], tmp_path: pathlib.Path, when: str
) -> None:
    """It says so and waits; when there is room again it goes on, and no run has lost an attempt for good."""
    data = small_disk("data", "4m")
    one = Production(tmp_path / "here", 40)
    filler = _fill(data) if when == "from the beginning" else None
    with watching(one) as manager:
        if filler is None:
            manager.until("Finished run: 3")
            filler = _fill(data)
        manager.until("full" if when == "in the middle" else "nothing new is staged", 30)
        with contextlib.suppress(subprocess.TimeoutExpired):
            manager.process.wait(3)  # the shift is slow
        assert manager.process.returncode is None, manager.tail
        filler.unlink()
        code = manager.end()
    assert (code, manager.with_("Failed run")) == (0, []), manager.tail
    assert len(manager.with_(" is full: ")) <= 1, "told once, however often a run that ends makes room"
    assert len(manager.with_("It goes on")) == len(manager.with_(" is full: "))
    assert _but_failed_attempts(check.finished(one)) == []


def test_disk_full_under_the_database(small_disk: Callable[[str, str], pathlib.Path], tmp_path: pathlib.Path) -> None:
    place = small_disk("db", "2m")
    one = Production(tmp_path / "here", 60)
    _move_database(one, place)
    with watching(one) as manager:
        manager.until("Finished run: 3")
        filler = _fill(place)
        assert "no disk left for the database" in manager.until("waiting", 30)
        with contextlib.suppress(subprocess.TimeoutExpired):
            manager.process.wait(3)
        assert manager.process.returncode is None, manager.tail
        filler.unlink()
        assert manager.end() == 0, manager.tail
    assert manager.with_("It goes on")
    assert check.finished(one) == []


def _move_database(one: Production, place: pathlib.Path) -> None:
    for path in one.directory.glob("p.db*"):
        shutil.move(path, place / path.name)
    (one.directory / "p.db").symlink_to(place / "p.db")


def _but_failed_attempts(findings: list[str]) -> list[str]:
    """A job that ran into a full disk has failed, and that is counted."""
    return [
        finding for finding in findings if "attempts are counted" not in finding and " failed for cause" not in finding
    ]


# ── the database ────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("seconds", [5, pytest.param(60, marks=pytest.mark.torture)])
@pytest.mark.parametrize("when", ["at the start", "in the middle"])
def test_database_locked(need: Need, tmp_path: pathlib.Path, seconds: float, when: str) -> None:
    """Somebody looks at it with the sqlite3 shell, writes BEGIN EXCLUSIVE, and goes for a coffee."""
    shell = need("the sqlite3 shell", shutil.which("sqlite3"))
    one = Production(tmp_path / "here", 40)
    assert one.live("first", [mortal.Deed("INT", ("claim*:COMMIT(claim):after",))]).code == 130
    with contextlib.ExitStack() as stack:
        locker = stack.enter_context(
            subprocess.Popen(
                [shell, str(one.directory / "p.db")], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
            )
        )
        assert locker.stdin is not None
        assert locker.stdout is not None
        manager = stack.enter_context(watching(one)) if when == "in the middle" else None
        if manager is not None:
            manager.until("Finished run: 3")
        locker.stdin.write(".timeout 10000\nBEGIN EXCLUSIVE;\nSELECT 'locked';\n")
        locker.stdin.flush()
        assert locker.stdout.readline() == "locked\n"
        if manager is None:
            manager = stack.enter_context(watching(one))
        with contextlib.suppress(subprocess.TimeoutExpired):
            manager.process.wait(seconds)
        assert manager.process.returncode is None, manager.end()
        locker.stdin.write("COMMIT;\n.quit\n")
        locker.stdin.close()
        assert manager.end() == 0, manager.tail
        assert bool(manager.with_("waiting")) == (seconds > 30), manager.tail
    assert check.finished(one) == []


# ── scripts ─────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_script_vanishes(tmp_path: pathlib.Path) -> None:
    one = Production(tmp_path / "here", 40, nproc=4, retry=4)
    with watching(one) as manager:
        manager.until("Finished run: 3")
        (one.directory / "first.sh").unlink()
        code = manager.end()
    assert code == 3, manager.tail
    assert any("not found" in line for line in manager.with_("Failed attempt of run:"))
    assert manager.with_("10 runs in a row failed for the same cause (program)")
    assert check.gone(one) == []
    states = dict(one.ask("SELECT state, count(*) FROM production_run GROUP BY state"))
    assert set(states) <= {"finished", "failed", "new"}
    assert sum(states.values()) == 40


def test_script_hangs(tmp_path: pathlib.Path) -> None:
    one = Production(
        tmp_path / "here", 4, odd='[ "$run" != 2 ] || sleep 600', more="resources = { time = 1 }", pause=0.2
    )
    with watching(one) as manager:
        code = manager.end()
    assert code == 3, manager.tail
    assert "Run 2 takes longer than 1 s; ending its job" in manager.with_("takes longer")
    assert manager.with_("Failed attempt of run: 2 (time: it took longer than 1 s")
    assert manager.with_("Failed run: 2 (time: it took longer than ")  # half as long again, each time
    assert _states(one) == {"finished": 3, "failed": 1}
    assert check.gone(one) == []


def test_script_forks_away(tmp_path: pathlib.Path) -> None:
    """It becomes a daemon and returns 0: what it would write comes too late, and it doesn't live on."""
    one = Production(tmp_path / "here", 4, odd='[ "$run" != 2 ] || { setsid -f sleep 600; exit 0; }')
    with watching(one) as manager:
        code = manager.end()
    assert code == 3, manager.tail
    assert "is missing" in manager.with_("Failed run: 2 (output: ")[0]
    assert _states(one) == {"finished": 3, "failed": 1}
    assert check.gone(one) == []


def test_script_forks_away_and_says_nothing(tmp_path: pathlib.Path) -> None:
    """The same, having cleared its environment: only its session says whose it is, and it has left that. It lives on."""
    one = Production(tmp_path / "here", 2, odd='[ "$run" != 2 ] || { (env -i sleep 600 &) ; exit 0; }')
    with watching(one) as manager:
        code = manager.end()
    assert code == 3, manager.tail
    assert check.gone(one) == []


@pytest.mark.parametrize("megabytes", [20, pytest.param(1000, marks=pytest.mark.torture)])
def test_script_prints_a_lot(tmp_path: pathlib.Path, megabytes: int) -> None:
    odd = f'[ "$run" != 2 ] || head -c {megabytes}M /dev/zero'
    one = Production(tmp_path / "here", 3, odd=odd)
    with watching(one) as manager:
        code = manager.end()
    assert code == 0, manager.tail
    log = one.directory / "data" / "log" / "v1" / "first.run00002.out"
    assert log.stat().st_size >= megabytes << 20
    assert [finding for finding in check.finished(one) if "the log of" not in finding] == []


def test_script_prints_a_lot_and_fails(tmp_path: pathlib.Path) -> None:
    """The last line is told, not the twenty megabytes before it."""
    one = Production(
        tmp_path / "here", 2, odd='[ "$run" != 2 ] || { head -c 20M /dev/zero >&2; echo; echo alas >&2; exit 5; }'
    )
    with watching(one) as manager:
        code = manager.end()
    assert code == 3, manager.tail
    assert "exit 5: alas" in manager.with_("Failed run: 2")[0].replace("\ufffd", "")
    assert all(len(line) < 1000 for line in manager.lines)
    assert check.gone(one) == []


def test_script_returns_0_without_output(tmp_path: pathlib.Path) -> None:
    one = Production(tmp_path / "here", 4, odd='[ "$run" != 2 ] || exit 0')
    with watching(one) as manager:
        code = manager.end()
    assert code == 3, manager.tail
    assert "tree00002.dat is missing" in manager.with_("Failed run: 2 (output: ")[0]
    assert len(manager.with_("Failed attempt of run: 2")) == 2
    assert manager.with_("failed for cause output: 2")
    assert _states(one) == {"finished": 3, "failed": 1}
    assert check.gone(one) == []


def _states(one: Production) -> dict[str, int]:
    return dict(one.ask("SELECT state, count(*) FROM production_run GROUP BY state"))
