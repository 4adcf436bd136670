"""A log as a file that is read by range, wherever it lies: on a disk of ours, or on one that only another machine sees.

In comes the path as the database has it: ``/data/log/x.out``, or ``sftp://[user@]host[:port]/data/log/x.out``, percent-encoded.
Out goes a ``File`` of the moment. Before it is ``logs``; behind it ``disk``, and ``afar`` for what is elsewhere.
"""

from __future__ import annotations

import contextlib
import dataclasses
import os
import urllib.parse
from collections.abc import Callable, Iterator
from typing import Protocol

from production import disk

SCHEME = "sftp://"
PAUSE = 2.0
"""Seconds between two looks at a log on another machine, at least: each is a command there."""


class Away(disk.Trouble):
    """A log that can't be read because of the way to it."""

    def __init__(self, path: str, why: str, *, transient: bool = True) -> None:
        super().__init__("read", path, OSError(0, why))
        self.why = why
        self.transient = transient


class File(Protocol):
    """A log as it was found."""

    @property
    def size(self) -> int:
        """Bytes."""
        ...

    @property
    def identity(self) -> tuple[int, int]:
        """Device, as far as it is known, and inode: others than before, and it is another file."""
        ...

    def read(self, begin: int, end: int) -> bytes:
        """What is still there of these bytes. Raises: disk.Trouble."""
        ...

    def stretch(self, begin: int, end: int, word: bytes, *, folds: bool, down: bool) -> tuple[int, int]:
        """The next part, beginning at ``begin`` or going up from ``end``, that is worth looking through for a word.

        What lies on the way to it hasn't got the word; an empty part is how far that is certain.
        ``folds``: also in capitals, of ASCII. Raises: disk.Trouble.
        """
        ...


class Afar(Protocol):
    """The logs on other machines."""

    def open(self, path: str, begin: int, end: int, wanted: Callable[[], bool]) -> File:
        """``begin`` and ``end``: what will be read first, so that it comes at once; from the log's end if negative, 0.

        ``wanted``: asked while it takes its time; False ends it. Raises: disk.Trouble.
        """
        ...


def elsewhere(path: str) -> bool:
    """Whether only another machine sees it."""
    return path.startswith(SCHEME)


def split(path: str) -> tuple[str, str]:
    """The host as the settings write it, and the path there."""
    host, slash, rest = path.removeprefix(SCHEME).partition("/")
    return host, os.fsdecode(urllib.parse.unquote_to_bytes(slash + rest))


def pause(path: str) -> float:
    """Seconds that are to lie between two looks at it, at least."""
    return PAUSE if elsewhere(path) else 0.0


def always() -> bool:
    """Somebody wants it."""
    return True


@dataclasses.dataclass(frozen=True, slots=True)
class Reach:
    """Opens logs, for somebody who may lose interest."""

    afar: Afar | None = None
    """None: whoever looks reaches no other machine."""
    wanted: Callable[[], bool] = always

    def wanting(self, wanted: Callable[[], bool]) -> Reach:
        """The same, as long as this is so."""
        return dataclasses.replace(self, wanted=wanted)

    @contextlib.contextmanager
    def open(self, path: str, begin: int = 0, end: int = 0) -> Iterator[File]:
        """See ``Afar.open``. Raises: disk.Trouble."""
        if elsewhere(path):
            if self.afar is None:
                raise Away(path, "it is on another machine, which nobody asks from here", transient=False)
            yield self.afar.open(path, begin, end, self.wanted)
            return
        with disk.reading(path) as (descriptor, state):
            yield _Here(path, descriptor, state)

    def size(self, path: str | None) -> int:
        """Bytes; 0 if it can't be told. Raises: Away."""
        if not path:
            return 0
        if not elsewhere(path):
            with contextlib.suppress(OSError):
                return os.stat(path).st_size
            return 0
        try:
            with self.open(path) as log:
                return log.size
        except Away:
            raise
        except disk.Trouble:
            return 0


HERE = Reach()


class _Here:
    """A log on a disk of ours. It ends where it ended when it was opened; it may be cut off under us."""

    def __init__(self, path: str, descriptor: int, state: os.stat_result) -> None:
        self.size = state.st_size
        self.identity = (state.st_dev, state.st_ino)
        self._path = path
        self._descriptor = descriptor

    def read(self, begin: int, end: int) -> bytes:
        parts, end = [], min(end, self.size)
        while begin < end:
            with disk.trying("read", self._path):
                part = os.pread(self._descriptor, end - begin, begin)
            if not part:
                break
            parts.append(part)
            begin += len(part)
        return parts[0] if len(parts) == 1 else b"".join(parts)

    def stretch(self, begin: int, end: int, _word: bytes, *, folds: bool, down: bool) -> tuple[int, int]:  # noqa: ARG002
        return block(begin, end, down=down)


def block(begin: int, end: int, *, down: bool) -> tuple[int, int]:
    """The first or last block of a part."""
    return (begin, min(end, begin + disk.BLOCK)) if down else (max(begin, end - disk.BLOCK), end)
