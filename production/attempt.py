"""An attempt's belongings, and how it ends: what every step needs when a run leaves it by the side door.

Files are made before the transaction that speaks of them and removed after the one that gives them up; both are
harmless twice. An input is removed *inside* it: nobody can start to need a file while we hold the lock.
"""

from __future__ import annotations

import contextlib
import dataclasses
import datetime
import glob
import os
import re
from collections.abc import Collection, Iterator, Sequence

from production import disk, journal, process, request, retry
from production import run as runs
from production import site as site_
from production.batch import base as batch
from production.catalogue import base
from production.journal import log, once
from production.outputs import base as outputs


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


def prepare(site: site_.Site, attempts: Sequence[runs.Run]) -> dict[int, str]:
    """All that these attempts need on the disk of their jobs; {run: what kept it from that}.

    Raises: DiskFull; ProductionError, if we may not work there.
    """
    layout, depot = site.layout, site.batch.depot
    depot.make({layout.jobs(), os.path.dirname(layout.log(attempts[0], "out"))})
    _tell_missing(site)
    wrong = depot.prepare([_furnished(site, run) for run in attempts])
    return {run.run: wrong[layout.ticket(run)] for run in attempts if layout.ticket(run) in wrong}


def _tell_missing(site: site_.Site) -> None:
    """What jobs are to have of the true HOME, and won't."""
    program = site.layout.program
    targets = [os.path.join(site.layout.true_home, name) for name in program.link if program.home == "private"]
    there = site.batch.depot.present(targets) if targets else ()
    for target in targets:
        if target not in there:
            once(
                f"link {target}",
                f"{target} is not there, and the jobs of {program.name} miss it (programs.{program.name}.link)",
            )


def belongings(site: site_.Site, run: runs.Run) -> batch.Belongings:
    """What the attempt has on the disk of its job, without what is in its work directory."""
    layout = site.layout
    return batch.Belongings(
        ticket=layout.ticket(run),
        tickets=layout.tickets(site.lease.owner.id),
        witness=layout.witness(run),
        work=layout.work(run) if layout.has_work else "",
        input=layout.own_input(run),
    )


def _furnished(site: site_.Site, run: runs.Run) -> batch.Belongings:
    """With what is in its work directory before it begins."""
    layout, own = site.layout, belongings(site, run)
    if not layout.has_work:
        return own
    directories = [os.path.dirname(output.temporary) for output in layout.outputs(run)]
    if layout.program.home != "private":
        return dataclasses.replace(own, directories=tuple(directories))
    return dataclasses.replace(own, directories=(layout.home(run), *directories), links=_links(site, run))


def _links(site: site_.Site, run: runs.Run) -> tuple[tuple[str, str], ...]:
    """Of the job's own HOME: its input where the script looks for it, and what is to be seen of the true one."""
    layout = site.layout
    home = layout.home(run)
    links = {os.path.join(home, name): os.path.join(layout.true_home, name) for name in layout.program.link}
    if run.input and layout.program.staged:
        links[os.path.join(home, "data", layout.expected(run))] = layout.reached(run.input)
    return tuple(links.items())


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
        _say(disk.remove(path))


def remove_partial(site: site_.Site, run: runs.Run) -> None:
    """What a cancelled job left at its fixed paths; they are still this attempt's while we hold the lock."""
    for path in site.layout.fixed(run):
        _say(disk.remove(path))


def _say(trouble: str) -> None:
    if trouble:
        once(f"remove {trouble}", trouble)


def touchable(site: site_.Site, run: runs.Run) -> bool:
    """Whether what its job wrote may be moved by us; what another user's job wrote perhaps not."""
    if run.user == site.lease.owner.user:
        return True
    return site.batch.depot.touchable({os.path.dirname(output.temporary) for output in site.layout.outputs(run)})


def in_hand(site: site_.Site) -> int:
    """How many runs we can still bring on: all of ours but those that wait for another user to touch their files."""
    number = sum(site.catalogue.in_flight(site.lease.owner).values())
    ended = site.catalogue.owned(site.lease.owner, runs.State.ENDED) if number else []
    return number - sum(not touchable(site, run) for run in ended)


def stale(run: runs.Run) -> None:
    """Somebody else moved it: say so, leave it."""
    log.info("Run %s has been moved by somebody else; leaving it", run)


def revoke(site: site_.Site, jobs: Sequence[runs.Run]) -> list[runs.Run]:
    """Take tickets back, so that late jobs don't start; those for which that came true.

    The others were faster: they have begun, and can be found.
    """
    by_ticket = {site.layout.ticket(run): run for run in jobs}
    became = site.batch.depot.revoke([belongings(site, run) for run in jobs]) if jobs else {}
    for ticket, how in became.items():
        if how is batch.Revoked.FORBIDDEN:
            run = by_ticket[ticket]
            once(f"ticket {run}", f"Run {run} waits for {run.user}, whose ticket may not be taken back by you")
    return [run for ticket, run in by_ticket.items() if became[ticket] is batch.Revoked.TAKEN]


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
                    _say(disk.remove(path))


def give_tickets(site: site_.Site, jobs: Sequence[runs.Run]) -> None:
    """They have their tickets, as far as they lacked them."""
    if jobs:
        site.batch.depot.give_tickets([belongings(site, run) for run in jobs])


def begin_cancel(site: site_.Site, jobs: Sequence[runs.Run]) -> None:
    """Intent before deed: from now on their failures are those of cancelled jobs, whoever sees them."""
    site.batch.depot.begin_cancel([belongings(site, run) for run in jobs])


def cancel_in_vain(site: site_.Site, jobs: Sequence[runs.Run]) -> None:
    """Their jobs survive, and may say how they end."""
    site.batch.depot.cancel_in_vain([belongings(site, run) for run in jobs])


def cancelled(site: site_.Site, jobs: Sequence[runs.Run]) -> set[int]:
    """The runs whose jobs somebody began to cancel."""
    began = site.batch.depot.cancelled([belongings(site, run) for run in jobs]) if jobs else ()
    return {run.run for run in jobs if site.layout.ticket(run) in began}


def clear(site: site_.Site, over: Sequence[runs.Run]) -> None:
    """Remove ticket, witness and work directory of attempts that are over; what isn't ours to remove stays."""
    _clear(site, [belongings(site, run) for run in over])
    for run in over if site.layout.elsewhere else ():
        for output in site.layout.outputs(run):
            copy = outputs.copy(output, site.layout.mark(run))
            _say(disk.remove(copy) or disk.remove(f"{copy}.part"))


def _clear(site: site_.Site, over: Sequence[batch.Belongings]) -> None:
    for trouble in site.batch.depot.clear(over).values() if over else ():
        _say(trouble)


def _left(site: site_.Site, stem: str) -> batch.Belongings:
    """What an attempt that is over may have left, known by what its files' names begin with."""
    layout = site.layout
    path = os.path.join(layout.jobs(), stem)
    inputs = os.path.join(layout.own_inputs(), stem) if layout.own_inputs() else ""
    return batch.Belongings(
        path + ".ticket", "", path + ".witness", os.path.join(layout.works(), stem) if layout.has_work else "", inputs
    )


def sweep(site: site_.Site) -> None:
    """Remove what attempts have left that are over, by managers that were killed before they could clear them."""
    # Listed before asked: what is there now and isn't in flight afterwards will never be needed.
    depot = site.batch.depot
    directories = filter(None, (site.layout.jobs(), site.layout.works(), site.layout.own_inputs()))
    names = {name for directory in directories for name in depot.names(directory)}
    found = {(int(match[1]), int(match[2])): match[0] for match in map(_ATTEMPT.match, names) if match}
    living = site.catalogue.living(site.layout.production.id) if found else set()
    sweep_manifests(site)
    _clear(site, [_left(site, stem) for attempt, stem in found.items() if attempt not in living])
    at_work = {site.layout.tickets(manager.id) for manager in site.catalogue.managers(site.layout.production.id)}
    tickets = {site.layout.tickets(int(match[1])) for match in map(_TICKETS.fullmatch, names) if match}
    _remove(site, tickets - at_work)
    _sweep_parts(site)


def sweep_manifests(site: site_.Site) -> None:
    """Remove what arrays were sent with, once nothing of the production is in flight; those who sent them may be dead."""
    names = [name for name in site.batch.depot.names(site.layout.jobs()) if batch.submission_of(name)]
    if names and not site.catalogue.living(site.layout.production.id):
        _remove(site, [os.path.join(site.layout.jobs(), name) for name in names])


def _remove(site: site_.Site, paths: Collection[str]) -> None:
    """From the disk of the jobs."""
    for trouble in site.batch.depot.remove(paths).values() if paths else ():
        _say(trouble)


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
    _remove(site, [site.layout.tickets(manager)])


_TICKETS = re.compile(r"manager(\d+)\.tickets")
_ATTEMPT = re.compile(r"(\d+)\.(\d+)")
