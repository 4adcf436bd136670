"""The small file a job leaves, saying how it ended. ``wrapper.sh`` writes it, ``local`` and ``follow`` read it.

Source: ``wrapper.sh``. Lines of words, each line in one write, in this order::

    start HOST BOOT PID TICKS UPTIME [JOB]  the wrapper has begun: machine, its boot id, the wrapper's pid and start in
                                         clock ticks since boot, seconds since boot ("-" is not known), and on clusters
                                         the job's id
    revoked                              its ticket was gone: the script was not run; nothing follows
    0m0.00s 0m0.00s                      what sh's ``times`` says: user and system time of the wrapper,
    0m1.25s 0m0.50s                      and of the script with all children it waited for
    end STATUS UPTIME                    the script has ended: sh's ``$?``, seconds since boot

The newline after ``end …`` is the last byte written: without it the job hasn't ended, whatever else is there.
"""

from __future__ import annotations

import dataclasses
import os
import re
from collections.abc import Iterable

from production import disk

NOT_RUN = 75
"""The wrapper's exit code if it didn't run the script or had its ticket taken away, unless the script says 75."""

LONGEST = 4096
"""Bytes; a witness is a tenth of that, so more is somebody else's file."""

_START = re.compile(
    r"start (\S{1,255}) (\S{1,64}) ([0-9]{1,10}) ([0-9]{1,20}|-) ([0-9]{1,12}(?:\.[0-9]{1,9})?|-)(?: (\S{1,64}))?"
)
_TIMES = re.compile(r"([0-9]{1,9})m([0-9]{1,2}\.[0-9]{1,9})s ([0-9]{1,9})m([0-9]{1,2}\.[0-9]{1,9})s")
_END = re.compile(r"end ([0-9]{1,3}) ([0-9]{1,12}(?:\.[0-9]{1,9})?|-)")


@dataclasses.dataclass(frozen=True, slots=True)
class Witness:
    """What one job said of itself. Fields that it couldn't say are None."""

    host: str | None
    boot: str | None
    """The boot id of the kernel it ran under."""
    pid: int
    ticks: int | None
    """Start of the wrapper, in clock ticks since boot."""
    started: float | None
    """Seconds since boot."""
    job: str | None = None
    """What the batch system calls the job, on clusters."""
    revoked: bool = False
    """The wrapper found its ticket gone and did not run the script."""
    ended: bool = False
    exit: int | None = None
    """Exit code of the script; None if a signal ended it."""
    signal: int | None = None
    """The signal. sh says 128 + signal, so a script that itself exits with 129 to 192 is taken for one that a signal
    ended; scripts commonly hand on a child's end in this way."""
    wall: float | None = None
    """Seconds from start to end."""
    cpu: float | None = None
    """Processor seconds, user and system, in steps of 0.01."""


def parse(text: str) -> Witness | None:
    """What the text says; None if it isn't (yet) the beginning of a witness. Never raises."""
    lines = text.split("\n")[:-1]  # what stands behind the last newline is half a line
    start = _START.fullmatch(lines[0]) if lines else None
    if start is None:
        return None
    host, boot, pid, ticks, uptime, job = start.groups()
    begun = int(ticks) if ticks != "-" else None
    witness = Witness(_known(host), _known(boot), int(pid), begun, _seconds(uptime), job)
    if lines[1:] == ["revoked"]:
        return dataclasses.replace(witness, revoked=True)
    end = _END.fullmatch(lines[-1])
    return witness if end is None else _ended(witness, int(end[1]), _seconds(end[2]), lines[1:-1])


def status(code: int) -> tuple[int | None, int | None]:
    """Exit code and signal, one of them None, from sh's ``$?``."""
    return (None, code - 128) if 128 < code <= 192 else (code, None)


def read(path: str) -> Witness | None:
    """The witness at this path; None if there is none, it can't be read, or it is something else."""
    try:
        with disk.reading(path, follow=False) as (descriptor, _):  # a pipe in its place would hold us for ever
            content = os.read(descriptor, LONGEST + 1)
    except (OSError, disk.Trouble):
        return None
    return parse(content.decode("utf-8", "replace")) if len(content) <= LONGEST else None


def read_directory(directory: str, names: Iterable[str]) -> dict[str, Witness]:
    """{name: witness} of those of these files that are there.

    The directory is listed once instead of asking for each name: network file systems remember a "no" for a while.
    """
    try:
        present = set(os.listdir(directory))
    except OSError:
        return {}
    found = {name: read(os.path.join(directory, name)) for name in names if name in present}
    return {name: witness for name, witness in found.items() if witness is not None}


def _ended(witness: Witness, code: int, uptime: float | None, times: list[str]) -> Witness:
    exit_, signal = status(code)
    children = _TIMES.fullmatch(times[-1]) if times else None
    cpu = None
    if children is not None:
        minutes, seconds, system_minutes, system_seconds = children.groups()
        cpu = 60.0 * (int(minutes) + int(system_minutes)) + float(seconds) + float(system_seconds)
    wall = None if uptime is None or witness.started is None else round(max(0.0, uptime - witness.started), 3)
    return dataclasses.replace(witness, ended=True, exit=exit_, signal=signal, wall=wall, cpu=cpu)


def _known(word: str) -> str | None:
    return None if word == "-" else word


def _seconds(word: str) -> float | None:
    return None if word == "-" else float(word)
