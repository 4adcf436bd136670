"""Inputs from another machine by SFTP: ``sftp://[user@]host[:port]/directory``, hosts as in ``~/.ssh/config``.

In come names below the archive's directory, out go whole files under their local names; next is ``ssh.files``, which has the
connection, and before it the porter. The directory begins at the root; ``sftp://host/~/raw`` begins where the login leads to.
``Relay`` brings the files of any archive to another machine, over a disk of ours.
"""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import os
import posixpath
import threading
import urllib.parse
from collections.abc import Callable
from typing import TYPE_CHECKING

from production import disk, errors
from production.transfer import base, names

if TYPE_CHECKING:
    from production.ssh import files as files_
    from production.ssh import login

_GREETING = 20.0
"""Seconds that a first login may take while somebody waits at the door."""


@dataclasses.dataclass(frozen=True, slots=True)
class Place:
    """Where the files are."""

    destination: str
    """The machine, as behind ``ssh``."""
    root: str
    """Their directory there, absolute or from where a login begins; ``.`` is that itself."""


def parse(url: str) -> Place:
    """Raises: UsageError. The URL isn't quoted: it may hold a password."""
    try:
        parts = urllib.parse.urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError:
        parts, host, port = urllib.parse.urlsplit(""), None, None
    if not host or parts.scheme != "sftp":
        raise errors.UsageError("the archive's URL is not sftp://[user@]host[:port]/directory")
    if parts.password is not None:
        raise errors.UsageError(
            f"the archive's URL holds a password: take it out; see that this works: ssh {host} true"
        )
    if parts.query or parts.fragment:
        raise errors.UsageError(f"the archive's URL for {host}: write %3F for ? and %23 for # in the directory")
    # as written: names in ~/.ssh/config have capitals, which urllib takes away
    written = parts.netloc.rpartition("@")[2]
    name = f"[{host}]" if written.startswith("[") else written.partition(":")[0]
    user = urllib.parse.unquote(parts.username or "", errors="surrogateescape")
    destination = f"{user}@{name}" if user else name
    root = urllib.parse.unquote(parts.path, errors="surrogateescape")
    if "\0" in root:
        raise errors.UsageError(f"the archive's URL for {host}: no directory has such a name")
    if root == "/~" or root.startswith("/~/"):
        root = root[3:].strip("/") or "."
    return Place(f"{destination}:{port}" if port else destination, posixpath.normpath(root or "/"))


class Sftp:
    """An archive behind SSH. Any number of threads may use it, over one connection."""

    def __init__(self, files: files_.Files, root: str) -> None:
        self._files = files
        self._root = root
        self._url = f"{files.name}:{disk.shown(root)}"

    def greet(self, ask: login.Ask | None = None) -> None:
        """Log in once, before anything depends on it; ``ask`` asks a person. Raises: TransferWaits: it is away; LoginRefused."""
        self._files.greet(_GREETING, ask)

    def size(self, remote: str, waiting: Callable[[], None] = base.nobody) -> int | None:
        path = self._path(remote)
        try:
            return self._files.size(path, waiting)
        except errors.InputMissing as missing:
            raise self._missing(missing) from missing

    def fetch(
        self,
        remote: str,
        local: str,
        progress: Callable[[int], None],
        size: int | None = None,  # noqa: ARG002 -- it has to look when the file was written, too
        received: Callable[[], None] = base.nobody,
    ) -> int:
        path = self._path(remote)
        try:
            return self._files.fetch(path, local, progress, received=received)
        except errors.InputMissing as missing:
            raise self._missing(missing) from missing

    def recall(self, remote: str, waiting: Callable[[], None]) -> None:  # noqa: ARG002 -- there is no tape to ask for
        self._path(remote)

    def listing(self, directory: str) -> list[base.Entry]:
        path = self._path(directory) if directory else self._root
        return [
            base.Entry(name, None if one.directory or not one.regular else one.size, one.directory)
            for name, one in self._files.listing(path)
        ]

    def close(self) -> None:
        self._files.close()

    def _path(self, remote: str) -> str:
        return os.path.join(self._root, names.inside(remote, self._url))

    def _missing(self, missing: errors.InputMissing) -> errors.TransferError:
        """Absence is only an answer if the archive itself is there: an unmounted one has no file at all."""
        try:
            there = self._files.listing(self._root)
        except errors.InputMissing:
            there = []
        if there:
            return missing
        return errors.TransferWaits(
            f"the archive {self._url} is empty or not there: is it mounted on {self._files.name}?"
        )


class Relay:
    """Brings an archive's files to another machine, over a spool on a disk of ours. Local paths are paths there."""

    def __init__(self, archive: base.Transfer, to: files_.Files, spool: str, where: Callable[[str], str] = str) -> None:
        """``spool``: a directory of our own; who brings files side by side wants room for twice as many.

        ``where``: the path there that a local one means.
        """
        self._where = where
        self._archive = archive
        self._to = to
        self._spool = spool
        self._lock = threading.Lock()
        self._kept: set[str] = set()
        """Files in the spool that are whole and go on from there."""

    def size(self, remote: str, waiting: Callable[[], None] = base.nobody) -> int | None:
        return self._archive.size(remote, waiting)

    def fetch(
        self,
        remote: str,
        local: str,
        progress: Callable[[int], None],
        size: int | None = None,
        received: Callable[[], None] = base.nobody,
    ) -> int:
        """To ``local`` there. ``progress`` counts the bytes of both ways, each half, so that it ends at the size.

        What is whole in the spool while the machine is away stays for the next fetch; nothing else does.
        """
        spooled = os.path.join(self._spool, hashlib.sha256(os.fsencode(f"{remote}\0{local}")).hexdigest()[:32])
        if not self._take_kept(spooled, size):
            self._archive.fetch(remote, spooled, lambda count: progress(count // 2), size)
        received()
        count = os.stat(spooled).st_size
        second = count - count // 2
        try:
            self._to.send(
                spooled, self._where(local), lambda done: progress(count // 2 + second * done // max(1, count))
            )
        except errors.TransferWaits:
            with self._lock:
                self._kept.add(spooled)
            raise
        except BaseException:
            os.unlink(spooled)
            raise
        os.unlink(spooled)
        return count

    def _take_kept(self, spooled: str, size: int | None) -> bool:
        """Whether an earlier fetch of ours brought it that far. What others left there goes."""
        with self._lock:
            kept = spooled in self._kept
            self._kept.discard(spooled)
        with contextlib.suppress(FileNotFoundError):
            if kept and os.stat(spooled).st_size == size:
                return True
            os.unlink(spooled)
        return False

    def recall(self, remote: str, waiting: Callable[[], None]) -> None:
        self._archive.recall(remote, waiting)

    def listing(self, directory: str) -> list[base.Entry]:
        return self._archive.listing(directory)

    def close(self) -> None:
        """Empty the spool of ours; the archive and the other machine are closed by who opened them."""
        with self._lock:
            kept, self._kept = self._kept, set()
        for spooled in kept:
            with contextlib.suppress(OSError):
                os.unlink(spooled)
