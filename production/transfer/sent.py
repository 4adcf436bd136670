"""Inputs for jobs on a disk that this machine doesn't see: sent there from a disk of ours, or fetched by a command there.

In come names as the porter has them, out go whole files on the other machine; its ``ssh.files`` carries them. What comes
from an archive that is a server goes over a spool: ``sftp.Relay``.
"""

from __future__ import annotations

import functools
import os
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from production import disk, errors, settings
from production.transfer import base, copy, names

if TYPE_CHECKING:
    from production.ssh import files as files_

Where = Callable[[str], str]
"""The path there that a local name of the porter's means."""
Order = Callable[[str, Sequence[str], Callable[[], bool]], None]
"""Runs a command there to its end, for hours if need be; is handed what it is called in messages, and whether somebody
wants it to end."""


class Sent:
    """Files below a directory of ours, sent to another machine."""

    def __init__(self, root: str, to: files_.Files, where: Where) -> None:
        self._root = root
        self._archive = copy.Copy(root)
        self._to = to
        self._where = where

    def size(self, remote: str, waiting: Callable[[], None] = base.nobody) -> int:
        return self._archive.size(remote.lstrip("/"), waiting)

    def fetch(
        self,
        remote: str,
        local: str,
        progress: Callable[[int], None],
        size: int | None = None,  # noqa: ARG002 -- it costs nothing to look again
        received: Callable[[], None] = base.nobody,  # noqa: ARG002 -- the archive is a disk
    ) -> int:
        """To ``local`` there."""
        path = os.path.join(self._root, names.inside(remote.lstrip("/"), disk.shown(self._root)))
        return self._to.send(path, self._where(local), progress)

    def recall(self, remote: str, waiting: Callable[[], None]) -> None:
        self._archive.recall(remote.lstrip("/"), waiting)

    def listing(self, directory: str) -> list[base.Entry]:
        return self._archive.listing(directory)

    def close(self) -> None:
        """The other machine is closed by who opened it."""


class Ordered:
    """Files of an archive, fetched to another machine by a command there. We see that they are as large as the archive's."""

    def __init__(
        self, archive: base.Transfer | None, batch: settings.Batch, order: Order, to: files_.Files, where: Where
    ) -> None:
        """``batch``: it has the command, with ``{input}`` and ``{to}``. ``archive``: it says how large files are; None: nobody does."""
        self._archive = archive
        self._fetch = batch.fetch
        self._called = batch.fetching
        self._order = order
        self._to = to
        self._where = where

    def size(self, remote: str, waiting: Callable[[], None] = base.nobody) -> int | None:
        return self._archive.size(remote, waiting) if self._archive else None

    def fetch(
        self,
        remote: str,
        local: str,
        progress: Callable[[int], None],
        size: int | None = None,
        received: Callable[[], None] = base.nobody,
    ) -> int:
        """To ``local`` there, under its name only when it has come whole."""
        there = self._where(local)
        part = f"{there}.part"
        ending = _Ending(functools.partial(progress, 0))
        argv = [settings.expand(word, {"input": remote, "to": part}) for word in self._fetch]
        try:
            self._order(self._called, ("sh", "-c", _FETCH, "sh", part, *argv), ending.wanted)
        finally:
            ending.tell()
        received()
        found = self._found(remote, part)
        if size is not None and found != size:
            self._to.remove([part])
            raise errors.TransferError(
                f"{disk.shown(remote)}: {self._called} brought {found:,} bytes to {self._to.name}, the archive's has {size:,}"
            )
        self._order("mv", ("mv", "-f", "--", part, there), ending.wanted)
        progress(found)
        return found

    def _found(self, remote: str, part: str) -> int:
        """Bytes. Raises: TransferError."""
        try:
            return self._to.size(part)
        except errors.InputMissing as missing:
            raise errors.TransferError(
                f"{disk.shown(remote)}: {self._called} ended well, but brought nothing to {self._to.name}: {disk.shown(part)}"
                " isn't there"
            ) from missing

    def recall(self, remote: str, waiting: Callable[[], None]) -> None:
        if self._archive:
            self._archive.recall(remote, waiting)

    def listing(self, directory: str) -> list[base.Entry]:
        return self._archive.listing(directory) if self._archive else []

    def close(self) -> None:
        """The archive and the other machine are closed by who opened them."""


_FETCH = 'rm -f -- "$1" && mkdir -p -- "${1%/*}" && shift && exec "$@"'


class _Ending:
    """Whether a fetch is still wanted, as a question; whoever asks isn't told by an exception."""

    def __init__(self, going_on: Callable[[], None]) -> None:
        self._going_on = going_on
        self._end: BaseException | None = None

    def wanted(self) -> bool:
        """Whether somebody wants it to end."""
        if self._end is None:
            try:
                self._going_on()
            except BaseException as end:  # noqa: BLE001  told by ``tell``
                self._end = end
        return self._end is not None

    def tell(self) -> None:
        """Raises: what said that it isn't wanted."""
        if self._end is not None:
            raise self._end
