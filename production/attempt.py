"""An attempt's belongings, and how it ends: what every step needs when a run leaves it by the side door.

Files are made before the transaction that speaks of them and removed after the one that gives them up; both are
harmless twice. An input is removed *inside* it: nobody can start to need a file while we hold the lock.
"""

from __future__ import annotations

import contextlib
import dataclasses
import datetime
import errno
import os
import shutil

from production import errors, retry
from production import run as runs
from production import site as site_
from production.catalogue import base
from production.journal import log


def prepare(site: site_.Site, run: runs.Run) -> None:
    """Ticket, work directory and private home of an attempt that is about to be submitted.

    Raises: DiskFull; OSError for what only concerns this run.
    """
    try:
        _make_room(site, run)
    except OSError as cause:
        if cause.errno in (errno.ENOSPC, errno.EDQUOT):
            raise errors.DiskFull(f"no room under {site.settings.data} for the files of a job") from cause
        raise


def _make_room(site: site_.Site, run: runs.Run) -> None:
    layout = site.layout
    work = layout.work(run)
    with contextlib.suppress(FileNotFoundError):
        shutil.rmtree(work)
    for directory in (layout.jobs(), os.path.dirname(layout.log(run, "out")), work):
        os.makedirs(directory, exist_ok=True)
    if layout.program.home == "private":
        _make_home(site, run)
    for output in layout.outputs(run):
        os.makedirs(os.path.dirname(output.temporary), exist_ok=True)
    with open(layout.ticket(run), "w", encoding="utf-8") as ticket:
        ticket.write(f"{layout.mark(run)} {site.lease.owner.id}\n")


def _make_home(site: site_.Site, run: runs.Run) -> None:
    """The job's own HOME: its input where the script looks for it, directories for what it writes, and links."""
    layout, real = site.layout, os.path.expanduser("~")
    home = layout.home(run)
    links = {os.path.join(home, name): os.path.join(real, name) for name in layout.program.link}
    if run.input and layout.program.staged:
        links[os.path.join(home, "data", os.path.relpath(layout.staged(run), site.settings.data))] = run.input
    os.makedirs(home, exist_ok=True)
    for link, target in links.items():
        os.makedirs(os.path.dirname(link), exist_ok=True)
        os.symlink(target, link)


def fail(site: site_.Site, change: base.Change, run: runs.Run, ending: base.Ending, now: datetime.datetime) -> None:
    """The attempt ended for a cause: once more later, or not at all."""
    assert ending.cause is not None
    following = retry.after(run, ending.cause, site.layout.program.retry, now)
    why = f"{ending.cause}: {ending.message}" if ending.message else str(ending.cause)
    if not leave(change, run, following, why, dataclasses.replace(ending, counted=following.counted), now):
        return
    again = f"attempt {following.failures} of {site.layout.program.retry.limit}" if following.counted else "not counted"
    if following.state is runs.State.FAILED:
        log.error("Failed run: %s (%s)", run, why)
    elif ending.cause is not runs.Cause.RELEASED:
        log.warning("Failed attempt of run: %s (%s; %s)", run, why, again)


def hold(change: base.Change, run: runs.Run, cause: runs.Cause, why: str, now: datetime.datetime) -> None:
    """The run needs a human; says so."""
    held = retry.Next(runs.State.HELD, run.failures, False)
    if leave(change, run, held, why, base.Ending(cause, why), now):
        log.error("Held run: %s (%s)", run, why)


def give_back(change: base.Change, run: runs.Run, cause: runs.Cause, why: str, now: datetime.datetime) -> None:
    """The run is new again, and nothing is held against it."""
    leave(change, run, retry.Next(runs.State.NEW, run.failures, False), why, base.Ending(cause, why), now)


def leave(
    change: base.Change, run: runs.Run, following: retry.Next, why: str, ending: base.Ending, now: datetime.datetime
) -> bool:
    """The run is ours no more, its attempt over; its input goes, if nobody needs it. False if it wasn't ours any more."""
    if not change.move(run, following.state, why, now, failures=following.failures, not_before=following.not_before):
        stale(run)
        return False
    change.end(run, ending, now)
    remove_inputs(change, run)
    return True


def remove_inputs(change: base.Change, run: runs.Run) -> None:
    """The run needs its inputs no more; what we staged and nobody else needs is removed while we hold the lock."""
    for path in change.drop_inputs(run):
        with contextlib.suppress(FileNotFoundError):
            os.unlink(path)


def stale(run: runs.Run) -> None:
    """Somebody else moved it: say so, leave it."""
    log.info("Run %s has been moved by somebody else; leaving it", run)


def clear(site: site_.Site, run: runs.Run) -> None:
    """Remove ticket, witness and work directory of an attempt that is over; what isn't ours to remove stays."""
    # The ticket first: a job that is late doesn't start without.
    for path in (site.layout.ticket(run), site.layout.witness(run)):
        with contextlib.suppress(FileNotFoundError, PermissionError):
            os.unlink(path)
    shutil.rmtree(site.layout.work(run), ignore_errors=True)
