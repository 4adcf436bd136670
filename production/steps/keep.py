"""First of all, keep the lease: ours by beating, the others' by watching; take over from those who are gone."""

from __future__ import annotations

import contextlib
import os

from production import attempt
from production import site as site_
from production.journal import count, log, once


def step(site: site_.Site) -> None:
    """Beat when it is time; look at the others as often.

    Raises: LostLease, if somebody took over from us.
    """
    if not site.lease.due():
        return
    now, me = site.clock.now(), site.lease.owner
    with attempt.writing(site) as change:
        change.beat(me, now, site.room.seen())
        reclaimed = change.reclaim(site.layout.production.id, me, now)
    site.lease.beaten()
    if reclaimed:
        log.info("Taking back %s that another user's manager has followed to the end", count(reclaimed))
    others = [other for other in site.catalogue.managers(site.layout.production.id) if other.id != me.id]
    for dead in site.lease.lapsed(others):
        with attempt.writing(site) as change:
            lapsed = change.lapse(dead, now)
        if lapsed:
            log.warning("Manager %d (%s@%s) is gone; taking over", dead.id, dead.user, dead.host)
            attempt.sweep(site)
    for orphaned in site.catalogue.orphans(site.layout.production.id, me):
        _take_over(site, orphaned)
    for system, number in site.catalogue.elsewhere(site.layout.production.id, me).items():
        once(
            f"elsewhere {system}",
            f"Nobody follows the jobs of {count(number)} under {system}: {attempt.followed(system)}",
        )


def _take_over(site: site_.Site, dead: int) -> None:
    """Claims go back; runs with a job become ours to follow; half-brought files are removed."""
    with attempt.writing(site) as change:
        given_back, adopted, files = change.adopt(dead, site.layout.production.id, site.lease.owner, site.clock.now())
        for run in given_back:
            attempt.remove_inputs(change, run)
        for path in files:
            with contextlib.suppress(FileNotFoundError, PermissionError):
                os.unlink(path + ".part")
    attempt.clear(site, given_back)
    for run in given_back:
        log.info("Released run: %s (its manager is gone)", run)
    if adopted:
        log.info("Following %s of manager %d", count(adopted), dead)
