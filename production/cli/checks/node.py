"""The login node of a cluster elsewhere: it is the one we know, it lets us in, it has the commands, and what time it is there."""

from __future__ import annotations

import time

from production import disk, settings
from production.batch import there
from production.cli import remote, wiring
from production.cli.checks import finding, ground


def look(chosen: settings.Batch) -> finding.Finding:
    """What is found on the way there.

    Raises: UsageError, RemoteAway, BatchUnanswered, Bad: how far we came.
    """
    began = time.monotonic()
    wiring.check_batch(chosen)
    taken = time.monotonic() - began
    way = remote.reached(chosen.host)
    _find_fetcher(chosen)
    before = time.time()
    told = there.There(way).time(remote.COMMAND)
    after = time.time()
    off = min(0.0, told + 1 - before) + max(0.0, told - after)  # it says whole seconds
    through = "".join(f" through {one.name}" for one in way.host.through)
    found = f"{chosen.host}{through}: its host key is known, {way.host.user} is let in after {taken:.2f} s, its commands are there"
    if abs(off) < ground.CLOSE:
        return finding.Finding("batch", True, found)
    which = "ahead of" if off > 0 else "behind"
    return finding.Finding(
        "batch", False, f"{found}; its clock is {abs(off):,.0f} s {which} ours", "see on both machines: timedatectl"
    )


def _find_fetcher(chosen: settings.Batch) -> None:
    """Raises: Bad: what is to fetch the inputs isn't there; BatchUnanswered."""
    if chosen.fetch and there.There(remote.reached(chosen.host)).missing(chosen.fetch[:1], remote.COMMAND):
        raise finding.Bad(
            f"batch.fetch: {disk.printable(chosen.fetch[0])} is not on the PATH of {chosen.host}",
            "write its whole path, or let the .bashrc there (.zshenv, .cshrc) add its directory",
        )
