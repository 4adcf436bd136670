"""The disk of the jobs that is ours, too: a Depot of plain files. ``far`` is the one of a disk that this machine doesn't see.

In come an attempt's belongings, out goes what is there of them; before it is ``attempt``, behind it the disk.
"""

from __future__ import annotations

import contextlib
import errno
import os
from collections.abc import Collection, Iterable, Iterator, Sequence

from production import disk, errors
from production.batch import array, base, witness

CANCELLED = ".cancelled"
"""What a ticket's name ends with once its job is being cancelled."""
LEAST_ROOM = 1 << 20
"""Bytes; with less, nothing is staged or started: not even the wrapper could say how its job went."""
TAIL = 2000
"""Bytes at the end of a log in which its last words are."""

_FULL = (errno.ENOSPC, errno.EDQUOT)
NO_ROOM = "the disk under {} is full: nothing new is staged or submitted, running jobs go on; make room"
"""One text whatever found it, to be told once."""


class Here:
    """On this machine, or on file systems that are mounted here."""

    far = False

    def __init__(self, data: str = "") -> None:
        """``data`` is the directory that the shift knows it by."""
        self._data = data

    def make(self, directories: Collection[str]) -> None:
        with self._disk_full_said():
            for directory in directories:
                try:
                    os.makedirs(directory, exist_ok=True)
                except OSError as cause:
                    if cause.errno in _FULL:
                        raise
                    raise errors.ProductionError(f"{cause.filename} can't be made: {cause.strerror}") from cause
                if not os.access(directory, os.W_OK | os.X_OK):
                    raise errors.ProductionError(
                        f"{directory} may not be written by you; mend: chmod -R g+rwX '{self._data}'"
                    )
                room = os.statvfs(directory)
                if room.f_bavail * room.f_frsize < LEAST_ROOM:
                    raise errors.DiskFull(NO_ROOM.format(self._data))

    def prepare(self, attempts: Sequence[base.Belongings]) -> dict[str, str]:
        wrong = {}
        with self._disk_full_said():
            for one in attempts:
                try:
                    _prepare(one)
                except OSError as cause:
                    if cause.errno in _FULL:
                        raise
                    wrong[one.ticket] = f"{cause.filename}: {cause.strerror}"
        return wrong

    def give_tickets(self, attempts: Sequence[base.Belongings]) -> None:
        with self._disk_full_said():
            for one in attempts:
                _give_ticket(one)

    def revoke(self, attempts: Sequence[base.Belongings]) -> dict[str, base.Revoked]:
        return {one.ticket: _revoke(one) for one in attempts}

    def begin_cancel(self, attempts: Sequence[base.Belongings]) -> None:
        for one in attempts:
            with contextlib.suppress(FileNotFoundError, PermissionError):
                os.rename(one.ticket, one.ticket + CANCELLED)

    def cancel_in_vain(self, attempts: Sequence[base.Belongings]) -> None:
        for one in attempts:
            with contextlib.suppress(FileNotFoundError, PermissionError):
                os.rename(one.ticket + CANCELLED, one.ticket)

    def cancelled(self, attempts: Sequence[base.Belongings]) -> set[str]:
        return {one.ticket for one in attempts if os.path.exists(one.ticket + CANCELLED)}

    def witnesses(self, directory: str, names: Iterable[str]) -> dict[str, witness.Witness]:
        return witness.read_directory(directory, names)

    def last_words(self, paths: Sequence[str]) -> dict[str, str]:
        return {path: words for path in paths if (words := _last_words(path))}

    def present(self, paths: Collection[str]) -> set[str]:
        return {path for path in paths if os.path.exists(path)}

    def touchable(self, directories: Collection[str]) -> bool:
        return all(os.access(directory, os.W_OK | os.X_OK) for directory in directories)

    def clear(self, attempts: Sequence[base.Belongings]) -> dict[str, str]:
        stays: dict[str, str] = {}
        for one in attempts:
            # The ticket first: a job that is late doesn't start without.
            stays |= self.remove((one.ticket, one.ticket + CANCELLED, one.witness))
            if one.work:
                disk.remove_tree(one.work)
        return stays

    def names(self, directory: str) -> list[str]:
        try:
            return os.listdir(directory)
        except OSError:
            return []

    def write(self, path: str, content: bytes) -> None:
        try:
            with open(path, "wb") as file:
                file.write(content)
        except OSError as cause:
            if cause.errno in _FULL:
                raise errors.DiskFull(NO_ROOM.format(self._data)) from cause
            raise errors.SubmitRefused(f"{disk.shown(path)} can't be written: {cause.strerror}") from cause

    def marks(self, paths: Collection[str]) -> dict[str, list[str]]:
        found = {}
        for path in paths:
            with contextlib.suppress(OSError), open(path, "rb") as file:
                found[path] = array.marks(file)
        return found

    def remove(self, paths: Collection[str]) -> dict[str, str]:
        return {path: why for path in paths if (why := disk.remove(path))}

    def fold(self, directories: Collection[str]) -> None:
        for directory in directories:
            with contextlib.suppress(OSError):
                os.rmdir(directory)

    @contextlib.contextmanager
    def _disk_full_said(self) -> Iterator[None]:
        try:
            yield
        except OSError as cause:
            if cause.errno in _FULL:
                raise errors.DiskFull(NO_ROOM.format(self._data)) from cause
            raise


def _prepare(one: base.Belongings) -> None:
    if one.work:
        disk.remove_tree(one.work)
        os.makedirs(one.work)
        for directory in one.directories:
            os.makedirs(directory, exist_ok=True)
        for link, target in one.links:
            os.makedirs(os.path.dirname(link), exist_ok=True)
            os.symlink(target, link)
    _give_ticket(one)


def _give_ticket(one: base.Belongings) -> None:
    """One more name for the one file that all our tickets are; a file of its own where that can't be.

    A new file costs ten times a name; and an ext4 that thousands of files were removed from in the last minutes doesn't
    give their inodes away again, but looks at each of them in vain for every new one.
    """
    for _ in range(2):
        try:
            os.link(one.tickets, one.ticket)
            return
        except FileExistsError:
            return  # prepared before
        except FileNotFoundError:
            os.close(os.open(one.tickets, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o666))
        except OSError as cause:
            if cause.errno in _FULL:
                raise
            break  # a file system without hard links
    os.close(os.open(one.ticket, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o666))


def _revoke(one: base.Belongings) -> base.Revoked:
    try:
        os.unlink(one.ticket)
    except FileNotFoundError:
        pass  # taken back before, by somebody who was killed here
    except PermissionError:
        return base.Revoked.FORBIDDEN
    # The wrapper writes the witness and looks for the ticket afterwards: one without a word (a full disk, a power cut)
    # is of a wrapper that has ended, or that finds no ticket now.
    with contextlib.suppress(FileNotFoundError):
        if os.path.getsize(one.witness):
            _give_ticket(one)
            return base.Revoked.BEGUN
    return base.Revoked.TAKEN


def _last_words(path: str) -> str:
    try:
        with disk.reading(path, follow=False) as (descriptor, state):
            return last_line(os.pread(descriptor, TAIL, max(0, state.st_size - TAIL)))
    except (OSError, disk.Trouble):
        return ""


def last_line(tail: bytes) -> str:
    """The last line of a log's end with something on it, printable, at most 200 characters; empty if there is none."""
    text = tail.decode("utf-8", "replace").strip()
    line = text.splitlines()[-1] if text else ""
    return "".join(character if character.isprintable() else " " for character in line).strip()[:200]
