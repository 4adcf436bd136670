"""Bring the inputs of claimed runs to our disk, several side by side, off the loop.

A raw file that two productions want is brought once. What is there already, put there by somebody else, is used and
never removed.
"""

from __future__ import annotations

import datetime
import os
from collections.abc import Sequence

from production import attempt, errors
from production import run as runs
from production import site as site_
from production.catalogue import base
from production.journal import log
from production.transfer import base as transfer

State, Cause = runs.State, runs.Cause


def step(site: site_.Site) -> None:
    """claimed → staged; or new, failed for cause ``staging``; or held."""
    claimed = site.catalogue.owned(site.lease.owner, State.CLAIMED)
    if not claimed:
        return
    if site.layout.program.base:
        _stage_base(site, claimed)
    elif site.layout.program.input:
        _stage_raw(site, claimed)
    else:
        now = site.clock.now()
        with attempt.writing(site) as change:
            for run in claimed:
                _staged(change, run, "no input", now)


def _staged(change: base.Change, run: runs.Run, why: str, now: datetime.datetime) -> None:
    if not change.move(run, State.STAGED, why, now):
        attempt.stale(run)


def _stage_base(site: site_.Site, claimed: Sequence[runs.Run]) -> None:
    """The input is an output of the base production: it is there, and isn't ours to remove."""
    _program, _, name = site.layout.program.base.partition(".")
    now = site.clock.now()
    with attempt.writing(site) as change:
        for run in claimed:
            there = site.catalogue.base_output(run, name)
            if there is None or not os.path.isfile(there[0]):
                where = f" at {there[0]}" if there else ""
                why = f"base run {run} of {site.layout.program.base} has no output {name}{where}"
                attempt.hold(change, run, Cause.STAGING, why, now)
            else:
                change.need(run, there[0], site.layout.program.base, there[1], ours=False)
                _staged(change, run, "base output is there", now)


def _stage_raw(site: site_.Site, claimed: Sequence[runs.Run]) -> None:
    under_way = site.porter.progress()
    paths = {site.layout.staged(run): run for run in claimed}
    _follow(site, {path: (run, under_way[path]) for path, run in paths.items() if path in under_way})
    _start(site, {path: run for path, run in paths.items() if path not in under_way})


def _start(site: site_.Site, wanted: dict[str, runs.Run]) -> None:
    """Files that nobody brings yet are ordered; those that are there already are used."""
    if not wanted:
        return
    attempt.make_writable(site, {os.path.dirname(path) for path in wanted})
    now, ordered = site.clock.now(), {}
    with attempt.writing(site) as change:
        for path, run in wanted.items():
            source = site.layout.remote(run)
            if not change.begin_transfer(path, source, site.lease.owner, now):
                continue  # another production is bringing it, or removing what a dead manager began
            if os.path.isfile(path):  # a file has its final name only when it is whole
                change.end_transfer(path, site.lease.owner)
                change.need(run, path, source, os.path.getsize(path), ours=False)
                _staged(change, run, "input was there", now)
            else:
                change.need(run, path, source, None, ours=True)
                ordered[path] = run
    if ordered:
        log.info("Staging runs: [%s]", ", ".join(str(run) for run in ordered.values()))
    for path, run in ordered.items():
        site.porter.start(site.layout.remote(run), path)


def _follow(site: site_.Site, under_way: dict[str, tuple[runs.Run, transfer.Progress]]) -> None:
    """Write down how far the files are; runs whose file has come go on."""
    if not under_way:
        return
    now, ended, full = site.clock.now(), [], ""
    with attempt.writing(site) as change:
        for path, (run, progress) in under_way.items():
            if not progress.done:
                change.progress(site.lease.owner, path, progress.size, progress.bytes)
                continue
            ended.append(path)
            change.end_transfer(path, site.lease.owner)
            if progress.error is None:
                change.need(run, path, site.layout.remote(run), progress.bytes, ours=True)
                _staged(change, run, f"{progress.bytes} bytes", now)
                log.info("Staged run: %s", run)
            elif getattr(progress.error, "disk_full", False):
                full = str(progress.error)  # it is ordered again in the next cycle
            else:
                _failed(site, change, run, progress.error, now)
    site.porter.forget(ended)
    if full:
        raise errors.DiskFull(full)


def _failed(site: site_.Site, change: base.Change, run: runs.Run, error: Exception, now: datetime.datetime) -> None:
    if getattr(error, "transient", True):
        attempt.fail(site, change, run, base.Ending(Cause.STAGING, str(error)), now)
    else:
        attempt.hold(change, run, Cause.STAGING, str(error), now)
