"""What is found at a path: a file, how large, with which checksum; or why that can't be told.

Looked at by a few threads, since a network file system takes its time for each name; what is told as missing was missed
in its directory's listing, too: a "no" may be an old one.
"""

from __future__ import annotations

import contextlib
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
Found = TypeVar("Found")


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

    def look(
        self, things: Sequence[tuple[str, bool, Thing]], *, anew: bool = False
    ) -> Iterator[tuple[Thing, Seen]]:  # fmt: skip
        """Look at (path, whether it is read, whatever it belongs to); as they come, those that are read last.

        ``anew``: what a network file system remembers of a file won't do.
        """
        missing, reading = [], []
        for thing, seen in self._all(self._crew, _glance_anew if anew else _glance, things, TOGETHER):
            if seen.lack is Lack.MISSING:
                missing.append(thing)
            elif thing[1] and not seen.lack:
                reading.append(thing)
            else:
                yield thing[2], seen
        there = listed(path for path, _, _ in missing) if missing else set()
        for path, _, belonging in missing:
            yield belonging, _glance(path) if path in there else Seen(Lack.MISSING, _absent(path))
        yield from ((thing[2], seen) for thing, seen in self._all(self._readers, self._read, reading, 1))

    def _all(
        self,
        crew: threads.Crew,
        deed: Callable[[str], Seen],
        things: Sequence[tuple[str, bool, Thing]],
        together: int,
    ) -> Iterator[tuple[tuple[str, bool, Thing], Seen]]:
        done: queue.SimpleQueue[list[tuple[tuple[str, bool, Thing], Seen]]] = queue.SimpleQueue()
        lots = [things[at : at + together] for at in range(0, len(things), together)]
        for lot in lots:
            crew.give(functools.partial(self._work, deed, lot, done))
        for _ in lots:
            yield from self._next(done)

    def _next(self, done: queue.SimpleQueue[list[Found]]) -> list[Found]:
        while True:
            self.told()
            try:
                return done.get(timeout=1.0)
            except queue.Empty:
                pass  # a disk that takes its time; Ctrl-C is heard meanwhile

    def _work(
        self,
        deed: Callable[[str], Seen],
        lot: Sequence[tuple[str, bool, Thing]],
        done: queue.SimpleQueue[list[tuple[tuple[str, bool, Thing], Seen]]],
    ) -> None:
        found = []
        for thing in lot:
            try:
                seen = deed(thing[0])
            except Exception as error:  # noqa: BLE001  whatever it is, the next file is looked at
                seen = Seen(Lack.UNREAD, f"{disk.shown(thing[0])}: {disk.first_line(error)}")
            found.append((thing, seen))
        with self._lock:
            self.looked += len(lot) if deed in (_glance, _glance_anew) else 0
        done.put(found)

    def _read(self, path: str) -> Seen:
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
        return Seen(Lack.MISSING, _absent(path))
    except PermissionError:
        return Seen(Lack.CLOSED, shut(path))
    except (OSError, ValueError) as error:  # a path from an old database may be anything
        why = error.strerror if isinstance(error, OSError) else str(error)
        return Seen(Lack.UNREAD, f"{disk.shown(path)}: {why}")
    if not stat.S_ISREG(status.st_mode):
        return Seen(Lack.NO_FILE, "a directory" if stat.S_ISDIR(status.st_mode) else "a device, pipe or socket")
    return Seen(bytes=status.st_size)


def _glance_anew(path: str) -> Seen:
    if _glance(path).lack is None:
        with contextlib.suppress(OSError):  # its server is asked at an open, and only there
            os.close(os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC))
    return _glance(path)


def _absent(path: str) -> str:
    what = "is a symbolic link that leads nowhere" if os.path.islink(path) else "is not there"
    return f"{disk.shown(path)} {what}"


def shut(path: str) -> str:
    """The first directory on the way to a path that doesn't let us through, by its true name."""
    at = "/"
    for part in filter(None, os.path.dirname(path).split("/")):
        at = os.path.join(at, part)
        if not os.access(at, os.X_OK, effective_ids=True):
            break
    return os.path.realpath(at)


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
