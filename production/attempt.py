"""An attempt's belongings, and how it ends: what every step needs when a run leaves it by the side door.

Files are made before the transaction that speaks of them and removed after the one that gives them up; both are
harmless twice. An input is removed *inside* it: nobody can start to need a file while we hold the lock.
"""

from __future__ import annotations

import contextlib
import dataclasses
import datetime
import errno
import glob
import os
import re
import shutil
from collections.abc import Iterable, Iterator

from production import disk, errors, journal, process, request, retry
from production import run as runs
from production import site as site_
from production.batch import base as batch
from production.catalogue import base
from production.journal import log, once


@contextlib.contextmanager
def writing(site: site_.Site) -> Iterator[base.Change]:
    """A step's transaction. What is told in it is told when it has been committed.

    Raises: CatalogueBusy, CatalogueFull, LostLease.
    """
    with journal.held(), site.catalogue.write(site.lease.owner) as change:
        yield change


def stay_awake(site: site_.Site) -> None:
    """Before a deed outside of a transaction: who slept so long that the run may be another's by now asks first.

    Raises: LostLease.
    """
    if site.lease.asleep():
        with writing(site):
            pass


def places(site: site_.Site) -> int:
    """Jobs at a time: what it was started with, until a person wanted it otherwise."""
    return site.catalogue.nproc(site.lease.owner) or site.settings.nproc


_CANCELLED = ".cancelled"

_FULL = (errno.ENOSPC, errno.EDQUOT)

_NO_ROOM = "the disk under {} is full: nothing new is staged or submitted, running jobs go on; make room"
"""One text whatever found it, to be told once."""

LEAST_ROOM = 1 << 20
"""Bytes; with less, nothing is staged or started: not even the wrapper could say how its job went."""


def make_directories(site: site_.Site, run: runs.Run) -> None:
    """Where tickets, witnesses and logs go, for all runs of the production.

    Raises: DiskFull; ProductionError, if we may not work there.
    """
    make_writable(site, (site.layout.jobs(), os.path.dirname(site.layout.log(run, "out"))))


def make_writable(site: site_.Site, directories: Iterable[str]) -> None:
    """Directories that we write into are there. What we may not do is no run's fault.

    Raises: DiskFull; ProductionError, if we may not work there.
    """
    with _disk_full_said(site):
        for directory in directories:
            try:
                os.makedirs(directory, exist_ok=True)
            except OSError as cause:
                if cause.errno in _FULL:
                    raise
                raise errors.ProductionError(f"{cause.filename} can't be made: {cause.strerror}") from cause
            if not os.access(directory, os.W_OK | os.X_OK):
                raise errors.ProductionError(
                    f"{directory} may not be written by you; mend: chmod -R g+rwX '{site.settings.data}'"
                )
            room = os.statvfs(directory)
            if room.f_bavail * room.f_frsize < LEAST_ROOM:
                raise errors.DiskFull(_NO_ROOM.format(site.settings.data))


def prepare(site: site_.Site, run: runs.Run) -> None:
    """Ticket, work directory and private home of an attempt that is about to be submitted.

    Raises: DiskFull; OSError for what only concerns this run.
    """
    layout = site.layout
    with _disk_full_said(site):
        if layout.has_work:
            _remove_tree(layout.work(run))
            os.makedirs(layout.work(run))
            if layout.program.home == "private":
                _make_home(site, run)
            for output in layout.outputs(run):
                os.makedirs(os.path.dirname(output.temporary), exist_ok=True)
        make_ticket(site, run)


def make_ticket(site: site_.Site, run: runs.Run) -> None:
    """One more name for the one file that all our tickets are; a file of its own where that can't be.

    A new file costs ten times a name; and an ext4 that thousands of files were removed from in the last minutes doesn't
    give their inodes away again, but looks at each of them in vain for every new one.
    """
    ticket, ours = site.layout.ticket(run), site.layout.tickets(site.lease.owner.id)
    for _ in range(2):
        try:
            os.link(ours, ticket)
            return
        except FileExistsError:
            return  # prepared before
        except FileNotFoundError:
            os.close(os.open(ours, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o666))
        except OSError as cause:
            if cause.errno in _FULL:
                raise
            break  # a file system without hard links
    os.close(os.open(ticket, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o666))


@contextlib.contextmanager
def _disk_full_said(site: site_.Site) -> Iterator[None]:
    try:
        yield
    except OSError as cause:
        if cause.errno in _FULL:
            raise errors.DiskFull(_NO_ROOM.format(site.settings.data)) from cause
        raise


def _make_home(site: site_.Site, run: runs.Run) -> None:
    """The job's own HOME: its input where the script looks for it, directories for what it writes, and links."""
    layout, real = site.layout, os.path.expanduser("~")
    home = layout.home(run)
    links = {os.path.join(home, name): os.path.join(real, name) for name in layout.program.link}
    for target in links.values():
        if not os.path.exists(target):
            name = layout.program.name
            once(f"link {target}", f"{target} is not there, and the jobs of {name} miss it (programs.{name}.link)")
    if run.input and layout.program.staged:
        links[os.path.join(home, "data", os.path.relpath(layout.staged(run), site.settings.data))] = run.input
    os.makedirs(home, exist_ok=True)
    for link, target in links.items():
        os.makedirs(os.path.dirname(link), exist_ok=True)
        os.symlink(target, link)


def fail(site: site_.Site, change: base.Change, run: runs.Run, ending: base.Ending, now: datetime.datetime) -> bool:
    """The attempt ended for a cause: once more later, or not at all. False if the run wasn't ours any more."""
    assert ending.cause is not None
    lost = len(retry.lost(site.catalogue.earlier(run))) if ending.cause is runs.Cause.NODE else 0
    following = retry.after(run, ending.cause, site.layout.program.retry, now, lost)
    told = ending.message.removeprefix(f"{ending.cause} ")  # "output tree: …" says it already
    why = "; ".join(filter(None, (f"{ending.cause}: {told}" if told else str(ending.cause), following.note)))
    if not leave(change, run, following, why, dataclasses.replace(ending, counted=following.counted), now):
        return False
    again = f"failure {following.failures} of {site.layout.program.retry.limit}" if following.counted else "not counted"
    if following.not_before is not None:
        again += f", again in {(following.not_before - now).total_seconds():.0f} s"
    if following.state is runs.State.FAILED:
        log.error("Failed run: %s (%s; after %s%s)", run, why, journal.count(run.attempt, "attempt"), _log(site, run))
    elif ending.cause is not runs.Cause.RELEASED:
        log.warning("Failed attempt of run: %s (%s; %s%s)", run, why, again, _log(site, run))
    return True


def _log(site: site_.Site, run: runs.Run) -> str:
    """Where to read on, if it had a job."""
    had = run.state in (runs.State.SUBMITTED, runs.State.ENDED)
    return f"; log: {site.layout.below(site.layout.log(run, 'err'))}" if had else ""


def hold(change: base.Change, run: runs.Run, cause: runs.Cause, why: str, now: datetime.datetime) -> bool:
    """The run needs a human; says so. False if it wasn't ours any more."""
    held = retry.Next(runs.State.HELD, run.failures, False)
    if not leave(change, run, held, why, base.Ending(cause, why), now):
        return False
    log.error("Held run: %s (%s)", run, why)
    return True


def give_back(change: base.Change, run: runs.Run, cause: runs.Cause, why: str, now: datetime.datetime) -> bool:
    """The run is new again, and nothing is held against it. False if it wasn't ours any more."""
    return leave(change, run, retry.Next(runs.State.NEW, run.failures, False), why, base.Ending(cause, why), now)


def end_as_asked(
    site: site_.Site, change: base.Change, run: runs.Run, asked: base.Asked, ending: base.Ending, now: datetime.datetime
) -> bool:
    """The attempt was ended because a person wants it; not held against the run. False if it wasn't ours any more."""
    verb = request.Verb(asked.ask.verb)
    why = request.reason(verb, asked.ask.user, asked.ask.why)
    failures = 0 if verb is request.Verb.RESET else run.failures
    following = retry.Next(request.outcome(change, run, verb), failures, False, asked_by=asked.ask.user)
    ending = dataclasses.replace(ending, cause=runs.Cause.CANCELLED, message=why)
    if not leave(change, run, following, why, ending, now):
        return False
    change.answer(asked, request.PAST[verb], now, site.lease.owner)
    log.info("Run %s is %s: %s", run, following.state, why)
    return True


def leave(
    change: base.Change,
    run: runs.Run,
    following: retry.Next,
    why: str,
    ending: base.Ending,
    now: datetime.datetime,
) -> bool:
    """The run is ours no more, its attempt over; its input goes, if nobody needs it. False if it wasn't ours any more."""
    for path in change.taken_paths(run):
        change.leave_path(run, path, leftover(path))
    to, by = following.state, following.asked_by
    if not change.move(run, to, why, now, failures=following.failures, not_before=following.not_before, by=by):
        stale(run)
        return False
    change.end(run, ending, now)
    remove_inputs(change, run)
    return True


def leftover(path: str) -> str | None:
    """What is at a fixed path, by which it is known again: another file, or a changed one, is a user's. None: nothing."""
    with contextlib.suppress(OSError):  # a network file system asks its server anew at an open, and only there
        os.close(os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_NOFOLLOW | os.O_CLOEXEC))
    try:
        there = os.lstat(path)
    except OSError:
        return None
    return f"{there.st_ino} {there.st_size} {there.st_mtime_ns}"


def remove_inputs(change: base.Change, run: runs.Run) -> None:
    """The run needs its inputs no more; what we staged and nobody else needs is removed while we hold the lock."""
    for path in change.drop_inputs(run) if run.input else ():
        _remove(path)


def remove_partial(site: site_.Site, run: runs.Run) -> None:
    """What a cancelled job left at its fixed paths; they are still this attempt's while we hold the lock."""
    for path in site.layout.fixed(run):
        _remove(path)


def _remove(path: str) -> None:
    try:
        os.unlink(path)
    except FileNotFoundError:
        pass
    except IsADirectoryError:  # a job may do anything
        shutil.rmtree(path, ignore_errors=True)
    except OSError as cause:
        once(f"remove {path}", f"{path} can't be removed: {cause.strerror}")


def touchable(site: site_.Site, run: runs.Run) -> bool:
    """Whether what its job wrote may be moved by us; what another user's job wrote perhaps not."""
    if run.user == site.lease.owner.user:
        return True
    places = {os.path.dirname(output.temporary) for output in site.layout.outputs(run)}
    return all(os.access(place, os.W_OK | os.X_OK) for place in places)


def in_hand(site: site_.Site) -> int:
    """How many runs we can still bring on: all of ours but those that wait for another user to touch their files."""
    number = sum(site.catalogue.in_flight(site.lease.owner).values())
    ended = site.catalogue.owned(site.lease.owner, runs.State.ENDED) if number else []
    return number - sum(not touchable(site, run) for run in ended)


def stale(run: runs.Run) -> None:
    """Somebody else moved it: say so, leave it."""
    log.info("Run %s has been moved by somebody else; leaving it", run)


def revoke(site: site_.Site, run: runs.Run) -> bool:
    """Take the ticket back, so that a late job doesn't start. False if it was faster: it has begun, and can be found."""
    try:
        os.unlink(site.layout.ticket(run))
    except FileNotFoundError:
        pass  # taken back before, by somebody who was killed here
    except PermissionError:
        once(f"ticket {run}", f"Run {run} waits for {run.user}, whose ticket may not be taken back by you")
        return False
    # The wrapper writes the witness and looks for the ticket afterwards: one without a word (a full disk, a power cut)
    # is of a wrapper that has ended, or that finds no ticket now.
    with contextlib.suppress(FileNotFoundError):
        if os.path.getsize(site.layout.witness(run)):
            make_ticket(site, run)
            return False
    return True


def sought(site: site_.Site, run: runs.Run) -> batch.Sought:
    """What the batch system needs to find the job of a run that has one, or may have."""
    foreign = run.user if run.user != site.lease.owner.user else None
    return batch.Sought(run.submission or "", site.layout.witness(run), foreign or "")


def followed(system: str) -> str:
    """What has to be done for jobs whose manager is gone, by somebody who uses that batch system."""
    return f"their manager is gone; start one with --batch={system}"


def forsake(site: site_.Site) -> None:
    """We have lost our runs: files that came after that are nobody's, unless whoever took over wants them too."""
    clear_tickets(site, site.lease.owner.id)  # whoever took over has swept; we may have made it again since
    site.porter.stop()
    come = [
        path
        for path, progress in site.porter.progress().items()
        if progress.done and progress.error is None and not progress.measured
    ]
    if come:
        with site.catalogue.write() as change:
            for path in come:
                if not change.needed(path):
                    _remove(path)


def begin_cancel(site: site_.Site, run: runs.Run) -> None:
    """Intent before deed: from now on its job's failure is a cancelled job's, whoever sees it."""
    ticket = site.layout.ticket(run)
    with contextlib.suppress(FileNotFoundError, PermissionError):
        os.rename(ticket, ticket + _CANCELLED)


def cancel_in_vain(site: site_.Site, run: runs.Run) -> None:
    """Its job survives, and may say how it ends."""
    ticket = site.layout.ticket(run)
    with contextlib.suppress(FileNotFoundError, PermissionError):
        os.rename(ticket + _CANCELLED, ticket)


def cancelled(site: site_.Site, run: runs.Run) -> bool:
    """Whether somebody began to cancel its job."""
    return os.path.exists(site.layout.ticket(run) + _CANCELLED)


def clear(site: site_.Site, run: runs.Run) -> None:
    """Remove ticket, witness and work directory of an attempt that is over; what isn't ours to remove stays."""
    _clear(site, site.layout.ticket(run), site.layout.witness(run), site.layout.work(run))


def _clear(site: site_.Site, ticket: str, witness: str, work: str) -> None:
    # The ticket first: a job that is late doesn't start without.
    for path in (ticket, ticket + _CANCELLED, witness):
        _remove(path)
    if site.layout.has_work:
        _remove_tree(work)


def _remove_tree(path: str) -> None:
    """Remove what a job left; it may have shut its directories."""
    shutil.rmtree(path, ignore_errors=True)
    if os.path.isdir(path):
        for directory, names, _ in os.walk(path):  # from above: what was opened is looked into next
            for inside in (os.path.join(directory, name) for name in names):
                with contextlib.suppress(OSError):
                    if not os.path.islink(inside):
                        os.chmod(inside, 0o700)
        shutil.rmtree(path, ignore_errors=True)


def sweep(site: site_.Site) -> None:
    """Remove what attempts have left that are over, by managers that were killed before they could clear them."""
    # Listed before asked: what is there now and isn't in flight afterwards will never be needed.
    names = {name for directory in (site.layout.jobs(), site.layout.works()) for name in _list(directory)}
    found = {(int(match[1]), int(match[2])): match[0] for match in map(_ATTEMPT.match, names) if match}
    living = site.catalogue.living(site.layout.production.id) if found else set()
    sweep_manifests(site)
    for attempt, stem in found.items():
        if attempt not in living:
            jobs = os.path.join(site.layout.jobs(), stem)
            _clear(site, jobs + ".ticket", jobs + ".witness", os.path.join(site.layout.works(), stem))
    at_work = {site.layout.tickets(manager.id) for manager in site.catalogue.managers(site.layout.production.id)}
    for path in map(site.layout.tickets, (int(match[1]) for match in map(_TICKETS.fullmatch, names) if match)):
        if path not in at_work:
            _remove(path)
    _sweep_parts(site)


def sweep_manifests(site: site_.Site) -> None:
    """Remove what arrays were sent with, once nothing of the production is in flight; those who sent them may be dead."""
    names = [name for name in _list(site.layout.jobs()) if batch.submission_of(name)]
    if names and not site.catalogue.living(site.layout.production.id):
        for name in names:
            _remove(os.path.join(site.layout.jobs(), name))


def _sweep_parts(site: site_.Site) -> None:
    """Remove inputs that came half, and that nobody goes on with: who would have is dead.

    A manager remembers what broke off, without a transfer in the database, until the run is tried again; so this is done
    only when no other one lives. A transfer under way has its lock, whoever makes it: ``production archive get``, too.
    """
    parts = glob.glob(site.layout.parts()) if site.layout.parts() else []
    others = [one for one in site.catalogue.managers_of_all() if one.id != site.lease.owner.id] if parts else []
    if not parts or not all(map(process.seen_dead, others)):
        return
    with writing(site) as change:
        for part in parts:
            if not change.carried(part.removesuffix(".part")) and disk.remove_abandoned(part):
                log.info("Removed %s, left half by a manager that is gone", part)


def clear_tickets(site: site_.Site, manager: int) -> None:
    """Remove the file that a manager's tickets were names of; those that are left keep it."""
    _remove(site.layout.tickets(manager))


_TICKETS = re.compile(r"manager(\d+)\.tickets")
_ATTEMPT = re.compile(r"(\d+)\.(\d+)")


def _list(directory: str) -> list[str]:
    try:
        return os.listdir(directory)
    except OSError:
        return []
