"""Other machines for those who look: what a command says there, and logs that only they see.

Whoever asks only for what is here pays nothing for it: the way there, which is everybody's (``wiring.reached``), is made when it is needed.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence

from production import child, errors
from production.monitor import afar, reach

_ALONE = threading.Lock()
"""Of who looks up a way: two threads that begin together share one."""


def hear(host: str, argv: Sequence[str], seconds: float, leaving: Callable[[], bool]) -> child.End:
    """What a command says on another machine; nobody is asked for anything.

    Raises: RemoteError; UsageError: what the SSH settings say can't be understood.
    """
    from production.batch import there
    from production.cli import wiring
    from production.ssh import patience

    with _ALONE:
        way = wiring.reached(host)
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
