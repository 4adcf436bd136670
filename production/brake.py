"""When one run after the other fails in the same way, it isn't the runs: stop taking more."""

from __future__ import annotations

from production import run as runs
from production import site as site_
from production.journal import once


def on(site: site_.Site) -> bool:
    """Whether the last attempts of ``consecutive`` different runs all ended for one cause. Says so, once."""
    number = site.settings.consecutive
    ends = site.catalogue.last_ends(site.lease.owner, number)
    causes = {cause for _, cause in ends}
    if len(ends) < number or len(causes) != 1 or None in causes or len({run for run, _ in ends}) < number:
        return False
    cause = runs.Cause(str(causes.pop()))
    once(
        "brake",
        f"{number} runs in a row failed for the same cause ({cause}): claiming no more; mend it, then start again",
    )
    return True
