"""Stop: cancel our jobs in one go, see that they are gone, remove what is partial, and give the claims back last."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from production import attempt
from production import run as runs
from production import site as site_
from production.batch import base as batch
from production.journal import count, log, numbers, once, some

PATIENCE = 30.0
"""Seconds to wait for cancelled jobs to be gone; on clusters, which are slow to end them and to say so, grace is added."""


def step(site: site_.Site, again: Callable[[], bool]) -> list[runs.Run]:
    """Everything in our hands → new, but for runs whose job survives: those are returned, and stay ours.

    ``again`` tells of a second Ctrl-C: then it ends at once.
    """
    site.porter.stop(again)
    jobs = site.catalogue.owned(site.lease.owner, runs.State.SUBMITTING, runs.State.SUBMITTED)
    # Only the job's own user can cancel it: waiting for another's to go would be in vain.
    foreign = [run for run in jobs if run.user != site.lease.owner.user]
    survivors = foreign + _cancel(site, [run for run in jobs if run not in foreign], again)
    gone = [run for run in jobs if run not in survivors]
    rest = site.catalogue.owned(site.lease.owner, runs.State.CLAIMED, runs.State.STAGED, runs.State.ENDED)
    # What is on its way to its place, or isn't ours to touch, is finished by the next manager.
    stuck = [run for run in rest if not attempt.touchable(site, run) or site.catalogue.intended(run)]
    given_back = _give_back(site, gone, runs.Cause.CANCELLED)
    given_back += _give_back(site, [run for run in rest if run not in stuck], runs.Cause.RELEASED)
    if given_back:
        log.info("Released %s: %s", count(len(given_back)), numbers(given_back, len(given_back)))
    return survivors + stuck


def _cancel(site: site_.Site, jobs: Sequence[runs.Run], again: Callable[[], bool]) -> list[runs.Run]:
    """Those whose jobs are still there at the end."""
    if not jobs:
        return []
    once("cancelling", f"Cancelling {count(len(jobs), 'job')}: {some(jobs)}")  # which may have to be tried again
    by_mark = {site.layout.mark(run): run for run in jobs}
    known = {mark: run.job for mark, run in by_mark.items() if run.job}
    unsure = {mark: run for mark, run in by_mark.items() if not run.job}
    known |= _find(site, unsure)
    # A job that is late doesn't start without its ticket; one that just began can be found now.
    unfound = [run for mark, run in unsure.items() if mark not in known]
    never = {run.run for run in attempt.revoke(site, unfound)}
    known |= _find(site, {site.layout.mark(run): run for run in unfound if run.run not in never})
    living = {mark: by_mark[mark] for mark in known}
    end = site.clock.boottime() + PATIENCE + site.settings.grace
    attempt.begin_cancel(site, list(living.values()))
    if known:
        site.batch.cancel(known)
    while living and not again() and site.clock.boottime() < end:
        reports = site.batch.query({mark: known[mark] for mark in living})
        living = {mark: run for mark, run in living.items() if reports[mark].phase is not batch.Phase.GONE}
        if living:
            site.clock.wait(0.1)
    if not again():  # else they are still dying
        attempt.cancel_in_vain(site, list(living.values()))
    return list(living.values())


def _find(site: site_.Site, unsure: Mapping[str, runs.Run]) -> dict[str, str]:
    return dict(site.batch.find({mark: attempt.sought(site, run) for mark, run in unsure.items()})) if unsure else {}


def _give_back(site: site_.Site, leaving: Sequence[runs.Run], cause: runs.Cause) -> list[runs.Run]:
    """Those that were ours to give."""
    if not leaving:
        return []
    now = site.clock.now()
    with attempt.writing(site) as change:
        for run in leaving:
            if run.job:
                attempt.remove_partial(site, run)
        why = f"{cause} by {site.lease.owner.user}"
        given_back = [run for run in leaving if attempt.give_back(change, run, cause, why, now)]
    attempt.clear(site, given_back)
    return given_back
