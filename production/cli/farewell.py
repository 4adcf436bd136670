"""The last words: what was finished, what failed and why, what others hold, what is left to clean."""

from __future__ import annotations

from collections.abc import Sequence

from production import attempt, brake, errors, site
from production import run as runs
from production.cli import terminal
from production.journal import count, log

State = runs.State


def done(here: site.Site) -> int:
    """Nothing was left for us; the exit code: 3 if runs failed, are held or were left by others, or the brake is on."""
    counts = here.catalogue.counts(here.layout.production.id)
    _sum_up(here)
    causes = here.catalogue.causes(here.layout.production.id)
    for line in (line for stuck in causes for line in terminal.stuck(stuck)):
        log.warning("%s", line)
    outlook = here.catalogue.outlook(here.layout.production.id, here.lease.owner, here.wanted)
    for other, number in outlook.others:
        log.info("%s@%s (pid %d) is working on %s", other.user, other.host, other.pid, count(number))
    elsewhere = here.catalogue.elsewhere(here.layout.production.id, here.lease.owner)
    for system, number in elsewhere.items():
        log.warning("Nobody follows the jobs of %s under %s: %s", count(number), system, attempt.followed(system))
    vain, first_in_vain = here.catalogue.in_vain(here.layout.production.id)
    if vain:
        log.warning("%d waiting for a base run that failed or is held, e.g. run %d", vain, first_in_vain)
    if counts[State.WAITING] > vain:
        log.info("%d waiting for their base run", counts[State.WAITING] - vain)
    braked = brake.why(here)
    if braked:
        log.error("%s", braked)
    return 3 if causes or vain or elsewhere or braked else 0


def interrupted(here: site.Site, survivors: Sequence[runs.Run] | None, command: str, *, jobs: bool) -> None:
    """Told to stop. ``survivors`` are runs whose jobs are still there; None: we left in the middle of it.

    ``command`` is the one that goes on; ``jobs``: whether there were any.
    """
    again = f"go on with: {command}"
    if survivors is None:
        left = {state: number for state, number in left_over(here).items() if number}
        what = ", ".join(f"{number} {state}" for state, number in left.items()) or "unknown"
        log.error("Left at once; still in our name: %s. The next manager takes them over; %s", what, again)
        return
    for run in survivors:
        if run.state is State.ENDED:
            log.warning(
                "Run %s has ended and waits for %s to touch its files; the next manager follows it", run, run.user
            )
        else:
            by_hand = here.batch.by_hand(run.job or "")
            log.error(
                "The job of run %s, of %s, goes on; the next manager follows it; to end it: %s", run, run.user, by_hand
            )
    what = "jobs cancelled, claims given back" if jobs else "claims given back"
    if survivors:
        what = f"all but {count(len(survivors))} given back"
    log.info("Stopped: %s; %s", what, again)
    _sum_up(here)


def _sum_up(here: site.Site) -> None:
    """How far the runs are that this manager was to take."""
    counts = here.catalogue.counts(here.layout.production.id, here.wanted)
    log.info("%s: %s", terminal.named(here.layout.production, here.wanted), terminal.summary(counts))


def left_over(here: site.Site) -> dict[State, int]:
    """How many runs are in our hands, by state; nothing if it can't be told."""
    try:
        return here.catalogue.in_flight(here.lease.owner)
    except errors.CatalogueError:
        return {}
