"""Commands, given as a user gives them: said, then done, and never left behind."""

from __future__ import annotations

import ctypes
import functools
import os
import pathlib
import shlex
import signal
import subprocess
from collections.abc import Sequence
from typing import Any

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
PR_SET_PDEATHSIG = 1


class Stop(Exception):
    """The demo ends here; the message says why."""

    def __init__(self, message: str, code: int = 1) -> None:
        super().__init__(message)
        self.code = code


def in_the_way(error: OSError, place: pathlib.Path | str) -> str:
    """What is wrong with which file, and what one may do about it. Without a name in it, it was in that place."""
    path = near(error.filename or place)
    return f"{path}: {error.strerror}; mend it or move it away, or give the demo another --directory"


def near(path: pathlib.Path | str) -> str:
    """The path as one would type it here."""
    relative = os.path.relpath(path)
    return str(path) if relative.startswith("..") else relative


def started(words: Sequence[str], **how: Any) -> subprocess.Popen[bytes]:
    """A child that ends when we are gone."""
    ending = functools.partial(end_with, os.getpid())
    return subprocess.Popen(words, preexec_fn=ending, **{"stdin": subprocess.DEVNULL} | how)  # noqa: PLW1509  one thread


def end_with(parent: int) -> None:
    """In the child: a TERM comes when the demo is gone, whatever became of it."""
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
    if os.getppid() != parent:
        os._exit(1)


def run(*command: str, beside: subprocess.Popen[bytes] | None = None, has_keys: bool = False) -> None:
    """Say and do. A Ctrl-C reaches the child, too: it cleans up and we wait for it, as after a TERM.

    ``has_keys``: what is typed is for the child.

    Raises: Stop if the command fails, or what has to run beside it ends; 3 (done, but runs failed) is for the caller to
        see in the database.
    """
    print(f"\n$ {shlex.join(command)}", flush=True)
    told: list[int] = []
    before = {number: signal.signal(number, lambda number, _: told.append(number)) for number in SIGNALS}
    try:
        keys = None if has_keys else subprocess.DEVNULL
        code = wait(started(command, stdin=keys), told, beside)
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    if not told and beside and beside.poll() is not None:
        words = shlex.join(map(str, beside.args))  # type: ignore[arg-type]  # a list, as we gave it
        raise Stop(f"This has ended meanwhile (exit code {beside.returncode}), start the demo again: {words}")
    if told or code in (130, -signal.SIGINT):
        raise KeyboardInterrupt
    if code not in (0, 3):
        raise Stop(f"That ended with exit code {code}.")


def wait(child: subprocess.Popen[bytes], told: list[int], beside: subprocess.Popen[bytes] | None) -> int:
    """Until it has ended; what we alone were told, it is told, and that it is alone."""
    passed_on = False
    while True:
        try:
            return child.wait(0.2)
        except subprocess.TimeoutExpired:
            is_alone = beside is not None and beside.poll() is not None
            if (signal.SIGTERM in told or is_alone) and not passed_on:
                child.terminate()
                passed_on = True
