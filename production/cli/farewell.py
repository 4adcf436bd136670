"""The last words: what was finished, what failed and why, what others hold, what is left to clean."""

from __future__ import annotations

from collections.abc import Sequence

from production import errors, site
from production import run as runs
from production.journal import log

State = runs.State


def done(here: site.Site) -> int:
    """Nothing was left for us; the exit code: 3 if runs failed or are held."""
    counts = here.catalogue.counts(here.production.id)
    log.info("%s: %s", here.production.name, summary(counts))
    causes = here.catalogue.causes(here.production.id)
    for state, cause, number, first in causes:
        log.warning("%s: %d for cause %s, e.g. run %d", state, number, cause or "unknown", first)
    outlook = here.catalogue.outlook(here.production.id, here.lease.owner, here.wanted)
    for other, number in outlook.others:
        log.info("%d runs are held by %s@%s (pid %d)", number, other.user, other.host, other.pid)
    if counts[State.WAITING]:
        log.info("%d runs wait for their base run", counts[State.WAITING])
    return 3 if causes else 0


def interrupted(here: site.Site, survivors: Sequence[runs.Run] | None) -> None:
    """Told to stop. ``survivors`` are runs whose jobs are still there; None: we left in the middle of it."""
    again = (
        f"start again with: run_production --production={here.production.program} --version={here.production.version}"
    )
    if survivors is None:
        left = {state: number for state, number in _left(here).items() if number}
        what = ", ".join(f"{number} {state}" for state, number in left.items()) or "unknown"
        log.error("Left at once; still in our name: %s. The next manager takes them over; %s", what, again)
        return
    for run in survivors:
        log.error("The job of run %s survives: %s; its run will be followed by the next manager", run, run.job)
    log.info("Interrupted: jobs cancelled, claims given back; %s", again)
    log.info("%s: %s", here.production.name, summary(here.catalogue.counts(here.production.id)))


def _left(here: site.Site) -> dict[State, int]:
    try:
        return here.catalogue.in_flight(here.lease.owner)
    except errors.CatalogueError:
        return {}


def summary(counts: dict[State, int]) -> str:
    """``5 finished, 1 failed``."""
    order = (State.FINISHED, State.FAILED, State.HELD, *runs.IN_FLIGHT, State.NEW, State.WAITING)
    return ", ".join(f"{counts[state]} {state}" for state in order if counts.get(state)) or "no runs"
