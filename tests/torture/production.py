"""Productions that prove what happened to them, and the managers that are let loose on them.

A production is a directory of its own: database, archive, job scripts, HOME. Each job takes a lock for its run, writes
a line into the ledger before its work and one after, so nothing that was done twice or side by side goes unseen.
"""

from __future__ import annotations

import contextlib
import dataclasses
import os
import pathlib
import signal
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Sequence
from typing import Any

from tests.torture import mortal

ROOT = pathlib.Path(__file__).parents[2]
"""Of the checkout: what is tortured is what stands beside this file."""

NEW = ["--new=torture"]
"""Of run_production, for the next version."""

PATIENCE = 60.0
"""Seconds for one manager; longer is a finding."""

LOST = "another manager took over our runs while we were asleep; leaving them alone"

_SETTINGS = """
database = "p.db"
data = "data"
archive = "{archive}"
lease = {lease}
pause = {pause}
nproc = {nproc}
nprep = {nprep}

[programs.first]
script = "first.sh"
arguments = ["{{run}}", "{{attempt}}", "{{input}}", "{{tree}}"]
input = "run{{run:05d}}.mid"
home = "{home}"
environment = {{ TORTURE = "{directory}" }}
retry = {{ limit = 3, pause = {retry} }}
{more}

[programs.first.outputs.tree]
path = "tree/v{{version}}/tree{{run:05d}}.dat"

[programs.first.outputs.hist]
path = "hist/v{{version}}/hist{{run:05d}}.dat"
written = "data/hist/hist{{run:05d}}.dat"

[programs.second]
script = "second.sh"
base = "first.tree"
arguments = ["{{run}}", "{{attempt}}", "{{input}}", "{{out}}"]
environment = {{ TORTURE = "{directory}" }}
retry = {{ limit = 3, pause = 0 }}

[programs.second.outputs.out]
path = "out/v{{version}}/out{{run:05d}}.dat"
"""

_BEGIN = r"""#!/bin/bash
# RUN ATTEMPT INPUT OUTPUT: says in the ledger when it begins and ends, and that it is alone with its run.
run=$1 attempt=$2 input=$3 output=$4
mark=$RUN_PRODUCTION_MARK
production=${mark%%-*}
say() {
    read -r now _ </proc/uptime
    printf '%s %s %s %s %s\n' "$1" "$mark" "$attempt" "$$" "$now" >>"$TORTURE/ledger"
}
exec 9>>"$TORTURE/locks/$production.$run"
flock -n 9 || say overlap
say begin
printf 'this is %s\n' "$mark"
"""

_FIRST = r"""
printf -v number '%05d' "$run"
hist=$HOME/data/hist/hist$number.dat
printf 'hist %s\n' "$run" >"$hist" || exit 9
# somebody who wants us to be at work for a while has put a pipe there
[ ! -p "$TORTURE/gate" ] || read -r _ <"$TORTURE/gate"
[ $((run % 4)) != 0 ] || sleep 0.0"$((RANDOM % 10))"
case $((run % 10)) in
    # once each: a program that fails, and one that forgets an output
    7) mkdir "$TORTURE/faults/$production.$run" 2>/dev/null && exit 3 ;;
    3) mkdir "$TORTURE/faults/$production.$run" 2>/dev/null && exit 0 ;;
esac
{ printf 'tree %s\n' "$run" && cat "$input"; } >"$output" || exit 9
wc -c <"$input" >>"$hist" || exit 9
"""

_SECOND = r"""
{ printf 'out %s\n' "$run" && cat "$input"; } >"$output" || exit 9
"""

_END = "say end\n"


@dataclasses.dataclass(slots=True)
class Life:
    """One manager's life, over."""

    program: str
    code: int
    """As subprocess has it: negative for a signal."""
    said: str
    """On stderr."""
    done: list[tuple[str, str]]
    """(signal, point) of what it did to itself."""
    counts: dict[str, int]
    """Points it came by, if it came to an ordinary end."""

    @property
    def tail(self) -> str:
        return "\n".join(self.said.splitlines()[-25:])


class Running:
    """One manager at work."""

    def __init__(self, production: Production, program: str, deeds: Sequence[mortal.Deed], more: Sequence[str]) -> None:
        number = production.next_number()
        self._program = program
        self._report = production.directory / "lives" / f"{number}.report"
        self._said = production.directory / "lives" / f"{number}.stderr"
        plan = production.directory / "lives" / f"{number}.plan"
        plan.write_text(mortal.Plan(str(self._report), tuple(deeds)).text())
        argv = [sys.executable, "-m", "tests.torture.mortal", str(plan), *production.arguments(program), *more]
        with open(self._said, "wb") as said:
            self.process = subprocess.Popen(
                argv, cwd=production.directory, env=production.environment(), stdin=subprocess.DEVNULL,
                stdout=said, stderr=said, start_new_session=True,
            )  # fmt: skip

    @property
    def said(self) -> str:
        """So far."""
        return self._said.read_text(errors="replace")

    @property
    def done(self) -> list[tuple[str, str]]:
        """What it has done to itself so far."""
        return [(words[0], words[1]) for words in self._lines() if words[0] != "COUNT"]

    def _lines(self) -> list[list[str]]:
        text = self._report.read_text() if self._report.exists() else ""
        return [line.split() for line in text.splitlines()]

    def wait(self, patience: float = PATIENCE) -> Life:
        """Its end; one that hangs is killed, and has code -9 without having killed itself."""
        try:
            self.process.wait(patience)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        counts = {words[2]: int(words[1]) for words in self._lines() if words[0] == "COUNT"}
        return Life(self._program, self.process.returncode, self.said, self.done, counts)

    def wait_stopped(self, patience: float = PATIENCE) -> bool:
        """Until it has stopped itself; False if it ended, or didn't in time."""
        watchdog = threading.Timer(patience, self.process.kill)
        watchdog.start()
        try:
            seen = os.waitid(os.P_PID, self.process.pid, os.WSTOPPED | os.WEXITED | os.WNOWAIT)
        finally:
            watchdog.cancel()
        return seen is not None and seen.si_code == os.CLD_STOPPED

    def signal(self, number: signal.Signals) -> None:
        self.process.send_signal(number)

    def end(self) -> None:
        """Whatever happened in the test: no manager outlives it."""
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()


class Production:
    """A directory with everything a manager needs, and what its jobs say of themselves."""

    def __init__(
        self,
        directory: pathlib.Path,
        runs: int,
        *,
        home: str = "private",
        far: pathlib.Path | None = None,
        programs: Sequence[str] = ("first",),
        nproc: int = 6,
        nprep: int = 6,
        pause: float = 0.5,
        lease: float = 10,
        retry: float = 0,
        odd: str = "",
        more: str = "",
    ) -> None:
        """``far``: a directory of another file system for HOME, so that outputs have to be copied.

        ``odd``: what the first program's script does before its work; ``more``: settings of the first program.
        """
        self.directory = directory
        self.home = far if far is not None else directory / "home"
        self.runs = range(1, runs + 1)
        self.programs = tuple(programs)
        self._number = 0
        for name in ("archive", "locks", "faults", "lives", "home", "data"):
            (directory / name).mkdir(parents=True, exist_ok=True)
        (self.home / "data" / "hist").mkdir(parents=True)
        text = _SETTINGS.format(
            archive=directory / "archive", directory=directory, home=home,
            lease=lease, pause=pause, nproc=nproc, nprep=nprep, retry=retry, more=more,
        )  # fmt: skip
        (directory / "production.toml").write_text(text)
        for program, work in (("first", f"{odd}\n{_FIRST}"), ("second", _SECOND)):
            script = directory / f"{program}.sh"
            script.write_text(_BEGIN + work + _END)
            script.chmod(0o755)
        for run in self.runs:
            (directory / "archive" / f"run{run:05d}.mid").write_bytes(self.raw(run))
        self._production("init", "p.db")
        self._production("datasets", "add", f"1-{runs}", "--dataset", "A")

    def _production(self, *arguments: str) -> None:
        argv = [sys.executable, "-m", "production", *arguments]
        subprocess.run(argv, cwd=self.directory, env=self.environment(), check=True, capture_output=True, timeout=60)

    def environment(self) -> dict[str, str]:
        """Nothing of the user's but the PATH."""
        return {
            "PATH": os.environ["PATH"], "HOME": str(self.home), "XDG_CONFIG_DIRS": str(self.home / "etc"),
            "PYTHONPATH": str(ROOT), "PYTHONDONTWRITEBYTECODE": "1", "LC_ALL": "C.UTF-8",
        }  # fmt: skip

    def arguments(self, program: str) -> list[str]:
        """Of run_production: the same again and again, but that a production is opened only once."""
        arguments = [f"--production={program}"]
        if program not in self.opened():
            arguments += NEW if program == "first" else [*NEW, "--version=1"]
        return arguments

    def next_number(self) -> int:
        self._number += 1
        return self._number

    # ── what must come out ──

    @staticmethod
    def raw(run: int) -> bytes:
        """A raw file: mostly small, one in fifty of several blocks."""
        lines = f"run {run} of the torture\n".encode() * (1 + run % 50)
        return lines * 4000 if run % 50 == 1 else lines

    def expected(self, program: str, run: int) -> dict[str, bytes]:
        """Each output's content."""
        raw = self.raw(run)
        tree = f"tree {run}\n".encode() + raw
        if program == "second":
            return {"out": f"out {run}\n".encode() + tree}
        return {"tree": tree, "hist": f"hist {run}\n{len(raw)}\n".encode()}

    def ledger(self) -> list[list[str]]:
        """(what, mark, attempt, pid, seconds since boot), in the order it was written."""
        path = self.directory / "ledger"
        return [line.split() for line in path.read_text().splitlines()] if path.exists() else []

    # ── the database, as anybody may read it ──

    def ask(self, query: str, *parameters: object) -> list[tuple[Any, ...]]:
        # Not mode=ro: after a kill the WAL may have to be recovered, which a read-only connection can't.
        with contextlib.closing(sqlite3.connect(self.directory / "p.db", timeout=30)) as connection:
            return connection.execute(query, parameters).fetchall()

    def spoil(self, statement: str) -> None:
        """Make the database wrong, to see whether the check sees it."""
        with contextlib.closing(sqlite3.connect(self.directory / "p.db", isolation_level=None)) as connection:
            connection.execute(statement)

    def opened(self) -> list[str]:
        return [str(row[0]) for row in self.ask("SELECT program FROM productions")]

    def catalogue(self) -> str:
        return str(self.ask("SELECT id FROM catalogue")[0][0])

    def unfinished(self, program: str) -> int:
        """Runs that are not finished; all of them before the production is opened."""
        if program not in self.opened():
            return len(self.runs)
        query = "SELECT count(*) FROM production_run AS r JOIN productions AS p ON p.id = r.production WHERE p.program = ? AND r.state <> 'finished'"
        return int(self.ask(query, program)[0][0])

    # ── managers ──

    def start(self, program: str = "first", deeds: Sequence[mortal.Deed] = (), more: Sequence[str] = ()) -> Running:
        return Running(self, program, deeds, more)

    def live(self, program: str = "first", deeds: Sequence[mortal.Deed] = (), more: Sequence[str] = ()) -> Life:
        """A manager from beginning to end."""
        running = self.start(program, deeds, more)
        try:
            return running.wait()
        finally:
            running.end()

    def live_for(self, program: str, seconds: float) -> Life:
        """A manager that we kill after a while, if it hasn't come to its end before."""
        running = self.start(program)
        try:
            running.process.wait(seconds)
        except subprocess.TimeoutExpired:
            running.process.kill()
            life = running.wait()
            return dataclasses.replace(life, done=[("KILL", "random")])
        finally:
            running.end()
        return running.wait()

    def finish_program(self, program: str, limit: int = 3) -> list[Life]:
        """Start again, undisturbed, until all is finished; how each went. More than one is a finding."""
        lives: list[Life] = []
        while len(lives) < limit and (not lives or self.unfinished(program)):
            lives.append(self.live(program))
        return lives

    def finish(self) -> list[Life]:
        """The same for all programs, one after the other."""
        return [life for program in self.programs for life in self.finish_program(program)]
