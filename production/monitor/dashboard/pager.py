"""Another program that has the terminal for itself for a while: $PAGER."""

from __future__ import annotations

import contextlib
import os
import shlex
import shutil
import signal
import sys
from collections.abc import Iterator

from production import errors


def command() -> list[str]:
    """What $PAGER says, or ``less``. Raises: UsageError, if there is no such program."""
    said = os.environ.get("PAGER") or "less"
    try:
        words = shlex.split(said)
    except ValueError:
        words = []
    if not words or shutil.which(words[0]) is None:
        raise errors.UsageError(f"PAGER={said}: there is no such program on the PATH")
    return words


def run(words: list[str]) -> int:
    """Until it has ended; its exit code.

    In a process group of its own: a Ctrl-C in there isn't meant for the production that may stand behind us.
    Raises: UsageError, if it can't be started.
    """
    terminal, ours = sys.stdin.fileno(), os.getpgrp()
    before = signal.signal(signal.SIGTTOU, signal.SIG_IGN)  # sent to who gives the terminal back from behind
    try:
        with _group() as group:
            _give(terminal, group)
            pid = os.posix_spawnp(words[0], words, os.environ, setpgroup=group, setsigdef=[signal.SIGTTOU])
        while os.WIFSTOPPED(status := os.waitpid(pid, os.WUNTRACED)[1]):
            _give(terminal, group)
            with contextlib.suppress(ProcessLookupError):  # it has ended already
                os.killpg(group, signal.SIGCONT)  # nobody else could go on with it: a Ctrl-Z does nothing
    except OSError as trouble:  # no program, though it may be executed
        raise errors.UsageError(f"PAGER: {os.path.basename(words[0])}: {trouble.strerror}") from trouble
    finally:
        _give(terminal, ours)
        signal.signal(signal.SIGTTOU, before)
    return os.waitstatus_to_exitcode(status)


@contextlib.contextmanager
def _group() -> Iterator[int]:
    """A process group that somebody is in: it can have the terminal before who is to have it begins."""
    holder = os.posix_spawnp("sh", ["sh", "-c", "kill -STOP $$"], os.environ, setpgroup=0)
    try:
        yield holder
    finally:
        os.kill(holder, signal.SIGKILL)
        os.waitpid(holder, 0)


def _give(terminal: int, group: int) -> None:
    with contextlib.suppress(OSError):  # nobody controls it
        os.tcsetpgrp(terminal, group)
