"""Runs a program to its end, from a thread: an argv, no shell, a time limit, and the last of what it said.

Below the rooms that ask programs of the site or of the user (transfer, outputs). Nothing of a program outlives the
call, its children included.
"""

from __future__ import annotations

import contextlib
import dataclasses
import os
import select
import signal
import time
from collections.abc import Callable, Mapping, Sequence

from production import disk

KEPT = 1 << 16
"""Bytes of what it said that are kept: who prints a gigabyte is read, not remembered."""
_GLANCE = 0.25
"""Seconds between two looks whether the manager wants to leave."""


@dataclasses.dataclass(frozen=True, slots=True)
class End:
    """How a program ended."""

    status: int | None
    """Exit code, negative for a signal, None if it is not known."""
    said: bytes
    """The last of its standard output, and of its standard error unless that was read apart."""
    complained: bytes = b""
    """The last of its standard error."""
    ended: bool = True
    """False if it was killed because the time was up or the manager is leaving."""


def run(
    argv: Sequence[str],
    limit: float,
    leaving: Callable[[], bool],
    *,
    apart: bool = False,
    variables: Mapping[str, str | None] | None = None,
    read: bytes = b"",
    kept: int = KEPT,
) -> End:
    """Run a program that reads ``read``; ``limit`` is in seconds, ``variables`` go over the environment, None takes away.

    ``apart``: its standard error is kept apart from its standard output; of each the last ``kept`` bytes.
    Raises: OSError: it could not be started.
    """
    with contextlib.ExitStack() as stack:
        with contextlib.ExitStack() as until_it_runs:
            pipes = [_pipe(stack, until_it_runs) for _ in range(2 if apart else 1)]
            source = _source(until_it_runs, read)
            process = _spawn(argv, (source, pipes[0][1], pipes[-1][1]), variables or {})
        heard = {reader: bytearray() for reader, _ in pipes}
        try:
            ended = _listen(process, heard, time.monotonic() + limit, leaving, kept)
        finally:
            status = _bury(process)
    said, complained = (*map(bytes, heard.values()), b"")[:2]
    return End(status, said, complained, ended)


def problem(end: End, limit: float, leaving: Callable[[], bool]) -> str:
    """How it went wrong, with its last line; "" if it ended with 0."""
    if not end.ended:
        return "the manager is leaving" if leaving() else f"took longer than {limit:g} s"
    if end.status == 0:
        return ""
    if end.status is None:
        how = "ended, nobody knows how"
    elif end.status < 0:
        how = f"was killed by {signal.Signals(-end.status).name}"
    else:
        how = f"exit {end.status}"
    last = last_line(end.complained) or last_line(end.said)
    return f"{how}: {last}" if last else how


def last_line(said: bytes) -> str:
    """The last line that isn't empty, printable and not too long; "" if there is none."""
    lines = [line for line in said.decode(errors="backslashreplace").splitlines() if line.strip()]
    return disk.printable(" ".join(lines[-1].split())[:500]) if lines else ""


def _pipe(readers: contextlib.ExitStack, writers: contextlib.ExitStack) -> tuple[int, int]:
    """A pipe, its ends to be closed by these two."""
    reader, writer = os.pipe()
    readers.callback(os.close, reader)
    writers.callback(os.close, writer)
    return reader, writer


def _source(stack: contextlib.ExitStack, read: bytes) -> int:
    """What the program reads. Not a pipe: nobody would have to fill it while the other side talks."""
    source = os.memfd_create("read", os.MFD_CLOEXEC) if read else os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC)
    stack.callback(os.close, source)
    if read:
        with open(source, "wb", closefd=False) as file:
            file.write(read)
        os.lseek(source, 0, os.SEEK_SET)
    return source


def _spawn(argv: Sequence[str], streams: tuple[int, int, int], variables: Mapping[str, str | None]) -> int:
    # Not subprocess: our threads block every signal, a child inherits that, and only posix_spawn takes it off again
    # (a check that runs `timeout` would never see its SIGALRM). SIGPIPE and SIGXFSZ are ignored in a Python process.
    return os.posix_spawnp(
        argv[0],
        list(argv),
        {name: value for name, value in {**os.environ, **variables}.items() if value is not None},
        file_actions=[(os.POSIX_SPAWN_DUP2, stream, number) for number, stream in enumerate(streams)],
        setsid=True,
        setsigmask=[],
        setsigdef=[signal.SIGPIPE, signal.SIGXFSZ],
    )


def _listen(process: int, heard: dict[int, bytearray], deadline: float, leaving: Callable[[], bool], kept: int) -> bool:
    """Fill ``heard``, {descriptor: the end of what came}; whether the program ended before the deadline."""
    end = os.pidfd_open(process)
    try:
        poll = select.poll()
        for descriptor in (*heard, end):
            poll.register(descriptor, select.POLLIN)
        while (left := deadline - time.monotonic()) > 0 and not leaving():
            ready = dict(poll.poll(1000 * min(left, _GLANCE)))
            for reader in heard.keys() & ready.keys():
                block = os.read(reader, 1 << 16)
                heard[reader] += block
                del heard[reader][:-kept]
                if not block:
                    poll.unregister(reader)
            if ready.keys() == {end}:  # ended, and nothing is left to read; a child of it may still hold the pipe
                return True
        return False
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
