"""When one run after the other fails in the same way, it isn't the runs: nothing more is taken until one succeeds."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence

from production import run as runs
from production import site
from production.catalogue import base
from production.journal import once, over

_LAST = ", the last was run "


def on(here: site.Site) -> bool:
    """Whether the last attempts of ``consecutive`` different runs all ended for one cause, once. Says so, once."""
    text = why(here)
    if text:
        what, last, rest = text.partition(_LAST)
        once("brake", what, logging.ERROR, last + rest)  # those that were under way may fail so, too: no news
    else:
        over("brake", "A run that was under way has not failed so: it goes on")
    return bool(text)


def why(here: site.Site) -> str:
    """What brakes us, with an example and the mend; empty: nothing does."""
    number = here.settings.consecutive
    text = alike(here.catalogue.last_ends(here.lease.owner, number), number, here.layout.below)
    return f"{text}; nothing more is submitted: mend it, then start again" if text else ""


def alike(ends: Sequence[base.End], number: int, below: Callable[[str], str] = str) -> str:
    """What a manager's last ends have in common, if so many of different runs in a row failed for one cause; else empty.

    ``below`` makes the path of a log short.
    """
    causes = {end.cause for end in ends}
    if len(ends) < number or len(causes) != 1 or None in causes or len({end.run for end in ends}) < number:
        return ""
    last, cause = ends[0], runs.Cause(str(causes.pop()))
    log = f"; log: {below(last.log)}" if last.log else ""
    return f"{number} runs in a row failed for the same cause ({cause}){_LAST}{last.run} ({last.message or cause}{log})"
