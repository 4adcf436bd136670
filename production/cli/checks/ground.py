"""The disks: where the data go, how much there is left, and whose clock the file server has."""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator

from production import disk
from production.cli import data
from production.cli.checks import finding

LEAST = 100 << 20
"""Bytes, below which a disk is as good as full."""
LEAST_INODES = 1000
CLOSE = 5.0
"""Seconds that clocks may differ."""


@contextlib.contextmanager
def scratch(directory: str) -> Iterator[str]:
    """A new directory below this one; afterwards it is gone, with everything that had to be made for it."""
    missing = []
    while not os.path.isdir(directory):
        missing.append(directory)
        directory = os.path.dirname(directory)
    with contextlib.ExitStack() as stack:
        for made in reversed(missing):
            with contextlib.suppress(FileExistsError):
                os.mkdir(made)
                stack.callback(_remove, made)
        place = tempfile.mkdtemp(prefix=".doctor-", dir=missing[0] if missing else directory)
        stack.callback(shutil.rmtree, place, ignore_errors=True)
        yield place


def _remove(directory: str) -> None:
    with contextlib.suppress(OSError):  # somebody else has begun to use it
        os.rmdir(directory)


def data_directory(patient: finding.Patient) -> list[finding.Finding]:
    """It is there or can be made, we may write it, and it is no other database's."""
    directory = data.real(patient.chosen.data)
    there = os.path.isdir(directory)
    if patient.catalogue:
        data.check(directory, patient.catalogue)
    with scratch(directory) as place:
        links = _has_links(place)
    said = [
        f"{finding.near(directory)} {'is writable' if there else 'can be made'}",
        *(["no other database's"] if patient.catalogue else []),
        "hard links" if links else "no hard links there: tickets and files take a little longer",
    ]
    return [finding.Finding("data", True, ", ".join(said))]


def _has_links(place: str) -> bool:
    one, other = os.path.join(place, "one"), os.path.join(place, "other")
    os.close(os.open(one, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC))
    try:
        os.link(one, other)
    except OSError as error:
        if error.errno not in (errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK):
            raise
        return False
    return True


def left(patient: finding.Patient) -> list[finding.Finding]:
    """What is left on the disks under the data and the database."""
    from production.transfer import usage

    places = {
        "data": usage.standing(patient.chosen.data),
        "database": usage.standing(os.path.dirname(os.path.realpath(patient.chosen.database))),
    }
    devices: dict[int, list[str]] = {}
    for what, path in places.items():
        devices.setdefault(os.stat(path).st_dev, []).append(what)
    return [_left(" and ".join(names), places[names[0]]) for names in devices.values()]


def _left(what: str, path: str) -> finding.Finding:
    from production import room

    status = os.statvfs(path)
    free, size = status.f_bavail * status.f_frsize, status.f_blocks * status.f_frsize
    found = f"under {what}: {room.shown(free)} of {room.shown(size)} free"
    if status.f_files:  # some file systems make them as needed
        found += f", {status.f_favail:,} inodes"
    if free < LEAST:
        return finding.Finding("disk", False, found, f"make room on it: du -xh '{path}' | sort -h | tail")
    if status.f_files and status.f_favail < LEAST_INODES:
        return finding.Finding("disk", False, found, f"remove small files: du --inodes -x '{path}' | sort -n | tail")
    return finding.Finding("disk", True, found)


def clock(patient: finding.Patient) -> list[finding.Finding]:
    """The file server's clock is ours, or nearly."""
    directory = data.real(patient.chosen.data)
    with scratch(directory) as place:
        return [compared(ahead(place, time.time))]


def ahead(place: str, now: Callable[[], float]) -> float:
    """Seconds that the clock of who writes the time of a new file is ahead of ours."""
    path = os.path.join(place, "clock")
    before = now()
    with disk.new(path) as part:
        part.write(memoryview(b"what time is it?\n"))
        part.sync()
    told, after = os.stat(path).st_mtime, now()
    return min(0.0, told - before) + max(0.0, told - after)


def compared(seconds: float) -> finding.Finding:
    """What it means that the file server's clock is so many seconds ahead of ours."""
    if abs(seconds) < CLOSE:
        how = "agree" if abs(seconds) < 0.1 else f"differ by {abs(seconds):.1f} s"
        return finding.Finding("clock", True, f"the data's file server and this machine {how}")
    which = "ahead of" if seconds > 0 else "behind"
    mend = "see on both machines: timedatectl (an administrator lets chrony or ntpd set them)"
    return finding.Finding("clock", False, f"the data's file server is {abs(seconds):,.0f} s {which} us", mend)
