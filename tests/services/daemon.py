"""A program that stays: in a session of its own, known by its pid file alone, so that any later process can end it."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import pathlib
import signal
import socket
import subprocess
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence

TICK = 0.02
"""Seconds between two looks."""

# Run by sh: the pid and when it began (a pid alone may be somebody else's later) are there before this returns.
LAUNCH = """
pid=$1 log=$2; shift 2
setsid "$@" </dev/null >>"$log" 2>&1 &
echo $! $(sed 's/.*) //' /proc/$!/stat | cut -d' ' -f20) >"$pid"
"""


@dataclasses.dataclass(frozen=True, slots=True)
class Daemon:
    """One program of a service; its directory has ``NAME.pid`` and ``NAME.log``."""

    name: str
    directory: pathlib.Path

    @property
    def log(self) -> pathlib.Path:
        return self.directory / f"{self.name}.log"

    @property
    def _pid_file(self) -> pathlib.Path:
        return self.directory / f"{self.name}.pid"

    def start(self, argv: Sequence[str | pathlib.Path], environment: Mapping[str, str], user: str = "root") -> None:
        """It must stay in the foreground, where it would rather fork away its pid would be unknown."""
        assert not self.alive(), f"{self.name} is already running in {self.directory}"
        words = ["sh", "-c", LAUNCH, "sh", str(self._pid_file), str(self.log)]
        if user != "root":
            words += ["setpriv", f"--reuid={user}", f"--regid={user}", "--init-groups", "--"]
        self.directory.mkdir(exist_ok=True)
        subprocess.run([*words, *map(str, argv)], env=dict(environment), cwd="/", check=True, timeout=30, umask=0o022)

    def alive(self) -> bool:
        return bool(self.pid())

    def pid(self) -> int:
        """0 when it isn't there any more; one that only waits to be reaped isn't either."""
        try:
            pid, began = self._pid_file.read_text().split()
        except (FileNotFoundError, ValueError):
            return 0
        return int(pid) if _began(int(pid)) == began else 0

    def send(self, number: signal.Signals) -> None:
        if pid := self.pid():
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, number)

    def stop(self, number: signal.Signals = signal.SIGTERM, seconds: float = 20) -> None:
        """Asked first, killed if it doesn't go; it is gone when this returns."""
        self.send(number)
        if not waited(lambda: not self.alive(), seconds):
            self.send(signal.SIGKILL)
            until(f"{self.name} is gone", lambda: not self.alive(), 10)
        self._pid_file.unlink(missing_ok=True)

    def until(self, what: str, met: Callable[[], bool], seconds: float = 20) -> None:
        """Wait for something of its doing; its log's last lines say why it never came."""
        came = waited(lambda: met() or not self.alive(), seconds)
        if not came or not self.alive():
            said = self.log.read_text(errors="replace").splitlines()[-5:]
            why = "it ended" if came else f"not in {seconds:.0f} s"
            raise AssertionError(f"waited until {what}: {why}; {self.name} said: {said}")


def _began(pid: int) -> str:
    try:
        text = pathlib.Path(f"/proc/{pid}/stat").read_text(errors="replace")
    except (FileNotFoundError, ProcessLookupError):
        return ""
    words = text.rpartition(")")[2].split()
    return "" if words[0] in "ZX" else words[19]


def strays(variable: str, names: Sequence[str], uid: int) -> Iterator[int]:
    """Processes with this in their environment that are this user's or are called so: what a cluster's jobs leave."""
    for place in pathlib.Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if f"{variable}\0".encode() not in (place / "environ").read_bytes() + b"\0":
                continue
            called = (place / "comm").read_text().strip()
            if (place.stat().st_uid == uid or called in names) and _began(int(place.name)):
                yield int(place.name)


def waited(met: Callable[[], bool], seconds: float) -> bool:
    """Whether it came true in time."""
    pause = threading.Event()
    for _ in range(max(1, int(seconds / TICK))):
        if met():
            return True
        pause.wait(TICK)
    return met()


def until(what: str, met: Callable[[], bool], seconds: float = 20) -> None:
    assert waited(met, seconds), f"waited until {what}: not in {seconds:.0f} s"


def listens(path: pathlib.Path) -> bool:
    """Whether somebody answers at this socket; it is there a moment before."""
    with socket.socket(socket.AF_UNIX) as one:
        try:
            one.connect(str(path))
        except OSError:
            return False
        return True


def free_ports(count: int) -> list[int]:
    """Ports of loopback that nobody has, all different."""
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [int(each.getsockname()[1]) for each in sockets]
