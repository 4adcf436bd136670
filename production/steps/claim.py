"""Claim new runs, as many as may be in our hands."""

from __future__ import annotations

from production import attempt, brake
from production import site as site_
from production.journal import log


def step(site: site_.Site) -> None:
    """new → claimed. At most ``nproc`` + ``nprep`` runs are in our hands."""
    number = site.settings.nproc + site.settings.nprep - sum(site.catalogue.in_flight(site.lease.owner).values())
    now = site.clock.now()
    if number <= 0 or not site.catalogue.claimable(site.production.id, site.wanted, now) or brake.on(site):
        return
    with attempt.writing(site) as change:
        claimed = change.claim(site.production.id, number, site.lease.owner, site.wanted, now)
    for run in claimed:
        log.info("Claimed run: %s", run)
