"""Another program that has the terminal for itself for a while: $PAGER."""

from __future__ import annotations

import contextlib
import os
import shlex
import shutil
import signal
import sys

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
        try:
            pid = os.posix_spawnp(words[0], words, os.environ, setpgroup=0, setsigdef=[signal.SIGTTOU])
        except OSError as trouble:  # no program, though it may be executed
            raise errors.UsageError(f"PAGER: {os.path.basename(words[0])}: {trouble.strerror}") from trouble
        status = -1
        while status < 0 or os.WIFSTOPPED(status):
            with contextlib.suppress(OSError):  # it has ended already
                os.tcsetpgrp(terminal, pid)
                os.kill(pid, signal.SIGCONT)  # nobody else could go on with it: a Ctrl-Z does nothing
            _, status = os.waitpid(pid, os.WUNTRACED)
        with contextlib.suppress(OSError):  # nobody controls it
            os.tcsetpgrp(terminal, ours)
    finally:
        signal.signal(signal.SIGTTOU, before)
    return os.waitstatus_to_exitcode(status)
