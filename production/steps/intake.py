"""Take in runs that were added to the datasets since, and those whose base run has come (the catalogue sees to these)."""

from __future__ import annotations

from production import attempt
from production import site as site_
from production.journal import log


def step(site: site_.Site) -> None:
    """– → new."""
    if not site.catalogue.intake_due(site.layout.production.id):
        return
    with attempt.writing(site) as change:
        entered = change.intake(site.layout.production.id, site.clock.now())
    if entered:
        log.info("New runs: %d", entered)
