"""Inputs from plain paths: an archive that is mounted here (``file:/pnfs/raw``).

In comes a name below the archive's root, out goes a whole file under its local name; next is the porter, which runs
several of these side by side.
"""

from __future__ import annotations

import os
from collections.abc import Callable

from production import disk, errors
from production.transfer import base, names


class Copy:
    """A mounted archive. Keeps nothing between calls, so any number of threads may use it."""

    def __init__(self, root: str) -> None:
        self._root = root

    def size(self, remote: str, waiting: Callable[[], None] = base.nobody) -> int:  # noqa: ARG002 -- it is quick
        source = self._path(remote)
        try:
            with disk.reading(source) as (_, status):
                return status.st_size
        except disk.Trouble as trouble:
            raise self._told(trouble, source) from trouble

    def fetch(
        self,
        remote: str,
        local: str,
        progress: Callable[[int], None],
        size: int | None = None,  # noqa: ARG002 -- it costs nothing to look again
        received: Callable[[], None] = base.nobody,  # noqa: ARG002 -- the archive is a disk, too
    ) -> int:
        """As base says. A file that grows or shrinks meanwhile is not taken."""
        source = self._path(remote)
        try:
            return _copy(source, local, progress)
        except disk.Trouble as trouble:
            raise self._told(trouble, source) from trouble

    def close(self) -> None:
        """Nothing is kept open."""

    def recall(self, remote: str, waiting: Callable[[], None]) -> None:  # noqa: ARG002 -- there is no tape to ask for
        self._path(remote)

    def listing(self, directory: str) -> list[base.Entry]:
        source = self._path(directory) if directory else self._root
        try:
            with disk.trying("list", source), os.scandir(source) as entries:
                found = [_entry(entry) for entry in entries]
        except disk.Trouble as trouble:
            raise self._told(trouble, source) from trouble
        if not directory and not found:
            raise self._missing(source)
        return sorted(found, key=lambda entry: entry.name)

    def _path(self, remote: str) -> str:
        return os.path.join(self._root, names.inside(remote, disk.shown(self._root)))

    def _told(self, trouble: disk.Trouble, source: str) -> errors.TransferError:
        """The error of this house for what the disk said."""
        return self._missing(source) if trouble.path == source and trouble.missing else names.told(trouble)

    def _missing(self, source: str) -> errors.TransferError:
        """Absence is only an answer if the archive itself is there: an unmounted one has no file at all."""
        try:
            with os.scandir(self._root) as entries:
                mounted = any(True for _ in entries)
        except OSError:
            mounted = False
        if not mounted:
            return errors.TransferWaits(f"the archive {disk.shown(self._root)} is empty or not there: is it mounted?")
        if os.path.islink(source):
            there = disk.shown(os.readlink(source))
            return errors.InputMissing(f"{disk.shown(source)} is a symbolic link to nothing ({there})")
        return errors.InputMissing(f"{disk.shown(source)} is missing in the archive")


def _entry(entry: os.DirEntry[str]) -> base.Entry:
    """Links count as what they lead to; one that leads nowhere has no size."""
    if entry.is_dir():
        return base.Entry(entry.name, None, directory=True)
    try:
        return base.Entry(entry.name, entry.stat().st_size)
    except FileNotFoundError:
        return base.Entry(entry.name, None)


def _copy(source: str, local: str, progress: Callable[[int], None]) -> int:
    with disk.reading(source) as (descriptor, before):
        disk.make_directory(os.path.dirname(local))
        with disk.new(local + ".part") as part:
            count = 0
            for block in disk.blocks(descriptor, source, before.st_size):
                part.write(block)
                count += len(block)
                progress(count)
                if count > before.st_size:
                    break  # it may grow for ever
            _verify(source, before, count)
            part.sync()
            part.publish(local)
    return count


def _verify(source: str, before: os.stat_result, count: int) -> None:
    # Opened once more: a network file system asks its server for the true size at an open, and only there.
    with disk.reading(source) as (_, after):
        same = os.path.samestat(before, after) and before.st_mtime_ns == after.st_mtime_ns
    if not same or not before.st_size == count == after.st_size:
        raise errors.TransferError(
            f"{disk.shown(source)} is still being written: {before.st_size:,} bytes at first, {count:,} copied,"
            f" {after.st_size:,} now"
        )
