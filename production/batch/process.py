"""Processes of jobs, as /proc shows them: told apart, watched for their end, and ended when a job left them behind.

A job's processes are known by its session, and those that left the session by the job's mark in their environment.
``local`` works with these; nothing here knows of tasks or reports.
"""

from __future__ import annotations

import contextlib
import dataclasses
import errno
import os
import re
import resource
import select
import signal
import time
from collections.abc import Collection, Iterator, Mapping

from production import process as processes

MARK = "RUN_PRODUCTION_MARK"
"""The environment variable with a job's mark."""

_PREFIX = MARK.encode() + b"="

_LOOKS = 20
_INSTANT = 0.001
"""So often, and so many seconds apart, a process in its exec is looked at again: that takes it a twentieth of the latter."""


@dataclasses.dataclass(frozen=True, slots=True)
class Identity:
    """One process, for ever: a pid alone is soon somebody else's. As text it is the job's id."""

    pid: int
    ticks: int
    boot: str
    host: str

    def __str__(self) -> str:
        return f"{self.pid}.{self.ticks}@{self.boot}/{self.host}"

    def of_this_boot(self) -> bool:
        """Whether this kernel runs or ran it, whatever the host was called then."""
        return self.boot == processes.boot_id()

    def state(self) -> str:
        """Its letter in proc(5), ``Z`` if it has ended; empty if it can't be seen."""
        seen = stat(self.pid)
        if seen is None:
            return ""
        return seen[0] if seen[1] == self.ticks else "Z"


def by_hand(job: str) -> str:
    """The command that ends a local job, with all that it started, and where."""
    identity = parse(job)
    return f"kill -KILL -- -{identity.pid} (on {identity.host})" if identity else "?"


def parse(text: str) -> Identity | None:
    """The inverse of ``str``; None if it is something else."""
    match = re.fullmatch(r"([1-9][0-9]{0,9})\.([0-9]{1,20})@([^/\s]{1,64})/(\S{1,255})", text)
    return Identity(int(match[1]), int(match[2]), match[3], match[4]) if match else None


def identify(pid: int) -> Identity | None:
    """The identity of a process of this machine that runs or hasn't been waited for."""
    seen = stat(pid)
    return Identity(pid, seen[1], processes.boot_id(), processes.host()) if seen else None


def stat(pid: int) -> tuple[str, int] | None:
    """State letter and start, in clock ticks since boot (proc(5), stat fields 3 and 22); also of zombies."""
    content = _read(f"/proc/{pid}/stat")
    fields = content.rpartition(b")")[2].split()
    return (fields[0].decode(), int(fields[19])) if len(fields) > 19 else None


def mark(pid: int) -> str | None:
    """The job's mark that this process was started with; None also if it may not be known."""
    content = _environment(pid)
    if _PREFIX not in content:
        return None
    marks = [entry[len(_PREFIX) :] for entry in content.split(b"\0") if entry.startswith(_PREFIX)]
    return os.fsdecode(marks[0]) if marks else None


def _environment(pid: int) -> bytes:
    """What it was started with. Who looks at a process in the middle of its exec finds nothing, and looks again."""
    content, looks = _read(f"/proc/{pid}/environ"), _LOOKS
    while not content and looks:
        if _has_one(pid):
            looks -= 1
            time.sleep(_INSTANT)
        else:
            looks = 0
        content = _read(f"/proc/{pid}/environ")
    return content


def _has_one(pid: int) -> bool:
    """Whether it has an environment, or is about to (proc(5), stat, fields 23, 26, 50 and 51).

    Zombies and the kernel's own have no memory; where we may not look it says 1; who wiped his has an empty one.
    """
    fields = _read(f"/proc/{pid}/stat").rpartition(b")")[2].split()
    return (
        len(fields) > 48
        and fields[20] != b"0"
        and fields[23] != b"1"
        and (fields[47] != fields[48] or fields[48] == b"0")
    )


def arguments(pid: int) -> list[str]:
    """Its argv."""
    return [os.fsdecode(word) for word in _read(f"/proc/{pid}/cmdline").split(b"\0")[:-1]]


def session(pid: int) -> int:
    """Pid of its session's first process; 0 if there is no such process."""
    try:
        return os.getsid(pid)
    except OSError:
        return 0


def pids() -> Iterator[int]:
    """Everything that runs here, but us."""
    me = os.getpid()
    return (pid for pid in map(int, filter(str.isdigit, os.listdir("/proc"))) if pid != me)


def marked(marks: Collection[str]) -> Iterator[tuple[int, str]]:
    """Pid and mark of all processes that carry one of these marks. Costs 20 µs for every process there is."""
    return ((pid, its) for pid in pids() if (its := mark(pid)) is not None and its in marks)


def exists(pid: int) -> bool:
    """Whether there is such a process, also where /proc doesn't show other users'."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass
    return True


def usage(sessions: Collection[int]) -> dict[int, tuple[float, int]]:
    """What the living processes of each session use: seconds of processor, resident bytes of the largest process.

    The seconds are those of the processes and of their ended children. Costs 0.1 ms for each process of a session.
    """
    import psutil

    used = dict.fromkeys(sessions, (0.0, 0))
    for pid in pids():
        leader = session(pid)
        if leader in used:
            with contextlib.suppress(psutil.Error):
                one = psutil.Process(pid)
                cpu, largest = used[leader]
                used[leader] = cpu + sum(one.cpu_times()[:4]), max(largest, one.memory_info().rss)
    return used


def send(group: int, *signals: signal.Signals) -> None:
    """Signal a process group; one that has ended or isn't ours is left as it is."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        for each in signals:
            os.killpg(group, each)


def group_exists(group: int) -> bool:
    """Whether anything is in the process group, zombies and other users' processes included."""
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass
    return True


def _ours(pid: int) -> bool:
    try:
        return os.stat(f"/proc/{pid}").st_uid == os.geteuid()
    except OSError:
        return False


def _read(path: str) -> bytes:
    """Content of a small file of /proc; empty if it can't be read, for whatever reason."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError as error:
        if isinstance(error, FileNotFoundError | ProcessLookupError | PermissionError):
            return b""
        raise
    try:
        pieces = []
        while piece := os.read(descriptor, 32768):
            pieces.append(piece)
        return b"".join(pieces)
    except OSError:
        return b""  # it ended while we read
    finally:
        os.close(descriptor)


class Watch:
    """The ends of processes, children or not: one descriptor that is readable when one of them has ended."""

    def __init__(self) -> None:
        self._epoll = select.epoll()
        self._descriptors: set[int] = set()
        self._limit = resource.getrlimit(resource.RLIMIT_NOFILE)[0] // 2

    def fileno(self) -> int:
        return self._epoll.fileno()

    def add(self, pid: int) -> int | None:
        """A pidfd for it; None if we have so many that the rest of the manager couldn't open its files.

        Raises: ProcessLookupError: there is no such process.
        """
        if len(self._descriptors) >= self._limit:
            return None
        try:
            descriptor = os.pidfd_open(pid)
        except OSError as error:
            if error.errno in (errno.EMFILE, errno.ENFILE):
                return None
            raise
        self._epoll.register(descriptor, select.EPOLLIN)
        self._descriptors.add(descriptor)
        return descriptor

    def ended(self) -> list[int]:
        """The pidfds of those that have ended, until they are removed."""
        return [descriptor for descriptor, _ in self._epoll.poll(0, max(1, len(self._descriptors)))]

    def wait(self, seconds: float) -> None:
        """Until one has ended, or the time is up."""
        self._epoll.poll(seconds, 1)

    def remove(self, descriptor: int) -> None:
        """Let go of a process."""
        self._descriptors.discard(descriptor)
        self._epoll.unregister(descriptor)
        os.close(descriptor)

    def close(self) -> None:
        for descriptor in self._descriptors:
            os.close(descriptor)
        self._descriptors.clear()
        self._epoll.close()


@dataclasses.dataclass(frozen=True, slots=True)
class _Stray:
    pid: int
    mark: str
    kill_at: float
    """Monotonic seconds."""


class Hunt:
    """Ends what jobs left behind: TERM, and KILL after a grace.

    A process is held by its pidfd before it is looked at a second time, so whatever is signalled is what was seen.
    Only processes of our own user are: root, too, keeps to its own.
    """

    def __init__(self, watch: Watch, grace: float) -> None:
        self._watch = watch
        self._grace = grace
        self._strays: dict[int, _Stray] = {}

    def search(
        self, marks: Collection[str], sessions: Mapping[int, str] | None = None, spare: Collection[int] = ()
    ) -> set[str]:
        """Those of the marks of which something still runs; what is new gets its TERM.

        ``sessions``, {session: mark}, are certain to be of these jobs alone; ``spare`` are groups left in peace.
        """
        known = {stray.pid for stray in self._strays.values()}
        found = self.marks() & set(marks)
        for pid in pids():
            its = None if pid in known else _belongs(pid, marks, sessions or {})
            if its is None or not _ours(pid) or _group(pid) in spare:
                continue
            found.add(its)
            with contextlib.suppress(ProcessLookupError):
                descriptor = self._watch.add(pid)
                if descriptor is not None:
                    self._strays[descriptor] = _Stray(pid, its, time.monotonic() + self._grace)
                    if _belongs(pid, marks, sessions or {}) == its:
                        _signal(descriptor, signal.SIGTERM, signal.SIGCONT)
                    else:
                        self.ended(descriptor)
        return found

    def press(self, now: float, marks: Collection[str] | None = None) -> None:
        """KILL those (of these marks) whose grace is over at this monotonic time; again and again does no harm."""
        for descriptor, stray in self._strays.items():
            if now >= stray.kill_at and (marks is None or stray.mark in marks):
                _signal(descriptor, signal.SIGKILL)

    def marks(self) -> set[str]:
        """Marks of which something known still runs."""
        return {stray.mark for stray in self._strays.values()}

    def ended(self, descriptor: int) -> None:
        """What the watch said of this stray."""
        if self._strays.pop(descriptor, None) is not None:
            self._watch.remove(descriptor)


def _belongs(pid: int, marks: Collection[str], sessions: Mapping[int, str]) -> str | None:
    """The mark of the job whose process this is; None also for zombies."""
    leader = session(pid)
    if leader in sessions:
        return None if (stat(pid) or "Z")[0] == "Z" else sessions[leader]
    its = mark(pid)
    return its if its in marks else None


def _group(pid: int) -> int:
    try:
        return os.getpgid(pid)
    except OSError:
        return 0


def _signal(descriptor: int, *signals: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        for each in signals:
            signal.pidfd_send_signal(descriptor, each)
