"""Files under a production's version directories that nobody has written down.

In come the program's output paths and the directories that its recorded outputs are in; a listing comes first, then
what is written down: whatever is legally there was written down before it came.
"""

from __future__ import annotations

import array
import bisect
import fnmatch
import functools
import glob
import os
import re
from collections.abc import Callable, Iterable, Iterator

from production import disk
from production import run as runs
from production import settings as settings_
from production.settings import template

LOT = 50_000
"""Unknown files that are looked up together: for each lot all that is written down is read once."""

_ASKED = 10_000
"""Directories that are remembered, not to be asked about again."""

_SYSTEM = re.compile(r"\.nfs[0-9a-f]{8,}|\.fuse_hidden[0-9a-f]+|\.snapshots?|\.zfs")
"""Names that file systems make up: files that are removed while they are open, yesterday's copies."""
_LOG_OR_SYSTEM = re.compile(rf"[a-z][a-z0-9_]*\.run\d+(\.attempt\d+)?\.(out|err)|{_SYSTEM.pattern}")


class Known:
    """The places of all files that are written down; eight bytes each."""

    def __init__(self, paths: Iterable[str]) -> None:
        # A sorted array of hashes, since a million paths themselves are a hundred megabytes. Two of a million that share
        # one are a matter of once in ten million audits.
        self._hashes = array.array("q", (hash(_place(path)) for path in paths))
        self._hashes = array.array("q", sorted(self._hashes))

    def __contains__(self, path: str) -> bool:
        wanted = hash(_place(path))
        at = bisect.bisect_left(self._hashes, wanted)
        return at < len(self._hashes) and self._hashes[at] == wanted


def _place(path: str) -> str:
    """The path without the symbolic links on its way: there may be two ways to one place."""
    directory, _, name = path.rpartition("/")
    return f"{_real(directory)}/{name}"


@functools.lru_cache(maxsize=50_000)
def _real(directory: str) -> str:
    try:
        return os.path.realpath(directory)
    except (OSError, ValueError):  # from an old database may come anything
        return directory


class Search:
    """The search for one production's."""

    def __init__(
        self, production: runs.Production, program: settings_.Program | None, shut: Callable[[str], None]
    ) -> None:
        """``shut`` is told of directories that may not be listed."""
        self.production = production
        self._shut = shut
        self._logs = os.path.join(production.data, "log", f"v{production.version}")
        self._seen: set[tuple[int, int, str]] = set()
        self._trees: list[str] = []
        """Directories that are this version's, with all below them."""
        self._patterns: list[str] = []
        """Files of this version among those of others, as glob(7) finds them."""
        self._more: set[str] = set()
        """Directories that the settings don't know, or not any more."""
        self._asked: set[str] = set()
        for output in program.outputs if program else ():
            self._add(output.path)
        own = f"{re.escape(production.name)}-{re.escape(production.catalogue)}"
        self._copy = re.compile(rf"\..+\.{own}\.[0-9a-f]+-(\d+)-(\d+)", re.DOTALL)

    def _add(self, path: str) -> None:
        """An output's path, as the settings have it."""
        known = {"version": self.production.version, "program": self.production.program}
        parts = path.split("/")
        at = next((index for index, part in enumerate(parts) if "version" in template.fields(part)), len(parts) - 1)
        pattern = "/".join(template.pattern(part, known) for part in parts[: at + 1])
        where = os.path.join(glob.escape(self.production.data), pattern)
        if at == len(parts) - 1:
            self._patterns.append(where)
        else:
            self._trees += [tree for tree in glob.glob(where) if tree not in self._trees]

    def also(self, path: str) -> None:
        """Where a recorded output is: its directory is this version's as well, if it is named for it."""
        directory = path.rpartition("/")[0]
        if directory not in self._asked:
            if len(self._asked) >= _ASKED:
                self._asked.clear()
            self._asked.add(directory)
            if self._is_named_so(directory) and not self._is_searched(directory):
                self._more.add(directory)

    def _is_searched(self, directory: str) -> bool:
        real = os.path.join(_real(directory), "")
        return any(real.startswith(os.path.join(_real(tree), "")) for tree in self._trees) or any(
            fnmatch.fnmatchcase(directory, os.path.dirname(pattern)) for pattern in self._patterns
        )

    def _is_named_so(self, directory: str) -> bool:
        below = directory.removeprefix(os.path.join(self.production.data, ""))
        named = below if below != directory else os.path.basename(directory)
        return re.search(rf"(?<!\d)0*{self.production.version}(?!\d)", named) is not None

    def files(self) -> Iterator[str]:
        """All that is there, but for what file systems and logs are."""
        self._seen.clear()
        for tree in self._trees:
            yield from self._below(tree, deep=True)
        for directory in sorted(self._more):
            yield from self._below(directory, deep=False)
        for pattern in dict.fromkeys(self._patterns):
            where, name = os.path.split(pattern)
            for directory in glob.iglob(where):
                yield from self._below(directory, deep=False, named=name)

    def _below(self, top: str, *, deep: bool, named: str = "*") -> Iterator[str]:
        """``named``: as glob(7) finds it."""
        left = [top]
        while left:
            directory = left.pop()
            if not self._first_time(directory, named):
                continue
            nobodys = _LOG_OR_SYSTEM if directory == self._logs else _SYSTEM
            try:
                with os.scandir(directory) as entries:
                    for entry in entries:
                        if nobodys.fullmatch(entry.name):
                            continue
                        if not _is_directory(entry):
                            if named == "*" or fnmatch.fnmatchcase(entry.name, named):
                                yield entry.path
                        elif deep:
                            left.append(entry.path)
            except PermissionError:
                self._shut(directory)
            except OSError:
                pass  # it is gone; whose outputs were in it, tells so

    def _first_time(self, directory: str, named: str) -> bool:
        """Links may lead round in a circle."""
        try:
            status = os.stat(directory)
        except OSError:
            return True
        place = status.st_dev, status.st_ino, named
        known = place in self._seen
        self._seen.add(place)
        return not known

    def copy_of(self, path: str) -> tuple[int, int] | None:
        """(run, attempt), if it is a copy that is made of an attempt's output while that is looked at."""
        found = self._copy.fullmatch(os.path.basename(path))
        return (int(found[1]), int(found[2])) if found else None


def _is_directory(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:
        return False


def described(path: str, whose: str) -> str | None:
    """The file as it is now; None, if it has gone."""
    try:
        status = os.lstat(path)
    except FileNotFoundError:
        return None
    except OSError as error:
        return f"{disk.shown(path)} ({error.strerror})"
    kind = (
        f"a symbolic link to {disk.shown(os.readlink(path))}" if os.path.islink(path) else f"{status.st_size:,} bytes"
    )
    return f"{disk.shown(path)} ({kind}{', ' if whose else ''}{whose})"
