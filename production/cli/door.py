"""The first thing of both commands: what Ctrl-C, TERM and HUP do until the manager has its own answer to them.

Imports take a quarter of a second, in which Python's own answer would be a traceback. This module imports next to
nothing; the next room is ``run_production`` or ``production``.
"""

from __future__ import annotations

import os
import signal
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from types import FrameType

INTERRUPTED = 130


def run_production() -> int:
    """The command ``run_production``; its exit code."""
    leave_at_once()
    from production.cli import run_production as command

    return command.main()


def production() -> int:
    """The command ``production``; its exit code."""
    leave_at_once()
    from production.cli import production as command

    return command.main()


def numbers() -> list[signal.Signals]:
    """The signals that ask us to stop."""
    stopping = [signal.SIGINT, signal.SIGTERM]
    if signal.getsignal(signal.SIGHUP) != signal.SIG_IGN:  # nohup
        stopping.append(signal.SIGHUP)
    return stopping


def leave_at_once() -> None:
    """Nothing has been touched: a signal ends the process there and then."""
    # No exception: raised in the middle of an import it may come up in a callback, which prints it and goes on.
    for number in numbers():
        signal.signal(number, _exit)


def unwind() -> None:
    """From now on there is something to tidy up: a signal becomes a KeyboardInterrupt, a second one leaves at once."""
    for number in numbers():
        signal.signal(number, _interrupt)


def be_deaf() -> None:
    """All is done and said: the exit code is to be ours."""
    for number in numbers():
        signal.signal(number, signal.SIG_IGN)


def _exit(_number: int, _frame: FrameType | None) -> None:
    os._exit(INTERRUPTED)


def _interrupt(_number: int, _frame: FrameType | None) -> None:
    leave_at_once()
    raise KeyboardInterrupt
