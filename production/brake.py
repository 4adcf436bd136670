"""When one run after the other fails in the same way, it isn't the runs: this manager takes no more, to its end."""

from __future__ import annotations

import logging
import weakref

from production import lease, site
from production import run as runs
from production.journal import once

_why: weakref.WeakKeyDictionary[lease.Lease, str] = weakref.WeakKeyDictionary()
"""Of each manager in this process that is braked: for good, as it has stopped bringing files."""


def on(here: site.Site) -> bool:
    """Whether the last attempts of ``consecutive`` different runs all ended for one cause, once. Says so, once."""
    text = why(here)
    if text:
        once("brake", text, logging.ERROR)
    return bool(text)


def why(here: site.Site) -> str:
    """What braked it, with an example and the mend; empty: nothing did."""
    if here.lease not in _why and (text := _seen(here)):
        _why[here.lease] = text
    return _why.get(here.lease, "")


def _seen(here: site.Site) -> str:
    number = here.settings.consecutive
    ends = here.catalogue.last_ends(here.lease.owner, number)
    causes = {end.cause for end in ends}
    if len(ends) < number or len(causes) != 1 or None in causes or len({end.run for end in ends}) < number:
        return ""
    last, cause = ends[0], runs.Cause(str(causes.pop()))
    log = f"; log: {here.layout.below(last.log)}" if last.log else ""
    return (
        f"{number} runs in a row failed for the same cause ({cause}), the last was run {last.run} "
        f"({last.message or cause}{log}); nothing more is submitted: mend it, then start again"
    )
