"""Runs a user's own check of an output: an argv, no shell, a time limit, and the last line of what it said.

Called from an inspector's thread. Nothing of the check outlives it, its children included.
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
import time
from collections.abc import Callable, Sequence

from production import disk

_TAIL = 4096
"""Bytes of its output that are kept: who prints a gigabyte is read, not remembered."""
_GLANCE = 0.25
"""Seconds between two looks whether the manager wants to leave."""


def run(argv: Sequence[str], limit: float, leaving: Callable[[], bool]) -> str:
    """Run a check; what is wrong, or "" if it ended with 0. It reads /dev/null; ``limit`` is in seconds.

    Raises: OSError: it could not be started.
    """
    reader, writer = os.pipe()
    try:
        try:
            process = _spawn(argv, writer)
        finally:
            os.close(writer)
        try:
            said, ended = _listen(process, reader, time.monotonic() + limit, leaving)
        finally:
            status = _bury(process)
    finally:
        os.close(reader)
    if not ended:
        return "the manager is leaving" if leaving() else f"took longer than {limit:g} s"
    return _problem(status, said)


def _spawn(argv: Sequence[str], writer: int) -> int:
    # Not subprocess: our threads block every signal, a child inherits that, and only posix_spawn takes it off again
    # (a check that runs `timeout` would never see its SIGALRM). SIGPIPE and SIGXFSZ are ignored in a Python process.
    return os.posix_spawnp(
        argv[0],
        list(argv),
        os.environ,
        file_actions=[
            (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
            (os.POSIX_SPAWN_DUP2, writer, 1),
            (os.POSIX_SPAWN_DUP2, writer, 2),
        ],
        setsid=True,
        setsigmask=[],
        setsigdef=[signal.SIGPIPE, signal.SIGXFSZ],
    )


def _listen(process: int, reader: int, deadline: float, leaving: Callable[[], bool]) -> tuple[bytes, bool]:
    """The end of what it said, and whether it ended before the deadline."""
    said = b""
    end = os.pidfd_open(process)
    try:
        poll = select.poll()
        poll.register(reader, select.POLLIN)
        poll.register(end, select.POLLIN)
        while (left := deadline - time.monotonic()) > 0 and not leaving():
            ready = dict(poll.poll(1000 * min(left, _GLANCE)))
            if reader in ready:
                block = os.read(reader, 1 << 16)
                said = (said + block)[-_TAIL:]
                if not block:
                    poll.unregister(reader)
            elif end in ready:  # ended, and nothing is left to read; a child of it may still hold the pipe
                return said, True
        return said, False
    finally:
        os.close(end)


def _bury(process: int) -> int | None:
    """Kill what is left of its session and reap it; its exit code, negative for a signal, None if it is not known."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process, signal.SIGKILL)  # before it is reaped: until then the number is surely its own
    try:
        return os.waitstatus_to_exitcode(os.waitpid(process, 0)[1])
    except ChildProcessError:
        return None


def _problem(status: int | None, said: bytes) -> str:
    if status == 0:
        return ""
    if status is None:
        how = "ended, nobody knows how"
    elif status < 0:
        how = f"was killed by {signal.Signals(-status).name}"
    else:
        how = f"exit {status}"
    lines = [line for line in said.decode(errors="backslashreplace").splitlines() if line.strip()]
    last = disk.printable(" ".join(lines[-1].split())[:500]) if lines else ""
    return f"{how}: {last}" if last else how
