"""One manager: goes round the corridor until there is nothing left or somebody says stop. The smallest room."""

from __future__ import annotations

from collections.abc import Callable

from production import attempt, errors
from production import run as runs
from production import site as site_
from production.journal import calm, once, over, waiting
from production.steps import answer, claim, finish, follow, intake, keep, release, rest, stage, submit

CYCLE = (keep.step, answer.step, intake.step, follow.step, finish.step, claim.step, stage.step, submit.step)
"""See what ended and give its room back, then walk forward."""


PATIENCE = 30.0
"""Seconds that a Ctrl-C waits for the outputs of ended jobs to be looked at."""


def run(site: site_.Site, stop: Callable[[], bool]) -> None:
    """Carry runs until none is left for us, or ``stop`` says so. Errors that don't pass come out of here."""
    while not stop() and not _cycle(site):
        site.clock.wait(site.settings.pause)


def _cycle(site: site_.Site) -> bool:
    """Whether that was the last one. Bad weather (a locked database, a full disk) is waited out."""
    try:
        for step in CYCLE:
            step(site)
        done = rest.done(site)
    except errors.ProductionError as trouble:
        if not trouble.transient:
            raise
        waiting("weather", f"{trouble}; waiting", site.clock.boottime())
        return False
    if done:
        over("weather", "It goes on")
    else:
        calm("weather", "It goes on", site.clock.boottime())
    return done


def leave(site: site_.Site, again: Callable[[], bool]) -> list[runs.Run]:
    """Cancel, clean and give back; runs whose jobs survived. ``again`` tells of a second Ctrl-C."""
    while True:
        _finish_ended(site, again)
        try:
            survivors = release.step(site, again)
            _patiently(site, answer.of_runs)  # what was asked of runs that were ours, and are nobody's now
            return survivors
        except errors.ProductionError as trouble:
            if not trouble.transient or again():
                raise
            once("leaving", f"{trouble}; waiting (Ctrl-C again leaves at once)")
            site.clock.wait(site.settings.pause)


def _ended(site: site_.Site) -> list[runs.Run]:
    return site.catalogue.owned(site.lease.owner, runs.State.ENDED)


def _finish_ended(site: site_.Site, again: Callable[[], bool]) -> None:
    """What has been computed isn't thrown away, if looking at it takes no longer than our patience."""
    end = site.clock.boottime() + PATIENCE
    _patiently(site, follow.step)  # a silent batch system doesn't keep what has ended from its place
    _patiently(site, finish.step)
    while any(attempt.touchable(site, run) for run in _ended(site)) and not again():
        if site.clock.boottime() > end:
            return
        site.clock.wait(0.2)
        if not _patiently(site, finish.step):
            return


def _patiently(site: site_.Site, step: Callable[[site_.Site], None]) -> bool:
    """Whether the step was done; bad weather is told."""
    try:
        step(site)
    except errors.ProductionError as trouble:
        if not trouble.transient:
            raise
        once("weather", str(trouble))
        return False
    return True
