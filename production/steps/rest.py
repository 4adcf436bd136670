"""Whether there is anything left for this manager: it stays while a run it may take can still come to it."""

from __future__ import annotations

from production import attempt, brake
from production import site as site_


def done(site: site_.Site) -> bool:
    """Nothing in our hands, nothing new or waiting that we may take, and all others that hold runs are seen alive."""
    if site.settings.follow or attempt.in_hand(site):
        return False
    if site.catalogue.intake_due(site.production.id) or site.catalogue.orphans(site.production.id):
        return False
    outlook = site.catalogue.outlook(site.production.id, site.lease.owner, site.wanted)
    if (outlook.new or outlook.waiting) and not brake.on(site):
        return False
    return all(site.lease.alive(other) for other, _ in outlook.others)
