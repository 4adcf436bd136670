"""What is found at a path: a file, how large, with which checksum; or why that can't be told.

Looked at by a few threads, since a network file system takes its time for each name; what is told as missing was missed
in its directory's listing, too: a "no" may be an old one.
"""

from __future__ import annotations

import dataclasses
import enum
import functools
import os
import pwd
import queue
import stat
import threading
import zlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TypeVar

from production import disk, threads

WIDTH = 8
"""Threads; to ask one disk for more at a time helps nobody."""
READERS = 4
"""Threads that read whole files."""
TOGETHER = 64
"""Paths that a thread takes at a time."""
PATIENCE = 2.0
"""Seconds that hanging threads are waited for at the end."""

Thing = TypeVar("Thing")


class Lack(enum.Enum):
    """Why there is no file to be seen."""

    MISSING = enum.auto()
    NO_FILE = enum.auto()
    CLOSED = enum.auto()
    UNREAD = enum.auto()


@dataclasses.dataclass(frozen=True, slots=True)
class Seen:
    """What was found at a path."""

    lack: Lack | None = None
    what: str = ""
    """What lacks, for people; of ``CLOSED`` the place that is shut."""
    bytes: int = 0
    checksum: str = ""
    """Empty: not asked for."""


class Sight:
    """The threads that look."""

    def __init__(self) -> None:
        self.told: Callable[[], None] = lambda: None
        """Called now and then while something is looked at."""
        self._crew = threads.Crew("audit", WIDTH, lambda: None)
        self._readers = threads.Crew("audit-read", READERS, lambda: None)
        self._lock = threading.Lock()
        self.read = 0
        """Bytes, so far."""
        self.looked = 0
        """Files, so far."""

    def look(self, things: Sequence[tuple[str, bool, Thing]]) -> Iterator[tuple[Thing, Seen]]:
        """Look at (path, whether its checksum is wanted, whatever it belongs to); as they come, in any order."""
        missing: list[tuple[str, bool, Thing]] = []
        for thing, seen in self._all(things):
            if seen.lack is Lack.MISSING:
                missing.append(thing)
            else:
                yield thing[2], seen
        there = listed(path for path, _, _ in missing) if missing else set()
        for path, whole, belonging in missing:
            yield belonging, self._look(path, whole) if path in there else _glance(path)

    def _all(self, things: Sequence[tuple[str, bool, Thing]]) -> Iterator[tuple[tuple[str, bool, Thing], Seen]]:
        done: queue.SimpleQueue[list[tuple[tuple[str, bool, Thing], Seen]]] = queue.SimpleQueue()
        brief = [thing for thing in things if not thing[1]]
        lots = [brief[at : at + TOGETHER] for at in range(0, len(brief), TOGETHER)]
        for lot in lots:
            self._crew.give(functools.partial(self._work, lot, done))
        long = [[thing] for thing in things if thing[1]]
        for lot in long:
            self._readers.give(functools.partial(self._work, lot, done))
        for _ in range(len(lots) + len(long)):
            yield from self._next(done)

    def _next(self, done: queue.SimpleQueue[list[Thing]]) -> list[Thing]:
        while True:
            self.told()
            try:
                return done.get(timeout=1.0)
            except queue.Empty:
                pass

    def _work(
        self, lot: list[tuple[str, bool, Thing]], done: queue.SimpleQueue[list[tuple[tuple[str, bool, Thing], Seen]]]
    ) -> None:
        found = []
        for thing in lot:
            try:
                seen = self._look(thing[0], thing[1])
            except Exception as error:  # noqa: BLE001  whatever it is, the next file is looked at
                seen = Seen(Lack.UNREAD, f"{disk.shown(thing[0])}: {disk.first_line(error)}")
            found.append((thing, seen))
        with self._lock:
            self.looked += len(lot)
        done.put(found)

    def _look(self, path: str, whole: bool) -> Seen:
        seen = _glance(path)
        if seen.lack or not whole:
            return seen
        checksum, count = 1, 0
        try:
            with disk.reading(path) as (descriptor, status):
                for block in disk.blocks(descriptor, path, status.st_size):
                    checksum = zlib.adler32(block, checksum)
                    count += len(block)
                    with self._lock:
                        self.read += len(block)
                    if self._readers.dismissed:
                        break
        except disk.Trouble as trouble:
            return Seen(Lack.MISSING if trouble.missing else Lack.UNREAD, str(trouble))
        return Seen(bytes=count, checksum=f"adler32:{checksum:08x}")

    def close(self) -> None:
        """End at the next block; who hangs is left behind."""
        self._crew.dismiss(PATIENCE)
        self._readers.dismiss(PATIENCE)


def _glance(path: str) -> Seen:
    try:
        status = os.stat(path)
    except (FileNotFoundError, NotADirectoryError):
        what = "is a symbolic link that leads nowhere" if os.path.islink(path) else "is not there"
        return Seen(Lack.MISSING, f"{disk.shown(path)} {what}")
    except PermissionError:
        return Seen(Lack.CLOSED, shut(path))
    except (OSError, ValueError) as error:  # a path from an old database may be anything
        why = error.strerror if isinstance(error, OSError) else str(error)
        return Seen(Lack.UNREAD, f"{disk.shown(path)}: {why}")
    if not stat.S_ISREG(status.st_mode):
        return Seen(Lack.NO_FILE, "a directory" if stat.S_ISDIR(status.st_mode) else "a device, pipe or socket")
    return Seen(bytes=status.st_size)


def shut(path: str) -> str:
    """The first directory on the way to a path that doesn't let us through."""
    at = "/"
    for part in filter(None, os.path.dirname(path).split("/")):
        at = os.path.join(at, part)
        if not os.access(at, os.X_OK, effective_ids=True):
            return at
    return at


def whose(path: str) -> str:
    """Who owns it; empty, if that can't be told."""
    try:
        number = os.lstat(path).st_uid
    except OSError:
        return ""
    try:
        return pwd.getpwuid(number).pw_name
    except KeyError:
        return str(number)


def listed(paths: Iterable[str]) -> set[str]:
    """Those of the paths that their directories' listings have."""
    names: dict[str, set[str]] = {}
    for path in paths:
        directory, name = os.path.split(path)
        names.setdefault(directory, set()).add(name)
    found: set[str] = set()
    for directory, wanted in names.items():
        try:
            with os.scandir(directory) as entries:
                found.update(os.path.join(directory, entry.name) for entry in entries if entry.name in wanted)
        except (OSError, ValueError):
            pass  # then it says nothing else than the name itself did
    return found
