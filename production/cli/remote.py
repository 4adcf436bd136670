"""The machines that we reach over SSH: one way to each for all who need it, how commands run there, and logs that only they see.

Before it is ``wiring``, and whoever only looks, who pays for a way when it is needed; behind it ``ssh`` and the rooms that use it.
"""

from __future__ import annotations

import contextlib
import functools
import getpass
import os
import sys
import threading
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from production import child, errors, process, settings
from production.monitor import afar, reach

if TYPE_CHECKING:
    from production.batch import scheduler
    from production.ssh import connection

COMMAND = 30.0
"""Seconds that a command of a cluster may take, at most: with its controller away a client of Slurm hangs for 9 to 18 s."""

_ALONE = threading.Lock()
"""Of who looks up a way: two threads that begin together share one."""


@functools.cache
def reached(host: str) -> connection.Connection:
    """The way to another machine, one for all who need it: a person is asked once. Raises: UsageError."""
    from production.ssh import config, connection  # 0.2 s, and few need it

    return connection.Connection(config.find(host, os.path.expanduser("~")))


def greet(host: str) -> None:
    """Log in now, asking a person if need be; who is away is waited for by who asks next.

    Raises: RemoteRefused, UsageError.
    """
    from production.ssh import patience

    with contextlib.suppress(errors.RemoteAway):
        reached(host).greet(patience.of(COMMAND), person())


def hear(host: str, argv: Sequence[str], seconds: float, leaving: Callable[[], bool]) -> child.End:
    """What a command says on another machine; nobody is asked for anything.

    Raises: RemoteError; UsageError: what the SSH settings say can't be understood.
    """
    from production.batch import there
    from production.ssh import patience

    with _ALONE:
        way = reached(host)
    way.greet(patience.of(seconds))  # whoever asked may lose interest, the next one needs the connection all the same
    try:
        return there.There(way, leaving).hear(argv, timeout=seconds)
    except errors.BatchUnasked as trouble:
        if isinstance(trouble.__cause__, errors.RemoteError):
            raise trouble.__cause__ from trouble
        raise
    except errors.BatchUnanswered as trouble:
        raise errors.RemoteAway(str(trouble).removeprefix(argv[0]).lstrip(": ")) from trouble
    except errors.BatchError as lacks:
        raise errors.RemoteRefused(str(lacks)) from lacks


def logs() -> reach.Reach:
    """Jobs' logs, wherever they lie: connections are made when a log is opened."""
    return reach.Reach(afar.Afar(hear))


def person() -> Callable[[str, bool], str] | None:
    """Asks whoever sits at our terminal; None if nobody does."""
    if not (sys.stdin.isatty() and sys.stderr.isatty()):
        return None

    def ask(question: str, seen: bool) -> str:
        try:
            return input(question) if seen else getpass.getpass(question)
        except EOFError:
            return ""

    return ask


def account(chosen: settings.Batch, user: str) -> str:
    """What a user of this machine is called where the jobs are, as far as we know. Raises: UsageError."""
    return reached(chosen.host).host.user if chosen.host and user == process.user() else user


def shell(chosen: settings.Batch, leaving: Callable[[], bool] = lambda: False) -> scheduler.Shell:
    """Where the cluster's commands are. Raises: UsageError."""
    from production.batch import shell as here
    from production.batch import there

    return there.There(reached(chosen.host), leaving) if chosen.host else here.Here(leaving)


def typed(chosen: settings.Batch) -> str:
    """What a person types before a cluster's command."""
    return f"{call(chosen.host)} " if chosen.host else ""


def call(host: str) -> str:
    """What a person types to be there."""
    return f"ssh {f'ssh://{host}' if ':' in host else host}"
