"""How full a disk is: asked of a program of the site, added up below a directory, or asked of the file system.

The disk is one of ours (``Here``), or one that only another machine sees (``Elsewhere``). Each is read once a call, from a thread;
next is ``quota``, which says when and remembers. In comes nothing, out go bytes, or QuotaUnread with one line for the shift.
"""

from __future__ import annotations

import errno
import os
import shlex
from collections.abc import Callable, Sequence
from typing import Protocol, TypeVar

from production import child, disk, errors
from production.transfer import replies

_SECONDS = 30.0
_WALK = 600.0
"""Seconds that a directory on another machine may take."""
_BLOCK = 512
"""Bytes; st_blocks counts these, whatever the file system's own blocks are (stat(2))."""
_HOME = """case $1 in '~/'*) set -- "$HOME/${1#??}" ;; esac"""
"""For sh: a path that is below the account's HOME."""
_STANDING = """d=$1; while [ ! -e "$d" ] && [ "$d" != / ]; do d=$(dirname -- "$d"); done"""
"""For sh: as ``standing``."""

_NOT_COUNTED = tuple(f": {os.strerror(number)}" for number in (errno.EACCES, errno.ENOENT, errno.ENOTDIR, errno.ESTALE))
"""How lines end that du says of what isn't for us, or has just gone."""

Told = TypeVar("Told")
Run = Callable[[Sequence[str], float, Callable[[], bool]], child.End]
"""(argv, seconds, whether to give up): runs a program. Raises: OSError or ProductionError: it could not be run."""


class Place(Protocol):
    """The disk under the data directory, and the machine that sees it."""

    @property
    def where(self) -> str:
        """What is said behind a program's name; nothing if it runs here."""
        ...

    def run(self, argv: Sequence[str], seconds: float, leaving: Callable[[], bool]) -> child.End:
        """Run a program. Raises: OSError, ProductionError."""
        ...

    def filesystem(self, leaving: Callable[[], bool]) -> tuple[int, int]:
        """Bytes used, and the size, as ``df`` has them. Raises: QuotaUnread."""
        ...

    def sum(self, leaving: Callable[[], bool]) -> replies.Usage:
        """What the directory holds. Raises: QuotaUnread."""
        ...

    def user(self, leaving: Callable[[], bool]) -> str:
        """Who we are there: a number. Raises: QuotaUnread."""
        ...

    def standing(self, leaving: Callable[[], bool]) -> str:
        """The directory, or the nearest above it that is there. Raises: QuotaUnread."""
        ...

    def mount_point(self, leaving: Callable[[], bool]) -> str:
        """Where its file system is mounted. Raises: QuotaUnread."""
        ...


class Here:
    """A disk of this machine."""

    where = ""

    def __init__(self, data: str) -> None:
        self._data = data

    def run(self, argv: Sequence[str], seconds: float, leaving: Callable[[], bool]) -> child.End:
        return child.run(argv, seconds, leaving, apart=True, variables={"LC_ALL": "C"})

    def filesystem(self, _leaving: Callable[[], bool]) -> tuple[int, int]:
        return filesystem(self._data)

    def sum(self, leaving: Callable[[], bool]) -> replies.Usage:
        return Directory(self._data)(leaving)

    def user(self, _leaving: Callable[[], bool]) -> str:
        return str(os.geteuid())

    def standing(self, _leaving: Callable[[], bool]) -> str:
        return standing(self._data)

    def mount_point(self, _leaving: Callable[[], bool]) -> str:
        return mount_point(self._data)

    def __str__(self) -> str:
        return disk.shown(self._data)


class Elsewhere:
    """A disk of another machine, asked with the commands that POSIX has there."""

    def __init__(self, data: str, host: str, run: Run) -> None:
        """``data``: the path there; ``~/`` is the account's HOME."""
        self._data = data
        self.where = f" on {host}"
        self.run = run

    def filesystem(self, leaving: Callable[[], bool]) -> tuple[int, int]:
        used, size, _ = self._df(leaving)
        return used, size

    def mount_point(self, leaving: Callable[[], bool]) -> str:
        return self._df(leaving)[2]

    def _df(self, leaving: Callable[[], bool]) -> tuple[int, int, str]:
        return self._ask("df", f'{_STANDING}; exec df -Pk -- "$d"', leaving, replies.parse_df)

    def sum(self, leaving: Callable[[], bool]) -> replies.Usage:
        counting = 'if [ -e "$1" ]; then exec du -skx -- "$1"; else echo "0 $1"; fi'
        return self._ask("du", counting, leaving, replies.parse_du, _WALK), None

    def user(self, leaving: Callable[[], bool]) -> str:
        return self._ask("id", "exec id -u", leaving, str.strip)

    def standing(self, leaving: Callable[[], bool]) -> str:
        return self._ask("dirname", f"{_STANDING}; printf '%s' \"$d\"", leaving, str)

    def _ask(
        self,
        name: str,
        script: str,
        leaving: Callable[[], bool],
        parse: Callable[[str], Told],
        seconds: float = _SECONDS,
    ) -> Told:
        """What a script says of the directory. Raises: QuotaUnread."""
        try:
            end = self.run(["sh", "-c", f"{_HOME}; {script}", "sh", self._data], seconds, leaving)
            if not _passed_over(end) and (problem := child.problem(end, seconds, leaving)):
                raise errors.QuotaUnread(f"{name}: {problem}")
            return parse(os.fsdecode(end.said))
        except (OSError, errors.ProductionError) as trouble:
            raise errors.QuotaUnread(f"{self}: {trouble}") from trouble

    def __str__(self) -> str:
        return f"{disk.shown(self._data)}{self.where}"


def _passed_over(end: child.End) -> bool:
    """Whether a program complained of nothing but files that are not for us, or have just gone."""
    lines = end.complained.decode(errors="replace").splitlines()
    return end.status == 1 and bool(lines) and all(line.endswith(_NOT_COUNTED) for line in lines)


class Command:
    """A program of the site that prints quotas."""

    def __init__(
        self,
        argv: Sequence[str],
        parse: Callable[[str], replies.Usage],
        *,
        run: Run,
        where: str = "",
        over: bool = False,
        seconds: float = _SECONDS,
    ) -> None:
        """``where``: behind its name, on which machine; ``over``: it ends with 1 where a quota is exceeded, and marks it with ``*``; ``seconds``: its time limit."""
        self._argv = tuple(argv)
        self._parse = parse
        self._run = run
        self._where = where
        self._over = over
        self._seconds = seconds

    def __call__(self, leaving: Callable[[], bool]) -> replies.Usage:
        """Raises: QuotaUnread."""
        try:
            end = self._run(self._argv, self._seconds, leaving)
        except OSError as error:
            raise errors.QuotaUnread(f"cannot run {self}: {error.strerror} (is it on the PATH?)") from error
        except errors.ProductionError as trouble:
            raise errors.QuotaUnread(f"cannot run {self}: {trouble}") from trouble
        if not self._exceeded(end) and (problem := child.problem(end, self._seconds, leaving)):
            raise errors.QuotaUnread(f"{self}: {problem}")
        if len(end.said) >= child.KEPT:
            raise errors.QuotaUnread(f"{self}: says far too much for a quota")
        try:
            return self._parse(end.said.decode(errors="backslashreplace"))
        except errors.QuotaUnread as error:
            raise errors.QuotaUnread(f"{self}: {error}") from error

    def _exceeded(self, end: child.End) -> bool:
        """Whether exit 1 is no failure; where it says nothing at all, there is no quota, and the parser says so."""
        marked = b"*" in end.said or not end.said.strip()
        return self._over and end.ended and end.status == 1 and marked and not end.complained.strip()

    def __str__(self) -> str:
        return disk.printable(shlex.join(self._argv)) + self._where


class Directory:
    """What a directory holds, added up as ``du -x`` does: allocated blocks, a file with several names once.

    What we may not look into (some job made it for its user alone) isn't counted: it must not stop everybody.
    """

    def __init__(self, path: str) -> None:
        self._path = path

    def __call__(self, leaving: Callable[[], bool]) -> replies.Usage:
        """Raises: QuotaUnread."""
        try:
            return self._sum(leaving), None
        except OSError as error:
            where = str(error.filename or self._path)
            raise errors.QuotaUnread(str(disk.Trouble("add up", where, error))) from error

    def __str__(self) -> str:
        return disk.shown(self._path)

    def _sum(self, leaving: Callable[[], bool]) -> int:
        try:
            top = os.stat(self._path)
        except FileNotFoundError:
            return 0  # made with the first file
        used, waiting = top.st_blocks * _BLOCK, [self._path]
        several_names: set[int] = set()
        while waiting:
            for entry in _entries(waiting.pop()):
                if leaving():
                    raise errors.QuotaUnread("the manager is leaving")
                status = _status(entry)
                if status is None or status.st_dev != top.st_dev:
                    continue
                if entry.is_dir(follow_symlinks=False):
                    waiting.append(entry.path)
                elif status.st_nlink > 1:
                    if status.st_ino in several_names:
                        continue
                    several_names.add(status.st_ino)
                used += status.st_blocks * _BLOCK
        return used


def _entries(path: str) -> list[os.DirEntry[str]]:
    """What is in a directory; nothing if it has just gone, or isn't for us. Raises: OSError."""
    try:
        with os.scandir(path) as entries:
            return list(entries)
    except PermissionError:
        return []
    except OSError as error:
        if _gone(error):
            return []
        raise


def _status(entry: os.DirEntry[str]) -> os.stat_result | None:
    try:
        return entry.stat(follow_symlinks=False)
    except OSError as error:
        if _gone(error):
            return None
        raise


def _gone(error: OSError) -> bool:
    return error.errno in (errno.ENOENT, errno.ENOTDIR, errno.ESTALE)


def filesystem(path: str) -> tuple[int, int]:
    """Bytes used on the path's file system, and its size without what is kept for root, as ``df`` has them.

    Raises: QuotaUnread.
    """
    try:
        status = os.statvfs(standing(path))
    except OSError as error:
        raise errors.QuotaUnread(str(disk.Trouble("ask the file system of", path, error))) from error
    used = (status.f_blocks - status.f_bfree) * status.f_frsize
    return used, used + status.f_bavail * status.f_frsize


def standing(path: str) -> str:
    """The path, or the nearest directory above it that is there: it will be made on the same file system.

    Raises: QuotaUnread: it can't be told, as on a file server that is away.
    """
    try:
        os.stat(path)
    except FileNotFoundError:
        return standing(os.path.dirname(path))
    except OSError as error:
        raise errors.QuotaUnread(str(disk.Trouble("look at", path, error))) from error
    return path


def mount_point(path: str) -> str:
    """Where the path's file system is mounted. Raises: QuotaUnread."""
    path = os.path.realpath(standing(path))
    while not os.path.ismount(path):
        path = os.path.dirname(path)
    return path
