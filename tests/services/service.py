"""What the test clusters have in common: a directory that is all their state, a user for the jobs, a command line."""

from __future__ import annotations

import abc
import argparse
import contextlib
import fcntl
import json
import os
import pathlib
import pwd
import shlex
import signal
import subprocess
import sys
import types
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import ClassVar, Self

from tests.services import daemon, packages

USER = "rpjobs"
"""Whose jobs they are. Made when lacking, and left: another cluster of the tests may be using it."""


class Service(abc.ABC):
    """Several programs in one directory, which everybody may enter; the next process can end what this one began.

    A directory that was stopped may be started again and knows its jobs; one that is running refuses.
    """

    programs: ClassVar[Mapping[str, str]]
    """What it is made of, and the package each is in."""

    user = USER

    def __init__(self, directory: pathlib.Path | str) -> None:
        self.directory = pathlib.Path(directory).resolve()

    @classmethod
    def unable(cls) -> str:
        """Why it can't be had here; empty if it can."""
        if reason := packages.unable(cls.programs):
            return reason
        return "" if os.geteuid() == 0 else "the right to start it (root)"

    @classmethod
    def standing(cls) -> str:
        """For the report's header."""
        if reason := cls.unable():
            return f"missing {reason}"
        lacking = packages.missing(cls.programs)
        return f"installs {', '.join(lacking)} when asked for" if lacking else "here"

    @abc.abstractmethod
    def _begin(self) -> dict[str, str]:
        """Everything up and answering; the variables that clients need."""

    @abc.abstractmethod
    def _end_jobs(self) -> None:
        """Ask for the end of every job, while there is still somebody to ask."""

    @abc.abstractmethod
    def _strays(self) -> Iterator[int]:
        """The processes of jobs that the cluster itself didn't end."""

    @abc.abstractmethod
    def daemons(self) -> list[daemon.Daemon]:
        """In the order in which they are to be stopped."""

    @abc.abstractmethod
    def stop_controller(self) -> None: ...

    @abc.abstractmethod
    def start_controller(self) -> None: ...

    @abc.abstractmethod
    def kill_node(self, number: int) -> None: ...

    @abc.abstractmethod
    def start_node(self, number: int) -> None: ...

    def start(self) -> None:
        """Install what lacks, then start; what came up of one that fails is stopped."""
        reason = self.unable()
        assert not reason, f"missing: {reason}"
        packages.install(self.programs)
        with self._locked():
            running = [name for name, alive in self.status().items() if alive]
            assert not running, f"{self.directory} is in use: {', '.join(running)} running"
            _make_user(self.user)
            try:
                self._environment_file.write_text(json.dumps(self._begin()))
            except BaseException:
                self._end()
                raise

    def stop(self) -> None:
        """Nothing of it runs afterwards, jobs included, however far the start had come."""
        if not self.directory.exists():
            return
        with self._locked():
            if self._environment_file.exists():
                with contextlib.suppress(subprocess.SubprocessError):
                    self._end_jobs()
            self._end()

    def discard(self) -> None:
        """As ``stop``, for a directory that nobody starts again; sooner, if that can be."""
        self.stop()

    def _end(self) -> None:
        for each in self.daemons():
            each.stop()
        for pid in self._strays():
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        daemon.until("every job's process is gone", lambda: not list(self._strays()), 10)
        self._environment_file.unlink(missing_ok=True)

    def status(self) -> dict[str, bool]:
        return {each.name: each.alive() for each in self.daemons()}

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: types.TracebackType | None
    ) -> None:
        self.discard()

    @property
    def environment(self) -> dict[str, str]:
        """The variables that clients need, whoever started it."""
        return dict(json.loads(self._environment_file.read_text()))

    def run(
        self,
        *argv: str | pathlib.Path,
        check: bool = True,
        input: str = "",
        environment: Mapping[str, str] | None = None,
    ) -> subprocess.CompletedProcess[str]:
        """A client's command as the jobs' user, in that user's directory."""
        who = pwd.getpwnam(self.user)
        of_user = {"HOME": str(self.home), "USER": self.user, "LOGNAME": self.user, "LANG": "C.UTF-8"}
        return subprocess.run(
            [str(each) for each in argv],
            user=who.pw_uid, group=who.pw_gid, extra_groups=[], umask=0o022, cwd=self.home,
            env={"PATH": packages.PLACES} | of_user | self.environment | dict(environment or {}),
            input=input, capture_output=True, text=True, check=check, timeout=60,
        )  # fmt: skip

    @property
    def home(self) -> pathlib.Path:
        """The user's directory here: where jobs are submitted and leave what they print."""
        return self.directory / "home"

    def _make_place(self) -> None:
        """The directory and the user's in it; whoever a daemon runs as has to get there."""
        blocked = [path for path in self.directory.parents if not path.stat().st_mode & 0o001]
        assert not blocked, (
            f"{blocked[0]} can't be entered by everybody, so the cluster's users don't reach {self.directory}"
        )
        self.directory.chmod(0o755)
        who = pwd.getpwnam(self.user)
        self._owned("home", who.pw_name)

    def _owned(self, name: str, user: str, mode: int = 0o755) -> pathlib.Path:
        """A directory of that user's."""
        path = self.directory / name
        path.mkdir(exist_ok=True)
        path.chmod(mode)
        who = pwd.getpwnam(user)
        os.chown(path, who.pw_uid, who.pw_gid)
        return path

    @property
    def _environment_file(self) -> pathlib.Path:
        return self.directory / "environment.json"

    @contextlib.contextmanager
    def _locked(self) -> Iterator[None]:
        self.directory.mkdir(parents=True, exist_ok=True)
        with (self.directory / "lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield


def _make_user(name: str) -> None:
    try:
        assert pwd.getpwnam(name).pw_uid >= 1000, f"{name} is a user of the system's: Grid Engine takes none below 1000"
    except KeyError:
        subprocess.run(["useradd", "-m", "-U", "-s", "/bin/sh", name], check=True, capture_output=True)


def ask(*argv: str | pathlib.Path, environment: Mapping[str, str], user: str | None = None) -> str:
    """What a program of the cluster says to its administrator; its complaint if it fails."""
    words = [str(each) for each in argv]
    done = subprocess.run(
        words, env=dict(environment), user=user, extra_groups=[] if user else None, cwd="/", stdin=subprocess.DEVNULL,
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert done.returncode == 0, f"{' '.join(words)}: {(done.stderr or done.stdout).strip()}"
    return done.stdout


def main(make: Callable[[argparse.Namespace], Service], parser: argparse.ArgumentParser, words: Sequence[str]) -> int:
    """``start`` prints what a shell is to evaluate; ``status`` is 0 if all of it runs."""
    parser.add_argument("what", choices=["start", "stop", "status"])
    parser.add_argument("directory", help="all its state; everybody must be able to enter it")
    said = parser.parse_args(words)
    one = make(said)
    if said.what == "stop":
        one.stop()
        return 0
    if said.what == "start":
        one.start()
        for name, value in one.environment.items():
            print(f"export {name}={shlex.quote(value)}")
        return 0
    status = one.status()
    for name, alive in status.items():
        print(f"{name}: {'running' if alive else 'stopped'}")
    return 0 if status and all(status.values()) else 1


def exits(make: Callable[[argparse.Namespace], Service], parser: argparse.ArgumentParser | None = None) -> None:
    try:
        sys.exit(main(make, parser or argparse.ArgumentParser(), sys.argv[1:]))
    except AssertionError as error:
        sys.exit(str(error))
