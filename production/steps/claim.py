"""Claim new runs, as many as may be in our hands and have room on the disk."""

from __future__ import annotations

from production import attempt, brake
from production import run as runs
from production import site as site_
from production.catalogue import base


def step(site: site_.Site) -> None:
    """new → claimed. At most ``nproc`` + ``nprep`` runs are in our hands. With the brake on, back again."""
    if brake.on(site):
        _give_back(site)
        return
    places = attempt.places(site) + site.settings.nprep
    number = places - sum(site.catalogue.in_flight(site.lease.owner).values())
    now, production = site.clock.now(), site.layout.production.id
    if number <= 0 or not site.catalogue.next_runs(production, 1, site.wanted, now):
        return
    with attempt.writing(site) as change:
        number = _that_fit(site, change, number)
        if number:
            change.claim(production, number, site.lease.owner, site.wanted, now)


def _give_back(site: site_.Site) -> None:
    """What has no job yet is new again, and nobody brings its input."""
    waiting = site.catalogue.owned(site.lease.owner, runs.State.CLAIMED, runs.State.STAGED)
    if not waiting:
        return
    if site.layout.brings:
        site.porter.forget([site.layout.staged(run) for run in waiting])
    now, why = site.clock.now(), "too many failed before it"
    with attempt.writing(site) as change:
        if site.layout.brings:
            for run in waiting:
                change.end_transfer(site.layout.staged(run), site.lease.owner)
        given_back = [run for run in waiting if attempt.give_back(change, run, runs.Cause.RELEASED, why, now)]
    attempt.clear(site, given_back)


def _that_fit(site: site_.Site, change: base.Change, number: int) -> int:
    """How many of so many runs the disk has room for. One is tried whatever its size, if nobody has promised anything."""
    program = site.layout.program
    if not site.layout.brings and not program.outputs:
        return number
    left = site.room.look(change)
    if left is None or left.unpromised <= 0:
        return 0
    sizes = change.sizes(site.layout.production.id)
    each = sizes.outputs + (sizes.input if site.layout.brings else 0)
    if not each:
        return number  # nothing is known yet; before a file is brought its size is
    fit = left.unpromised // each
    if fit < number:
        site.room.few(each, left)
    alone = left.idle and left.unpromised == left.unordered
    return min(number, max(fit, int(alone)))
