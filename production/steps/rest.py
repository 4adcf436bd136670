"""Whether there is anything left for this manager: it stays while a run it may take can still come to it."""

from __future__ import annotations

from production import attempt, brake
from production import site as site_
from production.journal import count, waiting


def done(site: site_.Site) -> bool:
    """Nothing in our hands, nothing asked, nothing new or waiting that we may take, and all others that hold runs are seen alive."""
    if attempt.in_hand(site) or (site.settings.follow and not brake.on(site)):
        return False
    production, me = site.layout.production.id, site.lease.owner
    if site.catalogue.intake_due(production) or site.catalogue.orphans(production, me):
        return False
    if site.catalogue.asked(production, 1, None):  # of a run that was ours until a moment ago
        return False
    outlook = site.catalogue.outlook(production, me, site.wanted)
    if (outlook.new or outlook.waiting) and not brake.on(site):
        return False
    silent = [(other, number) for other, number in outlook.others if not site.lease.alive(other)]
    for other, number in silent:
        who = str(other)
        text = f"Waiting for {who}, who has {count(number)}: taken over if silent for {site.settings.lease:.0f} s"
        waiting("rest", text, site.clock.boottime())
    return not silent
