"""A campaign for a test: a directory with settings, scripts, archive and database; commands and managers in it.

Nothing here waits by the clock: managers are waited for by what they say, jobs by a line in a pipe, ends by the kernel.
"""

from __future__ import annotations

import contextlib
import ctypes
import dataclasses
import os
import pathlib
import re
import select
import shlex
import signal
import sqlite3
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
PATIENCE = 60.0
"""Seconds that anything may take on a machine with other things to do; what hangs longer is killed and shown."""

LINE = re.compile(r"^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d[+-]\d{4} (DEBUG|INFO|WARNING|ERROR|CRITICAL) +(.*)$")


@dataclasses.dataclass(frozen=True)
class Result:
    """How a command ended."""

    code: int
    out: str
    err: str
    command: str = ""

    @property
    def messages(self) -> list[str]:
        """The lines of the log without time and level; other lines as they are."""
        return [found[2] if (found := LINE.match(line)) else line for line in self.err.splitlines()]

    def said(self, text: str) -> bool:
        """Whether a message has this in it."""
        return any(text in message for message in self.messages)

    def __str__(self) -> str:
        return f"$ {self.command}\n{self.out}{self.err}[exit {self.code}]"


@dataclasses.dataclass(frozen=True)
class User:
    """Somebody else, for commands that root starts in their name."""

    name: str
    uid: int
    gid: int
    groups: tuple[int, ...]
    umask: int


class Manager:
    """A manager that runs meanwhile; its words are read as they come."""

    def __init__(
        self,
        command: Sequence[str],
        directory: pathlib.Path,
        environment: Mapping[str, str],
        user: User | None = None,
    ) -> None:
        # A process group of its own, but in our session: of an orphaned group the kernel swallows a Ctrl-Z.
        self._process = subprocess.Popen(
            command, cwd=directory, env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
            stderr=subprocess.PIPE, text=True, encoding="utf-8", errors="replace", process_group=0,
            user=user.uid if user else None, group=user.gid if user else None, extra_groups=user.groups if user else None,
            umask=user.umask if user else -1,
        )  # fmt: skip
        self.pid = self._process.pid
        self._command = shlex.join(command)
        self._text = {"out": "", "err": ""}
        self._more = threading.Condition()
        self._readers = [
            threading.Thread(target=self._read, args=(name, stream), daemon=True)
            for name, stream in (("out", self._process.stdout), ("err", self._process.stderr))
        ]
        for reader in self._readers:
            reader.start()

    def _read(self, name: str, stream: Iterator[str]) -> None:
        for line in stream:
            with self._more:
                self._text[name] += line
                self._more.notify_all()
        with self._more:
            self._more.notify_all()

    def wait_for(self, text: str, times: int = 1, seconds: float = PATIENCE, stream: str = "err") -> None:
        """Until it has said this (so many times)."""
        with self._more:
            told = self._more.wait_for(lambda: self._text[stream].count(text) >= times or not self._alive(), seconds)
            assert self._text[stream].count(text) >= times, (
                f"never said {text!r} ({'in time' if not told else 'until it ended'}):\n{self._text[stream]}"
            )

    def _alive(self) -> bool:
        return any(reader.is_alive() for reader in self._readers)

    @property
    def said(self) -> str:
        """All it has said on stderr so far."""
        with self._more:
            return self._text["err"]

    def send(self, number: signal.Signals) -> None:
        """A signal to the manager alone; its jobs are in sessions of their own anyway."""
        os.kill(self.pid, number)

    def wait(self, seconds: float = PATIENCE) -> Result:
        """Until it has ended."""
        try:
            code = self._process.wait(seconds)
        except subprocess.TimeoutExpired:
            self.kill()
            pytest.fail(f"{self._command} still runs after {seconds:.0f} s:\n{self.said}")
        self._close()
        return Result(code, self._text["out"], self._text["err"], self._command)

    def stop(self, number: signal.Signals = signal.SIGINT, seconds: float = PATIENCE) -> Result:
        """Signal it and see it end."""
        self.send(number)
        return self.wait(seconds)

    def kill(self) -> None:
        """-9, and gone."""
        # once it has been waited for its number is soon somebody else's: many machines have but 32,768
        if self._process.returncode is None:
            os.killpg(self.pid, signal.SIGKILL)
        self._process.wait()
        self._close()

    def _close(self) -> None:
        for reader in self._readers:
            reader.join(PATIENCE)
        for stream in (self._process.stdout, self._process.stderr):
            assert stream
            stream.close()


class Pipe:
    """A named pipe between jobs and the test: jobs write lines that the test waits for, or read lines that it gives."""

    def __init__(self, path: pathlib.Path) -> None:
        os.mkfifo(path)
        path.chmod(0o666)
        self.path = path
        self._descriptor = os.open(path, os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
        self._left = ""

    def give(self, lines: int) -> None:
        """So many of ``read go <pipe`` go on."""
        os.write(self._descriptor, b"\n" * lines)

    def take(self, number: int, seconds: float = PATIENCE) -> list[str]:
        """So many lines that jobs wrote (``echo word >pipe``)."""
        deadline = time.monotonic() + seconds
        while self._left.count("\n") < number:
            ready, _, _ = select.select([self._descriptor], [], [], max(0.0, deadline - time.monotonic()))
            assert ready, f"{self.path.name}: only {self._left.split()} instead of {number} lines in {seconds:.0f} s"
            self._left += os.read(self._descriptor, 65536).decode()
        *lines, rest = self._left.split("\n", number)
        self._left = rest
        return lines

    def rest(self) -> list[str]:
        """What is in it now, without waiting."""
        with contextlib.suppress(BlockingIOError):
            while piece := os.read(self._descriptor, 65536):
                self._left += piece.decode()
        lines, self._left = self._left.split("\n")[:-1], ""
        return lines

    def close(self) -> None:
        os.close(self._descriptor)


class Campaign:
    """One directory in which people work on productions."""

    def __init__(self, directory: pathlib.Path) -> None:
        self.directory = directory
        self.database = directory / "production.db"
        self.data = directory / "data"
        self.archive = directory / "archive"
        self.home = directory / "home"
        self.python = sys.executable
        self.root = ROOT
        self.environment = {
            **os.environ,
            "HOME": str(self.home),
            "PYTHONPATH": str(ROOT),
            "TERM": "dumb",
            "PYTHONUNBUFFERED": "1",
        }
        self._managers: list[Manager] = []
        self._pipes: list[Pipe] = []
        for made in (self.archive, self.home):
            made.mkdir(parents=True)

    # --- what is there ---------------------------------------------------------------------------------------------

    def settings(self, programs: str, **words: float) -> None:
        """Write production.toml: this campaign's places, some numbers, and the programs."""
        numbers = {"pause": 0.5, "lease": 10} | words
        lines = [
            'database = "production.db"',
            'data = "data"',
            'archive = "archive"',
            *(f"{key} = {value}" for key, value in numbers.items()),
        ]
        (self.directory / "production.toml").write_text("\n".join(lines) + "\n\n" + programs, encoding="utf-8")

    def one_file_at_a_time(self) -> None:
        """Raw files come in the order of their runs; side by side the second may be here before the first."""
        path = self.directory / "production.toml"
        text = path.read_text(encoding="utf-8")
        path.write_text(text.replace('archive = "archive"', 'archive = { url = "archive", transfers = 1 }'), "utf-8")

    def script(self, name: str, text: str) -> pathlib.Path:
        """An executable shell script. ``@`` in it is the campaign's directory, quoted."""
        path = self.directory / name
        path.write_text("#!/bin/sh\n" + text.replace("@", shlex.quote(str(self.directory))) + "\n", encoding="utf-8")
        path.chmod(0o755)
        return path

    def pipe(self, name: str) -> Pipe:
        """A named pipe in the campaign's directory."""
        pipe = Pipe(self.directory / name)
        self._pipes.append(pipe)
        return pipe

    def raw(self, runs: range, name: str = "run{:05d}.mid") -> None:
        """Raw files in the archive, each with its own content."""
        for run in runs:
            (self.archive / name.format(run)).write_text(f"raw data of run {run}\n")

    def begin(self, runs: str, *more: str, dataset: str = "Al100") -> None:
        """A database with these runs in it."""
        self.ok("init", str(self.database))
        self.ok("datasets", "add", *runs.split(), f"--dataset={dataset}", *more)

    # --- commands --------------------------------------------------------------------------------------------------

    def call(self, command: Sequence[str], user: User | None = None) -> Result:
        """Run any command in the campaign's directory."""
        return self.begun(command, user).wait()

    def begun(self, command: Sequence[str], user: User | None = None, **environment: str) -> Manager:
        """Start any command in the campaign's directory."""
        theirs = {"HOME": str(self.home / user.name), "USER": user.name, "LOGNAME": user.name} if user else {}
        manager = Manager(command, self.directory, self.environment | theirs | environment, user)
        self._managers.append(manager)
        return manager

    def product(self, *arguments: str, user: User | None = None) -> Result:
        """``production …``."""
        return self.call([self.python, "-m", "production", *arguments], user)

    def ok(self, *arguments: str, user: User | None = None) -> Result:
        """``production …``, which has to end well."""
        result = self.product(*arguments, user=user)
        assert result.code == 0, str(result)
        return result

    def run(self, *arguments: str, user: User | None = None) -> Result:
        """``run_production.py …`` to its end."""
        return self.start(*arguments, user=user).wait()

    def start(self, *arguments: str, before: Sequence[str] = (), user: User | None = None) -> Manager:
        """``run_production.py …``, behind other words such as ``nohup``."""
        return self.begun([*before, self.python, str(self.root / "run_production.py"), *arguments], user)

    # --- what became of it -----------------------------------------------------------------------------------------

    def rows(self, query: str, *parameters: object) -> list[tuple[object, ...]]:
        """Ask the database."""
        uri = "file:" + str(self.database).replace("%", "%25").replace("?", "%3f").replace("#", "%23") + "?mode=ro"
        with contextlib.closing(sqlite3.connect(uri, uri=True, timeout=30)) as connection:
            return connection.execute(query, parameters).fetchall()

    def one(self, query: str, *parameters: object) -> object:
        """The first field of the one row."""
        [(value,)] = self.rows(query, *parameters)
        return value

    def status(self, table: str) -> dict[int, str]:
        """{run: letter} of a production's table, ``prog_v1``."""
        return {int(str(run)): str(status) for run, status in self.rows(f'SELECT run, status FROM "{table}"')}

    def letters(self, table: str) -> str:
        """The letters of all runs, by number: ``FFFEN``."""
        return "".join(letter for _, letter in sorted(self.status(table).items()))

    def jobs(self) -> list[int]:
        """Pids of living processes that carry a mark of this campaign's database, and may be looked into."""
        id = str(self.one("SELECT id FROM catalogue")).encode()
        found = []
        for entry in os.listdir("/proc"):
            with contextlib.suppress(OSError):
                if entry.isdigit():
                    environment = pathlib.Path("/proc", entry, "environ").read_bytes().split(b"\0")
                    if any(word.startswith(b"RUN_PRODUCTION_MARK=") and id in word for word in environment):
                        found.append(int(entry))
        return found

    def leftovers(self) -> list[str]:
        """Files that no run should leave: partial ones, tickets, witnesses, work directories."""
        return sorted(
            str(path.relative_to(self.data))
            for path in self.data.rglob("*")
            if path.suffix in {".part", ".ticket", ".witness", ".revoked"}
            or (len(path.relative_to(self.data).parts) > 2 and path.relative_to(self.data).parts[0] == "work")
        )

    def nothing_in_hands(self) -> None:
        """No claim, no process, no half file is left."""
        flying = self.rows("SELECT run, state, owner FROM production_run WHERE owner IS NOT NULL")
        assert flying == []
        assert self.rows("SELECT path FROM transfer") == []
        assert self.rows("SELECT path FROM input WHERE ours") == []
        assert self.jobs() == []
        assert self.leftovers() == []

    def close(self) -> None:
        for manager in self._managers:
            manager.kill()
        with contextlib.suppress(sqlite3.Error, ValueError):  # a test that made no database has no jobs
            for pid in self.jobs():
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
        for pipe in self._pipes:
            pipe.close()


def until(true: Callable[[], bool], what: str, seconds: float = PATIENCE) -> None:
    """Poll, bounded: only for what neither says nor signals that it has happened. Each caller says why."""
    never = threading.Event()
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline, f"not in {seconds:.0f} s: {what}"
        never.wait(0.02)


class Names:
    """Every name that comes into a directory or leaves it, as the kernel tells it (inotify(7)): nothing is missed."""

    _COME = 0x00000080 | 0x00000100  # IN_MOVED_TO, IN_CREATE
    _GO = 0x00000040 | 0x00000200  # IN_MOVED_FROM, IN_DELETE

    def __init__(self, directory: pathlib.Path) -> None:
        libc = ctypes.CDLL(None, use_errno=True)
        self._descriptor = libc.inotify_init1(os.O_NONBLOCK | os.O_CLOEXEC)
        watch = libc.inotify_add_watch(self._descriptor, os.fsencode(directory), self._COME | self._GO)
        assert watch > 0, os.strerror(ctypes.get_errno())

    def events(self) -> list[tuple[bool, str]]:
        """(came, name), in order."""
        found = []
        with contextlib.suppress(BlockingIOError):
            while block := os.read(self._descriptor, 1 << 16):
                while block:
                    _, mask, _, length = struct.unpack_from("iIII", block)
                    name = os.fsdecode(block[16 : 16 + length].rstrip(b"\0"))
                    assert not mask & 0x4000, "inotify queue overflow"
                    found.append((bool(mask & self._COME), name))
                    block = block[16 + length :]
        return found

    def close(self) -> None:
        os.close(self._descriptor)
