"""Bring the inputs of claimed runs to our disk, several side by side, off the loop.

A raw file that two productions want is brought once. What is there already, put there by somebody else, is used if the
archive's is as large, and never removed.
"""

from __future__ import annotations

import dataclasses
import datetime
import os
from collections.abc import Sequence

from production import attempt, errors, moment, pace
from production import room as room_
from production import run as runs
from production import site as site_
from production.catalogue import base
from production.journal import log, over, waiting
from production.transfer import base as transfer

State, Cause = runs.State, runs.Cause

_pace = pace.Pace()


@dataclasses.dataclass(frozen=True, slots=True)
class _Wanted:
    """An input that has to be brought."""

    run: runs.Run
    path: str
    """Where it is to be, as the database has it."""
    source: str
    """Its name in the archive; the base production's output."""


def step(site: site_.Site) -> None:
    """claimed → staged; or new, failed for cause ``staging``; or held."""
    claimed = site.catalogue.owned(site.lease.owner, State.CLAIMED)
    if not claimed:
        return
    if site.layout.program.base:
        _stage_base(site, claimed)
    elif site.layout.program.input:
        _bring(site, [_Wanted(run, site.layout.staged(run), site.layout.remote(run)) for run in claimed])
    else:
        now = site.clock.now()
        with attempt.writing(site) as change:
            for run in claimed:
                _staged(change, run, "no input", now)


def _staged(change: base.Change, run: runs.Run, why: str, now: datetime.datetime) -> None:
    if not change.move(run, State.STAGED, why, now):
        attempt.stale(run)


def _stage_base(site: site_.Site, claimed: Sequence[runs.Run]) -> None:
    """The input is an output of the base production: it is there, and isn't ours to remove.

    Jobs that don't see our disk get a copy.
    """
    _program, _, name = site.layout.program.base.partition(".")
    now, wanted = site.clock.now(), []
    with attempt.writing(site) as change:
        for run in claimed:
            if change.base_leaves(run):
                continue  # it is being reset: we are asked to let go of the run next, or it stays after all
            there = site.catalogue.base_output(run, name)
            if there is None or not os.path.isfile(there[0]):
                where = f" at {there[0]}" if there else ""
                why = f"base run {run} of {site.layout.program.base} has no output {name}{where}"
                attempt.hold(change, run, Cause.STAGING, why, now)
            elif site.layout.elsewhere:
                wanted.append(_Wanted(run, site.layout.staged(run), there[0]))
            else:
                change.need(run, there[0], site.layout.program.base, there[1], ours=False, come=now)
                _staged(change, run, "base output is there", now)
    if wanted:
        _bring(site, wanted)


def _bring(site: site_.Site, wanted: Sequence[_Wanted]) -> None:
    under_way = site.porter.progress()
    waits = [progress.waits for progress in under_way.values() if progress.waits]
    if waits:
        waiting("archive", f"{waits[0]}; waiting", site.clock.boottime())
    else:
        over("archive", "Inputs come again" if site.layout.elsewhere else "The archive answers again")
    coming = [(one, under_way[one.path]) for one in wanted if one.path in under_way]
    far = {f"run {one.run}": progress for one, progress in coming}
    if line := _pace.line(far, site.clock.boottime()):
        log.info("Transfers: %s", line)
    _follow(site, coming)
    if site.layout.program.input:
        _recall(site, wanted)
    _start(site, [one for one in wanted if one.path not in under_way])


def _recall(site: site_.Site, wanted: Sequence[_Wanted]) -> None:
    """Ask the archive for what we shall want next, so that the tape is mounted before we come."""
    number = site.settings.archive.recall
    if number:
        following = site.catalogue.next_runs(site.layout.production.id, number, site.wanted, site.clock.now())
        next_ = [one.source for one in wanted] + [site.layout.remote(run) for run in following]
        site.porter.recall(next_[:number])


def _start(site: site_.Site, wanted: Sequence[_Wanted]) -> None:
    """Files that nobody brings yet are ordered, if there is room; one that is there is used, if it is ours or compared."""
    if not wanted:
        return
    if not site.layout.elsewhere:
        site.batch.depot.make({os.path.dirname(one.path) for one in wanted})
    now, absent, strange = site.clock.now(), [], []
    with attempt.writing(site) as change:
        for one in wanted:
            if change.carried(one.path):
                continue  # another production is bringing it, or removing what a dead manager began
            if site.layout.elsewhere or not os.path.isfile(one.path):
                absent.append(one)
            elif change.needed(one.path):  # it has its final name only when it is whole
                _use(change, one, "input was there", now)
            else:
                strange.append(one)
        ordered = _with_room(site, change, absent)
        for one, _ in ordered:
            change.begin_transfer(one.path, one.source, site.lease.owner, now)
            change.need(one.run, one.path, one.source, None, ours=True)
    for one, most in ordered:
        site.porter.start(one.source, one.path, most)
    for one in strange:
        site.porter.measure(one.source, one.path)


def _use(change: base.Change, one: _Wanted, why: str, now: datetime.datetime) -> None:
    change.need(one.run, one.path, one.source, os.path.getsize(one.path), ours=False, come=now)
    _staged(change, one.run, why, now)


def _compare(
    site: site_.Site, change: base.Change, one: _Wanted, there: transfer.Progress, now: datetime.datetime
) -> None:
    """A file that somebody else put there is the run's if the archive's is as large; else a human decides."""
    run, path = one.run, one.path
    if change.carried(path) or not os.path.isfile(path):
        return  # it was taken away meanwhile: the next cycle orders it
    size, known = os.path.getsize(path), there.size
    if isinstance(there.error, errors.InputMissing) or (there.error is None and known is None):
        why = "the archive has no such file" if there.error else "the archive can't tell how large its own is"
        log.warning("Input of run %s was there and is used as it is, %s bytes: %s (%s)", run, f"{size:,}", path, why)
        _use(change, one, "input was there, not compared", now)
    elif there.error is not None:
        _failed(site, change, run, there.error, now)
    elif size == known:
        _use(change, one, "input was there, as large as the archive's", now)
    else:
        why = f"{path} was there already and has {size:,} bytes, the archive's has {known:,}; remove it or move it away"
        attempt.hold(change, run, Cause.STAGING, why, now)


def _with_room(site: site_.Site, change: base.Change, absent: Sequence[_Wanted]) -> list[tuple[_Wanted, int]]:
    """With the bytes that each may have: those of the files there is room for, and for what their runs will write.

    Whose size nobody knows is brought alone first, and if it is larger than expected it isn't brought: then it is known.
    """
    left = site.room.look(change) if absent else None
    if left is None:
        return []
    room, sizes = left.unordered, change.sizes(site.layout.production.id)
    ordered: list[tuple[_Wanted, int]] = []
    for one in absent:
        known = change.size(one.run, one.path)
        expected = sizes.input if known is None else known
        if (expected or known is not None) and expected + sizes.outputs <= room:
            ordered.append((one, expected))
            room -= expected + sizes.outputs
        elif not ordered and left.idle and 0 <= (known or 0) <= room > 0:
            return [(one, room)]
        elif known is not None and known > left.most:
            _never_fits(site, change, one.run, known, left)
        elif known is not None:
            needs = f"its input has {room_.shown(known)}"
            site.room.short(f"Run {one.run} waits for room under {site.room.where}: {needs}")
    spare = room // max(1, len(ordered))
    return [(one, expected + spare) for one, expected in ordered]


def _follow(site: site_.Site, coming: Sequence[tuple[_Wanted, transfer.Progress]]) -> None:
    """Write down how far the files are; runs whose file has come go on.

    Raises: LoginRefused.
    """
    if not coming:
        return
    now = site.clock.now()
    with attempt.writing(site) as change:
        for one, progress in coming:
            if not progress.done:
                _write_progress(site, change, one, progress)
            elif isinstance(progress.error, errors.LoginRefused):
                change.end_transfer(one.path, site.lease.owner)
            elif progress.measured:
                _compare(site, change, one, progress, now)
            else:
                _come(site, change, one, progress, now)
    site.porter.forget([one.path for one, progress in coming if progress.done])
    if site.layout.elsewhere:  # the directory that was made for it
        attempt.clear(site, [one.run for one, progress in coming if isinstance(progress.error, errors.TransferError)])
    for _, progress in coming:
        if isinstance(progress.error, errors.LoginRefused):
            raise progress.error


def _write_progress(site: site_.Site, change: base.Change, one: _Wanted, progress: transfer.Progress) -> None:
    if progress.measured:
        return
    change.progress(site.lease.owner, one.path, progress.size, progress.bytes)
    if progress.size is not None and change.size(one.run, one.path) is None:
        change.need(one.run, one.path, one.source, progress.size, ours=True)


def _come(site: site_.Site, change: base.Change, one: _Wanted, end: transfer.Progress, now: datetime.datetime) -> None:
    """A transfer has ended, well or not."""
    change.end_transfer(one.path, site.lease.owner)
    if end.error is None:
        change.need(one.run, one.path, one.source, end.bytes, ours=True, come=now)
        _staged(change, one.run, f"input {room_.shown(end.bytes)} in {moment.age(one.run.since, now)}", now)
    elif isinstance(end.error, errors.TooLarge):
        _too_large(site, change, one, end.error)
    else:
        _failed(site, change, one.run, end.error, now)


def _too_large(site: site_.Site, change: base.Change, one: _Wanted, error: errors.TooLarge) -> None:
    """It will be ordered when there is room for it; there may never be."""
    left = site.room.look(change)
    if left is None:
        return  # looked at again with the next order
    if error.size > left.most:
        _never_fits(site, change, one.run, error.size, left)
    else:
        change.need(one.run, one.path, one.source, error.size, ours=True)


def _never_fits(site: site_.Site, change: base.Change, run: runs.Run, size: int, left: room_.Left) -> None:
    why = f"its input has {room_.shown(size)}, more than the {room_.shown(left.most)} that quota and spacelim allow"
    attempt.hold(change, run, Cause.STAGING, why, site.clock.now())


def _failed(site: site_.Site, change: base.Change, run: runs.Run, error: Exception, now: datetime.datetime) -> None:
    if getattr(error, "transient", True):
        attempt.fail(site, change, run, base.Ending(Cause.STAGING, str(error)), now)
    else:
        attempt.hold(change, run, Cause.STAGING, str(error), now)
